package relay

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
)

// How a delivery ended stands by its endpoint and the time, so that what an endpoint was told is
// found without a look at what others were, and what was accepted apart from what died or was
// cancelled: a list of the few looks at none of the many. The index finds what was told of one
// subject:
//
//	outcomes  endpoint ending 0x00 time 0 sequence lane   how the delivery ended
//	index     lane 0x00 time 0 sequence 3 endpoint ending
//
// The endpoint is named as it was called then. An endpoint and an ending make a part; what has had
// its time is at the front of each part.

// ending is how deliveries of one part ended. An endpoint's id has no such byte.
type ending byte

const (
	endedDone ending = iota + 1
	endedDead
	endedCancelled

	endings = endedCancelled // how many there are
)

func endingOf(o outbox.Outcome) ending {
	switch o {
	case outbox.Done:
		return endedDone
	case outbox.Cancelled:
		return endedCancelled
	case outbox.Died, outbox.Retry:
	}
	return endedDead
}

// part is the name of what ended so at an endpoint, as keys have it.
func part(endpoint string, e ending) string { return endpoint + string(rune(e)) }

// splitPart undoes part; not ok: it is damaged.
func splitPart[T string | []byte](part T) (endpoint string, e ending, ok bool) {
	n := len(part) - 1
	if n < 1 || part[n] == 0 || ending(part[n]) > endings {
		return "", 0, false
	}
	return string(part[:n]), ending(part[n]), true
}

// OutcomeView is how one delivery ended.
type OutcomeView struct {
	ID        string         `json:"id"` // the delivery's
	Endpoint  string         `json:"endpoint"`
	Sequence  uint64         `json:"sequence"`
	WebhookID string         `json:"-"`
	Type      string         `json:"type"`
	Outcome   outbox.Outcome `json:"outcome"`
	Reason    string         `json:"reason"`
	Code      int            `json:"code,omitempty"`
	Attempts  int            `json:"attempts"`
	Anew      bool           `json:"rendered_anew,omitempty"` // in Format, because it could not be signed any more as it was made
	Replayed  bool           `json:"replayed,omitempty"`      // a replay owed it, perhaps once more
	Format    string         `json:"format"`
	Previous  uint64         `json:"previous_sequence,omitempty"`
	TookMS    float64        `json:"took_ms"`              // the last attempt, to the microsecond
	Owed      time.Time      `json:"created_at,omitzero"`  // when it came to be owed
	Received  time.Time      `json:"received_at,omitzero"` // when what caused it was, by which its change is found
	At        time.Time      `json:"at"`
	By        string         `json:"by,omitempty"`      // of one that was cancelled: who
	Because   string         `json:"because,omitempty"` // and why

	Lane string `json:"-"`

	Exchange outbox.Exchange `json:"-"` // of one that was accepted: what went over the wire. Of any other it stands with its tries
}

// outcomeKey tells deliveries apart that end in the same microsecond.
func outcomeKey(at time.Time, lane string, seq uint64, endpoint string, e ending) []byte {
	return appendOutcomeKey(nil, at, lane, seq, endpoint, e)
}

func appendOutcomeKey(k []byte, at time.Time, lane string, seq uint64, endpoint string, e ending) []byte {
	k = appendOutcomePrefix(k, endpoint, e, at)
	return append(journal.At(int64(seq)).AppendTo(k), lane...) //nolint:gosec // far below 2⁶³
}

// outcomePrefix begins the keys of what ended so at an endpoint at an instant.
func outcomePrefix(endpoint string, e ending, at time.Time) []byte {
	return appendOutcomePrefix(make([]byte, 0, len(endpoint)+64), endpoint, e, at)
}

func appendOutcomePrefix(k []byte, endpoint string, e ending, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(append(k, endpoint...), byte(e), 0), uint64(at.UnixMicro()))
}

// outcomePlace is where the index of its lane has it: the rest of the key behind the lane.
func outcomePlace(at time.Time, seq uint64, endpoint string, e ending) []byte {
	return appendOutcomePlace(nil, at, seq, endpoint, e)
}

func appendOutcomePlace(k []byte, at time.Time, seq uint64, endpoint string, e ending) []byte {
	return append(append(appendHistoryKey(k, at, journal.At(int64(seq)), kindOutcome), endpoint...), byte(e)) //nolint:gosec // far below 2⁶³
}

