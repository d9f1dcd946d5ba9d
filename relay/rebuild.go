package relay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// From what a rebuild makes a state.
const (
	fromHistory = "history" // all of it is there
	fromRest    = "rest"    // it is not: an operator says what holds
)

// ErrNotAside says that a subject is not set aside, so that nothing is to be rebuilt.
var ErrNotAside = errors.New("the subject is not set aside: nothing is to be rebuilt")

// Rebuild is an order to make the state of a subject that is set aside anew.
type Rebuild struct {
	Partner  string
	Subject  string
	Livemode bool
	Note     string    // why, in the operator's words: at most 500 bytes
	Actor    string    // who orders it
	Decision *Decision // what holds from now on, where the history is not whole; nil: the history says it
}

// Rebuild orders that the state of a subject be made anew, through the journal (I11), and returns
// what came of it: Folded is false if ctx ended before that was known. Without a decision
// everything that was ever said must be kept, which is proved: folded again, it owes the very
// changes that were owed. ErrNotWhole: it is not, so an operator has to decide. With a decision,
// what is left is folded, and the decision after it; what holds then is told, whatever was told
// before. Then what was kept meanwhile is applied, in order. ErrNotAside: nothing is wrong with the
// subject.
func (r *Relay) Rebuild(ctx context.Context, o Rebuild) (out Decided, err error) {
	lane, u, err := r.rebuilding(&o)
	if err != nil {
		return out, err
	}
	var last uint64
	if err := r.o.Store.View(func(tx *store.Tx) error {
		if u.Rebuild == fromHistory {
			if _, err := r.relife(tx, r.o.Registry.Read(), lane); err != nil {
				return needsDecision(err)
			}
		}
		last = toldOf(tx, lane).last
		return nil
	}); err != nil {
		return out, err
	}
	u.Actor, u.Note = o.Actor, o.Note
	u.ID = kyc.UpdateID("", []string{lane, u.Rebuild, strconv.FormatInt(u.ReceivedAt.UnixNano(), 10)}, u.Kind, "", "", "", 0, u.ReceivedAt)
	if err := r.append(ctx, u); err != nil {
		return out, err
	}
	verdict, err := r.awaitRecord(ctx, lane, u.ID)
	if err != nil || verdict == "" {
		out.ID = u.ID
		return out, err
	}
	if verdict != kyc.Applied {
		return out, ErrNotWhole
	}
	for r.aside.has(lane) && pause(ctx, time.Millisecond) { // the commit is told after it can be read
	}
	return r.rebuilt(lane, &u, last)
}

// needsDecision says what to do where the history is not whole.
func needsDecision(err error) error {
	return fmt.Errorf("rebuild: %w; give a status and its check, and what is left is taken with your word", err)
}

// rebuilding reads an order: whom it is about, and its record, without an id.
func (r *Relay) rebuilding(o *Rebuild) (lane string, u kyc.Update, err error) {
	if err := name("actor", o.Actor); err != nil {
		return lane, u, err
	}
	if len(o.Note) > maxNote {
		return lane, u, invalid("reason", "is longer than 500 bytes")
	}
	o.Partner = r.kept(o.Partner)
	lane = r.laneOf(o.Partner, o.Subject, o.Livemode)
	if !r.aside.has(lane) {
		return lane, u, ErrNotAside
	}
	u = kyc.Update{SchemaVersion: 1, Kind: kyc.Decision, Partner: o.Partner, Subject: kyc.Subject{ID: o.Subject}, Livemode: o.Livemode, ReceivedAt: r.o.Now().Round(0).UTC()}
	u.Rebuild = fromHistory
	if d := o.Decision; d != nil {
		d.Partner, d.Subject, d.Livemode, d.Actor, d.Note = o.Partner, o.Subject, o.Livemode, o.Actor, o.Note
		if err := d.check(); err != nil {
			return lane, u, err
		}
		u = d.update(u.ReceivedAt)
		u.Rebuild = fromRest
	}
	return lane, u, nil
}

// rebuilt is what came of an order that was carried out: where the subject stands, and what has
// been owed since the last change before it.
func (r *Relay) rebuilt(lane string, u *kyc.Update, last uint64) (out Decided, err error) {
	out = Decided{ID: u.ID, Folded: true, Changes: []Effect{}}
	err = r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.load(tx, lane)
		if err != nil {
			return err
		}
		out.After = s.State.Status()
		var owed []kyc.Change
		recall(tx, lane, func(_ []byte, kind byte, body []byte) bool {
			var c kyc.Change
			if kind == kindChange && readChange(body, &c) && c.Sequence > last {
				owed = append(owed, c)
			}
			return true
		})
		slices.SortFunc(owed, func(a, b kyc.Change) int { return cmp.Compare(a.Sequence, b.Sequence) })
		for i := range owed {
			if isStatus(owed[i].Type) && owed[i].Type != noticeType && out.Before == "" {
				out.Before = owed[i].PreviousStatus
			}
		}
		if out.Before == "" {
			out.Before = out.After
		}
		out.Changes, err = r.effects(s, u.Partner, owed, u.ReceivedAt)
		return err
	})
	return out, err
}

// relife makes a subject of its history. ErrNotWhole: not all of it is there.
func (r *Relay) relife(tx *store.Tx, now *registry.Snapshot, lane string) (*subject, error) {
	es, whole := livesOf(tx, lane)
	if !whole || len(es) == 0 {
		return nil, ErrNotWhole
	}
	partner, _, _ := splitLane(lane)
	told := toldOf(tx, lane)
	for version := now.NewestPolicy(partner); version >= 0; version-- {
		f := folder{r: r, now: now, partner: partner}
		state := f.fold(es, version, nil)
		if f.differs || state.Sequence() != told.last {
			continue
		}
		s := &subject{lane: lane, known: true, dirty: true, State: state, Policy: f.last, First: version, Owed: owedOf(told.owed), Told: told.status, Trusts: told.trusts()}
		return s, nil
	}
	return nil, ErrNotWhole
}

