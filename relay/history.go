package relay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// History is written in the order of time, so that what is new fills pages that follow each other,
// whoever it is about, and what has had its time leaves at the front. A narrow index beside it
// finds what belongs to one subject:
//
//	history   time position 1             one record and its verdict            indexed
//	          time position 2 sequence    one change the record owed            found beside its record
//	          time 0 sequence 3 endpoint  how a delivery to one endpoint ended  indexed
//	index     lane 0x00 history key
//	index     lane 0x00 0xff endpoint   see delivered.go
//
// A position is the record's in the journal (journal.Position), and 0 sequence is written like one.
// Times are microseconds: when the record was appended, or when the delivery ended. Every value
// begins with its lane and a zero byte.
const (
	kindRecord  = 1
	kindChange  = 2
	kindOutcome = 3

	historyHead = 8 + journal.PositionSize + 1 // bytes of time, position and kind
)

func historyKey(at time.Time, place journal.Position, kind byte) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, 56), uint64(at.UnixMicro()))
	return append(place.AppendTo(k), kind)
}

// placeOf is the position in a key of the history.
func placeOf(k []byte) journal.Position {
	at, _ := journal.PositionOf(k[8:])
	return at
}

func recordKey(at time.Time, place journal.Position) []byte { return historyKey(at, place, kindRecord) }

func changeKey(at time.Time, place journal.Position, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(historyKey(at, place, kindChange), seq)
}

// outcomeKey tells deliveries apart that end in the same microsecond: two subjects' by their lane,
// which follows the endpoint.
func outcomeKey(at time.Time, lane string, seq uint64, endpoint string) []byte {
	return append(append(append(historyKey(at, journal.At(int64(seq)), kindOutcome), endpoint...), 0), lane...) //nolint:gosec // far below 2⁶³
}

func indexPrefix(lane string) []byte { return append([]byte(lane), 0) }

func indexKey(lane string, key []byte) []byte {
	return append(append(append(make([]byte, 0, len(lane)+1+len(key)), lane...), 0), key...)
}

// startEntry begins a value of the history.
func startEntry(lane string, size int) []byte {
	return append(append(store.StartRecord(len(lane)+1+size), lane...), 0)
}

// entry splits a value of the history. A damaged one, whose body the store does not hand out, is
// not ok, and stays where it is.
func entry(b []byte) (lane string, body []byte, ok bool) {
	name, body, ok := bytes.Cut(b, []byte{0})
	return string(name), body, ok
}

// entryAt is the body of the entry that has a key.
func entryAt(history store.Bucket, key []byte) (body []byte, ok bool) {
	b, err := history.Get(key)
	if err != nil {
		return nil, false
	}
	_, body, ok = entry(b)
	return body, ok
}

// historyRecord is one record and what became of it, as it is kept (and as RecordView reads it).
// Its JSON is put together by hand: the update is JSON already, and every event has one.
type historyRecord struct {
	At        time.Time
	Verdict   kyc.Verdict
	Changes   []uint64
	After     journal.Position // of one that had waited: the position of the record that set it free, and
	Nth       int              // the how manyeth of those it was; what one callback brought has one number
	TakenBack string           // id of the order that took it back: it counts for nothing here
	Update    json.RawMessage
}

func (h *historyRecord) record(lane string) []byte {
	b := append(startEntry(lane, len(h.Update)+112), `{"at":"`...)
	b = h.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","verdict":"`...)
	b = append(b, h.Verdict...)
	b = append(b, '"')
	for i, seq := range h.Changes {
		if i == 0 {
			b = append(b, `,"changes":[`...)
		} else {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, seq, 10)
	}
	if len(h.Changes) > 0 {
		b = append(b, ']')
	}
	if h.After.Offset != 0 {
		b = strconv.AppendInt(append(b, `,"after":`...), h.After.Offset, 10)
		if h.After.Partition != 0 {
			b = strconv.AppendInt(append(b, `,"after_partition":`...), int64(h.After.Partition), 10)
		}
		b = strconv.AppendInt(append(b, `,"nth":`...), int64(h.Nth), 10)
	}
	if h.TakenBack != "" {
		b = append(append(append(b, `,"taken_back":"`...), h.TakenBack...), '"') // of ours: it needs no escape
	}
	b = append(b, `,"update":`...)
	b = append(b, h.Update...)
	return append(b, '}')
}

// chronicle keeps a record with its verdict, where its subject finds it.
func (b *batch) chronicle(lane string, rec *journalRecord, h *historyRecord) {
	k := recordKey(rec.Appended, rec.Position)
	b.put(store.History, k, h.record(lane))
	b.put(store.Index, indexKey(lane, k), store.NewRecord())
}

// OutcomeView is how one delivery ended.
type OutcomeView struct {
	Endpoint string         `json:"endpoint"`
	Sequence uint64         `json:"sequence"`
	Outcome  outbox.Outcome `json:"outcome"`
	Reason   string         `json:"reason"`
	Code     int            `json:"code,omitempty"`
	Attempts int            `json:"attempts"`
	Anew     string         `json:"rendered_anew,omitempty"` // the format it was rendered in again, because it could not be signed any more as it was made
	At       time.Time      `json:"at"`
}

