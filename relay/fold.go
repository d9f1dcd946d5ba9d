package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// clocksDiffer is by how much an endpoint's since may lie after a record's arrival and still be
// told: in doubt, deliver.
const clocksDiffer = 5 * time.Minute

// batch is the effect of some records, worked out against a read transaction and then written in
// one: nothing is decoded, applied or rendered while the store's writer waits. The fold is the only
// writer of what it reads here, so what it has read still stands when it writes.
type batch struct {
	r        *Relay
	tx       *store.Tx
	subjects map[string]*subject // by lane
	refs     map[string]string   // by refKey: what this batch has taught
	writes   []write
	owed     []outbox.Delivery
	repeated []outbox.Delivery // what replays owe, perhaps once more
	decided  []decided         // for Kafka
	queued   queued
	orders   []order
	tallies  map[kyc.Verdict]int
	statuses map[kyc.Status]int
	claims   int
	unclear  int // refs that became ambiguous
	unasked  int // changes that a filter failed about

	counted     map[string]int64 // by how much what is counted moves
	submissions map[string]int   // what became of claims in the fold, where the door could not know
	folded      map[string]int64 // submissions, by partner
	unrouted    int64
	unroutedNow map[string][]byte     // what this batch has written to the unrouted bucket, by key; nil: deleted
	wake        []unroutedRecord      // unrouted records that a ref taught by the current record sets free
	asideNow    map[string]store.Name // subjects that this batch sets aside, and for what
	back        map[string]bool       // subjects that it makes anew
	moved       []string              // entries of the timers bucket that this batch takes away
	timed       bool                  // it has put others there
	at          journal.Position      // of the record that is worked on, or the last of those that are
	freed       int                   // groups of unrouted records that it has set free so far
	freeing     bool                  // such a group is worked on
}

type write struct {
	bucket     store.Name
	key, value []byte // value: a record that the store completes; nil: delete
}

// order is a redelivery that an operator asked for.
type order struct {
	id       string
	force    bool
	replayed bool // by a replay
}

// fold takes what the journal hands over to disk. An order to take something back is worked out
// from the history, so all before it has to be there. What does not fit is tried in half, down to
// what one callback brought: that waits until settling has made room.
func (r *Relay) fold(ctx context.Context, records []journal.Record) error {
	defer r.waiting.Store(false)
	for len(records) > 0 {
		n := 1
		for n < len(records) && !takesBack(&records[n]) && !rebuilds(&records[n]) {
			n++
		}
		done, err := r.foldBatch(ctx, records[:n])
		switch {
		case isFull(err):
			if !r.smaller(ctx, done) {
				return nil // stopping: the records stay in the journal
			}
			continue
		case err != nil, ctx.Err() != nil:
			return err // stopping: it may not have been written
		}
		r.step = min(r.step+r.step/8+1, maxStep)
		r.waiting.Store(false)
		records = records[done:]
	}
	return nil
}

// foldBatch takes one batch from the journal to disk (I2), as many records as r.step callbacks
// brought, and returns how many that were. Where there is no room for them, it returns how many
// callbacks that were, and an error that isFull.
func (r *Relay) foldBatch(ctx context.Context, records []journal.Record) (done int, err error) {
	r.folding.Lock()
	defer r.folding.Unlock()
	started := time.Now()
	b := &batch{r: r, subjects: map[string]*subject{}, refs: map[string]string{}, tallies: map[kyc.Verdict]int{}, statuses: map[kyc.Status]int{}, unroutedNow: map[string][]byte{}}
	b.counted, b.submissions, b.folded = map[string]int64{}, map[string]int{}, map[string]int64{}
	b.asideNow, b.back = map[string]store.Name{}, map[string]bool{}
	b.writes, b.owed = make([]write, 0, 8*len(records)), make([]outbox.Delivery, 0, len(records))
	callbacks := 0
	err = r.o.Store.View(func(tx *store.Tx) error {
		b.tx = tx
		for done < len(records) && callbacks < r.step {
			said, n, err := b.together(records[done:])
			if err == nil {
				err = b.records(said)
			}
			if err != nil {
				return fmt.Errorf("fold record %d: %w", records[done].Position.Offset, err)
			}
			done += n
			callbacks++
		}
		return b.encodeSubjects()
	})
	if err != nil {
		return 0, err
	}
	last := records[done-1].Position.Offset
	row := foldsKey(r.folds.decide(r.o.Now()), records[done-1].Position)
	b.put(store.Folds, row, store.NewRecord())
	b.queued = queueOf(b.decided, last)
	bytes, places := b.size()
	if err = r.o.Store.AdmitFold(bytes, places); err == nil {
		// Not to be left behind when ctx ends: a commit that came later would be repeated by
		// whoever has read the position before it.
		err = r.o.Store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error { return b.commit(tx, last) })
	}
	switch {
	case isFull(err):
		return callbacks, err
	case err != nil && ctx.Err() != nil:
		return 0, nil // stopping: if the commit happened after all, the position says so
	case err != nil:
		return 0, err
	}
	r.position.Store(last)
	r.noteUnfound(b.writes)
	r.folds.committed(row, r.o.Now())
	if b.timed || len(b.moved) > 0 {
		r.timers.forget(b.moved...)
		r.timers.wake()
	}
	b.count()
	if r.o.Folded != nil {
		r.o.Folded(done, bytes)
	}
	r.m.fold.Observe(time.Since(started).Seconds())
	return done, nil
}

