package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox/store"
)

// nameless is a change whose body does not name its endpoint.
func nameless(endpoint, lane string, seq uint64) Delivery {
	d := change(endpoint, lane, seq)
	d.Body = fmt.Appendf(nil, "body %d of %s", seq, lane)
	return d
}

// lived is a file in which an endpoint, and others whose ids are like it, owe and have lost
// something.
func lived(t *testing.T, id string) *rig {
	t.Helper()
	clock := newClock()
	all := []Endpoint{{ID: id, MaxOwed: 3}, {ID: "a2"}, {ID: "0"}}
	r := startRig(t, store.Options{}, Options{Now: clock.now}, all...)
	for _, e := range all {
		for i := range 3 { // of whom the last waits for room
			r.put(t, nameless(e.ID, fmt.Sprint("acme/c", i), 1))
		}
		r.put(t, nameless(e.ID, "acme/d", 3))
		for seq := uint64(1); seq <= 5; seq++ { // 3 is a rejection
			r.put(t, nameless(e.ID, "acme/user@example.com", seq), nameless(e.ID, "acme/b\x01t", seq))
		}
		for _, outcome := range []Outcome{Retry, Died, Done, Died, Retry} {
			clock.add(time.Minute)
			for _, d := range r.claim(t, e.ID, 9) {
				r.end(t, d, outcome, "timeout")
			}
		}
	}
	list, _, err := r.ListWithheld(id, "", 9, false)
	if err != nil || len(list) < 2 {
		t.Fatalf("withheld: %+v, %v", list, err)
	}
	if _, err := r.Acknowledge(t.Context(), list[0].ID, Acknowledgement{At: clock.now(), By: "operator"}); err != nil {
		t.Fatal(err)
	}
	kinds := map[byte]bool{}
	r.update(t, func(tx *store.Tx) error {
		c := tx.Bucket(store.Withheld).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			kinds[min(k[0], 4)] = true
		}
		return nil
	})
	if len(kinds) != 4 {
		t.Fatalf("kinds of records in withheld: %v, want all four", kinds)
	}
	return r
}

// dump is all that a file holds; counts that are zero say nothing.
func (r *rig) dump(t *testing.T) (all []string) {
	t.Helper()
	if err := r.s.View(func(tx *store.Tx) error {
		for _, n := range []store.Name{store.Meta, store.Deliveries, store.Due, store.Withheld, store.Dead, store.Attempts} {
			if err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				if n != store.Meta || bytes.HasPrefix(k, []byte("outbox/")) && !bytes.Equal(v, make([]byte, 8)) {
					all = append(all, fmt.Sprintf("%v %q %q", n, k, v))
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// ending is a context that ends when it has been asked n times: a process that dies there.
type ending struct {
	context.Context
	left atomic.Int64
	end  context.CancelFunc
}

func (e *ending) Done() <-chan struct{} {
	if e.left.Add(-1) <= 0 {
		e.end()
	}
	return e.Context.Done()
}

// TestRename: an endpoint that is renamed leaves the very file that it would have made under its
// new name, also when it is cut off at any transaction and goes on after a restart; no other
// endpoint's record moves.
func TestRename(t *testing.T) {
	want := lived(t, "c").dump(t)
	if len(want) < 40 {
		t.Fatalf("the file holds %d records", len(want))
	}
	for asked := int64(1); ; asked++ {
		r := lived(t, "a")
		base, end := context.WithCancel(t.Context())
		ctx := &ending{Context: base, end: end}
		ctx.left.Store(asked)
		m := &renaming{store: r.s, from: "a", to: "c", chunk: 2}
		err := m.run(ctx)
		end()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		r = r.again(t)
		for range 2 { // the second does nothing
			if err := Rename(t.Context(), r.s, "a", "c"); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.dump(t); !slices.Equal(got, want) {
			t.Fatalf("cut off at %d (%v):\n%q\nwant\n%q", asked, err, got, want)
		}
		r.sound(t)
		if err == nil {
			t.Logf("cut off at each of %d places", asked-1)
			return
		}
	}
}

// TestRenameKeepsTheOrder: what was owed to the old id goes out under the new one in order, with
// its webhook-id and the tries that it has had.
func TestRenameKeepsTheOrder(t *testing.T) {
	clock := newClock()
	r := startRig(t, store.Options{}, Options{Now: clock.now}, Endpoint{ID: "a"})
	r.put(t, nameless("a", "x", 1), nameless("a", "x", 2), nameless("a", "x", 3))
	r.end(t, r.claim(t, "a", 9)[0], Retry, "timeout")
	if err := Rename(t.Context(), r.s, "a", "c"); err != nil {
		t.Fatal(err)
	}
	r = r.again(t, Endpoint{ID: "c"})
	r.put(t, nameless("c", "x", 4))
	clock.add(time.Hour)
	var seqs []uint64
	for range 4 {
		d := r.claim(t, "c", 9)[0]
		if want := nameless("c", "x", d.Sequence); d.WebhookID != want.WebhookID || !bytes.Equal(d.Body, want.Body) || d.Failures != map[uint64]int{1: 1}[d.Sequence] {
			t.Errorf("%+v", d)
		}
		seqs = append(seqs, d.Sequence)
		r.end(t, d, Done, "")
	}
	if !slices.Equal(seqs, []uint64{1, 2, 3, 4}) || r.Owed("c") != 0 {
		t.Errorf("sent %v, %d owed", seqs, r.Owed("c"))
	}
}

// TestRenameOfDamaged: a delivery that was damaged under the old id is made anew under the new one,
// in its place in the lane, although both are found at one start.
func TestRenameOfDamaged(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Now: newClock().now}, Endpoint{ID: "a"})
	r.put(t, nameless("a", "x", 1), nameless("a", "x", 2))
	r.wreck(t, store.Deliveries, deliveryKey("a", "x", 1))
	r = r.again(t)
	if err := Rename(t.Context(), r.s, "a", "c"); err != nil {
		t.Fatal(err)
	}
	o := r.o
	o.Metrics, o.Current = prometheus.NewRegistry(), func(id string) string { return map[string]string{"a": "c", "c": "c"}[id] }
	b, err := New(o, []Endpoint{{ID: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Repair(t.Context(), func(_ *store.Tx, d *Delivery) (bool, error) {
		*d = nameless(d.Endpoint, d.Lane, d.Sequence)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	ds, _, err := b.Claim("c", Turn{Max: 9, Failed: 9})
	if err != nil || !slices.Equal(sequences(ds), []uint64{1}) || b.Owed("c") != 2 {
		t.Errorf("claimed %v, %v; %d owed", sequences(ds), err, b.Owed("c"))
	}
	r.sound(t)
}
