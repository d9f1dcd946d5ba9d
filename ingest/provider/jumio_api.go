package provider

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
)

// jumioAsked is what Jumio's API is asked for. The ref is the account and the execution.
const jumioAsked = "workflow"

var jumioAPI = API{ //nolint:gosec // where credentials go, and none of them
	Doc:         "https://documentation.jumio.ai/docs/developer-resources/callback",
	Live:        "https://retrieval.amer-1.jumio.ai",
	TokenURL:    jumioTokens,
	Credentials: "user: the OAuth2 client id of the account's API credentials; key: its client secret",
	Next:        jumioNext,
	Read:        jumioRead,
}

// jumioTokens is on the region's own host for tokens: retrieval.emea-1.jumio.ai and
// account.emea-1.jumio.ai have auth.emea-1.jumio.ai beside them.
func jumioTokens(base string) string {
	scheme, host, _ := strings.Cut(base, "://")
	if name, region, ok := strings.Cut(host, "."); ok && (name == "retrieval" || name == "account" || name == "api") {
		host = "auth." + region
	}
	return scheme + "://" + host + "/oauth2/token"
}

// pair makes one ref of two ids, of which the second has no slash left.
func (f *fields) pair(field, a, b string) string {
	ref := a + "/" + strings.NewReplacer("%", "%25", "/", "%2F").Replace(b)
	if len(ref) > 2*maxID {
		f.fail(field, "is too long")
	}
	return ref
}

// unpair takes a ref of two ids apart. One without a slash has no second id.
func unpair(ref string) (a, b string) {
	at := strings.LastIndexByte(ref, '/')
	if at < 0 {
		return ref, ""
	}
	return ref[:at], strings.NewReplacer("%2F", "/", "%25", "%").Replace(ref[at+1:])
}

func jumioNext(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
	if len(answers) > 0 {
		return Call{}, false, nil
	}
	account, id := unpair(q.Ref)
	account, err := segment("account.id", account)
	id, err2 := segment("workflowExecution.id", id)
	if err = errors.Join(err, err2); err != nil {
		return Call{}, false, err
	}
	return Call{Method: http.MethodGet, Path: "/api/v1/accounts/" + account + "/workflow-executions/" + id}, true, nil
}

// jumioDecision is what the workflow or one of its capabilities came to.
type jumioDecision struct {
	Type    string `json:"type"`
	Details struct {
		Label string `json:"label"`
	} `json:"details"`
}

// jumioItem is what a capability came to for one credential of the person.
type jumioItem struct {
	Decision jumioDecision `json:"decision"`
}

type jumioAnswer struct {
	Workflow struct {
		ID            ident  `json:"id"`
		Status        string `json:"status"`
		DefinitionKey ident  `json:"definitionKey"`
		UserReference ident  `json:"userReference"`
	} `json:"workflow"`
	Account struct {
		ID ident `json:"id"`
	} `json:"account"`
	CreatedAt    string                      `json:"createdAt"`
	StartedAt    string                      `json:"startedAt"`
	CompletedAt  string                      `json:"completedAt"`
	Decision     jumioDecision               `json:"decision"`
	Capabilities map[string]raw[[]jumioItem] `json:"capabilities"`
}

func jumioRead(q Fetch, answers [][]byte, _ Options) (Result, error) {
	if len(answers) == 0 {
		return Result{}, unreadable("answer", "is missing")
	}
	var a jumioAnswer
	if err := decode(answers[0], &a); err != nil {
		return Result{}, err
	}
	var f fields
	account, id := unpair(q.Ref)
	account, id = f.asked("account.id", account, a.Account.ID), f.asked("workflow.id", id, a.Workflow.ID)
	if a.Workflow.Status == "" {
		f.fail("workflow.status", "is missing")
	}
	r := Result{EventType: q.What}
	e := jumioEvents[a.Workflow.Status]
	if !e.legacy && e.status == kyc.Pending && !e.ask {
		r.Unsettled = true
	}
	at := a.CompletedAt
	if r.Unsettled {
		at = cmp.Or(a.StartedAt, a.CreatedAt)
	}
	u := observe(jumioName, jumioVersion, r, f.time("completedAt", at, time.Millisecond, time.RFC3339))
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.IdentityVerification, e.status
	u.Subject = kyc.Subject{ID: f.id("workflow.userReference", a.Workflow.UserReference), ProviderRef: account, Kind: kyc.Individual}
	u.Verification = kyc.Verification{Ref: id, Workflow: f.id("workflow.definitionKey", a.Workflow.DefinitionKey)}
	switch {
	case e.ask:
		steps, err := a.steps()
		if err != nil {
			return Result{}, err
		}
		r.KeepBody = a.Decision.what(steps, &u)
		r.Updates = append([]kyc.Update{u}, steps.updates(u)...)
		return r.unless(f.err)
	case e.legacy || e.status == "":
		u.Status, r.KeepBody = kyc.InReview, true
	case e.status == kyc.Expired:
		u.ExpiryKind = kyc.ExpiryAttempt
	}
	r.Updates = []kyc.Update{u}
	return r.unless(f.err)
}

// jumioCapability is a capability and the check that it is a step of; "" for one that only has
// reasons to give.
type jumioCapability struct {
	name  string
	check kyc.Check
}

