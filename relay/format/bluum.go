package format

import (
	"strings"

	"countersign/kyc"
	"countersign/signing"
)

var bluum = Format{ // https://docs.bluumfinance.com/concepts/webhooks
	Name:        "bluum",
	ContentType: "application/json",
	Scheme:      signing.StandardWebhooks{}, // every delivery of theirs is signed, but neither header nor algorithm is published
	Render:      renderBluum,
	Gaps: []string{
		"Bluum publishes no signature: the headers are those of Standard Webhooks, whose webhook-id is the id of the event.",
		"The event is in Bluum's resource envelope with type and created; their webhook page names these event and timestamp. created has whole seconds.",
		"account.updated, document.approved and document.rejected are published names; document.processing and compliance.check.* follow their pattern.",
		"status speaks of verification only: active is approved, declined is rejected, awaiting_documents is expired or rejected with another try to come.",
		"not_started and pending are both onboarding and IN_PROGRESS; a status that Bluum does not know is under_review and PENDING_REVIEW.",
		"kyc.status.expiring is account.updated with status active and the expires_at that comes near. expires_at and reason of an account are ours.",
		"A check that is expired or suspended is failed. A document that was approved and is checked again is document.rejected.",
		"check_type may be document_verification, address_verification or liveness, which Bluum's list does not have. Only the deciding check is listed.",
		"document_type is one of three, by check; a document of another check has none. subtype is absent.",
		"One reason of four texts, else Verification failed; the provider's code is absent. A final rejection never shows a text that invites another " +
			"upload, but their page asks for one after every document.rejected: what is final is told by declined.",
		"Ids of investors are subject ids. sequence, previous status, source, workflow_id and metadata are absent: lanes keep the order, nothing in the body does.",
	},
}

// bluumEvent is Bluum's resource envelope around a document, a check or an investor.
type bluumEvent struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Created  int64  `json:"created"`
	Livemode bool   `json:"livemode"`
	Type     string `json:"type"`
	Data     any    `json:"data"`
}

type bluumInvestor struct {
	ID             string       `json:"id"`
	Object         string       `json:"object"`
	Livemode       bool         `json:"livemode"`
	AccountType    string       `json:"account_type,omitempty"`
	Status         string       `json:"status"`
	WorkflowType   string       `json:"workflow_type"`
	WorkflowStatus string       `json:"workflow_status"`
	Reason         string       `json:"reason,omitempty"`
	ExpiresAt      string       `json:"expires_at,omitempty"`
	Checks         []bluumCheck `json:"compliance_checks"`
}

type bluumCheck struct {
	InvestorID string    `json:"investor_id,omitempty"` // where the check does not stand within its investor
	Type       kyc.Check `json:"check_type"`
	Status     string    `json:"status"`
	Provider   string    `json:"provider,omitempty"`
	ExternalID string    `json:"external_id,omitempty"`
}

type bluumDocument struct {
	ID         string `json:"id,omitempty"`
	Object     string `json:"object"`
	Livemode   bool   `json:"livemode"`
	InvestorID string `json:"investor_id"`
	Type       string `json:"document_type,omitempty"`
	Status     string `json:"status"`
	Reason     string `json:"reason,omitempty"`
}

func renderBluum(c kyc.Change, _ uint64) ([]byte, error) {
	e := bluumEvent{ID: c.ID, Object: "event", Created: moment(&c).Unix(), Livemode: c.Livemode}
	switch {
	case strings.HasPrefix(c.Type, statusPrefix):
		e.Type, e.Data = "account.updated", newBluumInvestor(c)
	case strings.HasPrefix(c.Type, documentPrefix):
		d := newBluumDocument(c)
		e.Type, e.Data = "document."+d.Status, d
	case strings.HasPrefix(c.Type, checkPrefix):
		v := newBluumCheck(c.Check)
		v.InvestorID = c.Subject.ID
		e.Type, e.Data = "compliance.check."+v.Status, v
	default:
		return nil, nil
	}
	return encode(e)
}

