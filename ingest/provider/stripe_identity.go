package provider

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
	"countersign/signing"
)

const (
	stripeName    = "stripe_identity"
	stripeVersion = 2 // beside verified, an error without code and reason is none
)

var stripeIdentity = Adapter{
	Name:      stripeName,
	Version:   stripeVersion,
	Doc:       "https://docs.stripe.com/identity/handle-verification-outcomes",
	Evidence:  kyc.Signed,
	Options:   stripeOptions,
	Scheme:    stripeScheme,
	Translate: translateStripe,
	// A session is made for one person. A related customer may be a firm with several.
	PersonRefs: []RefKind{SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.TaxIDVerification},
	Workflow:   "verification_flow",
	Events:     slices.Sorted(maps.Keys(stripeEvents)),
	Gaps: []string{
		"How long Stripe waits for an answer and which addresses it sends from are not verified.",
		"That every retry is signed afresh is not verified; if it is not, late retries need a wider tolerance.",
		"A session of type document counts as document_verification and says nothing of the selfie by itself: where nothing else identifies the person, set " +
			"check: identity_verification for the source.",
		"Thin events (object v2.core.event) are not supported: choose snapshot events for the endpoint.",
	},
	reasons: stripeReasons,
}

var stripeOptions = map[string]string{
	"account":    "acct_…: the only Connect account whose events are applied; those of another, or of none, are kept in quarantine (default any)",
	"tolerance":  "how old a signature may be, such as 10m (default 5m)",
	"metadata":   "the metadata key that holds our id where client_reference_id is empty (default none)",
	"unfinished": "rejected or pending: what a session is that the person abandoned, did not consent to or had no fit device for (default rejected)",
}

const stripeTolerance = 300 * time.Second

// stripeScheme refuses the future too, which Stripe's own libraries let pass. The key is the whole
// text of the secret, whsec_ included.
func stripeScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(stripeOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("unfinished", string(kyc.Rejected), string(kyc.Pending)); err != nil {
		return nil, err
	}
	if name, ok := o["metadata"]; ok && name == "" {
		return nil, fmt.Errorf("option metadata: %q is not a metadata key such as user_id", name)
	}
	if account, ok := o["account"]; ok && !strings.HasPrefix(account, "acct_") {
		return nil, fmt.Errorf("option account: %q is not the id of a Connect account such as acct_1032D82eZvKYlo2C", account)
	}
	tolerance, err := o.tolerance(stripeTolerance, false)
	if err != nil {
		return nil, err
	}
	return signing.Timestamped{Header: "Stripe-Signature", Tolerance: tolerance, Ahead: tolerance}, nil
}

const stripeFamily = "identity.verification_session."

// stripeEvents: each name and the session's own status beside which it is believed. The zero value
// says nothing about the status.
var stripeEvents = map[string]struct {
	status kyc.Status
	word   string
}{
	stripeFamily + "created":        {kyc.NotStarted, "requires_input"},
	stripeFamily + "processing":     {kyc.Pending, "processing"},
	stripeFamily + "verified":       {kyc.Approved, "verified"},
	stripeFamily + "requires_input": {kyc.Rejected, "requires_input"}, // the session stays open
	stripeFamily + "canceled":       {kyc.Expired, "canceled"},        // the attempt: nothing had been approved
	stripeFamily + "redacted":       {},                               // the decision outlives the data
}

// stripeChecks tells the check from the type of the session.
var stripeChecks = map[string]kyc.Check{
	"":                  kyc.IdentityVerification,
	"verification_flow": kyc.IdentityVerification,
	"document":          kyc.DocumentVerification,
	"id_number":         kyc.TaxIDVerification,
}

type stripeBody struct {
	ID       ident  `json:"id"`
	Object   string `json:"object"`
	Type     string `json:"type"`
	Created  ident  `json:"created"`
	Livemode *bool  `json:"livemode"`
	Account  string `json:"account"` // of events of connected accounts
	Data     struct {
		Object struct {
			ID              ident  `json:"id"`
			ClientReference ident  `json:"client_reference_id"`
			Metadata        object `json:"metadata"`
			Status          string `json:"status"`
			Type            string `json:"type"`
			Flow            ident  `json:"verification_flow"`
			Livemode        *bool  `json:"livemode"`
			LastError       *struct {
				Code   string         `json:"code"`
				Reason jsontext.Value `json:"reason"` // for people: only whether there is one
			} `json:"last_error"`
		} `json:"object"`
	} `json:"data"`
}

