package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"countersign/outbox/store"
)

// Where a withheld rejection stands, and how many do. All of it moves in the transaction that moves
// the record, so that a list looks at what it shows, and a count at one number.

// withheldCountKey is how many are withheld of an endpoint that nobody has acknowledged, and
// rejectionsKey how many it owes, acknowledged or not.
func withheldCountKey(endpoint string) []byte { return []byte("outbox/withheld/" + endpoint) }
func rejectionsKey(endpoint string) []byte    { return []byte("outbox/rejections/" + endpoint) }

// setWithheld writes what is kept of a rejection, and its places in the indexes; nil: it is withheld
// no more. Of a damaged one the places stay: what mends the file sees to them.
func setWithheld(tx *store.Tx, key []byte, w *withheldRecord) (err error) {
	d, _ := splitDelivery(key[1:])
	b, was := tx.Bucket(store.Withheld), readWithheld(tx, key)
	if was != nil {
		if id := was.idKey(d.Endpoint); w == nil || !bytes.Equal(id, w.idKey(d.Endpoint)) {
			err = errors.Join(err, b.Delete(id))
		}
		if age := was.ageKey(d.Endpoint, d.Lane, d.Sequence); b.Has(age) && (w == nil || w.Acknowledged != nil || w.Since != was.Since) {
			err = errors.Join(err, b.Delete(age), add(tx, string(withheldCountKey(d.Endpoint)), -1))
		}
	}
	if by := owes(w) - owes(was); by != 0 {
		err = errors.Join(err, add(tx, string(rejectionsKey(d.Endpoint)), by))
	}
	if w == nil {
		return errors.Join(err, b.Delete(key))
	}
	if id := w.idKey(d.Endpoint); !b.Has(id) {
		err = errors.Join(err, b.Put(id, binary.BigEndian.AppendUint64([]byte(d.Lane), d.Sequence)))
	}
	if age := w.ageKey(d.Endpoint, d.Lane, d.Sequence); w.Acknowledged == nil && !b.Has(age) {
		err = errors.Join(err, b.Put(age), add(tx, string(withheldCountKey(d.Endpoint)), 1))
	}
	return errors.Join(err, b.PutRecord(key, w.record()))
}

// owes is 1 of a rejection that is owed, and 0 of one that is dead, or that there is none.
func owes(w *withheldRecord) int64 {
	if w == nil || w.Dead != "" {
		return 0
	}
	return 1
}

// eraseWithheld takes one key of the bucket away with what counts it.
func eraseWithheld(tx *store.Tx, k []byte) (err error) {
	b := tx.Bucket(store.Withheld)
	switch {
	case len(k) == 0 || !b.Has(k):
	case k[0] == byLane:
		if d, ok := splitDelivery(k[1:]); ok && owes(readWithheld(tx, k)) == 1 {
			err = add(tx, string(rejectionsKey(d.Endpoint)), -1)
		}
	case k[0] > lastMark:
		endpoint, _, _ := bytes.Cut(k, []byte{0})
		err = add(tx, string(withheldCountKey(string(endpoint))), -1)
	}
	return errors.Join(err, b.Delete(k))
}

// Counts are how much a file keeps of one endpoint, in the config or not.
type Counts struct {
	Owed, Dead int64
	Withheld   int64 // rejections and suspensions that it has not been told of, and that nobody has acknowledged
	Rejections int64 // that it owes, acknowledged or not
}

// CountsOf reads them: a look for each.
func (b *Outbox) CountsOf(endpoint string) (c Counts, err error) {
	err = b.o.Store.View(func(tx *store.Tx) (err error) {
		for _, n := range []struct {
			to  *int64
			key []byte
		}{{&c.Owed, owedKey(endpoint)}, {&c.Dead, deadKey(endpoint)}, {&c.Withheld, withheldCountKey(endpoint)}, {&c.Rejections, rejectionsKey(endpoint)}} {
			var wrong error
			*n.to, wrong = tx.Number(n.key)
			err = errors.Join(err, wrong)
		}
		return err
	})
	return c, err
}

