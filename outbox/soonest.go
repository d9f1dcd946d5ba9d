package outbox

import (
	"bytes"
	queue "container/heap"
	"encoding/binary"

	"countersign/outbox/store"
)

// Heads of many endpoints and classes, in the order in which they become due. Those that are due at
// the same millisecond come in the order of their keys.

// standing heads of one class at one endpoint, from where the walk has come to.
type headRow struct {
	c    *store.Cursor
	end  []byte // the prefix of them all
	k, v []byte
}

func (r *headRow) due() []byte { return r.k[len(r.end) : len(r.end)+8] }

func (r *headRow) settle(k, v []byte) bool {
	for ; bytes.HasPrefix(k, r.end); k, v = r.c.Next() {
		if _, _, _, _, ok := splitDue(k); ok && v != nil { // a damaged one is found by the claim
			r.k, r.v = k, v
			return true
		}
	}
	return false
}

type headRows []*headRow

func (h headRows) Len() int      { return len(h) }
func (h headRows) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h headRows) Less(i, j int) bool {
	if c := bytes.Compare(h[i].due(), h[j].due()); c != 0 {
		return c < 0
	}
	return bytes.Compare(h[i].k, h[j].k) < 0
}

// Push implements container/heap.Interface.
func (h *headRows) Push(x any) { *h = append(*h, x.(*headRow)) } //nolint:forcetypeassert // heap's

// Pop implements container/heap.Interface.
func (h *headRows) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// soonest calls fn with the heads of these endpoints and classes as they become due, until fn says
// no. from is the key of the head to go on with, whether it still stands there or not; nil: the
// first. It looks at one head of each class and endpoint, and at those that it hands over.
func soonest(tx *store.Tx, endpoints []string, of []class, from []byte, fn func(k, v []byte) bool) {
	var rows headRows
	for _, id := range endpoints {
		for _, c := range of {
			r := &headRow{c: tx.Bucket(store.Due).Cursor(), end: append([]byte(id), 0, byte(c))}
			if r.settle(r.c.Seek(r.begin(from))) {
				rows = append(rows, r)
			}
		}
	}
	queue.Init(&rows)
	for len(rows) > 0 {
		r := rows[0]
		if !fn(r.k, r.v) {
			return
		}
		if r.settle(r.c.Next()) {
			queue.Fix(&rows, 0)
		} else {
			queue.Pop(&rows)
		}
	}
}

// begin is the first key of the row that does not come before the head of another key.
func (r *headRow) begin(from []byte) []byte {
	at := bytes.IndexByte(from, 0) + 2
	if at < 2 || len(from) < at+8 {
		return r.end
	}
	switch c := bytes.Compare(r.end, from[:at]); {
	case c == 0:
		return from
	case c > 0:
		return append(bytes.Clone(r.end), from[at:at+8]...)
	default:
		due := binary.BigEndian.Uint64(from[at:])
		return binary.BigEndian.AppendUint64(bytes.Clone(r.end), max(due, due+1))
	}
}
