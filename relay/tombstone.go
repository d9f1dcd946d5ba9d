package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/ingest/journal"
	"countersign/outbox/store"
)

// What is left of somebody who was erased is a tombstone: up to which number they may have been
// told of, so that if a provider speaks of them again no number is used for a second change. It is
// found by a digest that cannot be undone without the key file. While an erasure is under way a
// mark stands beside it that says whose it is, so that a start after a crash goes on with it.
//
//	erased   d digest   tombstone   twice: it cannot be made again
//	         m digest   mark        twice, and gone when the erasure is done
const (
	tombPrefix = "d"
	markPrefix = "m"
)

// tombstone is what is kept of somebody who was erased.
type tombstone struct {
	Floor    uint64           `json:"floor"`
	At       time.Time        `json:"at"`
	Until    journal.Position `json:"until,omitzero"`       // the end of the log when the erasure was done
	Scrubbed time.Time        `json:"scrubbed_at,omitzero"` // when the file was copied without what had been deleted
}

// mark is an erasure that is under way.
type mark struct {
	Lane string   `json:"lane"`
	Refs []string `json:"refs,omitempty"` // that lead to nobody else
}

// Journaled is what is needed of the journal to erase somebody: TakeAway takes a record of one of
// its buckets away, in a transaction, with what counts it; Forgotten is up to where it has let its
// records go.
type Journaled interface {
	TakeAway(tx *store.Tx, n store.Name, key []byte) error
	Forgotten() journal.Position
}

// erasures is what a relay knows of them beside the file.
type erasures struct {
	one   sync.Mutex   // held by the erasure that is under way
	stood atomic.Int64 // tombstones that there are, about: 0 if there are none
	epoch atomic.Int64 // moves when one begins, and when it has ended
	cut   func() error // is called after each transaction of one; nil, but in tests of crashes
}

// goOn reports whether an erasure may go on.
func (e *erasures) goOn() error {
	if e.cut == nil {
		return nil
	}
	return e.cut()
}

// tombKey is under what somebody is erased; "": there is no key to make a digest with.
func (r *Relay) tombKey(lane string) string {
	partner, id, live := splitLane(lane)
	digest := r.o.Registry.PersonDigest(partner, id)
	if digest == "person:hidden" {
		return ""
	}
	if !live {
		digest += "/test"
	}
	return digest
}

// openErased counts tombstones, for nearly always there are none.
func (r *Relay) openErased(tx *store.Tx) error {
	k, _ := tx.Bucket(store.Erased).Cursor().First()
	if k != nil {
		r.erased.stood.Store(1)
	}
	return nil
}

// floorFor is the number after which the next change of somebody comes at least.
func (r *Relay) floorFor(s *subject) uint64 { return max(r.floor, s.Floor) }

// erasedUpTo is up to which number somebody may have been told of before they were erased; 0: they
// were not. Two look-ups, if anybody ever was.
func (r *Relay) erasedUpTo(tx *store.Tx, lane string) (uint64, error) {
	if r.erased.stood.Load() == 0 {
		return 0, nil
	}
	t, err := r.tombOf(tx, lane)
	if t == nil {
		return 0, err
	}
	return t.Floor, err
}

// tombOf is the tombstone of somebody; nil: there is none.
func (r *Relay) tombOf(tx *store.Tx, lane string) (*tombstone, error) {
	key := r.tombKey(lane)
	if key == "" {
		return nil, nil
	}
	v, err := tx.Bucket(store.Erased).GetEither([]byte(tombPrefix + key))
	if v == nil || err != nil {
		return nil, err
	}
	t := &tombstone{}
	if json.Unmarshal(v, t) != nil {
		return nil, fmt.Errorf("the tombstone of a subject: %w", store.ErrBadRecord)
	}
	return t, nil
}

func putErased(tx *store.Tx, key string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket(store.Erased).PutTwice([]byte(key), text)
}

