package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"

	"countersign/outbox/store"
)

// Put owes deliveries, in the caller's transaction (I2). What exceeds an endpoint's max_owed (admit
// has the rule) is put down as dead instead: nothing is dropped and nothing grows without bound. A
// disabled endpoint is owed things like any other. What is owed already stays as it is, but for a
// greater order. What is given up ends at the instant from which what comes is owed (Delivery.Owed):
// the clock has no part in what Put writes but the due index.
func (b *Outbox) Put(tx *store.Tx, ds ...Delivery) error {
	t := b.tally()
	for i := range ds {
		if err := b.put(tx, t, &ds[i]); err != nil {
			return err
		}
	}
	return t.write(tx)
}

func (b *Outbox) put(tx *store.Tx, t *tally, d *Delivery) error {
	l := b.of(d.Endpoint)
	waiting := tx.Bucket(store.Deliveries)
	empty := !laneHasMore(tx, d.Endpoint, d.Lane)
	k := deliveryKey(d.Endpoint, d.Lane, d.Sequence)
	if !empty && waiting.Has(k) {
		return raise(tx, k, d.Order) // owed already, and so not dead as well
	}
	if err := withhold(tx, d); err != nil {
		return err
	}
	if l == nil {
		return b.bury(tx, t, d, Removed, d.Owed)
	}
	at, err := t.standing(tx, d.Endpoint)
	switch {
	case err != nil:
		return err
	case l.maxOwed.Load() > 0 && at.owed+t.owed[d.Endpoint] >= l.maxOwed.Load():
		if ok, err := b.admit(tx, t, l, d, at.owed+t.owed[d.Endpoint]); !ok || err != nil {
			bare := *d
			bare.Body = nil
			return errors.Join(err, b.bury(tx, t, &bare, Overflow, d.Owed))
		}
	}
	if !empty {
		if err := b.behind(tx, l, d); err != nil {
			return err
		}
	}
	if err := waiting.PutRecord(k, encodeDelivery(d)); err != nil {
		return err
	}
	t.owed[d.Endpoint]++
	if !empty {
		return nil // behind its lane's head
	}
	return b.firstHead(tx, d)
}

// raise gives what is owed under a key a greater order. A damaged one has none.
func raise(tx *store.Tx, k []byte, order int64) error {
	var d Delivery
	v, err := tx.Bucket(store.Deliveries).Get(k)
	if err != nil || decodeDelivery(v, &d) != nil || d.Order >= order {
		return nil //nolint:nilerr // a damaged one is found by the claim
	}
	d.Order = order
	return tx.Bucket(store.Deliveries).PutRecord(k, encodeDelivery(&d))
}

// raiseID is raise for a delivery that is known by its webhook-id: it looks through the lane.
func raiseID(tx *store.Tx, is *Delivery) error {
	prefix := laneKey(is.Endpoint, is.Lane)
	c := tx.Bucket(store.Deliveries).Cursor()
	for k, v := c.Seek(prefix); isOfLane(k, prefix); k, v = c.Next() {
		var d Delivery
		if _, err := decodeBare(v, &d); err == nil && d.WebhookID == is.WebhookID {
			return raise(tx, bytes.Clone(k), is.Order)
		}
	}
	return nil
}

func laneHasMore(tx *store.Tx, endpoint, lane string) bool {
	prefix := laneKey(endpoint, lane)
	k, _ := tx.Bucket(store.Deliveries).From(prefix) // damaged or not, it stands before what is put behind it
	return isOfLane(k, prefix)
}

func isOfLane(k, prefix []byte) bool { return len(k) == len(prefix)+8 && bytes.HasPrefix(k, prefix) }

func sequence(k []byte) uint64 { return binary.BigEndian.Uint64(k[len(k)-8:]) }
