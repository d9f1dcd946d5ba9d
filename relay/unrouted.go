package relay

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// unroutedRecord is a record that could not be applied yet, as it stands in the refs bucket.
type unroutedRecord struct {
	journal.Record
	Reason    kyc.Verdict `json:"reason"`        // empty: this program cannot read it
	Raw       []byte      `json:"raw,omitempty"` // in place of a Body that is not JSON
	Discarded time.Time   `json:"discarded,omitzero"`
	By        string      `json:"by,omitempty"` // who discarded it

	behind string // the ref that it stands behind
}

// What has been discarded stands apart: kept, and never looked at again.
func discardedKey(at journal.Position) []byte { return at.AppendTo([]byte("d\x00")) }

// heldKey is where a record waits behind a ref.
func heldKey(ref string, at journal.Position) []byte { return at.AppendTo(heldPrefix(ref)) }

func heldPrefix(ref string) []byte { return []byte("h\x00" + ref + "\x00") }

// placeKey is where stands behind which ref a record waits, whole.
func placeKey(at journal.Position) []byte { return at.AppendTo([]byte("p\x00")) }

// waitsAt is the position that ends the key of something that waits, of what was discarded and of
// what was given; and, of a heldKey, the ref.
func waitsAt(k []byte) (ref string, at journal.Position, ok bool) {
	if len(k) < 2+journal.PositionSize {
		return "", at, false
	}
	n := len(k) - journal.PositionSize
	at, ok = journal.PositionOf(k[n:])
	return string(bytes.TrimSuffix(k[2:n], []byte{0})), at, ok
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
	if len(refs) == 0 {
		refs = []string{""}
	}
	b.unrouted++
	b.writeBeside(heldKey(refs[0], h.Position), store.NewRecord(v))
	b.writeBeside(placeKey(h.Position), store.NewRecord([]byte(refs[0])))
	for _, ref := range refs[1:] {
		b.writeBeside(heldKey(ref, h.Position), store.NewRecord())
	}
	return nil
}

// unroutedBy returns the records that wait for a ref: of earlier batches, from disk, and of this
// one.
func (b *batch) unroutedBy(ref string) (hs []unroutedRecord, err error) {
	if b.r.unrouted.Load() == 0 && len(b.besideNow) == 0 {
		return nil, nil // nobody waits for anything, as nearly always
	}
	if hs, err = waitingIn(b.tx, ref); err != nil {
		return nil, err
	}
	prefix := string(heldPrefix(ref))
	for k, v := range b.besideNow {
		if v == nil || !strings.HasPrefix(k, prefix) || len(k) != len(prefix)+journal.PositionSize {
			continue
		}
		body, where := store.RecordBody(v), ref
		if _, at, _ := waitsAt([]byte(k)); len(body) == 0 {
			place, _ := b.besideRef(placeKey(at))
			where = string(place)
			body, _ = b.besideRef(heldKey(where, at))
		}
		if hs, err = appendUnrouted(hs, where, body); err != nil {
			return nil, err
		}
	}
	return hs, nil
}

// waitingIn are the records of the file that wait for a ref.
func waitingIn(tx *store.Tx, ref string) (hs []unroutedRecord, err error) {
	prefix, refs := heldPrefix(ref), tx.Bucket(store.Refs)
	c := refs.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if v == nil || len(k) != len(prefix)+journal.PositionSize {
			continue // damaged: it stays where it is (I8). Or another ref's
		}
		where := ref
		if _, at, _ := waitsAt(k); len(v) == 0 {
			place, _ := refs.Get(placeKey(at))
			where = string(place)
			v, _ = refs.Get(heldKey(where, at))
		}
		if hs, err = appendUnrouted(hs, where, v); err != nil {
			return nil, err
		}
	}
	return hs, nil
}

// writeBeside writes to the refs bucket beside strands; later records of the batch see it.
func (b *batch) writeBeside(key, value []byte) {
	b.put(store.Refs, key, value)
	b.besideNow[string(key)] = value
}

func appendUnrouted(hs []unroutedRecord, where string, body []byte) ([]unroutedRecord, error) {
	if len(body) == 0 {
		return hs, nil // applied meanwhile, through another of its refs
	}
	h := unroutedRecord{behind: where}
	if err := json.Unmarshal(body, &h); err != nil {
		return hs, err
	}
	return append(hs, h), nil
}