// outcomeKeyAt is the key of what stands at a place of a lane's index.
func outcomeKeyAt(lane string, place []byte) []byte {
	k := append(append(make([]byte, 0, len(place)+len(lane)), place[historyHead:]...), 0)
	return append(append(k, place[:historyHead-1]...), lane...)
}

// outcomeAt is what the key of an outcome says.
type outcomeAt struct {
	lane, endpoint string
	ending         ending
	seq            uint64
	at             time.Time
}

// place is where the index of its lane has it.
func (o *outcomeAt) place() []byte { return outcomePlace(o.at, o.seq, o.endpoint, o.ending) }

// part is the name of its part.
func (o *outcomeAt) part() string { return part(o.endpoint, o.ending) }

// splitOutcome reads a key; not ok: it is damaged.
func splitOutcome(k []byte) (o outcomeAt, ok bool) {
	name, rest, ok := bytes.Cut(k, []byte{0})
	if !ok || len(rest) <= historyHead-1 {
		return o, false
	}
	if o.endpoint, o.ending, ok = splitPart(name); !ok {
		return o, false
	}
	place, _ := journal.PositionOf(rest[8:])
	o.at = time.UnixMicro(int64(binary.BigEndian.Uint64(rest))).UTC()  //nolint:gosec // written by outcomePrefix
	o.lane, o.seq = string(rest[historyHead-1:]), uint64(place.Offset) //nolint:gosec // written by outcomeKey
	return o, true
}

// outcomeOf reads what recall hands over; not ok: it is something else, or damaged.
func outcomeOf(place []byte, kind byte, body []byte) (o OutcomeView, ok bool) {
	if kind != kindOutcome || len(place) <= historyHead {
		return o, false
	}
	endpoint, _, ok := splitPart(place[historyHead:])
	if !ok {
		return o, false
	}
	at := placeOf(place)
	o = OutcomeView{Endpoint: endpoint, Sequence: uint64(at.Offset), At: time.UnixMicro(int64(binary.BigEndian.Uint64(place))).UTC()} //nolint:gosec // written by outcomePlace
	return o, o.decode(body)
}

// readOutcome reads a record of the bucket; not ok: it is damaged.
func readOutcome(k, body []byte) (o OutcomeView, ok bool) {
	at, ok := splitOutcome(k)
	o.Lane, o.Endpoint, o.Sequence, o.At = at.lane, at.endpoint, at.seq, at.at
	return o, ok && body != nil && o.decode(body)
}

const (
	outcomeDone = 1 << iota
	outcomeAnew
	outcomeReplayed
	outcomeExchange
	outcomeCancelled
)

