package api

import "time"

// User is a subject's status in our own words.
type User struct {
	Object            string       `json:"object" enum:"subject"`
	ID                string       `json:"id"`
	Partner           string       `json:"partner"`
	Livemode          bool         `json:"livemode"`
	Status            string       `json:"status"`
	Reasons           []Reason     `json:"reasons"`
	Retryable         bool         `json:"retryable"`
	Terminal          bool         `json:"terminal"`
	ApprovedAt        time.Time    `json:"approved_at,omitzero"`
	ExpiresAt         time.Time    `json:"expires_at,omitzero"`
	ChangedAt         time.Time    `json:"changed_at,omitzero"`
	Sequence          uint64       `json:"sequence" doc:"Of the last change."`
	NeedsConfirmation bool         `json:"needs_confirmation" doc:"Unsigned evidence claims it."`
	ClaimedStatus     string       `json:"claimed_status,omitempty"`
	DecidedBy         string       `json:"decided_by,omitempty"`
	Check             Check        `json:"check,omitzero"`
	Checks            []CheckState `json:"checks"`
	Refs              []UserRef    `json:"refs,omitempty" doc:"That are contested, or that it was refused."`
}

// BlendFiUser is a subject's status in BlendFi's shape, and beside it what is wrong with its refs.
type BlendFiUser struct {
	UserID     string    `json:"user_id"`
	Status     string    `json:"status"`
	ApprovedAt string    `json:"approved_at,omitempty"`
	RejectedAt string    `json:"rejected_at,omitempty"`
	ExpiresAt  string    `json:"expires_at,omitempty"`
	Reason     string    `json:"rejection_reason,omitempty"`
	Refs       []UserRef `json:"refs,omitempty" doc:"That are contested, or that it was refused."`
}

// UserRef is a contested ref of a subject, as its partner sees it.
type UserRef struct {
	State       string    `json:"state" enum:"contested,refused"`
	Source      string    `json:"source"`
	ProviderRef string    `json:"provider_ref"`
	Since       time.Time `json:"since,omitzero"`
}

// SubmissionAsk says whose a provider's ref is.
type SubmissionAsk struct {
	Partner     string `json:"partner,omitempty" doc:"A partner's token needs none."`
	Subject     string `json:"subject" need:"true"`
	Source      string `json:"source" need:"true"`
	ProviderRef string `json:"provider_ref" need:"true"`
	Kind        string `json:"kind,omitempty" enum:"individual,company"`
	Livemode    *bool  `json:"livemode,omitempty" doc:"Unsaid, the gateway's own mode."`
}

// Submission is one that was taken.
type Submission struct {
	Object      string `json:"object" enum:"submission"`
	ID          string `json:"id"`
	Partner     string `json:"partner"`
	Subject     string `json:"subject"`
	Source      string `json:"source"`
	ProviderRef string `json:"provider_ref"`
}

// ContestedRef is a ref that several were said to have.
type ContestedRef struct {
	ID          string    `json:"id" doc:"source/l/ref of live subjects, source/t/ref of test subjects."`
	State       string    `json:"state" enum:"contested,refused"`
	Source      string    `json:"source"`
	ProviderRef string    `json:"provider_ref"`
	Livemode    bool      `json:"livemode"`
	Since       time.Time `json:"since,omitzero"`
	Claims      []Claim   `json:"claims,omitempty"`
}

// Claim is one of those whom a contested ref is said to belong to.
type Claim struct {
	Partner    string    `json:"partner"`
	Subject    string    `json:"subject"`
	Registered bool      `json:"registered" doc:"By a submission; else the provider said so."`
	At         time.Time `json:"at,omitzero"`
}

// SettleAsk makes a ref one subject's, whoever else has claimed it.
type SettleAsk struct {
	Source      string `json:"source" need:"true"`
	ProviderRef string `json:"provider_ref" need:"true"`
	Partner     string `json:"partner" need:"true"`
	Subject     string `json:"subject" need:"true"`
	Kind        string `json:"kind,omitempty" enum:"individual,company"`
	Livemode    *bool  `json:"livemode,omitempty" doc:"Unsaid, the gateway's own mode."`
	Reason      string `json:"reason" need:"true" doc:"Why, for whoever must explain it later."`
}

// Settled is what came of it.
type Settled struct {
	Object      string `json:"object" enum:"ref"`
	ID          string `json:"id"`
	Partner     string `json:"partner"`
	Subject     string `json:"subject"`
	Source      string `json:"source"`
	ProviderRef string `json:"provider_ref"`
	Livemode    bool   `json:"livemode"`
	Settled     bool   `json:"settled"`
	Folded      bool   `json:"evaluated" doc:"False: it is stored, and what was held is applied soon."`
}
