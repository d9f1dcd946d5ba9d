package main

import (
	"context"
	"log/slog"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// memoryShare is how much of a cgroup's memory the heap may take before it is collected harder. The
// rest is for stacks, and for what the kernel keeps for us.
const memoryShare = 0.9

// The heap is small, because what is owed lives on disk, so it may grow fourfold between two
// collections: a tenth of the CPU at saturation. What a flood has made it hold must not count
// fourfold, so garbage has a bound of its own, and a lower one where much lives, as with a thousand
// endpoints: then it may be a third of that.
const (
	mostGarbage = 48 << 20 // bytes
	mostInAll   = 56 << 20 // bytes of the living and of garbage, where that leaves room for garbage
	mostPercent = 300
	leastGrowth = 30
)

// At saturation that would be five collections a second or more. So where garbage has come fast for a
// while there may be more of it: as much as comes in busyFor, within bounds that leave a gateway at
// saturation below 128 MiB, and none more where much lives, for a thousand endpoints are busy too.
// Then there are about half as many collections for an event (GODEBUG=gctrace=1). It is memory for
// as long as it is busy: what comes slower is collected as before, and after a burst ease gives it
// back. A machine or cgroup with less than roomy memory is not asked for it.
const (
	busyFor   = 400 * time.Millisecond
	busyAfter = time.Second // of collections that come in twice that at most: a start is none
	busyInAll = 104 << 20   // bytes of the living and of garbage
	busyLive  = 44 << 20    // bytes of the living: each that is missing to it may be four of garbage
	roomy     = 512 << 20   // bytes
)

// collector sets, after each collection, how much the heap may grow until the next.
type collector struct {
	read    []metrics.Sample
	busy    bool      // more garbage is allowed where it comes fast
	last    time.Time // of the last collection
	made    uint64    // bytes allocated until then
	since   time.Time // since when it has come fast; zero: it does not
	percent atomic.Int64
	over    atomic.Bool
}

// tend begins to, within so much memory (0: nobody knows how much). It goes on until the process
// ends, or until it is stopped.
func tend(memory int64) *collector {
	c := &collector{busy: memory == 0 || memory >= roomy, last: time.Now()}
	for _, name := range []string{"/gc/heap/allocs:bytes", "/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes"} {
		c.read = append(c.read, metrics.Sample{Name: name})
	}
	c.set(mostPercent)
	c.await()
	return c
}

func (c *collector) stop() { c.over.Store(true) }

// await has the runtime call adjust when a collection has found that nobody holds what is made
// here.
func (c *collector) await() {
	type sign struct{ _ *byte } // no tiny object: it would live as long as others in its block
	runtime.SetFinalizer(&sign{}, func(*sign) {
		if c.over.Load() {
			return
		}
		c.adjust()
		c.await()
	})
}

func (c *collector) adjust() {
	metrics.Read(c.read)
	made, used := c.read[0].Value.Uint64(), uint64(0) // used is what the runtime takes the percentage of
	for i := range c.read[1:] {
		used += c.read[1+i].Value.Uint64()
	}
	c.set(growth(used, c.soon(made, time.Now())))
}

// soon is how much is made in busyFor, of so many bytes that have been made until now; 0: it has not
// come fast for long enough, or there is too little memory.
func (c *collector) soon(made uint64, now time.Time) uint64 {
	last, took, came := c.last, now.Sub(c.last), made-c.made
	c.last, c.made = now, made
	switch {
	case !c.busy || took > 2*busyFor:
		c.since = time.Time{}
	case c.since.IsZero():
		c.since = last
	}
	if c.since.IsZero() || now.Sub(c.since) < busyAfter {
		return 0
	}
	return uint64(float64(came) * float64(busyFor) / float64(max(took, time.Millisecond)))
}

func (c *collector) set(percent int) {
	if c.percent.Swap(int64(percent)) != int64(percent) {
		debug.SetGCPercent(percent)
	}
}

// What a burst has made us hold is given back when it is quiet.
const (
	quietFor  = 5 * time.Second
	quietRate = 1 << 20  // bytes allocated meanwhile
	worthIt   = 16 << 20 // bytes that nobody uses, or fewer are not asked for
)

// ease gives memory back to the machine when nothing has been going on for a while, until ctx ends.
func ease(ctx context.Context) error {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	at := func(i int) uint64 { return s[i].Value.Uint64() }
	tick := time.NewTicker(quietFor)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		metrics.Read(s)
		unused := at(1) + at(2) - min(at(2), at(3))
		if quiet(at(0)-last, unused) {
			debug.FreeOSMemory()
			metrics.Read(s)
		}
		last = at(0)
	}
}

