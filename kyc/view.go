package kyc

import (
	"cmp"
	"slices"
	"time"
)

// View is where a subject stands, as partners were last told it: a poll and the last webhook agree.
type View struct {
	Status            Status       `json:"status"`
	PreviousStatus    Status       `json:"previous_status"` // another than Status
	Reasons           []ReasonPair `json:"reasons,omitempty"`
	Retryable         bool         `json:"retryable"`
	Terminal          bool         `json:"terminal"`
	NeedsConfirmation bool         `json:"needs_confirmation"` // unsigned evidence claims it, and nothing has answered that yet
	ClaimedStatus     Status       `json:"claimed_status,omitempty"`
	ApprovedAt        time.Time    `json:"approved_at,omitzero"`
	ExpiresAt         time.Time    `json:"expires_at,omitzero"`
	OccurredAt        time.Time    `json:"occurred_at,omitzero"` // when what decides it happened
	DecidedBy         string       `json:"decided_by,omitempty"` // id of the record that decides
	Check             CheckView    `json:"check,omitzero"`       // the check that decides it
	Sequence          uint64       `json:"sequence"`             // of the last change owed
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
	ClaimedStatus     Status       `json:"claimed_status,omitempty"`
	ApprovedAt        time.Time    `json:"approved_at,omitzero"`
	ExpiresAt         time.Time    `json:"expires_at,omitzero"`
	OccurredAt        time.Time    `json:"occurred_at,omitzero"`
	DecidedBy         string       `json:"decided_by,omitempty"`
	HeldBy            []string     `json:"held_by,omitempty"` // ids of the sanctions and PEP matches that only an operator releases
}

// View is the subject as partners were last told.
func (s *State) View() View {
	t := &s.told
	v := View{
		Status: t.rank.status(), PreviousStatus: t.was.status(), Reasons: slices.Clone(t.reasons), Retryable: t.retryable, Terminal: t.terminal, NeedsConfirmation: t.unconfirmed, ClaimedStatus: t.claimed,
		ApprovedAt: t.from.time(), ExpiresAt: t.until.time(), OccurredAt: t.occurred.time(), DecidedBy: t.by.text(), Sequence: s.sequence,
	}
	if t.check > 0 {
		v.Check = s.shows(t)
	}
	return v
}

// Checks lists every check of the subject by source, type, scope and document type.
func (s *State) Checks() []CheckState {
	out := make([]CheckState, 0, len(s.checks))
	for i := range s.checks {
		c := &s.checks[i]
		t := &c.told
		if t.occurred == 0 && !c.owed {
			continue // nobody has said anything of it yet: it was only registered
		}
		v := CheckState{
			Source: s.sources[c.source].name, Provider: s.sources[c.source].provider, ProviderRef: t.name, Type: c.typ, Scope: c.scope, DocumentType: c.part,
			Status: t.rank.status(), Reasons: slices.Clone(t.reasons), Retryable: t.retryable, Terminal: t.terminal, NeedsConfirmation: t.unconfirmed, ClaimedStatus: t.claimed,
			ApprovedAt: t.from.time(), ExpiresAt: t.until.time(), OccurredAt: t.occurred.time(), DecidedBy: t.by.text(),
		}
		for j := range s.words {
			if w := &s.words[j]; w.check == i && w.class == hit {
				v.HeldBy = append(v.HeldBy, w.id.String())
			}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b CheckState) int { return a.compare(&b) })
	return out
}

// Held is how many sanctions and PEP matches stand that nobody has released: as many as Checks name
// as held by.
func (s *State) Held() (n int) {
	for i := range s.words {
		if w := &s.words[i]; w.class == hit {
			if c := &s.checks[w.check]; c.told.occurred != 0 || c.owed {
				n++
			}
		}
	}
	return n
}

// Open is how many findings stand in one check, by itself: what a release of it lifts.
func (s *State) Open(c *CheckState, p Policy) int {
	if c.Source == Manual && s.beyond > 0 {
		return 1
	}
	v := s.at(p, s.last)
	for i := range s.checks {
		k := &s.checks[i]
		if k.typ == c.Type && k.scope == c.Scope && k.part == c.DocumentType && s.sources[k.source].name == c.Source {
			r := v.fold(1 << i)
			return len(r.left)
		}
	}
	return 0
}

// Crowded reports whether more checks are known of the subject than are kept: it is in review until
// an operator's manual release.
func (s *State) Crowded() bool { return s.beyond > 0 }

func (c *CheckState) compare(o *CheckState) int {
	return cmp.Or(cmp.Compare(c.Source, o.Source), cmp.Compare(c.Type, o.Type), cmp.Compare(c.Scope, o.Scope), cmp.Compare(c.DocumentType, o.DocumentType))
}
