package outbox

import (
	"bytes"
	"encoding/json"
	"time"

	"countersign/outbox/store"
)

// Try is one failed attempt, as it is listed.
type Try struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Code   int       `json:"code,omitempty"`
	Detail string    `json:"detail,omitempty"`
	TookMS int64     `json:"took_ms"`

	RefusedSince time.Time `json:"refused_since,omitzero"` // the endpoint has refused this delivery each time since, and taken others in between
	RefusedTimes int       `json:"refused_times,omitempty"`
}

// End is when the attempt had ended, to the millisecond before.
func (t *Try) End() time.Time { return t.At.Add(time.Duration(t.TookMS) * time.Millisecond) }

func (b *Outbox) note(tx *store.Tx, a *Attempt) error {
	t := Try{At: a.At.UTC(), Reason: a.Reason, Code: a.Code, Detail: a.Detail, TookMS: a.Took.Milliseconds(), RefusedTimes: a.RefusedTimes}
	if a.RefusedTimes > 0 {
		t.RefusedSince = a.RefusedSince.UTC()
	}
	v, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return tx.Bucket(store.Attempts).Put(attemptKey(&a.Delivery), v)
}

// Tries lists the failed attempts of one delivery, oldest first.
func (b *Outbox) Tries(endpoint, lane string, seq uint64) (tries []Try, err error) {
	prefix := deliveryKey(endpoint, lane, seq)
	err = b.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Attempts).Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			var try Try
			if json.Unmarshal(v, &try) == nil { // a damaged one has no text
				tries = append(tries, try)
			}
		}
		return nil
	})
	return tries, err
}

// LastTry is the attempt before the one that a claimed delivery is due for; not ok: there was none,
// or it was not written down, is damaged, or has had its time. One look-up.
func (b *Outbox) LastTry(d *Delivery) (t Try, ok bool) {
	_ = b.o.Store.View(func(tx *store.Tx) error {
		t, ok = b.lastTry(tx, d)
		return nil
	})
	return t, ok
}

func (b *Outbox) lastTry(tx *store.Tx, d *Delivery) (t Try, ok bool) {
	if d.Failures == 0 {
		return t, false
	}
	last := *d
	last.Failures--
	v, err := tx.Bucket(store.Attempts).Get(attemptKey(&last))
	if err != nil || v == nil || json.Unmarshal(v, &t) != nil || t.At.Before(d.Owed) { // before: it is of the delivery's life before it was ordered again
		return Try{}, false
	}
	return t, true
}

// HasNext reports whether anything waits behind a delivery in its lane. One look-up.
func (b *Outbox) HasNext(d *Delivery) (yes bool) {
	prefix := laneKey(d.Endpoint, d.Lane)
	_ = b.o.Store.View(func(tx *store.Tx) error {
		k, _ := tx.Bucket(store.Deliveries).Cursor().Seek(append(deliveryKey(d.Endpoint, d.Lane, d.Sequence), 0))
		yes = isOfLane(k, prefix)
		return nil
	})
	return yes
}