// records works out what one callback brought, and what that sets free. Only what providers say
// comes together.
func (b *batch) records(said []saying) error {
	if len(said) == 0 {
		return nil
	}
	b.at, b.freed = said[len(said)-1].rec.Position, 0
	if len(said) > 1 && !slices.ContainsFunc(said, func(r saying) bool { return r.u.Kind != kyc.Observation && r.u.Kind != kyc.Confirmation }) {
		return b.route(said)
	}
	for i := range said {
		if err := b.record(&said[i]); err != nil {
			return err
		}
	}
	return nil
}

// record works out one record.
func (b *batch) record(r *saying) error {
	rec, u := r.rec, &r.u
	b.at, b.freed = rec.Position, 0
	switch u.Kind {
	case kyc.Redelivery:
		b.note(rec, u, kyc.Applied)
		if u.Replay.Sequence != 0 {
			return b.repeat(u)
		}
		b.orders = append(b.orders, order{id: u.ChangeID + "@" + u.Endpoint, force: u.Force, replayed: u.Replay.ID != ""})
		return nil
	case kyc.FetchRequest:
		b.noteFetch(rec, u)
		return nil
	case kyc.Decision:
		switch {
		case u.Rebuild != "":
			return b.rebuild(rec, u)
		case u.TakenBack != "":
			return b.takeBack(rec, u)
		case u.UnroutedID != "":
			return b.override(rec, u)
		}
	case kyc.PolicyChange:
		if !b.r.knows(u.Partner, u.PolicyVersion) {
			return b.keepUnknown(rec, u)
		}
	case kyc.Submission:
		b.folded[u.Partner]++
	case kyc.Observation, kyc.Confirmation, kyc.Timer:
	default:
		return b.keepUnknown(rec, u)
	}
	return b.route([]saying{*r})
}

// keepUnknown keeps a record of a later version, or about a policy of another node, so that a
// program that knows it can apply it (I8).
func (b *batch) keepUnknown(rec *journal.Record, u *kyc.Update) error {
	b.r.o.Logger.Error("record_kind_unknown", "offset", rec.Position.Offset, "kind", string(u.Kind))
	return b.keep(unroutedRecord{Record: *rec}, nil)
}

// noteFetch keeps a question to a provider with whoever it is about. About nobody known it is
// passed over: the answer will come as a record of its own.
func (b *batch) noteFetch(rec *journal.Record, u *kyc.Update) {
	if u.Subject.ID == "" || u.Partner == "" {
		lane, verdict := b.find(u)
		if verdict != "" {
			b.tallies[kyc.Unrouted]++
			return
		}
		u.Partner, u.Subject.ID, u.Livemode = splitLane(lane)
	}
	b.note(rec, u, kyc.Applied)
}

