package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// What an operator does with single deliveries. Each call is nil once what it did is on stable
// storage, and does nothing a second time.

// Why a delivery cannot be steered so.
var (
	ErrDead        = errors.New("it is dead-lettered: redeliver it to send it again")
	ErrDelivered   = errors.New("its endpoint has accepted it")
	ErrCancelled   = errors.New("it was cancelled: it is never sent")
	ErrRestrictive = errors.New("it tells of a rejection or suspension, which its partner would never learn")
)

// BehindError says that a delivery does not hold its person's lane up: another one does.
type BehindError struct{ Head string }

// Error implements error.
func (e *BehindError) Error() string { return "it waits behind " + e.Head + ", which goes first" }

// Hurried is what making a lane due came to.
type Hurried struct {
	Head     string    // the id of the delivery that is tried first
	Failures int       // of it, so far
	Due      time.Time // when it is due now
	InFlight bool      // it is being tried, and nothing was changed
	Moved    bool      // it was due later
}

// RetryNow has the head of the lane of a delivery that is owed tried now, whatever its schedule
// says. What it has failed so far still counts.
func (b *Outbox) RetryNow(ctx context.Context, endpoint, lane string, seq uint64) (h Hurried, err error) {
	err = b.o.Store.Update(ctx, func(tx *store.Tx) error {
		h = Hurried{}
		if !tx.Bucket(store.Deliveries).Has(deliveryKey(endpoint, lane, seq)) {
			return ErrNotFound
		}
		k, v := locate(tx, endpoint, lane)
		if v == nil {
			return ErrNotFound // its lane is damaged: Mend sees to it
		}
		first, at, due := leadsTo(tx, k, v)
		now := b.o.Now()
		h.Head, h.Failures, h.Due = first.ID(), at.failures, time.UnixMilli(due).UTC()
		if l := b.of(endpoint); l != nil {
			h.InFlight = l.inFlight(lane) != 0
		}
		if h.InFlight || due <= now.UnixMilli() {
			return nil
		}
		h.Due, h.Moved = time.UnixMilli(now.UnixMilli()).UTC(), true
		return b.moveHead(tx, bytes.Clone(k), bytes.Clone(v), now.UnixMilli())
	})
	return h, err
}

// moveHead makes a head due at another time.
func (b *Outbox) moveHead(tx *store.Tx, k, v []byte, due int64) error {
	endpoint, c, _, lane, _ := splitDue(k)
	if err := unstand(tx, endpoint, lane, k); err != nil {
		return err
	}
	if err := tx.Bucket(store.Due).Put(placeKey(endpoint, lane), place(c, due)); err != nil {
		return err
	}
	return b.stand(tx, endpoint, lane, c, due, v)
}

const (
	hurryChunk  = 500              // heads made due in one transaction
	hurrySpread = time.Millisecond // between two of them: the slots and the rate of the endpoint hold anyway
)

// RetryAll makes up to most heads of an endpoint that wait for their next try due now, one after
// the other in the order in which they would have been, and reports whether there may be more. What
// is due within the time that this spreads them over stays as it is.
func (b *Outbox) RetryAll(ctx context.Context, endpoint string, most int) (n int, more bool, err error) {
	begun := b.o.Now()
	horizon := begun.Add(time.Duration(most) * hurrySpread).UnixMilli()
	for _, of := range []class{urgentFailed, plainFailed} {
		for more = true; more && n < most; {
			moved := 0
			err := b.o.Store.Update(ctx, func(tx *store.Tx) (err error) { // its own err: it may still run when ctx has ended
				moved, more, err = b.hurrySome(tx, endpoint, of, horizon, min(hurryChunk, most-n), begun.Add(time.Duration(n)*hurrySpread))
				return err
			})
			if err != nil {
				return n, true, fmt.Errorf("retry what %s waits for: %w", endpoint, err)
			}
			n += moved
		}
	}
	return n, more, nil
}

