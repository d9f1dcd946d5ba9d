package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign/outbox/store"
)

// write changes a stored record.
func (r *rig) write(t *testing.T, bucket store.Name, key []byte, change func(v []byte) []byte) {
	t.Helper()
	r.update(t, func(tx *store.Tx) error {
		body, err := tx.Bucket(bucket).Get(key)
		return errors.Join(err, tx.Bucket(bucket).Put(key, change(bytes.Clone(body))))
	})
}

// spoil flips a bit of a stored record, and returns how it stands in the file then.
func (r *rig) spoil(t *testing.T, bucket store.Name, key []byte) (raw []byte) {
	t.Helper()
	r.update(t, func(tx *store.Tx) (err error) {
		raw, err = spoil(tx, bucket, key, func(v []byte) { v[len(v)/2] ^= 16 })
		return err
	})
	return raw
}

// spoil changes a record after its checksum was made.
func spoil(tx *store.Tx, bucket store.Name, key []byte, change func(record []byte)) (raw []byte, err error) {
	body, err := tx.Bucket(bucket).Get(key)
	record := store.NewRecord(body)
	if err = errors.Join(err, tx.Bucket(bucket).PutRecord(key, record)); err == nil {
		change(record)
	}
	return bytes.Clone(record), err
}

// A delivery whose record is damaged is put down just as it is, and its lane goes on (I8).
func TestDamagedDelivery(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Now: newClock().now}, Endpoint{ID: "a"})
	const lane = "acme/user@example.com"
	r.put(t, change("a", lane, 2), change("a", lane, 3), change("a", lane, 4), change("a", "y", 1))
	raw := r.spoil(t, store.Deliveries, deliveryKey("a", lane, 3)) // a rejection
	r.spoil(t, store.Deliveries, deliveryKey("a", "y", 1))
	if at := r.OldestWithheld("a"); !at.Equal(base.Add(3 * time.Second)) {
		t.Errorf("the oldest rejection is owed since %v", at)
	}
	ds := r.claim(t, "a", 9)
	if !slices.Equal(sequences(ds), []uint64{2}) {
		t.Fatalf("claimed %v, want 2", sequences(ds))
	}
	r.end(t, ds[0], Done, "")
	if ds = r.claim(t, "a", 9); len(ds) != 0 {
		t.Fatalf("claimed %v, want nothing until the damaged one is put down", sequences(ds))
	}
	r.flush(t)
	if ds = r.claim(t, "a", 9); !slices.Equal(sequences(ds), []uint64{4}) {
		t.Fatalf("claimed %v, want 4", sequences(ds))
	}
	r.audit(t)
	id := "damaged-" + lane + "-3@a"
	d, err := r.FindDead(id)
	if err != nil || d.ID != id || d.Reason != Damaged || d.Subject != lane || d.Sequence != 3 {
		t.Errorf("FindDead = %+v, %v", d, err)
	}
	if err := r.s.View(func(tx *store.Tx) error {
		_, body, err := dead(tx, id)
		if !bytes.Equal(body, raw) {
			t.Errorf("kept %q, want the record as it was found", body)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if at := r.OldestWithheld("a"); !at.Equal(base.Add(3 * time.Second)) {
		t.Errorf("the rejection that was damaged is withheld since %v, want what it was", at)
	}
	r.revive(t, id, true)
	if d, err := r.FindDead(id); err != nil || d.Reason != Damaged || r.Owed("a") != 1 {
		t.Errorf("what is damaged was ordered again: %+v, %v, %d owed", d, err, r.Owed("a"))
	}
	if got := r.metric(t, "outbox_dead_lettered_total", Damaged); got != 2 {
		t.Errorf("%v damaged counted, want 2", got)
	}
}

// A damaged head names the wrong delivery, or none. The lane goes on with the right one, and
// nothing is lost or counted twice.
func TestDamagedHead(t *testing.T) {
	f := func(name string, damage func(r *rig, head []byte)) {
		t.Helper()
		r := startRig(t, store.Options{}, Options{Now: newClock().now}, Endpoint{ID: "a"})
		r.put(t, change("a", "x", 1), change("a", "x", 2))
		damage(r, dueKey("a", plainFresh, base.UnixMilli(), "x"))
		for range 3 {
			r.claim(t, "a", 9) // the first meets it; nothing is in flight
			r.flush(t)
			r = r.again(t, Endpoint{ID: "a"})
		}
		r.audit(t)
		ds := r.claim(t, "a", 9)
		if len(ds) != 1 || r.Owed("a") != 2 || r.Dead("a") != 0 {
			t.Errorf("%s: claimed %v, %d owed, %d dead; want one, 2, 0", name, sequences(ds), r.Owed("a"), r.Dead("a"))
		}
	}
	written := func(change func([]byte) []byte) func(*rig, []byte) {
		return func(r *rig, k []byte) { r.write(t, store.Due, k, change) }
	}
	f("another sequence", written(func(v []byte) []byte { v[0] ^= 1; return v }))
	f("cut off", written(func(v []byte) []byte { return v[:7] }))
	f("empty", written(func([]byte) []byte { return nil }))
}

// A head that the disk has damaged may be anybody's: nobody believes it, it stays, and its lane
// gets another one. So does a rejection that the index has lost.
func TestMend(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	r.put(t, change("a", "x", 1), change("a", "x", 2), change("a", "y", 3))
	bad := r.spoil(t, store.Due, dueKey("a", plainFresh, base.UnixMilli(), "x"))
	restrictive := change("a", "y", 3)
	r.update(t, func(tx *store.Tx) error { return tx.Bucket(store.Withheld).Delete(withheldAgeKey(&restrictive)) })
	ds := r.claim(t, "a", 9)
	if !slices.Equal(sequences(ds), []uint64{3}) || !r.Astray() {
		t.Fatalf("claimed %v, astray %v; want 3 of y alone, and that it is noticed", sequences(ds), r.Astray())
	}
	c.add(time.Second)
	if heads, rejections, err := r.Mend(t.Context()); heads != 1 || rejections != 1 || err != nil || r.Astray() {
		t.Fatalf("Mend = %d, %d, %v; want 1, 1", heads, rejections, err)
	}
	if heads, rejections, err := r.Mend(t.Context()); heads != 0 || rejections != 0 || err != nil {
		t.Errorf("the second Mend = %d, %d, %v; want nothing", heads, rejections, err)
	}
	if at := r.OldestWithheld("a"); !at.Equal(restrictive.Owed) {
		t.Errorf("the oldest rejection is owed since %v, want %v", at, restrictive.Owed)
	}
	ds = r.claim(t, "a", 9)
	if !slices.Equal(sequences(ds), []uint64{1}) {
		t.Fatalf("claimed %v, want 1", sequences(ds))
	}
	r.end(t, ds[0], Done, "")
	if ds = r.claim(t, "a", 9); !slices.Equal(sequences(ds), []uint64{2}) {
		t.Errorf("claimed %v, want 2", sequences(ds))
	}
	if err := r.s.View(func(tx *store.Tx) error {
		if !bytes.Equal(tx.Bucket(store.Due).Raw(dueKey("a", plainFresh, base.UnixMilli(), "x")), bad) {
			t.Error("the damaged head is not there any more")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestRevive(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a", MaxOwed: 2})
	r.put(t, change("a", "x", 1), change("a", "y", 3), change("a", "z", 1)) // the last is too many
	for _, d := range r.claim(t, "a", 9) {
		r.end(t, d, Died, "refused")
	}
	c.add(time.Hour)
	revive := func(id string, allowed bool, body []byte, err error) error {
		return r.s.Update(t.Context(), func(tx *store.Tx) error {
			return r.Revive(tx, revived(id, false, r.o.Now()), func(DeadDelivery) bool { return allowed }, func(d DeadDelivery) ([]byte, error) {
				if d.HasBody {
					t.Errorf("%s was rendered although it has a body", d.ID)
				}
				return body, err
			})
		})
	}
	f := func(id string, allowed bool, body []byte, err error, owed, dead int64) {
		t.Helper()
		if got := revive(id, allowed, body, err); !errors.Is(got, err) {
			t.Errorf("Revive(%s) = %v, want %v", id, got, err)
		}
		r.audit(t)
		if r.Owed("a") != owed || r.Dead("a") != dead {
			t.Errorf("after %s: %d owed, %d dead; want %d, %d", id, r.Owed("a"), r.Dead("a"), owed, dead)
		}
	}
	f("evt_y-3@a", false, nil, nil, 0, 3) // not allowed
	f("evt_q-1@a", true, nil, nil, 0, 3)  // never dead
	f("nonsense", true, nil, nil, 0, 3)
	f("evt_z-1@a", true, nil, nil, 0, 3)                         // no body any more
	f("evt_z-1@a", true, nil, errors.New("cannot render"), 0, 3) // nor now
	f("evt_z-1@a", true, []byte("rendered"), nil, 1, 2)          // now
	f("evt_y-3@a", true, nil, nil, 2, 1)                         // its own
	f("evt_y-3@a", true, nil, nil, 2, 1)                         // carried out already
	f("evt_x-1@a", true, nil, nil, 2, 1)                         // too many again: it stays dead
	if d, err := r.FindDead("evt_x-1@a"); err != nil || d.Reason != Overflow {
		t.Errorf("%+v, %v; want an overflow", d, err)
	}
	if at := r.OldestWithheld("a"); !at.Equal(base.Add(3 * time.Second)) {
		t.Errorf("the rejection ordered again is withheld since %v, want since it was owed first", at)
	}
	want := map[string]string{"evt_z-1": "rendered", "evt_y-3": string(change("a", "y", 3).Body)} // I5: the body of the first attempt
	for _, d := range r.claim(t, "a", 9) {
		if string(d.Body) != want[d.WebhookID] || d.Failures != 0 || d.Format != "standard" || d.PreviousSequence != d.Sequence-1 {
			t.Errorf("revived as %+v", d)
		}
		delete(want, d.WebhookID)
	}
	if len(want) != 0 {
		t.Errorf("not revived: %v", want)
	}
}

func TestListDead(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"}, Endpoint{ID: "b"})
	var all, ofB []string
	for i := range 9 {
		for _, e := range []string{"a", "b"} {
			d := change(e, fmt.Sprint("s@", i), 1)
			r.put(t, d)
			all = append(all, d.ID())
			if e == "b" {
				ofB = append(ofB, d.ID())
			}
		}
	}
	for i, d := range slices.Concat(r.claim(t, "a", 9), r.claim(t, "b", 9)) {
		r.settle(t, Attempt{Delivery: d, Outcome: Died, Reason: "exhausted", At: base.Add(time.Duration(i%9) * time.Second)})
	}
	slices.Reverse(all) // the newest first, and of two at once that of b
	slices.Reverse(ofB)
	f := func(endpoint string, size int, want []string) {
		t.Helper()
		var got []string
		for more, after := true, ""; more; {
			list, next, err := r.ListDead(func(e string) bool { return endpoint == "" || e == endpoint }, after, size)
			if err != nil || len(list) > size || len(list) == 0 {
				t.Fatalf("pages of %d of %q: %d after %q, %v", size, endpoint, len(list), after, err)
			}
			for _, d := range list {
				got = append(got, d.ID)
				after = d.Place()
			}
			more = next
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d of %q: %v, want %v", size, endpoint, got, want)
		}
	}
	f("", 1, all)
	f("", 4, all)
	f("", 18, all)
	f("b", 2, ofB)
	f("b", 99, ofB)
	for _, id := range []string{"", "evt_s@0-1", "evt_s@0-1@c", "@"} {
		if _, err := r.FindDead(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("FindDead(%q) = %v, want ErrNotFound", id, err)
		}
	}
}

// The history of a delivery is written in the transaction that ends it, and only then.
func TestSettledIsPartOfTheTransaction(t *testing.T) {
	var refuse error
	ended := []byte("ended")
	o := Options{Now: newClock().now, Settled: func(tx *store.Tx, a Attempt) error {
		if refuse != nil {
			return refuse
		}
		was, err := tx.Bucket(store.Meta).Get(ended)
		return errors.Join(err, tx.Bucket(store.Meta).Put(ended, was, []byte(string(a.Outcome)+" "+a.Delivery.ID()+"; ")))
	}}
	r := startRig(t, store.Options{}, o, Endpoint{ID: "a", MaxOwed: 2})
	r.put(t, change("a", "x", 1), change("a", "y", 1), change("a", "z", 1))
	ds := r.claim(t, "a", 9)
	r.settle(t, Attempt{Delivery: ds[0], Outcome: Done, At: base}, Attempt{Delivery: ds[1], Outcome: Retry, At: base, Retry: base})
	r.end(t, r.claim(t, "a", 9)[0], Died, "refused")
	want := "dead_lettered evt_z-1@a; done evt_x-1@a; dead_lettered evt_y-1@a; "
	if err := r.s.View(func(tx *store.Tx) error {
		got, err := tx.Bucket(store.Meta).Get(ended)
		if string(got) != want {
			t.Errorf("the history says %q, want %q", got, want)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	refuse = errors.New("no")
	if err := r.s.Update(t.Context(), func(tx *store.Tx) error { return r.Put(tx, change("gone", "q", 1)) }); !errors.Is(err, refuse) || r.Dead("a") != 2 {
		t.Errorf("Put = %v, %d dead; want the history's error and 2", err, r.Dead("a"))
	}
}
