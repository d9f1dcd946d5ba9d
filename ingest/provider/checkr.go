package provider

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
	"countersign/signing"
)

const (
	checkrName    = "checkr"
	checkrVersion = 2 // adverse action on a candidate, canceled screenings, assessments
)

var checkr = Adapter{
	Name:      checkrName,
	Version:   checkrVersion,
	Doc:       "https://docs.checkr.com/#section/Webhooks",
	Evidence:  kyc.Signed,
	Options:   checkrOptions,
	Scheme:    checkrScheme,
	Translate: translateCheckr,
	// A candidate is one person, and a report is about one candidate.
	PersonRefs: []RefKind{SubjectRef, SessionRef},
	Overall:    []kyc.Check{kyc.RiskAssessment},
	Workflow:   "package",
	Events:     slices.Sorted(maps.Keys(checkrEvents)),
	Gaps: []string{
		"The signature, its key (the account's API key) and the bodies come from public receivers.",
		"That failed deliveries are repeated for up to 24 hours is not verified; nor are the time limit and the addresses that Checkr calls from.",
		"Our id stands on the candidate, not on its reports: candidate.created with a custom_id says whose they are; else register the candidate as a submission.",
		"candidate.engaged is ignored: whom a customer takes on, report.engaged says. An adverse action on a candidate names no report and stands until a newer report approves.",
		"A clear report with a canceled screening, or with an assessment other than eligible, waits in review.",
		"Nothing in a body tells the test mode from live: give each a source with its own key.",
		"Of report.updated only a result of consider is read, unless the report is engaged.",
		"Where the webhook does not include the object, a completed report carries no result and waits in review: switch include_object on.",
		"What was found about a person is never passed on; the reason is always other.",
	},
}

var checkrOptions = map[string]string{
	"invitation_expired": "ignored or expired: what an invitation that lapsed means (default ignored)",
	"prefix":             "what stands before the digest behind some gateways: none or sha256= (default none)",
}

func checkrScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(checkrOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("invitation_expired", "ignored", string(kyc.Expired)); err != nil {
		return nil, err
	}
	prefix, err := o.oneOf("prefix", "none", "sha256=")
	if err != nil {
		return nil, err
	}
	if prefix == "none" {
		prefix = ""
	}
	return signing.BodyHMAC{Header: "X-Checkr-Signature", Hash: signing.SHA256, Encoding: signing.Hex, Prefix: prefix}, nil
}

// checkrEvent is what an event's name says. The zero value says nothing about the status.
type checkrEvent struct {
	status      kyc.Status
	byResult    bool   // the report's result is the status
	adjudicated string // the only adjudication beside which the event is believed
}

var checkrEvents = map[string]checkrEvent{
	"candidate.created":             {status: kyc.NotStarted}, // with our id, which the reports lack
	"candidate.pre_adverse_action":  {status: kyc.InReview},
	"candidate.post_adverse_action": {status: kyc.Rejected},

	"report.created":             {status: kyc.Pending},
	"report.upgraded":            {status: kyc.Pending}, // to a larger package
	"report.resumed":             {status: kyc.Pending},
	"report.suspended":           {status: kyc.Pending}, // it waits for the candidate
	"report.completed":           {byResult: true},
	"report.disputed":            {status: kyc.InReview},
	"report.pre_adverse_action":  {status: kyc.InReview},
	"report.engaged":             {status: kyc.Approved, adjudicated: "engaged"},
	"report.post_adverse_action": {status: kyc.Rejected, adjudicated: "post_adverse_action"},
	"report.canceled":            {status: kyc.Expired},
	"report.updated":             {},
	"invitation.expired":         {}, // by option
}

// checkrFamilies are the beginnings of names that say nothing about a report.
var checkrFamilies = []string{"candidate.", "invitation."}

