package provider

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	rebillyName    = "rebilly"
	rebillyVersion = 3 // a document that is decided as it is created, a request that waits or has lapsed
)

var rebilly = Adapter{
	Name:      rebillyName,
	Version:   rebillyVersion,
	Doc:       "https://www.rebilly.com/docs/dev-docs/webhooks-configuration",
	Evidence:  kyc.Authenticated, // a password in a header; nothing covers the body but TLS
	Options:   rebillyOptions,
	Scheme:    rebillyScheme,
	Translate: translateRebilly,
	// A customer is one person; documents and requests belong to one customer.
	PersonRefs: []RefKind{SubjectRef, SessionRef, ParentRef},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.AddressVerification},
	Steps:      []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.AddressVerification, kyc.RiskAssessment},
	Events:     slices.Sorted(maps.Keys(rebillyEvents)),
	API:        &rebillyAPI,
	Gaps: []string{
		"There is no signature: a password or a static header proves the sender. HTTP digest authentication is not supported.",
		"The schedule of retries, the time limit and the addresses that Rebilly calls from are not verified.",
		"The body must be the default one, sent by POST; both can be configured at Rebilly.",
		"No event says that a request expired, was abandoned or waits for review, unless an earlier one brings that status: its deadline comes with those.",
		"An accepted credit-file-proof proves identity and address to Rebilly; it is told as a document that verifies the identity, and the request that it fulfils as fulfilled.",
		"experian-check-performed is ignored, whatever its outcome: it decides no document and no request.",
		"A possible match on an AML list cannot be asked for again, and has neither an id nor a time: a second one in the same bytes counts once.",
		"API: whether an answer embeds the customer is not verified; where our id stands in a custom field, the customer's id leads to it.",
	},
	reasons: rebillyReasons,
}

var rebillyOptions = map[string]string{
	"auth":    "basic (the key is user:password) or header (the key is the value of a static header) (default basic)",
	"header":  "with auth: header, the name of that header, such as X-Countersign-Token",
	"subject": "where our id stands: customer_id, custom_field.NAME or a JSON pointer such as /_embedded/customer/id (default custom_field.externalId)",
}

const rebillySubject = "custom_field.externalId"

func rebillyScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(rebillyOptions); err != nil {
		return nil, err
	}
	auth, err := o.oneOf("auth", "basic", "header")
	if err != nil {
		return nil, err
	}
	if name, ok := strings.CutPrefix(o["subject"], "custom_field."); o["subject"] != "" && o["subject"] != "customer_id" &&
		(!ok || name == "") && !strings.HasPrefix(o["subject"], "/") {
		return nil, fmt.Errorf("option subject: %q is not customer_id, custom_field.NAME or a JSON pointer that begins with /", o["subject"])
	}
	header := o["header"]
	switch {
	case auth == "basic" && header != "":
		return nil, errors.New("option header: basic authentication has its own header; remove it, or set auth: header")
	case auth == "basic":
		return signing.Static{Header: "Authorization", Scheme: signing.Basic}, nil
	case header == "" || strings.ContainsFunc(header, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') }):
		return nil, errors.New("option header: auth: header needs the name of a header, such as X-Countersign-Token")
	}
	return signing.Static{Header: header, Scheme: signing.Raw}, nil
}

// rebillyEvent is what an event's name says. The zero value says nothing about the status.
type rebillyEvent struct {
	about    rebillyAbout
	status   kyc.Status
	word     string // the only status word beside which the event is believed
	byStatus bool   // the document's own status is the status, where it has one
	open     bool   // the request may wait for a person, or have lapsed, by its own status
}

// rebillyAbout is the kind of object an event is about.
type rebillyAbout byte

const (
	rebillyDocument rebillyAbout = iota
	rebillyRequest
	rebillyAML
)

