package kyc

import (
	"slices"
	"time"
)

// View is where a subject stands, for those who poll.
type View struct {
	Status     Status       `json:"status"`
	Reasons    []ReasonPair `json:"reasons,omitempty"`
	Retryable  bool         `json:"retryable"`
	Terminal   bool         `json:"terminal"`
	ApprovedAt time.Time    `json:"approved_at,omitzero"`
	ExpiresAt  time.Time    `json:"expires_at,omitzero"`
	Sequence   uint64       `json:"sequence"` // of the last change owed
}

// CheckState is where one check of a subject stands.
type CheckState struct {
	Source            string       `json:"source"`
	Provider          string       `json:"provider,omitempty"`
	ProviderRef       string       `json:"provider_ref,omitempty"`
	Type              Check        `json:"type"`
	Scope             Scope        `json:"scope"`
	DocumentType      string       `json:"document_type,omitempty"`
	Status            Status       `json:"status"`
	Reasons           []ReasonPair `json:"reasons,omitempty"`
	Retryable         bool         `json:"retryable"`
	Terminal          bool         `json:"terminal"`
	NeedsConfirmation bool         `json:"needs_confirmation"`
	ApprovedAt        time.Time    `json:"approved_at,omitzero"`
	ExpiresAt         time.Time    `json:"expires_at,omitzero"`
	OccurredAt        time.Time    `json:"occurred_at,omitzero"`
	HeldBy            []string     `json:"held_by,omitempty"` // ids of the sanctions and PEP matches that only an operator releases
}

// View is the subject as partners were last told.
func (s *State) View() View {
	t := s.told
	return View{
		Status: t.rank.status(), Reasons: slices.Clone(t.reasons()), Retryable: t.retryable(), Terminal: t.terminal(),
		ApprovedAt: t.period.from, ExpiresAt: t.period.until, Sequence: s.sequence,
	}
}

// Checks lists every check of the subject by source, type, scope and document type.
func (s *State) Checks() []CheckState {
	out := make([]CheckState, 0, len(s.checks))
	for _, c := range s.checks {
		t := c.told
		v := CheckState{
			Source: c.key.source, Provider: c.provider, Type: c.key.check, Scope: c.key.scope, DocumentType: c.key.part, Status: t.rank.status(),
			Reasons: slices.Clone(t.reasons()), Retryable: t.retryable(), Terminal: t.terminal(), ApprovedAt: t.period.from, ExpiresAt: t.period.until,
		}
		if e := t.entry; e != nil {
			v.ProviderRef, v.OccurredAt, v.NeedsConfirmation = e.ref, e.when(), e.weak
		}
		if ran, ok := t.ranOut(); ok {
			v.OccurredAt = ran
		}
		for _, ss := range c.sessions {
			for _, i := range ss.hits {
				v.HeldBy = append(v.HeldBy, i.String())
			}
		}
		out = append(out, v)
	}
	return out
}
