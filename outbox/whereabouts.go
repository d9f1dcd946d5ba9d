package outbox

import (
	"bytes"
	"encoding/json"
	"time"

	"countersign/outbox/store"
)

// Whereabouts lists the keys of everything that one of the outbox's buckets keeps of a lane, at
// whatever endpoint, in the config or not: a look for each endpoint that has anything there, and
// one for each record. What is nobody's has none.
func Whereabouts(tx *store.Tx, n store.Name, lane string) (keys [][]byte) {
	add := func(e string) { keys = append(keys, whereaboutsAt(tx, n, lane, e)...) }
	switch n {
	case store.Deliveries, store.Attempts, store.Due, store.Dead:
		eachEndpoint(tx, n, nil, add)
	case store.Withheld:
		eachEndpoint(tx, n, []byte{byLane}, func(e string) { keys = append(keys, withheldAt(tx, lane, e)...) })
		eachEndpoint(tx, store.Dead, nil, func(e string) { keys = append(keys, waitingAt(tx, lane, e)...) })
	case store.Answers: // others may have been answered with the same
		seen := map[string]bool{}
		for _, t := range triesOf(tx, lane, -1) {
			if t.text && !seen[string(t.answer)] {
				seen[string(t.answer)] = true
				keys = present(tx, n, keys, t.answer)
			}
		}
	default:
	}
	return keys
}

// whereaboutsAt is Whereabouts at one endpoint.
func whereaboutsAt(tx *store.Tx, n store.Name, lane, e string) (keys [][]byte) {
	switch n {
	case store.Deliveries, store.Attempts:
		return ranged(tx, n, laneKey(e, lane))
	case store.Due:
		k, _ := locate(tx, e, lane)
		if k == nil && tx.Bucket(store.Due).Has(placeKey(e, lane)) {
			k, _ = search(tx, e, lane)
		}
		return present(tx, n, nil, k, placeKey(e, lane))
	case store.Dead:
		for _, k := range ranged(tx, n, laneKey(e, lane)) {
			keys = append(keys, k)
			if d, _, err := deadOf(tx, k); err == nil {
				keys = present(tx, n, keys, d.timeKey(), d.idKey())
			}
		}
	case store.Withheld:
		return append(withheldAt(tx, lane, e), waitingAt(tx, lane, e)...)
	default:
	}
	return keys
}

// withheldAt are the keys of what is withheld of a lane from an endpoint.
func withheldAt(tx *store.Tx, lane, e string) (keys [][]byte) {
	for _, k := range ranged(tx, store.Withheld, append([]byte{byLane}, laneKey(e, lane)...)) {
		keys = append(keys, k)
		if w := readWithheld(tx, k); w != nil {
			keys = present(tx, store.Withheld, keys, w.ageKey(e, lane, sequence(k)), w.idKey(e))
		}
	}
	return keys
}

// waitingAt are the places of what of a lane waits for room at an endpoint.
func waitingAt(tx *store.Tx, lane, e string) (keys [][]byte) {
	for _, k := range ranged(tx, store.Dead, laneKey(e, lane)) {
		if d, _, err := deadOf(tx, k); err == nil {
			keys = present(tx, store.Withheld, keys, roomKey(e, d.webhookID(), d.Restrictive, d.Owed))
		}
	}
	return keys
}

// present appends those keys that a bucket has.
func present(tx *store.Tx, n store.Name, keys [][]byte, ks ...[]byte) [][]byte {
	for _, k := range ks {
		if tx.Bucket(n).Has(k) {
			keys = append(keys, bytes.Clone(k))
		}
	}
	return keys
}

// ranged are the keys of a bucket that begin so.
func ranged(tx *store.Tx, n store.Name, prefix []byte) (keys [][]byte) {
	c := tx.Bucket(n).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}

