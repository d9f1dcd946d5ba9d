package format

import (
	"countersign/kyc"
	"countersign/signing"
)

var standard = Format{ // https://www.standardwebhooks.com
	Name:        "standard",
	ContentType: "application/json",
	Scheme:      signing.StandardWebhooks{},
	Render:      renderStandard,
	Gaps: []string{
		"Nothing of the model is left out: every change has a word, and the order of the fields is fixed.",
		"With a shared secret (whsec_, v1) whoever can verify a webhook could also have made it; with an ed25519 key (whsk_, v1a) only the gateway could.",
	},
}

// standardBody is the whole change. The order of its fields is part of the contract.
type standardBody struct {
	Type      string       `json:"type"`
	Timestamp string       `json:"timestamp"`
	Data      standardData `json:"data"`
}

type standardData struct {
	ID               string           `json:"id"`
	Sequence         uint64           `json:"sequence"`
	PreviousSequence uint64           `json:"previous_sequence"`
	Partner          string           `json:"partner"`
	Subject          standardSubject  `json:"subject"`
	Status           kyc.Status       `json:"status"`
	PreviousStatus   kyc.Status       `json:"previous_status"`
	Check            kyc.CheckView    `json:"check,omitzero"`
	Document         kyc.Document     `json:"document,omitzero"`
	Reasons          []kyc.ReasonPair `json:"reasons"`
	Retryable        bool             `json:"retryable"`
	Terminal         bool             `json:"terminal"`
	ApprovedAt       string           `json:"approved_at,omitempty"`
	ExpiresAt        string           `json:"expires_at,omitempty"`
	Livemode         bool             `json:"livemode"`

	NeedsConfirmation bool       `json:"needs_confirmation,omitempty"` // unsigned evidence claims it
	ClaimedStatus     kyc.Status `json:"claimed_status,omitempty"`
	DecidedBy         string     `json:"decided_by,omitempty"` // of what takes away: the record whose finding stands
}

// standardSubject leaves out the provider's ref, which stands with the check it belongs to.
type standardSubject struct {
	ID   string `json:"id"`
	Kind string `json:"kind,omitempty"`
}

func renderStandard(c kyc.Change, previousSequence uint64) ([]byte, error) {
	return encode(standardBody{Type: c.Type, Timestamp: formatTime(moment(c)), Data: newStandardData(c, previousSequence)})
}

func newStandardData(c kyc.Change, previousSequence uint64) standardData {
	reasons := c.Reasons
	if reasons == nil {
		reasons = []kyc.ReasonPair{} // always a list
	}
	d := standardData{
		ID:               c.ID,
		Sequence:         c.Sequence,
		PreviousSequence: previousSequence,
		Partner:          c.Partner,
		Subject:          standardSubject{ID: c.Subject.ID, Kind: c.Subject.Kind},
		Status:           c.Status,
		PreviousStatus:   c.PreviousStatus,
		Check:            c.Check,
		Document:         c.Document,
		Reasons:          reasons,
		Retryable:        c.Retryable,
		Terminal:         c.Terminal,
		ApprovedAt:       known(c.ApprovedAt),
		ExpiresAt:        known(c.ExpiresAt),
		Livemode:         c.Livemode,

		NeedsConfirmation: c.NeedsConfirmation,
		ClaimedStatus:     c.ClaimedStatus,
	}
	if c.Status == kyc.InReview || c.Status == kyc.Rejected || c.Status == kyc.Suspended {
		d.DecidedBy = c.DecidedBy
	}
	return d
}
