package outbox

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"countersign/outbox/store"
)

// withheldRig owes one rejection of x, since three seconds after base.
func withheldRig(t *testing.T, c *clock) *rig {
	t.Helper()
	r := fullRig(t, c, 0)
	r.put(t, of("x", 1, false), of("x", 3, true))
	r.end(t, r.claim(t, "a", 1)[0], Done, "http_2xx")
	c.add(time.Hour)
	return r
}

// stands proves that the rejection is withheld as it was, after the file was opened again.
func (r *rig) stands(t *testing.T, dead string, es ...Endpoint) *rig {
	t.Helper()
	r.audit(t)
	n := r.again(t, es...)
	n.audit(t)
	want := (time.Hour - 3*time.Second).Seconds()
	if got := n.metric(t, "outbox_oldest_withheld_rejection_seconds", "a"); got != want {
		t.Errorf("withheld for %v s, want %v", got, want)
	}
	list, _, err := n.ListWithheld("", "", 9, false)
	if err != nil || len(list) != 1 || list[0].ID != "evt_x-3@a" || list[0].Dead != dead || list[0].Subject != "x" {
		t.Errorf("withheld: %+v, %v; want the rejection, dead %q", list, err, dead)
	}
	return n
}

// TestWithheldWhateverEndsIt: that a rejection dies, for whatever reason, or that its endpoint is
// renamed or removed, tells nobody of it.
func TestWithheldWhateverEndsIt(t *testing.T) {
	a := Endpoint{ID: "a"}
	f := func(name, dead string, end func(r *rig), es ...Endpoint) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			r := withheldRig(t, newClock())
			end(r)
			r.stands(t, dead, es...)
		})
	}
	died := func(reason string) func(*rig) {
		return func(r *rig) { r.end(t, r.claim(t, "a", 9)[0], Died, reason) }
	}
	f("owed", "", func(*rig) {}, a)
	f("exhausted", "exhausted", died("exhausted"), a)
	f("refused", "refused", died("refused"), a)
	f("damaged", Damaged, func(r *rig) {
		r.spoil(t, store.Deliveries, deliveryKey("a", "x", 3))
		r.claim(t, "a", 9)
		r.flush(t)
	}, a)
	f("gone from the config", "", func(*rig) {}, Endpoint{ID: "a-of-old"})
	f("then accepted by another", "exhausted", func(r *rig) {
		died("exhausted")(r)
		r2 := r.again(t, Endpoint{ID: "a"}, Endpoint{ID: "b"})
		d := of("x", 4, false)
		d.Endpoint = "b"
		r2.put(t, d)
		r2.end(t, r2.claim(t, "b", 9)[0], Done, "http_2xx")
		r.s, r.Outbox, r.stop, r.reg = r2.s, r2.Outbox, r2.stop, r2.reg
	}, a)
	f("a notice", "exhausted", func(r *rig) {
		died("exhausted")(r)
		r.put(t, notice("x", 4))
		r.end(t, r.claim(t, "a", 9)[0], Done, "http_2xx")
	}, a)
	f("a later rejection that dies as well", "exhausted", func(r *rig) {
		died("exhausted")(r)
		r.put(t, of("x", 4, false))
		died("exhausted")(r)
	}, a)
}

// TestWithheldThoughNeverOwed: what was put down at once, for its endpoint was gone, is withheld
// too.
func TestWithheldThoughNeverOwed(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now, Decides: decides}, Endpoint{ID: "b"})
	r.put(t, of("x", 3, true))
	c.add(time.Hour)
	r.stands(t, Removed, Endpoint{ID: "b"})
}

// TestWithheldUntilTold: it ends with a 2xx for it, ordered again, or for a later decision about
// the same person, whatever that says.
func TestWithheldUntilTold(t *testing.T) {
	f := func(name string, tell func(r *rig)) {
		t.Helper()
		r := withheldRig(t, newClock())
		r.end(t, r.claim(t, "a", 9)[0], Died, "exhausted")
		tell(r)
		for _, d := range r.claim(t, "a", 9) {
			r.end(t, d, Done, "http_2xx")
		}
		r = r.reopened(t, 0)
		if list, _, err := r.ListWithheld("", "", 9, false); len(list) != 0 || err != nil || !r.OldestWithheld("a").IsZero() {
			t.Errorf("%s: %+v, %v; want nothing withheld", name, list, err)
		}
	}
	f("ordered again", func(r *rig) { r.revive(t, "evt_x-3@a", false) })
	f("a later rejection", func(r *rig) { r.put(t, of("x", 4, true)) })
	f("a later approval", func(r *rig) { r.put(t, of("x", 4, false)) })
}

