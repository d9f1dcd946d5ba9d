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
	alloyName    = "alloy"
	alloyVersion = 2 // the events of journeys
)

var alloy = Adapter{
	Name:      alloyName,
	Version:   alloyVersion,
	Doc:       "https://developer.alloy.com/public/docs/authentication-types",
	Evidence:  kyc.Signed,
	Proves:    alloyProves,
	Options:   alloyOptions,
	Scheme:    alloyScheme,
	Translate: translateAlloy,
	// An entity is one person or company. A journey application may be of several, and stands where
	// evaluations and reviews do.
	PersonRefs: []RefKind{SubjectRef},
	Overall:    []kyc.Check{kyc.RiskAssessment},
	Steps:      []kyc.Check{kyc.RiskAssessment},
	Workflow:   "application_token",
	Events:     slices.Sorted(maps.Keys(alloyEvents)),
	Gaps: []string{
		"The vendor's sample code signs the body as it prints it again; that this is what it sends, byte for byte, is not verified.",
		"The vendor's published signature could not be computed again, for a field of its example is hidden.",
		"OAuth 2.0, where Alloy fetches a token from us, is not supported.",
		"The fields of an event, and request_token as its id, come from third parties; the time limit is not verified.",
		"Outcomes are words of the account; one that is neither the vendor's nor configured stays in review.",
		"Of the words for a journey application's status only completed_denied was seen; the others follow the words for outcomes.",
		"Events of live and sandbox journeys end in :live and :sandbox; for others give each a source.",
		"An outcome under a name that is not known approves and rejects nobody: of a review, an evaluation or a journey it waits in review, and its body is kept. That goes " +
			"for group reviews, for evaluations made again or by a vendor's alert, and for journeys under other names. Of anything else the body alone is kept.",
		"In a journey, completed_application and completed_review_journey_application speak for the whole; the outcome of an evaluation or a review is a step of it. That " +
			"maximum_retries_reached is for a person to judge, and error a technical failure, is our reading: neither says what follows.",
		"A journey application may be of several people, so its token alone leads to nobody; register it as a submission where it is of one.",
		"Companies are not told from individuals.",
		"Reasons are tags of the account: each becomes other, beside the tag if it is one word.",
		"With basic authentication approvals and denials stay claims: Alloy's API is not asked.",
	},
}

var alloyOptions = map[string]string{
	"scheme":   "hmac (Authorization is the base64 HMAC of the body) or basic (the key is user:password) (default hmac)",
	"approved": "outcomes that approve, beside Approved, separated by commas",
	"denied":   "outcomes that reject for good, beside Denied, separated by commas",
	"review":   "outcomes that wait for a person, beside Manual Review, separated by commas",
}

func alloyScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(alloyOptions); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range []string{"approved", "denied", "review"} {
		for _, outcome := range alloyOutcomes(o, name) {
			if outcome == "" || seen[outcome] {
				return nil, fmt.Errorf("option %s: %q holds an outcome twice, or an empty one", name, o[name])
			}
			seen[outcome] = true
		}
	}
	kind, err := o.oneOf("scheme", "hmac", "basic")
	if err != nil {
		return nil, err
	}
	if kind == "basic" {
		return signing.Static{Header: "Authorization", Scheme: signing.Basic}, nil
	}
	// The bare digest, without a word for the scheme.
	return signing.BodyHMAC{Header: "Authorization", Hash: signing.SHA256, Encoding: signing.Base64}, nil
}

func alloyProves(o Options) kyc.Authenticity {
	if o["scheme"] == "basic" {
		return kyc.Authenticated
	}
	return kyc.Signed
}

// alloyOutcomes are the words of one option and the vendor's own, as alloyWord writes them.
func alloyOutcomes(o Options, option string) []string {
	own := map[string]string{"approved": "approved", "denied": "denied", "review": "manual review"}
	words := []string{own[option]}
	if list, ok := o[option]; ok {
		for w := range strings.SplitSeq(list, ",") {
			words = append(words, alloyWord(w))
		}
	}
	return words
}

