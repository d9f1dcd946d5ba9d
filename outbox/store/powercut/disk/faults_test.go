package disk

import (
	"bytes"
	"syscall"
	"testing"
	"time"
)

// What a plan names goes wrong when it says, as often as it says, and nothing else does.
func TestPlan(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
		d := fresh()
		n := create(t, d, d.Root(), "f")
		d.Arm(Plan{Call: Write, After: 2, Times: 3, Errno: errno, CutAfter: -1})
		for i := range 8 {
			want := syscall.Errno(0)
			if i >= 2 && i < 5 {
				want = errno
			}
			if _, got := d.Write(n, []byte("x"), int64(i)); got != want {
				t.Errorf("write %d: %v, want %v", i, got, want)
			}
			flush(t, d, n)
		}
		if got := content(d, n); string(got) != "xx\x00\x00\x00xxx" {
			t.Errorf("there is %q: what failed was written", got)
		}
	}
	d := fresh()
	n := create(t, d, d.Root(), "f")
	d.Arm(Plan{Call: Grow, Errno: syscall.ENOSPC, CutAfter: -1})
	if got := d.Resize(n, 100); got != syscall.ENOSPC {
		t.Errorf("growing: %v", got)
	}
	if got := d.Resize(n, 100); got != 0 || len(content(d, n)) != 100 {
		t.Errorf("growing again: %v", got)
	}
	d.Arm(Plan{Call: Grow, Errno: syscall.ENOSPC, CutAfter: -1})
	if got := d.Resize(n, 50); got != 0 {
		t.Errorf("shrinking: %v", got)
	}
	flush(t, d, n)
	d.Arm(Plan{Call: Flush, Below: 10, Errno: syscall.EIO, CutAfter: -1})
	write(t, d, n, 10, []byte("x"))
	flush(t, d, n, d.Root())
	write(t, d, n, 9, []byte("x"))
	if got := d.Flush(n); got != syscall.EIO {
		t.Errorf("flushing what lies below: %v", got)
	}
	d.Arm(Plan{Call: Names, Errno: syscall.EIO, CutAfter: -1})
	if got := d.Rename(d.Root(), "f", d.Root(), "g", false); got != syscall.EIO || d.Lookup(d.Root(), "f") != n {
		t.Errorf("renaming: %v", got)
	}
}

// Of a write that fails in its middle the first half is there.
func TestPartialWrite(t *testing.T) {
	d := fresh()
	n := create(t, d, d.Root(), "f")
	d.Arm(Plan{Call: Write, Part: true, Errno: syscall.ENOSPC, CutAfter: -1})
	if got, errno := d.Write(n, sectorsOf(1, 8), 0); got != 4*Sector || errno != 0 {
		t.Errorf("the first half: %d, %v", got, errno)
	}
	if got, errno := d.Write(n, sectorsOf(1, 4), 4*Sector); got != 0 || errno != syscall.ENOSPC {
		t.Errorf("the rest: %d, %v", got, errno)
	}
	write(t, d, n, 4*Sector, sectorsOf(2, 4))
	if !bytes.Equal(content(d, n), append(sectorsOf(1, 4), sectorsOf(2, 4)...)) {
		t.Error("something else is there than was written")
	}
}

