package format

import (
	"net/url"
	"slices"
	"strings"

	"countersign/kyc"
	"countersign/signing"
)

var rebilly = Format{ // https://www.rebilly.com/docs/dev-docs/webhooks-configuration
	Name:        "rebilly",
	ContentType: "application/json",
	Scheme:      signing.StandardWebhooks{}, // theirs is a password in a header, which proves nothing about the body
	Render:      renderRebilly,
	Gaps: []string{
		"Rebilly signs nothing, it sends HTTP credentials: here the headers are those of Standard Webhooks, and no Authorization is sent.",
		"Changes of checks are not sent.",
		"A subject is one request for ever: customerId, kycRequestId and requestId are the subject id, and a fulfilled or failed request may change again.",
		"revision is the sequence of the change, counted over the whole subject: it grows, but not by one for each object.",
		"suspended, expired and every rejection are kyc-request-failed, and so is whatever else follows approved. Only rejectionReason tells them apart.",
		"in_review is kyc-request-attempted with status pending-review; not_started and statuses unknown to Rebilly are not sent, except after approved.",
		"kyc-request-partially-fulfilled is sent only while a required check has not begun and all that has begun is decided.",
		"kyc.status.expiring is kyc-request-fulfilled once more; expirationTime of a request is when the approval ends.",
		"kyc-document-created is sent for the first document of a type, if it is not decided at once; what follows it is modified, accepted or rejected.",
		"One reason of 19, the nearest; their requests have none, ours do. A final rejection is tampered-document, underage-person or other. " +
			"retryable is absent.",
		"documentType is absent where none of five fits; files, matches, parsed data, kind, check, source and livemode are absent.",
		"The link of the customer is a path on the control listener.",
	},
}

// rebillyBody is the default payload of a webhook of Rebilly's, about a document or a request.
type rebillyBody struct {
	EventType  string          `json:"eventType"`
	CustomerID string          `json:"customerId"`
	DocumentID string          `json:"kycDocumentId,omitempty"`
	RequestID  string          `json:"kycRequestId,omitempty"`
	Links      []rebillyLink   `json:"_links"`
	Embedded   rebillyEmbedded `json:"_embedded"`
}

type rebillyLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

type rebillyEmbedded struct {
	Document *rebillyObject `json:"kycDocument,omitempty"`
	Request  *rebillyObject `json:"kycRequest,omitempty"`
}

// rebillyObject is a document or a request: what they share, and what only one of them has.
type rebillyObject struct {
	ID              string            `json:"id"`
	CustomerID      string            `json:"customerId"`
	DocumentType    string            `json:"documentType,omitempty"`
	DocumentSubtype string            `json:"documentSubtype,omitempty"`
	Status          string            `json:"status"`
	Rejection       *rebillyRejection `json:"rejectionReason"`
	RequestID       string            `json:"requestId,omitempty"`
	Revision        uint64            `json:"revision"`
	ExpirationTime  string            `json:"expirationTime,omitempty"`
	ProcessedTime   string            `json:"processedTime,omitempty"`
	UpdatedTime     string            `json:"updatedTime"`
}

type rebillyRejection struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// rebillyWord is the name of an event and the status that its object has then.
type rebillyWord struct{ event, status string }

func renderRebilly(c kyc.Change, _ uint64) ([]byte, error) {
	b := rebillyBody{
		CustomerID: c.Subject.ID,
		Links:      []rebillyLink{{"customer", "/v1/subjects/" + url.PathEscape(c.Partner) + "/" + url.PathEscape(c.Subject.ID)}},
	}
	o := &rebillyObject{CustomerID: c.Subject.ID, Revision: c.Sequence, UpdatedTime: formatTime(moment(&c))}
	var w rebillyWord
	switch {
	case strings.HasPrefix(c.Type, statusPrefix):
		w = rebillyRequest(c)
		o.ID = c.Subject.ID
		if w.status == "fulfilled" {
			o.ExpirationTime = known(c.ExpiresAt)
		}
		b.RequestID, b.Embedded.Request = o.ID, o
	case strings.HasPrefix(c.Type, documentPrefix):
		w = rebillyDocument(c)
		o.ID, o.RequestID = rebillyDocumentID(c), c.Subject.ID
		o.DocumentType, o.DocumentSubtype = rebillyDocumentType(c), rebillySubtype(c.Document.Subtype)
		if w.status == "accepted" || w.status == "rejected" {
			o.ProcessedTime = o.UpdatedTime
		}
		b.DocumentID, b.Embedded.Document = o.ID, o
	}
	if w.event == "" {
		return nil, nil
	}
	b.EventType, o.Status = w.event, w.status
	if w.status == "rejected" || w.status == "failed" {
		reason := rebillyReason(c)
		o.Rejection = &rebillyRejection{reason, rebillyMessages[reason]}
	}
	return encode(b)
}

