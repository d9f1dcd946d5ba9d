package outbox

import (
	"errors"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// Receipt is how a delivery of an order ended, perhaps elsewhere.
type Receipt struct {
	Endpoint  string
	Lane      string
	WebhookID string
	Sequence  uint64
	Order     int64 // what was ordered after it goes on
	Outcome   Outcome
	Reason    string
	At        time.Time
}

// Receive ends what is owed of an order that is not newer than its receipt's, in the caller's
// transaction: as a 2xx would, dead, or cancelled. What is dead of such an order is dead no more
// once it has been accepted or cancelled. A receipt of anything else, of what is damaged, or of what
// has ended so before does nothing. Options.Settled is called for each that ends something, and not
// by an attempt of ours that was in flight then and comes to an end after it: but for one that
// arrives after all, of what died or was cancelled, as ever.
func (b *Outbox) Receive(tx *store.Tx, rs ...Receipt) error {
	t := b.tally()
	for i := range rs {
		if err := b.receive(tx, t, &rs[i]); err != nil {
			return err
		}
	}
	return t.write(tx)
}

func (b *Outbox) receive(tx *store.Tx, t *tally, r *Receipt) error {
	d := Delivery{Endpoint: r.Endpoint, Lane: r.Lane, Sequence: r.Sequence}
	owed := readDelivery(tx.Bucket(store.Deliveries), &d) == nil
	if !owed {
		is, _, err := deadOf(tx, deliveryKey(r.Endpoint, r.Lane, r.Sequence))
		if err != nil || r.Outcome == Died {
			return nil //nolint:nilerr // it ended before, or is damaged
		}
		d = is.delivery()
	}
	if d.WebhookID != r.WebhookID || d.Order > r.Order {
		return nil
	}
	a := &Attempt{Delivery: d, Outcome: r.Outcome, Reason: r.Reason, At: r.At}
	switch r.Outcome {
	case Done:
		return b.receiveDone(tx, t, a, told{r.Sequence, r.Order}, owed)
	case Died:
		return b.within(tx, t, &a.Delivery, told{}, func() error { return b.receiveDied(tx, t, a) })
	case Cancelled:
		b.undo(&a.Delivery)
		return b.within(tx, t, &a.Delivery, told{}, func() error {
			if a.Delivery.Restrictive {
				if err := lapse(tx, &a.Delivery, ReasonCancelled); err != nil {
					return err
				}
			}
			return errors.Join(b.remove(tx, t, &a.Delivery, owed), b.o.Settled(tx, *a))
		})
	case Retry:
	}
	return fmt.Errorf("receipt of %s: no delivery ends as %q", d.ID(), r.Outcome)
}

// remove takes away what is owed, or dead.
func (b *Outbox) remove(tx *store.Tx, t *tally, d *Delivery, owed bool) error {
	if owed {
		return b.forget(tx, t, d)
	}
	return b.exhume(tx, t, d)
}

// receiveDone ends what was accepted as an attempt would.
func (b *Outbox) receiveDone(tx *store.Tx, t *tally, a *Attempt, by told, owed bool) error {
	d := &a.Delivery
	return b.within(tx, t, d, by, func() (err error) {
		again := false
		if owed {
			again, err = b.behindReplays(tx, d)
		}
		if !again && err == nil {
			err = b.remove(tx, t, d, owed)
		}
		return errors.Join(err, b.o.Settled(tx, *a), b.endWithheld(tx, d, by))
	})
}

// receiveDied makes what is owed dead. What was given up for want of room has no body then, and
// waits for room unless something later was decided.
func (b *Outbox) receiveDied(tx *store.Tx, t *tally, a *Attempt) error {
	d := &a.Delivery
	if a.Reason != Overflow {
		return b.inter(tx, t, a)
	}
	d.Body = nil
	if err := b.inter(tx, t, a); err != nil || b.newestDecision(tx, d) > d.Sequence {
		return err
	}
	return await(tx, d)
}