// hurrySome is one transaction of RetryAll.
func (b *Outbox) hurrySome(tx *store.Tx, endpoint string, of class, horizon int64, most int, from time.Time) (n int, more bool, err error) {
	prefix := append([]byte(endpoint), 0, byte(of))
	l := b.of(endpoint)
	var heads [][2][]byte
	c := tx.Bucket(store.Due).Cursor()
	for k, v := c.Seek(binary.BigEndian.AppendUint64(bytes.Clone(prefix), uint64(horizon+1))); bytes.HasPrefix(k, prefix); k, v = c.Next() { //nolint:gosec // after 1970
		_, _, _, lane, ok := splitDue(k)
		if !ok || v == nil || l != nil && l.inFlight(lane) != 0 {
			continue
		}
		if more = len(heads) == most; more {
			break
		}
		heads = append(heads, [2][]byte{bytes.Clone(k), bytes.Clone(v)})
	}
	for i, h := range heads {
		if err := b.moveHead(tx, h[0], h[1], from.Add(time.Duration(i)*hurrySpread).UnixMilli()); err != nil {
			return 0, false, err
		}
	}
	return len(heads), more, nil
}

// Skip puts the delivery down as dead that holds its person's lane up: the lane goes on without it,
// and it is kept, listed, and can be ordered again. A rejection or suspension stays withheld until
// it is acknowledged. A BehindError names another one that goes first.
func (b *Outbox) Skip(ctx context.Context, endpoint, lane string, seq uint64) (known bool, err error) {
	err = b.o.Store.Update(ctx, func(tx *store.Tx) error {
		known = false
		d := Delivery{Endpoint: endpoint, Lane: lane, Sequence: seq}
		if err := readDelivery(tx.Bucket(store.Deliveries), &d); err != nil {
			known = wasSkipped(tx, &d)
			if known {
				return nil
			}
			return ErrNotFound
		}
		k, v := locate(tx, endpoint, lane)
		if v == nil {
			return ErrNotFound // its lane is damaged: Mend sees to it
		}
		k = bytes.Clone(k)
		first, h, _ := leadsTo(tx, k, v)
		if first.Sequence != seq {
			return &BehindError{first.ID()}
		}
		d.Failures = h.failures
		t := b.tally()
		if err := b.inter(tx, t, &Attempt{Delivery: d, Outcome: Died, Reason: ReasonSkipped, At: b.o.Now()}); err != nil {
			return err
		}
		return b.leave(tx, t, &d, k)
	})
	return known, err
}

// wasSkipped reports whether a delivery is dead because it was skipped.
func wasSkipped(tx *store.Tx, d *Delivery) bool {
	is, _, err := deadOf(tx, deliveryKey(d.Endpoint, d.Lane, d.Sequence))
	return err == nil && is.Reason == ReasonSkipped
}

// leave gives a lane whose head has gone its next one.
func (b *Outbox) leave(tx *store.Tx, t *tally, d *Delivery, head []byte) error {
	if err := unstand(tx, d.Endpoint, d.Lane, head); err != nil {
		return err
	}
	if err := b.advance(tx, t, d, told{}); err != nil {
		return err
	}
	return t.write(tx)
}

// Cancel is an operator's word that a delivery is never sent.
type Cancel struct {
	By      string
	Because string
	Force   bool // also a rejection or suspension, which stays withheld until it is acknowledged
}

// Cancel takes a delivery that is owed, or dead, out for good: its history says so, its body goes,
// and it cannot be ordered again. What is in flight and arrives all the same counts as delivered.
func (b *Outbox) Cancel(ctx context.Context, endpoint, lane string, seq uint64, c Cancel) error {
	return b.o.Store.Update(ctx, func(tx *store.Tx) error {
		t := b.tally()
		d := Delivery{Endpoint: endpoint, Lane: lane, Sequence: seq}
		err := readDelivery(tx.Bucket(store.Deliveries), &d)
		owed := err == nil
		if !owed {
			is, _, err := deadOf(tx, deliveryKey(endpoint, lane, seq))
			if err != nil || is.Reason == Damaged {
				return ErrNotFound // or what is kept of it is no delivery
			}
			d = is.delivery()
		}
		if d.Restrictive && !c.Force {
			return ErrRestrictive
		}
		d.Body = nil
		if d.Restrictive {
			if err := lapse(tx, &d, ReasonCancelled); err != nil {
				return err
			}
		}
		if owed {
			err = b.strike(tx, t, &d)
		} else {
			err = b.exhume(tx, t, &d)
		}
		if err != nil {
			return err
		}
		a := Attempt{Delivery: d, Outcome: Cancelled, Reason: ReasonCancelled, At: b.o.Now(), By: c.By, Because: c.Because}
		return errors.Join(b.o.Settled(tx, a), t.write(tx))
	})
}

