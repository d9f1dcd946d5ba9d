package outbox

import (
	"bytes"
	"encoding/binary"
	"time"

	"countersign/outbox/store"
)

// The heads of lanes stand in the due index by class, and in a class by due time. So what is due
// and urgent is found without a look at what is not, and what has never been tried without a look
// at what has failed.
//
// A lane is urgent while any delivery that is owed in it tells of a rejection or suspension: their
// order stands (I3), so it is the lane that is served first.

// class is what a claim tells heads apart by.
type class byte

// The classes, in the order of the index. What stands behind them is no head: where the head of a
// lane stands, for a lane whose first delivery does not say so.
const (
	urgentFresh class = iota
	urgentFailed
	plainFresh
	plainFailed
	classes
)

func (c class) urgent() bool { return c <= urgentFailed }
func (c class) failed() bool { return c == urgentFailed || c == plainFailed }

func classOf(urgent, failed bool) class {
	switch {
	case urgent && failed:
		return urgentFailed
	case urgent:
		return urgentFresh
	case failed:
		return plainFailed
	default:
		return plainFresh
	}
}

// placeKey is where it is kept where the head of a lane stands: its class and due time. Nothing is
// kept for a head that has never been tried, is the first delivery of its lane, and became due when
// it was owed: that is most of them, and costs nothing.
func placeKey(endpoint, lane string) []byte {
	k := append(append(make([]byte, 0, len(endpoint)+len(lane)+2), endpoint...), 0, byte(classes))
	return append(k, lane...)
}

// isPlace tells a place from a head.
func isPlace(k []byte) bool {
	at := bytes.IndexByte(k, 0)
	return at >= 0 && len(k) > at+2 && k[at+1] == byte(classes)
}

// place is what is kept under placeKey.
func place(c class, due int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(c)}, uint64(due)) //nolint:gosec // times after 1970
}

// locate finds where the head of a lane stands; no value: it has none, or it is damaged.
func locate(tx *store.Tx, endpoint, lane string) (k, v []byte) {
	due := tx.Bucket(store.Due)
	if at, err := due.Get(placeKey(endpoint, lane)); err == nil && len(at) == 9 {
		k = dueKey(endpoint, class(at[0]), int64(binary.BigEndian.Uint64(at[1:])), lane) //nolint:gosec // written by place
		v, _ = due.Get(k)
		return k, v
	}
	prefix := laneKey(endpoint, lane)
	first, body := tx.Bucket(store.Deliveries).From(prefix)
	switch {
	case !isOfLane(first, prefix):
		return nil, nil
	case len(body) < 17: // damaged
		return search(tx, endpoint, lane)
	}
	owed := int64(binary.BigEndian.Uint64(body[9:])) //nolint:gosec // written by encodeDelivery
	for _, c := range []class{plainFresh, urgentFresh} {
		k = dueKey(endpoint, c, owed, lane)
		if v, _ = due.Get(k); v != nil {
			return k, v
		}
	}
	return nil, nil
}

// search looks for the head of a lane among all of its endpoint: for repairs only.
func search(tx *store.Tx, endpoint, lane string) (k, v []byte) {
	prefix, end := append([]byte(endpoint), 0), placeKey(endpoint, "")
	c := tx.Bucket(store.Due).Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.Compare(k, end) < 0; k, v = c.Next() {
		if _, _, _, whose, ok := splitDue(k); ok && v != nil && whose == lane {
			return k, v
		}
	}
	return nil, nil
}

// standsAt is the key and the value of the head that a delivery was claimed by. It may have moved
// since, to become urgent.
func standsAt(tx *store.Tx, d *Delivery) (k, v []byte, err error) {
	k = dueKey(d.Endpoint, d.class, d.due, d.Lane)
	if v, err = tx.Bucket(store.Due).Get(k); v != nil || err != nil {
		return k, v, err
	}
	k, v = locate(tx, d.Endpoint, d.Lane)
	return k, v, nil
}

// unstand takes the head of a lane away.
func unstand(tx *store.Tx, endpoint, lane string, k []byte) error {
	if err := tx.Bucket(store.Due).Delete(k); err != nil {
		return err
	}
	return tx.Bucket(store.Due).Delete(placeKey(endpoint, lane))
}

// setHead makes a delivery its lane's head and tells the endpoint's dispatcher once that is on
// disk.
func (b *Outbox) setHead(tx *store.Tx, endpoint, lane string, due int64, h head, urgent bool) error {
	c := classOf(urgent, h.failures > 0)
	if err := tx.Bucket(store.Due).Put(placeKey(endpoint, lane), place(c, due)); err != nil {
		return err
	}
	return b.stand(tx, endpoint, lane, c, due, h.encode())
}

