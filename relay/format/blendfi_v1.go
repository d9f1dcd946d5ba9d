package format

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

var blendfiV1 = Format{ // https://docs.blendfi.com.br/en/docs/concepts/webhooks
	Name:        "blendfi-v1",
	ContentType: "application/json",
	Scheme:      blendfiV1Scheme{signing.Timestamped{Header: "X-Blendfi-Signature", Tolerance: 5 * time.Minute}},
	Render:      renderBlendFiV1,
	Gaps: []string{
		"Only kyc.status changes are sent; changes of checks and documents are not.",
		"in_review and not_started are sent as user.kyc_pending; in_review after approved and suspended as user.kyc_rejected with the reason other.",
		"Nothing is sent about a subject that never got beyond not_started.",
		"kyc.status.expiring is sent as user.kyc_expired with kyc_status approved: the status counts, not the name of the event.",
		"Six reasons, else other, beside the provider's own code. A terminal rejection never shows a reason that invites another try.",
		"id and external_id are both the subject id; sequence, check, provider, source and livemode are absent.",
		"The signature covers the time and the body; X-Blendfi-Event-Id, -Event-Type and -Timestamp only repeat what is signed.",
	},
}

const blendfiV1Version = "2026-05-01"

// blendfiV1Events are the types of the current documentation, by the word of the outcome.
var blendfiV1Events = map[kyc.Status]string{
	kyc.Pending:  "user.kyc_pending",
	kyc.Approved: "user.kyc_approved",
	kyc.Rejected: "user.kyc_rejected",
	kyc.Expired:  "user.kyc_expired",
}

type blendfiV1Body struct {
	ID         string        `json:"id"`
	Type       string        `json:"type"`
	CreatedAt  string        `json:"created_at"`
	APIVersion string        `json:"api_version"`
	Data       blendfiV1User `json:"data"`
}

type blendfiV1User struct {
	Object     string              `json:"object"`
	ID         string              `json:"id"`
	ExternalID string              `json:"external_id"`
	KYCStatus  kyc.Status          `json:"kyc_status"`
	ApprovedAt string              `json:"kyc_approved_at,omitempty"`
	ExpiresAt  string              `json:"kyc_expires_at,omitempty"`
	Submission blendfiV1Submission `json:"latest_submission,omitzero"`
}

type blendfiV1Submission struct {
	Status   kyc.Status        `json:"status"`
	ResultAt string            `json:"result_at"`
	Reasons  []blendfiV1Reason `json:"rejection_reasons"`
}

// IsZero lets a submission without a result be left out.
func (s blendfiV1Submission) IsZero() bool { return s.Status == "" }

type blendfiV1Reason struct {
	Code         kyc.Reason `json:"code"`
	Category     string     `json:"category"`
	Message      string     `json:"message"`
	Retriable    bool       `json:"retriable"`
	ProviderCode string     `json:"provider_code,omitempty"`
}

func renderBlendFiV1(c kyc.Change, _ uint64) ([]byte, error) {
	o := blendfiV1Outcome(c)
	if o.event == "" {
		return nil, nil
	}
	at := formatTime(moment(&c))
	u := blendfiV1User{Object: "user", ID: c.Subject.ID, ExternalID: c.Subject.ID, KYCStatus: o.status}
	switch o.event {
	case kyc.Approved:
		u.ApprovedAt, u.ExpiresAt = approvedAt(c), known(c.ExpiresAt)
		u.Submission = blendfiV1Submission{Status: kyc.Approved, ResultAt: u.ApprovedAt, Reasons: []blendfiV1Reason{}}
	case kyc.Expired:
		u.ApprovedAt, u.ExpiresAt = known(c.ApprovedAt), known(c.ExpiresAt)
	case kyc.Rejected:
		u.Submission = blendfiV1Submission{Status: kyc.Rejected, ResultAt: at, Reasons: blendfiV1Reasons(o.reasons, o.retriable)}
	default: // pending has no result yet
	}
	return encode(blendfiV1Body{ID: c.ID, Type: blendfiV1Events[o.event], CreatedAt: at, APIVersion: blendfiV1Version, Data: u})
}

