package relay

import (
	"bytes"
	"context"
	"time"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
)

// Retention says how long what is kept; zero: for ever. The state of a subject, and what is owed,
// are never removed.
type Retention struct {
	Changes  time.Duration // changes, from which an overflowed delivery can be made again
	History  time.Duration // records with their verdicts, and how deliveries ended
	Attempts time.Duration // failed tries
}

// Keep makes another retention count from now on.
func (r *Relay) Keep(to Retention) { r.keep.Store(&to) }

const (
	maxRetain  = 2000        // entries looked at in one transaction; fewer where that many do not fit
	retainRest = time.Minute // when there is nothing more to remove
)

// changesGone is, in microseconds, up to when changes have been removed already.
var changesGone = []byte("relay/changes_removed")

// retain removes what has had its time, a small transaction at a time. The history stands in order
// of time, so what is old is at its front.
func (r *Relay) retain(ctx context.Context) error {
	for {
		more, full := false, false
		for _, step := range r.retentions() {
			again, err := step(ctx)
			if err != nil && !isFull(err) {
				if ctx.Err() != nil {
					return nil //nolint:nilerr // stopping
				}
				return err
			}
			more, full = more || again, full || isFull(err)
		}
		if r.retained = min(r.retained+r.retained/8+1, maxRetain); full { // to remove takes a little room, too
			r.retained, more = max(1, r.retained/2), true
		}
		rest := retainRest
		if more {
			rest = time.Second / 4
		}
		if !pause(ctx, rest) {
			return nil
		}
	}
}

// retentions are the steps of retain: each removes a part of what has had its time.
func (r *Relay) retentions() []func(context.Context) (more bool, err error) {
	return []func(context.Context) (bool, error){
		r.retainHistory, r.retainOutcomes, r.retainChanges, r.retainAttempts, r.retainAnswers, r.retainOrders, r.retainFolds, r.retainFinder,
	}
}

// pause reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// before is the first key of the history that is kept; nil: everything is.
func (r *Relay) before(keep time.Duration) []byte {
	if keep <= 0 {
		return nil
	}
	return historyKey(r.o.Now().Add(-keep), journal.Position{}, 0)
}

// retainHistory removes a step of the records and changes that are older than History, and their
// place in the index.
func (r *Relay) retainHistory(ctx context.Context) (more bool, err error) {
	until := r.before(r.keep.Load().History)
	if until == nil {
		return false, nil
	}
	var gone []removal
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.History).Cursor()
		for k, v := c.First(); k != nil && bytes.Compare(k, until) < 0 && len(gone) < r.retained; k, v = c.Next() {
			if lane, _, ok := entry(v); ok { // a damaged one stays (I8)
				gone = append(gone, removal{store.History, bytes.Clone(k)}, removal{store.Index, indexKey(lane, k)})
			}
		}
		return nil
	})
	if err == nil {
		err = r.remove(ctx, gone, nil)
	}
	return len(gone) >= r.retained, err
}

// retainOutcomes removes a step of how deliveries ended longer ago than History, at the front of
// each endpoint's part.
func (r *Relay) retainOutcomes(ctx context.Context) (more bool, err error) {
	keep := r.keep.Load().History
	if keep <= 0 {
		return false, nil
	}
	var gone []removal
	until := r.o.Now().Add(-keep)
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Outcomes).Cursor()
		for k, v := c.First(); k != nil && len(gone) < r.retained; {
			o, ok := splitOutcome(k)
			switch {
			case !ok || v == nil: // damaged: it stays (I8)
				k, v = c.Next()
			case !o.at.Before(until):
				k, v = c.Seek(append([]byte(o.part()), 1)) // the next part
			default:
				gone = append(gone, removal{store.Outcomes, bytes.Clone(k)}, removal{store.Index, indexKey(o.lane, o.place())})
				k, v = c.Next()
			}
		}
		return nil
	})
	if err == nil && len(gone) > 0 {
		err = r.remove(ctx, gone, func(tx *store.Tx) error { return forgetDelivered(tx, gone) })
	}
	return len(gone) >= r.retained, err
}

// retainChanges removes a step of changes that are older than Changes, going on from where the last
// step ended.
func (r *Relay) retainChanges(ctx context.Context) (more bool, err error) {
	until := r.before(r.keep.Load().Changes)
	if until == nil {
		return false, nil
	}
	var gone []removal
	var at []byte
	seen := 0
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.History).Cursor()
		from, err := tx.Bucket(store.Meta).Get(changesGone)
		if err != nil {
			return err
		}
		for k, v := c.Seek(from); k != nil && bytes.Compare(k, until) < 0 && seen < r.retained; k, v = c.Next() {
			seen++
			if at = bytes.Clone(k); v != nil && len(k) >= historyHead && k[historyHead-1] == kindChange {
				gone = append(gone, removal{store.History, at})
			}
		}
		return nil
	})
	if err == nil && at != nil {
		err = r.remove(ctx, gone, func(tx *store.Tx) error { return tx.Bucket(store.Meta).Put(changesGone, append(at, 0)) })
	}
	return seen >= r.retained, err
}

// retainAttempts removes old failed tries. There are few: only failures have one.
func (r *Relay) retainAttempts(ctx context.Context) (more bool, err error) {
	return r.retainOld(ctx, store.Attempts, &r.tried, r.keep.Load().Attempts, outbox.TriedAt)
}

// retainAnswers removes the texts that none of the tries that are kept was answered with.
func (r *Relay) retainAnswers(ctx context.Context) (more bool, err error) {
	keep := r.keep.Load().Attempts
	if keep > 0 {
		keep += outbox.AnswerRefresh
	}
	return r.retainOld(ctx, store.Answers, &r.answered, keep, outbox.SaidAt)
}

// retainOld removes a step of what is older than keep in a bucket that is in no order of time, going
// on from where the last step ended.
func (r *Relay) retainOld(ctx context.Context, bucket store.Name, from *[]byte, keep time.Duration, at func([]byte) (time.Time, bool)) (more bool, err error) {
	if keep <= 0 {
		return false, nil
	}
	var gone []removal
	now := r.o.Now()
	err = r.o.Store.View(func(tx *store.Tx) error {
		seen := 0
		c := tx.Bucket(bucket).Cursor()
		k, v := c.Seek(*from)
		for *from = nil; k != nil; k, v = c.Next() {
			if seen++; seen > r.retained {
				*from = bytes.Clone(k)
				return nil
			}
			if then, ok := at(v); ok && now.Sub(then) > keep {
				gone = append(gone, removal{bucket, bytes.Clone(k)})
			}
		}
		return nil
	})
	if err == nil {
		err = r.remove(ctx, gone, nil)
	}
	return *from != nil, err
}

type removal struct {
	bucket store.Name
	key    []byte
}

func (r *Relay) remove(ctx context.Context, gone []removal, also func(*store.Tx) error) error {
	if len(gone) == 0 && also == nil {
		return nil
	}
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		for _, g := range gone {
			if err := tx.Bucket(g.bucket).Delete(g.key); err != nil {
				return err
			}
		}
		if also != nil {
			return also(tx)
		}
		return nil
	})
	if err == nil {
		r.m.removed.Add(float64(len(gone)))
	}
	return err
}
