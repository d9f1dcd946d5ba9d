package outbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign/outbox/store"
)

// turn claims and says who was taken, and when the next is due.
func (r *rig) turn(t *testing.T, turn Turn) (names []string, ds []Delivery, next time.Time) {
	t.Helper()
	ds, next, err := r.Claim("a", turn)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		names = append(names, fmt.Sprint(d.Lane, d.Sequence))
	}
	return names, ds, next
}

// fail lets each of these fail, to be tried again after a while.
func (r *rig) fail(t *testing.T, after time.Duration, ds ...Delivery) {
	t.Helper()
	for _, d := range ds {
		r.settle(t, Attempt{Delivery: d, Outcome: Retry, Reason: "timeout", At: r.o.Now(), Retry: r.o.Now().Add(after)})
	}
}

// TestTurns: rejections are claimed before what is due for longer; of those that have failed as
// many as the turn has; and what waits for its turn only is no reason to look again.
func TestTurns(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	for i := range 4 {
		r.put(t, of(fmt.Sprint("f", i), 1, false))
	}
	_, ds, _ := r.turn(t, Turn{Max: 9})
	r.fail(t, time.Millisecond, ds...)
	c.add(2 * time.Second)
	r.put(t, of("x", 1, false), of("y", 1, false))
	c.add(time.Second)
	r.put(t, of("g", 1, true))
	c.add(time.Second)
	f := func(turn Turn, want ...string) {
		t.Helper()
		names, ds, next := r.turn(t, turn)
		if !slices.Equal(names, want) {
			t.Errorf("%+v takes %v, want %v", turn, names, want)
		}
		if len(want) < turn.Max && !next.IsZero() {
			t.Errorf("%+v: it is worth looking again at %v", turn, next)
		}
		r.Release(ds...)
	}
	f(Turn{Max: 9, Failed: 9}, "g1", "f01", "f11", "f21", "f31", "x1", "y1")
	f(Turn{Max: 9, Failed: 1}, "g1", "f01", "x1", "y1")
	f(Turn{Max: 9}, "g1", "x1", "y1")
	f(Turn{Max: 2, Failed: 9}, "g1", "f01")
	f(Turn{Max: 9, Failed: 9, Urgent: true}, "g1")
	f(Turn{Max: 9, Plain: true}, "x1", "y1")
	f(Turn{Max: 9, Failed: 9, Newest: true}, "g1", "y1", "x1")
	f(Turn{Max: 1, Plain: true, Newest: true}, "y1")
	f(Turn{Max: 0})
	r.audit(t)
}

// TestRejectionBehind: a rejection behind others of its person makes the whole lane urgent, and
// due; order stands (I3). When it is told, the lane is like any other.
func TestRejectionBehind(t *testing.T) {
	for _, restart := range []bool{false, true} {
		c := newClock()
		r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
		again := func() {
			if r.audit(t); restart {
				r = r.again(t, Endpoint{ID: "a"})
			}
		}
		r.put(t, of("ann", 1, false), of("bob", 1, false))
		_, ds, _ := r.turn(t, Turn{Max: 9})
		r.fail(t, 12*time.Hour, ds...)
		again()
		c.add(time.Minute)
		r.Rush("a")
		r.put(t, of("ann", 2, false))
		if names, _, _ := r.turn(t, Turn{Max: 9, Failed: 9}); len(names) > 0 || r.Rush("a") {
			t.Errorf("%v are due, want nothing: an approval waits its turn", names)
		}
		r.put(t, of("ann", 3, true))
		again()
		if !restart && !r.Rush("a") {
			t.Error("nobody is told that something is urgent")
		}
		r.put(t, of("cid", 1, false), of("ann", 4, false))
		for _, want := range [][]string{{"ann1", "cid1"}, {"ann2"}, {"ann3"}, {"ann4"}} {
			names, ds, _ := r.turn(t, Turn{Max: 9, Failed: 9})
			if !slices.Equal(names, want) || ds[0].Urgent != (ds[0].Sequence < 4) || ds[0].Sequence == 1 && ds[0].Failures != 1 {
				t.Fatalf("claimed %v, %+v; want %v", names, ds[0], want)
			}
			for _, d := range ds {
				r.end(t, d, Done, "http_2xx")
			}
			again()
		}
	}
}

