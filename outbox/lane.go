package outbox

import (
	"bytes"
	"time"

	"countersign/outbox/store"
)

// What is kept of one person at one endpoint stands together: whoever asks looks at that range, and
// at nothing else.

// Owed is one delivery that is owed, as it is shown.
type Owed struct {
	ID           string
	WebhookID    string
	Sequence     uint64
	Previous     uint64
	Type         string
	Format       string
	Restrictive  bool
	Forced       bool // ordered again by an operator, even if the lane has moved on
	Anew         bool // rendered again since it was made
	Since        time.Time
	Received     time.Time
	Failures     int       // tries so far that are counted
	FirstFailure time.Time // of these
	Next         time.Time // of the head of the lane: when it is due. Zero: it stands behind another, or nothing says when
	Behind       uint64    // the sequence of the head of the lane; 0: it is the head, or nothing says which is
	InFlight     bool      // it is being tried
	Body         []byte
}

// OwedIn lists up to n deliveries (negative: all) of a lane that an endpoint is owed, in order of
// sequence, and reports whether there are more. A damaged one is left out. It looks at as many
// records as it lists, and a few more.
func (b *Outbox) OwedIn(tx *store.Tx, endpoint, lane string, n int) (list []Owed, more bool) {
	prefix := laneKey(endpoint, lane)
	h, due, placed := headOf(tx, endpoint, lane)
	var flying uint64
	if l := b.of(endpoint); l != nil {
		flying = l.inFlight(lane)
	}
	c := tx.Bucket(store.Deliveries).Cursor()
	for k, v := c.Seek(prefix); isOfLane(k, prefix); k, v = c.Next() {
		if more = len(list) == n; more {
			return list, true
		}
		d := Delivery{Endpoint: endpoint, Lane: lane, Sequence: sequence(k)}
		if decodeDelivery(v, &d) != nil {
			continue
		}
		o := Owed{
			ID: d.ID(), WebhookID: d.WebhookID, Sequence: d.Sequence, Previous: d.PreviousSequence, Type: d.Type, Format: d.Format, Restrictive: d.Restrictive, Forced: d.Force, Anew: d.Anew,
			Since: d.Owed, Received: d.Received, InFlight: flying == d.Sequence, Body: d.Body,
		}
		switch {
		case placed && h.seq == d.Sequence:
			o.Next, o.Failures = due, h.failures
			if h.first != 0 {
				o.FirstFailure = time.UnixMilli(h.first).UTC()
			}
		case placed:
			o.Behind = h.seq
		}
		list = append(list, o)
	}
	return list, false
}

// headOf is what is tried next of a lane, and when: what its head names or, where that was given
// up, what is first in the lane. Not ok: it has no head, or a damaged one.
func headOf(tx *store.Tx, endpoint, lane string) (h head, due time.Time, ok bool) {
	k, v := locate(tx, endpoint, lane)
	_, _, at, _, sound := splitDue(k)
	if h, ok = decodeHead(v); !sound || !ok {
		return head{}, due, false
	}
	waiting := tx.Bucket(store.Deliveries)
	if !waiting.Has(deliveryKey(endpoint, lane, h.seq)) {
		prefix := laneKey(endpoint, lane)
		first, _ := waiting.From(prefix)
		if !isOfLane(first, prefix) {
			return head{}, due, false
		}
		h = head{seq: sequence(first)}
	}
	return h, time.UnixMilli(at).UTC(), true
}

// firstID is before the first byte of every id, and behind the marks that begin other keys.
const firstID = 0x20

// eachEndpoint calls fn with each endpoint whose id begins a key of a bucket behind a mark (nil:
// there is none), one look-up for each. What is damaged names nobody.
func eachEndpoint(tx *store.Tx, n store.Name, mark []byte, fn func(endpoint string)) {
	c := tx.Bucket(n).Cursor()
	from := mark
	if mark == nil {
		from = []byte{firstID}
	}
	k, _ := c.Seek(from)
	for k != nil && bytes.HasPrefix(k, mark) {
		id, _, ok := bytes.Cut(k[len(mark):], []byte{0})
		if !ok {
			k, _ = c.Next()
			continue
		}
		fn(string(id))
		k, _ = c.Seek(append(append(bytes.Clone(mark), id...), 1))
	}
}

// DeadIn lists up to n dead deliveries (negative: all) of a lane at an endpoint, in order of
// sequence, and reports whether there are more. A damaged one is left out.
func (b *Outbox) DeadIn(tx *store.Tx, endpoint, lane string, n int) (list []DeadDelivery, more bool) {
	prefix := laneKey(endpoint, lane)
	c := tx.Bucket(store.Dead).Cursor()
	for k, v := c.Seek(prefix); isOfLane(k, prefix); k, v = c.Next() {
		if more = len(list) == n; more {
			return list, true
		}
		if d, _, err := readDead(k, v); err == nil {
			list = append(list, d)
		}
	}
	return list, false
}