// jumioCapabilities are the capabilities in the order in which they run.
var jumioCapabilities = []jumioCapability{
	{"usability", kyc.DocumentVerification},
	{"imageChecks", kyc.DocumentVerification},
	{"extraction", kyc.DocumentVerification},
	{"dataChecks", kyc.DocumentVerification},
	{"liveness", kyc.Liveness},
	{"similarity", kyc.Liveness},
	{"authentication", kyc.Liveness},
	{"watchlistScreening", kyc.Screening},
	{"addressValidation", kyc.AddressVerification},
	{"proofOfResidency", kyc.AddressVerification},
	{"drivingLicenseVerification", ""},
}

// jumioStep is what the capabilities of one check came to.
type jumioStep struct {
	check                                         kyc.Check
	passed, warned, rejected, unexecuted, unknown bool
	codes                                         []string
}

type jumioSteps []jumioStep

// steps reads the capabilities. After one that failed the others report that a precondition is not
// fulfilled, which is no reason.
func (a *jumioAnswer) steps() (jumioSteps, error) {
	var steps jumioSteps
	for _, c := range jumioCapabilities {
		said, ok := a.Capabilities[c.name]
		if !ok {
			continue
		}
		items, ok := said.read()
		if !ok {
			return nil, unreadable("capabilities."+c.name, "has an unexpected type")
		}
		at := slices.IndexFunc(steps, func(s jumioStep) bool { return s.check == c.check })
		if at < 0 {
			at, steps = len(steps), append(steps, jumioStep{check: c.check})
		}
		for _, item := range items {
			steps[at].add(c.name, item.Decision)
		}
	}
	return a.others(steps), nil
}

// others adds what capabilities that we do not know have rejected: they are a step of no check, and
// contradict a yes all the same.
func (a *jumioAnswer) others(steps jumioSteps) jumioSteps {
	for _, name := range slices.Sorted(maps.Keys(a.Capabilities)) {
		if slices.ContainsFunc(jumioCapabilities, func(c jumioCapability) bool { return c.name == name }) {
			continue
		}
		items, _ := a.Capabilities[name].read()
		for _, item := range items {
			if item.Decision.Type == "REJECTED" {
				steps = append(steps, jumioStep{})
				steps[len(steps)-1].add(name, item.Decision)
			}
		}
	}
	return steps
}

func (s *jumioStep) add(capability string, d jumioDecision) {
	speaks := d.Details.Label != "PRECONDITION_NOT_FULFILLED"
	switch d.Type {
	case "PASSED":
		s.passed, speaks = true, false
	case "WARNING":
		s.warned = true
	case "REJECTED":
		s.rejected = true
	case "NOT_EXECUTED":
		s.unexecuted, speaks = true, d.Details.Label == "TECHNICAL_ERROR"
	default:
		s.unknown = true
	}
	if speaks {
		s.codes = append(s.codes, capability+"."+d.Details.Label)
	}
}

// updates makes an update of each check that came to something.
func (steps jumioSteps) updates(all kyc.Update) (us []kyc.Update) {
	for _, s := range steps {
		u := all
		u.Scope, u.Check = kyc.CheckScope, s.check
		u.Status, u.Reasons, u.Retryable, u.Terminal = "", nil, false, false
		pairs, h := jumioReasons.rows(s.codes, jumioRow)
		switch {
		case s.rejected:
			reject(&u, pairs, jumioHint(pairs, h))
		case s.warned || s.unknown:
			u.Status, u.Reasons = kyc.InReview, pairs
		case s.passed && !s.unexecuted:
			u.Status = kyc.Approved
		}
		if u.Status != "" && s.check != "" {
			us = append(us, u)
		}
	}
	return us
}

// what fills in the status of the workflow. A yes beside a capability that said no, or something we
// do not know, contradicts itself.
func (d *jumioDecision) what(steps jumioSteps, u *kyc.Update) (doubtful bool) {
	var codes []string
	contradicted := false
	for _, s := range steps {
		codes = append(codes, s.codes...)
		contradicted = contradicted || s.rejected || s.unknown
	}
	pairs, h := jumioReasons.rows(codes, jumioRow)
	switch d.Type {
	case "PASSED":
		if u.Status, doubtful = kyc.Approved, contradicted; contradicted {
			u.Status, u.Reasons = kyc.InReview, pairs
		}
	case "WARNING":
		u.Status, u.Reasons = kyc.InReview, pairs
	case "REJECTED", "NOT_EXECUTED": // the latter for technical reasons or for want of a precondition
		if len(pairs) == 0 {
			pairs = []kyc.ReasonPair{{Code: kyc.OtherReason, ProviderCode: word(cmp.Or(d.Details.Label, d.Type))}}
		}
		fallback := terminal
		if d.Type == "NOT_EXECUTED" {
			fallback = retryable
		}
		reject(u, pairs, jumioHint(pairs, h), fallback)
	default:
		u.Status, u.Reasons, doubtful = kyc.InReview, pairs, true
	}
	return doubtful
}

// jumioHint is what the labels say of another try. Of a match on a list the label leaves it open:
// what is blurred beside it does not decide.
func jumioHint(pairs []kyc.ReasonPair, h hint) hint {
	if grave(pairs) {
		return terminal
	}
	return h
}

// jumioRow finds the row that speaks of a code: its own, else that of its label.
func jumioRow(code string) string {
	if _, ok := jumioReasons[code]; ok {
		return code
	}
	_, label, _ := strings.Cut(code, ".")
	if _, ok := jumioReasons["*."+label]; ok {
		return "*." + label
	}
	return code
}
