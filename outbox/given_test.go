package outbox

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"countersign/outbox/store"
)

// giver is a rig that owes, and has dead, of ann at two endpoints, one of them not served.
func giver(t *testing.T, c *clock) *rig {
	t.Helper()
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	r.put(t, change("a", "ann", 2), change("a", "ann", 3), change("a", "ann", 4), change("gone", "ann", 3), change("a", "bob", 3))
	ds := r.claim(t, "a", 9)
	r.settle(t, Attempt{Delivery: ds[0], Outcome: Died, Reason: "refused", At: c.now()}, Attempt{Delivery: ds[1], Outcome: Retry, At: c.now(), Retry: c.now().Add(time.Hour)})
	return r
}

// TestTakenElsewhere: who takes a lane goes on where the giver was, and its sender is woken. A
// transaction that fails leaves everything as it was, in the file and in memory.
func TestTakenElsewhere(t *testing.T) {
	c := newClock()
	is, err := give(giver(t, c).s, "ann")
	if err != nil {
		t.Fatal(err)
	}
	r := startRig(t, store.Options{}, Options{Now: c.now}, Endpoint{ID: "a"})
	<-r.Wake("a") // as every one that begins
	lost := errors.New("lost")
	if err := r.s.Update(t.Context(), func(tx *store.Tx) error { return errors.Join(r.Take(tx, "ann", is, "a", "gone"), lost) }); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	if ds := r.claim(t, "a", 9); len(ds) != 0 || r.Owed("a") != 0 || len(r.Wake("a")) != 0 {
		t.Errorf("after a transaction that failed %d are claimed, %d counted", len(ds), r.Owed("a"))
	}
	r.audit(t)
	r.update(t, func(tx *store.Tx) error { return r.Take(tx, "ann", is, "a", "gone") })
	if len(r.Wake("a")) != 1 || !r.Rush("a") {
		t.Error("nobody is woken")
	}
	r = r.again(t, Endpoint{ID: "a"}, Endpoint{ID: "gone"})
	r.audit(t)
	if seqs := sequences(r.claim(t, "a", 9)); !reflect.DeepEqual(seqs, []uint64{3}) || r.Owed("a") != 2 || r.Dead("a") != 1 || r.Dead("gone") != 1 {
		t.Errorf("claimed %d of %d, %d and %d dead", seqs, r.Owed("a"), r.Dead("a"), r.Dead("gone"))
	}
}

// TestNotTaken: what is no lane of these endpoints, or of another format, is refused.
func TestNotTaken(t *testing.T) {
	c := newClock()
	r := giver(t, c)
	is, err := give(r.s, "ann")
	if err != nil {
		t.Fatal(err)
	}
	f := func(what, lane string, is []byte, endpoints ...string) {
		t.Helper()
		err := r.s.Update(t.Context(), func(tx *store.Tx) error { return r.Take(tx, lane, is, endpoints...) })
		if !errors.Is(err, store.ErrBadRecord) {
			t.Errorf("%s: %v", what, err)
		}
		r.audit(t)
	}
	f("another endpoint", "ann", is, "a")
	f("another person", "bob", is, "a", "gone")
	f("another format", "ann", append([]byte{givenFormat + 1}, is[1:]...), "a", "gone")
	f("cut short", "ann", is[:len(is)-1], "a", "gone")
	f("said twice", "ann", append(bytes.Clone(is), is[1:]...), "a", "gone")
	f("nothing", "ann", nil, "a", "gone")
	f("without its head", "ann", without(t, is, store.Due), "a", "gone")
}

// without leaves out the records of a bucket.
func without(t *testing.T, is []byte, n store.Name) []byte {
	t.Helper()
	records, ok := readGiven(is)
	if !ok {
		t.Fatal("unreadable")
	}
	b := []byte{givenFormat}
	for _, g := range records {
		if g.bucket != n {
			b = appendGiven(b, g)
		}
	}
	return b
}

// TestGivenFormat: the bytes that are given away are a format: givenFormat is raised with any change
// of them.
func TestGivenFormat(t *testing.T) {
	is, err := give(giver(t, newClock()).s, "ann")
	if got, want := xxhash.Sum64(is), uint64(0x63aab9bc78fac160); err != nil || is[0] != 1 || got != want {
		t.Errorf("format %d, %d bytes, digest %#x, want %#x; %v", is[0], len(is), got, want, err)
	}
}

// TestGiveLooksAtLittle: whoever gives one person looks at nobody else, and at no other endpoint.
func TestGiveLooksAtLittle(t *testing.T) {
	r := annsLanes(t, newClock())
	_ = r.s.View(func(tx *store.Tx) error {
		if _, err := Give(tx, "ann", "a", "b"); err != nil || tx.Looked() > 120 {
			t.Errorf("%d looks, %v", tx.Looked(), err)
		}
		return nil
	})
}

func FuzzReadGiven(f *testing.F) {
	f.Add([]byte{givenFormat})
	f.Add(appendGiven([]byte{givenFormat}, given{store.Dead, []byte("key"), []byte("body")}))
	f.Add([]byte{givenFormat, byte(store.Due), 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, ok := readGiven(b)
		if !ok {
			return
		}
		again := []byte{givenFormat}
		for _, g := range records {
			again = appendGiven(again, g)
		}
		if got, ok := readGiven(again); !ok || !reflect.DeepEqual(got, records) {
			t.Errorf("%x is read as %v, and that as %v", b, records, got)
		}
	})
}
