package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"countersign/outbox/store"
)

// What is owed is listed in the order in which it will be tried: heads as they become due, and
// behind each head what waits for it in its lane. No index is kept for that beside the one that
// claims go by. A head that is tried between two pages moves, as does what waits behind it.

// Listed is one delivery that is owed, as it is listed. Its body is left out but where it is asked
// for alone.
type Listed struct {
	Delivery
	Next     time.Time // when the head of its lane is due
	Behind   string    // the id of the head of its lane; "": it is the head itself
	InFlight bool      // it is being tried
	Last     *Try      // what failed last; nil: nothing, or it is not kept
}

// Retrying reports whether it has failed, and is tried again.
func (l *Listed) Retrying() bool { return l.Behind == "" && l.Failures > 0 }

// OwedQuery is what of what is owed is asked for.
type OwedQuery struct {
	Wanted   func(endpoint string) bool
	Lane     string // of this person only; "": of everybody
	Retrying bool   // heads that have failed; else heads that have not, and what waits behind heads
	Matches  func(*Delivery) bool
	After    string // the Next of the page before; "": the list begins
	Most     int    // entries of a page
	Look     int    // deliveries that are looked at for it, at most
}

// Page is one page of a list: its entries, where the next one begins ("": there is none), and how
// many were looked at for it.
type Page[T any] struct {
	List   []T
	Next   string
	Looked int
}

// ListOwed is a page of what is owed. Whatever is owed, it looks at Look deliveries at most, and at
// a few heads for each endpoint: a page may have fewer entries than Most, or none, and go on.
func (b *Outbox) ListOwed(tx *store.Tx, q OwedQuery) (p Page[Listed], err error) {
	w := &owedWalk{b: b, tx: tx, q: &q}
	if q.After != "" {
		if w.from, w.next, err = splitPlace(q.After); err != nil {
			return p, err
		}
	}
	of := []class{urgentFresh, urgentFailed, plainFresh, plainFailed}
	if q.Retrying {
		of = []class{urgentFailed, plainFailed}
	}
	endpoints := owing(tx, q.Wanted)
	if q.Lane == "" {
		soonest(tx, endpoints, of, w.from, w.lane)
		return w.p, nil
	}
	for _, h := range headsOf(tx, endpoints, q.Lane) {
		if w.from != nil && compareHeads(h[0], w.from) < 0 {
			continue
		}
		if !w.lane(h[0], h[1]) {
			break
		}
	}
	return w.p, nil
}

// ErrPlace says that a list cannot be gone on with from there.
var ErrPlace = errors.New("there is no such place in the list")