// Settled keeps how a delivery ended with its subject, in the transaction that ends it. It is the
// outbox's hook.
func Settled(tx *store.Tx, a outbox.Attempt) error {
	d := &a.Delivery
	if partner, _, _ := splitLane(d.Lane); partner == "" {
		return nil // it tells of nobody
	}
	attempts := d.Failures
	if a.Code != 0 || a.Took != 0 {
		attempts++
	}
	o := OutcomeView{
		Endpoint: d.Endpoint, Sequence: d.Sequence, Outcome: a.Outcome, Reason: a.Reason, Code: a.Code, Attempts: attempts, At: a.At.Add(a.Took).UTC(),
	}
	if d.Anew {
		o.Anew = d.Format
	}
	k := outcomeKey(o.At, d.Lane, d.Sequence, d.Endpoint)
	if err := tx.Bucket(store.History).PutRecord(k, o.record(d.Lane)); err != nil {
		return err
	}
	if err := tx.Bucket(store.Index).Put(indexKey(d.Lane, k)); err != nil || a.Outcome != outbox.Done {
		return err
	}
	return accepted(tx, d.Lane, d.Endpoint, d.Sequence, o.At)
}

// record writes what encoding/json would: every delivery has one, and none of its texts needs an
// escape.
func (o OutcomeView) record(lane string) []byte {
	b := append(append(startEntry(lane, 192), `{"endpoint":"`...), o.Endpoint...)
	b = strconv.AppendUint(append(b, `","sequence":`...), o.Sequence, 10)
	b = append(append(b, `,"outcome":"`...), o.Outcome...)
	b = append(append(append(b, `","reason":"`...), o.Reason...), '"')
	if o.Code != 0 {
		b = strconv.AppendInt(append(b, `,"code":`...), int64(o.Code), 10)
	}
	b = strconv.AppendInt(append(b, `,"attempts":`...), int64(o.Attempts), 10)
	if o.Anew != "" {
		b = append(append(append(b, `,"rendered_anew":"`...), o.Anew...), '"')
	}
	b = o.At.AppendFormat(append(b, `,"at":"`...), time.RFC3339Nano)
	return append(b, `"}`...)
}

// recall calls fn with everything kept of one lane and its keys, in order of time, until fn says
// no.
func recall(tx *store.Tx, lane string, fn func(key []byte, kind byte, body []byte) bool) {
	recallFrom(tx, lane, nil, fn)
}

// recallFrom is recall of what stands under keys of the history that begin so.
func recallFrom(tx *store.Tx, lane string, begin []byte, fn func(key []byte, kind byte, body []byte) bool) {
	lists := indexPrefix(lane)
	prefix := indexKey(lane, begin)
	history := tx.Bucket(store.History)
	c := tx.Bucket(store.Index).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		key := k[len(lists):]
		if v == nil || len(key) < historyHead || key[0] == indexEnd {
			continue
		}
		if body, ok := entryAt(history, key); ok && !fn(key, key[historyHead-1], body) {
			return
		}
		if key[historyHead-1] == kindRecord && !changesOf(history, key, fn) {
			return
		}
	}
}

// changesOf calls fn with the changes that stand beside a record.
func changesOf(history store.Bucket, record []byte, fn func(key []byte, kind byte, body []byte) bool) bool {
	prefix := append(bytes.Clone(record[:historyHead-1]), kindChange)
	c := history.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if _, body, ok := entry(v); ok && !fn(k, kindChange, body) {
			return false
		}
	}
	return true
}

// overtakenBefore is overtaken by a walk through all that is kept of the lane.
func overtakenBefore(tx *store.Tx, lane string, seq uint64, names []string) (late bool) {
	recall(tx, lane, func(_ []byte, kind byte, body []byte) bool {
		var o OutcomeView
		late = kind == kindOutcome && json.Unmarshal(body, &o) == nil && slices.Contains(names, o.Endpoint) && o.Sequence > seq && o.Outcome == outbox.Done
		return !late
	})
	return late
}

// changeOf finds one change of the lane, while it is kept: beside the records that were appended at
// the time given, where it stands unless that is not known.
func changeOf(tx *store.Tx, lane string, seq uint64, appended time.Time) (c kyc.Change, ok bool) {
	find := func(_ []byte, kind byte, body []byte) bool {
		ok = kind == kindChange && json.Unmarshal(body, &c) == nil && c.Sequence == seq
		return !ok
	}
	if appended.Unix() > 0 {
		recallFrom(tx, lane, historyKey(appended, journal.Position{}, 0)[:8], find)
	}
	if !ok {
		recall(tx, lane, find)
	}
	return c, ok
}

// recordTime is when the record with a key of the history was appended; not ok: it is the key of
// something else.
func recordTime(k []byte) (at time.Time, ok bool) {
	if len(k) < historyHead || k[historyHead-1] != kindRecord {
		return at, false
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(k))).UTC(), true //nolint:gosec // written by historyKey
}