type checkrBody struct {
	ID   ident  `json:"id"`
	Type string `json:"type"`
	At   string `json:"created_at"`
	Data struct {
		Object struct {
			ID           ident          `json:"id"`
			CandidateID  ident          `json:"candidate_id"`
			CustomID     ident          `json:"custom_id"`
			Package      ident          `json:"package"`
			Status       string         `json:"status"`
			Result       string         `json:"result"`
			Adjudication string         `json:"adjudication"`
			Assessment   jsontext.Value `json:"assessment"`
			Canceled     bool           `json:"includes_canceled"` // a screening of it was not made
		} `json:"object"`
	} `json:"data"`
}

func translateCheckr(_ signing.Header, body []byte, o Options) (Result, error) {
	var b checkrBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" {
		return Result{}, unreadable("type", "is missing")
	}
	var f fields
	r, object := Result{EventID: f.id("id", b.ID), EventType: word(b.Type)}, &b.Data.Object
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	e, known := checkrEvents[b.Type]
	if b.Type == "invitation.expired" && o["invitation_expired"] == string(kyc.Expired) {
		e.status = kyc.Expired
	}
	u := observe(checkrName, checkrVersion, r, f.time("created_at", b.At, time.Second, time.RFC3339))
	u.Subject = kyc.Subject{ID: f.id("custom_id", object.CustomID), ProviderRef: f.id("candidate_id", object.CandidateID), Kind: kyc.Individual}
	u.Verification = kyc.Verification{Ref: f.id("data.object.id", object.ID), Workflow: f.id("package", object.Package)}
	if strings.HasPrefix(b.Type, "candidate.") {
		u.Subject.ProviderRef, u.Verification.Ref = u.Verification.Ref, ""
		if e.status != kyc.NotStarted && !u.OccurredAt.IsZero() {
			u.Verification.ParentRef = b.Type + "@" + b.At // a session of its own, so that no newer report hides a later one
		}
	}
	family := slices.ContainsFunc(checkrFamilies, func(p string) bool { return strings.HasPrefix(b.Type, p) })
	switch {
	case !known && !family && (object.Result != "" || object.Adjudication != ""):
		r.Hold = UnknownEvent
	case !known && !family:
		r.Ignored = unknownEv
	case e.status == "" && !e.byResult && !b.finding(), e.status == kyc.NotStarted && u.Subject.ID == "":
		r.Ignored = noStatus
	case u.Subject.ProviderRef == "" && u.Verification.Ref == "":
		f.fail("data.object.id", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	r.KeepBody = b.what(e, &u)
	r.Updates = []kyc.Update{u}
	return r, nil
}

// finding reports a report.updated with a finding that the customer has not accepted yet. Nothing
// else in one is read: report.completed says what is clear.
func (b *checkrBody) finding() bool {
	return b.Type == "report.updated" && b.Data.Object.Result == "consider" && b.Data.Object.Adjudication != "engaged"
}

// what fills in the status, and reports a word that is unknown or contradicts the event: that is in
// review.
func (b *checkrBody) what(e checkrEvent, u *kyc.Update) (doubtful bool) {
	object := &b.Data.Object
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.RiskAssessment, e.status
	if b.finding() {
		u.Status = kyc.InReview
	}
	if assessed := scalar(object.Assessment); e.byResult {
		switch {
		case object.Status != "" && object.Status != "complete", object.Adjudication != "" && object.Adjudication != "engaged":
		case object.Result == "clear" && (object.Canceled || assessed != "" && assessed != "eligible"):
			u.Status = kyc.InReview
		case object.Result == "clear":
			u.Status = kyc.Approved
		case object.Result == "consider":
			u.Status = kyc.InReview
		}
	}
	if u.Status == "" || e.adjudicated != "" && object.Adjudication != "" && object.Adjudication != e.adjudicated {
		u.Status = kyc.InReview
		return true
	}
	switch u.Status {
	case kyc.Rejected:
		reject(u, nil, terminal)
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryAttempt
	default: // needs nothing more
	}
	return false
}