// quiet reports whether so little was allocated that what is unused may be given back, and is worth it.
func quiet(allocated, unused uint64) bool { return allocated < quietRate && unused > worthIt }

// growth is by how many hundredths so many living bytes, of the heap and of stacks, may grow, where so
// many are made in busyFor.
func growth(live, soon uint64) int {
	if live == 0 {
		return mostPercent
	}
	garbage := min(mostGarbage, mostInAll-min(mostInAll, live), live*mostPercent/100)
	more := min(busyInAll-min(busyInAll, live), 4*(busyLive-min(busyLive, live)), soon)
	return int(max(leastGrowth, max(garbage, more)*100/live)) //nolint:gosec // more than busyInAll times a hundred it is not
}

// limitMemory bounds the heap by the cgroup that is found below root, if there is one: without it
// the collector would let the heap grow until the kernel ends the process.
func limitMemory(log *slog.Logger, root string) {
	limit, from := cgroupMemory(root)
	if limit == 0 {
		return
	}
	heap := int64(float64(limit) * memoryShare)
	debug.SetMemoryLimit(heap)
	log.Info("memory_limit", "bytes", heap, "of", limit, "file", from)
}

// memoryLimit is how much memory this process may have: its cgroup's, else the machine's, as
// proc/meminfo below root says; 0: nobody knows.
func memoryLimit(root string) int64 {
	if limit, _ := cgroupMemory(root); limit > 0 {
		return limit
	}
	b, err := os.ReadFile(filepath.Join(root, "proc/meminfo")) //nolint:gosec // the kernel's
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "MemTotal:" && words[2] == "kB" {
			if n, err := strconv.ParseInt(words[1], 10, 64); err == nil && n > 0 {
				return n << 10
			}
		}
	}
	return 0
}

// cgroupMemory is the least memory that this process's cgroup, or one above it, is limited to, and
// the file that says so; 0: none is. It reads proc/self/cgroup and sys/fs/cgroup below root, of
// either version. In a container the path may be the host's and so not be there: then what is above
// it counts.
func cgroupMemory(root string) (limit int64, from string) {
	of, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup")) //nolint:gosec // the kernel's
	if err != nil {
		return 0, ""
	}
	limit = math.MaxInt64
	for line := range strings.Lines(string(of)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy, controllers, path
		if len(parts) != 3 {
			continue
		}
		var dir, file string
		switch {
		case parts[0] == "0" && parts[1] == "":
			dir, file = "sys/fs/cgroup", "memory.max"
		case parts[1] == "memory":
			dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			name := filepath.Join(root, dir, at, file)
			if n := memoryIn(name); n > 0 && n < limit {
				limit, from = n, name
			}
			if at == "/" {
				break
			}
		}
	}
	if from == "" {
		return 0, ""
	}
	return limit, from
}

// memoryIn reads one limit; 0: none. Version 1 says the largest number of whole pages for none.
func memoryIn(name string) int64 {
	b, err := os.ReadFile(name) //nolint:gosec // the kernel's
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // "max" is no number
	if err != nil || n < 0 || n >= math.MaxInt64>>12<<12 {
		return 0
	}
	return n
}
