package relay

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// unroutedRecord is a record that could not be applied yet, as it stands in the unrouted bucket.
type unroutedRecord struct {
	journal.Record
	Reason    kyc.Verdict `json:"reason"`        // empty: this program cannot read it
	Raw       []byte      `json:"raw,omitempty"` // in place of a Body that is not JSON
	Discarded time.Time   `json:"discarded,omitzero"`
	By        string      `json:"by,omitempty"` // who discarded it
}

// The unrouted bucket: records by position, beside them one index entry for each ref, and apart
// from both what has been discarded: kept, and never looked at again.
func discardedKey(at journal.Position) []byte { return at.AppendTo([]byte("d\x00")) }

func unroutedKey(at journal.Position) []byte { return at.AppendTo([]byte("r\x00")) }

// unroutedAt undoes unroutedKey and discardedKey.
func unroutedAt(k []byte) journal.Position {
	at, _ := journal.PositionOf(k[2:])
	return at
}

func unroutedIndex(ref string, at journal.Position) []byte {
	return at.AppendTo([]byte("i\x00" + ref + "\x00"))
}

// keep puts a record aside until one of its refs is taught (or for good, if it has none: an
// operator sees it).
func (b *batch) keep(h unroutedRecord, refs []string) error {
	h.Update, h.Ask = nil, nil // its body says the one, and the other stands elsewhere
	if !json.Valid(h.Body) {
		h.Raw, h.Body = h.Body, nil
	}
	v, err := json.Marshal(h)
	if err != nil {
		return err
	}
	b.unrouted++
	b.writeUnrouted(unroutedKey(h.Position), store.NewRecord(v))
	for _, ref := range refs {
		b.writeUnrouted(unroutedIndex(ref, h.Position), store.NewRecord())
	}
	return nil
}

// unroutedBy returns the records that wait for a ref: of earlier batches, from disk, and of this
// one.
func (b *batch) unroutedBy(ref string) (hs []unroutedRecord, err error) {
	if b.r.unrouted.Load() == 0 && len(b.unroutedNow) == 0 {
		return nil, nil // nobody waits for anything, as nearly always
	}
	prefix := waitingPrefix(ref)
	if hs, err = waitingIn(b.tx, prefix); err != nil {
		return nil, err
	}
	for k, v := range b.unroutedNow {
		if position, ok := strings.CutPrefix(k, string(prefix)); ok && v != nil {
			if record := b.unroutedNow["r\x00"+position]; record != nil {
				if hs, err = appendUnrouted(hs, store.RecordBody(record)); err != nil {
					return nil, err
				}
			}
		}
	}
	return hs, nil
}

func waitingPrefix(ref string) []byte { return []byte("i\x00" + ref + "\x00") }

// waitingIn are the records of the file that wait for a ref, by the prefix of its index.
func waitingIn(tx *store.Tx, prefix []byte) (hs []unroutedRecord, err error) {
	c := tx.Bucket(store.Unrouted).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if v == nil {
			continue // damaged: it names no record
		}
		body, err := tx.Bucket(store.Unrouted).Get(append([]byte("r\x00"), k[len(prefix):]...))
		if err != nil {
			continue // it stays where it is (I8)
		}
		if hs, err = appendUnrouted(hs, body); err != nil {
			return nil, err
		}
	}
	return hs, nil
}

// writeUnrouted writes to the unrouted bucket; later records of the batch see it.
func (b *batch) writeUnrouted(key, value []byte) {
	b.put(store.Unrouted, key, value)
	b.unroutedNow[string(key)] = value
}

func appendUnrouted(hs []unroutedRecord, body []byte) ([]unroutedRecord, error) {
	if body == nil {
		return hs, nil // applied meanwhile, through another of its refs
	}
	var h unroutedRecord
	if err := json.Unmarshal(body, &h); err != nil {
		return hs, err
	}
	return append(hs, h), nil
}

// release applies what the last record has set free, in order of arrival; each may set free more.
func (b *batch) release() error {
	for len(b.wake) > 0 {
		free := b.wake
		b.wake = nil
		slices.SortFunc(free, func(x, y unroutedRecord) int { return x.Position.Compare(y.Position) })
		for len(free) > 0 {
			n := 1
			for id := callbackOf(&free[0]); id != "" && n < len(free) && callbackOf(&free[n]) == id; n++ {
			}
			if err := b.free(free[:n]); err != nil {
				return err
			}
			free = free[n:]
		}
	}
	return nil
}

