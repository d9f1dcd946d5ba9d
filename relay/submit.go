package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// Submission registers whose a provider's ref is, before or after its first callback.
type Submission struct {
	Partner     string
	Subject     string
	Source      string
	ProviderRef string // of the person or of a verification: callbacks of the source may carry it as either
	Kind        string // individual or company; empty: not said
	Livemode    bool
	Actor       string // who registers it
	Guest       bool   // a partner's own token does: the bounds of what one partner may leave in the file hold
}

// Bounds of what a partner's own tokens may leave in the file.
const (
	DefaultMaxOpen = 100_000 // refs that are registered and that no callback has come for
	maxRefs        = 100     // registrations of one subject
	maxUnfolded    = 1000    // registrations of one partner that are not folded yet
	maxDriven      = 10_000  // subjects that were made in the sandbox
	maxKeys        = 100_000 // idempotency keys that are remembered
	guestBytes     = 8 << 10 // what one call comes to, at most
)

// What came of a submission, in relay_submissions_total.
const (
	takenClaim     = "taken"
	repeatedClaim  = "repeated"
	contestedClaim = "contested"
	refusedClaim   = "refused"
	tooManyClaims  = "too_many"
)

var claimOutcomes = []string{takenClaim, repeatedClaim, contestedClaim, refusedClaim, tooManyClaims}

// check finds what nobody could be registered under.
func (s *Submission) check(r *Relay) error {
	for _, f := range [][2]string{{"partner", s.Partner}, {"subject", s.Subject}, {"source", s.Source}, {"provider_ref", s.ProviderRef}, {"actor", s.Actor}} {
		if err := name(f[0], f[1]); err != nil {
			return err
		}
	}
	if s.Kind != "" && s.Kind != kyc.Individual && s.Kind != kyc.Company {
		return invalid("kind", "is neither individual nor company")
	}
	if r.partner(s.Partner) == nil {
		return fmt.Errorf("partner %s: %w", s.Partner, outbox.ErrNotFound)
	}
	return nil
}

// update is the record of a submission. The same submission has the same id.
func (s *Submission) update(now time.Time) kyc.Update {
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Submission, Source: s.Source, Partner: s.Partner, Livemode: s.Livemode,
		Subject: kyc.Subject{ID: s.Subject, ProviderRef: s.ProviderRef, Kind: s.Kind}, Actor: s.Actor, ReceivedAt: now,
	}
	dedupe := []string{s.Partner, s.Subject, strconv.FormatBool(s.Livemode), s.ProviderRef, s.Kind}
	u.ID = kyc.UpdateID(s.Source, dedupe, u.Kind, "", "", "", 0, time.Time{})
	return u
}

// Submitted is a submission that was taken.
type Submitted struct {
	ID    string // of its record
	Known bool   // it had been taken before, so nothing was written
}

// Submit appends a submission: nil once it is on stable storage (I11). When it is folded, the
// subject is known, without a status of its own, callbacks with that ref are its, and what waited
// for the ref is applied in order of arrival. The same submission again writes nothing. A ref that
// serves somebody else is refused with ErrConflict. One that somebody else has only registered is
// contested from then on: the submission is kept, and answered with ErrContested, which is an
// ErrConflict. Other errors wrap ErrInvalid (as a FieldError), ErrTooMany, or outbox.ErrNotFound
// for a partner that is not known.
func (r *Relay) Submit(ctx context.Context, s Submission) (out Submitted, err error) {
	if err := s.check(r); err != nil {
		return out, fmt.Errorf("submit: %w", err)
	}
	s.Partner = r.kept(s.Partner)
	u := s.update(r.o.Now().Round(0).UTC())
	outcome, err := r.judge(&s, u.ID)
	if errors.Is(err, ErrTooMany) {
		outcome = tooManyClaims
	}
	if outcome != "" {
		r.m.submissions.WithLabelValues(outcome).Inc()
	}
	if outcome == refusedClaim {
		r.o.Logger.Warn("ref_claim_refused", "source", s.Source, "update", u.ID, "actor", s.Actor)
		err = ErrConflict
	}
	if err != nil {
		return out, fmt.Errorf("submit: provider_ref %w", err)
	}
	if out.ID = u.ID; outcome == repeatedClaim {
		out.Known = true
		return out, nil
	}
	r.counts.add(unfoldedClaims+s.Partner, 1)
	if err = r.append(ctx, u); err != nil {
		r.counts.add(unfoldedClaims+s.Partner, -1)
		return Submitted{}, fmt.Errorf("submit: %w", err)
	}
	if outcome == contestedClaim {
		return out, fmt.Errorf("submit: provider_ref %w", ErrContested)
	}
	return out, nil
}

// judge foresees what comes of a submission, by what has been folded. What is on its way is judged
// again by the fold, by the same rules.
func (r *Relay) judge(s *Submission, id string) (outcome string, err error) {
	lane := r.laneOf(s.Partner, s.Subject, s.Livemode)
	err = r.o.Store.View(func(tx *store.Tx) error {
		v, err := tx.Bucket(store.Refs).Get(strandKey(refKey(s.Source, s.ProviderRef, s.Livemode)))
		if err != nil {
			return err
		}
		ref := readStrand(v, nil)
		is := ref.leads()
		of, err := r.load(tx, lane)
		known := err == nil && of.State.Knows(id)
		switch {
		case err != nil && (s.Guest || !errors.Is(err, ErrAside)): // what is said of somebody who is set aside is kept, without end
			return err
		case known && is.lane == lane && is.submitted:
			outcome = repeatedClaim
			return nil
		case is.lane != "" && is.lane != lane && is.served:
			outcome = refusedClaim
			return nil
		case is.contested, is.lane != "" && is.lane != lane:
			outcome = contestedClaim
			if known {
				return ErrContested
			}
		default:
			outcome = takenClaim
		}
		if !s.Guest {
			return nil
		}
		refs := 0
		if of != nil {
			refs = of.Refs
		}
		return r.admitClaim(s, refs)
	})
	return outcome, err
}

