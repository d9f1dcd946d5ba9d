package audit

import (
	"context"
	"errors"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"countersign/outbox/store"
)

// hand is somebody who can write to the file, and knows how records are made.
type hand struct {
	t *testing.T
	b store.Bucket
}

func (h hand) get(n uint64) record {
	h.t.Helper()
	v, err := h.b.Get(entryKey(n))
	r, ok := parse(v)
	if err != nil || !ok {
		h.t.Fatalf("entry %d: %v", n, err)
	}
	r.text = append([]byte(nil), r.text...)
	return r
}

func (h hand) put(at uint64, r record) {
	h.t.Helper()
	if err := h.b.Put(entryKey(at), r.bytes()); err != nil {
		h.t.Fatal(err)
	}
}

func (h hand) drop(n uint64) {
	h.t.Helper()
	if err := h.b.Delete(entryKey(n)); err != nil {
		h.t.Fatal(err)
	}
}

// head says that this is the last entry.
func (h hand) head(r record) {
	h.t.Helper()
	head := r.head()
	if err := h.b.PutTwice(headKey, head.bytes()); err != nil {
		h.t.Fatal(err)
	}
}

// anew makes the chain whole from an entry on, as if what stands there had always stood there.
func (h hand) anew(from, last uint64) {
	prev := h.get(from - 1).hash
	for n := from; n <= last; n++ {
		r := h.get(n)
		r.number, r.prev = n, prev
		r.hash = r.sum()
		prev = r.hash
		h.put(n, r)
	}
	h.head(h.get(last))
}

// TestTampering: whatever is done to the trail by hand, Verify names the first entry that it was
// done to; and what nobody can see in the chain itself is seen by a head that was noted before.
func TestTampering(t *testing.T) {
	const n = 1500
	other := func(r record) record {
		r.text = []byte(strings.Replace(string(r.text), `"actor":"kim`, `"actor":"kid`, 1))
		return r
	}
	f := func(name string, do func(hand), number uint64, fault Fault) {
		t.Helper()
		g := newRig(t)
		heads := g.write(n)
		err := g.store.Update(t.Context(), func(tx *store.Tx) error { do(hand{t, tx.Bucket(store.Audit)}); return nil })
		if err != nil {
			t.Fatal(err)
		}
		v := g.verify(nil, 1<<20)
		switch {
		case fault == "" && !v.Sound():
			t.Errorf("%s: %+v", name, v.Troubles)
		case fault != "" && (v.Sound() || len(v.Troubles) == 0 || v.Troubles[0].Number != number || v.Troubles[0].Fault != fault):
			t.Errorf("%s: %d faults, %+v; want %d %s", name, v.Faults, v.Troubles[:min(3, len(v.Troubles))], number, fault)
		case fault != "" && v.Faults > 3:
			t.Errorf("%s: one deed is %d faults: %+v", name, v.Faults, v.Troubles[:3])
		}
		if fault == "" {
			if v := g.verify(&heads[n/2], 1<<20); v.Sound() || v.Noted != NotInIt {
				t.Errorf("%s: the head that was noted is %q", name, v.Noted)
			}
		} else if len(v.Troubles) > 0 {
			t.Logf("%-36s entry %d: %s", name, v.Troubles[0].Number, v.Troubles[0].Text)
		}
	}
	f("nothing but a word", func(h hand) { h.put(700, other(h.get(700))) }, 700, FaultChanged)
	f("a word and its hash", func(h hand) { r := other(h.get(700)); r.hash = r.sum(); h.put(700, r) }, 700, FaultChanged)
	f("the time", func(h hand) { r := h.get(700); r.at += 60_000_000; h.put(700, r) }, 700, FaultChanged)
	f("whether it was refused", func(h hand) { r := h.get(702); r.kind = Done; h.put(702, r) }, 702, FaultChanged)
	f("what it was written after", func(h hand) { r := h.get(700); r.prev[3] ^= 1; h.put(700, r) }, 700, FaultChanged)
	f("a word of the first", func(h hand) { r := other(h.get(1)); r.hash = r.sum(); h.put(1, r) }, 1, FaultChanged)
	f("a word of the last", func(h hand) { h.put(n, other(h.get(n))) }, n, FaultChanged)
	f("a word of the last and its hash", func(h hand) { r := other(h.get(n)); r.hash = r.sum(); h.put(n, r) }, n, FaultChanged)
	f("removed", func(h hand) { h.drop(700) }, 700, FaultRemoved)
	f("the first removed", func(h hand) { h.drop(1) }, 1, FaultRemoved)
	f("removed, and the rest moved up", func(h hand) {
		for i := uint64(700); i < n; i++ {
			h.put(i, h.get(i+1))
		}
		h.drop(n)
	}, 700, FaultMoved)
	f("truncated", func(h hand) { h.drop(n); h.drop(n - 1) }, n-1, FaultRemoved)
	f("inserted", func(h hand) {
		for i := uint64(n); i >= 700; i-- {
			h.put(i+1, h.get(i))
		}
		r := other(h.get(699))
		r.number, r.prev = 700, h.get(699).hash
		r.hash = r.sum()
		h.put(700, r)
	}, 700, FaultInserted)
	f("put behind the last", func(h hand) {
		r := h.get(n)
		r.number, r.prev = n+1, r.hash
		r.hash = r.sum()
		h.put(n+1, r)
	}, n+1, FaultInserted)
	f("swapped", func(h hand) { a, b := h.get(700), h.get(800); h.put(700, b); h.put(800, a) }, 700, FaultMoved)
	f("neighbours swapped", func(h hand) { a, b := h.get(700), h.get(701); h.put(700, b); h.put(701, a) }, 700, FaultMoved)
	f("what was done is emptied", func(h hand) { r := h.get(700); h.put(700, emptied(r)) }, 700, FaultReduced)
	f("the head is forgotten", func(h hand) {
		if err := h.b.DeleteBoth(headKey); err != nil {
			t.Fatal(err)
		}
	}, n, FaultRemoved)
	// And what makes a chain that is whole:
	f("truncated, and the head with it", func(h hand) {
		for i := uint64(n/2 + 1); i <= n; i++ {
			h.drop(i)
		}
		h.drop(n / 2)
		h.head(h.get(n/2 - 1))
	}, 0, "")
	f("all written anew behind a word", func(h hand) { h.put(700, other(h.get(700))); h.anew(700, n) }, 0, "")
	f("one removed, and all written anew", func(h hand) {
		for i := uint64(700); i < n; i++ {
			h.put(i, h.get(i+1))
		}
		h.drop(n)
		h.anew(700, n-1)
	}, 0, "")
}

