package group

import (
	"testing"
	"time"
)

// TestFence: it counts from when was asked, and only for the assignment that is the last.
func TestFence(t *testing.T) {
	var now time.Duration
	f := NewFence(FenceOptions{Session: 30 * time.Second, Clock: func() time.Duration { return now }})
	is := func(seconds int, want bool) {
		t.Helper()
		if now = time.Duration(seconds) * time.Second; f.Open() != want {
			t.Errorf("after %v it is open: %v", now, !want)
		}
	}
	is(0, false)
	f.Extend(-1, 0)
	f.Extend(0, 0)
	is(1, false) // nobody was given anything
	f.Begin(7)
	is(2, false) // and was not asked since
	f.Extend(7, 10*time.Second)
	is(36, true)
	is(37, false) // 10 and 30, less 3
	f.Extend(7, 20*time.Second)
	is(46, true)
	is(47, false)
	f.Extend(7, 15*time.Second) // an answer that comes late
	is(46, true)
	f.Extend(6, 40*time.Second) // of what was before
	f.Extend(8, 40*time.Second)
	is(47, false)
	f.Extend(7, 40*time.Second) // nobody else was given it, or it would not have been answered
	is(66, true)
	f.End(6)
	is(66, true)
	f.End(7)
	is(50, false)
	f.Extend(7, 49*time.Second) // an answer to what was sent before it ended
	is(50, false)
	f.Begin(8)
	f.Extend(8, 50*time.Second)
	is(76, true)
	f.Extend(7, 60*time.Second)
	is(77, false)
	f.Extend(8, 60*time.Second)
	is(77, true)
	f.Shut()
	is(77, false)
	f.Extend(8, 60*time.Second)
	is(77, false)
	if f.Session() != 30*time.Second || f.Now() != 77*time.Second {
		t.Error(f.Session(), f.Now())
	}
}

// TestBootTime: it goes on.
func TestBootTime(t *testing.T) {
	f := NewFence(FenceOptions{Session: time.Hour})
	before := f.Now()
	f.Begin(1)
	if f.Extend(1, before-time.Hour); f.Open() {
		t.Error("open after an hour")
	}
	if f.Extend(1, before); !f.Open() || before <= 0 {
		t.Errorf("shut after %v", before)
	}
	if after := f.Now(); after < before {
		t.Errorf("%v, then %v", before, after)
	}
}
