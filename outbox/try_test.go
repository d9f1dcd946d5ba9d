package outbox

import (
	"testing"
	"time"

	"countersign/outbox/store"
)

// TestLastTry: the try before this one, of this life of the delivery, if it was written down.
func TestLastTry(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	r.put(t, change("a", "x", 1), change("a", "x", 2), change("a", "y", 1))
	c.add(time.Minute)
	take := func() Delivery {
		t.Helper()
		for _, d := range r.claim(t, "a", 9) {
			if d.Lane == "x" {
				return d
			}
			r.Release(d)
		}
		t.Fatal("nothing of the lane is due")
		return Delivery{}
	}
	f := func(d Delivery, want string, times int) {
		t.Helper()
		if last, ok := r.LastTry(&d); ok != (want != "") || last.Reason != want || last.RefusedTimes != times || times > 0 && !last.RefusedSince.Equal(base) {
			t.Errorf("after %d failures the last try is %+v, %v; want %q and %d refusals", d.Failures, last, ok, want, times)
		}
		if !r.HasNext(&d) {
			t.Error("nothing waits behind it")
		}
	}
	fail := func(d Delivery, a Attempt) {
		t.Helper()
		a.Delivery, a.Outcome, a.At, a.Retry = d, Retry, c.now(), c.now()
		r.settle(t, a)
	}
	d := take()
	f(d, "", 0)
	fail(d, Attempt{Reason: "http_4xx", Took: 1500 * time.Microsecond, RefusedSince: base, RefusedTimes: 2})
	d = take()
	f(d, "http_4xx", 2)
	if last, _ := r.LastTry(&d); !last.End().Equal(base.Add(time.Minute + 1500*time.Microsecond)) {
		t.Errorf("it ended at %v", last.End())
	}
	fail(d, Attempt{Reason: "timeout"})
	d = take()
	f(d, "timeout", 0)
	r.settle(t, Attempt{Delivery: d, Outcome: Died, Reason: "exhausted", At: c.now()})
	last := take()
	if last.Sequence != 2 || r.HasNext(&last) {
		t.Errorf("something waits behind %d, the last one", last.Sequence)
	}
	r.Release(last)

	c.add(time.Minute)
	r.update(t, func(tx *store.Tx) error {
		return r.Revive(tx, revived("evt_x-1@a", true, r.o.Now()), func(DeadDelivery) bool { return true }, nil)
	})
	again := Delivery{Endpoint: "a", Lane: "x", Sequence: 1, Failures: 2, Owed: c.now()}
	f(again, "", 0) // what is written there is of its life before
	again.Owed = base
	f(again, "timeout", 0)
}
