package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestGrowth: a small heap may grow fourfold, a large one by a bound, and a very large one by half.
func TestGrowth(t *testing.T) {
	for live, want := range map[uint64]int{
		0: mostPercent, 1: mostPercent, mostGarbage / 4: mostPercent, mostGarbage / 3: mostPercent, mostGarbage: 100, 2 * mostGarbage: 50, 3 * mostGarbage: 33, 100 * mostGarbage: leastGrowth,
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
		eventually(t, "a large heap may grow by a quarter", func() bool {
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
