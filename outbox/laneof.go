package outbox

import (
	"bytes"

	"countersign/outbox/store"
)

// LaneOf is whose a record is of those that Give gives away; not ok: it is none of them, or it
// follows from one of them.
func LaneOf(n store.Name, key []byte) (lane string, ok bool) {
	switch n {
	case store.Due:
		_, _, _, lane, ok = splitDue(key)
		return lane, ok
	case store.Dead:
		ok = isDead(key)
	case store.Withheld:
		key, ok = bytes.CutPrefix(key, []byte{byLane})
	case store.Deliveries:
		ok = true
	default:
	}
	if !ok {
		return "", false
	}
	d, ok := splitDelivery(key)
	return d.Lane, ok
}
