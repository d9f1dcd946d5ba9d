package journal

import (
	"context"
	"math"
	"time"

	"countersign/outbox/store"
)

// What somebody needs who takes every record somewhere else, as a forwarder does: to read after an
// offset, to know how much waits there, to learn where records stand that are appended, and to keep
// what it has not passed from being forgotten.

// Follow makes Trim wait for a follower: passed is up to where it needs nothing any more. Call it
// before the journal is used.
func (j *Bolt) Follow(passed func() int64) { j.followers = append(j.followers, passed) }

// Unneeded is what a follower passes that needs nothing at all.
const Unneeded = math.MaxInt64

// Forgotten is the offset up to which the journal has forgotten its records.
func (j *Bolt) Forgotten() int64 { return j.trimmed.Load() }

// Read returns records after an offset in order, and the offset up to which it has looked. It waits
// until there is something, or until ctx ends: then it returns the offset it was given.
func (j *Bolt) Read(ctx context.Context, after int64) ([]Record, int64, error) {
	for {
		more := j.more.next()
		batch, last, err := j.read(after)
		if err != nil {
			return nil, after, err
		}
		if last > after {
			return batch, last, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, after, nil
		}
	}
}

// Waiting is how many records there are after an offset, and when the first of them was appended;
// zero: none, or unknown.
func (j *Bolt) Waiting(after int64) (n int64, since time.Time) {
	if n = j.next.Load() - 1 - after; n <= 0 {
		return 0, time.Time{}
	}
	err := j.o.Store.View(func(tx *store.Tx) error {
		since = firstAppended(tx, after)
		return nil
	})
	if err != nil {
		return n, time.Time{}
	}
	return n, since
}

// PassOver notes that a follower could make nothing of a record, whose body is no update. The relay
// keeps such a one among what waits for somebody to be known (I8).
func (j *Bolt) PassOver(offset int64) {
	j.m.damaged.Inc()
	j.o.Logger.Error("record_not_forwarded", "offset", offset, "error", "its body is not an update")
}

// AppendAt is Append, and returns the offset of the first record.
func (j *Bolt) AppendAt(ctx context.Context, rs ...Record) (int64, error) {
	return landed(func(first *int64) error { return j.append(ctx, rs, first, nil) })
}

// HoldAt is Hold, and returns the offset of the first record; 0: there are none.
func (j *Bolt) HoldAt(ctx context.Context, item Item, rs ...Record) (int64, error) {
	return landed(func(first *int64) error { return j.hold(ctx, item, rs, first) })
}

// AppendWith implements Journal.
func (j *Bolt) AppendWith(ctx context.Context, also func(*store.Tx) error, rs ...Record) (int64, error) {
	return landed(func(first *int64) error { return j.append(ctx, rs, first, also) })
}

// landed reads where records stand only once they do: after an error the store may still be writing
// it.
func landed(write func(first *int64) error) (int64, error) {
	var first int64
	if err := write(&first); err != nil {
		return 0, err
	}
	return first, nil
}
