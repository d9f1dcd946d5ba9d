package outbox

import (
	"fmt"
	"testing"
	"time"

	"countersign/outbox/store"
)

// fails claims all that is due at a and has each tried again after a while of its own.
func (r *rig) fails(t *testing.T, retry func(d *Delivery) time.Time) {
	t.Helper()
	for _, d := range r.claim(t, "a", 1000) {
		r.settle(t, Attempt{Delivery: d, Outcome: Retry, At: r.o.Now(), Retry: retry(&d)})
	}
}

// An endpoint that is down and is owed three: nothing is due, and the wait is seen all the same,
// also of one that is in flight, also over a restart.
func TestOldestPending(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"}, Endpoint{ID: "a-b"})
	f := func(want time.Time) {
		t.Helper()
		if at := r.OldestPending("a"); !at.Equal(want) {
			t.Errorf("OldestPending = %v, want %v", at, want)
		}
	}
	put := func(endpoint, lane string, seq uint64) {
		t.Helper()
		d := change(endpoint, lane, seq)
		d.Owed = c.now()
		r.put(t, d)
	}
	f(time.Time{})
	put("a-b", "x", 1)
	f(time.Time{})
	c.add(time.Second)
	put("a", "x", 1)
	f(base.Add(time.Second)) // never tried
	r.fails(t, func(*Delivery) time.Time { return c.now().Add(time.Hour) })
	c.add(time.Minute)
	put("a", "x", 2)
	put("a", "y", 1)
	r.fails(t, func(*Delivery) time.Time { return c.now().Add(time.Minute) })
	if due := r.OldestDue("a"); !due.IsZero() {
		t.Errorf("OldestDue = %v: this test is about what is not", due)
	}
	f(base.Add(time.Second))
	if got := r.metric(t, "outbox_oldest_pending_seconds", "a"); got != 60 {
		t.Errorf("the metric says %v, want 60", got)
	}
	c.add(2 * time.Hour)
	r = r.again(t, Endpoint{ID: "a"})
	f(base.Add(time.Second))
	ds := r.claim(t, "a", 9)
	f(base.Add(time.Second)) // both in flight
	for _, d := range ds {
		r.settle(t, Attempt{Delivery: d, Outcome: Done, At: c.now()})
	}
	f(base.Add(time.Second + time.Minute)) // the second one of x
	r.end(t, r.claim(t, "a", 9)[0], Done, "")
	f(time.Time{})
}

// Where more have failed than one call looks at, all have been seen after a few; what has ended is
// never named.
func TestOldestPendingOfMany(t *testing.T) {
	const lanes = 5*oldestLook + 7
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	owed := func(i int) time.Time { return base.Add(-time.Duration(i) * time.Second) }
	for i := range lanes {
		d := change("a", fmt.Sprintf("s%03d", i), 1)
		d.Owed, d.Restrictive = owed(i), i%3 == 0
		r.put(t, d)
	}
	// The oldest is tried again last of all.
	r.fails(t, func(d *Delivery) time.Time { return c.now().Add(time.Hour - d.Owed.Sub(base)) })
	reads := func(want time.Time, calls int) {
		t.Helper()
		var at time.Time
		for range calls {
			if at = r.OldestPending("a"); at.Before(want) {
				t.Fatalf("OldestPending = %v, which has ended; want %v", at, want)
			}
		}
		if !at.Equal(want) {
			t.Errorf("after %d calls OldestPending = %v, want %v", calls, at, want)
		}
	}
	all := lanes/oldestLook + 1
	reads(owed(lanes-1), all)
	reads(owed(lanes-1), 1)
	c.add(24 * time.Hour)
	for _, d := range r.claim(t, "a", lanes) {
		if d.Owed.Equal(owed(lanes - 1)) {
			r.end(t, d, Done, "")
		}
	}
	reads(owed(lanes-2), all)
}