// rest makes a subject of what is left of its history.
func (r *Relay) rest(tx *store.Tx, now *registry.Snapshot, lane string) *subject {
	es, _ := livesOf(tx, lane)
	partner, _, _ := splitLane(lane)
	told := toldOf(tx, lane)
	version := now.NewestPolicy(partner)
	f := folder{r: r, now: now, partner: partner}
	s := &subject{lane: lane, known: true, dirty: true, State: f.fold(es, version, nil), Policy: version, First: version, Owed: owedOf(told.owed), Told: told.status, Trusts: told.trusts()}
	s.State.Untell()
	s.State.Renumber(told.last)
	return s
}

// toldBefore is what was told of a subject, as its history and what is owed of it say.
type toldBefore struct {
	last   uint64 // number of the last change that there is a trace of
	owed   map[string]uint64
	status place // the last change of its status, notices apart
}

// trusts are the endpoints that may believe that the person is approved. Nobody knows any more
// which do: all that were told anything are told what takes that away.
func (t *toldBefore) trusts() []string { return slices.Sorted(maps.Keys(t.owed)) }

func toldOf(tx *store.Tx, lane string) (t toldBefore) {
	t.owed = map[string]uint64{}
	note := func(endpoint string, seq uint64) {
		t.last = max(t.last, seq)
		if endpoint != "" {
			t.owed[endpoint] = max(t.owed[endpoint], seq)
		}
	}
	var at place
	recall(tx, lane, func(key []byte, kind byte, body []byte) bool {
		switch kind {
		case kindChange:
			var c kyc.Change
			if !readChange(body, &c) {
				return true
			}
			note("", c.Sequence)
			if isStatus(c.Type) && c.Type != noticeType && c.Sequence > at.Sequence {
				from := placeOf(key)
				at = place{int64(binary.BigEndian.Uint64(key)), from.Partition, from.Offset, c.Sequence} //nolint:gosec // written by changeKey
			}
		case kindOutcome:
			if o, ok := outcomeOf(key, kind, body); ok {
				note(o.Endpoint, o.Sequence)
			}
		case kindRecord:
			var e lived
			if json.Unmarshal(body, &e) == nil && len(e.Changes) > 0 {
				note("", slices.Max(e.Changes))
			}
		}
		return true
	})
	outbox.OwedOf(tx, lane, note)
	t.status = at
	return t
}

// rebuilds reports whether a record is an order to make a subject anew: all before it has to be in
// the history.
func rebuilds(rec *journal.Record) bool {
	if rec.Kind != kyc.Decision {
		return false
	}
	var u struct {
		Rebuild string `json:"rebuild"`
	}
	return json.Unmarshal(rec.Body, &u) == nil && u.Rebuild != ""
}

// rebuild carries an order out.
func (b *batch) rebuild(rec *journal.Record, order *kyc.Update) error {
	lane := b.laneOf(order.Partner, order.Subject.ID, order.Livemode)
	if !b.r.aside.has(lane) || b.subjects[lane] != nil {
		b.note(rec, order, kyc.Stale)
		return nil
	}
	var s *subject
	switch order.Rebuild {
	case fromHistory:
		var err error
		if s, err = b.r.relife(b.tx, b.registry(), lane); errors.Is(err, ErrNotWhole) {
			b.note(rec, order, kyc.Stale)
			return nil
		} else if err != nil {
			return err
		}
		b.note(rec, order, kyc.Applied)
	case fromRest:
		s = b.r.rest(b.tx, b.registry(), lane)
	default:
		return b.keepUnknown(rec, order)
	}
	b.touch(s)
	b.subjects[lane], b.back[lane] = s, true
	b.put(store.Aside, []byte(lane), nil)
	b.untime(lane)
	b.unstand(lane)
	if order.Rebuild == fromRest {
		if err := b.apply(lane, []saying{{rec, *order}}); err != nil {
			return err
		}
	}
	return b.giveBack(lane)
}

// untime takes away the timers that the lost state had asked for. Where they stand, only they
// themselves say.
func (b *batch) untime(lane string) {
	c := b.tx.Bucket(store.Timers).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if v != nil && len(k) > 8 && string(k[8:]) == lane {
			b.put(store.Timers, bytes.Clone(k), nil)
			b.moved = append(b.moved, string(k))
		}
	}
}

// giveBack applies what was kept while a subject was set aside, in the order of its arrival.
func (b *batch) giveBack(lane string) error {
	hs, err := b.unroutedBy(asideRef(lane))
	if err != nil {
		return err
	}
	slices.SortFunc(hs, func(x, y unroutedRecord) int { return x.Position.Compare(y.Position) })
	for len(hs) > 0 {
		n := 1
		for id := callbackOf(&hs[0]); id != "" && n < len(hs) && callbackOf(&hs[n]) == id; n++ {
		}
		var said []saying
		for i := range hs[:n] {
			h := &hs[i]
			b.takeOut(h, nil)
			var u kyc.Update
			if err := json.Unmarshal(h.Body, &u); err != nil {
				return fmt.Errorf("a record that was kept: %w", err)
			}
			u.Partner, u.Subject.ID, u.Livemode = splitLane(lane)
			said = append(said, saying{&h.Record, u})
		}
		if err := b.applyFreed(lane, said); err != nil {
			return err
		}
		hs = hs[n:]
	}
	return b.release()
}