// Unscrubbed lists, by names for Scrubbed, the erasures that are done while what was deleted may
// still stand in free pages of the file: a compaction that begins now leaves none of it. later is
// how many are passed over for a moment: they are under way, or the journal has still to forget
// what was there then.
func (r *Relay) Unscrubbed() (list []string, later int, err error) {
	if r.erased.stood.Load() == 0 || r.o.Journaled == nil {
		return nil, 0, nil
	}
	err = r.o.Store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Erased).EachEither([]byte(tombPrefix), func(k, v []byte) error {
			var t tombstone
			name := string(k[len(tombPrefix):])
			switch sound := json.Unmarshal(v, &t) == nil; {
			case !sound, !t.Scrubbed.IsZero():
				return nil
			case tx.Bucket(store.Erased).HasEither([]byte(markPrefix + name)):
				later++ // it is under way
				return nil
			case t.Until.Offset > 0 && !r.o.Journaled.Forgotten().Reaches(t.Until) && r.o.Now().Sub(t.At) < forgetWait:
				later++
				return nil
			}
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
			return nil
		})
	})
	return list, later, err
}

// forgetWait is how long a compaction waits for the journal to forget what was folded.
const forgetWait = 10 * time.Second

// Scrubbed notes that the file has been copied since these were listed: nil once that is on stable
// storage.
func (r *Relay) Scrubbed(ctx context.Context, list []string, began time.Time) error {
	if len(list) == 0 {
		return nil
	}
	return r.o.Store.Update(ctx, func(tx *store.Tx) error {
		for _, name := range list {
			var t tombstone
			v, err := tx.Bucket(store.Erased).GetEither([]byte(tombPrefix + name))
			if err != nil || json.Unmarshal(v, &t) != nil || t.At.After(began) {
				continue // damaged, or erased anew since
			}
			t.Scrubbed = r.o.Now().UTC()
			if err := putErased(tx, tombPrefix+name, &t); err != nil {
				return err
			}
		}
		return nil
	})
}

// marks are the erasures that are under way.
func (r *Relay) marks() (list []mark, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Erased).EachEither([]byte(markPrefix), func(_, v []byte) error {
			var m mark
			if json.Unmarshal(v, &m) != nil {
				return store.ErrBadRecord
			}
			for i := range list {
				if list[i].Lane == m.Lane {
					return nil
				}
			}
			list = append(list, m)
			return nil
		})
	})
	return list, err
}

// eraseRest goes on with the erasures that a crash has cut off, before anything is folded. One that
// somebody has asked for again meanwhile, and that is done, is not done a second time: its person
// would wait for a compaction more, which nobody would ask for.
func (r *Relay) eraseRest(ctx context.Context) error {
	r.folding.Lock()
	defer r.folding.Unlock()
	list, err := r.marks()
	for i := range list {
		if err == nil {
			_, err = r.carryOut(ctx, &list[i])
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("go on with an erasure: %w", err)
	}
	return err
}

// tomb is the person's tombstone; nil: they were never erased.
func (w *whereabouts) tomb() (t *tombstone, err error) {
	err = w.r.o.Store.View(func(tx *store.Tx) error {
		t, err = w.r.tombOf(tx, w.lane)
		return err
	})
	return t, err
}

// passed reports whether a record of the journal has been folded, or was made here because of what
// was known of somebody: what was said since, and waits, is not of the life that is erased.
func (w *whereabouts) passed(k, v []byte) bool {
	rec, ok := journal.ReadRecord(k, v)
	if !ok {
		at, sound := journal.PositionOf(k)
		return sound && w.r.Folded(at)
	}
	return w.r.Folded(rec.Position) || ours[rec.Kind]
}

// reads reports whether one of the words stands in a text.
func reads(b []byte, words []string) bool {
	for _, w := range words {
		if bytes.Contains(b, []byte(w)) {
			return true
		}
	}
	return false
}
