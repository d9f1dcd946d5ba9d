package relay

import (
	"fmt"
	"strings"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// laneOf names a subject within the outbox and the subjects bucket. Test and live never share a
// state, so a test subject is another lane. Two subjects never share a name: a partner's id has no
// slash, and a subject's has no control character (kyc.IDProblem).
func laneOf(partner, id string, livemode bool) string {
	if livemode {
		return partner + "/" + id
	}
	return partner + "/" + id + "\x01t"
}

// laneOf names a subject of a partner by any id that the partner has or had: people are kept under
// the first.
func (r *Relay) laneOf(partner, id string, livemode bool) string {
	return laneOf(r.kept(partner), id, livemode)
}

// kept is the id that a partner is kept under, and shown the one that it has now, by any that it
// has or had.
func (r *Relay) kept(partner string) string  { return r.o.Registry.Read().Kept(partner) }
func (r *Relay) shown(partner string) string { return r.o.Registry.Read().Shown(partner) }

// shownOf is of whom a lane is, by the id that the partner has now.
func (r *Relay) shownOf(lane string) (partner, id string, livemode bool) {
	partner, id, livemode = splitLane(lane)
	return r.shown(partner), id, livemode
}

// PartnerNow is the id that a partner has now, by any that it has or had.
func (r *Relay) PartnerNow(partner string) string { return r.shown(partner) }

// ShownLane is a lane's name as people and APIs see it, with the id that its partner has now.
func (r *Relay) ShownLane(lane string) string { return laneOf(r.shownOf(lane)) }

func splitLane(lane string) (partner, id string, livemode bool) {
	partner, id, _ = strings.Cut(lane, "/")
	id, test := strings.CutSuffix(id, "\x01t")
	return partner, id, !test
}

// subject is a kyc.State and what the relay keeps beside it. subjectcodec.go has how it stands on
// disk.
type subject struct {
	Policy int      // version it is folded under
	First  int      // the version it was folded under first; 0: nobody wrote it down
	Owed   lastOwed // the last sequence owed to each endpoint
	Timer  int64    // where it stands in the timers bucket; 0: nowhere
	Stands standing // where it stands in the standings bucket; 0: nowhere
	Told   place    // the last change of its status, notices apart; zero: there is none
	Refs   int      // submissions that were folded
	Trusts []string // endpoints that were told that the person is approved, and of nothing since that ends it
	Floor  uint64   // the first change comes after this number, which was told of them before they were erased
	Upto   int64    // offset of the last record that was folded into it
	Ahead  bool     // it was restored from a checkpoint that had seen more than was folded here then: up to Upto its records are passed over
	Driven bool     // it was made in the sandbox
	Lane   string   // its own key, as it was read: were that damaged, whose state is this?
	State  kyc.State

	lane  string
	known bool // it stands in the file, or will with this batch
	dirty bool
}

// place is where a change stands in the history.
type place struct {
	At        int64 // microseconds
	Partition int32
	Offset    int64
	Sequence  uint64
}

func (p *place) key() []byte {
	return changeKey(time.UnixMicro(p.At), journal.Position{Partition: p.Partition, Offset: p.Offset}, p.Sequence)
}

// subject loads a subject once per batch.
func (b *batch) subject(lane string) (*subject, error) {
	if s := b.subjects[lane]; s != nil {
		return s, nil
	}
	if b.asideNow[lane] != 0 && !b.back[lane] {
		return nil, ErrAside
	}
	if b.r.aside.has(lane) {
		return nil, ErrAside
	}
	b.key = append(b.key[:0], lane...)
	body, err := b.get(store.Subjects, b.key)
	s, err := b.r.loaded(b.tx, b.registry(), lane, body, err)
	if err != nil {
		return nil, err
	}
	b.subjects[lane] = s
	return s, nil
}

// touch notes that the record that is worked on is folded into a subject, which is written with this
// batch.
func (b *batch) touch(s *subject) {
	s.dirty, s.known, s.Upto, s.Ahead = true, true, b.at.Offset, false
}

// hasSeen reports whether a subject was restored from a checkpoint that has the record that is worked
// on in it.
func (b *batch) hasSeen(s *subject) bool { return s.Ahead && b.at.Offset <= s.Upto }

func loadSubject(tx *store.Tx, lane string) (*subject, error) {
	v, err := tx.Bucket(store.Subjects).Get([]byte(lane))
	return readSubject(lane, v, err)
}

// readSubject is a subject as it was read from the file.
func readSubject(lane string, v []byte, err error) (*subject, error) {
	s := &subject{lane: lane}
	if v == nil && err == nil {
		return s, nil
	}
	s.known = true
	if err == nil {
		err = s.decode(v)
	}
	if err != nil {
		// Going on without it would approve or release on half the truth.
		return nil, fmt.Errorf("state of a subject of partner %s: %w", strings.SplitN(lane, "/", 2)[0], err)
	}
	return s, nil
}

func (b *batch) encodeSubjects() error {
	for _, s := range b.subjects {
		if !s.dirty {
			continue
		}
		b.setTimer(s)
		b.setStanding(s)
		key := b.room.text(s.lane)
		record := store.AppendRecord(b.room.begin(subjectRoom + len(s.lane)))
		b.put(store.Subjects, key, b.room.end(s.appendTo(record)))
	}
	return nil
}

// note keeps a record that changes no state with the subject it is about, if it is about one.
func (b *batch) note(rec *journalRecord, u *kyc.Update, v kyc.Verdict) {
	b.tallies[v]++
	if u.Subject.ID == "" {
		return
	}
	lane := b.laneOf(u.Partner, u.Subject.ID, u.Livemode)
	if s, err := b.subject(lane); u.Kind == kyc.Redelivery && err == nil && !s.known && s.Floor > 0 {
		return // ordered before they were erased
	}
	h := historyRecord{At: rec.Appended, Verdict: v, Update: rec.Body}
	b.chronicle(lane, rec, &h)
}

// SubjectOf is of whom a lane is.
func SubjectOf(lane string) (partner, id string, livemode bool) { return splitLane(lane) }
