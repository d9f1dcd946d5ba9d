package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestGrowth: a small heap may grow fourfold, a large one to a bound, and a very large one by a
// third.
func TestGrowth(t *testing.T) {
	for live, want := range map[uint64]int{
		0: mostPercent, 1: mostPercent, 8 << 20: mostPercent, 14 << 20: mostPercent, 16 << 20: 250, 28 << 20: 100, 40 << 20: 40, 48 << 20: leastGrowth, mostInAll: leastGrowth, 100 * mostInAll: leastGrowth,
	} {
		if got := growth(live); got != want {
			t.Errorf("%d living bytes may grow by %d %%, want %d", live, got, want)
		}
	}
}

// TestCollector: what a flood made the heap hold does not count fourfold when it is over.
func TestCollector(t *testing.T) {
	was := debug.SetGCPercent(100)
	c := tend()
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
