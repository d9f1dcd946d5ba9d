package provider

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
	"countersign/signing"
)

const (
	sumsubName    = "sumsub"
	sumsubVersion = 3 // applicantActivated ends a deactivation; waiting for the user or for a service
)

var sumsub = Adapter{
	Name:      sumsubName,
	Version:   sumsubVersion,
	Doc:       "https://docs.sumsub.com/docs/webhook-manager",
	Evidence:  kyc.Signed,
	Options:   sumsubOptions,
	Scheme:    sumsubScheme,
	Translate: translateSumsub,
	// An applicant is one person or company, and so is each inspection and action of it.
	PersonRefs: []RefKind{SubjectRef, SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.BusinessVerification},
	Steps:      []kyc.Check{kyc.IdentityVerification, kyc.DocumentVerification, kyc.Liveness, kyc.AddressVerification, kyc.Screening, kyc.RiskAssessment, kyc.TaxIDVerification, kyc.BusinessVerification},
	Workflow:   "levelName",
	Events:     slices.Sorted(maps.Keys(sumsubEvents)),
	Gaps: []string{
		"applicantActivated ends the deactivation of the same inspection, at its own time; one without a time or an inspection, or with an answer that is not clear, ends nothing.",
		"What an AML case was rejected for is known only where the event has labels; else it is other, and final.",
	},
	reasons: sumsubReasons,
}

var sumsubOptions = map[string]string{
	"algorithm": "sha1, sha256 or sha512: the digest chosen in the dashboard; a delivery that announces another is refused (default sha256)",
}

// sumsubScheme pins the algorithm. The sender names its own in a header, and whoever forges a
// delivery would name the weakest.
func sumsubScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(sumsubOptions); err != nil {
		return nil, err
	}
	algorithm, err := o.oneOf("algorithm", string(signing.SHA256), string(signing.SHA1), string(signing.SHA512))
	if err != nil {
		return nil, err
	}
	return signing.BodyHMAC{
		Header:    "X-Payload-Digest",
		Hash:      signing.HashName(algorithm),
		Encoding:  signing.Hex,
		Announce:  "X-Payload-Digest-Alg",
		Announced: "HMAC_" + strings.ToUpper(algorithm) + "_HEX",
	}, nil
}

// sumsubAbout is what an event is about.
type sumsubAbout byte

const (
	sumsubPerson sumsubAbout = iota
	sumsubAction             // one step, which leaves the overall status alone
	sumsubAML                // a screening case
)

// sumsubEvent is what an event's name says. The zero value says nothing about the status.
type sumsubEvent struct {
	about    sumsubAbout
	status   kyc.Status
	byAnswer bool // the review's answer is the status
	failed   bool // the name itself says no
	ifInit   bool // only if the review is back at its beginning
	releases bool // it ends a suspension, beside what its answer says, if it has one
}

var sumsubEvents = map[string]sumsubEvent{
	"applicantCreated":           {status: kyc.NotStarted},
	"applicantPending":           {status: kyc.Pending},
	"applicantPrechecked":        {status: kyc.Pending},
	"applicantOnHold":            {status: kyc.InReview}, // may carry an answer, which is not final
	"applicantReviewed":          {byAnswer: true},       // may come again with another answer: an approval is not the last word
	"applicantWorkflowCompleted": {byAnswer: true},       // beside applicantReviewed; the fold owes nothing for the repeat
	"applicantWorkflowFailed":    {byAnswer: true, failed: true},
	"applicantReset":             {status: kyc.NotStarted},
	"applicantDeactivated":       {status: kyc.Suspended},
	"applicantActivated":         {byAnswer: true, releases: true},
	"applicantLevelChanged":      {status: kyc.NotStarted, ifInit: true},
	"applicantActionReviewed":    {about: sumsubAction, byAnswer: true},
	"applicantActionPending":     {about: sumsubAction, status: kyc.Pending},
	"applicantActionOnHold":      {about: sumsubAction, status: kyc.InReview},
	"amlCaseApproved":            {about: sumsubAML, status: kyc.Approved},
	"amlCaseRejected":            {about: sumsubAML, status: kyc.Rejected},
	"amlCaseOnHold":              {about: sumsubAML, status: kyc.InReview},

	"applicantAwaitingUser":    {status: kyc.Pending},
	"applicantAwaitingService": {status: kyc.Pending},
	"applicantStepsReset":      {status: kyc.Pending}, // steps are to be taken again: unlike applicantReset it takes nothing back

	"applicantActionLevelChanged":    {},
	"applicantPersonalInfoChanged":   {},
	"applicantTagsChanged":           {},
	"applicantDeleted":               {},
	"applicantPersonalDataDeleted":   {},
	"videoIdentStatusChanged":        {},
	"videoIdentCompositionCompleted": {},
	"travelRuleAction":               {},
	"kybCompanyActivity":             {},
}