// alloyWord is how outcomes are compared: journeys write them with underscores.
func alloyWord(s string) string {
	return strings.ToLower(strings.TrimSpace(strings.ReplaceAll(s, "_", " ")))
}

// alloyEvents are the types that carry an outcome; true for the one whose outcome is the whole
// journey's.
var alloyEvents = map[string]bool{
	alloyLive:    false, // what happened stands in data.type: see alloyStages
	alloySandbox: false,

	"create:evaluations:run_create":      false,
	"create:reviews:is_entity":           false,
	"update:journey_applications:status": true,
}

// The events of journeys, which the vendor publishes:
// https://developer.alloy.com/public/docs/journey-events
const (
	alloyLive    = "update:journeyapplications:live"
	alloySandbox = "update:journeyapplications:sandbox"
)

// alloyStage is what has happened in a journey. The zero value says nothing about the status.
type alloyStage struct {
	status    kyc.Status
	byOutcome bool // the outcome is the status
	whole     bool // of the application, else of one entity's step
	reason    kyc.Reason
}

// alloyStages: the word says what happened, and while a journey goes on its outcomes are those of
// its steps.
var alloyStages = map[string]alloyStage{
	"completed_application":                {byOutcome: true, whole: true}, // fires once for each, with an outcome or without
	"completed_review_journey_application": {byOutcome: true, whole: true}, // its outcome is the application's last
	"completed_review":                     {byOutcome: true},              // another evaluation may follow
	"completed_evaluation":                 {byOutcome: true},

	"pending_review":                     {status: kyc.InReview},
	"pending_journey_application_review": {status: kyc.InReview},
	"waiting_review":                     {status: kyc.InReview},
	"started_review":                     {status: kyc.InReview},
	"error":                              {status: kyc.InReview, reason: kyc.TechnicalFailure},
	"maximum_retries_reached":            {status: kyc.InReview, reason: kyc.AttemptsExceeded},

	"started_application":      {status: kyc.Pending},
	"started_evaluation":       {status: kyc.Pending},
	"data_request_evaluation":  {status: kyc.Pending},
	"waiting_evaluation":       {status: kyc.Pending},
	"pending_documents":        {status: kyc.Pending},
	"pending_step_up":          {status: kyc.Pending},
	"pending_action":           {status: kyc.Pending},
	"pending_workflow_service": {status: kyc.Pending},
	"reached_retry_node":       {status: kyc.Pending},

	"completed_action":                         {},
	"completed_branch":                         {}, // what its evaluations and the application said
	"completed_reconciliation":                 {}, // completed_application follows
	"has_finished_sending_additional_entities": {},
	"pending_action_expired":                   {}, // the journey goes on without it
	"reached_auto_decision_node":               {},
	"started_rerun_application":                {}, // of another application
	"visited_node":                             {},
}

// alloyFamilies are the objects whose events have no outcome, alloyDeciders those of which an
// outcome is a word about a person, whatever the event's name.
var (
	alloyFamilies = []string{"entities", "documents", "notes"}
	alloyDeciders = []string{"evaluations", "reviews"}
)

type alloyBody struct {
	ID   ident  `json:"request_token"`
	At   ident  `json:"timestamp"` // milliseconds
	Type string `json:"type"`
	Data struct {
		EntityID    ident    `json:"external_entity_id"`
		Entity      ident    `json:"entity_token"`
		Evaluation  ident    `json:"evaluation_token"`
		Review      ident    `json:"review_token"`
		Application ident    `json:"application_token"`
		Journey     ident    `json:"journey_application_token"`
		Kind        string   `json:"type"` // what happened in a journey
		State       string   `json:"status"`
		Outcome     string   `json:"outcome"`
		Complete    string   `json:"complete_outcome"`
		Status      string   `json:"evaluation_status"`
		JourneyIs   string   `json:"journey_application_status"`
		Group       ident    `json:"group_token"`
		Reason      string   `json:"reason"`
		Reasons     []string `json:"reasons"`

		Completed jsontext.Value `json:"completed"` // of a review: whether, or when in milliseconds
		At        raw[ident]     `json:"timestamp"`
	} `json:"data"`
}

