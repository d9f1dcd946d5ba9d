package provider

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	complycubeName    = "complycube"
	complycubeVersion = 2 // workflow.session.updated
)

var complycube = Adapter{
	Name:      complycubeName,
	Version:   complycubeVersion,
	Doc:       "https://docs.complycube.com",
	Evidence:  kyc.Signed,
	Scheme:    complycubeScheme,
	Translate: translateComplycube,
	// A client is one person or firm, and a check or session is made for one client.
	PersonRefs: []RefKind{SubjectRef, SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.Liveness, kyc.AddressVerification, kyc.Screening},
	Events:     slices.Sorted(maps.Keys(complycubeEvents)),
	Gaps: []string{
		"Events about checks name the client only, and events about clients, which carry our id, are ignored: register a submission that maps the client to our id.",
		"What a check found stands in the API only: a rejection has reason other, and a confirmed match counts as one of the sanctions lists.",
		"How a secret is replaced and which addresses ComplyCube sends from are not verified, nor is the order of events.",
		"Checks are steps: only workflow.session.completed and workflow.session.updated decide identity_verification as a whole. A policy that requires other checks is decided by its steps.",
		"The bodies of those two are not verified. Without an outcome they are ignored, and so is a completed or updated check. Sessions that are cancelled or abandoned are ignored as well.",
		"Checks of a type that is none of ours (email, device, custom …) are ignored, unless a match on a list was confirmed.",
		"Events about checks under other names, such as check.complete of older versions, are read by their outcome and approve nobody.",
		"A body does not name test mode or whether a client is a firm: a test account is a source of its own, and every subject is an individual.",
	},
	reasons: complycubeReasons,
}

func complycubeScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(nil); err != nil {
		return nil, err
	}
	return signing.BodyHMAC{Header: "ComplyCube-Signature", Hash: signing.SHA256, Encoding: signing.Hex}, nil
}

// complycubeEvent is what an event's name says. The zero value says nothing about the status.
type complycubeEvent struct {
	status    kyc.Status
	byOutcome bool   // the outcome is the status
	outcome   string // which it must then be
	workflow  bool   // about the person as a whole
	monitor   bool   // a check of lists, whatever its type
	unknown   bool   // of a check, but a name we do not know: it approves nobody
}

// complycubeEvents: a completed check comes under its general and its special name, to whoever
// chose both.
var complycubeEvents = map[string]complycubeEvent{
	"check.pending":                   {status: kyc.Pending},
	"check.completed":                 {byOutcome: true},
	"check.completed.clear":           {byOutcome: true, outcome: "clear"},
	"check.completed.attention":       {byOutcome: true, outcome: "attention"},
	"check.completed.rejected":        {byOutcome: true, outcome: "rejected"},
	"check.completed.match_confirmed": {byOutcome: true, outcome: complycubeMatch},
	"check.updated":                   {byOutcome: true},
	"check.monitoring.attention":      {status: kyc.InReview, monitor: true},
	"check.failed":                    {status: kyc.InReview}, // technically: it says nothing about the person
	"workflow.session.completed":      {byOutcome: true, workflow: true},
	"workflow.session.updated":        {byOutcome: true, workflow: true}, // its outcome was

	"workflow.session.started":        {},
	"workflow.session.processing":     {},
	"workflow.session.cancelled":      {},
	"workflow.session.abandoned":      {},
	"client.created":                  {},
	"client.updated":                  {},
	"client.deleted":                  {},
	"document.created":                {},
	"document.updated":                {},
	"document.updated.image_uploaded": {},
	"document.updated.image_deleted":  {},
	"document.deleted":                {},
	"address.created":                 {},
	"address.updated":                 {},
	"address.deleted":                 {},
}

// complycubeFamilies are events about other objects.
var complycubeFamilies = []string{"client.", "document.", "address."}

const complycubeMatch = "match_confirmed"

// complycubeOutcomes are the words a check may end with.
var complycubeOutcomes = map[string]kyc.Status{
	"clear": kyc.Approved, "attention": kyc.InReview, "rejected": kyc.Rejected, complycubeMatch: kyc.Rejected,
}

var complycubeChecks = map[string]kyc.Check{
	"standard_screening_check":  kyc.Screening,
	"extensive_screening_check": kyc.Screening,
	"document_check":            kyc.DocumentVerification,
	"identity_check":            kyc.Liveness,
	"enhanced_identity_check":   kyc.Liveness,
	"proof_of_address_check":    kyc.AddressVerification,
	"multi_bureau_check":        kyc.IdentityVerification,
}