// sumsubFamilies are the beginnings of names that Sumsub keeps adding to; none of them is about
// verification.
var sumsubFamilies = []string{"applicantKyt", "kytCase"}

// sumsubReviewStates are the words of reviewStatus; the last two belong to events that wait for
// someone else.
var sumsubReviewStates = []string{"init", "pending", "prechecked", "queued", "onHold", "completed", "awaitingUser", "awaitingService"}

type sumsubBody struct {
	Type           string         `json:"type"`
	ApplicantID    ident          `json:"applicantId"`
	InspectionID   ident          `json:"inspectionId"`
	ActionID       ident          `json:"applicantActionId"`
	ApplicantType  string         `json:"applicantType"`
	CorrelationID  ident          `json:"correlationId"`
	LevelName      ident          `json:"levelName"`
	ExternalUserID ident          `json:"externalUserId"`
	TestMode       jsontext.Value `json:"testMode"` // of what somebody sends by hand: https://docs.sumsub.com/docs/webhook-manager
	SandboxMode    *bool          `json:"sandboxMode"`
	ReviewStatus   string         `json:"reviewStatus"`
	CreatedAt      ident          `json:"createdAt"`
	CreatedAtMs    ident          `json:"createdAtMs"`
	Result         struct {
		Answer     string   `json:"reviewAnswer"`
		RejectType string   `json:"reviewRejectType"`
		Labels     []string `json:"rejectLabels"`
	} `json:"reviewResult"` // its comments are for people, one of them internal: never read
}

func translateSumsub(_ signing.Header, body []byte, _ Options) (Result, error) {
	var b sumsubBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" {
		return Result{}, unreadable("type", "is missing")
	}
	r := Result{EventID: word(string(b.CorrelationID)), EventType: word(b.Type), Dedupe: b.dedupe()}
	if b.SandboxMode != nil {
		live := !*b.SandboxMode
		r.Livemode = &live
	}
	if r.Ignored = b.ignored(); r.Ignored == unknownEv && b.Result.Answer != "" {
		r.Ignored, r.Hold = "", UnknownEvent
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	var f fields
	at := b.occurred(&f)
	u := observe(sumsubName, sumsubVersion, r, at)
	b.who(&u, &f)
	if f.err != nil {
		return Result{}, f.err
	}
	b.what(&u, &r)
	r.Updates = []kyc.Update{u}
	return r, nil
}

// dedupe is the tuple that Sumsub's own advice comes down to: there is no delivery id. Without a
// time and an id it would call different events the same.
func (b *sumsubBody) dedupe() []string {
	at := b.time()
	if at == "" && b.CorrelationID == "" {
		return nil
	}
	return []string{b.Type, string(b.ApplicantID), string(b.ActionID), string(b.CorrelationID), string(at)}
}

// time is the event's time as it is written, "" if it has none.
func (b *sumsubBody) time() ident { return cmp.Or(b.CreatedAtMs, b.CreatedAt) }

