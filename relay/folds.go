package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"time"

	"countersign/ingest/journal"
	"countersign/outbox/store"
)

// When which records were folded: what was known at an instant is what had been folded by then.
// Records themselves say only when they were taken in; they may wait for their fold, and a record
// that waited for its subject is folded with the one that set it free.
//
//	folds   when a batch was decided, position of its last record   when it was on stable storage
//
// Instants are microseconds. The fold writes a batch's row in its own transaction (I2), without the
// time of the commit, which nobody knows before; that follows a moment later, with whatever commit
// there is. A batch is decided after the one before it is on stable storage, so a row without it is
// proved by the next one. Instants never go back, whatever the clock does.
type folds struct {
	last int64 // when the newest batch was decided; owned by the fold

	mu   sync.Mutex // guards done
	done []commit   // not written yet
}

// commit is when a batch was on stable storage.
type commit struct {
	row []byte
	at  int64
}

func foldsKey(decided int64, last journal.Position) []byte {
	return last.AppendTo(binary.BigEndian.AppendUint64(make([]byte, 0, 8+journal.PositionSize), uint64(decided))) //nolint:gosec // after 1970
}

// splitFolds undoes foldsKey.
func splitFolds(k []byte) (decided int64, last journal.Position, ok bool) {
	if len(k) != 8+journal.PositionSize {
		return 0, last, false
	}
	last, ok = journal.PositionOf(k[8:])
	return int64(binary.BigEndian.Uint64(k)), last, ok //nolint:gosec // written by foldsKey
}

// openFolds reads when the newest batch was decided. If it is not known when that was on stable
// storage, it is by now.
func (r *Relay) openFolds(tx *store.Tx) error {
	c := tx.Bucket(store.Folds).Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		decided, _, ok := splitFolds(k)
		if !ok || v == nil {
			continue // damaged
		}
		if r.folds.last = decided; len(v) == 0 {
			r.folds.done = append(r.folds.done, commit{bytes.Clone(k), r.o.Now().UnixMicro()})
		}
		break
	}
	return nil
}

// decide is the instant at which a batch is decided.
func (f *folds) decide(now time.Time) int64 {
	f.last = max(f.last, now.UnixMicro())
	return f.last
}

// committed notes that a batch is on stable storage.
func (f *folds) committed(row []byte, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, commit{row, now.UnixMicro()})
}

// keepFolds writes when batches were on stable storage, with the next commit that there is. What is
// lost by a crash is proved by the batch that follows.
func (r *Relay) keepFolds() {
	r.folds.mu.Lock()
	done := r.folds.done
	r.folds.done = nil
	r.folds.mu.Unlock()
	if len(done) == 0 {
		return
	}
	r.o.Store.Later(func(tx *store.Tx) error {
		b := tx.Bucket(store.Folds)
		for _, d := range done {
			if !b.Has(d.row) {
				continue // it has had its time
			}
			if err := b.Put(d.row, binary.BigEndian.AppendUint64(nil, uint64(d.at))); err != nil { //nolint:gosec // after 1970
				return err
			}
		}
		return nil
	}, func(error) {})
}

// known is what had been folded at an instant.
type known struct {
	at       time.Time
	last     journal.Position // of the last record that had been
	unproved journal.Position // records after it, up to last, were decided, and not yet on stable storage as far as anybody can tell; zero: all were
	from     int64            // of what was folded before this instant nobody wrote down when: it counts from when it was taken in
}

// knownAt reads it: a few look-ups.
func knownAt(tx *store.Tx, at time.Time) (n known) {
	n.at = at
	until := at.UnixMicro()
	c := tx.Bucket(store.Folds).Cursor()
	k, v := c.First()
	for ; k != nil && v == nil; k, v = c.Next() {
	}
	if n.from, _, _ = splitFolds(k); k == nil || n.from > until {
		if k == nil {
			n.from = until + 1
		}
		return n
	}
	back := c.Prev
	if k, _ = c.Seek(foldsKey(until+1, journal.Position{})); k == nil {
		back = c.Last
	}
	newest := true
	for k, v = back(); k != nil; k, v = c.Prev() {
		_, last, ok := splitFolds(k)
		switch {
		case v == nil || !ok:
			continue // damaged
		case !newest:
			n.unproved = last
			return n
		}
		if n.last = last; len(v) == 8 && int64(binary.BigEndian.Uint64(v)) <= until { //nolint:gosec // written by keepFolds
			return n
		}
		newest = false // it had been decided, and its commit may have been under way
	}
	if !newest {
		n.unproved = journal.Position{Offset: -1} // before every record of every log
	}
	return n
}

// folded reports whether a record had been folded: one of this turn, taken in at this time.
func (n *known) folded(turn journal.Position, taken time.Time) bool {
	if n.last.Offset == 0 {
		return !taken.After(n.at)
	}
	return turn.Compare(n.last) <= 0
}

// proved reports whether what follows from a record that had been folded was on stable storage.
func (n *known) proved(turn journal.Position) bool {
	return n.unproved.Offset == 0 || turn.Compare(n.unproved) <= 0
}

// retainFolds removes a step of what is older than History.
func (r *Relay) retainFolds(ctx context.Context) (more bool, err error) {
	keep := r.keep.Load().History
	if keep <= 0 {
		return false, nil
	}
	until := foldsKey(r.o.Now().Add(-keep).UnixMicro(), journal.Position{})
	var gone []removal
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Folds).Cursor()
		for k, v := c.First(); k != nil && bytes.Compare(k, until) < 0 && len(gone) < r.retained; k, v = c.Next() {
			if v != nil {
				gone = append(gone, removal{store.Folds, bytes.Clone(k)})
			}
		}
		return nil
	})
	if err == nil {
		err = r.remove(ctx, gone, nil)
	}
	return len(gone) >= r.retained, err
}
