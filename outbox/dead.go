package outbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
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
	Type        string    `json:"type"`
	Format      string    `json:"format"`
	Trace       string    `json:"traceparent,omitempty"`
	Reason      string    `json:"reason"`
	Code        int       `json:"code,omitempty"`
	Failures    int       `json:"failures"`
	At          time.Time `json:"at"`
	Owed        time.Time `json:"owed_at"`
	Received    time.Time `json:"received_at,omitzero"`
	Restrictive bool      `json:"restrictive,omitempty"`
	HasBody     bool      `json:"has_body"`
	Anew        bool      `json:"rendered_anew,omitempty"` // in Format, since it was made
	Tries       []Try     `json:"-"`                       // what went wrong each time, while it is kept; filled by whoever shows it
}

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

func (b *Outbox) bury(tx *store.Tx, t *tally, d *Delivery, reason string) error {
	return b.buryAttempt(tx, t, &Attempt{Delivery: *d, Outcome: Died, Reason: reason, At: b.o.Now()})
}

func (b *Outbox) buryAttempt(tx *store.Tx, t *tally, a *Attempt) error {
	d := &a.Delivery
	failures := d.Failures
	if a.Code != 0 || a.Took != 0 {
		failures++
	}
	view, err := json.Marshal(DeadDelivery{
		ID: d.ID(), Endpoint: d.Endpoint, Subject: d.Lane, Sequence: d.Sequence, Previous: d.PreviousSequence, Type: d.Type, Format: d.Format, Trace: d.Traceparent,
		Reason: a.Reason, Code: a.Code, Failures: failures, At: a.At.UTC(), Owed: d.Owed, Received: d.Received, Restrictive: d.Restrictive, HasBody: d.Body != nil, Anew: d.Anew,
	})
	if err != nil {
		return err
	}
	dead, k := tx.Bucket(store.Dead), deadItemKey(d.WebhookID, d.Endpoint)
	if !dead.Has(k) {
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
	return dead.Put(k, binary.BigEndian.AppendUint32(nil, uint32(len(view))), view, d.Body) //nolint:gosec // a view is small
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

// ListDead lists up to n dead deliveries with ids after the one given, in order of id (which is the
// order of the changes' times). endpoint "" is all.
func (b *Outbox) ListDead(endpoint, after string, n int) (list []DeadDelivery, more bool, err error) {
	return b.ListDeadOf(func(e string) bool { return endpoint == "" || e == endpoint }, after, n)
}

// ListDeadOf is ListDead for the endpoints that are wanted.
func (b *Outbox) ListDeadOf(wanted func(endpoint string) bool, after string, n int) (list []DeadDelivery, more bool, err error) {
	var from []byte
	if id, e, ok := SplitID(after); ok {
		from = append(deadItemKey(id, e), 0)
	}
	err = b.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Dead).Cursor()
		for k, v := c.Seek(from); k != nil; k, v = c.Next() {
			d, _, err := splitDead(v)
			if err != nil || !wanted(d.Endpoint) {
				continue
			}
			if len(list) == n {
				more = true
				return nil
			}
			list = append(list, d)
		}
		return nil
	})
	return list, more, err
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
	webhookID, endpoint, ok := SplitID(id)
	if !ok {
		return DeadDelivery{}, nil, fmt.Errorf("delivery %s: %w", id, ErrNotFound)
	}
	v, err := tx.Bucket(store.Dead).Get(deadItemKey(webhookID, endpoint))
	switch {
	case err != nil:
		return DeadDelivery{}, nil, fmt.Errorf("delivery %s: %w", id, err)
	case v == nil:
		return DeadDelivery{}, nil, fmt.Errorf("delivery %s: %w", id, ErrNotFound)
	}
	return splitDead(v)
}

// Revive owes a dead delivery again if allowed says so, with its own body and webhook-id; render
// makes the body of one that was put down without (overflow). It is no error if the delivery is not
// dead (any more): the order has been carried out before. A damaged one stays dead: what is kept of
// it is no body.
func (b *Outbox) Revive(tx *store.Tx, id string, allowed func(DeadDelivery) bool, force bool, render func(DeadDelivery) ([]byte, error)) error {
	view, body, err := dead(tx, id)
	if err != nil || view.Reason == Damaged || !allowed(view) {
		return nil //nolint:nilerr // carried out before, never dead, no body that could be sent, or overtaken
	}
	if body == nil {
		if body, err = render(view); err != nil || body == nil {
			return err
		}
	}
	webhookID, endpoint, _ := SplitID(id)
	d := Delivery{
		Endpoint: endpoint, Lane: view.Subject, Sequence: view.Sequence, PreviousSequence: view.Previous, WebhookID: webhookID,
		Type: view.Type, Format: view.Format, Traceparent: view.Trace, Restrictive: view.Restrictive, Anew: view.Anew, Force: force, Owed: b.o.Now(), Received: view.Received, Body: body,
	}
	t := b.tally()
	t.dead[endpoint]--
	if err := tx.Bucket(store.Dead).Delete(deadItemKey(webhookID, endpoint)); err != nil {
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