func translateStripe(_ signing.Header, body []byte, o Options) (Result, error) {
	var b stripeBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	session := &b.Data.Object
	if e := session.LastError; session.Status == "verified" && e != nil && e.Code == "" && (len(e.Reason) == 0 || e.Reason.Kind() == 'n') { // as in the vendor's own fixture
		session.LastError = nil
	}
	switch {
	case b.Object != "event": // a thin event has a type as well, and says nothing more
		return Result{}, unreadable("object", "is not a snapshot event")
	case b.Type == "":
		return Result{}, unreadable("type", "is missing")
	case b.Livemode != nil && session.Livemode != nil && *b.Livemode != *session.Livemode:
		return Result{}, unreadable("livemode", "is stated twice and differs")
	}
	var f fields
	r := Result{EventID: f.id("id", b.ID), EventType: word(b.Type), Livemode: cmp.Or(b.Livemode, session.Livemode)}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	if e, known := stripeEvents[b.Type]; !known {
		if r.Ignored = unknownEv; strings.HasPrefix(b.Type, "identity.") && (session.Status == "verified" || session.LastError != nil) {
			r.Ignored, r.Hold = "", UnknownEvent
		}
	} else if e.status == "" {
		r.Ignored = noStatus
	}
	if account, ok := o["account"]; ok && r.Ignored == "" && b.Account != account {
		r.Hold = OtherAccount
	}
	if (r.Ignored != "" || r.Hold != "") && f.err == nil {
		return r, nil
	}
	u := observe(stripeName, stripeVersion, r, f.unixSeconds("created", b.Created))
	u.Subject = kyc.Subject{ID: f.id("client_reference_id", session.ClientReference), Kind: kyc.Individual}
	if name := o["metadata"]; name != "" && u.Subject.ID == "" {
		u.Subject.ID = f.chosen("metadata", session.Metadata, name)
	}
	u.Verification = kyc.Verification{Ref: f.id("data.object.id", session.ID), Workflow: f.id("verification_flow", session.Flow)}
	if u.Subject.ID == "" && u.Verification.Ref == "" {
		f.fail("data.object.id", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	r.KeepBody = b.what(o, &u)
	r.Updates = []kyc.Update{u}
	return r, nil
}

// what fills in the check and its status, and reports a session that contradicts its event or is of
// a type we do not know: that is in review.
func (b *stripeBody) what(o Options, u *kyc.Update) (doubtful bool) {
	session, e := &b.Data.Object, stripeEvents[b.Type]
	check, known := stripeChecks[session.Type]
	if !known {
		check = kyc.IdentityVerification
	}
	u.Scope, u.Check, u.Status = kyc.Overall, check, e.status
	var codes []string
	if session.LastError != nil && session.LastError.Code != "" {
		codes = []string{session.LastError.Code}
	}
	// requires_input is the first state of a session as well as that of one that failed: the error
	// tells which.
	if session.Status != e.word || u.Status == kyc.Approved && !known || session.LastError != nil && (u.Status == kyc.Approved || u.Status == kyc.NotStarted) {
		u.Status, u.Reasons = kyc.InReview, stripeReasons.pairs(codes)
		return true
	}
	switch u.Status {
	case kyc.Rejected:
		unfinished := len(codes) > 0 && slices.Contains([]string{"abandoned", "consent_declined", "device_not_supported"}, codes[0])
		if session.LastError == nil || unfinished && o["unfinished"] == string(kyc.Pending) {
			u.Status = kyc.Pending // not not_started, which would lift what was decided before
			return false
		}
		reject(u, stripeReasons.pairs(codes), stripeReasons.hint(codes), retryable)
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryAttempt
	default: // a yes and an attempt need no reasons
	}
	return false
}

// stripeReasons is the complete list of error codes.
var stripeReasons = newReasons(
	means(kyc.FraudSuspected, terminal,
		"selfie_manipulated",
	),
	means(kyc.Underage, terminal,
		"under_supported_age",
	),
	means(kyc.UnsupportedCountry, terminal,
		"country_not_supported",
	),
	means(kyc.LivenessFailed, retryable,
		"selfie_face_mismatch", "selfie_unverified_other",
	),
	means(kyc.DataMismatch, retryable,
		"id_number_insufficient_document_data", "id_number_mismatch", "id_number_unverified_other",
	),
	means(kyc.DocumentExpired, retryable,
		"document_expired",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"document_type_not_allowed", "document_type_not_supported", "selfie_document_missing_photo",
	),
	means(kyc.DocumentUnreadable, retryable,
		"document_unverified_other",
	),
	means(kyc.ConsentDeclined, retryable,
		"abandoned", "consent_declined",
	),
	means(kyc.TechnicalFailure, retryable,
		"device_not_supported",
	),
	means(kyc.OtherReason, retryable,
		"email_unverified_other", "email_verification_declined", "phone_unverified_other", "phone_verification_declined",
	),
)
