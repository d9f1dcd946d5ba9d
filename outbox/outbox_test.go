package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/outbox/store"
)

func sequences(ds []Delivery) (seqs []uint64) {
	for _, d := range ds {
		seqs = append(seqs, d.Sequence)
	}
	return seqs
}

// revived names a dead delivery that is ordered again, at an instant.
func revived(id string, force bool, at time.Time) Delivery {
	d := Delivery{Force: force, Owed: at}
	d.WebhookID, d.Endpoint, _ = SplitID(id)
	return d
}

func (r *rig) revive(t *testing.T, id string, force bool) {
	t.Helper()
	r.update(t, func(tx *store.Tx) error {
		return r.Revive(tx, revived(id, force, r.o.Now()), func(DeadDelivery) bool { return true }, func(DeadDelivery) ([]byte, error) { return nil, nil })
	})
}

func (r *rig) end(t *testing.T, d Delivery, how Outcome, reason string) {
	t.Helper()
	r.settle(t, Attempt{Delivery: d, Outcome: how, Reason: reason, At: r.o.Now()})
}

// I3: one that is forced does not open the door for those behind it.
func TestForcedDoesNotHideTheOvertaken(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Now: newClock().now}, Endpoint{ID: "a"})
	r.put(t, change("a", "x", 2), change("a", "x", 3), change("a", "x", 5))
	for range 2 {
		r.end(t, r.claim(t, "a", 9)[0], Died, "refused")
	}
	five := r.claim(t, "a", 9)[0]
	r.revive(t, "evt_x-3@a", false) // 5 is not delivered yet
	r.revive(t, "evt_x-2@a", true)
	r.end(t, five, Done, "")
	r.audit(t)
	two := r.claim(t, "a", 9)
	if len(two) != 1 || two[0].Sequence != 2 {
		t.Fatalf("claimed %+v, want the forced 2", two)
	}
	r.end(t, two[0], Done, "")
	if ds := r.claim(t, "a", 9); len(ds) != 0 {
		t.Errorf("%d is claimed although 5 has been delivered and nobody forces it", ds[0].Sequence)
	}
	if d, err := r.FindDead("evt_x-3@a"); err != nil || d.Reason != Overtaken {
		t.Errorf("3 is %+v, %v; want overtaken", d, err)
	}
	r.audit(t)
}

// One delivery that is owed already is owed once, even where nothing more may be owed.
func TestPutTwice(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Now: newClock().now}, Endpoint{ID: "a", MaxOwed: 2})
	one, two, three := change("a", "x", 1), change("a", "x", 2), change("a", "x", 3)
	r.put(t, one, one, two)
	r.put(t, one, two)
	r.audit(t)
	if r.Owed("a") != 2 || r.Dead("a") != 0 {
		t.Errorf("%d owed, %d dead; want 2, 0", r.Owed("a"), r.Dead("a"))
	}
	r.put(t, three, three) // too many: the oldest is put down for it, once, without its body
	r.audit(t)
	if d, err := r.FindDead(one.ID()); err != nil || d.Reason != Overflow || d.HasBody || r.Dead("a") != 1 {
		t.Errorf("%+v, %v; %d dead, want one of overflow without a body", d, err, r.Dead("a"))
	}
	if got := r.metric(t, "outbox_dead_lettered_total", Overflow); got == 0 {
		t.Error("the overflow is not counted")
	}
}

// I3: a lane's deliveries are claimed one at a time and in order, whatever happens to the one
// before.
func TestLaneOrder(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	r.put(t, change("a", "x", 7), change("a", "x", 2), change("a", "x", 4)) // not that a fold would
	f := func(want ...uint64) []Delivery {
		t.Helper()
		ds := r.claim(t, "a", 9)
		if !slices.Equal(sequences(ds), want) {
			t.Fatalf("claimed %v, want %v", sequences(ds), want)
		}
		if again := r.claim(t, "a", 9); len(again) != 0 {
			t.Fatalf("claimed %v of a lane in flight", sequences(again))
		}
		return ds
	}
	first := f(7)[0] // it was alone when it was put
	r.Release(first)
	r.settle(t, Attempt{Delivery: f(7)[0], Outcome: Retry, Reason: "busy", Code: 503, At: c.now(), Retry: c.now().Add(time.Minute)})
	f()
	c.add(time.Minute)
	d := f(7)[0]
	if d.Failures != 1 || !d.FirstFailure.Equal(base) || string(d.Body) != string(first.Body) {
		t.Errorf("the second attempt is %+v", d)
	}
	r.end(t, d, Died, "refused")
	r.end(t, f(2)[0], Done, "")
	r.end(t, f(4)[0], Done, "")
	f()
	if tries, err := r.Tries("a", "x", 7); err != nil || len(tries) != 2 || tries[0] != (Try{At: base, Outcome: Retry, Reason: "busy", Code: 503}) || tries[1].Reason != "refused" {
		t.Errorf("Tries = %+v, %v", tries, err)
	}
}