// Shown is a record of one of the outbox's buckets, for whoever may see everything that is kept of
// a person.
type Shown struct {
	ID          string           `json:"id,omitempty"`
	Endpoint    string           `json:"endpoint"`
	Sequence    uint64           `json:"sequence"`
	Previous    uint64           `json:"previous_sequence,omitempty"`
	Type        string           `json:"type,omitempty"`
	Format      string           `json:"format,omitempty"`
	Restrictive bool             `json:"restrictive,omitempty"`
	Forced      bool             `json:"forced,omitempty"`
	Anew        bool             `json:"rendered_anew,omitempty"`
	Traceparent string           `json:"traceparent,omitempty"`
	Owed        time.Time        `json:"created_at,omitzero"`
	Received    time.Time        `json:"received_at,omitzero"`
	Due         time.Time        `json:"due_at,omitzero"` // of a head
	Failures    int              `json:"failures,omitempty"`
	Reason      string           `json:"reason,omitempty"` // of a dead one
	Code        int              `json:"code,omitempty"`
	At          time.Time        `json:"at,omitzero"` // when it died, or was tried, or answered last
	Detail      string           `json:"detail,omitempty"`
	TookMS      int64            `json:"took_ms,omitempty"`
	Text        string           `json:"text,omitempty"` // that a try was answered with, and perhaps others
	Withheld    *Acknowledgement `json:"acknowledged,omitempty"`
	Body        json.RawMessage  `json:"body,omitempty"`  // as it is sent, where it is JSON
	Bytes       []byte           `json:"bytes,omitempty"` // else
}

// Show reads a record of one of the outbox's buckets. Nil: it only leads to another one, or is
// damaged.
func Show(n store.Name, k, v []byte) *Shown {
	switch n {
	case store.Deliveries:
		d, ok := splitDelivery(k)
		if !ok || decodeDelivery(v, &d) != nil {
			return nil
		}
		s := &Shown{
			ID: d.ID(), Endpoint: d.Endpoint, Sequence: d.Sequence, Previous: d.PreviousSequence, Type: d.Type, Format: d.Format, Restrictive: d.Restrictive, Forced: d.Force, Anew: d.Anew,
			Traceparent: d.Traceparent, Owed: d.Owed, Received: d.Received,
		}
		return s.with(d.Body)
	case store.Dead:
		if !isDead(k) {
			return nil
		}
		d, body, err := readDead(k, v)
		if err != nil {
			return nil
		}
		s := &Shown{
			ID: d.ID, Endpoint: d.Endpoint, Sequence: d.Sequence, Previous: d.Previous, Type: d.Type, Format: d.Format, Restrictive: d.Restrictive, Anew: d.Anew, Traceparent: d.Trace,
			Owed: d.Owed, Received: d.Received, Failures: d.Failures, Reason: d.Reason, Code: d.Code, At: d.At,
		}
		return s.with(body)
	case store.Due:
		endpoint, _, due, _, ok := splitDue(k)
		if h, sound := decodeHead(v); ok && sound {
			return &Shown{Endpoint: endpoint, Sequence: h.seq, Failures: h.failures, Due: time.UnixMilli(due).UTC()}
		}
	case store.Attempts:
		if len(k) < 13 {
			return nil
		}
		d, ok := splitDelivery(k[:len(k)-2])
		if t, _, _, sound := decodeTry(v); ok && sound {
			return &Shown{Endpoint: d.Endpoint, Sequence: d.Sequence, Reason: t.Reason, Code: t.Code, At: t.At, Detail: t.Detail, TookMS: t.Took.Milliseconds()}
		}
	case store.Answers:
		if t, _, ok := decodeSaid(v); ok && len(k) > 2 {
			return &Shown{Endpoint: string(k[:len(k)-2]), At: t.at.UTC(), Text: t.text}
		}
	case store.Withheld:
		w := &withheldRecord{}
		if len(k) == 0 || k[0] != byLane {
			return nil
		}
		if d, ok := splitDelivery(k[1:]); ok && w.decode(v) {
			d.WebhookID = w.WebhookID
			return &Shown{ID: d.ID(), Endpoint: d.Endpoint, Sequence: d.Sequence, Type: w.Type, Owed: time.UnixMilli(w.Since).UTC(), Reason: w.Dead, Withheld: w.Acknowledged}
		}
	default:
	}
	return nil
}

func (s *Shown) with(body []byte) *Shown {
	if json.Valid(body) {
		s.Body = body
	} else {
		s.Bytes = body
	}
	return s
}
