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
//	history   time position 1           one record and its verdict  indexed
//	          time position 2 sequence  one change the record owed  found beside its record
//	index     lane 0x00 history key
//	index     lane 0x00 time 0 sequence 3 endpoint   see ended.go
//	index     lane 0x00 0xff endpoint                see delivered.go
//
// A position is the record's in the journal (journal.Position), and 0 sequence is written like one.
// Times are microseconds: when the record was appended, or when the delivery ended. Every value of
// the history begins with its lane and a zero byte.
const (
	kindRecord  = 1
	kindChange  = 2
	kindOutcome = 3

	historyHead = 8 + journal.PositionSize + 1 // bytes of time, position and kind
)

func historyKey(at time.Time, place journal.Position, kind byte) []byte {
	return appendHistoryKey(make([]byte, 0, 56), at, place, kind)
}

func appendHistoryKey(k []byte, at time.Time, place journal.Position, kind byte) []byte {
	k = binary.BigEndian.AppendUint64(k, uint64(at.UnixMicro()))
	return append(place.AppendTo(k), kind)
}

// placeOf is the position in a key of the history.
func placeOf(k []byte) journal.Position {
	at, _ := journal.PositionOf(k[8:])
	return at
}

func recordKey(at time.Time, place journal.Position) []byte { return historyKey(at, place, kindRecord) }

func changeKey(at time.Time, place journal.Position, seq uint64) []byte {
	return appendChangeKey(make([]byte, 0, historyHead+8), at, place, seq)
}

func appendChangeKey(k []byte, at time.Time, place journal.Position, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendHistoryKey(k, at, place, kindChange), seq)
}

func indexPrefix(lane string) []byte { return append([]byte(lane), 0) }

func indexKey(lane string, key []byte) []byte {
	return appendIndexKey(make([]byte, 0, len(lane)+1+len(key)), lane, key)
}

func appendIndexKey(k []byte, lane string, key []byte) []byte {
	return append(append(append(k, lane...), 0), key...)
}

// appendEntry begins a value of the history.
func appendEntry(b []byte, lane string) []byte {
	return append(append(store.AppendRecord(b), lane...), 0)
}

// entry splits a value of the history. A damaged one, whose body the store does not hand out, is
// not ok, and stays where it is.
func entry(b []byte) (lane string, body []byte, ok bool) {
	name, body, ok := bytes.Cut(b, []byte{0})
	return string(name), body, ok
}

// entryAt is the body of the entry of the history that has a key.
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
	After     journal.Position // of one that had waited: the position of the record that set it free
	Nth       int              // of what that record set free, and of itself if it came after that, the how manyeth; what one callback brought has one number
	TakenBack string           // id of the order that took it back: it counts for nothing here
	Update    json.RawMessage
}

func (h *historyRecord) record(lane string) []byte { return h.appendTo(nil, lane) }

// size is what appendTo appends, or a little more.
func (h *historyRecord) size(lane string) int {
	return store.RecordHeader + len(lane) + len(h.Update) + len(h.TakenBack) + 21*len(h.Changes) + 160
}

func (h *historyRecord) appendTo(b []byte, lane string) []byte {
	b = append(appendEntry(b, lane), `{"at":"`...)
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
	}
	if h.Nth != 0 {
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
	k := b.room.end(appendHistoryKey(b.room.begin(historyHead), rec.Appended, rec.Position, kindRecord))
	b.put(store.History, k, b.room.end(h.appendTo(b.room.begin(h.size(lane)), lane)))
	at := b.room.end(appendIndexKey(b.room.begin(len(lane)+1+len(k)), lane, k))
	b.put(store.Index, at, b.room.bare())
}

// recall calls fn with everything kept of one lane and its places in the index, in order of time,
// until fn says no. How a delivery ended is what outcomeOf reads.
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
		if body, ok := indexed(tx, lane, key); ok && !fn(key, key[historyHead-1], body) {
			return
		}
		if key[historyHead-1] == kindRecord && !changesOf(history, key, fn) {
			return
		}
	}
}

// indexed is the body of what stands in the index of a lane under a key.
func indexed(tx *store.Tx, lane string, key []byte) (body []byte, ok bool) {
	if key[historyHead-1] == kindOutcome {
		body, err := tx.Bucket(store.Outcomes).Get(outcomeKeyAt(lane, key))
		return body, err == nil && body != nil
	}
	return entryAt(tx.Bucket(store.History), key)
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
	recall(tx, lane, func(key []byte, kind byte, body []byte) bool {
		o, ok := outcomeOf(key, kind, body)
		late = ok && slices.Contains(names, o.Endpoint) && o.Sequence > seq && o.Outcome == outbox.Done
		return !late
	})
	return late
}

// changeOf finds one change of the lane, while it is kept: beside the records that were appended at
// the time given, where it stands unless that is not known.
func changeOf(tx *store.Tx, lane string, seq uint64, appended time.Time) (c kyc.Change, ok bool) {
	find := func(_ []byte, kind byte, body []byte) bool {
		ok = kind == kindChange && readChange(body, &c) && c.Sequence == seq
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
