package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
)

// span goes through how deliveries to the endpoint ended from Since until Until, from a key on.
func (w *repeater) span(cursor []byte) {
	looked := 0
	c := w.tx.Bucket(store.Outcomes).Cursor()
	var parts []string
	for _, name := range w.from {
		for e := ending(1); e <= endings; e++ {
			parts = append(parts, part(name, e))
		}
	}
	slices.Sort(parts)
	for _, of := range parts {
		name, e, _ := splitPart(of)
		begin, end := outcomePrefix(name, e, w.p.Since), outcomePrefix(name, e, w.p.Until)
		if bytes.Compare(cursor, begin) > 0 {
			begin = cursor
		}
		for k, v := c.Seek(begin); k != nil && bytes.Compare(k, end) < 0; k, v = c.Next() {
			if w.full(looked) {
				w.step.Cursor = bytes.Clone(k)
				return
			}
			looked++
			o, ok := readOutcome(k, v)
			switch {
			case !ok:
				w.step.skip(SkippedDamaged, 1)
			case w.isFirst(&o):
				w.since(&o)
			}
		}
	}
}

// isFirst reports whether nothing else of the person ended before it within the span: each person
// is taken with the first, and once.
func (w *repeater) isFirst(o *OutcomeView) (first bool) {
	begin := binary.BigEndian.AppendUint64(nil, uint64(w.p.Since.UnixMicro()))
	prefix := indexPrefix(o.Lane)
	c := w.tx.Bucket(store.Index).Cursor()
	for k, _ := c.Seek(indexKey(o.Lane, begin)); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		place := k[len(prefix):]
		if len(place) <= historyHead || place[historyHead-1] != kindOutcome {
			continue
		}
		if name, _, ok := splitPart(place[historyHead:]); ok && slices.Contains(w.from, name) {
			return bytes.Equal(place, outcomePlace(o.At, o.Sequence, o.Endpoint, endingOf(o.Outcome)))
		}
	}
	return false
}

// since orders everything that the endpoint was told of a person from the first change on that it
// was told within the span.
func (w *repeater) since(o *OutcomeView) {
	first := o.Sequence
	by := map[uint64]repetition{}
	all := w.each(o.Lane, w.from, func(o *OutcomeView) {
		if o.Outcome == outbox.Cancelled {
			return // it was never told
		}
		if !o.At.Before(w.p.Since) && o.At.Before(w.p.Until) {
			first = min(first, o.Sequence)
		}
		by[o.Sequence] = repetition{seq: o.Sequence, at: o.Received, previous: o.Previous}
	})
	if !all {
		w.step.skip(SkippedTooLong, 1)
		return
	}
	var ds []repetition
	for seq, d := range by {
		if seq < first {
			continue
		}
		if !w.same {
			d.previous = 0
		}
		ds = append(ds, d)
	}
	w.order(o.Lane, ds)
}

// current goes through the persons of the endpoint's partner that follow a lane.
func (w *repeater) current(cursor []byte) {
	prefix := []byte(w.r.kept(w.r.o.Registry.Read().Owner(w.to.ID)) + "/")
	from := prefix
	if cursor != nil {
		from = cursor
	}
	looked := 0
	c := w.tx.Bucket(store.Subjects).Cursor()
	for k, _ := c.Seek(from); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		if w.full(looked) {
			w.step.Cursor = bytes.Clone(k)
			return
		}
		looked++
		w.stands(string(k))
	}
}

// stands orders where one person stands, if the endpoint was not told.
func (w *repeater) stands(lane string) {
	s, err := w.r.load(w.tx, lane)
	if errors.Is(err, ErrAside) {
		w.step.skip(SkippedAside, 1)
		return
	}
	if err != nil || s.Told.Sequence == 0 {
		return // nothing was ever decided of them
	}
	seq := s.Told.Sequence
	for _, name := range w.names {
		if d, err := deliveredTo(w.tx, lane, name); err == nil && d.sequence >= seq {
			w.step.skip(SkippedTold, 1)
			return
		}
	}
	if outbox.IsOwed(w.tx, w.to.ID, lane, seq) {
		w.step.skip(SkippedTold, 1)
		return
	}
	w.order(lane, []repetition{{seq: seq, at: time.UnixMicro(s.Told.At).UTC()}})
}
