package outbox

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"countersign/outbox/store"
)

// Settle records how an attempt ended. It returns at once; the effect is on disk with one of the
// next commits, and only then is the lane free for its next delivery. Until then a crash repeats
// the attempt with the same webhook-id.
func (b *Outbox) Settle(as ...Attempt) {
	if len(as) == 0 {
		return // nothing would ever end the wait of Flush
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.pending) == 0 && !b.scheduled {
		b.idle = make(chan struct{})
	}
	b.pending = append(b.pending, as...)
	for i := len(b.pending) - len(as); i < len(b.pending); i++ {
		a := &b.pending[i]
		if !a.needsBody() {
			a.Delivery.Body = nil // it may wait for a slow disk, in the company of thousands
		}
		if a.Delivery.from == b {
			b.count(-1)
		}
	}
	b.unsettled.Add(int64(len(as)))
	b.schedule()
}

// needsBody reports whether settling it writes what was sent.
func (a *Attempt) needsBody() bool { return a.Outcome == Died || a.Outcome == Retry && a.Remade }

// mostUnsettled is how many attempts may wait for their commit while others are begun: that many a
// crash repeats at most, beside those under way, and that many are in memory, however slow the
// disk.
const mostUnsettled = 8192

// Behind reports whether so many attempts wait for their commit that no other should be begun.
// Every endpoint receives a token (Wake) when that is over.
func (b *Outbox) Behind() bool {
	if b.unsettled.Load() < mostUnsettled {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unsettled.Load() < mostUnsettled {
		return false
	}
	b.refused = true
	return true
}

// caughtUp says that attempts may be begun again, if somebody was told that they may not. b.mu is
// held.
func (b *Outbox) caughtUp() {
	if !b.refused || b.unsettled.Load() > mostUnsettled/2 {
		return
	}
	b.refused = false
	for _, l := range *b.lanes.Load() {
		l.signal()
	}
}

// settleAtOnce is how many attempts one transaction settles. Their pages may have to be read from
// the disk first, and callbacks wait for the same writer.
const settleAtOnce = 1024

// next moves what the next transaction settles from pending to running. b.mu is held.
func (b *Outbox) next() {
	if n := settleAtOnce; len(b.pending) > n {
		b.running, b.spare = append(b.spare, b.pending[:n]...), nil
		clear(b.pending[:n])
		b.pending = b.pending[n:]
		return
	}
	b.running, b.pending, b.spare = b.pending, b.spare, nil
}

// schedule hands what is pending to the store, one batch at a time. b.mu is held.
func (b *Outbox) schedule() {
	if b.scheduled || len(b.pending) == 0 {
		return
	}
	b.scheduled = true
	if !b.o.Store.Later(b.settle, b.settled) {
		b.scheduled = false // the store has stopped; the leases die with the process and the attempts are repeated
		b.lose()
	}
}

// settle runs in the writer's transaction, perhaps more than once.
func (b *Outbox) settle(tx *store.Tx) error {
	b.mu.Lock()
	if b.running == nil {
		b.next()
	}
	batch := b.running
	b.mu.Unlock()
	t := b.tally()
	for i := range batch {
		if err := b.apply(tx, t, &batch[i]); err != nil {
			return err
		}
	}
	return t.write(tx)
}

// settled runs in the writer's goroutine after the commit.
func (b *Outbox) settled(err error) {
	if err != nil {
		b.retrySettle(err)
		return
	}
	b.mu.Lock()
	batch := b.running
	b.running = nil
	b.mu.Unlock()
	for _, a := range batch {
		b.show(a.Delivery.Endpoint, func(l *lanes) {
			delete(l.leased, a.Delivery.Lane)
			delete(l.undone, a.Delivery.Lane)
		})
	}
	for _, a := range batch {
		if l := b.of(a.Delivery.Endpoint); l != nil {
			l.signal()
		}
		if a.Settled != nil {
			a.Settled()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.scheduled = false
	b.unsettled.Add(-int64(len(batch)))
	if cap(batch) <= spareAttempts {
		clear(batch)
		b.spare = batch[:0]
	}
	b.caughtUp()
	if len(b.pending) == 0 {
		close(b.idle)
		return
	}
	b.schedule()
}

// spareAttempts is for how many attempts room is kept from one batch to the next: an attempt is
// large, and grown one by one a batch takes twice as much (BenchmarkLife).
const spareAttempts = 4096

// retrySettle keeps the batch: a full disk passes, and what was delivered must not be forgotten.
// Half of a batch may fit where it does not, and makes room for the rest. Any other error is ending
// the process.
func (b *Outbox) retrySettle(err error) {
	if errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrUnknown) {
		b.lose()
	}
	if errors.Is(err, store.ErrClosed) {
		return // the leases die with the process and the attempts are repeated
	}
	if !errors.Is(err, store.ErrFull) {
		b.o.Logger.Error("results_not_written", "error", err)
	}
	b.m.settleRetries.Inc()
	b.mu.Lock()
	if n := len(b.running); n > 1 && errors.Is(err, store.ErrFull) {
		b.pending = append(slices.Clone(b.running[n/2:]), b.pending...) // at most one of a lane is among them, so that their order means nothing
		b.running = b.running[:n/2]
	}
	b.mu.Unlock()
	time.AfterFunc(time.Second, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.scheduled = b.o.Store.Later(b.settle, b.settled); !b.scheduled {
			b.lose()
		}
	})
}

// lose notes that the store takes nothing any more: nobody need wait for it.
func (b *Outbox) lose() { b.lost.Do(func() { close(b.gone) }) }

// Flush waits until every attempt settled so far is on disk, or the store has stopped
// (store.ErrClosed): then those that are not are repeated.
func (b *Outbox) Flush(ctx context.Context) error {
	b.mu.Lock()
	idle := b.idle
	b.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-b.gone:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Outbox) apply(tx *store.Tx, t *tally, a *Attempt) error {
	d := &a.Delivery
	owed, damaged := tx.Bucket(store.Deliveries).Get(deliveryKey(d.Endpoint, d.Lane, d.Sequence))
	gone := d.WebhookID != "" && owed == nil && damaged == nil // given up, or swept away, as it was claimed
	if len(owed) >= bareAt {
		d.Order = max(d.Order, orderIn(owed)) // ordered again meanwhile: this attempt ends that, too
	}
	k, v, err := standsAt(tx, d)
	if h, _ := decodeHead(v); err != nil || v == nil || h.seq != d.head { // of one that cannot be read, 0, as the claim has it
		if gone {
			return b.arrive(tx, t, a)
		}
		return nil // damaged since: then it stays where it is
	}
	if err := unstand(tx, d.Endpoint, d.Lane, k); err != nil {
		return err
	}
	if gone {
		if _, err := b.settleDead(tx, t, a); err != nil {
			return err
		}
		return b.advance(tx, t, d, delivered(a))
	}
	if a.Outcome == Retry {
		if over, err := b.superseded(tx, t, d); err != nil {
			return err
		} else if over {
			given := *a // the attempt itself may have to be settled once more
			given.Outcome, given.Reason, given.Delivery.Body = Died, Overflow, nil
			a, d = &given, &given.Delivery
		}
	}
	switch a.Outcome {
	case Retry:
		if a.Remade {
			if err := tx.Bucket(store.Deliveries).PutRecord(deliveryKey(d.Endpoint, d.Lane, d.Sequence), encodeDelivery(d)); err != nil {
				return err
			}
		}
		if !b.o.Store.Low() { // else what made room by being delivered would be filled with the failures of what is not
			if err := b.note(tx, t, a); err != nil {
				return err
			}
		}
		return b.again(tx, a)
	case Died:
		if err := b.note(tx, t, a); err != nil {
			return err
		}
		if err := b.inter(tx, t, a); err != nil {
			return err
		}
		return b.advance(tx, t, d, told{})
	case Cancelled: // no attempt ends so
	case Done:
		if err := b.accepted(tx, t, a); err != nil {
			return err
		}
	}
	switch again, err := b.behindReplays(tx, d); {
	case err != nil:
		return err
	case again:
		return b.advance(tx, t, d, upTo(d.Sequence))
	}
	if err := b.forget(tx, t, d); err != nil {
		return err
	}
	return b.advance(tx, t, d, upTo(d.Sequence))
}

// accepted writes that a delivery was accepted. The text of the answer has to find room.
func (b *Outbox) accepted(tx *store.Tx, t *tally, a *Attempt) error {
	if a.Exchange.Answer.Text != "" && !t.spare(len(a.Exchange.Answer.Text)) {
		bare := *a
		bare.Exchange.Answer.Text, bare.Exchange.Answer.Gone = "", true
		a = &bare
	}
	if err := b.o.Settled(tx, *a); err != nil {
		return err
	}
	return b.endWithheld(tx, &a.Delivery, delivered(a))
}

// told is up to where a lane has been told; zero: of nothing.
type told struct {
	seq   uint64
	order int64 // what was ordered after it is not meant
}

// upTo is up to where an attempt of today has told it.
func upTo(seq uint64) told { return told{seq, math.MaxInt64} }

// overtakes reports whether what is owed of a lane is needless by now.
func (by told) overtakes(d *Delivery) bool {
	return d.Sequence <= by.seq && d.Order <= by.order && !d.Force
}

// delivered is up to where an attempt has told the lane.
func delivered(a *Attempt) (by told) {
	if a.Outcome == Done {
		by = upTo(a.Delivery.Sequence)
	}
	return by
}

// settleDead settles what was put down as dead, or cancelled, while it was under way: if it has
// arrived, it counts as delivered.
func (b *Outbox) settleDead(tx *store.Tx, t *tally, a *Attempt) (arrived bool, err error) {
	d := &a.Delivery
	if a.Outcome == Done && b.isUndone(d) {
		return true, errors.Join(b.o.Settled(tx, *a), b.endWithheld(tx, d, delivered(a)))
	}
	view, _, err := dead(tx, d.ID())
	if a.Outcome != Done || err != nil || view.Sequence != d.Sequence || view.Subject != d.Lane {
		return false, nil //nolint:nilerr // it stays as it is
	}
	t.dead[d.Endpoint]--
	if err := view.drop(tx); err != nil {
		return true, err
	}
	if err := b.o.Settled(tx, *a); err != nil {
		return true, err
	}
	return true, b.endWithheld(tx, d, delivered(a))
}

// arrive is settleDead where the lane has another head since: what was overtaken is dead as well.
func (b *Outbox) arrive(tx *store.Tx, t *tally, a *Attempt) error {
	arrived, err := b.settleDead(tx, t, a)
	if !arrived || err != nil {
		return err
	}
	return b.within(tx, t, &a.Delivery, delivered(a), func() error { return nil })
}

// forget takes a delivery out of what is owed.
func (b *Outbox) forget(tx *store.Tx, t *tally, d *Delivery) error {
	t.owed[d.Endpoint]--
	return tx.Bucket(store.Deliveries).Delete(deliveryKey(d.Endpoint, d.Lane, d.Sequence))
}

// advance makes the lane's next delivery its head, due now. Those that a later change has overtaken
// are dead: all of them now, or one behind a forced one would be sent after it.
func (b *Outbox) advance(tx *store.Tx, t *tally, d *Delivery, by told) error {
	first, err := b.overtake(tx, t, d, by)
	if first == 0 || err != nil {
		return err
	}
	return b.setHead(tx, d.Endpoint, d.Lane, b.o.Now().UnixMilli(), head{seq: first}, owesRestrictive(tx, d.Endpoint, d.Lane))
}

// overtake puts down as dead what is overtaken of a lane, and returns what is first then; 0: nothing
// is left.
func (b *Outbox) overtake(tx *store.Tx, t *tally, d *Delivery, by told) (first uint64, err error) {
	prefix := laneKey(d.Endpoint, d.Lane)
	from := prefix
	for {
		k, v := tx.Bucket(store.Deliveries).From(from)
		if !isOfLane(k, prefix) {
			return first, nil
		}
		next := Delivery{Endpoint: d.Endpoint, Lane: d.Lane, Sequence: sequence(k)}
		stays := next.Sequence > by.seq || decodeDelivery(v, &next) != nil || !by.overtakes(&next) // a damaged one is found by the claim
		if stays && first == 0 {
			first = next.Sequence
		}
		if next.Sequence > by.seq {
			return first, nil
		}
		if stays {
			from = append(bytes.Clone(k), 0)
			continue
		}
		if err := b.inter(tx, t, &Attempt{Delivery: next, Outcome: Died, Reason: Overtaken, At: b.o.Now()}); err != nil {
			return 0, err
		}
	}
}
