package format

import (
	"strings"

	"countersign/kyc"
	"countersign/signing"
)

var blendfi = Format{ // https://docs.blendfi.com.br/en/docs/kyc-flow
	Name:        "blendfi",
	ContentType: "application/json",
	Scheme:      signing.BodyHMAC{Header: "X-BlendFi-Signature", Hash: signing.SHA256, Encoding: signing.Hex},
	Render:      renderBlendFi,
	Gaps: []string{
		"Only kyc.status changes are sent; changes of checks and documents are not.",
		"pending, not_started and in_review have no event. After approved they are sent as user.kyc.rejected with the reason other, else not at all.",
		"suspended is sent as user.kyc.rejected with the reason other.",
		"kyc.status.expiring is sent as user.kyc.expired with kyc_status approved: the status counts, not the name of the event.",
		"One reason of six, else other. A terminal rejection never shows a reason that invites another try.",
		"user_id and external_id are both the subject id; sequence, check, provider, source and livemode are absent.",
		"There is no event id and no timestamp: a repeat is recognised by its body only, and a captured request can be sent again.",
		"There is one signature: while keys rotate it is made with the oldest key that is still valid.",
	},
}

// blendfiBody is the flat body of the older BlendFi documentation.
type blendfiBody struct {
	Type       string     `json:"type"`
	UserID     string     `json:"user_id"`
	ExternalID string     `json:"external_id"`
	KYCStatus  kyc.Status `json:"kyc_status"`
	ApprovedAt string     `json:"approved_at,omitempty"`
	RejectedAt string     `json:"rejected_at,omitempty"`
	ExpiresAt  string     `json:"expires_at,omitempty"`
	Reason     kyc.Reason `json:"rejection_reason,omitempty"`
}

func renderBlendFi(c kyc.Change, _ uint64) ([]byte, error) {
	o := blendfiOutcome(c)
	if o.event == "" {
		return nil, nil
	}
	b := blendfiBody{
		Type:       "user.kyc." + string(o.event),
		UserID:     c.Subject.ID,
		ExternalID: c.Subject.ID,
		KYCStatus:  o.status,
	}
	switch o.event {
	case kyc.Approved:
		b.ApprovedAt, b.ExpiresAt = approvedAt(c), known(c.ExpiresAt)
	case kyc.Expired:
		b.ApprovedAt, b.ExpiresAt = known(c.ApprovedAt), known(c.ExpiresAt)
	default:
		b.RejectedAt, b.Reason = formatTime(moment(&c)), o.reasons[0].Code
	}
	return encode(b)
}

// outcome is what BlendFi's vocabulary says about a change.
type outcome struct {
	event     kyc.Status       // names the event; "": no word, and nothing is taken away
	status    kyc.Status       // kyc_status, which differs from the event for the notice of an expiry
	reasons   []kyc.ReasonPair // of a rejection; never empty there
	retriable bool             // another try may help
}

// blendfiOutcome reads a change in the three words that the older documentation has.
func blendfiOutcome(c kyc.Change) outcome {
	if !strings.HasPrefix(c.Type, statusPrefix) {
		return outcome{}
	}
	switch c.Status {
	case kyc.Approved:
		if c.Type == statusPrefix+expiring {
			return outcome{event: kyc.Expired, status: kyc.Approved}
		}
		return outcome{event: kyc.Approved, status: kyc.Approved}
	case kyc.Expired:
		return outcome{event: kyc.Expired, status: kyc.Expired}
	case kyc.Rejected:
		end := final(c)
		return outcome{event: kyc.Rejected, status: kyc.Rejected, reasons: blendfiReasons(c.Reasons, end), retriable: c.Retryable && !end}
	case kyc.Suspended:
		return rejectedClosed
	default: // pending, not_started, in_review, and words that do not exist yet
		if wasApproved(c) {
			return rejectedClosed
		}
		return outcome{}
	}
}

// rejectedClosed stands for every outcome that is not approved and has no word.
var rejectedClosed = outcome{event: kyc.Rejected, status: kyc.Rejected, reasons: []kyc.ReasonPair{{Code: kyc.OtherReason}}}

// blendfiReasons translates the reasons of a rejection, hits first, then in their order.
func blendfiReasons(reasons []kyc.ReasonPair, final bool) []kyc.ReasonPair {
	var hits, others []kyc.ReasonPair
	for _, r := range reasons {
		switch {
		case isHit(r):
			hits = append(hits, r)
		case !final && invites(r.Code):
			others = append(others, r)
		default:
			others = append(others, kyc.ReasonPair{Code: kyc.OtherReason, ProviderCode: r.ProviderCode})
		}
	}
	if len(reasons) == 0 {
		return rejectedClosed.reasons
	}
	return append(hits, others...)
}

// invites reports whether a partner answers this reason with another try.
func invites(code kyc.Reason) bool {
	switch code {
	case kyc.DocumentUnreadable, kyc.DocumentExpired, kyc.LivenessFailed, kyc.DataMismatch:
		return true
	default:
		return false
	}
}

// approvedAt is when an approval was given, else when the change took place.
func approvedAt(c kyc.Change) string {
	if c.ApprovedAt.IsZero() {
		return formatTime(moment(&c))
	}
	return formatTime(c.ApprovedAt)
}
