package relay

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// Everything about one subject stands side by side in the subjects bucket, so that a fold touches few pages:
//
//	lane 0x00 0x00                      the subject: policy version, what each endpoint was last owed, State
//	lane 0x00 0x01 offset               one record and its verdict (history)
//	lane 0x00 0x02 sequence             one change
//	lane 0x00 0x03 sequence endpoint    how its delivery to one endpoint ended (history)
const (
	partState   = 0x00
	partHistory = 0x01
	partChange  = 0x02
	partOutcome = 0x03
)

// laneOf names a subject within the outbox and the subjects bucket. Test and live never share a state, so a test subject is another lane.
func laneOf(partner, id string, livemode bool) string {
	if livemode {
		return partner + "/" + id
	}
	return partner + "/" + id + "\x01t"
}

func splitLane(lane string) (partner, id string, livemode bool) {
	partner, id, _ = strings.Cut(lane, "/")
	id, test := strings.CutSuffix(id, "\x01t")
	return partner, id, !test
}

func subjectKey(lane string, part byte) []byte {
	return append(append(make([]byte, 0, len(lane)+64), lane...), 0, part)
}

func historyKey(lane string, offset int64) []byte {
	return binary.BigEndian.AppendUint64(subjectKey(lane, partHistory), uint64(offset)) //nolint:gosec // offsets are positive
}

func changeKey(lane string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(subjectKey(lane, partChange), seq)
}

func outcomeKey(lane string, seq uint64, endpoint string) []byte {
	return append(binary.BigEndian.AppendUint64(subjectKey(lane, partOutcome), seq), endpoint...)
}

// subject is a kyc.State and what the relay keeps beside it. On disk: the length of the JSON, the JSON, the State in its own encoding.
type subject struct {
	Policy int               `json:"p,omitempty"` // version it is folded under
	Owed   map[string]uint64 `json:"o,omitempty"` // by endpoint: the last sequence owed
	State  kyc.State         `json:"-"`

	lane  string
	dirty bool
}

func (s *subject) encode() ([]byte, error) {
	beside, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	state, err := s.State.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return store.AppendRecord(make([]byte, 0, 16+len(beside)+len(state)), 0, binary.AppendUvarint(nil, uint64(len(beside))), beside, state), nil
}

func (s *subject) decode(v []byte) error {
	b, _, err := store.Record(v)
	if err != nil {
		return err
	}
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) { //nolint:gosec // size is at most len(b)
		return store.ErrBadRecord
	}
	b = b[size:]
	if err := json.Unmarshal(b[:n], s); err != nil {
		return err
	}
	return s.State.UnmarshalBinary(b[n:])
}

// historyRecord is one record and what became of it, as it is kept (and as RecordView reads it). Its JSON is put together by hand: the update is JSON already, and
// every event has one.
type historyRecord struct {
	At      time.Time
	Verdict kyc.Verdict
	Changes []uint64
	Update  json.RawMessage
}

func (h *historyRecord) record() []byte {
	b := append(store.StartRecord(len(h.Update)+112), `{"at":"`...)
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
	b = append(b, `,"update":`...)
	b = append(b, h.Update...)
	return store.FinishRecord(append(b, '}'))
}

// subject loads a subject once per batch.
func (b *batch) subject(lane string) (*subject, error) {
	if s := b.subjects[lane]; s != nil {
		return s, nil
	}
	s, err := loadSubject(b.tx, lane)
	if err != nil {
		return nil, err
	}
	b.subjects[lane] = s
	return s, nil
}

func loadSubject(tx *bolt.Tx, lane string) (*subject, error) {
	s := &subject{lane: lane}
	v := tx.Bucket(store.Subjects).Get(subjectKey(lane, partState))
	if v == nil {
		return s, nil
	}
	if err := s.decode(v); err != nil {
		// Going on without it would approve or release on half the truth. Stop, and say where.
		return nil, fmt.Errorf("state of a subject of partner %s is damaged (%w): restore a backup", strings.SplitN(lane, "/", 2)[0], err)
	}
	return s, nil
}

func (b *batch) encodeSubjects() error {
	for _, s := range b.subjects {
		if !s.dirty {
			continue
		}
		v, err := s.encode()
		if err != nil {
			return err
		}
		b.put(store.Subjects, subjectKey(s.lane, partState), v)
	}
	return nil
}

// noteOrder keeps a redelivery order with the subject it is about.
func (b *batch) noteOrder(rec *journalRecord, u *kyc.Update) {
	if u.Subject.ID == "" {
		return
	}
	b.tallies[kyc.Applied]++
	h := historyRecord{At: rec.Appended, Verdict: kyc.Applied, Update: rec.Body}
	b.put(store.Subjects, historyKey(laneOf(u.Partner, u.Subject.ID, u.Livemode), rec.Position.Offset), h.record())
}

// OutcomeView is how one delivery ended.
type OutcomeView struct {
	Endpoint string         `json:"endpoint"`
	Sequence uint64         `json:"sequence"`
	Outcome  outbox.Outcome `json:"outcome"`
	Reason   string         `json:"reason"`
	Code     int            `json:"code,omitempty"`
	Attempts int            `json:"attempts"`
	At       time.Time      `json:"at"`
}