// strike takes a delivery out of its lane.
func (b *Outbox) strike(tx *store.Tx, t *tally, d *Delivery) error {
	b.undo(d)
	return b.within(tx, t, d, told{}, func() error { return b.forget(tx, t, d) })
}

// undo notes that what is in flight is cancelled. Should that fail, it is claimed as it was, and
// nobody asks.
func (b *Outbox) undo(d *Delivery) {
	b.show(d.Endpoint, func(l *lanes) {
		if l.leased[d.Lane] == d.Sequence {
			l.undone[d.Lane] = d.Sequence
		}
	})
}

// within ends a delivery that may stand anywhere in its lane, or stands there no more, and sees to
// the lane: what has been overtaken is dead, and if the head has ended the next one is tried now.
// Else the head stays, and so does when it is due; but it may be urgent no more, and where it stands
// may have followed from what has gone. end is called while d.Failures is as of the head.
func (b *Outbox) within(tx *store.Tx, t *tally, d *Delivery, by told, end func() error) error {
	k, v := locate(tx, d.Endpoint, d.Lane)
	if v == nil {
		return end() // nothing else is owed, or the lane is damaged: Mend sees to it
	}
	k, v = bytes.Clone(k), bytes.Clone(v)
	first, h, due := leadsTo(tx, k, v)
	if first.Sequence == d.Sequence {
		d.Failures = h.failures
	}
	if err := errors.Join(end(), unstand(tx, d.Endpoint, d.Lane, k)); err != nil {
		return err
	}
	next, err := b.overtake(tx, t, d, by)
	if next == 0 || err != nil {
		return err
	}
	if first.Sequence == d.Sequence || !tx.Bucket(store.Deliveries).Has(deliveryKey(d.Endpoint, d.Lane, first.Sequence)) {
		h, due = head{seq: next}, b.o.Now().UnixMilli()
	}
	return b.setHead(tx, d.Endpoint, d.Lane, due, h, owesRestrictive(tx, d.Endpoint, d.Lane))
}

// exhume takes a dead delivery away, and out of the row of those that wait for room.
func (b *Outbox) exhume(tx *store.Tx, t *tally, d *Delivery) error {
	is, _, err := deadOf(tx, deliveryKey(d.Endpoint, d.Lane, d.Sequence))
	if err != nil {
		return err
	}
	t.dead[d.Endpoint]--
	return errors.Join(is.drop(tx), tx.Bucket(store.Withheld).Delete(roomKey(d.Endpoint, d.WebhookID, d.Restrictive, d.Owed)))
}

// delivery is what a dead one was, without its body.
func (d *DeadDelivery) delivery() Delivery {
	return Delivery{
		Endpoint: d.Endpoint, Lane: d.Subject, Sequence: d.Sequence, PreviousSequence: d.Previous, Order: d.Order, WebhookID: d.webhookID(), Type: d.Type, Format: d.Format, Traceparent: d.Trace,
		Restrictive: d.Restrictive, Anew: d.Anew, Replayed: d.Replayed, Owed: d.Owed, Received: d.Received, Failures: d.Failures,
	}
}

// isUndone reports whether what is in flight was cancelled since.
func (b *Outbox) isUndone(d *Delivery) (yes bool) {
	b.show(d.Endpoint, func(l *lanes) { yes = l.undone[d.Lane] == d.Sequence && d.Sequence != 0 })
	return yes
}