// ignored says why the event carries no status, "" if it does.
func (b *sumsubBody) ignored() string {
	e, known := sumsubEvents[b.Type]
	switch {
	case scalar(b.TestMode) == "true":
		return testEv
	case !known && !slices.ContainsFunc(sumsubFamilies, func(p string) bool { return strings.HasPrefix(b.Type, p) }):
		return unknownEv
	case !e.byAnswer && e.status == "", e.byAnswer && b.Result.Answer == "" && !e.failed && (!e.releases || !b.placed()), e.ifInit && b.ReviewStatus != "init":
		return noStatus
	default:
		return ""
	}
}

// placed reports whether the event names its time and its inspection: an activation without them
// ends no deactivation.
func (b *sumsubBody) placed() bool { return b.time() != "" && b.InspectionID != "" }

// occurred reads the event's time. Neither field is RFC 3339 and neither names a zone that is not
// UTC.
//
// Some events carry createdAt only, in whole seconds, and yet all times are kept in milliseconds:
// cutting them all to seconds would lose the order of reviews that follow within one. What the
// mixture can cost is the order of two events of the same second of which one lacks its
// milliseconds; terminal rejections and hits stand whatever the order, so that no approval can slip
// in that way.
func (b *sumsubBody) occurred(f *fields) time.Time {
	const naive, zoned = "2006-01-02 15:04:05", "2006-01-02 15:04:05Z0700"
	if at := f.clock("createdAtMs", b.CreatedAtMs, naive, zoned, time.RFC3339); !at.IsZero() {
		return at
	}
	return f.clock("createdAt", b.CreatedAt, zoned, naive, time.RFC3339)
}

// who fills in the subject and the session: an action is its own, everything else belongs to the
// inspection.
func (b *sumsubBody) who(u *kyc.Update, f *fields) {
	u.Subject = kyc.Subject{
		ID:          f.id("externalUserId", b.ExternalUserID),
		ProviderRef: f.id("applicantId", b.ApplicantID),
		Kind:        kyc.Individual,
	}
	if b.ApplicantType == kyc.Company {
		u.Subject.Kind = kyc.Company
	}
	u.Verification = kyc.Verification{Ref: f.id("inspectionId", b.InspectionID), Workflow: f.id("levelName", b.LevelName)}
	if action := f.id("applicantActionId", b.ActionID); sumsubEvents[b.Type].about == sumsubAction {
		u.Verification.Ref = action
	}
	if u.Subject.ID == "" && u.Subject.ProviderRef == "" {
		f.fail("applicantId", "is missing")
	}
}

// what fills in the check and its status.
func (b *sumsubBody) what(u *kyc.Update, r *Result) {
	e := sumsubEvents[b.Type]
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	if u.Subject.Kind == kyc.Company {
		u.Check = kyc.BusinessVerification
	}
	switch e.about {
	case sumsubAction:
		u.Scope, u.Check = kyc.CheckScope, b.actionCheck(u.Check)
	case sumsubAML:
		u.Scope, u.Check = kyc.CheckScope, kyc.Screening
	default:
	}
	status, payload, doubtful := b.verdict(e)
	if u.Release = e.releases && !doubtful && b.placed(); u.Release && b.Result.Answer == "" {
		return
	}
	r.KeepBody = doubtful
	pairs := sumsubReasons.pairs(b.Result.Labels)
	u.Status = status
	switch status {
	case kyc.Rejected:
		fallback := retryable // a RED without its kind, which a person may mend unless the reasons say otherwise
		if e.about == sumsubAML || grave(pairs) {
			fallback = terminal
		}
		reject(u, pairs, payload, fallback)
	case kyc.InReview:
		u.Reasons = pairs
		if e.about == sumsubAML && len(pairs) == 0 {
			u.Reasons = []kyc.ReasonPair{{Code: kyc.OtherReason}}
		}
	default: // a yes and an attempt need no reasons
	}
}

