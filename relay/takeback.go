package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// ErrNotWhole says that nobody can tell any more where a subject would stand without a record: not
// everything that was ever said of it is kept, or it was folded by other rules.
var ErrNotWhole = errors.New("the history of this subject is not complete, so its status cannot be computed: decide about the subject instead")

// given is what is kept of an unrouted record that an operator gave to somebody, so that it can be
// taken back.
type given struct {
	Lane   string    `json:"lane"`
	Key    []byte    `json:"key"`    // where it stands in the history
	Update string    `json:"update"` // its id
	Order  string    `json:"order"`  // id of the release
	At     time.Time `json:"at"`
}

func givenKey(at journal.Position) []byte { return at.AppendTo([]byte("g\x00")) }

// give notes that an unrouted record goes to the subject that an operator names, and returns it for
// them.
func (b *batch) give(rec *journal.Record, order *kyc.Update, h *unroutedRecord, u *kyc.Update) (effect, error) {
	lane := b.laneOf(u.Partner, u.Subject.ID, u.Livemode)
	v, err := json.Marshal(given{lane, recordKey(h.Appended, h.Position), u.ID, order.ID, rec.Appended})
	if err != nil {
		return effect{}, err
	}
	b.put(store.Refs, givenKey(h.Position), store.NewRecord(v))
	return effect{kind: updateRouted, strand: lane, ref: h.behind, held: h, update: u}, nil
}

// readGiven is whom an unrouted record was given to; nil: to nobody, by an operator.
func readGiven(tx *store.Tx, id string) *given {
	at, ok := unroutedPosition(id)
	if !ok {
		return nil
	}
	body, err := tx.Bucket(store.Refs).Get(givenKey(at))
	g := &given{}
	if err != nil || json.Unmarshal(body, g) != nil {
		return nil
	}
	return g
}

// TakenBack is what came of taking a record back.
type TakenBack struct {
	Partner  string
	Subject  string
	Livemode bool
	Unrouted int // records that are held again: the one that was named, and what had come by the refs that it alone had taught
	Decided
}

// TakeBack orders that an unrouted record which an operator has released to a subject be taken
// back, through the journal (I11): it was about somebody else. The subject is folded anew from all
// that is kept of it, without the record and without what came to it only by the refs which that
// had taught; what partners have to be told because of that is owed; the refs are forgotten, and
// the records are held again. It returns what came of it: Folded is false if ctx ended before that
// was known. outbox.ErrNotFound: an operator has released no such record. ErrNotWhole: it cannot be
// worked out.
func (r *Relay) TakeBack(ctx context.Context, id, note, actor string) (out TakenBack, err error) {
	if err := name("actor", actor); err != nil {
		return out, err
	}
	if len(note) > maxNote {
		return out, invalid("reason", "is longer than 500 bytes")
	}
	var g *given
	err = r.o.Store.View(func(tx *store.Tx) error {
		if g = readGiven(tx, id); g == nil {
			return fmt.Errorf("released record %s: %w", id, outbox.ErrNotFound)
		}
		_, err := r.relive(tx, r.o.Registry.Read(), g)
		return err
	})
	if err != nil {
		return out, err
	}
	u := kyc.Update{SchemaVersion: 1, Kind: kyc.Decision, UnroutedID: id, TakenBack: g.Update, Actor: actor, Note: note, ReceivedAt: r.o.Now().Round(0).UTC()}
	u.Partner, u.Subject.ID, u.Livemode = splitLane(g.Lane)
	u.ID = kyc.UpdateID("", []string{id, g.Order, g.Update, strconv.FormatInt(u.ReceivedAt.UnixNano(), 10)}, u.Kind, "", "", "", 0, u.ReceivedAt)
	out.Partner, out.Subject, out.Livemode = r.shownOf(g.Lane)
	if err := r.append(ctx, u); err != nil {
		return out, err
	}
	verdict, err := r.awaitRecord(ctx, g.Lane, u.ID)
	if err != nil || verdict == "" {
		out.ID = u.ID
		return out, err
	}
	if verdict != kyc.Applied {
		return out, ErrNotWhole
	}
	if out.Decided, err = r.outcome(ctx, &u, 0); err != nil {
		return out, err
	}
	err = r.o.Store.View(func(tx *store.Tx) error {
		eachRecord(tx, g.Lane, func(_ []byte, h *RecordView) bool {
			if h.TakenBack == u.ID {
				out.Unrouted++
			}
			return true
		})
		return nil
	})
	return out, err
}

