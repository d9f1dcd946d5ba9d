package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"countersign/outbox/store"
)

// mendChunk is how many lanes get a head, or rejections their place in the index, in one transaction.
const mendChunk = 1000

// orphan is a lane that owes something and has no head, so that nobody would ever look at it.
type orphan struct {
	endpoint, lane string
	first          uint64
}

// Astray reports whether a claim has met a damaged head since the last Mend: then a lane may have none.
func (b *Outbox) Astray() bool { return b.astray.Load() }

// Mend gives a head to each lane that owes something and has none, and their place in the index to rejections that have none: both follow from the deliveries. What is
// damaged stays where it is. It looks at everything that is owed, in memory of eight bytes a lane.
func (b *Outbox) Mend(ctx context.Context) (heads, graves int, err error) {
	b.astray.Store(false)
	var orphans []orphan
	var missing [][]byte
	err = b.o.Store.View(func(tx *store.Tx) error {
		orphans, missing = lost(tx)
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("mend the outbox: %w", err)
	}
	for chunk := range slices.Chunk(orphans, mendChunk) {
		if err := b.o.Store.Update(ctx, func(tx *store.Tx) error { return b.adopt(tx, chunk) }); err != nil {
			return 0, 0, fmt.Errorf("mend the outbox: %w", err)
		}
	}
	for chunk := range slices.Chunk(missing, mendChunk) {
		err := b.o.Store.Update(ctx, func(tx *store.Tx) error {
			for _, k := range chunk {
				if err := tx.Bucket(store.Grave).Put(k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, 0, fmt.Errorf("mend the outbox: %w", err)
		}
	}
	return len(orphans), len(missing), nil
}

// adopt makes heads. A lane that has moved on meanwhile has one.
func (b *Outbox) adopt(tx *store.Tx, orphans []orphan) error {
	for _, o := range orphans {
		prefix := laneKey(o.endpoint, o.lane)
		if k, _ := tx.Bucket(store.Deliveries).Cursor().Seek(prefix); !isOfLane(k, prefix) || sequence(k) != o.first {
			continue
		}
		if err := b.setHead(tx, o.endpoint, o.lane, b.o.Now().UnixMilli(), head{seq: o.first}); err != nil {
			return err
		}
	}
	return nil
}

// lost finds lanes without a head, and rejections that the index lacks.
func lost(tx *store.Tx) (orphans []orphan, missing [][]byte) {
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
		if decodeDelivery(v, &d) == nil && d.Grave && !tx.Bucket(store.Grave).Has(graveKey(&d)) {
			missing = append(missing, graveKey(&d))
		}
	}
	return orphans, missing
}

// headed are the lanes that have a head, as sorted hashes.
func headed(tx *store.Tx) (hashes []uint64) {
	c := tx.Bucket(store.Due).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if endpoint, rest, ok := bytes.Cut(k, []byte{0}); v != nil && ok && len(rest) > 8 {
			hashes = append(hashes, laneHash(string(endpoint), string(rest[8:])))
		}
	}
	slices.Sort(hashes)
	return hashes
}

func laneHash(endpoint, lane string) uint64 {
	return xxhash.Sum64(append(binary.AppendUvarint(nil, uint64(len(endpoint))), endpoint+lane...))
}
