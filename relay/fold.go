package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// clocksDiffer is by how much an endpoint's since may lie after a record's arrival and still be
// told: in doubt, deliver.
const clocksDiffer = 5 * time.Minute

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
		case errors.Is(err, errNotRead):
			if !r.awaitRegistry(ctx, &records[0]) {
				return nil // stopping
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

// Fold takes records to disk, in place of Run, for whoever reads the log itself: nil once they are
// there, or ctx has ended; Position says how far it came. They are the next of the log, and what one
// callback brought is never cut in two. One call at a time.
func (r *Relay) Fold(ctx context.Context, records []journal.Record) error {
	return r.fold(ctx, records)
}

// foldBatch takes one batch from the journal to disk (I2), as many records as r.step callbacks
// brought, and returns how many that were. Where there is no room for them, it returns how many
// callbacks that were, and an error that isFull.
func (r *Relay) foldBatch(ctx context.Context, records []journal.Record) (done int, err error) {
	r.folding.Lock()
	defer r.folding.Unlock()
	started := time.Now()
	b := r.newBatch()
	if records, err = b.governed(records); err != nil {
		b.done()
		return 0, err
	}
	callbacks := 0
	err = r.o.Store.View(func(tx *store.Tx) error {
		b.tx = tx
		for done < len(records) && callbacks < r.step {
			b.follow()
			said, n, err := b.together(records[done:])
			if err == nil {
				err = b.records(said)
			}
			if err != nil {
				return fmt.Errorf("evaluate record %d: %w", records[done].Position.Offset, err)
			}
			done += n
			callbacks++
		}
		return b.encodeSubjects()
	})
	if err != nil {
		return 0, err
	}
	last := records[done-1].Position
	row := foldsKey(r.folds.decide(r.o.Now()), last)
	b.put(store.Folds, row, b.room.bare())
	b.queued = b.r.queueOf(b.decided, last)
	bytes, places := b.size()
	if err = r.o.Store.AdmitFold(bytes, places); err == nil {
		// Not to be left behind when ctx ends: a commit that came later would be repeated by
		// whoever has read the position before it.
		err = r.o.Store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error { return b.commit(tx, last) })
	}
	switch {
	case isFull(err):
		b.done()
		return callbacks, err
	case err != nil && ctx.Err() != nil:
		return 0, nil // stopping: if the commit happened after all, the position says so
	case err != nil:
		return 0, err
	}
	r.position.Store(&last)
	r.noteUnfound(b.writes)
	r.folds.committed(row, r.o.Now())
	if b.timed || len(b.moved) > 0 {
		r.timers.forget(b.moved...)
		r.timers.wake()
	}
	b.count()
	b.trace(done, last.Offset, started)
	if r.o.Folded != nil {
		r.o.Folded(done, bytes)
	}
	b.done()
	r.m.fold.Observe(time.Since(started).Seconds())
	return done, nil
}