// admitClaim refuses what is more than one partner may leave in the file.
func (r *Relay) admitClaim(s *Submission, refs int) error {
	open, unfolded, most := r.counts.of(openClaims+s.Partner), r.counts.of(unfoldedClaims+s.Partner), r.partner(s.Partner).MaxOpen
	if most == 0 {
		most = DefaultMaxOpen
	}
	switch {
	case open+unfolded >= most:
		return fmt.Errorf("%w refs are registered that no callback has come for: at most %d", ErrTooMany, most)
	case refs >= maxRefs:
		return fmt.Errorf("%w refs are registered for this subject: at most %d", ErrTooMany, maxRefs)
	case unfolded >= maxUnfolded:
		return fmt.Errorf("%w submissions are on their way: at most %d at a time", ErrTooMany, maxUnfolded)
	}
	return r.admitGuest()
}

// admitGuest refuses what a partner's token would write when callbacks may soon need the room.
func (r *Relay) admitGuest() error {
	if err := r.o.Store.AdmitGuest(guestBytes); err != nil {
		return fmt.Errorf("%w: %w", journal.ErrFull, err)
	}
	return nil
}

// What is counted of each partner, and of all. All but what is on its way stands in the file.
const (
	openClaims     = "open/"     // refs of a partner that are registered and undecided
	drivenSubjects = "driven/"   // subjects of a partner that were made in the sandbox
	usedKeys       = "keys/"     // idempotency keys of a partner's tokens
	contestedRefs  = "contested" // refs that are contested
	unfoldedClaims = "unfolded/" // submissions of a partner since the start that are not folded yet
)

// counts are numbers by name, none below 0.
type counts struct {
	mu sync.Mutex // guards n
	n  map[string]int64
}

func (c *counts) of(name string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

func (c *counts) set(name string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[name] = n
}

func (c *counts) add(name string, by int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[name] = max(0, c.n[name]+by)
}

func countKey(name string) []byte { return []byte("relay/count/" + name) }

// bump moves a number in the file, and in memory once that is on disk.
func (r *Relay) bump(tx *store.Tx, name string, by int64) error {
	n, err := tx.Number(countKey(name))
	if err != nil || by == 0 {
		return err
	}
	n = max(0, n+by)
	tx.OnCommit(func() { r.counts.set(name, n) })
	return tx.SetNumber(countKey(name), n)
}

// countSubject counts what a record that is new makes of a subject.
func (b *batch) countSubject(s *subject, u *kyc.Update) {
	if u.Kind == kyc.Submission {
		s.Refs++
	}
	if u.Source == SimulationSource && !s.known {
		s.Driven = true
		b.counted[drivenSubjects+u.Partner]++
	}
}

// keepCounts writes what a batch has moved of what is counted.
func (b *batch) keepCounts(tx *store.Tx) error {
	for name, by := range b.counted {
		if err := b.r.bump(tx, name, by); err != nil {
			return err
		}
	}
	tx.OnCommit(func() {
		for partner, n := range b.folded {
			b.r.counts.add(unfoldedClaims+partner, -n)
		}
	})
	return nil
}

// countClaims counts what became of claims, once that is on disk.
func (b *batch) countClaims() {
	for outcome, n := range b.submissions {
		b.r.m.submissions.WithLabelValues(outcome).Add(float64(n))
	}
}

// openCounts reads what is counted.
func (r *Relay) openCounts(tx *store.Tx) error {
	names := []string{contestedRefs, heldIn(true), heldIn(false)}
	for _, p := range r.o.Registry.Read().Partners() {
		names = append(names, openClaims+p.ID, drivenSubjects+p.ID, usedKeys+p.ID)
	}
	for _, name := range names {
		n, err := tx.Number(countKey(name))
		if err != nil {
			return err
		}
		r.counts.set(name, n)
	}
	return nil
}

// recount makes the numbers of claims right after a repair.
func (r *Relay) recount(ctx context.Context) error {
	n := map[string]int64{contestedRefs: 0}
	for _, p := range r.o.Registry.Read().Partners() {
		n[openClaims+p.ID] = 0
	}
	err := r.sweepBucket(ctx, store.Refs, func(_ *store.Tx, k, v []byte) [][]byte {
		if !bytes.HasPrefix(k, []byte(strandPrefix)) {
			return nil
		}
		ref := readStrand(v, nil)
		if ref.count(n, 1); len(ref.contenders()) > 0 {
			n[contestedRefs]++
		}
		return nil
	}, nil)
	if err != nil {
		return err
	}
	return r.o.Store.Update(ctx, func(tx *store.Tx) error {
		for name, k := range n {
			tx.OnCommit(func() { r.counts.set(name, k) })
			if err := tx.SetNumber(countKey(name), k); err != nil {
				return err
			}
		}
		return nil
	})
}
