package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"countersign/outbox/store"
)

// repairChunk is how many damaged deliveries are seen to in one transaction.
const repairChunk = 100

// Repair follows the mending of a file: a delivery that was damaged is owed again if restore can
// make it anew, else it is dead, with its bytes; counts, heads and the index of rejections are made
// right. Nothing may be in flight.
func (b *Outbox) Repair(ctx context.Context, restore func(*store.Tx, *Delivery) (bool, error)) error {
	for {
		seen := 0
		err := b.o.Store.Update(ctx, func(tx *store.Tx) error {
			list := tx.Damaged(store.Deliveries, nil, repairChunk)
			seen = len(list)
			for i := range list {
				if err := b.see(tx, &list[i], restore); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("repair the outbox: %w", err)
		}
		if seen < repairChunk {
			break
		}
	}
	if err := b.leadToDead(ctx); err != nil {
		return fmt.Errorf("repair the outbox: %w", err)
	}
	if err := b.recount(ctx); err != nil {
		return fmt.Errorf("repair the outbox: %w", err)
	}
	_, _, err := b.Mend(ctx)
	return err
}

// see deals with one damaged delivery. One whose key says nothing stays as it is.
func (b *Outbox) see(tx *store.Tx, r *store.DamagedRecord, restore func(*store.Tx, *Delivery) (bool, error)) error {
	d, ok := splitDelivery(r.Key)
	d.Endpoint = b.o.Current(d.Endpoint) // the file may have been damaged under its old name
	if !ok || b.of(d.Endpoint) == nil || tx.Bucket(store.Deliveries).Has(deliveryKey(d.Endpoint, d.Lane, d.Sequence)) {
		return tx.SeenTo(r)
	}
	whole, err := restore(tx, &d)
	if err != nil {
		return err
	}
	if err := unhead(tx, &d); err != nil {
		return err
	}
	t := b.tally()
	if whole {
		err = b.reinstate(tx, &d)
	} else {
		d.Body, d.WebhookID = r.Record, fmt.Sprintf("damaged-%s-%d", d.Lane, d.Sequence)
		err = b.bury(tx, t, &d, Damaged, b.o.Now())
	}
	if err != nil {
		return err
	}
	if err := tx.Bucket(store.Damaged).Delete(r.ID); err != nil {
		return err
	}
	return t.write(tx)
}

// unhead takes away the head of a lane that is this delivery, or would be sent before it. Mend
// gives the lane another.
func unhead(tx *store.Tx, d *Delivery) error {
	k, v := search(tx, d.Endpoint, d.Lane)
	if h, ok := decodeHead(v); ok && h.seq >= d.Sequence {
		return unstand(tx, d.Endpoint, d.Lane, bytes.Clone(k))
	}
	return nil
}

// reinstate puts a delivery back among those of its lane.
func (b *Outbox) reinstate(tx *store.Tx, d *Delivery) error {
	if err := withhold(tx, d); err != nil {
		return err
	}
	if err := b.behind(tx, b.of(d.Endpoint), d); err != nil {
		return err
	}
	return tx.Bucket(store.Deliveries).PutRecord(deliveryKey(d.Endpoint, d.Lane, d.Sequence), encodeDelivery(d))
}

// countKeys are what is counted of an endpoint.
func countKeys(endpoint string) [][]byte {
	return [][]byte{owedKey(endpoint), deadKey(endpoint), withheldCountKey(endpoint), rejectionsKey(endpoint)}
}

// recount writes how much each endpoint owes, and how much of it is dead.
func (b *Outbox) recount(ctx context.Context) error {
	return b.o.Store.Update(ctx, func(tx *store.Tx) error {
		is := map[string]int64{}
		for e := range *b.lanes.Load() {
			for _, k := range countKeys(e) {
				is[string(k)] = 0
			}
		}
		c := tx.Bucket(store.Meta).Cursor()
		for _, prefix := range countKeys("") { // of endpoints that are not in the config too
			for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
				is[string(k)] = 0
			}
		}
		c = tx.Bucket(store.Deliveries).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if d, ok := splitDelivery(k); ok && v != nil {
				is[string(owedKey(d.Endpoint))]++
			}
		}
		c = tx.Bucket(store.Dead).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if d, ok := splitDelivery(k); isDead(k) && ok && v != nil {
				is[string(deadKey(d.Endpoint))]++
			}
		}
		c = tx.Bucket(store.Withheld).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			endpoint, _, _ := bytes.Cut(k, []byte{0})
			switch w := (&withheldRecord{}); {
			case v == nil:
			case k[0] > lastMark:
				is[string(withheldCountKey(string(endpoint)))]++
			case k[0] == byLane && w.decode(v) && w.Dead == "":
				is[string(rejectionsKey(string(endpoint[1:])))]++
			}
		}
		for name, n := range is {
			if err := tx.SetNumber([]byte(name), n); err != nil {
				return err
			}
		}
		tx.OnCommit(func() {
			for e := range *b.lanes.Load() {
				b.show(e, func(l *lanes) { l.owed, l.dead = is[string(owedKey(e))], is[string(deadKey(e))] })
			}
		})
		return nil
	})
}

// leadToDead gives dead deliveries what leads to them back, and takes away what leads to none.
func (b *Outbox) leadToDead(ctx context.Context) error {
	var after []byte
	for more := true; more; {
		err := b.o.Store.Update(ctx, func(tx *store.Tx) error {
			at, err := b.leadSome(tx, after)
			tx.OnCommit(func() { after, more = at, at != nil })
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// leadSome looks at some records from a key on, and returns where to go on; nil: it has seen all.
func (b *Outbox) leadSome(tx *store.Tx, from []byte) (next []byte, err error) {
	dead := tx.Bucket(store.Dead)
	var lead []DeadDelivery
	var gone [][]byte
	c, seen := dead.Cursor(), 0
	for k, v := c.Seek(from); k != nil; k, v = c.Next() {
		if seen++; seen > 10*repairChunk {
			next = bytes.Clone(k)
			break
		}
		if d, _, err := readDead(k, v); isDead(k) {
			if err == nil && (!dead.Has(d.timeKey()) || !dead.Has(d.idKey())) {
				lead = append(lead, d)
			}
		} else if !leadsToDead(tx, k, v) {
			gone = append(gone, bytes.Clone(k))
		}
	}
	for i := range lead {
		err = errors.Join(err, dead.Put(lead[i].timeKey()), dead.Put(lead[i].idKey(), lead[i].place()))
	}
	for _, k := range gone {
		err = errors.Join(err, dead.Delete(k))
	}
	return next, err
}

// leadsToDead reports whether a key of one of the two indexes leads to what it says.
func leadsToDead(tx *store.Tx, k, v []byte) bool {
	if k[0] == deadByTime {
		d, err := deadAt(tx, k)
		return err == nil && bytes.Equal(d.timeKey(), k)
	}
	at := bytes.LastIndexByte(k, 0)
	if at < 0 {
		return false
	}
	d, _, err := deadOf(tx, append(append(bytes.Clone(k[at+1:]), 0), v...))
	return err == nil && bytes.Equal(d.idKey(), k)
}
