package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// roomKey is where a delivery that was given up waits for room: rejections and suspensions of its
// endpoint before all others, then what was owed first.
func roomKey(endpoint, webhookID string, restrictive bool, owed time.Time) []byte {
	after := byte(1)
	if restrictive {
		after = 0
	}
	k := append(append(append(make([]byte, 0, len(endpoint)+len(webhookID)+11), byRoom), endpoint...), 0, after)
	return append(binary.BigEndian.AppendUint64(k, uint64(owed.UnixMilli())), webhookID...)
}

// await puts a delivery that is given up in the row of those that wait for room.
func await(tx *store.Tx, d *Delivery) error {
	return tx.Bucket(store.Withheld).Put(roomKey(d.Endpoint, d.WebhookID, d.Restrictive, d.Owed))
}

// refillChunk is how many are owed again in one transaction.
const refillChunk = 100

// Waiting are the served endpoints of which something waits for room. One look-up, and one for each
// of them.
func (b *Outbox) Waiting() (endpoints []string, err error) {
	err = b.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Withheld).Cursor()
		k, _ := c.Seek([]byte{byRoom})
		for len(k) > 0 && k[0] == byRoom {
			id, _, ok := bytes.Cut(k[1:], []byte{0})
			if !ok {
				k, _ = c.Next() // damaged: it names nobody
				continue
			}
			if b.serves(string(id)) {
				endpoints = append(endpoints, string(id))
			}
			k, _ = c.Seek(append(append([]byte{byRoom}, id...), 1))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for what waits for room: %w", err)
	}
	return endpoints, nil
}

// Refill owes again what the endpoint's max_owed had pushed out, as far as there is room, and
// returns how many that were, each under the order that it had. allowed and render are as for
// Revive. What has been decided otherwise since, is not allowed or cannot be rendered stays dead, and
// waits no longer.
func (b *Outbox) Refill(ctx context.Context, endpoint string, allowed func(*store.Tx, DeadDelivery) bool, render func(*store.Tx, DeadDelivery) ([]byte, error)) (n int, err error) {
	for more := true; more; {
		if room, err := b.room(endpoint); err != nil || room <= 0 {
			return n, err
		}
		again := 0
		err := b.o.Store.Update(ctx, func(tx *store.Tx) (err error) {
			again, more, err = b.refill(tx, endpoint, allowed, render)
			return err
		})
		if err != nil {
			return n, fmt.Errorf("refill %s: %w", endpoint, err)
		}
		n += again
	}
	return n, nil
}

// room is how many of those that wait may be owed again; 0: none waits. One look-up.
func (b *Outbox) room(endpoint string) (room int64, err error) {
	l := b.of(endpoint)
	if l == nil {
		return 0, nil
	}
	prefix := roomPrefix(endpoint)
	err = b.o.Store.View(func(tx *store.Tx) error {
		if k, _ := tx.Bucket(store.Withheld).From(prefix); bytes.HasPrefix(k, prefix) {
			room, err = b.roomIn(tx, l)
		}
		return err
	})
	return room, err
}

func (b *Outbox) roomIn(tx *store.Tx, l *lanes) (int64, error) {
	owed, err := tx.Number(owedKey(l.id))
	most := l.maxOwed.Load()
	if most == 0 {
		return refillChunk, err
	}
	return most - owed, err
}

func roomPrefix(endpoint string) []byte {
	return append(append([]byte{byRoom}, endpoint...), 0)
}

// refill is one transaction of Refill; more: some may wait still.
func (b *Outbox) refill(tx *store.Tx, endpoint string, allowed func(*store.Tx, DeadDelivery) bool, render func(*store.Tx, DeadDelivery) ([]byte, error)) (n int, more bool, err error) {
	room, err := b.roomIn(tx, b.of(endpoint))
	if err != nil {
		return 0, false, err
	}
	prefix := roomPrefix(endpoint)
	var keys [][]byte
	c := tx.Bucket(store.Withheld).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && int64(len(keys)) < min(room, refillChunk); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := tx.Bucket(store.Withheld).Delete(k); err != nil {
			return 0, false, err
		}
		d := Delivery{Endpoint: endpoint}
		if len(k) > len(prefix)+9 {
			d.WebhookID = string(k[len(prefix)+9:])
		}
		revived := false
		d.Owed = b.o.Now()
		err := b.Revive(tx, d, func(v DeadDelivery) bool {
			d.Lane, d.Sequence, d.Type = v.Subject, v.Sequence, v.Type
			return v.Reason == Overflow && b.newestDecision(tx, &d) <= d.Sequence && allowed(tx, v)
		}, func(v DeadDelivery) ([]byte, error) {
			body, err := render(tx, v)
			revived = body != nil
			return body, err
		})
		if err != nil {
			return 0, false, err
		}
		if revived {
			n++
		}
	}
	return n, int64(len(keys)) == refillChunk, nil
}