func translateAlloy(_ signing.Header, body []byte, o Options) (Result, error) {
	var b alloyBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" {
		return Result{}, unreadable("type", "is missing")
	}
	var f fields
	r := Result{EventID: f.id("request_token", b.ID), EventType: word(b.Type), Livemode: b.livemode()}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	if r.Ignored, r.Hold = b.ignored(); (r.Ignored != "" || r.Hold != "") && f.err == nil {
		return r, nil
	}
	if r.EventType == "" {
		f.fail("type", "is not a word")
	}
	u := observe(alloyName, alloyVersion, r, f.epoch("timestamp", b.at(), time.Millisecond))
	b.who(&u, &f)
	if f.err != nil {
		return Result{}, f.err
	}
	if b.staged() {
		r.KeepBody = b.happened(o, &u)
	} else {
		r.KeepBody = b.what(o, &u)
	}
	r.Updates = []kyc.Update{u}
	return r, nil
}

// who fills in the subject, the session and the scope.
func (b *alloyBody) who(u *kyc.Update, f *fields) {
	d := &b.Data
	u.Subject = kyc.Subject{ID: f.id("external_entity_id", d.EntityID), ProviderRef: f.id("entity_token", d.Entity), Kind: kyc.Individual}
	if group := f.id("group_token", d.Group); group != "" && group == u.Subject.ProviderRef || strings.HasPrefix(u.Subject.ProviderRef, "G-") {
		u.Subject.ProviderRef = "" // several people
	}
	review, evaluation, journey := f.id("review_token", d.Review), f.id("evaluation_token", d.Evaluation), f.id("journey_application_token", d.Journey)
	u.Verification = kyc.Verification{Ref: evaluation, Workflow: f.id("application_token", d.Application)}
	u.Scope, u.Check = kyc.Overall, kyc.RiskAssessment
	if b.whole() || strings.HasPrefix(b.about(), "journey") {
		u.Verification.Ref = journey
		if s := alloyStages[d.Kind]; b.staged() && s.byOutcome && !s.whole {
			u.Scope = kyc.CheckScope
		}
	} else {
		if journey != "" { // a step, which does not speak for the journey
			u.Scope = kyc.CheckScope
		}
		if review != "" { // newer than the evaluation it decides, so a session of its own
			u.Verification.Ref = review
		}
	}
	if u.Subject.ID == "" && u.Subject.ProviderRef == "" && u.Verification.Ref == "" {
		f.fail("entity_token", "is missing")
	}
}

// ignored says why the event carries no status, or why it is kept without being applied.
func (b *alloyBody) ignored() (why string, hold Hold) {
	_, known := alloyEvents[b.Type]
	decided := b.Data.Outcome != "" || b.Data.Complete != "" || b.Data.JourneyIs != ""
	switch stage, told := alloyStages[b.Data.Kind]; {
	case b.staged() && told && !stage.whole && stage.status == "" && (!stage.byOutcome || !decided):
		return noStatus, ""
	case b.staged() && !told && !decided:
		return unknownEv, ""
	case known && b.whole() && b.Data.JourneyIs == "", !known && b.family() && !decided:
		return noStatus, ""
	case !known && !decided:
		return unknownEv, ""
	case !known && !slices.Contains(alloyDeciders, b.about()) && !strings.HasPrefix(b.about(), "journey"):
		return "", UnknownEvent
	default: // of a review, an evaluation or a journey an outcome says something under any name
		return "", ""
	}
}

// staged reports an event of a journey that says what happened.
func (b *alloyBody) staged() bool {
	return (b.Type == alloyLive || b.Type == alloySandbox) && !b.whole()
}

