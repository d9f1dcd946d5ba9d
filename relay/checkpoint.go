package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
)

// A checkpoint is a strand as it stands after some record of its log: all that the fold, the outbox
// and those who ask need of it, but its history. It goes to another node, whose file knows nothing of
// the strand, and folds on there.
//
//	person   format; the subject's record; the record of the history that changed the status last, and
//	         that change, each with its key; how far each endpoint has been told; what outbox.Give gives
//	ref      format; the strand's record; who was refused; what waits, by position
//
// Each part has its length before it. What follows from the rest is made anew: timers, standings,
// contested refs, the order of arrival, and what is counted.

// Strand names what belongs to one person, or to one ref: a byte for which, and the lane or the key
// of the ref.
type Strand string

// The kinds of strands.
const (
	personStrand = 'p'
	aRefsStrand  = 'r'
)

// PersonStrand is the strand of whoever has a lane, and RefStrand that of a ref by its key.
func PersonStrand(lane string) Strand { return Strand(personStrand) + Strand(lane) }

// RefStrand is described at PersonStrand.
func RefStrand(key string) Strand { return Strand(aRefsStrand) + Strand(key) }

// Checkpoint is a strand after a record.
type Checkpoint struct {
	Strand Strand
	Upto   int64 // offset of the last record that is in it
	Body   []byte
}

// checkpointFormat is raised with any change of what stands in a body, but for the parts that have a
// version of their own.
const checkpointFormat = 1

// ErrRestored says that something is kept of a strand already, so that no checkpoint of it can be
// put there.
var ErrRestored = errors.New("something of the strand is kept already")

// Checkpoint is a strand as a transaction sees it. outbox.ErrNotFound: nothing is kept of it.
// ErrAside: some of it is damaged, and nobody may go on from that. store.ErrBadRecord: the same,
// where that is found only now.
func (r *Relay) Checkpoint(tx *store.Tx, strand Strand) (c Checkpoint, err error) {
	c.Strand, c.Body = strand, []byte{checkpointFormat}
	switch kind, name := strand.split(); kind {
	case personStrand:
		err = r.checkpointPerson(tx, name, &c)
	case aRefsStrand:
		err = checkpointRef(tx, name, &c)
	default:
		err = outbox.ErrNotFound
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint of a strand: %w", err)
	}
	return c, nil
}

func (s Strand) split() (kind byte, name string) {
	if s == "" {
		return 0, ""
	}
	return s[0], string(s[1:])
}

func (r *Relay) checkpointPerson(tx *store.Tx, lane string, c *Checkpoint) error {
	s, err := r.load(tx, lane)
	switch {
	case err != nil:
		return err
	case !s.known:
		return outbox.ErrNotFound
	}
	given, err := outbox.Give(tx, lane, r.endpointsOf(s)...)
	if err != nil {
		return err
	}
	c.Upto = s.Upto
	b := appendPart(c.Body, s.appendTo(nil))
	for _, key := range lastTold(s) {
		v, _ := tx.Bucket(store.History).Get(key) // a damaged one is as one that is not kept any more
		b = appendPart(appendPart(b, key), v)
	}
	told := toldTo(tx, lane)
	b = binary.AppendUvarint(b, uint64(len(told)))
	for i := range told {
		b = told[i].is.appendTo(appendText(b, told[i].endpoint))
	}
	c.Body = appendPart(b, given)
	return nil
}

// endpointsOf are the endpoints at which anything may be kept of a person: those that they were ever
// owed at, under the ids of then and of now.
func (r *Relay) endpointsOf(s *subject) (ids []string) {
	now := r.o.Registry.Read()
	for i := range s.Owed {
		ids = append(ids, s.Owed[i].endpoint, now.Current(s.Owed[i].endpoint))
	}
	return ids
}

// lastTold is where the record that changed the status last stands in the history, and where the
// change does; nothing: there is none.
func lastTold(s *subject) [][]byte {
	if s.Told == (place{}) {
		return nil
	}
	change := s.Told.key()
	record := append(bytes.Clone(change[:historyHead-1]), kindRecord)
	return [][]byte{record, change}
}

// toldMark is how far an endpoint, by the id of then, has been told of a person.
type toldMark struct {
	endpoint string
	is       delivered
}

func toldTo(tx *store.Tx, lane string) (all []toldMark) {
	prefix := deliveredKey(lane, "")
	c := tx.Bucket(store.Index).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		m := toldMark{endpoint: string(k[len(prefix):])}
		if m.is.decode(v) == nil {
			all = append(all, m)
		}
	}
	return all
}