// blendfiV1Outcome is blendfiOutcome with the word pending, which the current documentation has.
func blendfiV1Outcome(c kyc.Change) outcome {
	o := blendfiOutcome(c)
	if !strings.HasPrefix(c.Type, statusPrefix) {
		return o
	}
	pending := outcome{event: kyc.Pending, status: kyc.Pending}
	switch c.Status {
	case kyc.Pending:
		return pending
	case kyc.NotStarted:
		if c.PreviousStatus == kyc.NotStarted || c.PreviousStatus == "" {
			return outcome{}
		}
		return pending
	case kyc.InReview:
		if !wasApproved(c) {
			return pending
		}
	default:
	}
	return o
}

// blendfiV1Reasons spells the reasons out.
func blendfiV1Reasons(reasons []kyc.ReasonPair, retriable bool) []blendfiV1Reason {
	out := make([]blendfiV1Reason, 0, len(reasons))
	for _, r := range reasons {
		v := blendfiV1Reason{Code: r.Code, Retriable: retriable, ProviderCode: r.ProviderCode}
		switch r.Code {
		case kyc.DocumentUnreadable:
			v.Category, v.Message = "document", "The document could not be read."
		case kyc.DocumentExpired:
			v.Category, v.Message = "document", "The document has expired."
		case kyc.LivenessFailed:
			v.Category, v.Message = "selfie", "The face could not be matched to the document or to a live person."
		case kyc.DataMismatch:
			v.Category, v.Message = "data", "The document does not match the data on file."
		case kyc.PEPMatch:
			v.Category, v.Message = "screening", "The person may be politically exposed."
		case kyc.SanctionsMatch:
			v.Category, v.Message = "screening", "The person may be on a sanctions list."
		default:
			v.Category, v.Message = "other", "The verification did not succeed."
		}
		out = append(out, v)
	}
	return out
}

// blendfiV1Scheme adds the headers that repeat what is signed.
type blendfiV1Scheme struct {
	signing.Timestamped
}

// The headers beside the signature. None of them is signed.
const (
	blendfiEventID   = "X-Blendfi-Event-Id"
	blendfiEventType = "X-Blendfi-Event-Type"
	blendfiTimestamp = "X-Blendfi-Timestamp"
)

// Sign signs as Timestamped does and sets the event id, the timestamp, and the type if the body is
// one that this format renders.
func (s blendfiV1Scheme) Sign(h signing.Header, m signing.Message, keys signing.Keyring) error {
	if err := s.Timestamped.Sign(h, m, keys); err != nil {
		return err
	}
	h.Set(blendfiEventID, m.ID)
	h.Set(blendfiTimestamp, strconv.FormatInt(m.Time.Unix(), 10))
	var own struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(m.Body, &own); err != nil {
		return nil //nolint:nilerr // not a body of ours, such as one of `countersign sign`: it has no type to repeat
	}
	for _, event := range blendfiV1Events {
		if own.Type == event {
			h.Set(blendfiEventType, event)
		}
	}
	return nil
}

// Verify accepts what Timestamped accepts, if the headers that repeat it stand at most once and
// agree with it.
func (s blendfiV1Scheme) Verify(h signing.Header, body []byte, keys signing.Keyring, now time.Time) error {
	for _, name := range []string{blendfiEventID, blendfiEventType, blendfiTimestamp} {
		if n := len(h.Values(name)); n > 1 {
			return fmt.Errorf("%w: %s appears %d times", signing.ErrMalformed, name, n)
		}
	}
	if err := s.Timestamped.Verify(h, body, keys, now); err != nil {
		return err
	}
	signed := strings.FieldsFunc(h.Values(s.Header)[0], func(r rune) bool { return r == ',' || r == ' ' })
	if t := h.Values(blendfiTimestamp); len(t) == 1 && !slices.Contains(signed, "t="+t[0]) {
		return fmt.Errorf("%w: %s is not the time that was signed", signing.ErrMalformed, blendfiTimestamp)
	}
	return nil
}

// Unwrap lets an explanation show the scheme inside.
func (s blendfiV1Scheme) Unwrap() signing.Scheme { return s.Timestamped }
