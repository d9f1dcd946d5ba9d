package outbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// DeadDelivery is a delivery that ended without a 2xx. Its body is kept, except after an overflow.
type DeadDelivery struct {
	ID          string    `json:"id"`
	Endpoint    string    `json:"endpoint"`
	Subject     string    `json:"subject"`
	Sequence    uint64    `json:"sequence"`
	Previous    uint64    `json:"previous_sequence"`
	Order       int64     `json:"order,omitempty"`
	Type        string    `json:"type"`
	Format      string    `json:"format"`
	Trace       string    `json:"traceparent,omitempty"`
	Reason      string    `json:"reason"`
	Code        int       `json:"code,omitempty"`
	Failures    int       `json:"failures"`
	At          time.Time `json:"at"`
	Owed        time.Time `json:"created_at"`
	Received    time.Time `json:"received_at,omitzero"`
	Restrictive bool      `json:"restrictive,omitempty"`
	HasBody     bool      `json:"has_body"`
	Anew        bool      `json:"rendered_anew,omitempty"` // in Format, since it was made
	Replayed    bool      `json:"replayed,omitempty"`
	Tries       []Try     `json:"-"` // what went wrong each time, while it is kept; filled by whoever shows it
}

// A dead delivery stands under its key among the owed ones. It is found by when it died, and by its
// id:
//
//	endpoint 0x00 lane 0x00 sequence            the view and the body
//	0x01 endpoint 0x00 time lane 0x00 sequence
//	0x02 webhook-id 0x00 endpoint               lane 0x00 sequence
const (
	deadByTime = 1
	deadByID   = 2
)

func deadTimePrefix(endpoint string) []byte { return append([]byte{deadByTime}, endpoint+"\x00"...) }

func (d *DeadDelivery) key() []byte { return deliveryKey(d.Endpoint, d.Subject, d.Sequence) }

func (d *DeadDelivery) timeKey() []byte {
	k := binary.BigEndian.AppendUint64(deadTimePrefix(d.Endpoint), uint64(d.At.UnixMilli()))
	return append(k, d.place()...)
}

func (d *DeadDelivery) idKey() []byte {
	return append([]byte{deadByID}, deadItemKey(d.webhookID(), d.Endpoint)...)
}

func (d *DeadDelivery) webhookID() string {
	id, _, _ := SplitID(d.ID)
	return id
}

// place is what of the key stands behind the endpoint.
func (d *DeadDelivery) place() []byte {
	return binary.BigEndian.AppendUint64([]byte(d.Subject+"\x00"), d.Sequence)
}

// put writes it, in the place of what may stand under its key.
func (d *DeadDelivery) put(tx *store.Tx, body []byte) error {
	kept := *d
	kept.ID, kept.Endpoint, kept.Subject, kept.Sequence = d.webhookID(), "", "", 0 // the key has the rest
	view, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	dead := tx.Bucket(store.Dead)
	if v, _ := dead.Get(d.key()); v != nil {
		if was, _, err := readDead(d.key(), v); err == nil {
			if err := was.drop(tx); err != nil {
				return err
			}
		}
	}
	return errors.Join(
		dead.Put(d.key(), binary.BigEndian.AppendUint32(nil, uint32(len(view))), view, body), //nolint:gosec // a view is small
		dead.Put(d.timeKey()), dead.Put(d.idKey(), d.place()),
	)
}

// drop takes it away.
func (d *DeadDelivery) drop(tx *store.Tx) error {
	dead := tx.Bucket(store.Dead)
	return errors.Join(dead.Delete(d.key()), dead.Delete(d.timeKey()), dead.Delete(d.idKey()))
}

// isDead tells a dead delivery's key from those that lead to one.
func isDead(k []byte) bool { return len(k) > 0 && k[0] != deadByTime && k[0] != deadByID }

// inter moves an owed delivery to the dead ones. The caller sees to the lane's head.
func (b *Outbox) inter(tx *store.Tx, t *tally, a *Attempt) error {
	d := &a.Delivery
	if a.Reason == Damaged { // keep the record just as it is
		raw := tx.Bucket(store.Deliveries).Raw(deliveryKey(d.Endpoint, d.Lane, d.Sequence))
		if raw == nil {
			return nil // it is the head that is damaged: it names no delivery, and none is lost
		}
		d.Body, d.WebhookID = bytes.Clone(raw), fmt.Sprintf("damaged-%s-%d", d.Lane, d.Sequence)
	}
	if err := b.forget(tx, t, d); err != nil {
		return err
	}
	return b.buryAttempt(tx, t, a)
}

