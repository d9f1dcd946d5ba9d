package outbox

import (
	"bytes"
	"math"

	"countersign/outbox/store"
)

// Again owes what a replay repeats, in the caller's transaction: each stands in its lane by its
// sequence, whatever has been delivered since. What is owed already is owed once, under the greater
// order; what is dead is dead no more. A caller puts all that it repeats of a lane in one
// transaction, up to the newest that the endpoint was told: then the last word is the one it had.
func (b *Outbox) Again(tx *store.Tx, ds ...Delivery) error {
	t := b.tally()
	for i := range ds {
		d := &ds[i]
		d.Force, d.Replayed = true, true
		if err := b.unbury(tx, t, d); err != nil {
			return err
		}
		if err := b.put(tx, t, d); err != nil {
			return err
		}
	}
	return t.write(tx)
}

// unbury takes away what is dead under the key of a delivery that is to be owed.
func (b *Outbox) unbury(tx *store.Tx, t *tally, d *Delivery) error {
	k := deliveryKey(d.Endpoint, d.Lane, d.Sequence)
	v, err := tx.Bucket(store.Dead).Get(k)
	if v == nil || err != nil {
		return err
	}
	was, _, err := readDead(k, v)
	if err != nil {
		return nil //nolint:nilerr // damaged: it stays
	}
	t.dead[d.Endpoint]--
	if err := tx.Bucket(store.Withheld).Delete(roomKey(d.Endpoint, was.webhookID(), was.Restrictive, was.Owed)); err != nil {
		return err
	}
	return was.drop(tx)
}

// IsOwed reports whether a delivery is owed. One look-up.
func IsOwed(tx *store.Tx, endpoint, lane string, seq uint64) bool {
	return tx.Bucket(store.Deliveries).Has(deliveryKey(endpoint, lane, seq))
}

// Room is how many more deliveries the endpoint may owe.
func (b *Outbox) Room(endpoint string) int64 {
	l := b.of(endpoint)
	if l == nil {
		return 0
	}
	most := l.maxOwed.Load()
	if most == 0 {
		return math.MaxInt64
	}
	return max(0, most-b.Owed(endpoint))
}

// EachDead calls fn with the dead deliveries of an endpoint that follow a lane, lane by lane and in
// the order of their sequences, until fn says no; "" begins with the first. damaged is how many of
// those it passed cannot be read: they stay.
func EachDead(tx *store.Tx, endpoint, after string, fn func(DeadDelivery) bool) (damaged int) {
	prefix := append([]byte(endpoint), 0)
	from := prefix
	if after != "" {
		from = append(laneKey(endpoint, after)[:len(prefix)+len(after)], 1) // behind all of the lane
	}
	c := tx.Bucket(store.Dead).Cursor()
	for k, v := c.Seek(from); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		d, _, err := readDead(k, v)
		if err != nil {
			damaged++
			continue
		}
		if !fn(d) {
			return damaged
		}
	}
	return damaged
}

// DeadBefore is the last lane before this one of which something is dead at the endpoint; "": there
// is none.
func DeadBefore(tx *store.Tx, endpoint, lane string) string {
	c := tx.Bucket(store.Dead).Cursor()
	k, _ := c.Seek(laneKey(endpoint, lane))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	for ; bytes.HasPrefix(k, append([]byte(endpoint), 0)); k, _ = c.Prev() {
		if d, ok := splitDelivery(k); ok {
			return d.Lane
		}
	}
	return ""
}

// behindReplays owes what was just accepted once more, if what a replay repeats came to stand
// before it while it was sent: else an older word would be the last that the endpoint hears. The
// replay's order is its own then. Not so: nothing stands before it.
func (b *Outbox) behindReplays(tx *store.Tx, d *Delivery) (so bool, err error) {
	prefix := laneKey(d.Endpoint, d.Lane)
	k, v := tx.Bucket(store.Deliveries).From(prefix)
	first := Delivery{Endpoint: d.Endpoint, Lane: d.Lane}
	if !isOfLane(k, prefix) || sequence(k) >= d.Sequence || decodeDelivery(v, &first) != nil || !first.Replayed || !first.Force {
		return false, nil //nolint:nilerr // a damaged one is found by the claim
	}
	again := *d
	if again.Body == nil { // what was accepted is settled without: it still stands in the file as it was owed
		is := Delivery{Endpoint: d.Endpoint, Lane: d.Lane, Sequence: d.Sequence}
		if err := readDelivery(tx.Bucket(store.Deliveries), &is); err != nil {
			return false, nil //nolint:nilerr // a damaged one is found by the claim
		}
		again = is
	}
	again.Force, again.Replayed, again.Restrictive, again.Owed = true, true, false, b.o.Now()
	again.Order = max(again.Order, first.Order) // what was accepted does not end it
	return true, tx.Bucket(store.Deliveries).PutRecord(deliveryKey(d.Endpoint, d.Lane, d.Sequence), encodeDelivery(&again))
}