// callbackOf names the callback that brought an unrouted record together with others.
func callbackOf(h *unroutedRecord) string {
	var u kyc.Update
	if json.Unmarshal(h.Body, &u) != nil {
		return ""
	}
	return u.Callback.ID
}

// free applies unrouted records that one callback brought. Where another of a record's refs leads
// elsewhere, it stays.
func (b *batch) free(hs []unroutedRecord) error {
	whose := map[string][]saying{}
	var lanes []string
	for i := range hs {
		h := &hs[i]
		if v, ok := b.unroutedNow[string(unroutedKey(h.Position))]; ok && v == nil {
			continue // freed already
		}
		var u kyc.Update
		if err := json.Unmarshal(h.Body, &u); err != nil {
			return err
		}
		lane, verdict := b.find(&u)
		if verdict != "" {
			continue
		}
		b.takeOut(h, &u)
		u.Partner, u.Subject.ID, u.Livemode = splitLane(lane)
		if whose[lane] == nil {
			lanes = append(lanes, lane)
		}
		whose[lane] = append(whose[lane], saying{&h.Record, u})
	}
	for _, lane := range lanes {
		if err := b.applyFreed(lane, whose[lane]); err != nil {
			return err
		}
	}
	return nil
}

// takeOut removes a record and its places in the index.
func (b *batch) takeOut(h *unroutedRecord, u *kyc.Update) {
	b.unrouted--
	b.writeUnrouted(unroutedKey(h.Position), nil)
	for _, ref := range b.allRefs(u) {
		b.writeUnrouted(unroutedIndex(ref, h.Position), nil)
	}
}

// override carries out what an operator said about an unrouted record: it is applied to the subject
// named, or put away for good. One that has gone meanwhile is left alone.
func (b *batch) override(rec *journal.Record, order *kyc.Update) error {
	h := b.unroutedRecord(order.UnroutedID)
	if h == nil {
		b.note(rec, order, kyc.Stale)
		return nil
	}
	var u kyc.Update
	readable := json.Unmarshal(h.Body, &u) == nil
	switch {
	case !order.Release:
		b.takeOut(h, &u)
		h.Discarded, h.By = rec.Appended, order.Actor
		v, err := json.Marshal(h)
		if err != nil {
			return err
		}
		b.put(store.Unrouted, discardedKey(h.Position), store.NewRecord(v))
	case !readable || h.Reason == "":
		b.note(rec, order, kyc.Stale)
		return nil
	default:
		b.takeOut(h, &u)
		u.Partner, u.Subject.ID = order.Partner, order.Subject.ID
		order.Livemode = u.Livemode
		if err := b.give(rec, order, h, &u); err != nil {
			return err
		}
		if err := b.release(); err != nil {
			return err
		}
	}
	b.note(rec, order, kyc.Applied)
	return nil
}

// unroutedRecord is an unrouted record by its id; nil: there is none (any more). One that is
// damaged has its bytes as Raw.
func (b *batch) unroutedRecord(id string) *unroutedRecord {
	at, ok := unroutedPosition(id)
	if !ok {
		return nil
	}
	if record, ok := b.unroutedNow[string(unroutedKey(at))]; ok {
		if record == nil {
			return nil
		}
		return readUnrouted(at, store.RecordBody(record))
	}
	return unroutedIn(b.tx, at)
}

// unroutedIn is an unrouted record as it stands in the file; nil: there is none. One that is
// damaged has its bytes as Raw.
func unroutedIn(tx *store.Tx, at journal.Position) *unroutedRecord {
	held := tx.Bucket(store.Unrouted)
	body, err := held.Get(unroutedKey(at))
	switch {
	case err != nil:
		h := &unroutedRecord{Raw: bytes.Clone(held.Raw(unroutedKey(at)))}
		h.Position = at
		return h
	case body == nil:
		return nil
	}
	return readUnrouted(at, body)
}

func readUnrouted(at journal.Position, body []byte) *unroutedRecord {
	h := &unroutedRecord{}
	if json.Unmarshal(body, h) != nil {
		h = &unroutedRecord{Raw: bytes.Clone(body)}
	}
	h.Position = at
	return h
}
