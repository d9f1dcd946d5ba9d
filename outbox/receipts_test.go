package outbox

import (
	"slices"
	"testing"

	"countersign/outbox/store"
)

// heard is a rig that keeps how what ended, in order.
func heard(t *testing.T, c *clock) (r *rig, ended *[]string) {
	t.Helper()
	ended = new([]string)
	r = startRig(t, store.Options{}, Options{Now: c.now, Settled: func(tx *store.Tx, a Attempt) error {
		tx.OnCommit(func() { *ended = append(*ended, a.Delivery.WebhookID+" "+string(a.Outcome)) })
		return nil
	}}, Endpoint{ID: "a"})
	return r, ended
}

func ordered(d Delivery, order int64) Delivery {
	d.Order = order
	return d
}

func (r *rig) receive(t *testing.T, d Delivery, order int64, o Outcome, reason string) {
	t.Helper()
	r.update(t, func(tx *store.Tx) error {
		return r.Receive(tx, Receipt{d.Endpoint, d.Lane, d.WebhookID, d.Sequence, order, o, reason, r.o.Now()})
	})
	r.audited(t)
}

// audited is audit where something in flight may have ended.
func (r *rig) audited(t *testing.T) {
	t.Helper()
	if err := r.s.View(func(tx *store.Tx) error { return inspect(tx, r.Outbox, nil).err() }); err != nil {
		t.Error(err)
	}
}

// TestReceiveInFlight: a receipt ends what is in flight, too: the attempt comes to its own end, and
// writes nothing more, but that what died or was cancelled has arrived. The lane is not free before.
func TestReceiveInFlight(t *testing.T) {
	f := func(receipt, own Outcome, dead int64, want ...string) {
		t.Helper()
		r, ended := heard(t, newClock())
		r.put(t, ordered(change("a", "x", 1), 5), ordered(change("a", "x", 2), 6))
		d := r.claim(t, "a", 9)[0]
		r.receive(t, d, 4, receipt, "why") // of an order before
		if len(*ended) != 0 {
			t.Errorf("an old receipt ends %v", *ended)
		}
		for range 2 {
			r.receive(t, d, 5, receipt, "why")
		}
		if ds := r.claim(t, "a", 9); len(ds) != 0 || r.Owed("a") != 1 {
			t.Errorf("%d claimed while one of the lane is in flight, %d owed", len(ds), r.Owed("a"))
		}
		r.settle(t, Attempt{Delivery: d, Outcome: own, Reason: "why", At: r.o.Now(), Retry: r.o.Now()})
		r.audit(t)
		if !slices.Equal(*ended, want) || r.Dead("a") != dead {
			t.Errorf("%s, then %s: ended %v, want %v; %d dead", receipt, own, *ended, want, r.Dead("a"))
		}
		if seqs := sequences(r.claim(t, "a", 9)); !slices.Equal(seqs, []uint64{2}) {
			t.Errorf("%s, then %s: claimed %d", receipt, own, seqs)
		}
	}
	for _, own := range []Outcome{Done, Died, Retry} {
		f(Done, own, 0, "evt_x-1 done")
	}
	f(Died, Retry, 1, "evt_x-1 dead_lettered")
	f(Died, Died, 1, "evt_x-1 dead_lettered")
	f(Died, Done, 0, "evt_x-1 dead_lettered", "evt_x-1 done")
	f(Cancelled, Retry, 0, "evt_x-1 cancelled")
	f(Cancelled, Done, 0, "evt_x-1 cancelled", "evt_x-1 done")
}

// TestReceiveOverflow: what was given up elsewhere for want of room is dead without its body, and
// waits for room here.
func TestReceiveOverflow(t *testing.T) {
	r, _ := heard(t, newClock())
	d := ordered(change("a", "x", 1), 5)
	r.put(t, d)
	r.receive(t, d, 5, Died, Overflow)
	if is, err := r.FindDead(d.ID()); err != nil || is.HasBody || is.Order != 5 {
		t.Errorf("%+v, %v", is, err)
	}
	if n := r.refill(t, true); n != 1 {
		t.Errorf("%d are owed again", n)
	}
	if ds := r.claim(t, "a", 9); len(ds) != 1 || ds[0].Order != 5 {
		t.Errorf("claimed %+v", ds)
	}
}

// TestReceiveBehindReplays: what was accepted elsewhere while a replay came to stand before it is
// owed once more behind that, under the replay's order: the receipt does not end it again.
func TestReceiveBehindReplays(t *testing.T) {
	r, ended := heard(t, newClock())
	d := ordered(change("a", "x", 2), 5)
	r.put(t, d)
	r.update(t, func(tx *store.Tx) error { return r.Again(tx, ordered(change("a", "x", 1), 9)) })
	r.receive(t, d, 5, Done, "ok")
	r.receive(t, change("a", "x", 1), 9, Done, "ok")
	r.receive(t, d, 5, Done, "ok")
	if ds := r.claim(t, "a", 9); len(ds) != 1 || ds[0].Sequence != 2 || ds[0].Order != 9 {
		t.Errorf("claimed %+v", ds)
	}
	if want := []string{"evt_x-2 done", "evt_x-1 done"}; !slices.Equal(*ended, want) {
		t.Errorf("ended %v, want %v", *ended, want)
	}
}
