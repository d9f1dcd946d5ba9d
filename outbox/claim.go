package outbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// Claim leases up to n due heads of the endpoint's lanes. next is when the earliest other one becomes due (zero: none is waiting); a lane that is leased, or
// settled and not yet committed, does not count. A delivery whose record is damaged is put down as dead and does not hold back its lane.
func (b *Outbox) Claim(endpoint string, n int) (ds []Delivery, next time.Time, err error) {
	l := b.of(endpoint)
	if l == nil {
		return nil, time.Time{}, fmt.Errorf("claim for %s: %w", endpoint, ErrNotFound)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := b.o.Now().UnixMilli()
	var damaged []Delivery
	err = b.o.Store.View(func(tx *store.Tx) error {
		waiting := tx.Bucket(store.Deliveries)
		prefix := append([]byte(endpoint), 0)
		c := tx.Bucket(store.Due).Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if v == nil {
				b.astray.Store(true) // whose it is, nobody can say: Mend finds the lane
				continue
			}
			due := int64(binary.BigEndian.Uint64(k[len(prefix):])) //nolint:gosec // written by dueKey
			if _, ok := l.leased[string(k[len(prefix)+8:])]; ok {
				continue
			}
			if due > now || len(ds) == n {
				next = time.UnixMilli(due)
				return nil
			}
			d := Delivery{Endpoint: endpoint, Lane: string(k[len(prefix)+8:]), due: due}
			h, ok := decodeHead(v)
			d.head = h.seq
			sound := ok && read(waiting, &d, &h) == nil
			d.Failures = h.failures
			if h.first != 0 {
				d.FirstFailure = time.UnixMilli(h.first).UTC()
			}
			if !sound {
				damaged = append(damaged, d)
				continue
			}
			ds = append(ds, d)
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	for _, d := range append(ds, damaged...) {
		l.leased[d.Lane] = d.Sequence
	}
	for _, d := range damaged {
		b.o.Logger.Error("delivery_damaged", "endpoint", d.Endpoint, "sequence", d.Sequence)
		b.Settle(Attempt{Delivery: d, Outcome: Died, Reason: Damaged, At: b.o.Now()})
	}
	return ds, next, nil
}

// Release gives leases back without an attempt: pause, shutdown.
func (b *Outbox) Release(ds ...Delivery) {
	for _, d := range ds {
		b.show(d.Endpoint, func(l *lanes) { delete(l.leased, d.Lane) })
		if l := b.of(d.Endpoint); l != nil {
			l.signal()
		}
	}
}

// OldestDue is since when the endpoint's earliest due delivery has been due; zero: nothing is due. One look-up, whatever is owed.
func (b *Outbox) OldestDue(endpoint string) (at time.Time) {
	prefix := append([]byte(endpoint), 0)
	_ = b.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Due).Cursor()
		k, v := c.Seek(prefix)
		for ; k != nil && v == nil; k, v = c.Next() { // damaged: not to be believed
		}
		if bytes.HasPrefix(k, prefix) {
			if due := time.UnixMilli(int64(binary.BigEndian.Uint64(k[len(prefix):]))); !due.After(b.o.Now()) { //nolint:gosec // written by dueKey
				at = due
			}
		}
		return nil
	})
	return at
}