// TestAcknowledge: an operator's word ends the alarm, and nothing else, for good.
func TestAcknowledge(t *testing.T) {
	c := newClock()
	r := withheldRig(t, c)
	for _, id := range []string{"evt_x-1@a", "evt_x-3@b", "nonsense", ""} {
		if _, err := r.Acknowledge(t.Context(), id, Acknowledgement{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("Acknowledge(%q) = %v, want ErrNotFound", id, err)
		}
	}
	first := Acknowledgement{At: c.now(), By: "otto", Reason: "told by telephone"}
	for range 2 {
		w, err := r.Acknowledge(t.Context(), "evt_x-3@a", first)
		if err != nil || w.Acknowledged == nil || w.Acknowledged.By != "otto" {
			t.Fatalf("Acknowledge = %+v, %v", w, err)
		}
		first.By = "eve" // the first one stands
	}
	check := func(dead string) {
		t.Helper()
		r = r.reopened(t, 0)
		if at := r.OldestWithheld("a"); !at.IsZero() {
			t.Errorf("withheld since %v, want nothing that nobody has acknowledged", at)
		}
		list, _, err := r.ListWithheld("a", "", 9, true)
		if err != nil || len(list) != 1 || list[0].Acknowledged.Reason != first.Reason || list[0].Acknowledged.By != "otto" || list[0].Dead != dead {
			t.Errorf("acknowledged: %+v, %v", list, err)
		}
	}
	check("")
	r.end(t, r.claim(t, "a", 9)[0], Died, "exhausted")
	check("exhausted")
	r.revive(t, "evt_x-3@a", false)
	check("")
	r.end(t, r.claim(t, "a", 9)[0], Done, "http_2xx")
	r = r.reopened(t, 0)
	if list, _, _ := r.ListWithheld("a", "", 9, true); len(list) != 0 {
		t.Errorf("%+v is listed, and it has been told", list)
	}
}

// TestWithheldPages: the list has an order, and goes on after an id.
func TestWithheldPages(t *testing.T) {
	r := fullRig(t, newClock(), 0)
	for i := range 5 {
		r.put(t, of(fmt.Sprint("p", i), 3, true))
	}
	after, n := "", 0
	for more := true; more; {
		var list []Withheld
		var err error
		if list, more, err = r.ListWithheld("", after, 2, false); err != nil || len(list) == 0 {
			t.Fatal(err)
		}
		n, after = n+len(list), list[len(list)-1].ID
	}
	if n != 5 {
		t.Errorf("%d are listed, want 5", n)
	}
}

// TestWithheldSeriesAreBounded: endpoints that are gone have a series each, but only so many.
func TestWithheldSeriesAreBounded(t *testing.T) {
	c := newClock()
	r := fullRig(t, c, 0)
	for i := range maxOrphans + 8 {
		d := of("x", 3, true)
		d.Endpoint, d.Owed = fmt.Sprintf("gone-%03d", i), base.Add(time.Duration(i)*time.Second)
		r.put(t, d)
	}
	c.add(time.Hour)
	if got := r.metric(t, "outbox_oldest_withheld_rejection_seconds", "gone-000"); got != 3600 {
		t.Errorf("withheld from the first for %v s", got)
	}
	if got, want := r.metric(t, "outbox_oldest_withheld_rejection_seconds", otherOrphans), float64(3600-maxOrphans); got != want {
		t.Errorf("withheld from the others for %v s, want %v", got, want)
	}
}

// TestWithheldIsMended: a damaged place of a rejection is made from the others, also of one that is
// dead; and it is told and acknowledged as any.
func TestWithheldIsMended(t *testing.T) {
	x := of("x", 3, true)
	for _, k := range [][]byte{withheldAgeKey(&x), withheldKey("a", "x", 3), withheldIDKey("evt_x-3", "a", false)} {
		for _, dead := range []string{"", "exhausted"} {
			r := withheldRig(t, newClock())
			if dead != "" {
				r.end(t, r.claim(t, "a", 9)[0], Died, dead)
			}
			r.wreck(t, store.Withheld, k)
			r = r.again(t, Endpoint{ID: "a"})
			if err := r.Repair(t.Context(), func(*store.Tx, *Delivery) (bool, error) { return false, nil }); err != nil {
				t.Fatal(err)
			}
			r.audit(t)
			list, _, err := r.ListWithheld("", "", 9, false)
			if err != nil || len(list) != 1 || !list[0].Since.Equal(base.Add(3*time.Second)) || (list[0].Dead == "") != (dead == "") {
				t.Errorf("%q, dead %q: %+v, %v", k, dead, list, err)
			}
			r.sound(t)
		}
	}
}

// TestWithheldRecord: what is kept of a rejection comes back as it was, and a part of it is nothing.
func TestWithheldRecord(t *testing.T) {
	for _, w := range []withheldRecord{
		{Since: 1773912000078, WebhookID: "evt_1", Type: "kyc.status.rejected"},
		{Since: 1, WebhookID: "evt_2", Type: "kyc.status.suspended", Dead: Overflow, Acknowledged: &Acknowledgement{At: base, By: "ops", Reason: "told by telephone"}},
	} {
		b := store.RecordBody(w.record())
		var is withheldRecord
		if !is.decode(b) || !reflect.DeepEqual(is, w) {
			t.Errorf("%+v came back as %+v", w, is)
		}
		for n := range b {
			if is.decode(b[:n]) && (w.Acknowledged == nil || is.Acknowledged != nil) {
				t.Errorf("%d of %d bytes of %+v are taken for %+v", n, len(b), w, is)
			}
		}
	}
}
