package relay

import (
	"bytes"
	"errors"
	"strings"

	"countersign/outbox"
	"countersign/outbox/store"
)

// Found is one thing that a word leads to.
type Found struct {
	Kind       string // change, record, delivery, ref or subject
	Lane       string // of whom; "": a ref that is contested leads to nobody
	Source     string // of a ref
	Livemode   bool
	Change     *ChangeFound
	Record     *RecordView
	Deliveries []DeliveryView // of a change at each endpoint; of a delivery itself
	Contested  bool           // of a ref: several claim it
}

// ChangeFound is a change: its number in the life of its person, and what it says.
type ChangeFound struct {
	Sequence uint64
	Type     string
	Record   string // the id of the record that caused it; "": it is not kept any more
}

// Search says what a word is, and where: the id of a change (webhook-id), of a delivery, of a
// record of ours, a provider's ref of whichever source, or a subject's id of whichever partner. It
// looks by index only. Not whole: the finder is being made, and an id may be there and not found.
func (r *Relay) Search(word string) (found []Found, whole bool, looked int, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		found, whole = r.search(tx, word)
		looked = tx.Looked()
		return nil
	})
	return found, whole, looked, err
}

// idLength is how long the id of a record is: a ULID.
const idLength = 26

func (r *Relay) search(tx *store.Tx, word string) (found []Found, whole bool) {
	whole = true
	add := func(fs ...Found) { found = append(found, fs...) }
	switch webhookID, _, ok := outbox.SplitID(word); {
	case ok && (strings.HasPrefix(webhookID, "evt_") || strings.HasPrefix(webhookID, "ntc_") || strings.HasPrefix(webhookID, "damaged-")):
		d, err := r.deliveryOf(tx, word)
		if whole = !errors.Is(err, ErrNotWholeYet); err == nil {
			_, _, live := splitLane(d.Lane)
			add(Found{Kind: "delivery", Lane: d.Lane, Livemode: live, Deliveries: []DeliveryView{d.DeliveryView}})
		}
	case strings.HasPrefix(word, "evt_") || len(word) == idLength:
		var ids []Found
		ids, whole = r.searchID(tx, word)
		add(ids...)
	}
	add(refsNamed(tx, word)...)
	add(subjectsNamed(tx, word)...)
	return found, whole
}

// searchID finds a change or a record by its id.
func (r *Relay) searchID(tx *store.Tx, id string) (found []Found, whole bool) {
	if !strings.HasPrefix(id, "evt_") {
		lane, h, ok, whole := r.recordsOf(tx, id)
		if !ok {
			return nil, whole
		}
		_, _, live := splitLane(lane)
		return []Found{{Kind: "record", Lane: lane, Livemode: live, Source: h.Update.Source, Record: &h}}, true
	}
	spots, whole := r.spotsOf(tx, id)
	for _, s := range spots {
		list := r.deliveriesOf(tx, s, id)
		c, kept := changeOf(tx, s.lane, s.seq, s.at)
		if kept = kept && c.ID == id; !kept && len(list) == 0 {
			continue // another one, of the same millisecond
		}
		is := &ChangeFound{Sequence: s.seq, Type: c.Type, Record: c.CauseID}
		if !kept {
			is = &ChangeFound{Sequence: s.seq, Type: list[0].Type}
		}
		_, _, live := splitLane(s.lane)
		found = append(found, Found{Kind: "change", Lane: s.lane, Livemode: live, Change: is, Deliveries: list})
	}
	return found, whole
}

// refsNamed are the refs of this text: a look for each source and mode.
func refsNamed(tx *store.Tx, ref string) (found []Found) {
	b := tx.Bucket(store.Refs)
	for _, source := range beginnings(b, strandPrefix, 0) {
		for _, live := range []bool{true, false} {
			v, err := b.Get(strandKey(refKey(source, ref, live)))
			if v == nil && err == nil {
				continue
			}
			f := Found{Kind: "ref", Source: source, Livemode: live}
			s := readStrand(v, err)
			l := s.leads()
			f.Lane, f.Contested = l.lane, l.contested
			found = append(found, f)
		}
	}
	return found
}

// subjectsNamed are the subjects with this id: a look for each partner and mode.
func subjectsNamed(tx *store.Tx, id string) (found []Found) {
	b := tx.Bucket(store.Subjects)
	for _, partner := range beginnings(b, "", '/') {
		for _, live := range []bool{true, false} {
			lane := laneOf(partner, id, live)
			if b.Has([]byte(lane)) || tx.Bucket(store.Aside).Has([]byte(lane)) {
				found = append(found, Found{Kind: "subject", Lane: lane, Livemode: live})
			}
		}
	}
	return found
}

// beginnings are what the keys of a bucket that begin so have behind that, before the first byte of
// this kind: a look for each.
func beginnings(b store.Bucket, prefix string, end byte) (names []string) {
	c := b.Cursor()
	k, _ := c.Seek([]byte(prefix))
	for bytes.HasPrefix(k, []byte(prefix)) && k != nil {
		name, _, ok := bytes.Cut(k[len(prefix):], []byte{end})
		if !ok {
			k, _ = c.Next() // damaged
			continue
		}
		names = append(names, string(name))
		k, _ = c.Seek(append([]byte(prefix+string(name)), end+1))
	}
	return names
}
