package relay

import (
	"bytes"
	"encoding/json"
	"strings"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// What of each bucket is a person's.

func (w *whereabouts) own(*store.Tx) [][]byte { return [][]byte{[]byte(w.lane)} }

// about reports whether an update is about the person: it says so itself, or one of its refs leads
// there, or may.
func (w *whereabouts) about(u *kyc.Update) bool {
	if u.Subject.ID != "" && u.Partner != "" {
		return u.Subject.ID == w.id && u.Livemode == w.live && w.r.kept(u.Partner) == w.partner
	}
	b := &batch{r: w.r}
	for _, key := range b.allRefs(u) {
		if w.refs[key] {
			return u.Subject.ID == "" || u.Subject.ID == w.id
		}
	}
	return false
}

func (w *whereabouts) isRef(_ *store.Tx, k, v []byte) bool {
	if w.refs[string(k[len(strandPrefix):])] {
		return true
	}
	s := readStrand(v, nil)
	return s.names(w.lane)
}

func (w *whereabouts) ofIndex(_ *store.Tx, place []byte) [][]byte {
	return [][]byte{indexKey(w.lane, place)}
}

func (w *whereabouts) ofHistory(tx *store.Tx, place []byte) (keys [][]byte) {
	if len(place) != historyHead || place[0] == indexEnd || place[historyHead-1] != kindRecord {
		return nil
	}
	keys = append(keys, bytes.Clone(place))
	prefix := append(bytes.Clone(place[:historyHead-1]), kindChange)
	c := tx.Bucket(store.History).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}

func (w *whereabouts) ofOutcomes(_ *store.Tx, place []byte) [][]byte {
	if len(place) <= historyHead || place[0] == indexEnd || place[historyHead-1] != kindOutcome {
		return nil
	}
	return [][]byte{outcomeKeyAt(w.lane, place)}
}

func (w *whereabouts) isTimer(_ *store.Tx, k, _ []byte) bool {
	return len(k) > 8 && string(k[8:]) == w.lane
}

func (w *whereabouts) isReceipt(_ *store.Tx, _, v []byte) bool {
	var r Receipt
	return json.Unmarshal(v, &r) == nil && r.Lane() == w.lane
}

func (w *whereabouts) isOrder(_ *store.Tx, k, v []byte) bool {
	var o keyed
	switch {
	case json.Unmarshal(v, &o) != nil:
		return false
	case o.Lane != "":
		return o.Lane == w.lane
	}
	return w.ids[o.Record] || w.ids[string(k)] || w.subject != nil && w.subject.State.Knows(o.Record)
}

func (w *whereabouts) isForward(_ *store.Tx, _, v []byte) bool { return len(w.changes(v)) > 0 }

// isOf reports whether a change is the person's.
func (w *whereabouts) isOf(c *kyc.Change) bool {
	return c.Subject.ID == w.id && c.Livemode == w.live && w.r.kept(c.Partner) == w.partner
}

// changes are the person's of a batch of changes.
func (w *whereabouts) changes(v []byte) (list []json.RawMessage) {
	ts, _ := decodeDecided(v)
	for i := range ts {
		if w.isOf(&ts[i].change) {
			list = append(list, ts[i].json)
		}
	}
	return list
}

func (w *whereabouts) isRecord(_ *store.Tx, k, v []byte) bool {
	rec, ok := journal.ReadRecord(k, v)
	var u kyc.Update
	if !ok || json.Unmarshal(rec.Body, &u) != nil {
		return w.mentioned(v)
	}
	return w.about(&u)
}

func (w *whereabouts) isQuestion(tx *store.Tx, k, _ []byte) bool {
	q, _, ok := journal.ReadQuestion(k)
	if !ok {
		return false
	}
	if w.refs[refKey(q.Source, q.Ref, w.live)] {
		return true
	}
	found, err := journal.QuestionAt(tx, &q)
	return err == nil && found != nil && w.ids[found.Claim]
}

// items are the ids of bodies in quarantine that are known to be of the person, without opening
// any: the record says which body it came from.
func (w *whereabouts) items(tx *store.Tx) (keys [][]byte) {
	held := tx.Bucket(store.Quarantine)
	seen := map[string]bool{}
	add := func(id string) {
		if !seen[id] && held.Has([]byte(id)) {
			seen[id] = true
			keys = append(keys, []byte(id))
		}
	}
	for _, id := range w.bodies {
		add(id)
	}
	for id := range w.ids {
		for _, large := range journal.TooLargeIDs(id) {
			add(large)
		}
	}
	c := tx.Bucket(store.Questions).Cursor()
	prefix := []byte("q\x00")
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if q, _, ok := journal.ReadQuestion(k); ok && w.isQuestion(tx, k, v) {
			add(q.ItemID())
		}
	}
	return keys
}

// isDamaged reports whether a damaged record may be of the person: it names the lane, or what only
// they are called.
func (w *whereabouts) isDamaged(_ *store.Tx, k, v []byte) bool {
	return w.mentioned(k) || w.mentioned(v)
}

// mentioned reports whether bytes that nobody can read name the person.
func (w *whereabouts) mentioned(b []byte) bool {
	for rest := b; ; {
		at := bytes.Index(rest, []byte(w.lane))
		if at < 0 {
			break
		}
		end := at + len(w.lane)
		if end == len(rest) || rest[end] == 0 || rest[end] == '"' || len(rest)-end == 8 {
			return true
		}
		rest = rest[at+1:]
	}
	if id, err := json.Marshal(w.id); err == nil && bytes.Contains(b, id) {
		return true
	}
	for key := range w.refs {
		_, ref, _ := splitRef(key)
		if bytes.Contains(b, []byte(`"`+ref+`"`)) || bytes.Contains(b, []byte(key)) {
			return true
		}
	}
	return false
}

// isUnrouted reports whether something that waits is of the person, or leads to what is.
func (w *whereabouts) isUnrouted(tx *store.Tx, k, v []byte) bool {
	mark, rest, ok := strings.Cut(string(k), "\x00")
	if !ok {
		return false
	}
	switch mark {
	case "d":
		_, at, _ := waitsAt(k)
		return v != nil && w.isHeld(readUnrouted(at, v))
	case "h", "p":
		ref, at, _ := waitsAt(k)
		if mark == "p" {
			ref = string(v)
		}
		h := unroutedIn(tx, at)
		return w.refs[ref] || ref == asideRef(w.lane) || h != nil && w.isHeld(h)
	case "g":
		var g given
		return json.Unmarshal(v, &g) == nil && g.Lane == w.lane
	case "c":
		return w.refs[rest]
	case "l", "n":
		return strings.HasPrefix(rest, w.lane+"\x00")
	}
	return false
}

// isHeld reports whether a record that waits, or that was put away, is of the person.
func (w *whereabouts) isHeld(h *unroutedRecord) bool {
	var u kyc.Update
	if json.Unmarshal(h.Body, &u) != nil {
		return w.mentioned(h.Raw) || w.mentioned(h.Body)
	}
	return w.about(&u)
}
