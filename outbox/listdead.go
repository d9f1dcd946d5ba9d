package outbox

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"countersign/outbox/store"
)

// DeadQuery is what of the dead is asked for.
type DeadQuery struct {
	Wanted       func(endpoint string) bool
	Lane         string // of this person only; "": of everybody
	Matches      func(*DeadDelivery) bool
	Since, Until time.Time // when they died: from since on, before until; zero: no bound
	After        string    // the Next of the page before; "": the list begins
	Most, Look   int       // entries of a page, and deliveries that are looked at for it, at most
}

// DeadPage is a page of the dead, the newest first. Whatever is kept, it looks at Look deliveries at
// most: a page may have fewer entries than Most, or none, and go on.
func (b *Outbox) DeadPage(tx *store.Tx, q DeadQuery) (p Page[DeadDelivery], err error) {
	after := []byte(q.After)
	if q.After != "" && (len(after) < 10 || bytes.IndexByte(after, 0) < 0) {
		return p, ErrPlace
	}
	if q.After == "" && !q.Until.IsZero() {
		after = binary.BigEndian.AppendUint64([]byte{0}, uint64(q.Until.UnixMilli())) // of no endpoint: every one begins before that instant
	}
	add := func(d *DeadDelivery) bool {
		if !q.Since.IsZero() && d.At.Before(q.Since.Truncate(time.Millisecond)) {
			return false
		}
		if len(p.List) == q.Most || p.Looked == q.Look {
			p.Next = string(after)
			return false
		}
		p.Looked++
		after = d.timeKey()
		if q.Matches == nil || q.Matches(d) {
			p.List = append(p.List, *d)
		}
		return true
	}
	endpoints := havingDead(tx, q.Wanted)
	if q.Lane != "" {
		for _, d := range deadOfLane(tx, endpoints, q) {
			if len(after) > 0 && bytes.Compare(byDeath(d.timeKey()), byDeath(after)) >= 0 {
				continue
			}
			if !add(&d) {
				break
			}
		}
		return p, nil
	}
	var prefixes [][]byte
	for _, e := range endpoints {
		prefixes = append(prefixes, deadTimePrefix(e))
	}
	damaged := 0
	store.Newest(tx, store.Dead, prefixes, after, func(k, _ []byte) bool {
		d, err := deadAt(tx, k)
		if err != nil {
			damaged++
			return damaged < q.Look // it stays where it is
		}
		return add(&d)
	})
	return p, nil
}

// byDeath is a key of the index by time in the order of the list: the instant, and then all of it;
// of what has no instant, what comes before everything.
func byDeath(k []byte) []byte {
	at := bytes.IndexByte(k, 0) + 1
	if at == 0 || len(k) < at+8 {
		return nil
	}
	return append(bytes.Clone(k[at:at+8]), k...)
}

// havingDead are the endpoints that have dead deliveries and are wanted, in the config or not.
func havingDead(tx *store.Tx, wanted func(string) bool) (ids []string) {
	c := tx.Bucket(store.Meta).Cursor()
	for k, v := c.Seek(deadKey("")); bytes.HasPrefix(k, deadKey("")); k, v = c.Next() {
		id := string(k[len(deadKey("")):])
		if len(v) == 8 && binary.BigEndian.Uint64(v) != 0 && wanted(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// deadOfLane are the dead deliveries of one person, the newest first: of each endpoint the last Look
// of the lane.
func deadOfLane(tx *store.Tx, endpoints []string, q DeadQuery) (all []DeadDelivery) {
	for _, id := range endpoints {
		prefix := laneKey(id, q.Lane)
		c := tx.Bucket(store.Dead).Cursor()
		back := c.Prev
		if k, _ := c.Seek(append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, 9)...)); k == nil { // behind the lane is nothing
			back = c.Last
		}
		k, v := back()
		for n := 0; isOfLane(k, prefix) && n < q.Look; n++ {
			if d, _, err := readDead(k, v); err == nil {
				all = append(all, d)
			}
			k, v = c.Prev()
		}
	}
	slices.SortFunc(all, func(a, b DeadDelivery) int { return bytes.Compare(byDeath(b.timeKey()), byDeath(a.timeKey())) })
	return all
}

// ReadDead is one dead delivery with its body (nil: none is kept), by its key; not ok: it is not
// dead.
func (b *Outbox) ReadDead(tx *store.Tx, endpoint, lane string, seq uint64) (d DeadDelivery, body []byte, ok bool) {
	v, err := tx.Bucket(store.Dead).Get(deliveryKey(endpoint, lane, seq))
	if err != nil || v == nil {
		return d, nil, false
	}
	d, body, err = readDead(deliveryKey(endpoint, lane, seq), v)
	return d, body, err == nil
}

// DeadByID is ReadDead by the delivery's id.
func (b *Outbox) DeadByID(tx *store.Tx, id string) (d DeadDelivery, body []byte, ok bool) {
	d, body, err := dead(tx, id)
	return d, body, err == nil
}

// LastOfDead is the last attempt of a dead delivery, while it is kept; not ok: it is not, or there
// was none.
func (b *Outbox) LastOfDead(tx *store.Tx, d *DeadDelivery) (t Try, ok bool) {
	return b.lastTry(tx, &Delivery{Endpoint: d.Endpoint, Lane: d.Subject, Sequence: d.Sequence, Failures: d.Failures, Owed: d.Owed})
}

// WithheldOf is what is kept of a rejection or suspension that its endpoint has not been told of;
// not ok: it is not withheld.
func (b *Outbox) WithheldOf(tx *store.Tx, endpoint, webhookID string) (w Withheld, ok bool) {
	return withheldBy(tx, endpoint, webhookID)
}