// stand puts a head in its place.
func (b *Outbox) stand(tx *store.Tx, endpoint, lane string, c class, due int64, v []byte) error {
	if l := b.of(endpoint); l != nil {
		tx.OnCommit(func() {
			if c.urgent() {
				l.rush.Store(true)
			}
			l.signal()
		})
	}
	return tx.Bucket(store.Due).Put(dueKey(endpoint, c, due, lane), v)
}

// owedLately is how long ago a delivery may have been owed that becomes due when it was owed. One
// whose record waited longer to be evaluated becomes due by the clock: when something is due is no
// part of what is folded, but the work of this process.
const owedLately = time.Minute

// firstHead makes a delivery the head of a lane in which nothing else is owed.
func (b *Outbox) firstHead(tx *store.Tx, d *Delivery) error {
	now, h := b.o.Now(), head{seq: d.Sequence}
	if ago := now.Sub(d.Owed); ago < 0 || ago > owedLately {
		return b.setHead(tx, d.Endpoint, d.Lane, now.UnixMilli(), h, d.Restrictive)
	}
	return b.stand(tx, d.Endpoint, d.Lane, classOf(d.Restrictive, false), d.Owed.UnixMilli(), h.encode())
}

// behind sees to the head of a lane in which something is owed already, before d is put there: a
// rejection or suspension makes the lane urgent, and what waits there for its next try is tried
// now, for nothing less brings the partner nearer to it.
func (b *Outbox) behind(tx *store.Tx, l *lanes, d *Delivery) error {
	if !d.Restrictive {
		if prefix := laneKey(d.Endpoint, d.Lane); firstOf(tx, prefix) > d.Sequence {
			return pin(tx, d.Endpoint, d.Lane)
		}
		return nil
	}
	k, v := locate(tx, d.Endpoint, d.Lane)
	_, c, due, _, ok := splitDue(k)
	if v == nil || !ok {
		return nil // Mend finds it
	}
	if c.urgent() {
		return pin(tx, d.Endpoint, d.Lane)
	}
	v = bytes.Clone(v)
	if err := unstand(tx, d.Endpoint, d.Lane, k); err != nil {
		return err
	}
	if l.inFlight(d.Lane) == 0 {
		due = min(due, b.o.Now().UnixMilli())
	}
	c = classOf(true, c.failed())
	if err := tx.Bucket(store.Due).Put(placeKey(d.Endpoint, d.Lane), place(c, due)); err != nil {
		return err
	}
	return b.stand(tx, d.Endpoint, d.Lane, c, due, v)
}

// firstOf is the sequence of the first delivery of a lane.
func firstOf(tx *store.Tx, prefix []byte) uint64 {
	k, _ := tx.Bucket(store.Deliveries).From(prefix)
	if !isOfLane(k, prefix) {
		return 0
	}
	return sequence(k)
}

// pin keeps where the head of a lane stands, before its first delivery is another one.
func pin(tx *store.Tx, endpoint, lane string) error {
	k, v := locate(tx, endpoint, lane)
	_, c, due, _, ok := splitDue(k)
	if v == nil || !ok {
		return nil
	}
	return tx.Bucket(store.Due).Put(placeKey(endpoint, lane), place(c, due))
}

// owesRestrictive reports whether a rejection or suspension is owed in a lane.
func owesRestrictive(tx *store.Tx, endpoint, lane string) bool {
	prefix := append([]byte{byLane}, laneKey(endpoint, lane)...)
	c := tx.Bucket(store.Withheld).Cursor()
	for k, _ := c.Seek(prefix); isOfLane(k, prefix); k, _ = c.Next() {
		if w := readWithheld(tx, k); w == nil || w.Dead == "" { // of a damaged one nobody can say
			return true
		}
	}
	return false
}

// again puts a delivery that failed back at the head of its lane.
func (b *Outbox) again(tx *store.Tx, a *Attempt) error {
	d := &a.Delivery
	h := head{seq: d.Sequence, failures: d.Failures}
	if !d.FirstFailure.IsZero() {
		h.first = d.FirstFailure.UnixMilli()
	}
	urgent := d.Restrictive || owesRestrictive(tx, d.Endpoint, d.Lane)
	if a.Uncounted {
		return b.setHead(tx, d.Endpoint, d.Lane, d.due, h, urgent)
	}
	h.failures++
	if h.first == 0 {
		h.first = a.At.UnixMilli()
	}
	retry := a.Retry
	if urgent && !a.Sooner.IsZero() && a.Sooner.Before(retry) {
		retry = a.Sooner
	}
	return b.setHead(tx, d.Endpoint, d.Lane, retry.UnixMilli(), h, urgent)
}