// about is the second word of the type: what happened stands before it, which of it behind.
func (b *alloyBody) about() string {
	_, rest, _ := strings.Cut(b.Type, ":")
	word, _, _ := strings.Cut(rest, ":")
	return word
}

// family reports whether the event is about an object that usually has no outcome.
func (b *alloyBody) family() bool { return slices.Contains(alloyFamilies, b.about()) }

// whole reports whether the event is a whole journey's status.
func (b *alloyBody) whole() bool {
	return alloyEvents[b.Type] || (b.Type == alloyLive || b.Type == alloySandbox) && b.Data.Kind == "" && b.Data.JourneyIs != ""
}

// livemode is what the end of the type may say.
// https://developer.alloy.com/public/docs/journey-events
func (b *alloyBody) livemode() *bool {
	return mode(b.Type[strings.LastIndexByte(b.Type, ':')+1:])
}

// completed reports whether a review is; what is not reviewed does not say.
func (b *alloyBody) completed() bool {
	switch c := string(b.Data.Completed); c {
	case "", "null", "true":
		return true
	default:
		return c[0] >= '1' && c[0] <= '9'
	}
}

// at is when it happened. A review and a journey have a time of their own, and in an example of the
// vendor's the one beside it is a day later, like the last retry.
func (b *alloyBody) at() ident {
	own, ok := b.Data.At.read()
	if b.about() != "reviews" && !b.staged() || !ok || !own.digits() {
		return b.At
	}
	return own
}

// what fills in the status, and reports a word that is unknown or contradicts another: that is in
// review.
func (b *alloyBody) what(o Options, u *kyc.Update) (doubtful bool) {
	outcome, at := alloyWord(b.Data.Outcome), alloyWord(b.Data.Status)
	open := strings.HasPrefix(at, "pending") || !b.completed()
	_, known := alloyEvents[b.Type]
	also := outcome
	if b.whole() {
		outcome, at, open = strings.TrimPrefix(alloyWord(b.Data.JourneyIs), "completed "), "", false
		if strings.HasPrefix(outcome, "pending") {
			outcome = ""
		}
	}
	pairs := reasonTable(nil).pairs(b.why())
	u.Status = kyc.InReview
	switch {
	case !known, also != "" && slices.Contains(alloyOutcomes(o, "approved"), outcome) && !slices.Contains(alloyOutcomes(o, "approved"), also):
		return true
	case outcome == "" && (open || at == "" || strings.HasPrefix(at, "complete")):
		u.Status = kyc.Pending
	case outcome == "", open, at != "" && at != "complete" && at != "completed":
		return true
	default:
		return alloyJudge(o, outcome, pairs, u)
	}
	return false
}

// happened fills in what has happened in a journey, and reports what is unknown, contradicts itself
// or says no more than that it is over: that is in review.
func (b *alloyBody) happened(o Options, u *kyc.Update) (doubtful bool) {
	outcome := cmp.Or(alloyWord(b.Data.Complete), alloyWord(b.Data.Outcome))
	differ := b.Data.Outcome != "" && alloyWord(b.Data.Outcome) != outcome
	if last, over := strings.CutPrefix(alloyWord(b.Data.JourneyIs), "completed "); over {
		outcome, differ = cmp.Or(outcome, last), differ || outcome != "" && outcome != last
	}
	stage, known := alloyStages[b.Data.Kind]
	open := stage.whole && b.Data.State != "" && alloyWord(b.Data.State) != "completed"
	switch u.Status = kyc.InReview; {
	case !known, differ, open, stage.byOutcome && outcome == "", !stage.byOutcome && slices.Contains(alloyOutcomes(o, "denied"), outcome):
		return true
	case stage.byOutcome:
		return alloyJudge(o, outcome, reasonTable(nil).pairs(b.why()), u)
	case stage.reason != "":
		u.Reasons = []kyc.ReasonPair{{Code: stage.reason, ProviderCode: b.Data.Kind}}
	}
	if stage.status != "" {
		u.Status = stage.status
	}
	return false
}
