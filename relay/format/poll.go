package format

import "countersign/kyc"

// BlendFiStatus is what BlendFi's partners read when they poll GET /v1/users/{id}/kyc.
type BlendFiStatus struct {
	UserID     string     `json:"user_id"`
	Status     kyc.Status `json:"status"`
	ApprovedAt string     `json:"approved_at,omitempty"`
	RejectedAt string     `json:"rejected_at,omitempty"`
	ExpiresAt  string     `json:"expires_at,omitempty"`
	Reason     kyc.Reason `json:"rejection_reason,omitempty"`
}

// PollBlendFi says where a subject stands in BlendFi's five words, as its last webhook did. What
// they cannot say is never more than is true: a review is pending, but for who was approved before
// it: there the webhook is a rejection. A suspension is a rejection.
func PollBlendFi(userID string, c kyc.Change) BlendFiStatus {
	v := BlendFiStatus{UserID: userID, Status: c.Status}
	if o := blendfiOutcome(c); o.status == kyc.Rejected {
		v.Status, v.RejectedAt, v.Reason = kyc.Rejected, formatTime(moment(&c)), o.reasons[0].Code
		return v
	}
	switch c.Status {
	case kyc.Approved:
		v.ApprovedAt, v.ExpiresAt = approvedAt(c), known(c.ExpiresAt)
	case kyc.Expired:
		v.ApprovedAt, v.ExpiresAt = known(c.ApprovedAt), known(c.ExpiresAt)
	case kyc.NotStarted, kyc.Pending:
	default: // in_review, and words that do not exist yet
		v.Status = kyc.Pending
	}
	return v
}
