package provider

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	diditName    = "didit"
	diditVersion = 2 // test mode, and the event's id
)

var didit = Adapter{
	Name:      diditName,
	Version:   diditVersion,
	Doc:       "https://docs.didit.me/integration/webhooks",
	Evidence:  kyc.Signed,
	Options:   diditOptions,
	Scheme:    diditScheme,
	Translate: translateDidit,
	// A session is made for one person or firm. There is no other name of theirs than our own.
	PersonRefs: []RefKind{SessionRef},
	Headers:    []string{diditTest},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.BusinessVerification},
	Workflow:   "workflow_id",
	Events:     slices.Sorted(maps.Keys(diditEvents)),
	Gaps: []string{
		"How long Didit waits for an answer, when it tries again and how a secret is replaced are not verified.",
		"Whether a retry repeats the timestamp in its body is not verified. If it does not, the repeat of an older callback counts as newer than what was said meanwhile.",
		"Without a timestamp an approval or an attempt counts from the start of its session; what takes an approval away counts from its arrival.",
		"X-Timestamp is checked, but nothing signs it: a captured callback can be sent again under a fresh one, and is then dropped as a duplicate.",
		"X-Signature-V2 and X-Signature-Simple prove nothing here: the first is written in two ways, the second leaves out the decision.",
		"The statuses Expired and KYC Expired are known from clients in use, not from Didit's page.",
		"The list of warnings is not complete, and hits in lists of persons are not told apart: a session declined for one is rejected for the reason other, retryable.",
		"Events about users and businesses are read in the envelope of sessions. Didit describes another one for them as well, with event and data: it is kept in quarantine.",
		"That a user is ACTIVE again is not passed on: an operator releases a block, and a flag lasts until a newer session has an outcome.",
		"Older versions of the envelope have neither event_id nor environment: then a test workflow is a source of its own.",
		"How the console marks its tests, test_webhook in metadata and the header X-Didit-Test-Webhook, is known from receivers in use. The mark in the body is believed; the header, which is not signed, makes it test mode.",
	},
	reasons: diditReasons,
}

var diditOptions = map[string]string{
	"tolerance": "how far X-Timestamp may be from our clock, either way, such as 10m (default 5m)",
}

func diditScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(diditOptions); err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance(300*time.Second, false)
	if err != nil {
		return nil, err
	}
	return diditHMAC{tolerance}, nil
}

// diditBodyHMAC is what is signed: the body alone, not the time beside it.
var diditBodyHMAC = signing.BodyHMAC{Header: "X-Signature", Hash: signing.SHA256, Encoding: signing.Hex}

const (
	diditTime = "X-Timestamp"
	diditTest = "X-Didit-Test-Webhook" // true where somebody has pressed the console's button; nothing proves it
)

// diditHMAC is an HMAC of the body beside a time that must be there and fresh, though nothing proves it.
type diditHMAC struct{ Tolerance time.Duration }

// Sign sets the signature and the time.
func (s diditHMAC) Sign(h signing.Header, m signing.Message, keys signing.Keyring) error {
	if m.Time.Unix() <= 0 {
		return errors.New("message has no usable time")
	}
	h.Set(diditTime, strconv.FormatInt(m.Time.Unix(), 10))
	return diditBodyHMAC.Sign(h, m, keys)
}

// Verify accepts a body that the signature fits, if the time beside it is within the tolerance.
func (s diditHMAC) Verify(h signing.Header, body []byte, keys signing.Keyring, now time.Time) error {
	if err := diditBodyHMAC.Verify(h, body, keys, now); err != nil {
		return err
	}
	v := h.Values(diditTime)
	switch {
	case len(v) == 0:
		return fmt.Errorf("%w: there is no %s", signing.ErrMissing, diditTime)
	case len(v) > 1:
		return fmt.Errorf("%w: %s stands %d times", signing.ErrMalformed, diditTime, len(v))
	}
	at, err := strconv.ParseUint(v[0], 10, 40)
	if err != nil {
		return fmt.Errorf("%w: %s is not unix seconds", signing.ErrMalformed, diditTime)
	}
	if age := now.Unix() - int64(at); max(age, -age) > int64(s.Tolerance/time.Second) {
		return fmt.Errorf("%w: %s", signing.ErrStale, diditTime)
	}
	return nil
}

// Unwrap is the scheme that explains itself to a person.
func (s diditHMAC) Unwrap() signing.Scheme { return diditBodyHMAC }

