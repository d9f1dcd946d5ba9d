package provider

import (
	"errors"
	"slices"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	plaidName    = "plaid_idv"
	plaidVersion = 2 // entity_screening_id
)

// Plaid says that something has changed and never what: every callback is a question for its API.
var plaidIDV = Adapter{
	Name:      plaidName,
	Version:   plaidVersion,
	Doc:       "https://plaid.com/docs/api/webhooks/webhook-verification/",
	Evidence:  kyc.Signed,
	Options:   plaidOptions,
	Scheme:    plaidScheme,
	Translate: translatePlaid,
	// An attempt is one person's, and so is a screening.
	PersonRefs: []RefKind{SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.Liveness, kyc.Screening, kyc.RiskAssessment},
	Workflow:   "template.id",
	Events:     plaidEvents,
	API:        &plaidAPI,
	Gaps: []string{
		"Retries, their order and the time allowed for an answer come from memory of Plaid's page and are not verified.",
		"The addresses that callbacks come from are not built in.",
		"Our id is known only once the API has been asked: a source needs api.",
		"Which list a screening was rejected for is not told: it is rejected as other, for good.",
		"An attempt that is open or has lapsed has no time but that of its beginning; an outcome without a time of completion counts on arrival.",
		"A success beside a step that failed, lapsed or was cancelled, as a template with a second way may give, stays in review.",
	},
	reasons: plaidReasons,
}

var plaidOptions = map[string]string{
	"steps":     "fetch or ignored: whether the end of a step is worth asking for the attempt (default fetch)",
	"tolerance": "how old a token may be, such as 5m (default 5m)",
}

const plaidTolerance = 5 * time.Minute

func plaidScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(plaidOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("steps", "fetch", "ignored"); err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance(plaidTolerance, false)
	if err != nil {
		return nil, err
	}
	return plaidJWT{Tolerance: tolerance}, nil
}

// plaidEvents are the types with their codes, which say little: whatever the code, the object is
// asked for.
var plaidEvents = []string{
	"ENTITY_SCREENING.STATUS_UPDATED",
	"IDENTITY_VERIFICATION.RETRIED",
	"IDENTITY_VERIFICATION.STATUS_UPDATED",
	"IDENTITY_VERIFICATION.STEP_UPDATED",
	"SCREENING.STATUS_UPDATED",
}

// plaidTypes are the types that are about verification, and what to ask for.
var plaidTypes = map[string]string{"IDENTITY_VERIFICATION": plaidAttempt, "SCREENING": plaidScreening, "ENTITY_SCREENING": plaidEntity}

type plaidBody struct {
	Type        string `json:"webhook_type"`
	Code        string `json:"webhook_code"`
	AttemptID   ident  `json:"identity_verification_id"`
	ScreeningID ident  `json:"screening_id"`
	EntityID    ident  `json:"entity_screening_id"`
	Environment string `json:"environment"`
}

// translatePlaid gives no dedupe: two bodies of one attempt are the same bytes and mean two things.
func translatePlaid(_ signing.Header, body []byte, o Options) (Result, error) {
	var b plaidBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" || b.Code == "" {
		return Result{}, unreadable("webhook_code", "is missing")
	}
	var f fields
	r := Result{EventType: word(b.Type + "." + b.Code), Livemode: mode(b.Environment)}
	asked, known := plaidTypes[b.Type]
	switch {
	case !known: // accounts and money
		r.Ignored = unknownEv
	case r.EventType == "IDENTITY_VERIFICATION.STEP_UPDATED" && o["steps"] == "ignored":
		r.Ignored = noStatus
	}
	if r.Ignored != "" {
		return r, nil
	}
	field, id := "screening_id", b.ScreeningID
	switch asked {
	case plaidAttempt:
		field, id = "identity_verification_id", b.AttemptID
	case plaidEntity:
		field, id = "entity_screening_id", b.EntityID
	}
	ref := f.id(field, id)
	if ref == "" {
		f.fail(field, "is missing")
	}
	r.Fetch = []Fetch{{Ref: ref, What: asked}}
	return r.unless(f.err)
}

// plaidStep is a step of an attempt and its check; "" for one that only has reasons to give.
type plaidStep struct {
	name  string
	check kyc.Check
	word  string
}

