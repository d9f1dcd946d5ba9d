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
	add := func(ks ...[]byte) {
		for _, k := range ks {
			if tx.Bucket(n).Has(k) {
				keys = append(keys, bytes.Clone(k))
			}
		}
	}
	switch n {
	case store.Deliveries, store.Attempts:
		eachEndpoint(tx, n, nil, func(e string) { add(ranged(tx, n, laneKey(e, lane))...) })
	case store.Due:
		eachEndpoint(tx, n, nil, func(e string) {
			k, _ := locate(tx, e, lane)
			if k == nil && tx.Bucket(store.Due).Has(placeKey(e, lane)) {
				k, _ = search(tx, e, lane)
			}
			add(k, placeKey(e, lane))
		})
	case store.Dead:
		eachEndpoint(tx, n, nil, func(e string) {
			for _, k := range ranged(tx, n, laneKey(e, lane)) {
				add(k)
				if d, _, err := deadOf(tx, k); err == nil {
					add(d.timeKey(), d.idKey())
				}
			}
		})
	case store.Withheld:
		eachEndpoint(tx, n, []byte{byLane}, func(e string) {
			for _, k := range ranged(tx, n, append([]byte{byLane}, laneKey(e, lane)...)) {
				add(k)
				if w := readWithheld(tx, k); w != nil {
					add(w.ageKey(e, lane, sequence(k)), w.idKey(e))
				}
			}
		})
		eachEndpoint(tx, store.Dead, nil, func(e string) {
			for _, k := range ranged(tx, store.Dead, laneKey(e, lane)) {
				if d, _, err := deadOf(tx, k); err == nil {
					add(roomKey(e, d.webhookID(), d.Restrictive, d.Owed))
				}
			}
		})
	case store.Answers: // others may have been answered with the same
		seen := map[string]bool{}
		for _, t := range triesOf(tx, lane, -1) {
			if t.text && !seen[string(t.answer)] {
				seen[string(t.answer)] = true
				add(t.answer)
			}
		}
	default:
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