// Settled keeps how a delivery ended with its subject, in the transaction that ends it. It is the outbox's hook.
func Settled(tx *bolt.Tx, a outbox.Attempt) error {
	d := &a.Delivery
	attempts := d.Failures
	if a.Code != 0 || a.Took != 0 {
		attempts++
	}
	o := OutcomeView{
		Endpoint: d.Endpoint, Sequence: d.Sequence, Outcome: a.Outcome, Reason: a.Reason, Code: a.Code, Attempts: attempts, At: a.At.Add(a.Took).UTC(),
	}
	return tx.Bucket(store.Subjects).Put(outcomeKey(d.Lane, d.Sequence, d.Endpoint), o.record())
}

// record writes what encoding/json would: every delivery has one, and none of its texts needs an escape.
func (o OutcomeView) record() []byte {
	b := append(append(store.StartRecord(192), `{"endpoint":"`...), o.Endpoint...)
	b = strconv.AppendUint(append(b, `","sequence":`...), o.Sequence, 10)
	b = append(append(b, `,"outcome":"`...), o.Outcome...)
	b = append(append(append(b, `","reason":"`...), o.Reason...), '"')
	if o.Code != 0 {
		b = strconv.AppendInt(append(b, `,"code":`...), int64(o.Code), 10)
	}
	b = strconv.AppendInt(append(b, `,"attempts":`...), int64(o.Attempts), 10)
	b = o.At.AppendFormat(append(b, `,"at":"`...), time.RFC3339Nano)
	return store.FinishRecord(append(b, `"}`...))
}

// RecordView is one record of a subject's history.
type RecordView struct {
	At      time.Time   `json:"at"`
	Verdict kyc.Verdict `json:"verdict"`
	Changes []uint64    `json:"changes,omitempty"`
	Update  kyc.Update  `json:"update"`
}

// SubjectView is who told us what, what we made of it, and whom we told.
type SubjectView struct {
	Object     string           `json:"object"`
	Partner    string           `json:"partner"`
	ID         string           `json:"id"`
	Livemode   bool             `json:"livemode"`
	Policy     kyc.Policy       `json:"policy"`
	Status     kyc.View         `json:"status"`
	Checks     []kyc.CheckState `json:"checks"`
	Records    []RecordView     `json:"records"`
	Changes    []kyc.Change     `json:"changes"`
	Deliveries []OutcomeView    `json:"deliveries"`
	Truncated  bool             `json:"truncated,omitempty"` // more history stands in the file than is shown
}

const maxHistory = 1000 // entries of each sort shown at once

// Subject shows everything about one subject; outbox.ErrNotFound if nobody has said anything.
func (r *Relay) Subject(partner, id string, livemode bool) (v SubjectView, err error) {
	lane := laneOf(partner, id, livemode)
	v = SubjectView{Object: "subject", Partner: partner, ID: id, Livemode: livemode, Records: []RecordView{}, Changes: []kyc.Change{}, Deliveries: []OutcomeView{}}
	err = r.o.Store.View(func(tx *bolt.Tx) error {
		s, err := loadSubject(tx, lane)
		if err != nil {
			return err
		}
		v.Policy = r.policy(partner, s.Policy)
		v.Status, v.Checks = s.State.View(), s.State.Checks()
		n := 0
		prefix := append([]byte(lane), 0)
		c := tx.Bucket(store.Subjects).Cursor()
		for k, val := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, val = c.Next() {
			n++
			v.add(k[len(prefix)], val)
		}
		if n == 0 {
			return fmt.Errorf("subject %s of partner %s: %w", id, partner, outbox.ErrNotFound)
		}
		return nil
	})
	return v, err
}

// add shows one entry; a damaged one is left out here and stays in the file.
func (v *SubjectView) add(part byte, val []byte) {
	body, _, err := store.Record(val)
	if err != nil {
		return
	}
	switch {
	case part == partHistory && len(v.Records) < maxHistory:
		var h RecordView
		if json.Unmarshal(body, &h) == nil {
			v.Records = append(v.Records, h)
		}
	case part == partChange && len(v.Changes) < maxHistory:
		var c kyc.Change
		if json.Unmarshal(body, &c) == nil {
			v.Changes = append(v.Changes, c)
		}
	case part == partOutcome && len(v.Deliveries) < maxHistory:
		var o OutcomeView
		if json.Unmarshal(body, &o) == nil {
			v.Deliveries = append(v.Deliveries, o)
		}
	case part != partState:
		v.Truncated = true
	}
}

// overtaken reports whether the endpoint has accepted a later change of the lane.
func overtaken(tx *bolt.Tx, lane string, seq uint64, endpoint string) bool {
	prefix := subjectKey(lane, partOutcome)
	c := tx.Bucket(store.Subjects).Cursor()
	for k, v := c.Seek(binary.BigEndian.AppendUint64(bytes.Clone(prefix), seq+1)); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		body, _, err := store.Record(v)
		var o OutcomeView
		if err == nil && json.Unmarshal(body, &o) == nil && o.Endpoint == endpoint && o.Outcome == outbox.Done {
			return true
		}
	}
	return false
}
