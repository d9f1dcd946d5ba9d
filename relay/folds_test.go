package relay

import (
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// TestKnownAt: what had been folded at an instant, and what of that was on stable storage: a batch
// whose commit nobody wrote down is proved by the one after it.
func TestKnownAt(t *testing.T) {
	g := newRig(t, acme())
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	g.tamper(func(tx *store.Tx) error {
		for _, r := range []struct{ decided, last, done int }{{100, 10, 150}, {200, 20, 0}, {300, 30, 390}, {400, 40, 0}} {
			v := []byte(nil)
			if r.done > 0 {
				v = foldsKey(at(r.done).UnixMicro(), placeZero)[:8]
			}
			if err := tx.Bucket(store.Folds).Put(foldsKey(at(r.decided).UnixMicro(), journal.At(int64(r.last))), v); err != nil {
				return err
			}
		}
		return nil
	})
	f := func(ms int, folded, proved int64) {
		t.Helper()
		var n known
		if err := g.store.View(func(tx *store.Tx) error {
			n = knownAt(tx, at(ms))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for offset := int64(1); offset < 50; offset++ {
			p := journal.At(offset)
			if was := n.folded(p, at(ms).Add(-time.Hour)); was != (offset <= folded) {
				t.Errorf("at %d: %d had been folded: %v", ms, offset, was)
			} else if was && n.proved(p) != (offset <= proved) {
				t.Errorf("at %d: %d is proved: %v", ms, offset, n.proved(p))
			}
		}
	}
	f(100, 10, 0)
	f(149, 10, 0)
	f(150, 10, 10)
	f(199, 10, 10)
	f(200, 20, 10)
	f(299, 20, 10)
	f(300, 30, 20)
	f(390, 30, 30)
	f(1000, 40, 30)
	f(99, 49, 49) // before anything was written down: what had been taken in by then
}

// TestFoldsAreKept: each batch has its row, and soon the time of its commit; a start says of one
// without that it is on stable storage by then; rows go with the history.
func TestFoldsAreKept(t *testing.T) {
	g := start(t, acme())
	done := func() (rows, proved int) {
		_ = g.store.View(func(tx *store.Tx) error {
			return tx.Bucket(store.Folds).ForEach(func(_, v []byte) error {
				if rows++; len(v) == 8 {
					proved++
				}
				return nil
			})
		})
		return rows, proved
	}
	for i := range 3 {
		g.tell(said("ann", i, kyc.Approved))
		g.folded()
	}
	eventually(t, "the commits are written down", func() bool { rows, proved := done(); return rows == 3 && proved == 3 })
	g.tamper(func(tx *store.Tx) error {
		k, _ := tx.Bucket(store.Folds).Cursor().Last()
		return tx.Bucket(store.Folds).Put(append([]byte(nil), k...))
	})
	g.restart()
	eventually(t, "the start has proved the last", func() bool { rows, proved := done(); return rows == 3 && proved == 3 })
	g.clock.advance(48 * time.Hour)
	if err := g.halt(); err != nil { // which removes what has had its time itself
		t.Fatal(err)
	}
	g.relay.Keep(Retention{History: 24 * time.Hour})
	for more := true; more; {
		var err error
		if more, err = g.relay.retainFolds(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if rows, _ := done(); rows != 0 {
		t.Errorf("%d rows are left", rows)
	}
}
