package relay

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"countersign/kyc"
	"countersign/outbox"
)

// Pretence is an outcome that somebody drives in the sandbox, to see what comes of it.
type Pretence struct {
	Partner   string
	Subject   string
	Kind      string // individual or company
	Status    kyc.Status
	Reasons   []kyc.Reason // of a review, a rejection or a suspension; a rejection has other if none is given
	Retryable bool         // of a rejection
	Key       string       // the same key about the same subject is the same pretence; empty: every call is another
}

// PretendSource is the source and the provider of what is driven in the sandbox.
const PretendSource = "test_helpers"

// Pretend appends signed updates about a test subject, one for each check that its partner's policy requires, as if a provider had sent them, and returns their ids:
// nil once they are on stable storage. They take the way of every other update: what a real provider holds against the subject still stands. Errors wrap ErrInvalid (as a
// FieldError), or outbox.ErrNotFound for a partner that is not known.
func (r *Relay) Pretend(ctx context.Context, p Pretence) (ids []string, err error) {
	partner := r.partners[p.Partner]
	if partner == nil {
		return nil, fmt.Errorf("partner %s: %w", p.Partner, outbox.ErrNotFound)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	now := r.o.Now().Round(0).UTC()
	if p.Key == "" {
		p.Key = rand.Text()
	}
	var us []kyc.Update
	for _, check := range partner.Policy.For(p.Kind) {
		u := kyc.Update{
			SchemaVersion: 1, Kind: kyc.Observation, Source: PretendSource, Provider: PretendSource, Partner: p.Partner, Scope: kyc.Overall, Check: check,
			ProviderEvent: kyc.ProviderEvent{Type: "kyc"}, Subject: kyc.Subject{ID: p.Subject, Kind: p.Kind}, Status: p.Status, Authenticity: kyc.Signed,
			OccurredAt: now, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: now,
		}
		p.explain(&u)
		u.ID = kyc.UpdateID(PretendSource, []string{p.Partner, p.Subject, p.Key}, u.Kind, check, u.Scope, "", 0, time.Time{})
		us, ids = append(us, u), append(ids, u.ID)
	}
	return ids, r.append(ctx, us...)
}

// explain fills in what only some statuses have.
func (p *Pretence) explain(u *kyc.Update) {
	switch p.Status {
	case kyc.Rejected:
		u.Retryable, u.Terminal = p.Retryable, !p.Retryable
		if len(p.Reasons) == 0 {
			u.Reasons = []kyc.ReasonPair{{Code: kyc.OtherReason}}
		}
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryValidity
	default:
	}
	for _, c := range kyc.Priority { // primary first
		if slices.Contains(p.Reasons, c) {
			u.Reasons = append(u.Reasons, kyc.ReasonPair{Code: c})
		}
	}
}

func (p *Pretence) check() error {
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
	case len(p.Key) > maxName:
		return invalid("Idempotency-Key", "is longer than 256 bytes")
	}
	return nil
}
