package provider

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"

	"countersign/kyc"
)

// What Onfido's API is asked for. An answer has no event: its type is this word.
const (
	onfidoRunAsked     = "workflow_run"
	onfidoCheckAsked   = "check"
	onfidoReportAsked  = "report"
	onfidoMonitorAsked = "watchlist_monitor"
)

var onfidoAPI = API{ //nolint:gosec // where credentials go, and none of them
	Doc:         "https://github.com/onfido/onfido-openapi-spec",
	Credentials: "key: an API token of the region whose base URL the source names, such as https://api.eu.onfido.com; user: unused",
	Authorize:   keyHeader("Authorization", "Token token="),
	Next:        onfidoNext,
	Read:        onfidoRead,
}

// onfidoCheckAnswer is a check. It does not say when it was decided.
type onfidoCheckAnswer struct {
	ID          ident  `json:"id"`
	ApplicantID ident  `json:"applicant_id"`
	Status      string `json:"status"`
	Result      string `json:"result"`
	Sandbox     *bool  `json:"sandbox"`
}

// onfidoNext: a check is read with its reports, a report with its check and a monitor with its
// matches, since only together they say who and why.
func onfidoNext(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
	ref, err := segment("ref", q.Ref)
	if err != nil {
		return Call{}, false, err
	}
	c := Call{Method: http.MethodGet, Path: "/v3.6/" + q.What + "s/" + ref}
	switch {
	case len(answers) == 0:
		return c, true, nil
	case len(answers) > 1:
		return Call{}, false, nil
	}
	switch q.What {
	case onfidoCheckAsked:
		var check onfidoCheckAnswer
		if err := decode(answers[0], &check); err != nil || check.Status != "complete" {
			return Call{}, false, err
		}
		c.Path = "/v3.6/reports?check_id=" + url.QueryEscape(q.Ref)
	case onfidoReportAsked:
		var report onfidoReport
		if err := decode(answers[0], &report); err != nil || report.CheckID == "" {
			return Call{}, false, err
		}
		check, err := segment("check_id", string(report.CheckID))
		c.Path = "/v3.6/checks/" + check
		return c, err == nil, err
	case onfidoMonitorAsked:
		c.Path += "/matches"
	default:
		return Call{}, false, nil
	}
	return c, true, nil
}

func onfidoRead(q Fetch, answers [][]byte, o Options) (Result, error) {
	if len(answers) == 0 {
		return Result{}, unreadable("answer", "is missing")
	}
	var said struct {
		Status string `json:"status"`
	}
	if err := decode(answers[0], &said); err != nil {
		return Result{}, err
	}
	if said.Status == "" && q.What != onfidoMonitorAsked { // a monitor has none
		return Result{}, unreadable("status", "is missing")
	}
	r := Result{EventType: q.What}
	switch q.What {
	case onfidoRunAsked:
		return onfidoReadRun(q, r, answers[0], o)
	case onfidoCheckAsked:
		return onfidoReadCheck(q, r, answers, o)
	case onfidoReportAsked:
		return onfidoReadReport(q, r, answers, o)
	case onfidoMonitorAsked:
		return onfidoReadMonitor(q, r, answers)
	default:
		return Result{}, unreadable("what", "is nothing that can be asked for")
	}
}

func onfidoReadRun(q Fetch, r Result, answer []byte, o Options) (Result, error) {
	var run onfidoRun
	if err := decode(answer, &run); err != nil {
		return Result{}, err
	}
	var f fields
	u := observe(onfidoName, onfidoVersion, r, f.time("updated_at", run.UpdatedAt, time.Second, time.RFC3339))
	u.Scope, u.Check, u.Verification.Ref = kyc.Overall, kyc.IdentityVerification, f.asked("id", q.Ref, run.ID)
	run.who(&u, &f)
	r.KeepBody = run.what(o, &u)
	r.Unsettled = u.Status == kyc.Pending
	r.Updates = []kyc.Update{u}
	return r.unless(f.err)
}