func newBluumInvestor(c kyc.Change) bluumInvestor {
	v := bluumInvestor{ID: c.Subject.ID, Object: "investor", Livemode: c.Livemode, WorkflowType: "kyc", Checks: []bluumCheck{}}
	switch c.Subject.Kind {
	case kyc.Individual:
		v.AccountType = "individual"
	case kyc.Company:
		v.AccountType, v.WorkflowType = "corporate", "kyb"
	}
	v.Status, v.WorkflowStatus = bluumStatus(c)
	switch c.Status {
	case kyc.Approved, kyc.Expired:
		v.ExpiresAt = known(c.ExpiresAt)
	case kyc.Rejected:
		v.Reason = bluumReason(c)
	default:
	}
	if c.Check != (kyc.CheckView{}) {
		v.Checks = append(v.Checks, newBluumCheck(c.Check))
	}
	return v
}

// bluumStatus is what an investor's status and workflow say. Every status has a word, so nothing is
// ever left out.
func bluumStatus(c kyc.Change) (investor, workflow string) {
	switch c.Status {
	case kyc.NotStarted, kyc.Pending:
		return "onboarding", "IN_PROGRESS"
	case kyc.Approved:
		return "active", "APPROVED"
	case kyc.Rejected:
		if c.Retryable && !final(c) {
			return "awaiting_documents", "REJECTED"
		}
		return "declined", "REJECTED"
	case kyc.Expired:
		return "awaiting_documents", "EXPIRED"
	case kyc.Suspended:
		return "suspended", "SUSPENDED"
	default: // in_review, and words that do not exist yet
		return "under_review", "PENDING_REVIEW"
	}
}

// newBluumCheck has five words for seven: what ran out or is suspended did not pass.
func newBluumCheck(c kyc.CheckView) bluumCheck {
	v := bluumCheck{Type: c.Type, Status: "review_required", Provider: c.Provider, ExternalID: c.ProviderRef}
	switch c.Status {
	case "pending", "clear", "failed", "error":
		v.Status = c.Status
	case "expired", "suspended":
		v.Status = "failed"
	}
	return v
}

func newBluumDocument(c kyc.Change) bluumDocument {
	d := bluumDocument{ID: c.Document.ID, Object: "document", Livemode: c.Livemode, InvestorID: c.Subject.ID, Type: bluumDocumentType(c.Check.Type)}
	switch c.Status {
	case kyc.Approved:
		d.Status = "approved"
	case kyc.Rejected, kyc.Expired, kyc.Suspended:
		d.Status, d.Reason = "rejected", bluumReason(c)
	default:
		d.Status = "processing"
		if wasApproved(c) { // whoever knows the published names only would keep the approval
			d.Status, d.Reason = "rejected", bluumFailed
		}
	}
	return d
}

// bluumDocumentType never calls a document by a type that nobody checked it for.
func bluumDocumentType(check kyc.Check) string {
	switch check {
	case kyc.DocumentVerification:
		return "id_verification"
	case kyc.AddressVerification:
		return "proof_of_address"
	case kyc.TaxIDVerification:
		return "w9_form"
	default:
		return ""
	}
}

const bluumFailed = "Verification failed"

// bluumReason is one of the four texts of Bluum's page, each of which asks for another document, or
// the text that asks for nothing.
func bluumReason(c kyc.Change) string {
	code := primary(c).Code
	if c.Status == kyc.Expired {
		code = kyc.DocumentExpired
	}
	if final(c) || c.Status == kyc.Suspended {
		return bluumFailed
	}
	switch code {
	case kyc.DocumentUnreadable:
		return "Document is blurry or illegible"
	case kyc.DocumentExpired:
		return "Document is expired"
	case kyc.NameMismatch:
		return "Name mismatch"
	case kyc.DocumentTypeNotAccepted:
		return "Document type not accepted"
	default:
		return bluumFailed
	}
}
