package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestGrowth: a small heap may grow fourfold, a large one to a bound, and a very large one by a
// third.
func TestGrowth(t *testing.T) {
	for live, want := range map[uint64]int{
		0: mostPercent, 1: mostPercent, 8 << 20: mostPercent, 14 << 20: mostPercent, 16 << 20: 250, 28 << 20: 100, 40 << 20: 40, 48 << 20: leastGrowth, mostInAll: leastGrowth, 100 * mostInAll: leastGrowth,
	} {
		if got := growth(live, 0); got != want {
			t.Errorf("%d living bytes may grow by %d %%, want %d", live, got, want)
		}
	}
}

// TestGrowthWhereItIsBusy: where garbage comes fast there may be more of it, within bounds; where it
// comes slower than what there may be anyway, that is what counts.
func TestGrowthWhereItIsBusy(t *testing.T) {
	const mib = 1 << 20
	f := func(live, soon, want uint64) {
		t.Helper()
		got := uint64(growth(live*mib, soon*mib)) * live / 100
		if got+1 < want || got > want {
			t.Errorf("%d MiB that live may have %d MiB of garbage where %d are made, want %d", live, got, soon, want)
		}
	}
	f(20, 0, 36)
	f(20, 30, 36)
	f(20, 50, 50)
	f(20, 84, 84)
	f(20, 1000, 84) // 104 in all
	f(4, 60, 60)
	f(4, 1000, 100)
	f(24, 1000, 80)
	f(30, 1000, 56) // each that lives more is four of garbage less
	f(38, 1000, 24)
	f(40, 1000, 16) // as if it were not busy
	f(40, 0, 16)
	f(200, 1000, 60)
}

// TestSoon: garbage comes fast when it has for a second, at the rate at which it came last.
func TestSoon(t *testing.T) {
	const ms, mib = time.Millisecond, 1 << 20
	now, made := time.Now(), uint64(0)
	c := &collector{busy: true, last: now}
	f := func(after time.Duration, more, want uint64) {
		t.Helper()
		now, made = now.Add(after), made+more*mib
		if got := c.soon(made, now); got != want*mib {
			t.Errorf("%d MiB within %v: %d are to come, want %d", more, after, got/mib, want)
		}
	}
	f(200*ms, 40, 0)
	f(200*ms, 40, 0)
	f(400*ms, 40, 0)
	f(200*ms, 40, 80)
	f(400*ms, 80, 80)
	f(800*ms, 80, 40)
	f(100*ms, 10, 40)
	f(900*ms, 80, 0) // it is not busy any more
	f(200*ms, 40, 0)
	f(800*ms, 40, 20)
	f(0, 0, 0)
	c.busy = false
	f(200*ms, 40, 0)
	f(800*ms, 40, 0)
}

// TestBusyCollector: it is the process's own garbage that makes it busy, and no longer than it comes;
// where there is little memory it counts for nothing.
func TestBusyCollector(t *testing.T) {
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	var garbage []byte
	work := func() {
		for range 512 {
			garbage = make([]byte, 1<<20)
		}
	}
	c := tend(roomy)
	eventually(t, "it may have more", func() bool {
		work()
		return c.percent.Load() > mostPercent
	})
	eventually(t, "it may not when it has calmed down", func() bool {
		runtime.GC()
		return c.percent.Load() <= mostPercent
	})
	c.stop()
	runtime.GC()
	little := tend(roomy - 1)
	defer little.stop()
	for range 4 {
		work()
		if got := little.percent.Load(); got > mostPercent {
			t.Fatalf("with little memory it may grow by %d %%", got)
		}
	}
	runtime.KeepAlive(garbage)
}

// TestCollector: what a flood made the heap hold does not count fourfold when it is over.
func TestCollector(t *testing.T) {
	was := debug.SetGCPercent(100)
	c := tend(0)
	defer func() {
		c.stop()
		debug.SetGCPercent(was)
	}()
	func() {
		held := make([][]byte, 320)
		for i := range held {
			held[i] = make([]byte, 1<<20)
		}
		eventually(t, "a large heap may grow by a third", func() bool {
			runtime.GC()
			return c.percent.Load() == leastGrowth
		})
		runtime.KeepAlive(held)
	}()
	eventually(t, "a small one fourfold again", func() bool {
		runtime.GC()
		return c.percent.Load() > 100
	})
}

// TestQuiet: memory is given back when it is quiet and there is something to give; that it comes down
// is what make isolation measures in a process of its own, for here other tests make it busy.
func TestQuiet(t *testing.T) {
	for _, c := range []struct {
		allocated, unused uint64
		want              bool
	}{
		{0, worthIt + 1, true}, {quietRate - 1, 10 * worthIt, true}, {quietRate, 10 * worthIt, false}, {0, worthIt, false}, {10 * quietRate, 0, false},
	} {
		if got := quiet(c.allocated, c.unused); got != c.want {
			t.Errorf("%d allocated, %d unused: %v, want %v", c.allocated, c.unused, got, c.want)
		}
	}
}