// observed begins an update with what all of a check's reports share.
func (c *onfidoCheckAnswer) observed(r *Result, v kyc.Verification, f *fields) kyc.Update {
	if c.Sandbox != nil {
		live := !*c.Sandbox
		r.Livemode = &live
	}
	u := observe(onfidoName, onfidoVersion, *r, time.Time{}) // created_at is older than the events before it and would order the result behind them
	u.Verification = v
	u.Subject = kyc.Subject{ProviderRef: f.id("applicant_id", c.ApplicantID), Kind: kyc.Individual}
	return u
}

func onfidoReadCheck(q Fetch, r Result, answers [][]byte, o Options) (Result, error) {
	var check onfidoCheckAnswer
	if err := decode(answers[0], &check); err != nil {
		return Result{}, err
	}
	var f fields
	u := check.observed(&r, kyc.Verification{Ref: f.asked("id", q.Ref, check.ID)}, &f)
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	if f.err != nil {
		return Result{}, f.err
	}
	switch check.Status {
	case "complete":
		if len(answers) < 2 {
			return Result{}, unreadable("reports", "is missing")
		}
		var list struct {
			Reports []onfidoReport `json:"reports"`
		}
		if err := decode(answers[1], &list); err != nil {
			return Result{}, err
		}
		for i := range list.Reports {
			f.same("check_id", ident(q.Ref), list.Reports[i].CheckID)
		}
		if f.err != nil {
			return Result{}, f.err
		}
		r.KeepBody = check.what(list.Reports, o, &u)
		steps, doubtful := onfidoSteps(u, list.Reports, o)
		r.Updates, r.KeepBody = append([]kyc.Update{u}, steps...), r.KeepBody || doubtful
		return r, nil
	case "in_progress", "awaiting_applicant", "paused":
		u.Status, r.Unsettled = kyc.Pending, true
	case "reopened":
		u.Status, r.Unsettled = kyc.InReview, true
	case "withdrawn":
		if o["withdrawn"] != string(kyc.Expired) {
			r.Ignored = noStatus
			return r, nil
		}
		u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryAttempt
	default:
		u.Status, r.KeepBody = kyc.InReview, true
	}
	r.Updates = []kyc.Update{u}
	return r, nil
}

// what fills in the status of a complete check. A clear one whose reports are not all clear
// contradicts itself.
func (c *onfidoCheckAnswer) what(reports []onfidoReport, o Options, u *kyc.Update) (doubtful bool) {
	var pairs []kyc.ReasonPair
	var h hint
	passed, failed := 0, 0
	for i := range reports {
		if reports[i].over() {
			continue
		}
		if found, worst := reports[i].reasons(); reports[i].Status == "complete" && reports[i].clear() {
			passed++
		} else {
			failed++
			pairs, h = append(pairs, found...), max(h, worst)
		}
	}
	switch {
	case c.Result == "clear" && passed > 0 && failed == 0:
		u.Status = kyc.Approved
	case c.Result == "consider":
		onfidoConsider(u, distinct(pairs), h, o)
	default:
		u.Status, u.Reasons, doubtful = kyc.InReview, distinct(pairs), true
	}
	return doubtful
}

// onfidoConsider is what the provider leaves to its customer to decide.
func onfidoConsider(u *kyc.Update, pairs []kyc.ReasonPair, h hint, o Options) {
	u.Status, u.Reasons = kyc.InReview, pairs
	if o["consider"] != string(kyc.Rejected) {
		return
	}
	if grave(pairs) { // whatever a lighter reason beside it would allow
		h = terminal
	}
	reject(u, pairs, h, retryable)
}