func checkpointRef(tx *store.Tx, key string, c *Checkpoint) error {
	refs := tx.Bucket(store.Refs)
	v, err := refs.Get(strandKey(key))
	if err != nil {
		return err
	}
	var s refStrand
	if v != nil {
		if err := s.decode(v); err != nil {
			return err
		}
	}
	c.Upto = s.upto
	b := appendPart(c.Body, v)
	var no []string
	for i := range s.claims {
		if lane := s.claims[i].Lane; refs.Has(refusedMark(lane, key)) {
			no = append(no, lane)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(no)))
	for _, lane := range no {
		b = appendText(b, lane)
	}
	waits, err := waitingRows(tx, key)
	if err != nil {
		return err
	}
	if v == nil && len(waits) == 0 {
		return outbox.ErrNotFound
	}
	b = binary.AppendUvarint(b, uint64(len(waits)))
	for i := range waits {
		b = appendPart(waits[i].at.AppendTo(b), waits[i].body)
		c.Upto = max(c.Upto, waits[i].at.Offset)
	}
	c.Body = b
	return nil
}

// waitingRow is a record that waits behind a ref, whole, or without a body where it stands behind
// another.
type waitingRow struct {
	at   journal.Position
	body []byte
}

func waitingRows(tx *store.Tx, ref string) (rows []waitingRow, err error) {
	prefix := heldPrefix(ref)
	c := tx.Bucket(store.Refs).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if len(k) != len(prefix)+journal.PositionSize {
			continue // another ref's
		}
		if v == nil {
			return nil, store.ErrBadRecord
		}
		_, at, _ := waitsAt(k)
		rows = append(rows, waitingRow{at, bytes.Clone(v)})
	}
	return rows, nil
}

func appendPart(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// Restore puts a strand where nothing is kept of it, in the caller's transaction. What was folded
// after the record where the file stands and up to c.Upto is in it, so those records are passed over.
// ErrRestored: something is kept. store.ErrBadRecord: it is no checkpoint of this format. After an
// error the transaction has to end without a commit.
func (r *Relay) Restore(tx *store.Tx, c *Checkpoint) (err error) {
	u := unpacker{b: c.Body}
	if u.flag() != checkpointFormat {
		return fmt.Errorf("restore a strand: %w", store.ErrBadRecord)
	}
	switch kind, name := c.Strand.split(); kind {
	case personStrand:
		err = r.restorePerson(tx, name, c, &u)
	case aRefsStrand:
		err = r.restoreRef(tx, name, &u)
	default:
		err = store.ErrBadRecord
	}
	if err == nil && (u.bad || len(u.b) > 0) {
		err = store.ErrBadRecord
	}
	if err != nil {
		return fmt.Errorf("restore a strand: %w", err)
	}
	return nil
}

func (r *Relay) restorePerson(tx *store.Tx, lane string, c *Checkpoint, u *unpacker) error {
	if tx.Bucket(store.Subjects).Has([]byte(lane)) {
		return ErrRestored
	}
	s := &subject{lane: lane, known: true}
	if err := s.decode(u.part()); err != nil || s.Upto != c.Upto {
		return errors.Join(err, store.ErrBadRecord)
	}
	s.Ahead = s.Upto > r.Position().Offset
	if err := r.restoreTold(tx, s, u); err != nil {
		return err
	}
	for range u.count() {
		var d delivered
		key := deliveredKey(lane, u.text())
		if err := errors.Join(d.decode(u.next(deliveredSize)), tx.Bucket(store.Index).Put(key, d.appendTo(nil))); err != nil {
			return err
		}
	}
	given := u.part()
	if u.bad {
		return store.ErrBadRecord
	}
	return errors.Join(r.restoreState(tx, s), r.o.Outbox.Take(tx, lane, given, r.endpointsOf(s)...))
}

// restoreState puts the state, and what follows from it.
func (r *Relay) restoreState(tx *store.Tx, s *subject) (err error) {
	if s.Timer != 0 {
		err = tx.Bucket(store.Timers).Put(timerKey(s.Timer, s.lane))
		tx.OnCommit(r.timers.wake)
	}
	partner, _, live := splitLane(s.lane)
	if s.Stands != 0 {
		err = errors.Join(err, tx.Bucket(store.Standings).Put(standingKey(s.Stands, s.lane)))
	}
	if s.Stands.held() {
		err = errors.Join(err, r.bump(tx, heldIn(live), 1))
	}
	if s.Driven {
		err = errors.Join(err, r.bump(tx, drivenSubjects+partner, 1))
	}
	return errors.Join(err, tx.Bucket(store.Subjects).PutRecord([]byte(s.lane), s.encode()))
}

// restoreTold puts the record that changed the status last, and the change, into the history, where
// both were kept.
func (r *Relay) restoreTold(tx *store.Tx, s *subject, u *unpacker) error {
	keys := lastTold(s)
	values := make([][]byte, len(keys))
	for i, key := range keys {
		if is := u.part(); !bytes.Equal(is, key) {
			return store.ErrBadRecord
		}
		values[i] = u.part()
	}
	for _, v := range values {
		if len(v) == 0 {
			return nil // without its record, nothing would lead an erasure to the change
		}
	}
	found, err := tx.Bucket(store.Meta).Get(finderAt)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if lane, _, ok := entry(values[i]); !ok || lane != s.lane {
			return store.ErrBadRecord
		}
		if err := errors.Join(late(tx, found, key, values[i]), tx.Bucket(store.History).Put(key, values[i])); err != nil {
			return err
		}
	}
	if len(keys) == 0 {
		return nil
	}
	tx.OnCommit(func() {
		if r.unfound.Load() >= 0 {
			r.unfound.Add(int64(len(keys)))
		}
	})
	return tx.Bucket(store.Index).Put(indexKey(s.lane, keys[0]))
}

