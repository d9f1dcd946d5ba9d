package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// A rejection or suspension is withheld from an endpoint from when it is owed until the endpoint
// has accepted it, or a later decision about the same person, whatever that says; or until an
// operator acknowledges it. That it dies, for whatever reason, or that its endpoint is disabled or
// gone, ends nothing: the partner still treats that person as before.

// withheldRecord is what is kept of one, under its endpoint, lane and sequence. Its place in the
// index by age is there until it is acknowledged.
type withheldRecord struct {
	Since        int64 // Unix milliseconds: when it was owed first
	WebhookID    string
	Type         string
	Dead         string // why; "": it is owed still
	Acknowledged *Acknowledgement
}

// record is what stands in the file: each rejection is one, so it is written by hand.
func (w *withheldRecord) record() []byte {
	texts := []string{w.WebhookID, w.Type, w.Dead}
	if w.Acknowledged != nil {
		texts = append(texts, w.Acknowledged.By, w.Acknowledged.Reason)
	}
	b := binary.BigEndian.AppendUint64(store.StartRecord(96), uint64(w.Since)) //nolint:gosec // after 1970
	for _, t := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	}
	if w.Acknowledged != nil {
		b = binary.BigEndian.AppendUint64(b, uint64(w.Acknowledged.At.UnixNano()))
	}
	return b
}

// decode undoes record, of which nothing is kept; false: it is something else.
func (w *withheldRecord) decode(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	*w = withheldRecord{Since: int64(binary.BigEndian.Uint64(b))} //nolint:gosec // written by record
	b = b[8:]
	text := func(to *string) bool {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) { //nolint:gosec // size is positive, and within b
			return false
		}
		*to, b = string(b[size:size+int(n)]), b[size+int(n):] //nolint:gosec // checked above
		return true
	}
	if !text(&w.WebhookID) || !text(&w.Type) || !text(&w.Dead) {
		return false
	}
	if len(b) == 0 {
		return true
	}
	w.Acknowledged = &Acknowledgement{}
	if !text(&w.Acknowledged.By) || !text(&w.Acknowledged.Reason) || len(b) != 8 {
		return false
	}
	w.Acknowledged.At = time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC() //nolint:gosec // written by record
	return true
}

// Acknowledgement is an operator's word that nobody need be alarmed about a withheld delivery any
// more. It is for good: also when it is ordered again.
type Acknowledgement struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"` // the token's name
	Reason string    `json:"reason"`
}

