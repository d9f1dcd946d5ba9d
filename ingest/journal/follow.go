package journal

import (
	"context"
	"time"

	"countersign/outbox/store"
)

// What somebody needs who takes every record somewhere else, as a forwarder does: to read after an
// offset, to know how much waits there, to learn where records stand that are appended, and to keep
// what it has not passed from being forgotten.

// Follow makes Passed keep what a follower needs: passed is up to where it needs nothing any more.
// Call it before the journal is used.
func (j *Bolt) Follow(passed func() Position) { j.followers = append(j.followers, passed) }

// Forgotten is the position up to which the journal has forgotten its records; offset 0: none.
func (j *Bolt) Forgotten() Position { return j.at(j.trimmed.Load()) }

// Read returns records after a position in order, and the position up to which it has looked. It
// waits until there is something, or until ctx ends: then it returns the position it was given.
func (j *Bolt) Read(ctx context.Context, after Position) ([]Record, Position, error) {
	if err := j.ofThis(after); err != nil {
		return nil, after, err
	}
	for {
		more := j.more.next()
		batch, last, err := j.read(after.Offset)
		if err != nil {
			return nil, after, err
		}
		if last > after.Offset {
			return batch, j.at(last), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, after, nil
		}
	}
}

// Waiting is how many records there are after a position, and when the first of them was appended;
// zero: none, or unknown. The offsets of this journal have no gaps.
func (j *Bolt) Waiting(after Position) (n int64, since time.Time) {
	after = j.at(max(after.Offset, j.trimmed.Load()))
	if n = j.next.Load() - 1 - after.Offset; n <= 0 {
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
func (j *Bolt) PassOver(at Position) {
	j.m.damaged.Inc()
	j.o.Logger.Error("record_not_forwarded", "offset", at.Offset, "error", "its body is not an update")
}

// AppendAt is Append, and returns the position of the first record.
func (j *Bolt) AppendAt(ctx context.Context, rs ...Record) (Position, error) {
	return landed(func(first *Position) error { return j.append(ctx, rs, first, nil) })
}

// HoldAt is Hold, and returns the position of the first record; one without an offset: there are
// none.
func (j *Bolt) HoldAt(ctx context.Context, item Item, rs ...Record) (Position, error) {
	return landed(func(first *Position) error { return j.hold(ctx, item, rs, first) })
}

// AppendWith implements Appender.
func (j *Bolt) AppendWith(ctx context.Context, also func(*store.Tx) error, rs ...Record) (Position, error) {
	return landed(func(first *Position) error { return j.append(ctx, rs, first, also) })
}

// landed reads where records stand only once they do: after an error the store may still be writing
// it.
func landed(write func(first *Position) error) (Position, error) {
	var first Position
	if err := write(&first); err != nil {
		return Position{}, err
	}
	return first, nil
}