// diditAbout is what an event is about. The zero value says nothing about the status.
type diditAbout byte

const (
	diditNothing diditAbout = iota
	diditSession
	diditUser
)

var diditEvents = map[string]diditAbout{
	"status.updated":          diditSession,
	"data.updated":            diditNothing, // repeats the status, which is no news
	"user.status.updated":     diditUser,
	"user.data.updated":       diditNothing,
	"business.status.updated": diditUser,
	"business.data.updated":   diditNothing,
}

// diditFamilies are events about other things.
var diditFamilies = []string{"transaction.", "business."}

// diditStatuses are the words of a session.
var diditStatuses = map[string]struct {
	status kyc.Status
	expiry kyc.ExpiryKind
}{
	"Not Started": {status: kyc.NotStarted},
	"In Progress": {status: kyc.Pending},
	"Resubmitted": {status: kyc.Pending},
	"Approved":    {status: kyc.Approved},
	"Declined":    {status: kyc.Rejected},
	"In Review":   {status: kyc.InReview},
	"Abandoned":   {status: kyc.Expired, expiry: kyc.ExpiryAttempt},
	"Expired":     {status: kyc.Expired, expiry: kyc.ExpiryAttempt},
	"KYC Expired": {status: kyc.Expired, expiry: kyc.ExpiryValidity}, // an approval that ran out
}

type diditBody struct {
	EventID     ident                       `json:"event_id"` // absent from older versions of the envelope
	Environment string                      `json:"environment"`
	Type        string                      `json:"webhook_type"`
	SessionID   ident                       `json:"session_id"`
	BusinessID  ident                       `json:"business_session_id"` // instead, of a session about a firm
	Kind        string                      `json:"session_kind"`
	Status      string                      `json:"status"`
	CreatedAt   ident                       `json:"created_at"` // of the session
	Timestamp   ident                       `json:"timestamp"`
	WorkflowID  ident                       `json:"workflow_id"`
	VendorData  ident                       `json:"vendor_data"`
	Metadata    raw[diditMeta]              `json:"metadata"` // the customer's own, beside a mark of the console's
	Decision    map[string]raw[[]diditPart] `json:"decision"` // full of personal data: only its status and the codes of its warnings are read
}

// diditMeta is what the console's button writes into the metadata of its example.
type diditMeta struct {
	Test bool `json:"test_webhook"`
}

func translateDidit(h signing.Header, body []byte, _ Options) (Result, error) {
	var b diditBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" {
		return Result{}, unreadable("webhook_type", "is missing")
	}
	about, known := diditEvents[b.Type]
	var f fields
	r := Result{EventID: f.id("event_id", b.EventID), EventType: word(b.Type), Livemode: b.live(h), Dedupe: b.dedupe()}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	if f.err != nil {
		return Result{}, f.err
	}
	meta, _ := b.Metadata.read()
	switch {
	case meta.Test:
		r.Ignored = testEv
	case !known && !slices.ContainsFunc(diditFamilies, func(p string) bool { return strings.HasPrefix(b.Type, p) }):
		r.Ignored = unknownEv
	case about == diditNothing, b.Status == "", about == diditUser && b.Status == "ACTIVE":
		r.Ignored = noStatus
	}
	if r.Ignored != "" {
		return r, nil
	}
	u := observe(diditName, diditVersion, r, f.unixSeconds("timestamp", cmp.Or(b.time(), b.CreatedAt)))
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	u.Subject = kyc.Subject{ID: f.id("vendor_data", b.VendorData), Kind: kyc.Individual}
	if b.Kind == "business" || b.BusinessID != "" || strings.HasPrefix(b.Type, "business.") {
		u.Subject.Kind, u.Check = kyc.Company, kyc.BusinessVerification
	}
	u.Verification = kyc.Verification{Ref: f.id("session_id", b.session()), Workflow: f.id("workflow_id", b.WorkflowID)}
	if u.Subject.ID == "" && u.Verification.Ref == "" {
		f.fail("session_id", "is missing")
	}
	if about == diditUser {
		r.KeepBody = b.user(&u)
	} else {
		r.KeepBody = b.outcome(&u, &f)
	}
	if b.time() == "" && (u.Status == kyc.Rejected || u.Status == kyc.InReview || u.Status == kyc.Suspended || u.ExpiryKind == kyc.ExpiryValidity) {
		u.OccurredAt, u.OccurredAtOrigin = time.Time{}, kyc.OriginReceived // created_at is older than anything the session has said: a no would come too late
	}
	if f.err != nil {
		return Result{}, f.err
	}
	r.Updates = []kyc.Update{u}
	return r, nil
}

