package outbox

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"countersign/outbox/store"
)

// ends is a hook that keeps how deliveries ended.
type ends struct{ list []string }

func (e *ends) settled(_ *store.Tx, a Attempt) error {
	e.list = append(e.list, fmt.Sprintf("%s %s %s %s", a.Delivery.ID(), a.Outcome, a.Reason, a.Because))
	return nil
}

func (e *ends) last() string {
	if len(e.list) == 0 {
		return ""
	}
	return e.list[len(e.list)-1]
}

func steerRig(t *testing.T) (*rig, *clock, *ends) {
	t.Helper()
	c, e := newClock(), &ends{}
	return startRig(t, store.Options{}, Options{Now: c.now, Settled: e.settled}, Endpoint{ID: "a"}), c, e
}

// failOnce has what is first of a lane fail, and be tried again in an hour.
func (r *rig) failOnce(t *testing.T, c *clock) {
	t.Helper()
	for _, d := range r.claim(t, "a", 9) {
		r.settle(t, Attempt{Delivery: d, Outcome: Retry, Reason: "http_5xx", Code: 500, At: c.now(), Took: time.Second, Retry: c.now().Add(time.Hour)})
	}
}

// TestRetryNow: the head of a lane is due now, with what it has failed so far, whichever delivery of
// the lane is named; not while it is under way, and not if nothing is owed.
func TestRetryNow(t *testing.T) {
	r, c, _ := steerRig(t)
	r.put(t, change("a", "x", 1), change("a", "x", 2))
	c.add(time.Minute)
	r.failOnce(t, c)
	for _, seq := range []uint64{2, 1, 1} {
		h, err := r.RetryNow(t.Context(), "a", "x", seq)
		if err != nil || h.Head != "evt_x-1@a" || h.Failures != 1 || h.InFlight || !h.Due.Equal(c.now()) || h.Moved != (seq == 2) {
			t.Errorf("retry %d: %+v, %v", seq, h, err)
		}
		r.audit(t)
	}
	ds := r.claim(t, "a", 9)
	if len(ds) != 1 || ds[0].Sequence != 1 || ds[0].Failures != 1 {
		t.Fatalf("claimed %+v", ds)
	}
	if h, err := r.RetryNow(t.Context(), "a", "x", 2); err != nil || !h.InFlight || h.Moved {
		t.Errorf("under way: %+v, %v", h, err)
	}
	r.settle(t, Attempt{Delivery: ds[0], Outcome: Done, At: c.now()})
	for _, seq := range []uint64{1, 9} {
		if _, err := r.RetryNow(t.Context(), "a", "x", seq); !errors.Is(err, ErrNotFound) {
			t.Errorf("retry %d: %v", seq, err)
		}
	}
	r.audit(t)
}

// TestRetryAll: what waits for its next try is due, in the order in which it would have been, and
// what is due soon anyway, or has never failed, stays as it is.
func TestRetryAll(t *testing.T) {
	r, c, _ := steerRig(t)
	const lanes = 7
	for i := range lanes {
		r.put(t, change("a", fmt.Sprint("lane-", i), 1))
		c.add(time.Minute)
		r.failOnce(t, c)
	}
	r.put(t, change("a", "fresh", 1))
	if n, more, err := r.RetryAll(t.Context(), "a", 3); n != 3 || !more || err != nil {
		t.Fatalf("3 of 7: %d, %v, %v", n, more, err)
	}
	n, more, err := r.RetryAll(t.Context(), "a", 1000)
	if n != lanes-3 || more || err != nil {
		t.Fatalf("the others: %d, %v, %v", n, more, err)
	}
	r.audit(t)
	c.add(time.Second)
	ds := r.claim(t, "a", 100)
	if len(ds) != lanes+1 {
		t.Fatalf("%d are due", len(ds))
	}
	if n, _, err := r.RetryAll(t.Context(), "a", 1000); n != 0 || err != nil { // all is under way
		t.Errorf("under way: %d, %v", n, err)
	}
}

// TestSkip: only what holds a lane up is put down, and the next goes on, also where it is under way.
func TestSkip(t *testing.T) {
	r, c, e := steerRig(t)
	r.put(t, change("a", "x", 1), change("a", "x", 2), change("a", "x", 3)) // 3 tells of a rejection
	c.add(time.Minute)
	r.failOnce(t, c)
	var behind *BehindError
	if _, err := r.Skip(t.Context(), "a", "x", 2); !errors.As(err, &behind) || behind.Head != "evt_x-1@a" {
		t.Fatalf("skip what waits: %v", err)
	}
	for again := range 2 {
		if known, err := r.Skip(t.Context(), "a", "x", 1); err != nil || known != (again == 1) {
			t.Fatalf("skip %d: %v, %v", again, known, err)
		}
		r.audit(t)
	}
	if d, err := r.FindDead("evt_x-1@a"); err != nil || d.Reason != ReasonSkipped || d.Failures != 1 || !d.HasBody || e.last() != "evt_x-1@a dead_lettered skipped " {
		t.Errorf("dead: %+v, %v; %q", d, err, e.last())
	}
	ds := r.claim(t, "a", 9)
	if len(ds) != 1 || ds[0].Sequence != 2 {
		t.Fatalf("the lane goes on with %+v", ds)
	}
	if _, err := r.Skip(t.Context(), "a", "x", 2); err != nil {
		t.Fatal(err)
	}
	if len(r.claim(t, "a", 9)) != 0 {
		t.Error("two of a lane are under way")
	}
	r.settle(t, Attempt{Delivery: ds[0], Outcome: Done, Reason: "http_2xx", Code: 200, At: c.now()}) // it arrived all the same
	r.audit(t)
	if _, err := r.FindDead("evt_x-2@a"); !errors.Is(err, ErrNotFound) || e.last() != "evt_x-2@a done http_2xx " {
		t.Errorf("what arrived is dead: %v; %q", err, e.last())
	}
	if _, err := r.Skip(t.Context(), "a", "x", 3); err != nil {
		t.Fatal(err)
	}
	r.audit(t)
	if list, _, err := r.ListWithheld("a", "", 9, false); err != nil || len(list) != 1 || list[0].Dead != ReasonSkipped {
		t.Errorf("withheld: %+v, %v", list, err)
	}
	if _, err := r.Skip(t.Context(), "a", "x", 9); !errors.Is(err, ErrNotFound) {
		t.Errorf("skip nothing: %v", err)
	}
	r.revive(t, "evt_x-1@a", false)
	r.audit(t)
}

