package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// ManualSource is the source of decisions that are no source's: an operator has seen somebody, and
// no provider has said anything that the decision could be about. No source of the config may have
// its name.
const ManualSource = kyc.Manual

// Decision is an operator's word about one check of a subject: a status, which counts until the
// provider says something newer (what takes away until the next decision), or a release, which
// lifts every finding known when it is folded.
type Decision struct {
	Partner        string
	Subject        string
	Livemode       bool
	Source         string // whose check it is; empty if Manual
	Manual         bool   // it is no source's
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

// Decide appends a decision and returns what came of it. Without an error it is on stable storage
// (I11); if ctx ended before it was folded, Decided.Folded is false. The same decision under the
// same key is made once, and answered the same. Errors wrap ErrInvalid (as a FieldError),
// ErrKeyUsed, or outbox.ErrNotFound for a partner or a subject that is not known, or a check that
// the subject does not have (ErrNoCheck).
func (r *Relay) Decide(ctx context.Context, d Decision) (out Decided, err error) {
	if err := d.check(); err != nil {
		return out, fmt.Errorf("decide: %w", err)
	}
	d.Partner = r.kept(d.Partner)
	u := d.update(r.o.Now().Round(0).UTC())
	lifts, answer, err := r.admit(ctx, &d, &u)
	if answer != nil && err == nil {
		err = json.Unmarshal(answer, &out)
		return out, err
	}
	if err == nil {
		err = r.append(ctx, u)
	}
	if err != nil {
		return out, fmt.Errorf("decide: %w", err)
	}
	if out, err = r.outcome(ctx, &u, lifts); err == nil && out.Folded && d.IdempotencyKey != "" {
		r.settle(ctx, u.ID, out)
	}
	return out, err
}

// admit finds out whether a decision may be made, and how many findings it would lift, and makes
// its key stand for it. Of one that has been made it is the answer.
func (r *Relay) admit(ctx context.Context, d *Decision, u *kyc.Update) (lifts int, answer json.RawMessage, err error) {
	if d.IdempotencyKey == "" {
		lifts, err = r.decidable(d)
		return lifts, nil, err
	}
	said := *d
	if said.Actor, said.IdempotencyKey = "", ""; len(said.Reasons) == 0 { // whoever gives it again means the same
		said.Reasons = nil
	}
	lane := r.laneOf(d.Partner, d.Subject, d.Livemode)
	k, known, err := r.ordered(u.ID, lane, said, u)
	if err != nil || known {
		return k.Lifts, k.Answer, err
	}
	if k.Lifts, err = r.decidable(d); err != nil {
		return 0, nil, err
	}
	return k.Lifts, nil, r.reserve(ctx, u.ID, lane, k)
}

// check finds what no subject could be told.
func (d *Decision) check() error {
	d.Scope = cmp.Or(d.Scope, kyc.Overall)
	switch {
	case d.Manual && d.Source != "" && d.Source != ManualSource:
		return invalid("source", "and manual exclude each other")
	case d.Manual:
		d.Source = ManualSource
	case d.Source == ManualSource:
		return invalid("source", "is the name of decisions that are no source's: say manual")
	}
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

// decidable finds out whether there is somebody, and something, to decide about, and how many
// findings a release would lift.
func (r *Relay) decidable(d *Decision) (lifts int, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.decides(tx, d)
		if err == nil && d.Release {
			lifts = d.open(s, r.policyOf(s))
		}
		return err
	})
	return lifts, err
}

// decides is the subject that a decision is about, as a copy of its own.
func (r *Relay) decides(tx *store.Tx, d *Decision) (*subject, error) {
	if r.partner(d.Partner) == nil {
		return nil, fmt.Errorf("partner %s: %w", d.Partner, outbox.ErrNotFound)
	}
	s, err := r.load(tx, r.laneOf(d.Partner, d.Subject, d.Livemode))
	switch {
	case err != nil:
		return nil, err
	case !s.known:
		return nil, fmt.Errorf("subject %s of partner %s: %w", d.Subject, d.Partner, outbox.ErrNotFound)
	case d.Release && d.Manual && s.State.Crowded():
	case (d.Release || !d.Manual) && !slices.ContainsFunc(s.State.Checks(), d.about):
		return nil, d.missing(s.State.Checks())
	}
	return s, nil
}

// missing says what the subject has instead of the check that is decided about.
func (d *Decision) missing(has []kyc.CheckState) error {
	var names []string
	for i := range has {
		c := &has[i]
		names = append(names, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.Source, c.Type, c.Scope, c.DocumentType)))
	}
	if names == nil {
		names = []string{"none"}
	}
	return fmt.Errorf("%w: %s %s of source %s: %w; subject %s has %s; what is no source's is decided as manual",
		ErrNoCheck, d.Check, d.Scope, d.Source, outbox.ErrNotFound, d.Subject, strings.Join(names, ", "))
}

// open is how many findings of the check stand open.
func (d *Decision) open(s *subject, p kyc.Policy) int {
	return s.State.Open(&kyc.CheckState{Source: d.Source, Type: d.Check, Scope: d.Scope, DocumentType: d.DocumentType}, p)
}

func (d *Decision) about(c kyc.CheckState) bool {
	return c.Source == d.Source && c.Type == d.Check && c.Scope == d.Scope && c.DocumentType == d.DocumentType
}

// update is the record of a decision. Its id is made of the idempotency key and whom it is about,
// or of everything and the moment.
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