// rebillyEvents: there is no event for a request that expires, is abandoned or waits for review,
// and the global list has 120 names that are not ours.
var rebillyEvents = map[string]rebillyEvent{
	"kyc-document-created":  {status: kyc.Pending, byStatus: true}, // a credit-file-proof may be accepted at once
	"kyc-document-modified": {byStatus: true},
	"kyc-document-accepted": {status: kyc.Approved, word: "accepted"},
	"kyc-document-rejected": {status: kyc.Rejected, word: "rejected"},
	"kyc-document-reviewed": {byStatus: true}, // reviewed is not accepted
	"kyc-document-archived": {},               // replaced by a newer one

	"kyc-request-attempted":           {about: rebillyRequest, status: kyc.Pending, open: true},
	"kyc-request-partially-fulfilled": {about: rebillyRequest, status: kyc.Pending, open: true},
	"kyc-request-fulfilled":           {about: rebillyRequest, status: kyc.Approved, word: "fulfilled"},
	"kyc-request-failed":              {about: rebillyRequest, status: kyc.Rejected, word: "failed"},

	"aml-list-possibly-matched": {about: rebillyAML, status: kyc.InReview},
	"experian-check-performed":  {},
	"risk-score-changed":        {},
}

// rebillyStatuses are the words a document or request may have for its status.
var rebillyStatuses = map[rebillyAbout][]string{
	rebillyDocument: {"pending", "in-progress", "accepted", "rejected", "archived"},
	rebillyRequest:  {"gathering", "attempted", "partial", "pending-review", "fulfilled", "failed", "abandoned", "expired"},
}

var rebillyChecks = map[string]kyc.Check{
	"identity-proof":    kyc.DocumentVerification,
	"address-proof":     kyc.AddressVerification,
	"funds-proof":       kyc.RiskAssessment,
	"purchase-proof":    kyc.RiskAssessment,
	"credit-file-proof": kyc.IdentityVerification,
}

// rebillyObject is the part that documents and requests share, and what only documents have.
type rebillyObject struct {
	ID            ident        `json:"id"`
	CustomerID    ident        `json:"customerId"`
	Status        string       `json:"status"`
	Revision      ident        `json:"revision"`
	ProcessedTime string       `json:"processedTime"`
	ReviewTime    string       `json:"reviewTime"`
	UpdatedTime   string       `json:"updatedTime"`
	RequestID     ident        `json:"requestId"`
	Deadline      string       `json:"expirationTime"` // of a request
	Type          string       `json:"documentType"`
	Subtype       string       `json:"documentSubtype"`
	Documents     []rebillyAsk `json:"documents"` // of a request: what it asks for
	Rejection     struct {
		Type string `json:"type"` // its message is for people: never read
	} `json:"rejectionReason"`
}

type rebillyAsk struct {
	Type string `json:"type"`
}

type rebillyBody struct {
	EventType  string `json:"eventType"`
	CustomerID ident  `json:"customerId"`
	DocumentID ident  `json:"kycDocumentId"`
	RequestID  ident  `json:"kycRequestId"`
	Embedded   struct {
		Customer struct {
			ID           ident  `json:"id"`
			CustomFields object `json:"customFields"` // an object; a customer without any may have an empty list
		} `json:"customer"`
		Document rebillyObject `json:"kycDocument"`
		Request  rebillyObject `json:"kycRequest"`
	} `json:"_embedded"`
}