// withheldBy is what is withheld of an endpoint by its webhook-id.
func withheldBy(tx *store.Tx, endpoint, webhookID string) (w Withheld, ok bool) {
	for _, acknowledged := range []bool{false, true} {
		k := withheldIDKey(webhookID, endpoint, acknowledged)
		if v, err := tx.Bucket(store.Withheld).Get(k); v != nil && err == nil {
			return withheldOf(tx, k, v)
		}
	}
	return w, false
}

// splitWithheldID undoes withheldIDKey.
func splitWithheldID(k []byte) (endpoint, webhookID string, ok bool) {
	if len(k) < 2 {
		return "", "", false
	}
	return strings.Cut(string(k[1:]), "\x00")
}

// ListWithheld lists up to n withheld deliveries with ids after the one given, in order of id;
// endpoint "" is all. acknowledged: those that an operator has acknowledged, and no others; else
// those that nobody has. It looks at those that it lists, and at one of each endpoint.
func (b *Outbox) ListWithheld(endpoint, after string, n int, acknowledged bool) (list []Withheld, more bool, err error) {
	list = []Withheld{} // never null
	err = b.o.Store.View(func(tx *store.Tx) error {
		endpoints := []string{endpoint}
		if endpoint == "" {
			endpoints = nil
			eachEndpoint(tx, store.Withheld, []byte{idMark(acknowledged)}, func(id string) { endpoints = append(endpoints, id) })
		}
		eachWithheld(tx, endpoints, acknowledged, after, func(k, v []byte) bool {
			w, ok := withheldOf(tx, k, v)
			if more = ok && len(list) == n; more {
				return false
			}
			if ok {
				list = append(list, w)
			}
			return true
		})
		return nil
	})
	return list, more, err
}

// eachWithheld calls fn with the places in the index by id of some endpoints, in the order of
// webhook-ids and then of endpoints, from behind an id on, until fn says no.
func eachWithheld(tx *store.Tx, endpoints []string, acknowledged bool, after string, fn func(k, v []byte) bool) {
	type row struct {
		c      *store.Cursor
		prefix []byte
		k, v   []byte
	}
	id, last, behind := SplitID(after)
	var rows []*row
	for _, e := range endpoints {
		r := &row{c: tx.Bucket(store.Withheld).Cursor(), prefix: withheldIDs(e, acknowledged)}
		from := r.prefix
		if behind {
			from = append(bytes.Clone(r.prefix), id...)
		}
		r.k, r.v = r.c.Seek(from)
		if behind && e <= last && bytes.Equal(r.k, from) {
			r.k, r.v = r.c.Next()
		}
		if bytes.HasPrefix(r.k, r.prefix) {
			rows = append(rows, r)
		}
	}
	for len(rows) > 0 {
		first := 0
		for i, r := range rows {
			if bytes.Compare(r.k[len(r.prefix):], rows[first].k[len(rows[first].prefix):]) < 0 { // endpoints come in their order
				first = i
			}
		}
		r := rows[first]
		if !fn(r.k, r.v) {
			return
		}
		if r.k, r.v = r.c.Next(); !bytes.HasPrefix(r.k, r.prefix) {
			rows = append(rows[:first], rows[first+1:]...)
		}
	}
}

// withheldOf is what a record of the index by id leads to.
func withheldOf(tx *store.Tx, k, v []byte) (o Withheld, ok bool) {
	endpoint, _, ok := splitWithheldID(k)
	if !ok || len(v) < 8 {
		return o, false
	}
	lane, seq := string(v[:len(v)-8]), sequence(v)
	w := readWithheld(tx, withheldKey(endpoint, lane, seq))
	if w == nil {
		return o, false
	}
	d := Delivery{Endpoint: endpoint, WebhookID: w.WebhookID}
	return Withheld{
		ID: d.ID(), Endpoint: endpoint, Subject: lane, Sequence: seq, Type: w.Type, Since: time.UnixMilli(w.Since).UTC(), Dead: w.Dead, Acknowledged: w.Acknowledged,
	}, true
}