// appendTo appends what stands under the key, as a record that the store completes: every delivery
// has one, so it is written by hand.
func (o *OutcomeView) appendTo(b []byte) []byte {
	flags := byte(0)
	switch o.Outcome {
	case outbox.Done:
		flags |= outcomeDone
	case outbox.Cancelled:
		flags |= outcomeCancelled
	case outbox.Died, outbox.Retry:
	}
	if o.Anew {
		flags |= outcomeAnew
	}
	if o.Replayed {
		flags |= outcomeReplayed
	}
	if o.Exchange != (outbox.Exchange{}) {
		flags |= outcomeExchange
	}
	b = append(store.AppendRecord(b), flags)
	for _, n := range [...]uint64{uint64(o.Code), uint64(o.Attempts), uint64(max(o.TookMS*1000+.5, 0)), o.Previous} { //nolint:gosec // counts
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendVarint(b, micro(o.Owed))
	b = binary.AppendVarint(b, micro(o.Received))
	for _, s := range [...]string{o.Reason, o.Type, o.WebhookID, o.Format} {
		b = appendText(b, s)
	}
	if o.Outcome == outbox.Cancelled {
		b = appendText(appendText(b, o.By), o.Because)
	}
	if flags&outcomeExchange != 0 {
		b = o.Exchange.AppendTo(b)
	}
	return b
}

// micro is an instant in microseconds, none as 0.
func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func timeOf(us int64) (t time.Time) {
	if us != 0 {
		t = time.UnixMicro(us).UTC()
	}
	return t
}

// decode undoes appendTo, of which nothing is kept.
func (o *OutcomeView) decode(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	r := unpacker{b: b[1:]}
	o.Outcome = outbox.Died
	switch {
	case b[0]&outcomeDone != 0:
		o.Outcome = outbox.Done
	case b[0]&outcomeCancelled != 0:
		o.Outcome = outbox.Cancelled
	}
	o.Anew, o.Replayed = b[0]&outcomeAnew != 0, b[0]&outcomeReplayed != 0
	o.Code, o.Attempts, o.TookMS, o.Previous = int(r.number()), int(r.number()), float64(r.number())/1000, r.number() //nolint:gosec // written by record
	o.Owed, o.Received = timeOf(r.signed()), timeOf(r.signed())
	o.Reason, o.Type, o.WebhookID, o.Format = r.text(), r.text(), r.text(), r.text()
	if o.Outcome == outbox.Cancelled {
		o.By, o.Because = r.text(), r.text()
	}
	o.ID = (&outbox.Delivery{WebhookID: o.WebhookID, Endpoint: o.Endpoint}).ID()
	if !r.bad && b[0]&outcomeExchange != 0 {
		var ok bool
		o.Exchange, _, ok = outbox.ReadExchange(r.b)
		return ok
	}
	return !r.bad
}

// unpacker reads what was put down as varints and texts; bad: it was not.
type unpacker struct {
	b   []byte
	bad bool
}

func (r *unpacker) number() uint64 {
	n, size := binary.Uvarint(r.b)
	return r.took(n, size)
}

func (r *unpacker) signed() int64 {
	n, size := binary.Varint(r.b)
	return int64(r.took(uint64(n), size)) //nolint:gosec // there and back
}

func (r *unpacker) took(n uint64, size int) uint64 {
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *unpacker) text() string { return string(r.part()) }

// part is what text is made of: a part of what is read.
func (r *unpacker) part() []byte {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

// next is so many bytes.
func (r *unpacker) next(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *unpacker) flag() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// count is the length of a list. Nothing in one takes less than a byte, so more than what is left is
// no length.
func (r *unpacker) count() int {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n) //nolint:gosec // at most a length
}

// Settled keeps how a delivery ended with its subject and its endpoint, in the transaction that
// ends it. It is the outbox's hook.
func Settled(tx *store.Tx, a outbox.Attempt) error {
	d := &a.Delivery
	if partner, _, _ := splitLane(d.Lane); partner == "" {
		return nil // it tells of nobody
	}
	o := OutcomeView{
		Endpoint: d.Endpoint, Sequence: d.Sequence, WebhookID: d.WebhookID, Type: d.Type, Outcome: a.Outcome, Reason: a.Reason, Code: a.Code, Attempts: d.Failures, Anew: d.Anew,
		Replayed: d.Replayed, Format: d.Format, Previous: d.PreviousSequence, TookMS: float64(a.Took.Microseconds()) / 1000, Owed: d.Owed, Received: d.Received, At: a.At.Add(a.Took).UTC(),
		By: a.By, Because: a.Because,
	}
	if a.Code != 0 || a.Took != 0 {
		o.Attempts++
	}
	if a.Outcome == outbox.Done {
		o.Exchange = a.Exchange
	}
	return o.keep(tx, d.Lane)
}

// outcomeRoom is what the record of an outcome takes beside its texts, in bytes, or a little more.
const outcomeRoom = 96

// keep writes how a delivery ended, where its subject finds that, and how far its endpoint has been
// told. Keys and records stand in one piece of memory: there are six of them for each delivery
// (BenchmarkSettle).
func (o *OutcomeView) keep(tx *store.Tx, lane string) error {
	names := len(lane) + len(o.Endpoint)
	texts := len(o.Reason) + len(o.Type) + len(o.WebhookID) + len(o.Format) + len(o.By) + len(o.Because) + len(o.Exchange.Answer.Text) + len(o.Exchange.Answer.Type)
	room := make([]byte, 0, 3*(names+historyHead+2)+outcomeRoom+texts+2*store.RecordHeader+deliveredSize)
	cut := func() (part []byte) {
		part, room = slices.Clip(room), room[len(room):]
		return part
	}
	room = appendOutcomeKey(room, o.At, lane, o.Sequence, o.Endpoint, endingOf(o.Outcome))
	key := cut()
	room = o.appendTo(room)
	if err := tx.Bucket(store.Outcomes).PutRecord(key, cut()); err != nil {
		return err
	}
	room = appendOutcomePlace(append(append(room, lane...), 0), o.At, o.Sequence, o.Endpoint, endingOf(o.Outcome))
	place := cut()
	room = store.AppendRecord(room)
	if err := tx.Bucket(store.Index).PutRecord(place, cut()); err != nil || o.Outcome != outbox.Done {
		return err
	}
	room = appendDeliveredKey(room, lane, o.Endpoint)
	return acceptedAt(tx, cut(), room, o.Sequence, o.At)
}
