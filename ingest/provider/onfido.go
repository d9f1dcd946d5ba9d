package provider

import (
	"bytes"
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
	onfidoName    = "onfido"
	onfidoVersion = 2 // breakdowns of tasks, reports of two more kinds, declined runs for what can be mended
)

var onfido = Adapter{
	Name:      onfidoName,
	Version:   onfidoVersion,
	Doc:       "https://github.com/onfido/onfido-openapi-spec",
	Evidence:  kyc.Signed,
	Options:   onfidoOptions,
	Scheme:    onfidoScheme,
	Translate: translateOnfido,
	// An applicant is one person, and so is each of its runs, checks, reports and monitors.
	PersonRefs: []RefKind{SubjectRef, SessionRef, ParentRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.Liveness, kyc.AddressVerification, kyc.Screening, kyc.RiskAssessment, kyc.TaxIDVerification},
	Workflow:   "workflow_id",
	Events:     slices.Sorted(maps.Keys(onfidoEvents)),
	API:        &onfidoAPI,
	Gaps: []string{
		"Retries, their order and the addresses that callbacks come from are not verified.",
		"The OAuth token that Onfido can send along is not read: the signature is the proof.",
		"Checks, reports and monitors do not say when they were decided, so what is fetched of them counts on arrival.",
		"A check that is reopened without a time of completion counts on arrival, and in the same bytes only once.",
		"report.awaiting_approval does not say of which kind the report is: it is a step of identity_verification in review, which approves and rejects nobody.",
		"Classic checks never carry our id: register the applicant id as a submission.",
		"The names of tasks and the inner names of the reports on faces, watchlists, known faces, enhanced identity and devices are not verified.",
		"No page says whether a declined run is final for the person: it is, unless the option reasons explains all of its reasons and none of them is worse than a bad picture or wrong data, or the option declined says retryable.",
		"The matches of a monitor do not say which list they are on, and once all have been disabled an operator has to clear the screening.",
	},
	reasons: onfidoReasons,
}

var onfidoOptions = map[string]string{
	"consider":  "in_review or rejected: what a check or report that ends with consider means (default in_review)",
	"declined":  "terminal or retryable: whether a person whom a workflow declined may try again; for serious reasons never, for reasons that can be corrected always (default terminal)",
	"reasons":   "what the reasons mean that your workflows give, such as EXPIRED_ID=document_expired,KNOWN_FRAUD=fraud_suspected (default: all are other)",
	"withdrawn": "ignored or expired: what a withdrawn or cancelled check or report means (default ignored)",
}

func onfidoScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(onfidoOptions); err != nil {
		return nil, err
	}
	for name, words := range map[string][]string{
		"consider": {"in_review", "rejected"}, "declined": {"terminal", "retryable"}, "withdrawn": {"ignored", "expired"},
	} {
		if _, err := o.oneOf(name, words...); err != nil {
			return nil, err
		}
	}
	for name, reason := range onfidoOwnReasons(o) {
		if name == "" || !slices.Contains(kyc.Priority, reason) {
			return nil, fmt.Errorf("option reasons: %q is not one of our reasons: write NAME=%s", reason, kyc.DocumentExpired)
		}
	}
	return signing.BodyHMAC{Header: "X-SHA2-Signature", Hash: signing.SHA256, Encoding: signing.Hex}, nil
}

// onfidoOwnReasons reads the option reasons.
func onfidoOwnReasons(o Options) map[string]kyc.Reason {
	own := map[string]kyc.Reason{}
	if o["reasons"] == "" {
		return own
	}
	for row := range strings.SplitSeq(o["reasons"], ",") {
		name, reason, _ := strings.Cut(row, "=")
		own[strings.TrimSpace(name)] = kyc.Reason(strings.TrimSpace(reason))
	}
	return own
}

// onfidoEvent is what an action says. The zero value says nothing about the status.
type onfidoEvent struct {
	scope  kyc.Scope // "": overall
	status kyc.Status
	beside []string // the words of the object's status beside which it is believed; nil: any that the object can have
	ask    string   // what to ask the API for: the event is thin
	run    bool     // the run's own status is the status
	task   bool     // the task's output may have a result
	lapsed bool     // an attempt that ended, if the source says so
	again  bool     // what had been completed goes on
}

var onfidoEvents = map[string]onfidoEvent{
	"workflow_run.completed":   {run: true},
	"workflow_task.completed":  {task: true, scope: kyc.CheckScope},
	"check.started":            {status: kyc.Pending, beside: []string{"in_progress", "awaiting_applicant", "paused"}},
	"check.reopened":           {status: kyc.InReview, again: true},
	"check.completed":          {ask: onfidoCheckAsked}, // says that there is a result, and not which
	"check.withdrawn":          {lapsed: true, status: kyc.Expired, beside: []string{"withdrawn"}},
	"report.completed":         {ask: onfidoReportAsked},
	"report.awaiting_approval": {scope: kyc.CheckScope, status: kyc.InReview}, // of which kind it does not say
	"report.withdrawn":         {scope: kyc.CheckScope, lapsed: true, status: kyc.Expired, beside: []string{"withdrawn"}},
	"report.cancelled":         {scope: kyc.CheckScope, lapsed: true, status: kyc.Expired, beside: []string{"cancelled"}},

	"watchlist_monitor.matches_updated": {ask: onfidoMonitorAsked},

	"workflow_task.started":                {},
	"check.form_completed":                 {},
	"report.resumed":                       {},
	"audit_log.created":                    {},
	"workflow_timeline_file.created":       {},
	"workflow_run_evidence_folder.created": {},
}