// I6: what is due, leased or endless at one endpoint does not show at another.
func TestEndpointsAreApart(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"}, Endpoint{ID: "a-b"}, Endpoint{ID: "b"})
	for i := range 500 {
		r.put(t, change("a", fmt.Sprint("s", i), 1))
	}
	c.add(time.Second)
	r.put(t, change("b", "s1", 1), change("a-b", "s1", 1))
	f := func(endpoint string, n, want int) {
		t.Helper()
		if ds := r.claim(t, endpoint, n); len(ds) != want || slices.ContainsFunc(ds, func(d Delivery) bool { return d.Endpoint != endpoint }) {
			t.Errorf("claimed %d of %s, want %d: %+v", len(ds), endpoint, want, ds)
		}
	}
	f("a", 500, 500) // all in flight
	f("b", 9, 1)
	f("a-b", 9, 1)
	f("a", 9, 0)
	if r.Owed("a") != 500 || r.Owed("b") != 1 || r.Owed("c") != 0 || r.Dead("c") != 0 {
		t.Errorf("owed: %d, %d, %d", r.Owed("a"), r.Owed("b"), r.Owed("c"))
	}
}

func TestClaimSaysWhenTheNextIsDue(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	f := func(n, want int, wantNext time.Time) []Delivery {
		t.Helper()
		ds, next, err := r.Claim("a", Turn{Max: n, Failed: n})
		if err != nil || len(ds) != want || !next.Equal(wantNext) {
			t.Fatalf("Claim = %d, %v, %v; want %d, %v", len(ds), next, err, want, wantNext)
		}
		return ds
	}
	f(9, 0, time.Time{})
	r.put(t, change("a", "x", 1), change("a", "y", 1), change("a", "z", 1))
	f(0, 0, base)
	ds := f(2, 2, base)
	f(9, 1, time.Time{}) // the rest; what is leased does not count
	r.settle(t, Attempt{Delivery: ds[0], Outcome: Retry, At: base, Retry: base.Add(time.Hour)}, Attempt{Delivery: ds[1], Outcome: Retry, At: base, Retry: base.Add(time.Minute)})
	f(9, 0, base.Add(time.Minute))
	if at := r.OldestDue("a"); !at.Equal(base) { // z, in flight
		t.Errorf("OldestDue = %v", at)
	}
	c.add(time.Minute)
	f(9, 1, base.Add(time.Hour))
}

func TestWake(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"}, Endpoint{ID: "b"})
	f := func(what string, want bool) {
		t.Helper()
		select {
		case <-r.Wake("a"):
			if !want {
				t.Errorf("%s: woken for nothing", what)
			}
		default:
			if want {
				t.Errorf("%s: not woken", what)
			}
		}
	}
	f("the start", true)
	f("nothing", false)
	r.put(t, change("b", "x", 1))
	f("another endpoint's", false)
	r.put(t, change("a", "x", 1))
	f("a new head", true)
	r.put(t, change("a", "x", 2))
	f("one behind a head", false)
	ds := r.claim(t, "a", 1)
	r.Release(ds...)
	f("a lease given back", true)
	r.end(t, r.claim(t, "a", 1)[0], Done, "")
	f("the next head", true)
	if err := r.s.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(r.Put(tx, change("a", "y", 1)), errors.New("undone"))
	}); err == nil {
		t.Error("not undone")
	}
	f("what was rolled back", false)
	if r.Owed("a") != 1 {
		t.Errorf("%d owed after a rollback, want 1", r.Owed("a"))
	}
}