// bury puts a delivery down as dead that ends at this instant.
func (b *Outbox) bury(tx *store.Tx, t *tally, d *Delivery, reason string, at time.Time) error {
	return b.buryAttempt(tx, t, &Attempt{Delivery: *d, Outcome: Died, Reason: reason, At: at})
}

func (b *Outbox) buryAttempt(tx *store.Tx, t *tally, a *Attempt) error {
	d := &a.Delivery
	failures := d.Failures
	if a.Code != 0 || a.Took != 0 {
		failures++
	}
	is := DeadDelivery{
		ID: d.ID(), Endpoint: d.Endpoint, Subject: d.Lane, Sequence: d.Sequence, Previous: d.PreviousSequence, Order: d.Order, Type: d.Type, Format: d.Format, Trace: d.Traceparent,
		Reason: a.Reason, Code: a.Code, Failures: failures, At: a.At.UTC(), Owed: d.Owed, Received: d.Received, Restrictive: d.Restrictive, HasBody: d.Body != nil, Anew: d.Anew,
		Replayed: d.Replayed,
	}
	if !tx.Bucket(store.Dead).Has(is.key()) {
		t.dead[d.Endpoint]++
	}
	if d.Restrictive || a.Reason == Damaged { // of a damaged one its record no longer says
		if err := lapse(tx, d, a.Reason); err != nil {
			return err
		}
	}
	tx.OnCommit(func() { b.m.died(a.Reason) })
	if err := b.o.Settled(tx, *a); err != nil {
		return err
	}
	return is.put(tx, d.Body)
}

// readDead reads a record of the bucket that isDead.
func readDead(k, v []byte) (d DeadDelivery, body []byte, err error) {
	at, ok := splitDelivery(k)
	if !ok {
		return d, nil, store.ErrBadRecord
	}
	if d, body, err = splitDead(v); err != nil {
		return d, nil, err
	}
	d.Endpoint, d.Subject, d.Sequence = at.Endpoint, at.Lane, at.Sequence
	at.WebhookID = d.ID
	d.ID = at.ID()
	return d, body, nil
}

func splitDead(b []byte) (d DeadDelivery, body []byte, err error) {
	if len(b) < 4 || len(b)-4 < int(binary.BigEndian.Uint32(b)) {
		return d, nil, store.ErrBadRecord
	}
	n := int(binary.BigEndian.Uint32(b))
	if err := json.Unmarshal(b[4:4+n], &d); err != nil {
		return d, nil, store.ErrBadRecord
	}
	if d.HasBody {
		body = bytes.Clone(b[4+n:])
	}
	return d, body, nil
}

// ListDead lists up to n dead deliveries of the endpoints that are wanted, the newest first. after
// is what Place gives of the last one of the page before; "": the list begins.
func (b *Outbox) ListDead(wanted func(endpoint string) bool, after string, n int) (list []DeadDelivery, more bool, err error) {
	err = b.o.Store.View(func(tx *store.Tx) error {
		var prefixes [][]byte
		c := tx.Bucket(store.Meta).Cursor()
		for k, v := c.Seek(deadKey("")); bytes.HasPrefix(k, deadKey("")); k, v = c.Next() {
			if e := string(k[len(deadKey("")):]); v != nil && wanted(e) {
				prefixes = append(prefixes, deadTimePrefix(e))
			}
		}
		store.Newest(tx, store.Dead, prefixes, []byte(after), func(k, _ []byte) bool {
			d, err := deadAt(tx, k)
			if err != nil {
				return true // damaged: it stays where it is
			}
			if more = len(list) == n; more {
				return false
			}
			list = append(list, d)
			return true
		})
		return nil
	})
	return list, more, err
}

// Place is where it stands in the list.
func (d *DeadDelivery) Place() string { return string(d.timeKey()) }

// deadAt is what a key of the index by time leads to.
func deadAt(tx *store.Tx, k []byte) (d DeadDelivery, err error) {
	at := bytes.IndexByte(k, 0) + 1
	if at == 0 || len(k) < at+8 {
		return d, store.ErrBadRecord
	}
	d, _, err = deadOf(tx, append(bytes.Clone(k[1:at]), k[at+8:]...))
	return d, err
}