// onfidoStates are the words that a check or a report may have for its status.
var onfidoStates = []string{
	"in_progress", "awaiting_applicant", "complete", "withdrawn", "paused", "reopened", "awaiting_data", "awaiting_approval", "cancelled",
}

// onfidoRun is a workflow run, in an event and in the API's answer, or a task of one.
type onfidoRun struct {
	ID             ident             `json:"id"`
	ApplicantID    ident             `json:"applicant_id"`
	CustomerUserID ident             `json:"customer_user_id"`
	WorkflowID     ident             `json:"workflow_id"`
	Status         string            `json:"status"`
	UpdatedAt      string            `json:"updated_at"`
	Reasons        []string          `json:"reasons"` // whatever the customer's workflow says
	Error          jsontext.Value    `json:"error"`
	RunID          ident             `json:"workflow_run_id"` // of a task
	Output         raw[onfidoReport] `json:"output"`          // of any form: a workflow's own
}

// onfidoBody: resource_id and event, which the specification calls required, do not come; object
// and action do.
type onfidoBody struct {
	Payload struct {
		Action string `json:"action"`
		Object struct {
			ID          ident  `json:"id"`
			Status      string `json:"status"`
			StartedAt   string `json:"started_at_iso8601"`
			CompletedAt string `json:"completed_at_iso8601"`
			RunID       ident  `json:"workflow_run_id"`
			TaskDefID   string `json:"task_def_id"`
		} `json:"object"`
		Resource onfidoRun `json:"resource"`
	} `json:"payload"`
}