// onfidoSteps makes one update of each kind of report: two reports of one kind are one check, which
// is as bad as the worse of them.
func onfidoSteps(all kyc.Update, reports []onfidoReport, o Options) (steps []kyc.Update, doubtful bool) {
	for i := range reports {
		p := &reports[i]
		check, _ := onfidoKind(p.Name)
		if check == "" || p.over() {
			continue
		}
		u := all
		u.Scope, u.Check, u.Reasons = kyc.CheckScope, check, nil
		doubtful = p.step(o, &u) || doubtful
		at := slices.IndexFunc(steps, func(s kyc.Update) bool { return s.Check == check })
		if at < 0 {
			steps = append(steps, u)
			continue
		}
		pairs := distinct(append(steps[at].Reasons, u.Reasons...))
		if graver(u, steps[at]) {
			steps[at] = u
		}
		if steps[at].Status != kyc.Approved {
			steps[at].Reasons = pairs
		}
		if steps[at].Status == kyc.Rejected && grave(pairs) { // the milder report may have the graver reason
			reject(&steps[at], pairs, terminal)
		}
	}
	return steps, doubtful
}

// graver orders two outcomes of one check.
func graver(a, b kyc.Update) bool {
	order := []kyc.Status{kyc.NotStarted, kyc.Approved, kyc.Pending, kyc.Expired, kyc.InReview, kyc.Rejected, kyc.Suspended}
	if a.Status == b.Status {
		return a.Terminal && !b.Terminal
	}
	return slices.Index(order, a.Status) > slices.Index(order, b.Status)
}

// distinct ranks reasons and drops repeats.
func distinct(pairs []kyc.ReasonPair) []kyc.ReasonPair {
	var out []kyc.ReasonPair
	for _, p := range pairs {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return ranked(out)
}

func onfidoReadReport(q Fetch, r Result, answers [][]byte, o Options) (Result, error) {
	var report onfidoReport
	var check onfidoCheckAnswer
	if err := decode(answers[0], &report); err != nil {
		return Result{}, err
	}
	if len(answers) > 1 {
		if err := decode(answers[1], &check); err != nil {
			return Result{}, err
		}
	}
	var f fields
	v := kyc.Verification{Ref: f.asked("id", q.Ref, report.ID), ParentRef: f.same("check_id", report.CheckID, check.ID)}
	u := check.observed(&r, v, &f)
	if u.Scope, u.Check = kyc.CheckScope, kyc.IdentityVerification; f.err != nil {
		return Result{}, f.err
	}
	kind, _ := onfidoKind(report.Name)
	u.Check = cmp.Or(kind, u.Check)
	if report.over() {
		if o["withdrawn"] != string(kyc.Expired) {
			r.Ignored = noStatus
			return r, nil
		}
		u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryAttempt
	} else {
		r.KeepBody = report.step(o, &u)
	}
	r.Unsettled = u.Status == kyc.Pending || report.Status == "awaiting_approval"
	r.Updates = []kyc.Update{u}
	return r, nil
}

// onfidoReadMonitor: any match that has not been disabled needs somebody's eyes. None left is no
// result of the provider's, and clears nobody.
func onfidoReadMonitor(q Fetch, r Result, answers [][]byte) (Result, error) {
	var monitor struct {
		ID          ident `json:"id"`
		ApplicantID ident `json:"applicant_id"`
		Sandbox     *bool `json:"is_sandbox"`
	}
	var list struct {
		Matches []struct {
			Enabled *bool `json:"enabled"`
		} `json:"matches"`
	}
	if err := decode(answers[0], &monitor); err != nil {
		return Result{}, err
	}
	if len(answers) < 2 {
		return Result{}, unreadable("matches", "is missing")
	}
	if err := decode(answers[1], &list); err != nil {
		return Result{}, err
	}
	var f fields
	check := onfidoCheckAnswer{ApplicantID: monitor.ApplicantID, Sandbox: monitor.Sandbox}
	u := check.observed(&r, kyc.Verification{Ref: f.asked("id", q.Ref, monitor.ID)}, &f)
	u.Scope, u.Check, u.Status = kyc.CheckScope, kyc.Screening, kyc.InReview
	u.Reasons = []kyc.ReasonPair{{Code: kyc.OtherReason}} // which list it was does not come with it
	r.Ignored = noStatus
	for _, m := range list.Matches {
		if m.Enabled == nil || *m.Enabled {
			r.Ignored, r.Updates = "", []kyc.Update{u}
		}
	}
	return r.unless(f.err)
}
