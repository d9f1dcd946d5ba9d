package relay

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

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
}

// Submit appends a submission and returns the id of its record: nil once it is on stable storage (I11). When it is folded, the subject is known, without a status of its
// own, callbacks with that ref are its, and what waited for the ref is applied in order of arrival. The same submission again does nothing. A ref that is somebody
// else's is refused with ErrConflict; one that becomes so before the fold is ambiguous from then on. Other errors wrap ErrInvalid (as a FieldError), or
// outbox.ErrNotFound for a partner that is not known.
func (r *Relay) Submit(ctx context.Context, s Submission) (id string, err error) {
	for _, f := range [][2]string{{"partner", s.Partner}, {"subject", s.Subject}, {"source", s.Source}, {"provider_ref", s.ProviderRef}, {"actor", s.Actor}} {
		if err := name(f[0], f[1]); err != nil {
			return "", fmt.Errorf("submit: %w", err)
		}
	}
	if s.Kind != "" && s.Kind != kyc.Individual && s.Kind != kyc.Company {
		return "", fmt.Errorf("submit: %w", invalid("kind", "is neither individual nor company"))
	}
	if r.partners[s.Partner] == nil {
		return "", fmt.Errorf("submit: partner %s: %w", s.Partner, outbox.ErrNotFound)
	}
	if err := r.free(&s); err != nil {
		return "", fmt.Errorf("submit: provider_ref %w", err)
	}
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Submission, Source: s.Source, Partner: s.Partner, Livemode: s.Livemode,
		Subject: kyc.Subject{ID: s.Subject, ProviderRef: s.ProviderRef, Kind: s.Kind}, Actor: s.Actor, ReceivedAt: r.o.Now().Round(0).UTC(),
	}
	dedupe := []string{s.Partner, s.Subject, strconv.FormatBool(s.Livemode), s.ProviderRef, s.Kind}
	u.ID = kyc.UpdateID(s.Source, dedupe, u.Kind, "", "", "", 0, time.Time{})
	if err := r.append(ctx, u); err != nil {
		return "", fmt.Errorf("submit: %w", err)
	}
	return u.ID, nil
}

// free finds out whether the ref leads to nobody else.
func (r *Relay) free(s *Submission) error {
	return r.o.Store.View(func(tx *store.Tx) error {
		v, err := tx.Bucket(store.Refs).Get([]byte(refKey(s.Source, s.ProviderRef, s.Livemode)))
		if err != nil {
			return err
		}
		known := string(v)
		if owner := strings.TrimPrefix(known, submittedMark); owner != "" && owner != laneOf(s.Partner, s.Subject, s.Livemode) {
			return ErrConflict
		}
		return nil
	})
}