// callbackOf names the callback that brought an unrouted record together with others.
func callbackOf(h *unroutedRecord) string {
	var u kyc.Update
	if json.Unmarshal(h.Body, &u) != nil {
		return ""
	}
	return u.Callback.ID
}

// wakeFor is what a ref that leads to a lane now tells it: what waits for the ref, in order of
// arrival.
func (b *batch) wakeFor(ref, lane string) ([]effect, error) {
	hs, err := b.unroutedBy(ref)
	if err != nil || len(hs) == 0 {
		return nil, err
	}
	es := make([]effect, len(hs))
	for i := range hs {
		es[i] = effect{kind: updateRouted, strand: lane, ref: ref, held: &hs[i], update: &kyc.Update{}}
		if err := json.Unmarshal(hs[i].Body, es[i].update); err != nil {
			return nil, err
		}
	}
	byArrival(es)
	return es, nil
}

// free lets go of updates that one callback brought, and returns those that went, with whom they
// are for: all refs of an update are asked. Where another one leads elsewhere, it stays.
func (b *batch) free(es []effect) (went []effect) {
	for _, e := range es {
		if v, ok := b.besideNow[string(placeKey(e.held.Position))]; ok && v == nil {
			continue // freed already
		}
		lane, verdict := b.find(e.update)
		if verdict != "" {
			continue
		}
		b.takeOut(e.held, b.allRefs(e.update))
		e.strand = lane
		e.update.Partner, e.update.Subject.ID, e.update.Livemode = splitLane(lane)
		went = append(went, e)
	}
	return went
}

// takeOut removes a record, and where it waits for further refs.
func (b *batch) takeOut(h *unroutedRecord, refs []string) {
	b.unrouted--
	b.writeBeside(placeKey(h.Position), nil)
	b.writeBeside(heldKey(h.behind, h.Position), nil)
	for _, ref := range refs {
		if ref != h.behind {
			b.writeBeside(heldKey(ref, h.Position), nil)
		}
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
		b.takeOut(h, b.allRefs(&u))
		h.Discarded, h.By = rec.Appended, order.Actor
		v, err := json.Marshal(h)
		if err != nil {
			return err
		}
		b.put(store.Refs, discardedKey(h.Position), store.NewRecord(v))
	case !readable || h.Reason == "":
		b.note(rec, order, kyc.Stale)
		return nil
	default:
		b.takeOut(h, b.allRefs(&u))
		u.Partner, u.Subject.ID = order.Partner, order.Subject.ID
		order.Livemode = u.Livemode
		routed, err := b.give(rec, order, h, &u)
		if err != nil {
			return err
		}
		if err := b.receive([]effect{routed}); err != nil {
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
	where, written := b.besideNow[string(placeKey(at))]
	switch {
	case !written:
		return unroutedIn(b.tx, at)
	case where == nil:
		return nil
	}
	h := readUnrouted(at, store.RecordBody(b.besideNow[string(heldKey(string(store.RecordBody(where)), at))]))
	h.behind = string(store.RecordBody(where))
	return h
}

// unroutedIn is an unrouted record as it stands in the file; nil: there is none. One that is
// damaged has its bytes as Raw.
func unroutedIn(tx *store.Tx, at journal.Position) (h *unroutedRecord) {
	refs := tx.Bucket(store.Refs)
	where, err := refs.Get(placeKey(at))
	if where == nil || err != nil {
		return nil // or nobody knows any more where it stands: a repair finds it
	}
	key := heldKey(string(where), at)
	body, err := refs.Get(key)
	switch {
	case err != nil:
		h = &unroutedRecord{Raw: bytes.Clone(refs.Raw(key))}
		h.Position = at
	case body == nil:
		return nil
	default:
		h = readUnrouted(at, body)
	}
	h.behind = string(where)
	return h
}

func readUnrouted(at journal.Position, body []byte) *unroutedRecord {
	h := &unroutedRecord{}
	if json.Unmarshal(body, h) != nil {
		h = &unroutedRecord{Raw: bytes.Clone(body)}
	}
	h.Position = at
	return h
}
