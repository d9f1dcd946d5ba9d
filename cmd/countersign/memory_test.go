package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
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

// TestEase: what a burst has made the heap hold is given back to the machine when it is quiet.
func TestEase(t *testing.T) {
	mapped := func() uint64 { // of the heap, and not given back
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64() + s[1].Value.Uint64() + s[2].Value.Uint64()
	}
	debug.FreeOSMemory()
	before := mapped()
	held := make([][]byte, 200)
	for i := range held {
		held[i] = make([]byte, 1<<20)
	}
	if burst := mapped(); burst < before+190<<20 {
		t.Fatalf("the burst holds %d MiB, %d before", burst>>20, before>>20)
	}
	runtime.KeepAlive(held)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ease(ctx, 20*time.Millisecond) }()
	eventually(t, "most of it is given back", func() bool { return mapped() < before+100<<20 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