// rebillyRequest reads a status as the state of the one request a subject is.
func rebillyRequest(c kyc.Change) rebillyWord {
	failed := rebillyWord{"kyc-request-failed", "failed"}
	switch c.Status {
	case kyc.Approved:
		return rebillyWord{"kyc-request-fulfilled", "fulfilled"}
	case kyc.Rejected, kyc.Expired, kyc.Suspended:
		return failed
	default:
	}
	switch { // whoever holds fulfilled for permanent would not hear of an attempt
	case wasApproved(c):
		return failed
	case c.Status == kyc.InReview:
		return rebillyWord{"kyc-request-attempted", "pending-review"}
	case c.Status == kyc.Pending && c.Check.Type != "" && c.Check.Source == "": // nothing waits but a check that nobody knows of yet
		return rebillyWord{"kyc-request-partially-fulfilled", "partial"}
	case c.Status == kyc.Pending:
		return rebillyWord{"kyc-request-attempted", "attempted"}
	default: // not_started, and words that do not exist yet
		return rebillyWord{}
	}
}

// rebillyDocument has a word for every status: a document that is checked again is modified, and
// pending whoever holds it.
func rebillyDocument(c kyc.Change) rebillyWord {
	switch c.Status {
	case kyc.Approved:
		return rebillyWord{"kyc-document-accepted", "accepted"}
	case kyc.Rejected, kyc.Expired, kyc.Suspended:
		return rebillyWord{"kyc-document-rejected", "rejected"}
	default:
	}
	switch {
	case c.PreviousStatus == kyc.NotStarted || c.PreviousStatus == "":
		return rebillyWord{"kyc-document-created", "pending"}
	case c.Status == kyc.Pending:
		return rebillyWord{"kyc-document-modified", "in-progress"}
	default:
		return rebillyWord{"kyc-document-modified", "pending"}
	}
}

// rebillyDocumentID stands for the place of the document where its provider gives it no id.
func rebillyDocumentID(c kyc.Change) string {
	if c.Document.ID != "" {
		return c.Document.ID
	}
	return strings.Join([]string{c.Check.Source, c.Subject.ID, string(c.Check.Type), c.Document.Type}, ":")
}

// rebillyDocumentType never calls a document a proof of what nobody checked.
func rebillyDocumentType(c kyc.Change) string {
	switch t := c.Document.Type; t {
	case "identity-proof", "address-proof", "funds-proof", "purchase-proof", "credit-file-proof":
		return t
	}
	switch c.Check.Type {
	case kyc.DocumentVerification:
		return "identity-proof"
	case kyc.AddressVerification:
		return "address-proof"
	default:
		return ""
	}
}

var rebillySubtypes = strings.Fields(`passport id-card driver-license birth-certificate utility-bill rental-receipt lease-agreement copy-credit-card
	credit-card-statement bank-statement inheritance-documentation tax-return salary-slip sale-of-assets public-health-card proof-of-age-card reverse-of-id
	public-service ewallet-holder-details ewallet-transaction-statement marriage-certificate firearms-license insurance-letter income-statement
	debtors-letter other`)

// rebillySubtype knows the providers' words that are Rebilly's in another spelling.
func rebillySubtype(word string) string {
	word = strings.ReplaceAll(strings.ToLower(word), "_", "-")
	if !slices.Contains(rebillySubtypes, word) {
		return ""
	}
	return word
}
