package outbox

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"countersign/outbox/store"
)

// oldestLook is how many heads that have failed one call of OldestPending looks at. What has never
// been tried stands in the order in which it was owed, so that one look finds the oldest of it; what
// has failed stands under its next try, and has to be gone through.
const oldestLook = 64

// pending is what OldestPending has found of one endpoint among the heads that have failed.
type pending struct {
	mu   sync.Mutex // guards the fields below
	lane string     // where the oldest stands that was found; "": none was
	seq  uint64     // its sequence, by which it is known again
	owed int64      // when it was owed, in unix milliseconds
	from []byte     // the head that the next call goes on with; nil: it begins anew
}

// OldestPending is when the delivery was owed that has waited for longest, whether it is due, waits
// for its next try or belongs to an endpoint that is paused, disabled or down; zero: none waits. It
// looks at a bounded number of heads. Of an endpoint at which more lanes than oldestLook have failed
// it takes several calls to have seen all of them, and may name a younger one until then.
func (b *Outbox) OldestPending(endpoint string) (at time.Time) {
	l := b.of(endpoint)
	if l == nil {
		return at
	}
	l.pending.mu.Lock()
	defer l.pending.mu.Unlock()
	_ = b.o.Store.View(func(tx *store.Tx) error {
		owed := l.pending.failed(tx, endpoint)
		for _, c := range []class{urgentFresh, plainFresh} {
			prefix := append([]byte(endpoint), 0, byte(c))
			if k, _ := tx.Bucket(store.Due).From(prefix); bytes.HasPrefix(k, prefix) {
				owed = earlier(owed, headOwed(tx, k))
			}
		}
		if owed != 0 {
			at = time.UnixMilli(owed)
		}
		return nil
	})
	return at
}

// failed goes on through the heads that have failed, and returns when the oldest of those was owed
// that it knows; 0: it knows none. p.mu is held.
func (p *pending) failed(tx *store.Tx, endpoint string) int64 {
	if p.lane != "" && firstOf(tx, laneKey(endpoint, p.lane)) != p.seq { // it has ended
		p.lane, p.seq, p.owed, p.from = "", 0, 0, nil
	}
	left, from := oldestLook, p.from
	p.from = nil
	for _, c := range []class{urgentFailed, plainFailed} {
		prefix := append([]byte(endpoint), 0, byte(c))
		if bytes.Compare(from, append([]byte(endpoint), 0, byte(c+1))) >= 0 {
			continue // it stands in the next class
		}
		cursor := tx.Bucket(store.Due).Cursor()
		k, v := cursor.Seek(later(prefix, from))
		for ; bytes.HasPrefix(k, prefix); k, v = cursor.Next() {
			if left == 0 {
				p.from = bytes.Clone(k)
				return p.owed
			}
			left--
			if v != nil { // else it is damaged, and says nothing
				p.note(tx, k)
			}
		}
	}
	return p.owed
}

// note keeps a head, if its delivery was owed before all others that are known.
func (p *pending) note(tx *store.Tx, k []byte) {
	endpoint, _, _, lane, ok := splitDue(k)
	owed := headOwed(tx, k)
	if ok && owed != 0 && (p.owed == 0 || owed < p.owed) {
		p.lane, p.seq, p.owed = lane, firstOf(tx, laneKey(endpoint, lane)), owed
	}
}

// headOwed is when the first delivery of a head's lane was owed; 0: nobody can say.
func headOwed(tx *store.Tx, k []byte) int64 {
	endpoint, _, _, lane, ok := splitDue(k)
	if !ok {
		return 0
	}
	prefix := laneKey(endpoint, lane)
	first, body := tx.Bucket(store.Deliveries).From(prefix)
	if !isOfLane(first, prefix) || len(body) < 17 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(body[9:])) //nolint:gosec // written by encodeDelivery
}

// earlier is the smaller one of those that are not 0.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// forget is for a lane that has been given another content.
func (p *pending) forget(lane string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lane == lane {
		p.lane, p.seq, p.owed, p.from = "", 0, 0, nil
	}
}

func later(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return b
	}
	return a
}