func (r *Relay) restoreRef(tx *store.Tx, key string, u *unpacker) error {
	refs := tx.Bucket(store.Refs)
	if rows, err := waitingRows(tx, key); err != nil || len(rows) > 0 || refs.Has(strandKey(key)) {
		return errors.Join(err, ErrRestored)
	}
	counted := map[string]int64{}
	if v := u.part(); len(v) > 0 {
		var s refStrand
		if err := s.decode(v); err != nil {
			return err
		}
		s.count(counted, 1)
		err := refs.Put(strandKey(key), v)
		for i, c := range s.contenders() {
			if i == 0 {
				counted[contestedRefs]++
				err = errors.Join(err, refs.Put(contestKey(key)))
			}
			err = errors.Join(err, refs.Put(contestMark(c.Lane, key)))
		}
		if err != nil {
			return err
		}
	}
	for range u.count() {
		if err := refs.Put(refusedMark(u.text(), key)); err != nil {
			return err
		}
	}
	if err := r.restoreWaiting(tx, key, u); err != nil {
		return err
	}
	for name, n := range counted {
		if err := r.bump(tx, name, n); err != nil {
			return err
		}
	}
	return nil
}

func (r *Relay) restoreWaiting(tx *store.Tx, key string, u *unpacker) error {
	refs := tx.Bucket(store.Refs)
	whole := int64(0)
	for range u.count() {
		at, ok := journal.PositionOf(u.next(journal.PositionSize))
		body := u.part()
		if !ok || u.bad {
			return store.ErrBadRecord
		}
		if err := refs.Put(heldKey(key, at), body); err != nil {
			return err
		}
		if len(body) == 0 {
			continue
		}
		whole++
		if err := refs.Put(placeKey(at), []byte(key)); err != nil {
			return err
		}
	}
	n, err := tx.Number(unroutedCountKey)
	if err != nil || whole == 0 {
		return err
	}
	tx.OnCommit(func() { r.unrouted.Store(n + whole) })
	return tx.SetNumber(unroutedCountKey, n+whole)
}

// RestoreTo says where the log goes on for whoever has been restored, in the caller's transaction:
// with the record behind at. Nothing has been folded here, and nothing is folded meanwhile.
func (r *Relay) RestoreTo(tx *store.Tx, at journal.Position) error {
	tx.OnCommit(func() { r.position.Store(&at) })
	return journal.WritePosition(tx, positionKey, at)
}

// EachStrand calls fn with each strand of which something is kept, some more than once.
func EachStrand(tx *store.Tx, fn func(Strand)) error {
	for _, n := range []store.Name{store.Subjects, store.Refs} {
		err := tx.Bucket(n).ForEach(func(k, _ []byte) error {
			if s, ok := StrandOf(n, k); ok {
				fn(s)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// StrandOf is of which strand a record of the file is a part, so that its checkpoint is another one
// when the record changes; not ok: of none, or it follows from those that are.
func StrandOf(n store.Name, key []byte) (s Strand, ok bool) {
	switch n {
	case store.Subjects:
		return PersonStrand(string(key)), true
	case store.Index:
		lane, _, _ := bytes.Cut(key, []byte{0})
		_, told := splitDelivered(key)
		return PersonStrand(string(lane)), told
	case store.Refs:
		return strandOfRef(key)
	default:
		lane, ok := outbox.LaneOf(n, key)
		return PersonStrand(lane), ok
	}
}

func strandOfRef(key []byte) (s Strand, ok bool) {
	switch {
	case bytes.HasPrefix(key, []byte(strandPrefix)):
		return RefStrand(string(key[len(strandPrefix):])), true
	case bytes.HasPrefix(key, []byte("h\x00")):
		ref, _, ok := waitsAt(key)
		return RefStrand(ref), ok
	case bytes.HasPrefix(key, []byte("n\x00")):
		_, ref, ok := bytes.Cut(key[2:], []byte{0})
		return RefStrand(string(ref)), ok
	default:
		return "", false
	}
}