func translateOnfido(_ signing.Header, body []byte, o Options) (Result, error) {
	var b onfidoBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	p := &b.Payload
	if p.Action == "" {
		return Result{}, unreadable("payload.action", "is missing")
	}
	var f fields
	e, known := onfidoEvents[p.Action]
	ref := b.ref(&f)
	at := cmp.Or(p.Object.CompletedAt, p.Object.StartedAt, p.Resource.UpdatedAt)
	if e.again { // when it began says nothing about when it was reopened, and is the same the next time
		at = p.Object.CompletedAt
	}
	r := Result{EventType: word(p.Action), Dedupe: []string{p.Action, ref.Ref, p.Object.Status, at}} // there is no delivery id
	if e.again && at == "" {
		r.Dedupe = nil
	}
	switch {
	case !known && b.decided():
		r.Hold = UnknownEvent
	case !known:
		r.Ignored = unknownEv
	case e.ask != "":
		r.Fetch = []Fetch{{Ref: ref.Ref, What: e.ask}}
	case e.run && cmp.Or(p.Object.Status, p.Resource.Status) == "":
		r.Fetch = []Fetch{{Ref: ref.Ref, What: onfidoRunAsked}}
	case e.status == "" && !e.run && !e.task, e.lapsed && o["withdrawn"] != string(kyc.Expired), e.task && b.task().Result == "":
		r.Ignored = noStatus
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	u := observe(onfidoName, onfidoVersion, r, f.time("payload.object.completed_at_iso8601", at, time.Second, time.RFC3339))
	u.Scope, u.Check, u.Verification = cmp.Or(e.scope, kyc.Overall), kyc.IdentityVerification, ref
	p.Resource.who(&u, &f)
	if ref.Ref == "" {
		f.fail("payload.object.id", "is missing")
	}
	if f.err != nil || len(r.Fetch) > 0 {
		return r.unless(f.err)
	}
	r.KeepBody = b.what(e, o, &u)
	r.Updates = []kyc.Update{u}
	return r, nil
}

// unless returns the result if nothing was complained about.
func (r Result) unless(err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return r, nil
}

// ref is the session. The id of a task is its place in the workflow, the same for every applicant:
// only the run makes it one person's.
func (b *onfidoBody) ref(f *fields) kyc.Verification {
	p := &b.Payload
	id := f.id("payload.object.id", p.Object.ID)
	if !strings.HasPrefix(p.Action, "workflow_task.") {
		return kyc.Verification{Ref: id}
	}
	run := f.same("payload.object.workflow_run_id", p.Object.RunID, p.Resource.RunID)
	if id == "" || run == "" {
		return kyc.Verification{}
	}
	if id = run + "/" + id; len(id) > maxID {
		f.fail("payload.object.id", "is too long")
	}
	return kyc.Verification{Ref: id, ParentRef: run}
}

// who fills in the person, where an event knows one.
func (r *onfidoRun) who(u *kyc.Update, f *fields) {
	u.Subject = kyc.Subject{ID: f.id("customer_user_id", r.CustomerUserID), ProviderRef: f.id("applicant_id", r.ApplicantID), Kind: kyc.Individual}
	u.Verification.Workflow = f.id("workflow_id", r.WorkflowID)
}

// decided reports whether an event of any name tells a decision.
func (b *onfidoBody) decided() bool {
	output, _ := b.Payload.Resource.Output.read()
	decisions := []string{"approved", "declined", "clear", "consider", "unidentified"}
	return slices.ContainsFunc([]string{b.Payload.Object.Status, b.Payload.Resource.Status, output.Result}, func(said string) bool { return slices.Contains(decisions, said) })
}

// task is the result of a task, as if it were the report that it is made of.
func (b *onfidoBody) task() onfidoReport {
	p := &b.Payload
	if check, _ := onfidoKind(p.Object.TaskDefID); check == "" {
		return onfidoReport{} // a capture, a profile, a decision of the workflow's own
	}
	report, _ := p.Resource.Output.read()
	return onfidoReport{Name: p.Object.TaskDefID, Result: report.Result, SubResult: report.SubResult, Breakdown: report.Breakdown}
}

// what fills in the status, and reports a word that is unknown or contradicts the event: that is in
// review.
func (b *onfidoBody) what(e onfidoEvent, o Options, u *kyc.Update) (doubtful bool) {
	said := b.Payload.Object.Status
	switch {
	case e.run:
		run := &b.Payload.Resource
		said, run.Status = cmp.Or(said, run.Status), cmp.Or(run.Status, said)
		if doubtful = run.what(o, u); said != run.Status || u.Status == kyc.Pending { // a run that is completed does not go on
			doubtful = true
		}
	case e.task:
		report := b.task()
		u.Check, _ = onfidoKind(report.Name)
		return report.what(o, u)
	default:
		if u.Status = e.status; u.Status == kyc.Expired {
			u.ExpiryKind = kyc.ExpiryAttempt
		}
		doubtful = said != "" && (!slices.Contains(onfidoStates, said) || e.beside != nil && !slices.Contains(e.beside, said))
	}
	if doubtful {
		doubted(u)
	}
	return doubtful
}

// doubted takes back what a doubtful body claimed, but for its reasons.
func doubted(u *kyc.Update) {
	u.Status, u.ExpiryKind, u.Retryable, u.Terminal = kyc.InReview, "", false, false
}

// what fills in the status of a run.
func (r *onfidoRun) what(o Options, u *kyc.Update) (doubtful bool) {
	failed := len(r.Error) > 0 && !bytes.Equal(r.Error, []byte("null"))
	switch r.Status {
	case "approved":
		if u.Status = kyc.Approved; failed {
			doubted(u)
		}
		return failed
	case "declined":
		r.declined(o, u)
	case "review", "error": // an error is Onfido's or the workflow's, and somebody has to look
		u.Status = kyc.InReview
	case "abandoned":
		u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryAttempt
	case "processing", "awaiting_input", "awaiting_client_input":
		u.Status = kyc.Pending
	default:
		doubted(u)
		return true
	}
	return false
}

// declined reads the customer's own reasons. One that the source does not explain may be free text.
func (r *onfidoRun) declined(o Options, u *kyc.Update) {
	own, payload := onfidoOwnReasons(o), terminal
	var pairs []kyc.ReasonPair
	for _, name := range r.Reasons {
		p := kyc.ReasonPair{Code: cmp.Or(own[name], kyc.OtherReason), ProviderCode: word(name)}
		if !slices.Contains(pairs, p) {
			pairs = append(pairs, p)
		}
	}
	if o["declined"] == "retryable" && !grave(pairs) || mendable(pairs) {
		payload = retryable
	}
	reject(u, ranked(pairs), payload)
}

// onfidoKinds tells the check from the beginning of a report's or task's name, and where its
// reasons begin.
var onfidoKinds = []struct {
	begins string
	check  kyc.Check
	root   string
}{
	{"document", kyc.DocumentVerification, "document"},
	{"facial_similarity", kyc.Liveness, "facial_similarity"},
	{"face_", kyc.Liveness, "facial_similarity"}, // tasks
	{"watchlist", kyc.Screening, "watchlist"},
	{"proof_of_address", kyc.AddressVerification, "proof_of_address"},
	{"known_faces", kyc.RiskAssessment, "known_faces"},
	{"device_intelligence", kyc.RiskAssessment, "device_intelligence"},
	{"identity_enhanced", kyc.IdentityVerification, "identity_enhanced"},
	{"us_driving_licence", kyc.DocumentVerification, "us_driving_licence"},
	{"india_pan", kyc.TaxIDVerification, "india_pan"},
}

// onfidoKind returns the check of a report or task and the root of its reasons, "" if the name is
// not one we know.
func onfidoKind(name string) (check kyc.Check, root string) {
	for _, k := range onfidoKinds {
		if strings.HasPrefix(name, k.begins) {
			return k.check, k.root
		}
	}
	return "", ""
}