// verdict reads the status. RETRY and FINAL come from the payload alone: the same label can stand
// with either. A word we do not know, or words that contradict each other, make the event doubtful:
// in review, except that a suspension is never softened.
func (b *sumsubBody) verdict(e sumsubEvent) (status kyc.Status, payload hint, doubtful bool) {
	status = e.status
	switch {
	case e.byAnswer && b.Result.Answer == "GREEN":
		status = kyc.Approved
	case e.byAnswer && b.Result.Answer == "RED":
		status = kyc.Rejected
	case e.byAnswer && (!e.releases || b.Result.Answer != ""):
		doubtful = true
	}
	switch b.Result.RejectType {
	case "FINAL":
		payload = terminal
	case "RETRY":
		payload = retryable
	case "":
	default:
		doubtful = true
	}
	if status == kyc.Approved && (b.Result.RejectType != "" || b.Result.Answer == "RED" || e.failed) {
		doubtful = true
	}
	if s := b.ReviewStatus; s != "" && (!slices.Contains(sumsubReviewStates, s) || e.byAnswer && b.Result.Answer != "" && s != "completed") {
		doubtful = true // an answer is final only when the review is completed
	}
	if doubtful && status != kyc.Suspended {
		status = kyc.InReview
	}
	return status, payload, doubtful
}

// sumsubLevels tells the kind of an action from words in its level's name, which every account
// chooses for itself: the first row with a word in it counts.
var sumsubLevels = []struct {
	check  kyc.Check
	within []string // anywhere in the name
	whole  []string // as a word of its own
}{
	{kyc.AddressVerification, []string{"address", "residence"}, []string{"poa"}},
	{kyc.Liveness, []string{"liveness", "selfie", "biometric"}, []string{"face"}},
	{kyc.Screening, []string{"screening", "watchlist", "sanction"}, []string{"aml", "pep"}},
	{kyc.TaxIDVerification, []string{"taxid"}, []string{"tin", "tax", "ssn"}},
	{kyc.RiskAssessment, []string{"questionnaire", "payment"}, []string{"risk", "sof", "funds"}},
	{kyc.DocumentVerification, []string{"document", "passport"}, []string{"poi"}},
}

// sumsubLabelChecks tells it from the labels of a rejection, for levels whose names say nothing.
var sumsubLabelChecks = map[string]kyc.Check{
	"BAD_PROOF_OF_ADDRESS":    kyc.AddressVerification,
	"GPS_AS_POA_SKIPPED":      kyc.AddressVerification,
	"WRONG_ADDRESS":           kyc.AddressVerification,
	"BAD_PROOF_OF_IDENTITY":   kyc.DocumentVerification,
	"BAD_PROOF_OF_PAYMENT":    kyc.RiskAssessment,
	"BAD_SELFIE":              kyc.Liveness,
	"BAD_VIDEO_SELFIE":        kyc.Liveness,
	"SELFIE_MISMATCH":         kyc.Liveness,
	"BAD_FACE_MATCHING":       kyc.Liveness,
	"INCORRECT_SOCIAL_NUMBER": kyc.TaxIDVerification,
}

// actionCheck says which check an action is a step of. The level's name comes first, since it stays
// the same over the action's life while labels stand in a rejection only; a source whose levels are
// named otherwise maps them with `check:`.
func (b *sumsubBody) actionCheck(fallback kyc.Check) kyc.Check {
	name := strings.ToLower(string(b.LevelName))
	words := strings.FieldsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	for _, row := range sumsubLevels {
		if slices.ContainsFunc(row.within, func(s string) bool { return strings.Contains(name, s) }) ||
			slices.ContainsFunc(row.whole, func(s string) bool { return slices.Contains(words, s) }) {
			return row.check
		}
	}
	for _, label := range b.Result.Labels {
		if c, ok := sumsubLabelChecks[label]; ok {
			return c
		}
	}
	return fallback
}
