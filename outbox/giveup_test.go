package outbox

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"countersign/outbox/store"
)

func never() bool { return false }

// heaped owes an endpoint a's people 300 changes each, every third of which is a rejection, and has
// one failed once.
func heaped(t *testing.T, c *clock, es ...Endpoint) *rig {
	t.Helper()
	r := startRig(t, store.Options{}, Options{Now: c.now, Decides: decides}, Endpoint{ID: "a"}, Endpoint{ID: "a2"})
	for lane := range 3 {
		var ds []Delivery
		for seq := uint64(1); seq <= 300; seq++ {
			d := of(fmt.Sprint("p/", lane), seq, seq%3 == 0)
			d.Body = []byte("body")
			ds = append(ds, d)
		}
		r.put(t, ds...)
	}
	d := of("p/0", 1, true)
	d.Endpoint = "a2"
	r.put(t, d)
	r.end(t, r.claim(t, "a", 1)[0], Retry, "timeout")
	if len(es) > 0 {
		r = r.again(t, es...)
	}
	return r
}

// TestGiveUp: what an endpoint owes that is in the config no more becomes dead, whatever happens on
// the way, and what is withheld of it stays so until an operator acknowledges it. Nobody else's is
// touched, and it is sent in order when the endpoint comes back and it is ordered again.
func TestGiveUp(t *testing.T) {
	c := newClock()
	r := heaped(t, c, Endpoint{ID: "a2", MaxOwed: 9})
	list, all, err := r.OwedWithheld("a", 5)
	if err != nil || all != 300 || len(list) != 5 || list[0].ID != "evt_p/0-3@a" || list[0].Sequence != 3 {
		t.Fatalf("owed rejections: %d, %+v, %v", all, list, err)
	}
	for asked := int64(1); ; asked += 2 { // a process that dies at each place
		base, end := context.WithCancel(t.Context())
		ctx := &ending{Context: base, end: end}
		ctx.left.Store(asked)
		g, err := r.GiveUp(ctx, "a", 250, never)
		end()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		r.sound(t)
		r = r.again(t, Endpoint{ID: "a2", MaxOwed: 9})
		r.audit(t)
		if err == nil && g.Owed == 0 {
			break
		}
	}
	for range 2 { // the second does nothing
		if g, err := r.GiveUp(t.Context(), "a", 250, never); err != nil || g != (GivenUp{}) {
			t.Errorf("again: %+v, %v", g, err)
		}
	}
	dead, more, err := r.ListDead(func(e string) bool { return e == "a" }, "", 901)
	if err != nil || more || len(dead) != 900 || dead[0].Reason != ReasonGivenUp || !dead[0].HasBody {
		t.Fatalf("%d dead, %v, %v", len(dead), more, err)
	}
	if list, _, err := r.ListWithheld("a", "", 999, false); err != nil || len(list) != 300 || list[0].Dead != ReasonGivenUp {
		t.Errorf("%d withheld, %v", len(list), err)
	}
	if r.Owed("a2") != 1 || len(r.claim(t, "a2", 9)) != 1 {
		t.Error("another endpoint's was touched")
	}
	r = r.again(t, Endpoint{ID: "a"}, Endpoint{ID: "a2"})
	if ds := r.claim(t, "a", 9); len(ds) != 0 {
		t.Errorf("%d are sent though they were given up", len(ds))
	}
	r.update(t, func(tx *store.Tx) error {
		return r.Revive(tx, revived("evt_p/1-7@a", false, r.o.Now()), func(DeadDelivery) bool { return true }, nil)
	})
	if ds := r.claim(t, "a", 9); len(ds) != 1 || ds[0].Sequence != 7 || string(ds[0].Body) != "body" {
		t.Errorf("ordered again: %+v", ds)
	}
}

// TestGiveUpServed: nothing is given up of an endpoint that is sent what it owes, also from when it
// is taken up again meanwhile.
func TestGiveUpServed(t *testing.T) {
	r := heaped(t, newClock())
	if g, err := r.GiveUp(t.Context(), "a", 999, func() bool { return true }); !errors.Is(err, ErrServed) || g.GivenUp != 0 || r.Owed("a") != 900 {
		t.Errorf("%+v, %v, %d owed", g, err, r.Owed("a"))
	}
	asked := 0
	g, err := r.GiveUp(t.Context(), "a", 999, func() bool { asked++; return asked > 2 })
	if !errors.Is(err, ErrServed) || g.GivenUp != 2*giveUpChunk || r.Owed("a") != 900-g.GivenUp {
		t.Errorf("%+v, %v, %d owed", g, err, r.Owed("a"))
	}
	r.audit(t)
	r.claim(t, "a", 9) // a lane that is given up in part goes on with what is left
	if ds := r.claim(t, "a", 9); len(ds) != 0 {
		t.Errorf("more than one of a lane: %v", sequences(ds))
	}
}

// TestGiveUpInFlight: what is under way as it is given up, and arrives, is dead no more; and its
// lane is whole.
func TestGiveUpInFlight(t *testing.T) {
	r := heaped(t, newClock())
	ds := r.claim(t, "a", 2)
	if g, err := r.GiveUp(t.Context(), "a", 999, never); err != nil || g != (GivenUp{GivenUp: 900}) {
		t.Fatalf("%+v, %v", g, err)
	}
	r.end(t, ds[0], Done, "http_2xx")
	r.end(t, ds[1], Retry, "timeout")
	if r.Dead("a") != 899 || r.Owed("a") != 0 {
		t.Errorf("%d dead, %d owed; want 899 and 0", r.Dead("a"), r.Owed("a"))
	}
	if _, err := r.FindDead(ds[0].ID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("what arrived is dead: %v", err)
	}
	r.audit(t)
}

// TestGiveUpRoom: what had to give way for want of room is not owed again in the place of what is
// given up.
func TestGiveUpRoom(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now, Decides: decides}, Endpoint{ID: "a", MaxOwed: 1})
	r.put(t, of("x", 1, false), of("y", 1, false), of("z", 1, false))
	if g, err := r.GiveUp(t.Context(), "a", 9, never); err != nil || g != (GivenUp{GivenUp: 1}) {
		t.Fatalf("%+v, %v", g, err)
	}
	c.add(time.Minute)
	n, err := r.Refill(t.Context(), "a", func(*store.Tx, DeadDelivery) bool { return true }, func(*store.Tx, DeadDelivery) ([]byte, error) { return []byte("b"), nil })
	if err != nil || n != 0 || r.Owed("a") != 0 || r.Dead("a") != 3 {
		t.Errorf("%d owed again, %v; %d owed, %d dead", n, err, r.Owed("a"), r.Dead("a"))
	}
	r.audit(t)
}

// TestGiveUpDamaged: a delivery that cannot be read is put down as such, with its bytes.
func TestGiveUpDamaged(t *testing.T) {
	r := heaped(t, newClock())
	r.spoil(t, store.Deliveries, deliveryKey("a", "p/1", 1))
	if g, err := r.GiveUp(t.Context(), "a", 999, never); err != nil || g != (GivenUp{GivenUp: 900}) {
		t.Fatalf("%+v, %v", g, err)
	}
	if d, err := r.FindDead("damaged-p/1-1@a"); err != nil || d.Reason != Damaged {
		t.Errorf("%+v, %v", d, err)
	}
}