// owing are the endpoints that owe something and are wanted, in the config or not.
func owing(tx *store.Tx, wanted func(string) bool) (ids []string) {
	c := tx.Bucket(store.Meta).Cursor()
	for k, v := c.Seek(owedKey("")); bytes.HasPrefix(k, owedKey("")); k, v = c.Next() {
		id := string(k[len(owedKey("")):])
		if len(v) == 8 && binary.BigEndian.Uint64(v) != 0 && wanted(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// headsOf are the heads of one person's lanes, as they become due.
func headsOf(tx *store.Tx, endpoints []string, lane string) (heads [][2][]byte) {
	for _, id := range endpoints {
		if k, v := locate(tx, id, lane); v != nil {
			heads = append(heads, [2][]byte{bytes.Clone(k), v})
		}
	}
	slices.SortFunc(heads, func(a, b [2][]byte) int { return compareHeads(a[0], b[0]) })
	return heads
}

// compareHeads compares keys of heads by when they are due.
func compareHeads(a, b []byte) int {
	x, y := bytes.IndexByte(a, 0)+2, bytes.IndexByte(b, 0)+2
	if c := bytes.Compare(a[x:x+8], b[y:y+8]); c != 0 {
		return c
	}
	return bytes.Compare(a, b)
}

// owedWalk is a page that is being made.
type owedWalk struct {
	b    *Outbox
	tx   *store.Tx
	q    *OwedQuery
	from []byte // the head that the page begins with
	next uint64 // and where in its lane: 0 is the head, else one more than a sequence
	p    Page[Listed]
}

// placeIn is where a list has come to: the key of a head, and where in its lane.
func placeIn(head []byte, next uint64) string {
	return string(binary.BigEndian.AppendUint64(bytes.Clone(head), next))
}

func splitPlace(place string) (head []byte, next uint64, err error) {
	b := []byte(place)
	if len(b) < 8 {
		return nil, 0, ErrPlace
	}
	head = b[:len(b)-8]
	if _, _, _, _, ok := splitDue(head); !ok {
		return nil, 0, ErrPlace
	}
	return head, sequence(b), nil
}

// lane adds what is wanted of a lane whose head this is, and reports whether there is room for the
// next.
func (w *owedWalk) lane(k, v []byte) bool {
	endpoint, of, due, lane, ok := splitDue(k)
	h, sound := decodeHead(v)
	if !ok || !sound {
		return true // damaged: the claim finds it
	}
	d := Delivery{Endpoint: endpoint, Lane: lane, class: of, due: due}
	first := Listed{Delivery: d}
	if err := read(w.tx.Bucket(store.Deliveries), &first.Delivery, &h); err != nil {
		return true
	}
	first.Next, first.Failures = time.UnixMilli(due).UTC(), h.failures
	if h.first != 0 {
		first.FirstFailure = time.UnixMilli(h.first).UTC()
	}
	next := uint64(0)
	if bytes.Equal(k, w.from) {
		next = w.next
	}
	w.from = nil
	if next == 0 && !w.add(k, &first, 0) {
		return false
	}
	return w.q.Retrying || w.behind(k, &first, max(next, 1)-1)
}

// behind adds what waits behind a head, from a sequence on.
func (w *owedWalk) behind(k []byte, first *Listed, from uint64) bool {
	prefix := laneKey(first.Endpoint, first.Lane)
	c := w.tx.Bucket(store.Deliveries).Cursor()
	for at, v := c.Seek(deliveryKey(first.Endpoint, first.Lane, from)); isOfLane(at, prefix); at, v = c.Next() {
		d := Delivery{Endpoint: first.Endpoint, Lane: first.Lane, Sequence: sequence(at)}
		if d.Sequence == first.Sequence {
			continue
		}
		if _, err := decodeBare(v, &d); err != nil {
			continue // damaged
		}
		if !w.add(k, &Listed{Delivery: d, Next: first.Next, Behind: first.ID()}, d.Sequence+1) {
			return false
		}
	}
	return true
}

// add looks at one delivery; not: the page is full, and the next begins at its place in its lane.
func (w *owedWalk) add(k []byte, l *Listed, place uint64) bool {
	if len(w.p.List) == w.q.Most || w.p.Looked == w.q.Look {
		w.p.Next = placeIn(k, place)
		return false
	}
	w.p.Looked++
	l.Body = nil
	if l.Retrying() == w.q.Retrying && (w.q.Matches == nil || w.q.Matches(&l.Delivery)) {
		w.b.complete(w.tx, l)
		w.p.List = append(w.p.List, *l)
	}
	return true
}

// complete adds what is known of the last try, and whether one is under way.
func (b *Outbox) complete(tx *store.Tx, l *Listed) {
	if of := b.of(l.Endpoint); of != nil {
		l.InFlight = of.inFlight(l.Lane) == l.Sequence
	}
	if t, ok := b.lastTry(tx, &l.Delivery); ok {
		l.Last = &t
	}
}

// FindOwed is one delivery that is owed, with its body; not ok: it is not.
func (b *Outbox) FindOwed(tx *store.Tx, endpoint, lane string, seq uint64) (l Listed, ok bool) {
	l.Delivery = Delivery{Endpoint: endpoint, Lane: lane, Sequence: seq}
	if readDelivery(tx.Bucket(store.Deliveries), &l.Delivery) != nil {
		return l, false
	}
	if k, v := locate(tx, endpoint, lane); v != nil {
		first, h, due := leadsTo(tx, k, v)
		l.Next = time.UnixMilli(due).UTC()
		if first.Sequence == seq {
			l.Failures = h.failures
			if h.first != 0 {
				l.FirstFailure = time.UnixMilli(h.first).UTC()
			}
		} else {
			l.Behind = first.ID()
		}
	}
	b.complete(tx, &l)
	return l, true
}

// leadsTo is the delivery that a head leads to, and the head as it is then.
func leadsTo(tx *store.Tx, k, v []byte) (d Delivery, h head, due int64) {
	endpoint, _, due, lane, _ := splitDue(k)
	h, _ = decodeHead(v)
	d = Delivery{Endpoint: endpoint, Lane: lane}
	_ = read(tx.Bucket(store.Deliveries), &d, &h) // a damaged one has no id, and is found by the claim
	return d, h, due
}

// EachOwed calls fn with what an endpoint is owed in lanes that begin so, and looks at n deliveries
// at most.
func EachOwed(tx *store.Tx, endpoint, lane string, n int, fn func(lane string, seq uint64)) {
	prefix := append(append([]byte(endpoint), 0), lane...)
	c := tx.Bucket(store.Deliveries).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix) && n > 0; k, v = c.Next() {
		n--
		if d, ok := splitDelivery(k); ok && v != nil {
			fn(d.Lane, d.Sequence)
		}
	}
}