// inOrder lists the steps in the order in which they are taken.
func (w *plaidWordsOf) inOrder() []plaidStep {
	return []plaidStep{
		{"accept_tos", "", w.Terms},
		{"verify_sms", "", w.Telephone},
		{"kyc_check", kyc.IdentityVerification, w.Identity},
		{"documentary_verification", kyc.DocumentVerification, w.Document},
		{"selfie_check", kyc.Liveness, w.Selfie},
		{"watchlist_screening", kyc.Screening, w.Lists},
		{"risk_check", kyc.RiskAssessment, w.Risk},
	}
}

// plaidWords are the words of a step; "" for one that says nothing of the person.
var plaidWords = map[string]kyc.Status{
	"success": kyc.Approved, "manually_approved": kyc.Approved,
	"failed": kyc.Rejected, "manually_rejected": kyc.Rejected,
	"pending_review": kyc.InReview,
	"active":         kyc.Pending, "waiting_for_prerequisite": kyc.Pending,
	"expired": "", "canceled": "", "not_applicable": "", "skipped": "",
}

var errPlaidAnswer = errors.New("the answer holds no usable key")

// plaidReasons are steps and what they came to.
var plaidReasons = newReasons(
	means(kyc.SanctionsMatch, undecided,
		"watchlist_screening=failed",
	),
	means(kyc.FraudSuspected, undecided,
		"risk_check=failed",
	),
	means(kyc.LivenessFailed, retryable,
		"selfie_check=failed",
	),
	means(kyc.DataMismatch, retryable,
		"kyc_check=failed",
	),
	means(kyc.DocumentUnreadable, retryable,
		"documentary_verification=failed",
	),
	means(kyc.OtherReason, retryable,
		"expired", "verify_sms=failed",
	),
)

// outcome fills in the status of an attempt. A yes beside a step that is not one contradicts
// itself.
func (a *plaidAnswer) outcome(u *kyc.Update) (doubtful bool) {
	steps := a.judge()
	pairs, _ := plaidReasons.rows(steps.codes, plaidRow)
	switch a.Status {
	case "active":
		u.Status = kyc.Pending
	case "success":
		if u.Status = kyc.Approved; steps.worst != "" && steps.worst != kyc.Approved || steps.unknown {
			u.Status, u.Reasons, doubtful = kyc.InReview, pairs, true
		}
	case "failed":
		payload := retryable // a new attempt can be offered
		if grave(pairs) {
			payload = terminal
		}
		reject(u, pairs, payload)
	case "pending_review":
		u.Status, u.Reasons = kyc.InReview, pairs
	case "expired", "canceled":
		u.Status, u.ExpiryKind = kyc.Expired, kyc.ExpiryAttempt
	default:
		u.Status, u.Reasons, doubtful = kyc.InReview, pairs, true
	}
	return doubtful || steps.unknown
}

// plaidJudged is what the steps of an attempt came to.
type plaidJudged struct {
	worst   kyc.Status
	codes   []string // of those that failed
	unknown bool     // a word among them is not one we know
}

func (a *plaidAnswer) judge() (j plaidJudged) {
	order := []kyc.Status{"", kyc.Approved, kyc.Pending, kyc.InReview, kyc.Rejected}
	for _, step := range a.Steps.inOrder() {
		word := step.word
		status, known := plaidWords[word]
		j.unknown = j.unknown || word != "" && !known
		if word == "expired" || word == "canceled" { // says nothing of the person, and is no part of a yes
			status = kyc.Pending
		}
		if slices.Index(order, status) > slices.Index(order, j.worst) {
			j.worst = status
		}
		if status == kyc.Rejected {
			j.codes = append(j.codes, step.name+"="+word)
		}
	}
	return j
}

// steps makes an update of each step that came to something.
func (a *plaidAnswer) steps(all kyc.Update) (us []kyc.Update) {
	for _, step := range a.Steps.inOrder() {
		word := step.word
		status, known := plaidWords[word]
		if step.check == "" || word == "" || known && (status == "" || status == kyc.Pending) {
			continue
		}
		u := all
		u.Scope, u.Check, u.Status, u.Reasons = kyc.CheckScope, step.check, status, nil
		u.Retryable, u.Terminal, u.ExpiryKind = false, false, ""
		switch {
		case !known:
			u.Status = kyc.InReview
		case status == kyc.Rejected:
			pairs, h := plaidReasons.rows([]string{step.name + "=" + word}, plaidRow)
			fallback := retryable
			if grave(pairs) {
				fallback = terminal
			}
			reject(&u, pairs, h, fallback)
		}
		us = append(us, u)
	}
	return us
}