// records works out what one callback brought, and what that sets free. Only what providers say
// comes together.
func (b *batch) records(said []saying) error {
	if len(said) == 0 {
		return nil
	}
	b.begins(said[len(said)-1].rec)
	if len(said) > 1 && providersSay(said) {
		return b.route(said)
	}
	for i := range said {
		if err := b.record(said[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// begins notes which record is worked on.
func (b *batch) begins(rec *journal.Record) {
	b.at, b.taken, b.freed, b.late = rec.Position, rec.Appended, 0, 0
}

func providersSay(said []saying) bool {
	for i := range said {
		if k := said[i].u.Kind; k != kyc.Observation && k != kyc.Confirmation {
			return false
		}
	}
	return true
}

// record works out one record.
func (b *batch) record(said []saying) error {
	rec, u := said[0].rec, &said[0].u
	b.begins(rec)
	switch u.Kind {
	case kyc.Redelivery:
		if b.passes(u) {
			return nil
		}
		b.note(rec, u, kyc.Applied)
		if u.Replay.Sequence != 0 {
			return b.repeat(u)
		}
		b.orders = append(b.orders, order{
			id: u.ChangeID + "@" + u.Endpoint, lane: b.r.laneOf(u.Partner, u.Subject.ID, u.Livemode), at: rec.Appended, offset: b.at.Offset, force: u.Force, replayed: u.Replay.ID != "",
		})
		return nil
	case kyc.FetchRequest:
		b.noteFetch(rec, u)
		return nil
	case kyc.Decision:
		switch {
		case u.Rebuild != "":
			return b.rebuild(rec, u)
		case u.TakenBack != "" && b.passes(u):
			return nil
		case u.TakenBack != "":
			return b.takeBack(rec, u)
		case u.UnroutedID != "":
			return b.override(rec, u)
		}
	case kyc.PolicyChange:
		if !knows(b.registry(), u.Partner, u.PolicyVersion) {
			return b.keepUnknown(rec, u)
		}
	case kyc.Submission:
		b.folded[u.Partner]++
	case kyc.Observation, kyc.Confirmation, kyc.Timer:
	default:
		return b.keepUnknown(rec, u)
	}
	return b.route(said)
}

// passes reports whether the person whom a record names has been restored with it.
func (b *batch) passes(u *kyc.Update) bool {
	s, err := b.subject(b.laneOf(u.Partner, u.Subject.ID, u.Livemode))
	return err == nil && b.hasSeen(s)
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
	if b.hasSeen(s) {
		return nil
	}
	first := &said[0].u
	if !s.known && (first.Kind == kyc.Timer || first.Kind == kyc.PolicyChange) {
		b.tallies[kyc.Stale]++ // nobody is made by a record of ours
		return nil
	}
	p := b.partner(first.Partner)
	if s.Policy == 0 {
		s.Policy = b.registry().NewestPolicy(first.Partner)
		s.First = s.Policy
	}
	if first.Kind == kyc.PolicyChange {
		s.Policy = max(s.Policy, first.PolicyVersion) // an order of before does not go back
	}
	b.us = b.us[:0]
	for i := range said {
		b.us = append(b.us, said[i].u)
	}
	var verdicts []kyc.Verdict
	changes := s.State.After(b.r.floorFor(s), func() (owed []kyc.Change) {
		owed, verdicts = s.State.Apply(b.us, p.policies[s.Policy])
		return owed
	})
	did := b.histories(len(said))
	for i := range changes {
		by := causeOf(b.us, &changes[i])
		did[by].Changes = append(did[by].Changes, changes[i].Sequence)
		if err := b.owe(said[by].rec, s, p, &changes[i]); err != nil {
			return err
		}
	}
	for i := range said {
		did[i].Verdict = verdicts[i]
		if err := b.keepSaid(s, &said[i], &did[i]); err != nil {
			return err
		}
	}
	return nil
}

// causeOf is which of the updates a change comes from.
func causeOf(us []kyc.Update, c *kyc.Change) int {
	for i := range us {
		if us[i].ID == c.CauseID {
			return i
		}
	}
	return -1
}

// histories are so many records of the history, with nothing in them but room.
func (b *batch) histories(n int) []historyRecord {
	for len(b.did) < n {
		b.did = append(b.did, historyRecord{})
	}
	for i := range b.did[:n] {
		b.did[i] = historyRecord{Changes: b.did[i].Changes[:0]}
	}
	return b.did[:n]
}

// keepSaid keeps a record that was folded, with its verdict and the changes that it owed, and tells
// its refs whose they are.
func (b *batch) keepSaid(s *subject, said *saying, h *historyRecord) error {
	b.tallies[h.Verdict]++
	b.decidedOn(said, h.Verdict, len(h.Changes))
	h.At, h.Update, h.Nth = said.rec.Appended, said.rec.Body, b.late
	if b.freeing {
		h.After, h.Nth = b.at, b.freed
	}
	b.chronicle(s.lane, said.rec, h)
	if h.Verdict == kyc.Duplicate {
		return nil
	}
	b.countSubject(s, &said.u)
	if b.touch(s); said.u.ClaimedStatus != "" {
		b.claims++
	}
	return b.loop(b.teach(&said.u, s.lane))
}

// applyFreed is apply for what had waited, and notes when its turn came.
func (b *batch) applyFreed(lane string, said []saying) error {
	b.freed++
	b.freeing = true
	defer func() { b.freeing = false }()
	for i := range said {
		said[i].u.Waited = true
	}
	return b.apply(lane, said)
}