// deadOf is what stands under a key; store.ErrBadRecord if nothing does.
func deadOf(tx *store.Tx, k []byte) (DeadDelivery, []byte, error) {
	v, err := tx.Bucket(store.Dead).Get(k)
	if err != nil {
		return DeadDelivery{}, nil, err
	}
	return readDead(k, v)
}

// FindDead returns one dead delivery; ErrNotFound if there is none of that id.
func (b *Outbox) FindDead(id string) (d DeadDelivery, err error) {
	err = b.o.Store.View(func(tx *store.Tx) error {
		d, _, err = dead(tx, id)
		return err
	})
	return d, err
}

func dead(tx *store.Tx, id string) (DeadDelivery, []byte, error) {
	_, endpoint, ok := SplitID(id)
	if !ok {
		return DeadDelivery{}, nil, fmt.Errorf("delivery %s: %w", id, ErrNotFound)
	}
	lead := DeadDelivery{ID: id, Endpoint: endpoint}
	v, err := tx.Bucket(store.Dead).Get(lead.idKey())
	if err == nil && v == nil {
		err = ErrNotFound
	}
	if err != nil {
		return DeadDelivery{}, nil, fmt.Errorf("delivery %s: %w", id, err)
	}
	d, body, err := deadOf(tx, append([]byte(endpoint+"\x00"), v...))
	if err != nil {
		return d, nil, fmt.Errorf("delivery %s: %w", id, err)
	}
	return d, body, nil
}

// Revive owes a dead delivery again if allowed says so, with its own body and webhook-id; render
// makes the body of one that was put down without (overflow). like names it by endpoint, lane and
// webhook-id, and says from when on and under which order it is owed, whether it is forced and whether
// a replay owes it. It is no error if the delivery is not dead (any more): the order has been carried
// out before, and if it is owed still, it has the order. A damaged one stays dead: what is kept of it
// is no body.
func (b *Outbox) Revive(tx *store.Tx, like Delivery, allowed func(DeadDelivery) bool, render func(DeadDelivery) ([]byte, error)) error {
	id := like.ID()
	view, body, err := dead(tx, id)
	switch {
	case err != nil:
		return raiseID(tx, &like) // owed still, ended, or never there
	case view.Reason == Damaged || !allowed(view):
		return nil // no body that could be sent, or overtaken
	}
	if body == nil {
		if body, err = render(view); err != nil || body == nil {
			return err
		}
	}
	webhookID, endpoint, _ := SplitID(id)
	d := Delivery{
		Endpoint: endpoint, Lane: view.Subject, Sequence: view.Sequence, PreviousSequence: view.Previous, Order: max(view.Order, like.Order), WebhookID: webhookID,
		Type: view.Type, Format: view.Format, Traceparent: view.Trace, Restrictive: view.Restrictive, Anew: view.Anew, Force: like.Force, Replayed: like.Replayed || view.Replayed, Owed: like.Owed, Received: view.Received, Body: body,
	}
	t := b.tally()
	t.dead[endpoint]--
	if err := view.drop(tx); err != nil {
		return err
	}
	if err := tx.Bucket(store.Withheld).Delete(roomKey(endpoint, webhookID, view.Restrictive, view.Owed)); err != nil {
		return err
	}
	if err := b.put(tx, t, &d); err != nil {
		return err
	}
	return t.write(tx)
}

// OwedOf calls fn with the endpoint and the sequence of each delivery of a lane that is owed, at
// whichever endpoint. It looks at every lane of every endpoint that owes something, so it is for
// repairs only.
func OwedOf(tx *store.Tx, lane string, fn func(endpoint string, seq uint64)) {
	c := tx.Bucket(store.Deliveries).Cursor()
	k, _ := c.First()
	for k != nil {
		endpoint, _, ok := bytes.Cut(k, []byte{0})
		if !ok {
			k, _ = c.Next()
			continue
		}
		id := string(endpoint)
		prefix := laneKey(id, lane)
		var v []byte
		for k, v = c.Seek(prefix); isOfLane(k, prefix); k, v = c.Next() {
			if v != nil {
				fn(id, sequence(k))
			}
		}
		k, _ = c.Seek(append([]byte(id), 1)) // the next endpoint
	}
}