// TestRejectionBehindWhatIsInFlight: the lane becomes urgent under the hands of whoever sends its
// head; how that ends is kept all the same, and a long wait is cut short.
func TestRejectionBehindWhatIsInFlight(t *testing.T) {
	f := func(early bool, outcome Outcome, want string, after time.Duration) {
		t.Helper()
		c := newClock()
		r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
		r.put(t, of("ann", 1, false))
		_, ds, _ := r.turn(t, Turn{Max: 1})
		if early {
			r.fail(t, time.Hour, ds...)
			d, _, err := r.Early("a", false, nil)
			if ds = []Delivery{d}; err != nil || !d.Early {
				t.Fatalf("Early = %+v, %v", d, err)
			}
		}
		d := ds[0]
		if early { // whoever put the rejection there did not see that it is in flight
			r.show("a", func(l *lanes) { delete(l.leased, d.Lane) })
		}
		r.put(t, of("ann", 2, true))
		r.show("a", func(l *lanes) { l.leased[d.Lane] = d.Sequence })
		r.audit(t)
		r.settle(t, Attempt{Delivery: d, Outcome: outcome, Reason: "x", At: c.now(), Retry: c.now().Add(time.Hour), Sooner: c.now().Add(time.Minute)})
		r.audit(t)
		names, _, next := r.turn(t, Turn{Max: 9, Failed: 9})
		if after > 0 {
			if len(names) > 0 || !next.Equal(c.now().Add(after)) {
				t.Errorf("claimed %v, next at %v; want it after %v", names, next, after)
			}
			c.add(after)
			names, _, _ = r.turn(t, Turn{Max: 9, Failed: 9})
		}
		if !slices.Equal(names, []string{want}) {
			t.Errorf("claimed %v, want %s", names, want)
		}
	}
	for _, early := range []bool{false, true} {
		f(early, Done, "ann2", 0)
		f(early, Died, "ann2", 0)
		f(early, Retry, "ann1", time.Minute)
	}
}

// TestEarly: what is not due can be tried in the order in which it will be, each once; an uncounted
// failure leaves everything as it was.
func TestEarly(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	for i := range 3 {
		r.put(t, of(fmt.Sprint("p", i), 1, i == 1))
	}
	_, ds, _ := r.turn(t, Turn{Max: 9})
	for i, d := range ds { // the rejection first
		r.fail(t, time.Duration(1+i)*time.Hour, d)
	}
	for range 2 {
		var seen []string
		for _, urgent := range []bool{true, false} {
			var place []byte
			for {
				d, at, err := r.Early("a", urgent, place)
				if err != nil {
					t.Fatal(err)
				}
				if at == nil {
					break
				}
				place = at
				if seen = append(seen, d.Lane); !d.Early || d.Failures != 1 || !d.FirstFailure.Equal(base) || d.Urgent != urgent {
					t.Errorf("%+v", d)
				}
				r.settle(t, Attempt{Delivery: d, Outcome: Retry, Uncounted: true, Reason: "x", At: c.now(), Retry: c.now()})
				r.audit(t)
			}
		}
		if !slices.Equal(seen, []string{"p1", "p0", "p2"}) {
			t.Errorf("tried %v", seen)
		}
	}
	if names, _, next := r.turn(t, Turn{Max: 9, Failed: 9}); len(names) > 0 || !next.Equal(base.Add(time.Hour)) {
		t.Errorf("%v are due, the next at %v", names, next)
	}
	c.add(3 * time.Hour)
	if names, ds, _ := r.turn(t, Turn{Max: 9, Failed: 9}); !slices.Equal(names, []string{"p11", "p01", "p21"}) || ds[0].Failures != 1 || ds[0].Early {
		t.Errorf("claimed %v, %+v", names, ds)
	}
}

// TestOverdue: what is due and whose time is over is found, and when the next one's is.
func TestOverdue(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	r.put(t, of("late", 1, false), of("ill", 1, true), of("far", 1, false))
	_, ds, _ := r.turn(t, Turn{Max: 9})
	r.fail(t, time.Minute, ds[0])
	r.fail(t, time.Hour, ds[1])
	r.Release(ds[2])
	ends := func(due time.Time, failures int) time.Time {
		return due.Add(10*time.Minute - time.Duration(failures)*time.Minute)
	}
	f := func(at time.Duration, n int, next time.Duration, want ...string) {
		t.Helper()
		c.add(base.Add(at).Sub(c.now()))
		ds, ahead, err := r.Overdue("a", n, ends)
		var names []string
		for _, d := range ds {
			names = append(names, d.Lane)
		}
		if !slices.Equal(names, want) || err != nil || next != 0 && !ahead.Equal(base.Add(next)) || next == 0 && !ahead.IsZero() {
			t.Errorf("after %v: %v, next at %v, %v; want %v, %v", at, names, ahead, err, want, next)
		}
		r.Release(ds...)
	}
	f(0, 9, 10*time.Minute)
	f(time.Minute, 9, 10*time.Minute)
	f(10*time.Minute, 9, 0, "ill", "late")
	f(10*time.Minute, 1, 0, "ill")
	f(2*time.Hour, 9, 0, "ill", "late", "far")
}