// apply folds what is said of one subject together, and owes what comes of all of it.
func (b *batch) apply(lane string, said []saying) error {
	s, err := b.subject(lane)
	if errors.Is(err, ErrAside) {
		return b.withhold(lane, said, store.Subjects)
	}
	if err != nil {
		return err
	}
	first := &said[0].u
	if !s.known && (first.Kind == kyc.Timer || first.Kind == kyc.PolicyChange) {
		b.tallies[kyc.Stale]++ // nobody is made by a record of ours
		return nil
	}
	p := b.r.partner(first.Partner)
	if s.Policy == 0 {
		s.Policy = b.r.o.Registry.Read().NewestPolicy(first.Partner)
		s.First = s.Policy
	}
	if first.Kind == kyc.PolicyChange {
		s.Policy = max(s.Policy, first.PolicyVersion) // an order of before does not go back
	}
	us := make([]kyc.Update, len(said))
	for i := range said {
		us[i] = said[i].u
	}
	var verdicts []kyc.Verdict
	changes := s.State.After(b.r.floorFor(s), func() (owed []kyc.Change) {
		owed, verdicts = s.State.Apply(us, b.r.o.Registry.Read().Policy(first.Partner, s.Policy))
		return owed
	})
	owed := make([]historyRecord, len(said))
	for i := range changes {
		by := slices.IndexFunc(us, func(u kyc.Update) bool { return u.ID == changes[i].CauseID })
		owed[by].Changes = append(owed[by].Changes, changes[i].Sequence)
		if err := b.owe(said[by].rec, s, p, &changes[i]); err != nil {
			return err
		}
	}
	for i := range said {
		b.tallies[verdicts[i]]++
		if verdicts[i] != kyc.Duplicate {
			b.countSubject(s, &us[i])
			if s.dirty, s.known = true, true; us[i].ClaimedStatus != "" {
				b.claims++
			}
		}
		h := &owed[i]
		h.At, h.Verdict, h.Update = said[i].rec.Appended, verdicts[i], said[i].rec.Body
		if b.freeing {
			h.After, h.Nth = b.at, b.freed
		}
		b.chronicle(s.lane, said[i].rec, h)
		if verdicts[i] != kyc.Duplicate {
			if err := b.teach(&us[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyFreed is apply for what had waited, and notes when its turn came.
func (b *batch) applyFreed(lane string, said []saying) error {
	b.freed++
	b.freeing = true
	defer func() { b.freeing = false }()
	return b.apply(lane, said)
}

// owe keeps a change and owes it to every endpoint of the partner that wants it.
func (b *batch) owe(rec *journal.Record, s *subject, p *registry.Partner, c *kyc.Change) error {
	c.Partner = b.r.shown(c.Partner)
	e := startEntry(s.lane, 640)
	head := len(e)
	e = c.AppendJSON(e)
	b.put(store.History, changeKey(rec.Appended, rec.Position, c.Sequence), e)
	if b.r.o.Forward {
		b.decided = append(b.decided, decided{change: *c, json: e[head:], taken: rec.Appended})
	}
	restrictive := isStatus(c.Type) && (c.Status == kyc.Rejected || c.Status == kyc.Suspended)
	if isStatus(c.Type) {
		b.statuses[c.Status]++
		if c.Type != noticeType {
			s.Told = place{rec.Appended.UnixMicro(), rec.Position.Partition, rec.Position.Offset, c.Sequence}
		}
	}
	if p == nil {
		return nil
	}
	now := b.r.o.Registry.Read()
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		names := now.Formerly(e.ID)
		owed, err := wants(e, c, rec.Appended, s.trusts(e.ID, names))
		if err != nil {
			b.filterFailed(e, err)
		}
		if !owed {
			continue
		}
		previous := s.Owed.of(e.ID)
		for _, id := range names {
			previous = max(previous, s.Owed.of(id))
		}
		body, err := bodyFor(e, c, previous)
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		b.owed = append(b.owed, outbox.Delivery{
			Endpoint: e.ID, Lane: s.lane, Sequence: c.Sequence, PreviousSequence: previous, WebhookID: c.ID, Type: c.Type,
			Format: e.Format.Name, Traceparent: c.Traceparent, Restrictive: restrictive, Owed: b.r.o.Now(), Received: rec.Appended, Body: body,
		})
		s.Owed.set(e.ID, c.Sequence)
		s.tell(e.ID, names, c)
	}
	return nil
}
