package provider

import (
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	personaName    = "persona"
	personaVersion = 2 // matches of reports that are ready or stand beside an inquiry
)

var persona = Adapter{
	Name:      personaName,
	Version:   personaVersion,
	Doc:       "https://docs.withpersona.com/docs/webhooks-best-practices",
	Evidence:  kyc.Signed,
	Options:   personaOptions,
	Scheme:    personaScheme,
	Translate: translatePersona,
	// An account is one person, and an inquiry belongs to one account. Reports and verifications
	// carry nothing else, so both must teach.
	PersonRefs: []RefKind{SubjectRef, SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.Liveness, kyc.AddressVerification, kyc.TaxIDVerification},
	Workflow:   "the inquiry template",
	Events:     slices.Sorted(maps.Keys(personaEvents)),
	Gaps: []string{
		"A report with a match is a screening in review, whatever its event is called, and also where it stands beside an inquiry. Nothing of Persona's clears it, for each report speaks of its own lists only: an operator does.",
		"A screening report names no kind of list that we know: its matches, also those that a reviewer has confirmed, are in review as other.",
		"A declined inquiry is final whatever its checks say, for it is a decision; a failed one can be tried again unless a check that failed says otherwise.",
	},
	reasons: personaReasons,
}

var personaOptions = map[string]string{
	"completed": "pending or approved: what inquiry.completed means; approved only where no workflow decides after it (default pending)",
	"tolerance": "how old a signature may be, such as 72h; any accepts any age (default 72h: retries go on for 52 hours and may repeat the first timestamp)",
}

// personaTolerance is longer than Persona goes on trying: whether it signs a retry afresh is not
// documented.
const personaTolerance = 72 * time.Hour

func personaScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(personaOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("completed", string(kyc.Pending), string(kyc.Approved)); err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance(personaTolerance, true)
	if err != nil {
		return nil, err
	}
	return signing.Timestamped{Header: "Persona-Signature", Tolerance: tolerance, Ahead: 5 * time.Minute}, nil
}

// personaEvent is what an event's name says. The zero value says nothing about the status.
type personaEvent struct {
	about   personaAbout
	status  kyc.Status
	beside  []string   // the status words beside which the event is believed; nil: any known one
	payload hint       // what the event itself says of another try
	nothing kyc.Reason // the reason where no failed check gives one
}

// personaAbout is the kind of resource an event is about.
type personaAbout byte

const (
	personaInquiry personaAbout = iota
	personaVerification
	personaReport
)

var personaEvents = map[string]personaEvent{
	"inquiry.created":           {status: kyc.NotStarted},
	"inquiry.started":           {status: kyc.Pending},
	"inquiry.completed":         {status: kyc.Pending}, // or approved, by option
	"inquiry.approved":          {status: kyc.Approved, beside: []string{"approved"}},
	"inquiry.marked-for-review": {status: kyc.InReview},
	"inquiry.declined":          {status: kyc.Rejected, payload: terminal}, // a decision, whatever its checks suggest
	"inquiry.failed":            {status: kyc.Rejected, nothing: kyc.AttemptsExceeded},
	"inquiry.expired":           {status: kyc.Expired}, // the attempt lapsed; nothing had been approved

	"verification.passed":         {about: personaVerification, status: kyc.Approved, beside: []string{"passed"}},
	"verification.failed":         {about: personaVerification, status: kyc.Rejected},
	"verification.requires-retry": {about: personaVerification, status: kyc.Rejected, payload: retryable},

	"report/watchlist.matched":                  {about: personaReport, status: kyc.InReview},
	"report/business-watchlist.matched":         {about: personaReport, status: kyc.InReview},
	"report/politically-exposed-person.matched": {about: personaReport, status: kyc.InReview},
	"report/adverse-media.matched":              {about: personaReport, status: kyc.InReview},
	"report/business-adverse-media.matched":     {about: personaReport, status: kyc.InReview},
	"case.resolved":                             {},
	"inquiry.transitioned":                      {},
	"inquiry.redacted":                          {}, // the decision outlives the data
	"inquiry.reusable-persona-created":          {},
	"inquiry.reusable-persona-used":             {},
	"inquiry.tags-updated":                      {},
	"verification.created":                      {},
	"verification.submitted":                    {},
	"verification.canceled":                     {},
	"verification.skipped":                      {},
	"verification.escalated":                    {},
	"verification.tentatively-passed":           {},
	"verification.tentatively-failed":           {},
}

// personaFamilies are events about other resources, and reports that found nothing or could not
// look. The list grows.
var personaFamilies = []string{
	"inquiry-session.", "account.", "case.", "document.", "selfie.", "transaction.", "report/", "verification.tentatively-",
}

// personaStatuses are the words an inquiry or a verification may have for its status.
var personaStatuses = map[personaAbout][]string{
	personaInquiry:      {"created", "pending", "completed", "failed", "expired", "needs-review", "approved", "declined"},
	personaVerification: {"passed", "failed", "requires-retry", "initiated", "confirmed", "submitted", "canceled", "skipped", "escalated", "processing"},
}