// What a failed flush did not write is seen and never becomes durable, whatever is flushed later,
// unless it is written again: as Linux does it.
func TestFailedFlush(t *testing.T) {
	kept := map[byte]int{}
	for seed := range uint64(100) {
		d, n := written(t)
		d.Arm(Plan{Call: Flush, Errno: syscall.EIO, CutAfter: -1, Seed: seed})
		if got := d.Flush(n); got != syscall.EIO {
			t.Fatalf("Flush = %v", got)
		}
		if got := content(d, n); got[0] != 2 || got[4*Sector] != 3 {
			t.Fatal("a failed flush is seen")
		}
		flush(t, d, n) // tells nothing
		left, counts := d.Restore(Keep, seed)
		kept[content(left, left.Lookup(left.Root(), "f"))[0]]++
		if counts.Unflushed != 0 {
			t.Fatalf("%d sectors wait that nobody will write", counts.Unflushed)
		}
		d, n = written(t)
		d.Arm(Plan{Call: Flush, Errno: syscall.EIO, CutAfter: -1, Seed: seed})
		d.Flush(n)
		write(t, d, n, 0, sectorsOf(4, 16))
		flush(t, d, n)
		if left, _ := d.Restore(Drop, seed); !bytes.Equal(content(left, left.Lookup(left.Root(), "f")), sectorsOf(4, 16)) {
			t.Fatal("what was written again and flushed is not there")
		}
	}
	if kept[1] == 0 || kept[2] == 0 || kept[1]+kept[2] != 100 {
		t.Errorf("of 100 failed flushes, by version: %v", kept)
	}
}

// After a cut nothing changes, whoever comes waits, and is told EIO when it does not matter any
// more.
func TestCut(t *testing.T) {
	events := make(chan Event, 10)
	d := New(func(e Event) { events <- e })
	n := create(t, d, d.Root(), "f")
	flush(t, d, d.Root())
	d.Arm(Plan{CutAfter: 2})
	write(t, d, n, 0, sectorsOf(1, 1))
	flush(t, d, n)
	answers := make(chan syscall.Errno, 4)
	go func() { _, errno := d.Write(n, sectorsOf(2, 1), 0); answers <- errno }()
	if e := <-events; e.What != "cut" {
		t.Errorf("told of %+v", e)
	}
	go func() { answers <- d.Flush(n) }()
	go func() { answers <- d.Remove(d.Root(), "f", false) }()
	go func() { answers <- d.Resize(n, 5) }()
	if got := content(d, n); !bytes.Equal(got, sectorsOf(1, 1)) {
		t.Error("what is seen has changed after the cut")
	}
	left, _ := d.Restore(Keep, 1)
	if len(answers) > 0 {
		t.Error("a call was answered after the cut")
	}
	d.Release()
	for range 4 {
		if errno := <-answers; errno != syscall.EIO {
			t.Errorf("answered %v", errno)
		}
	}
	if got := content(left, left.Lookup(left.Root(), "f")); !bytes.Equal(got, sectorsOf(1, 1)) {
		t.Error("what was flushed before the cut is not what is there after it")
	}
}

// A flush that hangs ends with the power, and has not happened. One that is slow has.
func TestHangAndSlow(t *testing.T) {
	events := make(chan Event, 10)
	d := New(func(e Event) { events <- e })
	n := create(t, d, d.Root(), "f")
	flush(t, d, d.Root())
	d.Arm(Plan{Call: Flush, Times: -1, Slow: time.Millisecond, CutAfter: -1})
	write(t, d, n, 0, sectorsOf(1, 1))
	began := time.Now()
	if flush(t, d, n); time.Since(began) < time.Millisecond {
		t.Error("it was not slow")
	}
	flush(t, d, n)
	if e := <-events; e.What != "fault" || e.Call != Flush || len(events) > 0 {
		t.Errorf("told of %+v and of %d more", e, len(events))
	}
	d.Arm(Plan{Call: Flush, Hang: true, CutAfter: -1})
	write(t, d, n, 0, sectorsOf(2, 1))
	answer := make(chan syscall.Errno, 1)
	go func() { answer <- d.Flush(n) }()
	<-events
	if got := content(d, n); got[0] != 2 {
		t.Error("a flush that hangs keeps others from reading")
	}
	d.Cut()
	left, counts := d.Restore(Drop, 1)
	if got := content(left, left.Lookup(left.Root(), "f")); !bytes.Equal(got, sectorsOf(1, 1)) || counts.Unflushed != 1 {
		t.Error("a flush that never ended has been made")
	}
	d.Release()
	if errno := <-answer; errno != syscall.EIO {
		t.Errorf("answered %v", errno)
	}
}
