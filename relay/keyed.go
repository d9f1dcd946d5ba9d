package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// keepOrders is how long it is known what an idempotency key was used for. A subject knows the ids
// of its records as long, or longer: then the key is refused, whatever comes with it.
const keepOrders = 90 * 24 * time.Hour

// keyed is an order that came with an idempotency key, in the orders bucket, by an id that the key
// makes. It is written before the record, so that the same key with another order is refused while
// the first is on its way, after a restart, and where nobody knows whether the journal took it.
type keyed struct {
	At      time.Time       `json:"at"`
	Record  string          `json:"record"`            // id of the record, or the first of them
	Said    string          `json:"said"`              // digest of what was ordered
	Lifts   int             `json:"lifts,omitempty"`   // of a release: what stood open when it was ordered
	Lane    string          `json:"lane,omitempty"`    // the subject that it is about
	Partner string          `json:"partner,omitempty"` // whose own token used the key
	Answer  json.RawMessage `json:"answer,omitempty"`  // what came of it, once that is known: whoever asks again is told the same
}

// digestOf is the digest of an order without what differs when it is given again: the key itself,
// and who gives it.
func digestOf(order any) (string, error) {
	b, err := json.Marshal(order)
	if err != nil {
		return "", fmt.Errorf("digest of an order: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func readKeyed(tx *store.Tx, id string) (k keyed, known bool, err error) {
	v, err := tx.Bucket(store.Orders).Get([]byte(id))
	if v == nil && err == nil {
		return k, false, nil
	}
	if err == nil {
		err = json.Unmarshal(v, &k)
	}
	if err != nil { // what cannot be compared is another order
		return k, true, fmt.Errorf("%w (its record is damaged)", ErrKeyUsed)
	}
	return k, true, nil
}

// ordered is what is known of an order that comes with the key of this id: the same one, or, not
// known, what is to be reserved for it. ErrKeyUsed: another.
func (r *Relay) ordered(id, lane string, order any, u *kyc.Update) (k keyed, known bool, err error) {
	k = keyed{At: u.ReceivedAt, Record: u.ID, Lane: lane}
	if k.Said, err = digestOf(order); err != nil {
		return k, false, err
	}
	err = r.o.Store.View(func(tx *store.Tx) (err error) {
		k, known, err = r.compare(k, tx, id, lane)
		return err
	})
	return k, known, err
}

// compare is what a key stands for already, if that is the same order; else the order itself.
func (r *Relay) compare(k keyed, tx *store.Tx, id, lane string) (was keyed, known bool, err error) {
	if was, known, err = readKeyed(tx, id); err != nil || known {
		if err == nil && was.Said != k.Said {
			err = ErrKeyUsed
		}
		return was, known, err
	}
	s, err := r.load(tx, lane)
	if err == nil && s.State.Knows(k.Record) {
		err = ErrKeyUsed // so long ago that nobody knows for what
	}
	return k, false, err
}

// reserve makes a key stand for an order, from now on. Another order that was faster has it.
func (r *Relay) reserve(ctx context.Context, id, lane string, k keyed) error {
	return r.writeKeyed(ctx, id, func(tx *store.Tx) (keyed, error) {
		k, known, err := r.compare(k, tx, id, lane)
		if err == nil && !known && k.Partner != "" {
			err = r.bump(tx, usedKeys+k.Partner, 1)
		}
		return k, err
	})
}

// settle keeps what came of an order, for whoever asks again. It is done by then: without room for
// the answer, they are told what can still be found out.
func (r *Relay) settle(ctx context.Context, id string, answer any) {
	b, err := json.Marshal(answer)
	if err == nil {
		err = r.writeKeyed(context.WithoutCancel(ctx), id, func(tx *store.Tx) (keyed, error) {
			k, _, err := readKeyed(tx, id)
			k.Answer = b
			return k, err
		})
	}
	if err != nil {
		r.o.Logger.Warn("request_result_not_stored", "update", id, "error", err)
	}
}

func (r *Relay) writeKeyed(ctx context.Context, id string, fn func(*store.Tx) (keyed, error)) error {
	err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
		k, err := fn(tx)
		if err != nil {
			return err
		}
		v, err := json.Marshal(k)
		if err != nil {
			return err
		}
		return tx.Bucket(store.Orders).Put([]byte(id), v)
	})
	if isFull(err) {
		return fmt.Errorf("%w: %w", journal.ErrFull, err)
	}
	return err
}

// retainOrders removes a step of what keys were used for, long ago.
func (r *Relay) retainOrders(ctx context.Context) (more bool, err error) {
	var gone []removal
	whose := map[string]int64{}
	now := r.o.Now()
	err = r.o.Store.View(func(tx *store.Tx) error {
		seen := 0
		c := tx.Bucket(store.Orders).Cursor()
		k, v := c.Seek(r.aged)
		for r.aged = nil; k != nil; k, v = c.Next() {
			if seen++; seen > r.retained {
				r.aged = bytes.Clone(k)
				return nil
			}
			var o keyed
			if json.Unmarshal(v, &o) == nil && now.Sub(o.At) > keepOrders {
				gone = append(gone, removal{store.Orders, bytes.Clone(k)})
				if o.Partner != "" {
					whose[o.Partner]++
				}
			}
		}
		return nil
	})
	if err == nil && len(gone) > 0 {
		err = r.remove(ctx, gone, func(tx *store.Tx) error {
			for partner, n := range whose {
				if err := r.bump(tx, usedKeys+partner, -n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return r.aged != nil, err
}
