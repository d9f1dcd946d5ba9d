package relay

import (
	"bytes"
	"slices"

	"countersign/outbox"
	"countersign/outbox/store"
)

// Past is where a replay goes on behind a person of whom nothing is left, at a place that does not
// name them. Not ok: its place does not.
func Past(tx *store.Tx, p *Repeat, cursor []byte, lane string) (to []byte, ok bool) {
	switch p.Kind {
	case ReplayDead: // it stands at whom it has done
		if string(cursor) != lane {
			return nil, false
		}
		if before := outbox.DeadBefore(tx, p.Endpoint, lane); before != "" {
			to = []byte(before)
		}
		return to, true
	case ReplayRange: // at the outcome that comes next
		of, sound := splitOutcome(cursor)
		if !sound || of.lane != lane {
			return nil, false
		}
		k, _ := tx.Bucket(store.Outcomes).Cursor().Seek(cursor)
		if end := outcomePrefix(of.endpoint, of.ending, p.Until); k == nil || bytes.Compare(k, end) > 0 {
			return end, true
		}
		return bytes.Clone(k), true
	default: // at who comes next
		if string(cursor) != lane {
			return nil, false
		}
		partner, _, _ := splitLane(lane)
		prefix := []byte(partner + "/")
		k, _ := tx.Bucket(store.Subjects).Cursor().Seek(cursor)
		if !bytes.HasPrefix(k, prefix) {
			return append(slices.Clone(prefix), 0xff), true
		}
		return bytes.Clone(k), true
	}
}

// Fresh reports whether nobody has been erased since a step was worked out. Ask in the transaction
// that keeps anything of it: else it might name somebody who is gone.
func (r *Relay) Fresh(s *Step) bool { return r.erased.epoch.Load() == s.epoch }
