package outbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"countersign/outbox/store"
)

// EraseLane takes away what is owed of a lane, what is dead and what is withheld, at whichever
// endpoint, a bounded part in each transaction: nil once all of it is on stable storage. Nothing
// new may be put into the lane meanwhile. What is in flight may arrive all the same; nothing is
// kept of it then. Whoever calls it after a crash, or an error, takes away the rest. EraseTries
// takes away what went wrong.
func (b *Outbox) EraseLane(ctx context.Context, lane string) (all map[store.Name]int, err error) {
	all = map[store.Name]int{}
	for _, n := range []store.Name{store.Deliveries, store.Due, store.Withheld, store.Dead} {
		for more := true; more; {
			gone, heads := 0, 0
			err := b.o.Store.Update(ctx, func(tx *store.Tx) error {
				t := b.tally()
				var err error
				if gone, heads, more, err = b.eraseSome(tx, t, n, lane); err != nil {
					return err
				}
				return t.write(tx)
			})
			if err != nil {
				return all, fmt.Errorf("erase a lane of %s: %w", n, err)
			}
			all[n] += gone
			all[store.Due] += heads
		}
	}
	return all, nil
}

// eraseSome is one transaction of EraseLane. Of keys that are found by a record, the record goes
// last, and the head of a lane with its last delivery.
func (b *Outbox) eraseSome(tx *store.Tx, t *tally, n store.Name, lane string) (gone, heads int, more bool, err error) {
	keys := Whereabouts(tx, n, lane)
	slices.Reverse(keys)
	if more = len(keys) > eraseChunk; more {
		keys = keys[:eraseChunk]
	}
	for _, k := range keys {
		switch {
		case n == store.Deliveries:
			d, _ := splitDelivery(k)
			t.owed[d.Endpoint]--
			prefix := laneKey(d.Endpoint, lane)
			if first, _ := tx.Bucket(n).From(prefix); bytes.Equal(first, k) {
				head, _ := locate(tx, d.Endpoint, lane)
				if head == nil {
					head = placeKey(d.Endpoint, lane)
				}
				heads++
				if err := unstand(tx, d.Endpoint, lane, bytes.Clone(head)); err != nil {
					return gone, heads, more, err
				}
			}
		case n == store.Dead && isDead(k):
			d, _ := splitDelivery(k)
			t.dead[d.Endpoint]--
		}
		if err := eraseKey(tx, n, k); err != nil {
			return gone, heads, more, err
		}
		gone++
	}
	return gone, heads, more, nil
}

func eraseKey(tx *store.Tx, n store.Name, k []byte) error {
	if n == store.Withheld {
		return eraseWithheld(tx, k)
	}
	return tx.Bucket(n).Delete(k)
}
