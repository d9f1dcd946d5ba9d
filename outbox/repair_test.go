package outbox

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// wreck changes more of a record than one bit, which nobody can undo.
func (r *rig) wreck(t *testing.T, bucket store.Name, key []byte) {
	t.Helper()
	r.update(t, func(tx *store.Tx) error {
		_, err := spoil(tx, bucket, key, func(v []byte) { v[0] ^= 0xff; v[len(v)-1] ^= 0xff })
		return err
	})
}

// sound proves that everything the outbox keeps fits together.
func (r *rig) sound(t *testing.T) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	rep, err := store.Examine(t.Context(), r.s.Path(), "", nil, NewAuditor)
	if err != nil || !rep.Sound() || len(rep.Problems) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestRepair: after a file was mended, each lane goes on in order: with what could be made anew,
// and without what could not, which is dead and counted (I3, I8).
func TestRepair(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	lost := map[string]Delivery{}
	for _, d := range []Delivery{change("a", "x", 1), change("a", "y", 1)} {
		lost[d.Lane] = d
	}
	r.put(t, change("a", "x", 1), change("a", "x", 3), change("a", "y", 1), change("a", "y", 2), change("a", "z", 3), change("a", "w", 1))
	r.wreck(t, store.Deliveries, deliveryKey("a", "x", 1))
	r.wreck(t, store.Deliveries, deliveryKey("a", "y", 1))
	r.wreck(t, store.Due, dueKey("a", plainFresh, base.UnixMilli(), "w"))
	z := change("a", "z", 3)
	r.wreck(t, store.Withheld, withheldAgeKey(&z))
	r = r.again(t, Endpoint{ID: "a"})
	if found := r.s.Found(); found == nil || !maps.Equal(found.Damaged, map[string]int{"deliveries": 2, "due": 1, "withheld": 1}) {
		t.Fatalf("found %+v", found)
	}
	restore := func(_ *store.Tx, d *Delivery) (bool, error) {
		if d.Lane != "x" {
			return false, nil
		}
		*d = lost["x"]
		return true, nil
	}
	for range 2 { // the second time nothing is left to do
		if err := r.Repair(context.Background(), restore); err != nil {
			t.Fatal(err)
		}
		r.audit(t)
	}
	if r.Owed("a") != 5 || r.Dead("a") != 1 {
		t.Errorf("%d owed, %d dead; want 5, 1", r.Owed("a"), r.Dead("a"))
	}
	if d, err := r.FindDead("damaged-y-1@a"); err != nil || d.Reason != Damaged || !d.HasBody {
		t.Errorf("FindDead = %+v, %v", d, err)
	}
	if at := r.OldestWithheld("a"); at.IsZero() {
		t.Error("no rejection is listed, and one is owed")
	}
	c.add(time.Second)
	var told []string
	for range 3 {
		for _, d := range r.claim(t, "a", 9) {
			told = append(told, d.WebhookID)
			r.end(t, d, Done, "")
		}
	}
	want := []string{"evt_w-1", "evt_x-1", "evt_x-3", "evt_y-2", "evt_z-3"}
	if slices.Sort(told); !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	r.sound(t)
}

// The auditor is no ornament: each thing that it looks at is broken once.
func TestAuditor(t *testing.T) {
	f := func(want string, breaks func(tx *store.Tx) error) {
		t.Helper()
		r := startRig(t, store.Options{Dir: filepath.Join(fastDir(t), "d")}, Options{Now: newClock().now}, Endpoint{ID: "a"})
		r.put(t, change("a", "x", 1), change("a", "x", 2))
		r.end(t, r.claim(t, "a", 1)[0], Died, "refused")
		r.put(t, change("a", "y", 3))
		r.update(t, breaks)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		rep, err := store.Examine(t.Context(), r.s.Path(), "", nil, NewAuditor)
		if said := strings.Join(rep.Problems, "; "); err != nil || want == "" && said != "" || !strings.Contains(said, want) {
			t.Errorf("want %q; it says %q, %v", want, said, err)
		}
	}
	d := change("a", "y", 3)
	f("", func(*store.Tx) error { return nil })
	f("lanes in deliveries", func(tx *store.Tx) error {
		return tx.Bucket(store.Due).Delete(dueKey("a", urgentFresh, base.UnixMilli(), "y"))
	})
	f("lanes in deliveries", func(tx *store.Tx) error {
		return tx.Bucket(store.Due).Put(dueKey("a", urgentFresh, base.UnixMilli()+5, "y"), head{seq: 3}.encode())
	})
	f("rejections", func(tx *store.Tx) error { return tx.Bucket(store.Withheld).Delete(withheldAgeKey(&d)) })
	f("outbox/owed/a is 2, and it is 1", func(tx *store.Tx) error { return tx.Bucket(store.Deliveries).Delete(deliveryKey("a", "x", 2)) })
	f("outbox/dead/a is 7, and it is 1", func(tx *store.Tx) error { return tx.SetNumber(deadKey("a"), 7) })
	f("outbox/dead/b is 1, and it is 0", func(tx *store.Tx) error { return tx.SetNumber(deadKey("b"), 1) })
	f("1 records of due", func(tx *store.Tx) error { return tx.Bucket(store.Due).Put([]byte("nonsense"), []byte("x")) })
	f("1 records of deliveries", func(tx *store.Tx) error {
		return tx.Bucket(store.Deliveries).Put(deliveryKey("a", "q", 1), []byte("x"))
	})
}

// TestRepairLeadsToDead: what leads to dead deliveries is made again from them, and what leads to
// none is taken away.
func TestRepairLeadsToDead(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Now: newClock().now}, Endpoint{ID: "a"})
	for seq := uint64(1); seq <= 3; seq++ {
		r.put(t, change("a", "x", seq))
		r.settle(t, Attempt{Delivery: r.claim(t, "a", 1)[0], Outcome: Died, Reason: "refused", At: base})
	}
	r.update(t, func(tx *store.Tx) error {
		b := tx.Bucket(store.Dead)
		lost := DeadDelivery{ID: "evt_x-1@a", Endpoint: "a", Subject: "x", Sequence: 1, At: base}
		gone := DeadDelivery{ID: "evt_x-3@a", Endpoint: "a", Subject: "x", Sequence: 3, At: base}
		return errors.Join(b.Delete(lost.timeKey()), b.Delete(lost.idKey()), b.Delete(gone.key()))
	})
	if err := r.s.View(func(tx *store.Tx) error { return audit(tx, r.Outbox) }); err == nil {
		t.Fatal("the audit finds nothing")
	}
	if err := r.Repair(t.Context(), func(*store.Tx, *Delivery) (bool, error) { return false, nil }); err != nil {
		t.Fatal(err)
	}
	r.audit(t)
	if list, more, err := r.ListDead(func(string) bool { return true }, "", 9); len(list) != 2 || more || err != nil {
		t.Errorf("listed %+v, %v, %v", list, more, err)
	}
	if _, err := r.FindDead("evt_x-1@a"); err != nil {
		t.Error(err)
	}
}
