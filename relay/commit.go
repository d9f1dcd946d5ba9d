package relay

import (
	"countersign/ingest/journal"
	"countersign/outbox/store"
)

// commit writes the batch's effects and the position after it, in one transaction. It may run more
// than once.
func (b *batch) commit(tx *store.Tx, last journal.Position) error {
	found, err := tx.Bucket(store.Meta).Get(finderAt) // never written here
	if err != nil {
		return err
	}
	for _, w := range b.writes {
		if w.bucket == store.History && w.value != nil {
			if err := late(tx, found, w.key, store.RecordBody(w.value)); err != nil {
				return err
			}
		}
		var err error
		if w.value == nil {
			err = tx.Bucket(w.bucket).Delete(w.key)
		} else {
			err = tx.Bucket(w.bucket).PutRecord(w.key, w.value)
		}
		if err != nil {
			return err
		}
	}
	if err := b.r.o.Outbox.Put(tx, b.owed...); err != nil {
		return err
	}
	if err := b.r.o.Outbox.Again(tx, b.repeated...); err != nil {
		return err
	}
	if b.r.o.Forward {
		if err := b.r.feed.queue(tx, last, b.queued); err != nil {
			return err
		}
	}
	for _, o := range b.orders {
		if err := b.r.revive(tx, b.registry(), o); err != nil {
			return err
		}
	}
	for lane, n := range b.asideNow {
		if err := b.r.putAside(tx, lane, n); err != nil {
			return err
		}
	}
	for lane := range b.back {
		tx.OnCommit(func() { b.r.aside.end(lane) })
	}
	if err := b.keepCounts(tx); err != nil {
		return err
	}
	if b.unrouted != 0 {
		n, err := tx.Number(unroutedCountKey)
		if err == nil {
			n += b.unrouted
			err = tx.SetNumber(unroutedCountKey, n)
		}
		if err != nil {
			return err
		}
		tx.OnCommit(func() { b.r.unrouted.Store(n) })
	}
	return journal.WritePosition(tx, positionKey, last)
}