// Withheld is a rejection or suspension that an endpoint has not been told of. Its endpoint need
// not be in the config any more.
type Withheld struct {
	ID           string           `json:"id"` // the delivery's
	Endpoint     string           `json:"endpoint"`
	Subject      string           `json:"subject"`
	Sequence     uint64           `json:"sequence"`
	Type         string           `json:"type"`
	Since        time.Time        `json:"since"`
	Dead         string           `json:"dead_lettered,omitempty"` // why; empty: it stays pending, and is tried again
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`
}

// The bucket's keys: by endpoint and age (an id begins with no control character), by lane, and by
// the delivery's id, those that an operator has acknowledged apart. What waits for room stands there
// too.
const (
	byLane = 1
	byID   = 2
	byRoom = 3
	byDone = 4 // as byID, of those that are acknowledged

	lastMark = byDone // what comes behind begins with an endpoint
)

func withheldKey(endpoint, lane string, seq uint64) []byte {
	return append([]byte{byLane}, deliveryKey(endpoint, lane, seq)...)
}

// idKey is the place in the index by id of what is kept of an endpoint.
func (w *withheldRecord) idKey(endpoint string) []byte {
	return withheldIDKey(w.WebhookID, endpoint, w.Acknowledged != nil)
}

func withheldIDKey(webhookID, endpoint string, acknowledged bool) []byte {
	return append(withheldIDs(endpoint, acknowledged), webhookID...)
}

// withheldIDs begins the keys of the index by id of an endpoint.
func withheldIDs(endpoint string, acknowledged bool) []byte {
	return append(append([]byte{idMark(acknowledged)}, endpoint...), 0)
}

func idMark(acknowledged bool) byte {
	if acknowledged {
		return byDone
	}
	return byID
}

// ageKey is the place in the index by age of what is kept under a key.
func (w *withheldRecord) ageKey(endpoint, lane string, seq uint64) []byte {
	return withheldAgeKey(&Delivery{Endpoint: endpoint, Lane: lane, Sequence: seq, Owed: time.UnixMilli(w.Since)})
}

// readWithheld is what is kept of one; nil: nothing, or nothing that is whole.
func readWithheld(tx *store.Tx, key []byte) *withheldRecord {
	v, err := tx.Bucket(store.Withheld).Get(key)
	w := &withheldRecord{}
	if err != nil || !w.decode(v) {
		return nil
	}
	return w
}

// withhold notes that a rejection or suspension is owed. One that was owed before is withheld since
// then.
func withhold(tx *store.Tx, d *Delivery) error {
	if !d.Restrictive {
		return nil
	}
	k := withheldKey(d.Endpoint, d.Lane, d.Sequence)
	w := readWithheld(tx, k)
	switch {
	case w == nil:
		w = &withheldRecord{Since: d.Owed.UnixMilli(), WebhookID: d.WebhookID, Type: d.Type}
	case w.Dead == "":
		return nil
	}
	w.Dead = ""
	return setWithheld(tx, k, w)
}

// lapse notes that a withheld delivery is dead: nobody will be told unless it is ordered again.
func lapse(tx *store.Tx, d *Delivery, reason string) error {
	k := withheldKey(d.Endpoint, d.Lane, d.Sequence)
	w := readWithheld(tx, k)
	if w == nil {
		return nil
	}
	w.Dead = reason
	return setWithheld(tx, k, w)
}

// endWithheld ends what is withheld of a person up to the decision that the endpoint has accepted.
// What that does not overtake is owed, and so withheld, still.
func (b *Outbox) endWithheld(tx *store.Tx, d *Delivery, by told) error {
	if !d.Restrictive && !b.o.Decides(d.Type) {
		return nil
	}
	listed := tx.Bucket(store.Withheld)
	prefix := append([]byte{byLane}, laneKey(d.Endpoint, d.Lane)...)
	if k, _ := listed.From(prefix); !isOfLane(k, prefix) {
		return nil // most of the time
	}
	var gone [][]byte
	c := listed.Cursor()
	for k, _ := c.Seek(prefix); isOfLane(k, prefix) && sequence(k) <= d.Sequence; k, _ = c.Next() {
		o := Delivery{Endpoint: d.Endpoint, Lane: d.Lane, Sequence: sequence(k)}
		if o.Sequence == d.Sequence || readDelivery(tx.Bucket(store.Deliveries), &o) != nil || by.overtakes(&o) {
			gone = append(gone, bytes.Clone(k))
		}
	}
	for _, k := range gone {
		if err := setWithheld(tx, k, nil); err != nil {
			return err
		}
	}
	return nil
}

// OldestWithheld is since when the endpoint has not been told of its oldest withheld rejection or
// suspension that nobody has acknowledged; zero: there is none. The endpoint need not be in the
// config any more.
func (b *Outbox) OldestWithheld(endpoint string) (at time.Time) {
	prefix := append([]byte(endpoint), 0)
	_ = b.o.Store.View(func(tx *store.Tx) error {
		at = oldest(tx, prefix)
		return nil
	})
	return at
}

func oldest(tx *store.Tx, prefix []byte) (at time.Time) {
	c := tx.Bucket(store.Withheld).Cursor()
	k, v := c.Seek(prefix)
	for ; bytes.HasPrefix(k, prefix) && v == nil; k, v = c.Next() { // damaged: not to be believed
	}
	if bytes.HasPrefix(k, prefix) {
		at = time.UnixMilli(int64(binary.BigEndian.Uint64(k[len(prefix):]))) //nolint:gosec // written by withheldAgeKey
	}
	return at
}

// orphanWithheld is what is withheld from an endpoint that is not in the config.
type orphanWithheld struct {
	endpoint string
	since    time.Time
}

// orphansWithheld calls fn with what is withheld, and not acknowledged, from each endpoint that is
// not served. One look-up for each.
func (b *Outbox) orphansWithheld() (list []orphanWithheld) {
	_ = b.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Withheld).Cursor()
		k, v := c.Seek([]byte{lastMark + 1})
		for k != nil {
			end := bytes.IndexByte(k, 0)
			if v == nil || end < 0 {
				k, v = c.Next() // damaged: it names nobody
				continue
			}
			id := string(k[:end])
			if at := oldest(tx, append([]byte(id), 0)); !b.serves(id) && !at.IsZero() {
				list = append(list, orphanWithheld{id, at})
			}
			k, v = c.Seek(append([]byte(id), 1))
		}
		return nil
	})
	return list
}

// Acknowledge says that nobody need be alarmed about a withheld delivery any more: nil once that is
// on stable storage, ErrNotFound if none is withheld under that id. What is owed is owed still. The
// first acknowledgement stands.
func (b *Outbox) Acknowledge(ctx context.Context, id string, a Acknowledgement) (w Withheld, err error) {
	err = b.o.Store.Update(ctx, func(tx *store.Tx) error {
		webhookID, endpoint, _ := SplitID(id)
		var ok bool
		if w, ok = withheldBy(tx, endpoint, webhookID); !ok {
			return ErrNotFound
		}
		if w.Acknowledged != nil {
			return nil
		}
		key := withheldKey(endpoint, w.Subject, w.Sequence)
		r := readWithheld(tx, key)
		r.Acknowledged, w.Acknowledged = &a, &a
		return setWithheld(tx, key, r)
	})
	if err != nil {
		return Withheld{}, fmt.Errorf("acknowledge %s: %w", id, err)
	}
	return w, nil
}