func TestSettleNothingThenFlush(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	r.Settle()
	r.flush(t)
	r.put(t, change("a", "x", 1))
	d := r.claim(t, "a", 1)[0]
	r.Settle(Attempt{Delivery: d, Outcome: Done})
	r.Settle(Attempt{Delivery: d, Outcome: Died}) // twice is once: the first counts
	r.flush(t)
	r.audit(t)
	if r.Owed("a") != 0 || r.Dead("a") != 0 {
		t.Errorf("%d owed, %d dead; want none", r.Owed("a"), r.Dead("a"))
	}
}

// Settle returns at once and Flush waits for the disk; when the store stops, nobody goes on trying.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
		r.put(t, change("a", "x", 1), change("a", "x", 2))
		d := r.claim(t, "a", 1)[0]
		in, out := make(chan struct{}), make(chan struct{})
		go r.s.Update(t.Context(), func(*store.Tx) error { close(in); <-out; return nil })
		<-in
		r.Settle(Attempt{Delivery: d, Outcome: Done})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush = %v while the disk is busy", err)
		}
		if len(r.claim(t, "a", 9)) != 0 {
			t.Error("the lane is free before the disk has it")
		}
		close(out)
		r.flush(t)
		if ds := r.claim(t, "a", 9); len(ds) != 1 || ds[0].Sequence != 2 {
			t.Errorf("claimed %v, want 2", sequences(ds))
		}
	})
	s, err := store.Open(store.Options{Dir: fastDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Store: s, Logger: discard}, []Endpoint{{ID: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	b.Settle(Attempt{Delivery: change("a", "x", 1), Outcome: Done})
	s.Close() // it never ran
	b.Settle(Attempt{Delivery: change("a", "x", 2), Outcome: Done})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Flush(ctx); err == nil {
		t.Error("flushed to a stopped store")
	}
}

// Many dispatchers at once, with failures: in order within every lane, never two of one in flight,
// and in the end everything has ended.
func TestManyDispatchers(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"}, Endpoint{ID: "b"})
	const subjects, changes, workers = 20, 15, 4
	var mu sync.Mutex // guards those below
	flying, last, ended := map[laneID]bool{}, map[laneID]uint64{}, 0
	over := make(chan struct{})
	attempt := func(d Delivery) {
		mu.Lock()
		defer mu.Unlock()
		id := laneID{d.Endpoint, d.Lane}
		delete(flying, id)
		a := Attempt{Delivery: d, Outcome: Done, At: time.Now()}
		if d.Failures < int(d.Sequence%3) {
			a.Outcome, a.Retry = Retry, time.Now()
		} else {
			last[id] = d.Sequence
			if ended++; ended == 2*subjects*changes {
				defer close(over)
			}
		}
		r.Settle(a)
	}
	var wg sync.WaitGroup
	for _, e := range []string{"a", "b"} {
		for range workers {
			wg.Go(func() {
				for !t.Failed() {
					ds, _, err := r.Claim(e, Turn{Max: 3, Failed: 3})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, d := range ds {
						id := laneID{d.Endpoint, d.Lane}
						if flying[id] || d.Sequence != last[id]+1 {
							t.Errorf("%v: %d after %d, in flight %v", id, d.Sequence, last[id], flying[id])
						}
						flying[id] = true
					}
					mu.Unlock()
					for _, d := range ds {
						attempt(d)
					}
					if len(ds) > 0 {
						continue
					}
					select {
					case <-r.Wake(e):
					case <-over:
						return
					}
				}
			})
		}
	}
	for seq := uint64(1); seq <= changes; seq++ {
		for s := range subjects {
			lane := fmt.Sprint("s", s)
			r.put(t, change("a", lane, seq), change("b", lane, seq))
		}
	}
	wg.Wait()
	r.flush(t)
	r.audit(t)
	if r.Owed("a")+r.Owed("b")+r.Dead("a")+r.Dead("b") != 0 {
		t.Errorf("owed %d and %d, dead %d and %d", r.Owed("a"), r.Owed("b"), r.Dead("a"), r.Dead("b"))
	}
}
