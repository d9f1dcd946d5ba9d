package relay

import (
	"context"
	"time"

	"countersign/ingest/journal"
	"countersign/outbox"
)

// maxStep is how many callbacks' records are folded in one transaction, if there is room.
const maxStep = 4096

// smaller halves the next batch, after one of so many callbacks found no room. One alone waits a
// second: room comes back, for deliveries are still being settled. It reports false when ctx ended
// first.
func (r *Relay) smaller(ctx context.Context, callbacks int) bool {
	if halving && callbacks > 1 {
		r.step = callbacks / 2
		return ctx.Err() == nil
	}
	r.waiting.Store(true)
	return pause(ctx, time.Second)
}

// awaitRegistry waits until it is known what decides about a record. It reports false when ctx ended
// first.
func (r *Relay) awaitRegistry(ctx context.Context, rec *journal.Record) bool {
	r.o.Logger.Warn("registry_not_read", "offset", rec.Position.Offset, "error", errNotRead)
	for r.o.Snapshot(rec.Position) == nil {
		if !pause(ctx, 100*time.Millisecond) {
			return false
		}
	}
	return true
}

// size is what the batch writes, in bytes, and into how many places of the file: an upper bound,
// since what stands together shares a page.
func (b *batch) size() (bytes int64, places int) {
	const (
		head = 256     // of a delivery: what is beside its body and names, in the two buckets it stands in
		over = 2 << 10 // where an endpoint owes as much as it may: who gives way is written down as dead, in its history, and in the row of those that wait
	)
	places = len(b.writes) + 8
	for _, w := range b.writes {
		bytes += int64(len(w.key) + len(w.value))
	}
	all := len(b.owed) + len(b.repeated)
	now := b.r.o.Registry.Read() // how much may be owed is of the moment
	for i := range all {
		d := b.nth(i)
		bytes += int64(head + len(d.Body) + 2*(len(d.Endpoint)+len(d.Lane)))
		places += 2
		if d.Restrictive { // as a rejection that is withheld
			bytes += head
			places += 3
		}
		if e := now.Endpoint(d.Endpoint); e != nil && e.MaxOwed > 0 && b.r.o.Outbox.Owed(d.Endpoint)+int64(all) > e.MaxOwed {
			bytes += over
			places += 8
		}
	}
	return bytes + int64(len(b.queued.value)), places
}

// nth is one of the deliveries that a batch owes, those of replays last.
func (b *batch) nth(i int) *outbox.Delivery {
	if i < len(b.owed) {
		return &b.owed[i]
	}
	return &b.repeated[i-len(b.owed)]
}