// emptied is an entry of which only the hash is left, as Reduce does.
func emptied(r record) record {
	own := record{kind: r.kind, at: r.at, number: r.number, prev: r.prev, hash: r.hash, reduced: true}
	sum := textSum(r.text)
	own.text = sum[:]
	return own
}

// TestTamperedRaw: whoever deletes a record without the store's own account of it is noticed before
// the file is used; and one that is bent where it stands is damaged, which is said as that, and
// what stands behind it is verified all the same.
func TestTamperedRaw(t *testing.T) {
	raw := func(g *rig, fn func(*bolt.Bucket) error) {
		t.Helper()
		g.stop()
		db, err := bolt.Open(g.dir+"/countersign.db", 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error { return fn(tx.Bucket([]byte("audit"))) })
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	g := newRig(t)
	g.write(100)
	raw(g, func(b *bolt.Bucket) error { return b.Delete(entryKey(50)) })
	if _, err := store.Examine(context.Background(), g.dir+"/countersign.db", "", nil); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a record has gone: %v", err)
	}

	g = newRig(t)
	heads := g.write(100)
	raw(g, func(b *bolt.Bucket) error {
		v := append([]byte(nil), b.Get(entryKey(50))...)
		for i := range 8 {
			v[len(v)-10+i] ^= 0xa5
		}
		return b.Put(entryKey(50), v)
	})
	g.open() // the file is mended: what is damaged is put aside
	defer func() { g.stop() }()
	v := g.verify(&heads[99], 1<<20)
	if v.Damaged != 1 || v.Faults != 1 || v.Troubles[0].Number != 50 || v.Troubles[0].Fault != FaultDamaged || v.Noted != Proved || v.Entries != 99 {
		t.Errorf("one is damaged: %+v", v)
	}
	if v := g.verify(&heads[49], 1<<20); v.Noted != Proved {
		t.Errorf("the head of the damaged one: %q", v.Noted)
	}
	g.write(10)
	if v := g.verify(nil, 1<<20); v.Faults != 1 || v.Head.Number != 110 {
		t.Errorf("behind a damaged one: %+v", v)
	}

	g = newRig(t) // the last one, and with it the head, as far as it is not kept twice
	heads = g.write(100)
	raw(g, func(b *bolt.Bucket) error {
		for _, k := range [][]byte{entryKey(100), headKey} {
			v := append([]byte(nil), b.Get(k)...)
			v[len(v)-1], v[len(v)-5] = v[len(v)-1]^0xff, v[len(v)-5]^0xff
			if err := b.Put(k, v); err != nil {
				return err
			}
		}
		return nil
	})
	g.open()
	if next := g.write(1); next[0].Number != 101 {
		t.Errorf("the next one is %s", next[0])
	}
	if v := g.verify(&heads[99], 1<<20); v.Faults != 1 || v.Troubles[0].Number != 100 || v.Noted != Proved {
		t.Errorf("the last one is damaged: %+v", v)
	}
}
