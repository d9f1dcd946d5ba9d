package outbox

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"countersign/outbox/store"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// I9: what is owed lives on disk. A claim out of a hundred thousand lanes costs what one out of a
// hundred costs, and memory holds leases only.
func TestHundredThousandOwed(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Now: newClock().now}, Endpoint{ID: "few"}, Endpoint{ID: "many"}, Endpoint{ID: "one-lane"})
	owe := func(n int, of func(i int) Delivery) {
		for done := 0; done < n; done += 2000 {
			r.update(t, func(tx *store.Tx) error {
				for i := done; i < min(n, done+2000); i++ {
					if err := r.Put(tx, of(i)); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	owe(100, func(i int) Delivery { return change("few", fmt.Sprintf("s%06d", i), 1) })
	before := heap()
	owe(50_000, func(i int) Delivery { return change("many", fmt.Sprintf("s%06d", i), 1) })
	owe(50_000, func(i int) Delivery { return change("one-lane", "s", uint64(i+1)) })
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes with 100,000 deliveries owed", grown)
	}
	r = r.again(t, Endpoint{ID: "few"}, Endpoint{ID: "many"}, Endpoint{ID: "one-lane"})
	if r.Owed("many") != 50_000 || r.Owed("one-lane") != 50_000 {
		t.Fatalf("owed: %d, %d", r.Owed("many"), r.Owed("one-lane"))
	}
	var ds []Delivery
	few := allocated(func() { ds = r.claim(t, "few", 50) })
	r.Release(ds...)
	many := allocated(func() { ds = r.claim(t, "many", 50) })
	if len(ds) != 50 || many > 2*few+1<<16 {
		t.Errorf("claiming 50 of 100 allocates %d bytes, of 50,000 %d", few, many)
	}
	r.Release(ds...)
	if n := testing.AllocsPerRun(10, func() {
		ds = r.claim(t, "one-lane", 50)
		r.Release(ds...)
	}); len(ds) != 1 || n > 100 {
		t.Errorf("claimed %d of one lane with %v allocations", len(ds), n)
	}
	leased := r.claim(t, "many", 3_000)
	as := make([]Attempt, 0, len(leased))
	for i, d := range leased {
		as = append(as, Attempt{Delivery: d, Outcome: []Outcome{Done, Retry, Died}[i%3], Reason: "busy", At: base, Retry: base.Add(time.Hour)})
	}
	leased = nil
	r.settle(t, as...)
	r.audit(t)
	if r.Owed("many") != 50_000-1000-1000 || r.Dead("many") != 1000 {
		t.Errorf("%d owed, %d dead", r.Owed("many"), r.Dead("many"))
	}
	as, ds = nil, nil
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("after 3,000 attempts the heap has grown by %d bytes", grown)
	}
	runtime.KeepAlive(as)
	runtime.KeepAlive(ds)
	runtime.KeepAlive(leased)
}

// The gauges read what is kept, also for an endpoint that owes nothing.
func TestGauges(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a", MaxOwed: 5}, Endpoint{ID: "b"})
	f := func(name, endpoint string, want float64) {
		t.Helper()
		if got := r.metric(t, name, endpoint); got != want {
			t.Errorf("%s of %s = %v, want %v", name, endpoint, got, want)
		}
	}
	for _, e := range []string{"a", "b"} {
		f("outbox_pending_deliveries", e, 0)
		f("outbox_dead_lettered_deliveries", e, 0)
		f("outbox_oldest_due_seconds", e, 0)
		f("outbox_oldest_withheld_rejection_seconds", e, 0)
	}
	f("outbox_max_pending_deliveries", "a", 5)
	r.put(t, change("a", "x", 3), change("a", "y", 1))
	c.add(10 * time.Second)
	f("outbox_pending_deliveries", "a", 2)
	f("outbox_oldest_due_seconds", "a", 10)
	f("outbox_oldest_withheld_rejection_seconds", "a", 7) // owed since base + 3 s
	r.end(t, r.claim(t, "a", 1)[0], Died, "refused")
	f("outbox_pending_deliveries", "a", 1)
	f("outbox_dead_lettered_deliveries", "a", 1)
	f("outbox_oldest_withheld_rejection_seconds", "a", 7) // it is dead, and nobody has been told
	f("outbox_pending_deliveries", "b", 0)
}
