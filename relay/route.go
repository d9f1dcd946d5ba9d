package relay

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// ambiguousRef is what a ref leads to once it was taught for two subjects. It never leads to anybody again by itself.
const ambiguousRef = "!"

// heldRecord is a record that could not be applied yet, as it stands in the held bucket.
type heldRecord struct {
	journal.Record
	Reason kyc.Verdict `json:"reason"`
	Raw    []byte      `json:"raw,omitempty"` // in place of a Body that is not JSON
}

// route finds whose update it is: by our own id if it carries one, else by what its refs were taught. Nobody is ever guessed.
func (b *batch) route(rec *journal.Record, u *kyc.Update) error {
	if u.Subject.ID == "" || u.Partner == "" {
		lane, verdict := b.find(u)
		if verdict != "" {
			b.tallies[verdict]++
			return b.keep(heldRecord{Record: *rec, Reason: verdict}, b.refKeys(u))
		}
		u.Partner, u.Subject.ID, u.Livemode = splitLane(lane)
	}
	if err := b.apply(rec, u); err != nil {
		return err
	}
	return b.release()
}

// find looks the update's refs up.
func (b *batch) find(u *kyc.Update) (lane string, verdict kyc.Verdict) {
	for _, k := range b.refKeys(u) {
		switch v := b.ref(k); {
		case v == "":
		case v == ambiguousRef, lane != "" && lane != v:
			return "", kyc.Ambiguous
		default:
			lane = v
		}
	}
	if lane == "" {
		return "", kyc.Unrouted
	}
	if partner, id, _ := splitLane(lane); u.Partner != "" && u.Partner != partner || u.Subject.ID != "" && u.Subject.ID != id {
		return "", kyc.Ambiguous // what it says itself and what its refs say differ
	}
	return lane, ""
}

func (b *batch) ref(key string) string {
	if v, ok := b.refs[key]; ok {
		return v
	}
	return string(b.tx.Bucket(store.Refs).Get([]byte(key)))
}

// refKeys are the update's refs that belong to one person, per mode: test and live never share anything.
func (b *batch) refKeys(u *kyc.Update) (keys []string) {
	mode := "\x00t\x00"
	if u.Livemode {
		mode = "\x00l\x00"
	}
	for _, kind := range b.r.o.PersonRefs[u.Provider] {
		var ref string
		switch kind {
		case SubjectRef:
			ref = u.Subject.ProviderRef
		case SessionRef:
			ref = u.Verification.Ref
		case ParentRef:
			ref = u.Verification.ParentRef
		}
		if k := u.Source + mode + ref; ref != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// teach remembers whose the update's refs are. A network address proves too little to teach anything.
func (b *batch) teach(u *kyc.Update) error {
	if u.Kind == kyc.Observation && !u.Authenticity.AtLeast(kyc.Authenticated) {
		return nil
	}
	lane := laneOf(u.Partner, u.Subject.ID, u.Livemode)
	for _, k := range b.refKeys(u) {
		switch known := b.ref(k); known {
		case lane, ambiguousRef:
			continue
		case "":
			b.refs[k] = lane
			freed, err := b.heldBy(k)
			if err != nil {
				return err
			}
			b.wake = append(b.wake, freed...)
		default:
			b.refs[k] = ambiguousRef
			b.unclear++
			b.r.o.Logger.Error("ref_ambiguous", "source", u.Source, "update", u.ID)
		}
		b.put(store.Refs, []byte(k), []byte(b.refs[k]))
	}
	return nil
}

// The held bucket: records by position, and beside them one index entry for each ref.
func heldKey(offset int64) []byte {
	return binary.BigEndian.AppendUint64([]byte("r\x00"), uint64(offset)) //nolint:gosec // offsets are positive
}

func heldIndex(ref string, offset int64) []byte {
	return binary.BigEndian.AppendUint64([]byte("i\x00"+ref+"\x00"), uint64(offset)) //nolint:gosec // offsets are positive
}

// keep puts a record aside until one of its refs is taught (or for good, if it has none: an operator sees it).
func (b *batch) keep(h heldRecord, refs []string) error {
	h.Update = nil // its body says it
	if !json.Valid(h.Body) {
		h.Raw, h.Body = h.Body, nil
	}
	v, err := json.Marshal(h)
	if err != nil {
		return err
	}
	b.held++
	b.setAside(heldKey(h.Position.Offset), store.AppendRecord(nil, 0, v))
	for _, ref := range refs {
		b.setAside(heldIndex(ref, h.Position.Offset), []byte{})
	}
	return nil
}

// heldBy returns the records that wait for a ref: of earlier batches, from disk, and of this one.
func (b *batch) heldBy(ref string) (hs []heldRecord, err error) {
	if b.r.held.Load() == 0 && len(b.aside) == 0 {
		return nil, nil // nobody waits for anything, as nearly always
	}
	prefix := []byte("i\x00" + ref + "\x00")
	c := b.tx.Bucket(store.Held).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		key := append([]byte("r\x00"), k[len(prefix):]...)
		if hs, err = appendHeld(hs, b.tx.Bucket(store.Held).Get(key)); err != nil {
			return nil, err
		}
	}
	for k, v := range b.aside {
		if position, ok := strings.CutPrefix(k, string(prefix)); ok && v != nil {
			if hs, err = appendHeld(hs, b.aside["r\x00"+position]); err != nil {
				return nil, err
			}
		}
	}
	return hs, nil
}

// setAside writes to the held bucket; later records of the batch see it.
func (b *batch) setAside(key, value []byte) {
	b.put(store.Held, key, value)
	b.aside[string(key)] = value
}

func appendHeld(hs []heldRecord, v []byte) ([]heldRecord, error) {
	if v == nil {
		return hs, nil // applied meanwhile, through another of its refs
	}
	body, _, err := store.Record(v)
	if err != nil {
		return hs, nil //nolint:nilerr // damaged: it stays where it is (I8)
	}
	var h heldRecord
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
		slices.SortFunc(free, func(x, y heldRecord) int { return cmp.Compare(x.Position.Offset, y.Position.Offset) })
		for i := range free {
			if err := b.free(&free[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *batch) free(h *heldRecord) error {
	key := heldKey(h.Position.Offset)
	if v, ok := b.aside[string(key)]; ok && v == nil {
		return nil // freed already
	}
	var u kyc.Update
	if err := json.Unmarshal(h.Body, &u); err != nil {
		return err
	}
	lane, verdict := b.find(&u)
	if verdict != "" {
		return nil // another of its refs leads elsewhere: it stays
	}
	b.held--
	b.setAside(key, nil)
	for _, ref := range b.refKeys(&u) {
		b.setAside(heldIndex(ref, h.Position.Offset), nil)
	}
	u.Partner, u.Subject.ID, u.Livemode = splitLane(lane)
	return b.apply(&h.Record, &u)
}

func heldCount(tx *bolt.Tx) int64 {
	if v := tx.Bucket(store.Meta).Get(heldCountKey); len(v) == 8 {
		return int64(binary.BigEndian.Uint64(v)) //nolint:gosec // written by commit
	}
	return 0
}

func isStatus(changeType string) bool { return strings.HasPrefix(changeType, "kyc.status.") }
