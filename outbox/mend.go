package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"countersign/outbox/store"
)

// mendChunk is how many lanes get a head, or rejections their place in the index, in one
// transaction.
const mendChunk = 1000

// orphan is a lane that owes something and has no head, so that nobody would ever look at it.
type orphan struct {
	endpoint, lane string
	first          uint64
}

// Astray reports whether a claim has met a damaged head since the last Mend: then a lane may have
// none.
func (b *Outbox) Astray() bool { return b.astray.Load() }

// Mend gives a head to each lane that owes something and has none, and their places to rejections
// that are withheld and lack one: both follow from what else is kept. What is damaged stays where
// it is. It looks at everything that is owed, in memory of eight bytes a lane.
func (b *Outbox) Mend(ctx context.Context) (heads, rejections int, err error) {
	b.astray.Store(false)
	var orphans []orphan
	var missing []Delivery
	err = b.o.Store.View(func(tx *store.Tx) error {
		orphans, missing = lost(tx)
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("repair the outbox: %w", err)
	}
	for chunk := range slices.Chunk(missing, mendChunk) {
		err := b.o.Store.Update(ctx, func(tx *store.Tx) error {
			for i := range chunk {
				if err := restoreWithheld(tx, &chunk[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, 0, fmt.Errorf("repair the outbox: %w", err)
		}
	}
	for chunk := range slices.Chunk(orphans, mendChunk) {
		if err := b.o.Store.Update(ctx, func(tx *store.Tx) error { return b.adopt(tx, chunk) }); err != nil {
			return 0, 0, fmt.Errorf("repair the outbox: %w", err)
		}
	}
	return len(orphans), len(missing), nil
}

// adopt makes heads. A lane that has moved on meanwhile has one.
func (b *Outbox) adopt(tx *store.Tx, orphans []orphan) error {
	for _, o := range orphans {
		prefix := laneKey(o.endpoint, o.lane)
		if k, _ := tx.Bucket(store.Deliveries).From(prefix); !isOfLane(k, prefix) || sequence(k) != o.first {
			continue
		}
		if err := b.setHead(tx, o.endpoint, o.lane, b.o.Now().UnixMilli(), head{seq: o.first}, owesRestrictive(tx, o.endpoint, o.lane)); err != nil {
			return err
		}
	}
	return nil
}

// lost finds lanes without a head, and rejections that are not listed in full.
func lost(tx *store.Tx) (orphans []orphan, missing []Delivery) {
	heads := headed(tx)
	var lane []byte // with its endpoint, as its deliveries' keys begin
	c := tx.Bucket(store.Deliveries).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		d, ok := splitDelivery(k)
		if v == nil || !ok {
			continue // damaged: whose it is, its key does not say for certain
		}
		if !bytes.Equal(lane, k[:len(k)-8]) {
			lane = bytes.Clone(k[:len(k)-8])
			if _, ok := slices.BinarySearch(heads, laneHash(d.Endpoint, d.Lane)); !ok {
				orphans = append(orphans, orphan{d.Endpoint, d.Lane, d.Sequence})
			}
		}
		if decodeDelivery(v, &d) == nil && d.Restrictive && readWithheld(tx, withheldKey(d.Endpoint, d.Lane, d.Sequence)) == nil {
			d.Body = nil
			missing = append(missing, d)
		}
	}
	return orphans, append(missing, unlisted(tx)...)
}

// unlisted are rejections that stand in one of the places where they are listed, and not in the
// others. What is owed is not among them: it is made from its delivery.
func unlisted(tx *store.Tx) (ds []Delivery) {
	listed := tx.Bucket(store.Withheld)
	lost := func(d *Delivery) bool {
		return !tx.Bucket(store.Deliveries).Has(deliveryKey(d.Endpoint, d.Lane, d.Sequence)) && readWithheld(tx, withheldKey(d.Endpoint, d.Lane, d.Sequence)) == nil
	}
	c := listed.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		endpoint, rest, ok := bytes.Cut(k, []byte{0})
		switch {
		case v == nil || k[0] == byRoom:
		case k[0] == byLane:
			d, ok := splitDelivery(k[1:])
			if w := readWithheld(tx, k); ok && w != nil &&
				(!listed.Has(w.idKey(d.Endpoint)) || w.Acknowledged == nil && !listed.Has(w.ageKey(d.Endpoint, d.Lane, d.Sequence))) {
				ds = append(ds, d)
			}
		case k[0] == byID, k[0] == byDone:
			if endpoint, webhookID, ok := splitWithheldID(k); ok && len(v) > 8 {
				d := Delivery{Endpoint: endpoint, WebhookID: webhookID, Lane: string(v[:len(v)-8]), Sequence: sequence(v)}
				if lost(&d) {
					ds = append(ds, d)
				}
			}
		case ok && len(rest) > 16:
			d := Delivery{Endpoint: string(endpoint), Lane: string(rest[8 : len(rest)-8]), Sequence: sequence(k), Owed: time.UnixMilli(int64(binary.BigEndian.Uint64(rest)))} //nolint:gosec // written by withheldAgeKey
			if lost(&d) {
				ds = append(ds, d)
			}
		}
	}
	return ds
}

// restoreWithheld makes anew what is kept of a rejection, from what is found of it: its delivery,
// its place in the index by id, or that in the index by age. That an operator had acknowledged it
// is not known then.
func restoreWithheld(tx *store.Tx, d *Delivery) error {
	k := withheldKey(d.Endpoint, d.Lane, d.Sequence)
	w := readWithheld(tx, k)
	if w != nil {
		if !d.Owed.IsZero() && w.Acknowledged == nil && d.Owed.UnixMilli() != w.Since { // it was made from the index by id, which does not know since when
			w.Since = d.Owed.UnixMilli()
		}
		return setWithheld(tx, k, w)
	}
	w = &withheldRecord{Since: max(0, d.Owed.UnixMilli()), WebhookID: d.WebhookID, Type: d.Type}
	if !tx.Bucket(store.Deliveries).Has(deliveryKey(d.Endpoint, d.Lane, d.Sequence)) {
		w.Dead = Damaged
		if view, _, err := dead(tx, d.ID()); err == nil {
			w.Dead, w.Type, w.Since = view.Reason, view.Type, view.Owed.UnixMilli()
		}
	}
	if w.WebhookID == "" {
		w.WebhookID = fmt.Sprintf("withheld-%s-%d", d.Lane, d.Sequence)
	}
	if err := tx.Bucket(store.Withheld).Delete(withheldIDKey(w.WebhookID, d.Endpoint, true)); err != nil {
		return err
	}
	return setWithheld(tx, k, w)
}

// headed are the lanes that have a head, as sorted hashes.
func headed(tx *store.Tx) (hashes []uint64) {
	c := tx.Bucket(store.Due).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if endpoint, _, _, lane, ok := splitDue(k); v != nil && ok {
			hashes = append(hashes, laneHash(endpoint, lane))
		}
	}
	slices.Sort(hashes)
	return hashes
}

func laneHash(endpoint, lane string) uint64 {
	return xxhash.Sum64(append(binary.AppendUvarint(nil, uint64(len(endpoint))), endpoint+lane...))
}
