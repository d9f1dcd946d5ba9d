// Command powercut shows a disk in memory at a place in the file system, has its calls fail as it
// is told, and takes its power away.
//
// Its promise: whatever the file system's user is told or believes, what a cut leaves is decided
// here, by what was flushed. It reads orders as JSON lines from its input, one after the other, and
// writes their answers, and what happens meanwhile, to its output. When its input ends, or on
// SIGTERM, it unmounts and exits; a mount it left behind because it was killed is taken away by the
// next one.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"countersign/outbox/store/powercut/disk"
)

// order is one line of the input.
type order struct {
	Do    string     `json:"do"`    // mount, arm, cut, release, restore, unmount; tell: nothing, but its answer follows all that happened before
	At    string     `json:"at"`    // mount: an existing directory
	Plan  disk.Plan  `json:"plan"`  // arm: what goes wrong
	Style disk.Style `json:"style"` // restore: which part of what was not flushed is left
	Seed  uint64     `json:"seed"`  // restore
}

// answer is the line that follows when an order is carried out, or could not be.
type answer struct {
	Answer string       `json:"answer"` // what was to be done
	Error  string       `json:"error,omitempty"`
	Counts *disk.Counts `json:"counts,omitempty"` // restore
}

// keeper is the disk and where it is shown.
type keeper struct {
	out lines
	d   *disk.Disk
	m   *mount
}

// lines writes JSON lines from several goroutines.
type lines struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *lines) write(v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = json.NewEncoder(l.w).Encode(v) // if nobody reads, the input has ended too
}

func main() {
	os.Exit(run(os.Stdin, os.Stdout, os.Stderr))
}

// run returns the exit code: 0, or 1 if the mount could not be taken away.
func run(in io.Reader, out, errs io.Writer) int {
	k := &keeper{out: lines{w: out}}
	if err := sweep(); err != nil {
		_, _ = fmt.Fprintln(errs, "powercut:", err)
		return 1
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	orders := make(chan []byte)
	go func() {
		defer close(orders)
		for s := bufio.NewScanner(in); s.Scan(); {
			orders <- bytes.Clone(s.Bytes())
		}
	}()
	for {
		select {
		case line, ok := <-orders:
			if ok {
				k.out.write(k.carryOut(line))
				continue
			}
		case <-ended:
		}
		if err := k.unmount(); err != nil {
			_, _ = fmt.Fprintln(errs, "powercut:", err)
			return 1
		}
		return 0
	}
}

// carryOut reads one order and does it.
func (k *keeper) carryOut(line []byte) answer {
	var o order
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return answer{Answer: "none", Error: "read an order: " + err.Error()}
	}
	a := answer{Answer: o.Do}
	if err := k.do(&o, &a); err != nil {
		a.Error = err.Error()
	}
	return a
}

func (k *keeper) do(o *order, a *answer) (err error) {
	if k.m == nil && o.Do != "mount" {
		return errors.New("nothing is mounted")
	}
	switch o.Do {
	case "mount":
		if k.m != nil {
			return errors.New("it is mounted already")
		}
		d := disk.New(func(e disk.Event) { k.out.write(e) })
		if k.m, err = show(d, o.At); err == nil {
			k.d = d
		}
	case "tell":
	case "arm":
		k.d.Arm(o.Plan)
	case "cut":
		k.d.Cut()
	case "release":
		k.d.Release()
	case "restore":
		a.Counts, err = k.restore(o)
	case "unmount":
		err = k.unmount()
	default:
		err = fmt.Errorf("there is no order %q", o.Do)
	}
	return err
}

// restore has the power back: the kernel forgets what it knew of the old disk, and sees the one
// that the cut has left, at the same place.
func (k *keeper) restore(o *order) (*disk.Counts, error) {
	at := k.m.at
	left, counts := k.d.Restore(o.Style, o.Seed)
	if err := k.unmount(); err != nil {
		return nil, err
	}
	m, err := show(left, at)
	if err != nil {
		return nil, err
	}
	k.d, k.m = left, m
	return &counts, nil
}

func (k *keeper) unmount() error {
	if k.m == nil {
		return nil
	}
	k.d.Release()
	err := k.m.hide()
	k.m = nil
	return err
}
