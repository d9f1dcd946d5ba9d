package forward

import (
	"context"
	"fmt"
	"time"

	"countersign/ingest/journal"
)

// Acked is a journal that waits for Kafka as well as for the disk: `ack: kafka`.
type Acked struct {
	Journal Numbered
	To      *Forwarder // of Updates
	Keys    Keys       // those of Updates
}

// Numbered is a journal that says where records stand. Its errors are those of journal.Appender.
type Numbered interface {
	// AppendAt is Appender.Append, and returns the position of the first record; the others have
	// the next offsets.
	AppendAt(ctx context.Context, rs ...journal.Record) (first journal.Position, err error)
	// HoldAt keeps an item in quarantine and appends the records, all or none, and returns the
	// position of the first.
	HoldAt(ctx context.Context, item journal.Item, rs ...journal.Record) (first journal.Position, err error)
}

// Append is Appender.Append, and nil only when the records are both on stable storage and
// acknowledged by all in-sync replicas. Where an acknowledgement cannot be expected, nothing is
// written and the error wraps ErrNotForwarded.
func (a Acked) Append(ctx context.Context, rs ...journal.Record) error {
	return a.both(ctx, rs, func() (journal.Position, error) { return a.Journal.AppendAt(ctx, rs...) })
}

// Hold is journal.Bolt.Hold; the records, if any, are acknowledged by Kafka too. The body in
// quarantine never goes there.
func (a Acked) Hold(ctx context.Context, item journal.Item, rs ...journal.Record) error {
	return a.both(ctx, rs, func() (journal.Position, error) { return a.Journal.HoldAt(ctx, item, rs...) })
}

// both writes records, and waits until Kafka has each.
func (a Acked) both(ctx context.Context, rs []journal.Record, write func() (first journal.Position, err error)) error {
	keys := make([][]byte, len(rs))
	for i := range rs {
		u, err := updateOf(&rs[i])
		if err != nil {
			return fmt.Errorf("append: %w", err)
		}
		if keys[i] = []byte(a.Keys.of(u)); !a.To.admits(keys[i]) {
			return fmt.Errorf("append: %w", journal.ErrNotForwarded)
		}
	}
	first, err := write()
	if err != nil {
		return err
	}
	for i := range keys {
		if err := a.To.await(ctx, keys[i], first.Plus(int64(i))); err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	return nil
}

// waiter waits until everything of its partition up to a place is acknowledged.
type waiter struct {
	place journal.Position
	done  chan struct{}
}

// partitionOf is where a key goes; negative: not known yet.
func (f *Forwarder) partitionOf(key []byte) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.places) == 0 {
		return -1
	}
	return int(PartitionOf(key, len(f.places)))
}

// patienceWithKafka is for how long a partition may fail before records for it are refused at once,
// instead of being written and then waited for in vain.
const patienceWithKafka = time.Second

// admits reports whether an acknowledgement can be expected for this key.
func (f *Forwarder) admits(key []byte) bool {
	p := f.partitionOf(key)
	f.mu.Lock()
	defer f.mu.Unlock()
	return p >= 0 && p < len(f.stuck) && !f.stopped && (f.stuck[p].IsZero() || f.o.Now().Sub(f.stuck[p]) < patienceWithKafka)
}

// await returns nil when Kafka has acknowledged what stands at a place.
func (f *Forwarder) await(ctx context.Context, key []byte, place journal.Position) error {
	p := f.partitionOf(key)
	if p < 0 {
		return journal.ErrNotForwarded
	}
	f.mu.Lock()
	if p < len(f.places) && f.places[p].Reaches(place) {
		f.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	f.waiting[p] = append(f.waiting[p], waiter{place, done})
	f.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		f.forgetWaiter(p, done)
		return fmt.Errorf("wait for Kafka: %w", ctx.Err())
	}
}

func (f *Forwarder) forgetWaiter(p int, done chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, w := range f.waiting[p] {
		if w.done == done {
			f.waiting[p] = append(f.waiting[p][:i], f.waiting[p][i+1:]...)
			return
		}
	}
}
