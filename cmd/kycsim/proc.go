package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// userHZ is the unit of the times in /proc, the same on every Linux.
const userHZ = 100

// cpuTime is what a process alone has used, user and system.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the cpu time: %w", err)
	}
	return parseStat(b)
}

// parseStat reads the fields 14 and 15. The name of the program, field 2, may hold anything, so
// counting starts behind it.
func parseStat(b []byte) (time.Duration, error) {
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("read the cpu time: %d fields are too few", len(fields))
	}
	ticks := int64(0)
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the cpu time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHZ, nil
}

// memory is what of a process is in RAM, in bytes.
type memory struct{ anon, file int64 }

func residentOf(pid int) (memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("read the memory: %w", err)
	}
	return parseStatus(b), nil
}

func parseStatus(b []byte) (m memory) {
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		switch {
		case err != nil:
		case fields[0] == "RssAnon:":
			m.anon = kib << 10
		case fields[0] == "RssFile:":
			m.file = kib << 10
		}
	}
	return m
}

// watch polls the memory of a process until stop is called, which returns the highest values.
func watch(ctx context.Context, pid int) (stop func() memory) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var top memory
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if m, err := residentOf(pid); err == nil {
				top.anon, top.file = max(top.anon, m.anon), max(top.file, m.file)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() memory {
		cancel()
		wg.Wait()
		return top
	}
}

// peak is the most memory that a process has had since it was executed, in bytes.
func peak(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