// TestCancel: what is cancelled is nowhere but in the history, its lane goes on, and a rejection
// stays withheld.
func TestCancel(t *testing.T) {
	sure := Cancel{By: "otto", Because: "told by telephone", Force: true}
	f := func(name string, seq uint64, prepare func(r *rig, c *clock), left int) {
		t.Run(name, func(t *testing.T) {
			r, c, e := steerRig(t)
			r.put(t, change("a", "x", 1), change("a", "x", 2), change("a", "x", 3))
			c.add(time.Minute)
			prepare(r, c)
			if seq%3 == 0 {
				if err := r.Cancel(t.Context(), "a", "x", seq, Cancel{Because: "r"}); !errors.Is(err, ErrRestrictive) {
					t.Fatalf("without force: %v", err)
				}
			}
			if err := r.Cancel(t.Context(), "a", "x", seq, sure); err != nil {
				t.Fatal(err)
			}
			r.audit(t)
			if want := fmt.Sprintf("evt_x-%d@a cancelled cancelled told by telephone", seq); e.last() != want {
				t.Errorf("ended as %q, want %q", e.last(), want)
			}
			if err := r.Cancel(t.Context(), "a", "x", seq, sure); !errors.Is(err, ErrNotFound) {
				t.Errorf("again: %v", err)
			}
			r.revive(t, fmt.Sprintf("evt_x-%d@a", seq), true)
			list, _, err := r.ListWithheld("a", "", 9, false)
			if err != nil || len(list) != 1 || list[0].Sequence != 3 || (list[0].Dead == ReasonCancelled) != (seq == 3) {
				t.Errorf("withheld: %+v, %v", list, err)
			}
			sent := map[uint64]bool{}
			for range 3 {
				c.add(2 * time.Hour)
				for _, d := range r.claim(t, "a", 9) {
					sent[d.Sequence] = true
					r.settle(t, Attempt{Delivery: d, Outcome: Done, At: c.now()})
				}
			}
			if sent[seq] || len(sent) != left || r.Owed("a") != 0 {
				t.Errorf("sent: %v", sent)
			}
			r.audit(t)
		})
	}
	f("the head", 1, func(*rig, *clock) {}, 2)
	f("a head that has failed", 1, func(r *rig, c *clock) { r.failOnce(t, c) }, 2)
	f("one that waits", 2, func(*rig, *clock) {}, 2)
	f("a rejection that waits", 3, func(r *rig, c *clock) { r.failOnce(t, c) }, 2)
	f("a dead one", 1, func(r *rig, _ *clock) {
		if _, err := r.Skip(t.Context(), "a", "x", 1); err != nil {
			t.Fatal(err)
		}
	}, 2)
	f("a dead rejection", 3, func(r *rig, _ *clock) {
		for _, seq := range []uint64{1, 2, 3} {
			if _, err := r.Skip(t.Context(), "a", "x", seq); err != nil {
				t.Fatal(err)
			}
		}
	}, 0)
}

// TestCancelOfWhatIsUnderWay: what arrives all the same counts as delivered, and what does not is
// never tried again.
func TestCancelOfWhatIsUnderWay(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		r, c, e := steerRig(t)
		r.put(t, change("a", "x", 3), change("a", "x", 4))
		c.add(time.Minute)
		ds := r.claim(t, "a", 9)
		if err := r.Cancel(t.Context(), "a", "x", 3, Cancel{Because: "b", Force: true}); err != nil {
			t.Fatal(err)
		}
		r.audit(t)
		a := Attempt{Delivery: ds[0], Outcome: Retry, Reason: "http_5xx", Code: 500, At: c.now(), Retry: c.now()}
		want, withheld := "evt_x-3@a cancelled cancelled b", 1
		if arrives {
			a = Attempt{Delivery: ds[0], Outcome: Done, Reason: "http_2xx", Code: 200, At: c.now()}
			want, withheld = "evt_x-3@a done http_2xx ", 0
		}
		r.settle(t, a)
		r.audit(t)
		if list, _, err := r.ListWithheld("a", "", 9, false); err != nil || len(list) != withheld || e.last() != want {
			t.Errorf("arrives %v: ended as %q; withheld: %+v, %v", arrives, e.last(), list, err)
		}
		if ds = r.claim(t, "a", 9); len(ds) != 1 || ds[0].Sequence != 4 {
			t.Errorf("arrives %v: the lane goes on with %+v", arrives, ds)
		}
	}
}
