package relay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"

	"countersign/kyc"
	"countersign/outbox"
)

// Decision is an operator's word about one check of a subject: a status, which counts until the provider says something newer (a suspension or a terminal rejection until
// the next decision), or a release, which lifts every hold known when it is folded.
type Decision struct {
	Partner        string
	Subject        string
	Livemode       bool
	Source         string
	Check          kyc.Check
	Scope          kyc.Scope // empty: overall
	DocumentType   string    // of a step or a document
	Status         kyc.Status
	Release        bool // in place of a status
	Reasons        []kyc.Reason
	Terminal       bool // of a rejection; it is, unless Retryable
	Retryable      bool
	Note           string // why, in the operator's words: at most 500 bytes
	Actor          string // who decides
	IdempotencyKey string // the same key about the same subject is the same decision: the second does nothing
}

const maxNote = 500

// Decide appends a decision and returns the id of its record: nil once it is on stable storage (I11); it counts when it is folded. Errors wrap ErrInvalid (as a
// FieldError), or outbox.ErrNotFound for a partner, a subject, or a check with nothing to release, that are not known.
func (r *Relay) Decide(ctx context.Context, d Decision) (updateID string, err error) {
	if err := d.check(); err != nil {
		return "", fmt.Errorf("decide: %w", err)
	}
	if err := r.decidable(&d); err != nil {
		return "", fmt.Errorf("decide: %w", err)
	}
	u := d.update(r.o.Now().Round(0).UTC())
	if err := r.append(ctx, u); err != nil {
		return "", fmt.Errorf("decide: %w", err)
	}
	return u.ID, nil
}

// check finds what no subject could be told.
func (d *Decision) check() error {
	d.Scope = cmp.Or(d.Scope, kyc.Overall)
	for _, f := range [][2]string{{"partner", d.Partner}, {"subject", d.Subject}, {"source", d.Source}, {"actor", d.Actor}} {
		if err := name(f[0], f[1]); err != nil {
			return err
		}
	}
	negative := d.Status == kyc.Rejected || d.Status == kyc.Suspended || d.Status == kyc.InReview
	switch {
	case !slices.Contains(kyc.Checks, d.Check):
		return invalid("check", "is no check type")
	case d.Scope != kyc.Overall && d.Scope != kyc.CheckScope && d.Scope != kyc.DocumentScope:
		return invalid("scope", "is none of overall, check and document")
	case d.DocumentType != "" && d.Scope == kyc.Overall:
		return invalid("document_type", "belongs to a step or a document, not to the whole")
	case d.Release && d.Status != "":
		return invalid("status", "and release exclude each other")
	case !d.Release && !negative && d.Status != kyc.Approved && d.Status != kyc.Expired:
		return invalid("status", "is none of approved, in_review, rejected, expired and suspended")
	case d.Status != kyc.Rejected && (d.Terminal || d.Retryable):
		return invalid("status", "is no rejection, so it is neither terminal nor retryable")
	case d.Terminal && d.Retryable:
		return invalid("retryable", "and terminal exclude each other")
	case len(d.Reasons) > 0 && !negative:
		return invalid("reasons", "belong to a review, a rejection or a suspension")
	case slices.ContainsFunc(d.Reasons, func(c kyc.Reason) bool { return !slices.Contains(kyc.Priority, c) }):
		return invalid("reasons", "name one that is not known")
	case len(d.Note) > maxNote || !utf8.ValidString(d.Note):
		return invalid("note", "is longer than 500 bytes, or no text")
	case len(d.IdempotencyKey) > maxName:
		return invalid("idempotency_key", "is longer than 256 bytes")
	case d.DocumentType != "":
		return name("document_type", d.DocumentType)
	}
	return nil
}

// decidable finds out whether there is somebody, and something, to decide about.
func (r *Relay) decidable(d *Decision) error {
	if r.partners[d.Partner] == nil {
		return fmt.Errorf("partner %s: %w", d.Partner, outbox.ErrNotFound)
	}
	return r.o.Store.View(func(tx *bolt.Tx) error {
		s, err := loadSubject(tx, laneOf(d.Partner, d.Subject, d.Livemode))
		switch {
		case err != nil:
			return err
		case !s.known:
			return fmt.Errorf("subject %s of partner %s: %w", d.Subject, d.Partner, outbox.ErrNotFound)
		case d.Release && !slices.ContainsFunc(s.State.Checks(), d.about):
			return fmt.Errorf("check %s of source %s: %w", d.Check, d.Source, outbox.ErrNotFound)
		}
		return nil
	})
}

func (d *Decision) about(c kyc.CheckState) bool {
	return c.Source == d.Source && c.Type == d.Check && c.Scope == d.Scope && c.DocumentType == d.DocumentType
}

// update is the record of a decision. Its id is made of the idempotency key and whom it is about, or of everything and the moment.
func (d *Decision) update(now time.Time) kyc.Update {
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Decision, Source: d.Source, Partner: d.Partner, Livemode: d.Livemode, Subject: kyc.Subject{ID: d.Subject},
		Scope: d.Scope, Check: d.Check, Document: kyc.Document{Type: d.DocumentType}, Status: d.Status, Retryable: d.Retryable,
		Terminal: d.Status == kyc.Rejected && !d.Retryable, Release: d.Release, Note: d.Note, Actor: d.Actor, ReceivedAt: now,
	}
	if d.Status == kyc.Expired {
		u.ExpiryKind = kyc.ExpiryValidity
	}
	for _, c := range kyc.Priority { // primary first
		if slices.Contains(d.Reasons, c) {
			u.Reasons = append(u.Reasons, kyc.ReasonPair{Code: c})
		}
	}
	whom := []string{d.Partner, d.Subject, strconv.FormatBool(d.Livemode)}
	if d.IdempotencyKey != "" {
		u.ID = kyc.UpdateID("", append(whom, d.IdempotencyKey), u.Kind, "", "", "", 0, time.Time{})
		return u
	}
	u.ID = kyc.UpdateID("", append(whom, fmt.Sprintf("%+v", *d), now.Format(time.RFC3339Nano)), u.Kind, "", "", "", 0, now)
	return u
}