type complycubeBody struct {
	ID        ident  `json:"id"`
	Type      string `json:"type"`
	CreatedAt string `json:"createdAt"`
	Payload   struct {
		ID       ident  `json:"id"`
		ClientID ident  `json:"clientId"`
		Type     string `json:"type"`
		Status   string `json:"status"`
		Outcome  string `json:"outcome"`

		Result raw[struct {
			Outcome string `json:"outcome"`
		}] `json:"result"` // where the API has it: https://docs.complycube.com/api-reference/checks
	} `json:"payload"`
}

func translateComplycube(_ signing.Header, body []byte, _ Options) (Result, error) {
	var b complycubeBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" {
		return Result{}, unreadable("type", "is missing")
	}
	result, _ := b.Payload.Result.read()
	differ := b.Payload.Outcome != "" && result.Outcome != "" && b.Payload.Outcome != result.Outcome
	b.Payload.Outcome = cmp.Or(b.Payload.Outcome, result.Outcome)
	var f fields
	r := Result{EventID: f.id("id", b.ID), EventType: word(b.Type)}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID, b.Type}
	}
	e, known := complycubeEvents[b.Type]
	if !known && r.EventType != "" && strings.HasPrefix(b.Type, "check.") {
		e, known = complycubeEvent{byOutcome: true, unknown: true}, true
	}
	check, ignored := b.check(e, known)
	r.Ignored = ignored
	if _, named := complycubeEvents[b.Type]; !named && (ignored == unknownEv || ignored == noStatus) && b.Payload.Outcome != "" {
		r.Ignored, r.Hold = "", UnknownEvent
	}
	if (r.Ignored != "" || r.Hold != "") && f.err == nil {
		return r, nil
	}
	u := observe(complycubeName, complycubeVersion, r, f.time("createdAt", b.CreatedAt, time.Millisecond, time.RFC3339))
	u.Scope, u.Check = kyc.CheckScope, check
	if e.workflow {
		u.Scope = kyc.Overall
	}
	u.Subject = kyc.Subject{ProviderRef: f.id("payload.clientId", b.Payload.ClientID), Kind: kyc.Individual}
	u.Verification.Ref = f.id("payload.id", b.Payload.ID)
	if u.Subject.ProviderRef == "" && u.Verification.Ref == "" {
		f.fail("payload.clientId", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if r.KeepBody = b.what(e, &u); differ {
		doubted(&u)
		r.KeepBody = true
	}
	r.Updates = []kyc.Update{u}
	return r, nil
}

// check says which check an event is about, or why it is ignored.
func (b *complycubeBody) check(e complycubeEvent, known bool) (check kyc.Check, ignored string) {
	check, kind := complycubeChecks[b.Payload.Type]
	switch {
	case !known && !slices.ContainsFunc(complycubeFamilies, func(p string) bool { return strings.HasPrefix(b.Type, p) }):
		return "", unknownEv
	case e.status == "" && !e.byOutcome, e.byOutcome && b.Payload.Outcome == "" && e.outcome == "":
		return "", noStatus
	case e.workflow:
		return kyc.IdentityVerification, ""
	case e.monitor, !kind && (e.outcome == complycubeMatch || b.Payload.Outcome == complycubeMatch): // only lists have matches
		return kyc.Screening, ""
	case !kind:
		return "", otherKind
	}
	return check, ""
}

// what fills in the status, and reports an outcome that is unknown or that contradicts the event or
// the check's own status: that is in review.
func (b *complycubeBody) what(e complycubeEvent, u *kyc.Update) (doubtful bool) {
	u.Status = e.status
	outcome := b.Payload.Outcome
	if e.byOutcome {
		if outcome == "" {
			outcome = e.outcome // the name has said it
		}
		status, known := complycubeOutcomes[outcome]
		unfinished := b.Payload.Status != "" && b.Payload.Status != "complete" && b.Payload.Status != "completed"
		u.Status, doubtful = status, !known || e.outcome != "" && outcome != e.outcome || status == kyc.Approved && (unfinished || e.unknown)
	}
	if doubtful {
		u.Status = kyc.InReview
	}
	if b.Type == "check.failed" {
		u.Reasons = []kyc.ReasonPair{{Code: kyc.TechnicalFailure}}
	}
	if u.Status != kyc.Rejected {
		return doubtful
	}
	var codes []string
	if outcome == complycubeMatch {
		codes = []string{outcome}
	}
	fallback := retryable
	if u.Check == kyc.Screening {
		fallback = terminal
	}
	reject(u, complycubeReasons.pairs(codes), complycubeReasons.hint(codes), fallback)
	return false
}

// complycubeReasons: which list it was, the API knows. The gravest is assumed.
var complycubeReasons = newReasons(
	means(kyc.SanctionsMatch, terminal,
		complycubeMatch,
	),
)