// kebab is how keys and words are compared: an account can choose kebab, snake or camel case for
// all of them.
func kebab(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == '_' || 'A' <= r && r <= 'Z' }) < 0 {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '_':
			c = '-'
		case 'A' <= c && c <= 'Z':
			if i > 0 && ('a' <= s[i-1] && s[i-1] <= 'z' || '0' <= s[i-1] && s[i-1] <= '9') {
				b.WriteByte('-')
			}
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// personaLink is a relationship to one resource.
type personaLink struct {
	Data struct {
		ID ident `json:"id"`
	} `json:"data"`
}

// personaResource is a JSON:API resource. Names of several words stand once for each way to write
// them.
type personaResource struct {
	Type       string `json:"type"`
	ID         ident  `json:"id"`
	Attributes struct {
		Status      string `json:"status"`
		Reference   ident  `json:"reference-id"`
		ReferenceSn ident  `json:"reference_id"`
		ReferenceCa ident  `json:"referenceId"`
		HasMatch    bool   `json:"has-match"` // of a report
		HasMatchSn  bool   `json:"has_match"`
		HasMatchCa  bool   `json:"hasMatch"`

		Records   personaRecords `json:"matched-records"` // of a screening report
		RecordsSn personaRecords `json:"matched_records"`
		RecordsCa personaRecords `json:"matchedRecords"`

		Checks []struct {
			Name        string `json:"name"`
			Status      string `json:"status"`
			Requirement string `json:"requirement"`
		} `json:"checks"`
	} `json:"attributes"`
	Relationships struct {
		Account    personaLink `json:"account"`
		Inquiry    personaLink `json:"inquiry"`
		Template   personaLink `json:"template"` // of old inquiries
		Workflow   personaLink `json:"inquiry-template"`
		WorkflowSn personaLink `json:"inquiry_template"`
		WorkflowCa personaLink `json:"inquiryTemplate"`
	} `json:"relationships"`
}

type personaBody struct {
	Data struct {
		ID         ident `json:"id"`
		Attributes struct {
			Name      string `json:"name"`
			Created   string `json:"created-at"`
			CreatedSn string `json:"created_at"`
			CreatedCa string `json:"createdAt"`
			Payload   struct {
				Data     personaResource   `json:"data"`
				Included []personaResource `json:"included"`
			} `json:"payload"`
		} `json:"attributes"`
	} `json:"data"`
}

func translatePersona(_ signing.Header, body []byte, o Options) (Result, error) {
	var b personaBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	attributes := &b.Data.Attributes
	if attributes.Name == "" {
		return Result{}, unreadable("data.attributes.name", "is missing")
	}
	var f fields
	r := Result{EventID: f.id("data.id", b.Data.ID), EventType: word(attributes.Name)}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	name := kebab(attributes.Name)
	e, known := attributes.Payload.Data.event(name)
	check, ignored := personaCheck(name, kebab(attributes.Payload.Data.Type), e, known)
	if r.Ignored = ignored; ignored == unknownEv && slices.Contains([]string{"approved", "declined", "failed", "passed"}, kebab(attributes.Payload.Data.Attributes.Status)) {
		r.Ignored, r.Hold = "", UnknownEvent
	}
	if (r.Ignored != "" || r.Hold != "") && f.err == nil {
		return r, nil
	}
	// Milliseconds throughout. The time of the signature is no substitute: whether retries are
	// signed afresh is not documented.
	at := f.time("data.attributes.created-at", f.same("data.attributes.created-at", ident(attributes.Created), ident(attributes.CreatedSn), ident(attributes.CreatedCa)),
		time.Millisecond, time.RFC3339)
	u := observe(personaName, personaVersion, r, at)
	u.Check = check
	attributes.Payload.Data.who(name, e, &u, &f)
	if f.err != nil {
		return Result{}, f.err
	}
	b.what(name, e, o, &u, &r)
	r.Updates = []kyc.Update{u}
	if codes := b.matched(); e.about != personaReport && len(codes) > 0 {
		r.Updates = append(r.Updates, hitBeside(u, false, personaReasons.pairs(codes)))
	}
	return r, nil
}

// event is what an event of this name says of the resource. A report that has a match says so
// whatever became of it.
func (p *personaResource) event(name string) (e personaEvent, known bool) {
	if e, known = personaEvents[name]; !known && p.match() {
		return personaEvent{about: personaReport, status: kyc.InReview}, true
	}
	return e, known
}

// match reports a report on somebody who may be on a list.
func (p *personaResource) match() bool {
	kind := kebab(p.Type)
	_, listed := personaReasons[kind]
	a := &p.Attributes
	return listed && strings.HasPrefix(kind, "report/") &&
		(a.HasMatch || a.HasMatchSn || a.HasMatchCa || a.Records.open() || a.RecordsSn.open() || a.RecordsCa.open())
}

// matched lists the reports beside the resource that have a match.
func (b *personaBody) matched() (codes []string) {
	for i := range b.Data.Attributes.Payload.Included {
		if p := &b.Data.Attributes.Payload.Included[i]; p.match() {
			codes = append(codes, kebab(p.Type))
		}
	}
	return codes
}

// personaCheck says which check an event is about, or why it is ignored.
func personaCheck(name, resource string, e personaEvent, known bool) (check kyc.Check, ignored string) {
	switch {
	case !known && !slices.ContainsFunc(personaFamilies, func(p string) bool { return strings.HasPrefix(name, p) }):
		return "", unknownEv
	case e.status == "":
		return "", noStatus
	case e.about == personaReport:
		return kyc.Screening, "" // a check of its own, so that no approval of the inquiry clears it
	case e.about == personaInquiry:
		return kyc.IdentityVerification, ""
	}
	kind := strings.TrimPrefix(resource, "verification/")
	switch words := strings.Split(kind, "-"); {
	case slices.Contains(words, "tin"): // before the other databases
		return kyc.TaxIDVerification, ""
	case strings.HasPrefix(kind, "government-id"):
		return kyc.DocumentVerification, ""
	case kind == "selfie":
		return kyc.Liveness, ""
	case words[0] == "database", kind == "aamva":
		return kyc.IdentityVerification, ""
	case kind == "document":
		return kyc.AddressVerification, ""
	default: // an e-mail address, a telephone number, whatever comes next
		return "", otherKind
	}
}

// who fills in the subject and the session, which is the inquiry: of itself, or of the verification
// or report that names it.
func (p *personaResource) who(name string, e personaEvent, u *kyc.Update, f *fields) {
	rel := &p.Relationships
	u.Subject = kyc.Subject{
		ID:          f.same("reference-id", p.Attributes.Reference, p.Attributes.ReferenceSn, p.Attributes.ReferenceCa),
		ProviderRef: f.id("relationships.account", rel.Account.Data.ID),
		Kind:        kyc.Individual,
	}
	if strings.HasPrefix(name, "report/business-") {
		u.Subject.Kind = kyc.Company
	}
	u.Verification.Workflow = f.same("relationships.inquiry-template", rel.Workflow.Data.ID, rel.WorkflowSn.Data.ID, rel.WorkflowCa.Data.ID)
	if u.Verification.Workflow == "" {
		u.Verification.Workflow = f.id("relationships.template", rel.Template.Data.ID)
	}
	own := f.id("payload.data.id", p.ID)
	if e.about == personaInquiry {
		u.Verification.Ref = own
	} else if u.Verification.Ref = f.id("relationships.inquiry", rel.Inquiry.Data.ID); u.Verification.Ref == "" {
		u.Verification.Ref = own // a report that watches an account has no inquiry
	}
	if u.Subject.ID == "" && u.Subject.ProviderRef == "" && u.Verification.Ref == "" {
		f.fail("payload.data.id", "is missing")
	}
}

// what fills in the status. The name decides, if the resource's own status is a word we know and,
// beside an approval, the same word.
func (b *personaBody) what(name string, e personaEvent, o Options, u *kyc.Update, r *Result) {
	resource := &b.Data.Attributes.Payload.Data
	if name == "inquiry.completed" && o["completed"] == string(kyc.Approved) {
		e.status, e.beside = kyc.Approved, []string{"completed", "approved"}
	}
	u.Scope, u.Status = kyc.CheckScope, e.status
	if e.about == personaInquiry {
		u.Scope = kyc.Overall
	}
	said, known := kebab(resource.Attributes.Status), personaStatuses[e.about]
	if said != "" && (known != nil && !slices.Contains(known, said) || e.beside != nil && !slices.Contains(e.beside, said)) {
		u.Status, r.KeepBody = kyc.InReview, true
	}
	codes := b.failed(e.about)
	switch u.Status {
	case kyc.Rejected:
		pairs := personaReasons.pairs(codes)
		if e.nothing != "" && !slices.ContainsFunc(pairs, func(p kyc.ReasonPair) bool { return p.Code != kyc.OtherReason }) {
			pairs = ranked(append(pairs, kyc.ReasonPair{Code: e.nothing}))
		}
		reject(u, pairs, e.payload, personaReasons.hint(codes), retryable)
	case kyc.InReview:
		u.Reasons = personaReasons.pairs(codes)
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryAttempt
	default: // a yes and an attempt need no reasons
	}
}

// failed lists the codes that speak against the subject: what a report found, or the required
// checks that failed; the others cause no failure.
func (b *personaBody) failed(about personaAbout) []string {
	payload := &b.Data.Attributes.Payload
	if about == personaReport {
		return []string{kebab(payload.Data.Type)}
	}
	resources := payload.Included
	if about == personaVerification {
		resources = []personaResource{payload.Data}
	}
	var codes []string
	for i := range resources {
		for _, c := range resources[i].Attributes.Checks {
			if kebab(c.Status) != "failed" || kebab(c.Requirement) == "not-required" {
				continue
			}
			code := c.Name
			if snake := strings.ReplaceAll(kebab(code), "-", "_"); personaReasons.look(code).reason == kyc.OtherReason && snake != code {
				if _, ok := personaReasons[snake]; ok {
					code = snake
				}
			}
			codes = append(codes, code)
		}
	}
	return codes
}