// awaitRecord returns what became of a record of a lane, once it has been folded; nothing: ctx has
// ended before.
func (r *Relay) awaitRecord(ctx context.Context, lane, id string) (v kyc.Verdict, err error) {
	for {
		err = r.o.Store.View(func(tx *store.Tx) error {
			eachRecord(tx, lane, func(_ []byte, h *RecordView) bool {
				if h.Update.ID == id {
					v = h.Verdict
				}
				return v == ""
			})
			return nil
		})
		if err != nil || v != "" || !pause(ctx, 5*time.Millisecond) {
			return v, err
		}
	}
}

// takesBack reports whether a record is an order to take something back.
func takesBack(rec *journal.Record) bool {
	if rec.Kind != kyc.Decision {
		return false
	}
	var u struct {
		TakenBack string `json:"taken_back"`
	}
	return json.Unmarshal(rec.Body, &u) == nil && u.TakenBack != ""
}

// takeBack carries an order out. It is the first of its batch, so that all before it stands in the
// history.
func (b *batch) takeBack(rec *journal.Record, order *kyc.Update) error {
	g := readGiven(b.tx, order.UnroutedID)
	if g == nil || g.Update != order.TakenBack {
		b.note(rec, order, kyc.Stale)
		return nil
	}
	l, err := b.r.relive(b.tx, b.registry(), g)
	if errors.Is(err, ErrNotWhole) {
		b.r.o.Logger.Error("release_not_undone", "update", order.ID, "error", err)
		b.note(rec, order, kyc.Stale)
		return nil
	}
	if err != nil {
		return err
	}
	s, err := b.subject(g.Lane)
	if err != nil {
		return err
	}
	changes := s.State.After(b.r.floorFor(s), func() []kyc.Change { return s.State.TakeBack(l.without, *order, policyIn(b.registry(), s)) })
	h := historyRecord{At: rec.Appended, Verdict: kyc.Applied, Update: rec.Body}
	for i := range changes {
		h.Changes = append(h.Changes, changes[i].Sequence)
		if err := b.owe(rec, s, b.partner(order.Partner), &changes[i]); err != nil {
			return err
		}
	}
	b.touch(s)
	b.tallies[kyc.Applied]++
	b.chronicle(s.lane, rec, &h)
	told := make([]effect, len(l.unlearn))
	for i, ref := range l.unlearn {
		told[i] = effect{kind: refForgotten, strand: ref, claim: claim{Lane: g.Lane, Update: order.ID, At: order.ReceivedAt}}
	}
	if err := b.loop(told); err != nil {
		return err
	}
	at, _ := unroutedPosition(order.UnroutedID)
	b.put(store.Refs, givenKey(at), nil)
	for _, e := range l.taken {
		if err := b.holdAgain(rec, order, g.Lane, e); err != nil {
			return err
		}
	}
	return nil
}

// holdAgain puts a record back where it waited. In its history it then stands as of now, so that
// what comes of it for somebody else gets into nobody's way.
func (b *batch) holdAgain(rec *journal.Record, order *kyc.Update, lane string, e *lived) error {
	h := historyRecord{At: e.At, Verdict: e.Verdict, Changes: e.Changes, After: e.after(), Nth: e.Nth, TakenBack: order.ID, Update: e.Update}
	b.put(store.History, e.key, h.record(lane))
	_, verdict := b.find(&e.said)
	if verdict == "" {
		verdict = kyc.Unrouted // it still leads there, and an operator has said that it must not
	}
	held := unroutedRecord{Record: journal.Record{Kind: e.said.Kind, Appended: rec.Appended, Body: bytes.Clone(e.Update)}, Reason: verdict}
	held.Position = e.place
	if !held.Appended.After(e.At) { // given to the same person again, it must not stand where this one stands
		held.Appended = e.At.Add(time.Microsecond)
	}
	return b.keep(held, b.allRefs(&e.said))
}
