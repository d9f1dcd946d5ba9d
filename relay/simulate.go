package relay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// Simulation is an outcome that somebody drives in the sandbox, to see what comes of it.
type Simulation struct {
	Partner   string
	Subject   string
	Kind      string // individual or company
	Status    kyc.Status
	Reasons   []kyc.Reason // of a review, a rejection or a suspension; a rejection has other if none is given
	Retryable bool         // of a rejection
	Guest     bool         `json:"-"` // a partner's own token drives it: the bounds of what one partner may leave in the file hold
	Key       string       // the same key about the same subject is the same simulation, and another one is refused with ErrKeyUsed; empty: every call is another
}

// SimulationSource is the source and the provider of what is driven in the sandbox.
const SimulationSource = "test_helpers"

// Simulated is what came of it.
type Simulated struct {
	Updates []string // ids of the records
	SubjectStatus
}

// Simulate makes a test subject stand where the caller wants, whatever stood before: it appends a
// signed update for each check that the partner's policy requires, as if one callback had brought
// them, and with the first everything that was said before ceases to count. It returns where the
// subject then stands: nil once that has been folded. Errors wrap ErrInvalid (as a FieldError), or
// outbox.ErrNotFound for a partner that is not known.
func (r *Relay) Simulate(ctx context.Context, p Simulation) (out Simulated, err error) {
	if r.partner(p.Partner) == nil {
		return out, fmt.Errorf("partner %s: %w", p.Partner, outbox.ErrNotFound)
	}
	p.Partner = r.kept(p.Partner)
	if err := p.check(); err != nil {
		return out, err
	}
	if err := r.admitSimulation(&p); err != nil {
		return out, err
	}
	policy, err := r.newest(p.Partner)
	if err != nil {
		return out, fmt.Errorf("partner %s: %w", p.Partner, err)
	}
	us := p.updates(policy.For(p.Kind), r.o.Now().Round(0).UTC())
	for i := range us {
		out.Updates = append(out.Updates, us[i].ID)
	}
	order := kyc.UpdateID(SimulationSource, []string{p.Partner, p.Subject, p.Key}, kyc.Observation, "", "", "", 0, time.Time{})
	if p.Key != "" {
		answer, err := r.drives(ctx, order, p, &us[0])
		if answer != nil && err == nil {
			err = json.Unmarshal(answer, &out)
		}
		if answer != nil || err != nil {
			return out, err
		}
	}
	if err := r.append(ctx, us...); err != nil {
		return out, err
	}
	if err := r.awaitFold(ctx, &us[0]); err != nil {
		return out, err
	}
	if out.SubjectStatus, err = r.SubjectStatus(p.Partner, p.Subject, false); err == nil && p.Key != "" {
		r.settle(ctx, order, out)
	}
	return out, err
}

// drives makes the key of a simulation stand for it. Of one that has been carried out it is the
// answer.
func (r *Relay) drives(ctx context.Context, order string, p Simulation, first *kyc.Update) (answer json.RawMessage, err error) {
	if p.Key = ""; len(p.Reasons) == 0 {
		p.Reasons = nil
	}
	lane := r.laneOf(p.Partner, p.Subject, false)
	k, known, err := r.ordered(order, lane, p, first)
	if err == nil && !known {
		if p.Guest {
			k.Partner = p.Partner
			if r.counts.of(usedKeys+p.Partner) >= maxKeys {
				return nil, fmt.Errorf("%w idempotency keys are in use: at most %d in 90 days", ErrTooMany, maxKeys)
			}
		}
		err = r.reserve(ctx, order, lane, k)
	}
	return k.Answer, err
}

// admitSimulation refuses what is more than one partner may leave in the file.
func (r *Relay) admitSimulation(p *Simulation) error {
	if !p.Guest {
		return nil
	}
	err := r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.load(tx, r.laneOf(p.Partner, p.Subject, false))
		if err == nil && !s.known && r.counts.of(drivenSubjects+p.Partner) >= maxDriven {
			err = fmt.Errorf("%w test subjects: at most %d", ErrTooMany, maxDriven)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.admitGuest()
}

// updates are the records of a simulation, as if one callback had brought them.
func (p *Simulation) updates(required []kyc.Check, now time.Time) (us []kyc.Update) {
	key := p.Key
	if key == "" {
		key = rand.Text()
	}
	for i, check := range required {
		u := kyc.Update{
			SchemaVersion: 1, Kind: kyc.Observation, Source: SimulationSource, Provider: SimulationSource, Partner: p.Partner, Scope: kyc.Overall, Check: check,
			ProviderEvent: kyc.ProviderEvent{Type: "kyc"}, Subject: kyc.Subject{ID: p.Subject, Kind: p.Kind}, Status: p.Status, Authenticity: kyc.Signed,
			OccurredAt: now, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: now, Force: i == 0,
		}
		p.explain(&u)
		u.ID = kyc.UpdateID(SimulationSource, []string{p.Partner, p.Subject, key}, u.Kind, check, u.Scope, "", 0, time.Time{})
		us = append(us, u)
		if us[i].Callback = (kyc.Callback{ID: us[0].ID, Index: i, Count: len(required)}); len(required) == 1 {
			us[i].Callback = kyc.Callback{}
		}
	}
	return us
}

// awaitFold returns when a record about somebody has been folded.
func (r *Relay) awaitFold(ctx context.Context, u *kyc.Update) error {
	for {
		var s *subject
		err := r.o.Store.View(func(tx *store.Tx) (err error) {
			s, err = r.load(tx, r.laneOf(u.Partner, u.Subject.ID, u.Livemode))
			return err
		})
		if err != nil || s.State.Knows(u.ID) {
			return err
		}
		if !pause(ctx, 5*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// explain fills in what only some statuses have.
func (p *Simulation) explain(u *kyc.Update) {
	switch p.Status {
	case kyc.Rejected:
		u.Retryable, u.Terminal = p.Retryable, !p.Retryable
		if len(p.Reasons) == 0 {
			u.Reasons = []kyc.ReasonPair{{Code: kyc.OtherReason}}
		}
	case kyc.Expired: // an approval that is over already
		u.Status, u.ExpiresAt = kyc.Approved, u.OccurredAt
	default:
	}
	for _, c := range kyc.Priority { // primary first
		if slices.Contains(p.Reasons, c) {
			u.Reasons = append(u.Reasons, kyc.ReasonPair{Code: c})
		}
	}
}

func (p *Simulation) check() error {
	if err := name("subject", p.Subject); err != nil {
		return err
	}
	explained := p.Status == kyc.InReview || p.Status == kyc.Rejected || p.Status == kyc.Suspended
	switch {
	case !slices.Contains(kyc.Statuses, p.Status):
		return invalid("status", "is none of not_started, pending, in_review, approved, rejected, expired and suspended")
	case p.Kind != kyc.Individual && p.Kind != kyc.Company:
		return invalid("kind", "is neither individual nor company")
	case len(p.Reasons) > 0 && !explained:
		return invalid("reasons", "belong to a review, a rejection or a suspension")
	case slices.ContainsFunc(p.Reasons, func(c kyc.Reason) bool { return !slices.Contains(kyc.Priority, c) }):
		return invalid("reasons", "name one that is not known")
	case len(p.Key) > maxName || !kyc.IsText(p.Key):
		return invalid("Idempotency-Key", "is longer than 256 bytes, or no text")
	case len(p.Reasons) > len(kyc.Priority):
		return invalid("reasons", "name one more than once")
	}
	return nil
}
