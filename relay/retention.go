package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	bolt "go.etcd.io/bbolt"

	"countersign/kyc"
	"countersign/outbox/store"
)

// Retention says how long what is kept; zero: for ever. The state of a subject, and what is owed, are never removed.
type Retention struct {
	Changes  time.Duration // changes, from which an overflowed delivery can be made again
	History  time.Duration // records with their verdicts, and how deliveries ended
	Attempts time.Duration // failed tries
}

const (
	retainStep  = 2000          // entries looked at in one transaction
	retainPause = time.Second   // between steps
	retainRest  = 6 * time.Hour // between passes
)

// retain walks the kept entries slowly, a small transaction at a time, and removes what has had its time.
func (r *Relay) retain(ctx context.Context) error {
	for {
		for _, w := range []struct {
			bucket []byte
			old    func(k, v []byte, now time.Time) bool
		}{{store.Subjects, r.oldHistory}, {store.Attempts, r.oldAttempt}} {
			var from []byte
			for {
				next, err := r.retainStep(ctx, w.bucket, from, w.old)
				if err != nil && !isFull(err) {
					if ctx.Err() != nil {
						return nil //nolint:nilerr // stopping
					}
					return err
				}
				if !pause(ctx, retainPause) {
					return nil
				}
				if from = next; from == nil {
					break
				}
			}
		}
		if !pause(ctx, retainRest) {
			return nil
		}
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

// retainStep looks at some entries from a key on and returns where to go on, nil at the end. What is old is found in a read transaction, so that the writer is
// asked only when there is something to remove.
func (r *Relay) retainStep(ctx context.Context, bucket, from []byte, old func(k, v []byte, now time.Time) bool) (next []byte, err error) {
	var keys [][]byte
	now := r.o.Now()
	err = r.o.Store.View(func(tx *bolt.Tx) error {
		n := 0
		c := tx.Bucket(bucket).Cursor()
		for k, v := c.Seek(from); k != nil; k, v = c.Next() {
			if n++; n > retainStep {
				next = bytes.Clone(k)
				return nil
			}
			if old(k, v, now) {
				keys = append(keys, bytes.Clone(k))
			}
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return next, err
	}
	err = r.o.Store.Update(ctx, func(tx *bolt.Tx) error {
		for _, k := range keys {
			if err := tx.Bucket(bucket).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		r.m.removed.Add(float64(len(keys)))
	}
	return next, err
}

// oldHistory looks at an entry of the subjects bucket. A damaged one is never old.
func (r *Relay) oldHistory(k, v []byte, now time.Time) bool {
	end := bytes.IndexByte(k, 0)
	if end < 0 || len(k) < end+2 {
		return false
	}
	body, _, err := store.Record(v)
	if err != nil {
		return false
	}
	switch k[end+1] {
	case partHistory, partOutcome:
		var h struct {
			At time.Time `json:"at"`
		}
		return json.Unmarshal(body, &h) == nil && past(h.At, r.o.Retention.History, now)
	case partChange:
		var c kyc.Change
		return json.Unmarshal(body, &c) == nil && past(c.ReceivedAt, r.o.Retention.Changes, now)
	default:
		return false
	}
}

func (r *Relay) oldAttempt(_, v []byte, now time.Time) bool {
	body, _, err := store.Record(v)
	var try struct {
		At time.Time `json:"at"`
	}
	return err == nil && json.Unmarshal(body, &try) == nil && past(try.At, r.o.Retention.Attempts, now)
}

func past(at time.Time, keep time.Duration, now time.Time) bool {
	return keep > 0 && !at.IsZero() && now.Sub(at) > keep
}