func translateRebilly(_ signing.Header, body []byte, o Options) (Result, error) {
	var b rebillyBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.EventType == "" {
		return Result{}, unreadable("eventType", "is missing")
	}
	e, known := rebillyEvents[b.EventType]
	object := b.object(e)
	r := Result{EventType: word(b.EventType), Dedupe: b.dedupe(e)}
	switch {
	case !known && b.decides():
		r.Hold = UnknownEvent
	case !known:
		r.Ignored = unknownEv
	case e.status == "" && (!e.byStatus || object.Status == ""), e.byStatus && object.Status == "archived":
		r.Ignored = noStatus
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	var f fields
	u := observe(rebillyName, rebillyVersion, r, object.occurred(e, &f))
	u.ProviderEvent.Revision = f.count("revision", object.Revision)
	b.who(e, body, o, &u, &f)
	if f.err != nil {
		return Result{}, f.err
	}
	r.KeepBody = object.what(e, &u)
	if err := object.deadline(e, &u); err != nil {
		return Result{}, err
	}
	if u.Status != kyc.Pending && e.about != rebillyAML {
		r.Fetch = []Fetch{{Ref: u.Verification.Ref, What: rebillyAsked[e.about], Confirms: true}}
	}
	r.Updates = append([]kyc.Update{u}, object.instantly(u)...)
	return r, nil
}

// instantly is what a fulfilled request says of documents that were asked for and never handed in:
// a credit file that proves identity and address is tried first, and fulfils the request at once.
func (d *rebillyObject) instantly(u kyc.Update) (us []kyc.Update) {
	asks := func(typ string) bool { return slices.Contains(d.Documents, rebillyAsk{typ}) }
	if d.Status != "fulfilled" || u.Status != kyc.Approved || !asks("credit-file-proof") {
		return nil
	}
	for _, typ := range []string{"identity-proof", "address-proof"} {
		if asks(typ) {
			u.Check = rebillyChecks[typ]
			us = append(us, u)
		}
	}
	return us
}

func (b *rebillyBody) object(e rebillyEvent) *rebillyObject {
	switch e.about {
	case rebillyRequest:
		return &b.Embedded.Request
	case rebillyAML:
		return &rebillyObject{}
	default:
		return &b.Embedded.Document
	}
}

// decides reports a document or a request that is decided, whatever the event.
func (b *rebillyBody) decides() bool {
	return slices.Contains([]string{"accepted", "rejected"}, b.Embedded.Document.Status) || slices.Contains([]string{"fulfilled", "failed"}, b.Embedded.Request.Status)
}

// dedupe is the revision of the object, which exists for this. Without it (a body without
// _embedded, or another object) the digest of the body serves.
func (b *rebillyBody) dedupe(e rebillyEvent) []string {
	object := b.object(e)
	id := cmp.Or(b.DocumentID, object.ID)
	if e.about == rebillyRequest {
		id = cmp.Or(b.RequestID, object.ID)
	}
	if id == "" || object.Revision == "" {
		return nil
	}
	return []string{b.EventType, string(id), string(object.Revision)}
}

// occurred reads the object's time, for the event has none. A later revision may repeat the time of
// processing: then the revision orders. Whole seconds.
func (d *rebillyObject) occurred(e rebillyEvent, f *fields) time.Time {
	if e.about == rebillyDocument {
		if at := f.time("processedTime", d.ProcessedTime, time.Second, time.RFC3339); !at.IsZero() {
			return at
		}
		if at := f.time("reviewTime", d.ReviewTime, time.Second, time.RFC3339); !at.IsZero() {
			return at
		}
	}
	return f.time("updatedTime", d.UpdatedTime, time.Second, time.RFC3339)
}

// who fills in the subject, the session and the document. A request is its own parent, so that it
// shares a session with the documents it asked for.
func (b *rebillyBody) who(e rebillyEvent, body []byte, o Options, u *kyc.Update, f *fields) {
	object := b.object(e)
	customer := f.same("customerId", b.CustomerID, b.Embedded.Customer.ID, object.CustomerID)
	u.Subject = kyc.Subject{ID: b.subject(customer, body, o, f), ProviderRef: customer, Kind: kyc.Individual}
	if u.Subject.ID == "" && customer == "" {
		f.fail("customerId", "is missing")
	}
	switch e.about {
	case rebillyDocument:
		id := f.same("kycDocumentId", b.DocumentID, object.ID)
		if id == "" {
			f.fail("kycDocumentId", "is missing")
		}
		u.Verification = kyc.Verification{Ref: id, ParentRef: f.id("requestId", object.RequestID)}
		u.Document = kyc.Document{ID: id, Type: word(object.Type), Subtype: word(object.Subtype)}
	case rebillyRequest:
		id := f.same("kycRequestId", b.RequestID, object.ID)
		if id == "" {
			f.fail("kycRequestId", "is missing")
		}
		u.Verification = kyc.Verification{Ref: id, ParentRef: id}
	default:
	}
}

// subject finds our own id where the source says it stands.
func (b *rebillyBody) subject(customer string, body []byte, o Options, f *fields) string {
	where := o["subject"]
	if where == "" {
		where = rebillySubject
	}
	if where == "customer_id" {
		return customer
	}
	if name, ok := strings.CutPrefix(where, "custom_field."); ok {
		return f.chosen("customFields", b.Embedded.Customer.CustomFields, name)
	}
	names := strings.Split(strings.TrimPrefix(where, "/"), "/") // of objects, from the outermost
	for i := range names {
		names[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(names[i])
	}
	return f.chosen("subject", object{unmarked(body)}, names...)
}

// what fills in the check and its status, and reports a word that is unknown or contradicts the
// event: that is in review.
func (d *rebillyObject) what(e rebillyEvent, u *kyc.Update) (doubtful bool) {
	u.Status = e.status
	switch e.about {
	case rebillyDocument:
		u.Scope, u.Check = kyc.DocumentScope, kyc.DocumentVerification
		if c, ok := rebillyChecks[d.Type]; ok {
			u.Check = c
		}
	case rebillyRequest:
		u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	case rebillyAML:
		u.Scope, u.Check = kyc.CheckScope, kyc.Screening
		u.Reasons = []kyc.ReasonPair{{Code: kyc.OtherReason}} // which list it was does not come with it
	}
	known := rebillyStatuses[e.about]
	if d.Status != "" && (!slices.Contains(known, d.Status) || e.word != "" && d.Status != e.word) {
		u.Status = kyc.InReview
		return true
	}
	switch {
	case e.byStatus && d.Status != "":
		u.Status = d.status()
	case e.open && rebillyRequests[d.Status] == kyc.Expired:
		u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryAttempt
	case e.open && rebillyRequests[d.Status] == kyc.InReview:
		u.Status = kyc.InReview
	}
	if u.Status != kyc.Rejected {
		return false
	}
	if e.about == rebillyRequest {
		reject(u, []kyc.ReasonPair{{Code: kyc.AttemptsExceeded}}, terminal) // of this request: a new one may be made
		return false
	}
	var codes []string
	if d.Rejection.Type != "" {
		codes = []string{d.Rejection.Type}
	}
	reject(u, rebillyReasons.pairs(codes), rebillyReasons.hint(codes), retryable)
	return false
}

// rebillyReasons is the complete list of rejection reasons.
var rebillyReasons = newReasons(
	means(kyc.FraudSuspected, terminal,
		"tampered-document",
	),
	means(kyc.Underage, terminal,
		"underage-person",
	),
	means(kyc.DuplicateAccount, retryable,
		"document-duplicate",
	),
	means(kyc.DataMismatch, retryable,
		"dob-mismatch", "document-not-matching", "old-address-on-id", "third-party-or-mismatch",
	),
	means(kyc.NameMismatch, retryable,
		"name-and-dob-mismatch", "name-mismatch",
	),
	means(kyc.DocumentExpired, retryable,
		"document-expired", "document-was-valid-but-expired",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"document-invalid", "subtype-missing",
	),
	means(kyc.DocumentUnreadable, retryable,
		"critical-info-missing", "document-not-open", "document-unreadable", "expiration-date-missing", "issue-date-missing",
	),
	means(kyc.OtherReason, retryable,
		"other",
	),
)