// session is the id of the session, under the name that its kind has.
func (b *diditBody) session() ident { return cmp.Or(b.SessionID, b.BusinessID) }

// time is when the event happened, in seconds; zero is none.
func (b *diditBody) time() ident {
	if b.Timestamp == "0" {
		return ""
	}
	return b.Timestamp
}

// live is the mode that the body or the header of a test says. The header is not signed: it only sets a callback aside.
func (b *diditBody) live(h signing.Header) *bool {
	var header *bool
	if slices.Contains(h.Values(diditTest), "true") {
		header = new(false)
	}
	return marked(header, mode(b.Environment))
}

// dedupe is the tuple of an envelope without an id. Without a time, events that differ would look the same.
func (b *diditBody) dedupe() []string {
	who := cmp.Or(b.session(), b.VendorData)
	if who == "" || b.time() == "" {
		return nil
	}
	return []string{string(who), b.Type, b.Status, string(b.Timestamp)}
}

// user fills in what the customer's own list of users says: it can take away and never grants. Each of its words is a session of its own: together they would be
// as old as the first of them, and a later one would hide behind a newer approval.
func (b *diditBody) user(u *kyc.Update) (doubtful bool) {
	u.Status = kyc.InReview
	if at := b.time(); at != "" {
		u.Verification.ParentRef = b.Type + "@" + string(at)
	}
	if b.Status == "BLOCKED" {
		u.Status = kyc.Suspended
	}
	return b.Status != "BLOCKED" && b.Status != "FLAGGED"
}

// outcome fills in the status, and reports a word that is unknown or that the decision beside it contradicts.
func (b *diditBody) outcome(u *kyc.Update, f *fields) (doubtful bool) {
	e, known := diditStatuses[b.Status]
	decided, ok := raw[*string](b.Decision["status"]).read()
	if !ok {
		f.fail("decision.status", "has an unexpected type")
	}
	codes := b.warnings()
	u.Status, u.ExpiryKind = e.status, e.expiry
	if doubtful = !known || decided != nil && *decided != b.Status; doubtful {
		u.Status, u.ExpiryKind = kyc.InReview, ""
	}
	switch u.Status {
	case kyc.Rejected:
		reject(u, diditReasons.pairs(codes), diditReasons.hint(codes), retryable)
	case kyc.InReview:
		u.Reasons = diditReasons.pairs(codes)
	default: // a yes and an attempt need no reasons
	}
	return doubtful
}

// diditPart is one step of a decision.
type diditPart struct {
	Warnings []struct {
		Risk string `json:"risk"`
	} `json:"warnings"`
}

// warnings lists the codes of every step of the decision. A step stands alone or in a list, by the version of the account; whatever else stands in a
// decision is not a step.
func (b *diditBody) warnings() (codes []string) {
	for _, name := range slices.Sorted(maps.Keys(b.Decision)) {
		parts, _ := b.Decision[name].read()
		if part, ok := raw[diditPart](b.Decision[name]).read(); ok {
			parts = []diditPart{part}
		}
		for _, p := range parts {
			for _, w := range p.Warnings {
				if w.Risk != "" {
					codes = append(codes, w.Risk)
				}
			}
		}
	}
	return codes
}

// diditReasons are the warnings seen so far.
var diditReasons = newReasons(
	means(kyc.FraudSuspected, terminal,
		"ID_DOCUMENT_IN_BLOCKLIST",
	),
	means(kyc.Underage, terminal,
		"MINIMUM_AGE_NOT_MET",
	),
	means(kyc.DuplicateAccount, undecided,
		"POSSIBLE_DUPLICATED_USER",
	),
	means(kyc.DataMismatch, retryable,
		"DATA_INCONSISTENT", "MRZ_VALIDATION_FAILED",
	),
	means(kyc.DocumentExpired, retryable,
		"DOCUMENT_EXPIRED",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"DOCUMENT_NOT_SUPPORTED_FOR_APPLICATION",
	),
	means(kyc.DocumentUnreadable, retryable,
		"BARCODE_NOT_DETECTED", "MRZ_NOT_DETECTED", "PORTRAIT_IMAGE_NOT_DETECTED", "QR_NOT_DETECTED",
	),
)
