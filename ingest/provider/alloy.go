package provider

import (
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
	alloyVersion = 1
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
	// An entity is one person or company. A journey application may be of several, and stands where evaluations and reviews do.
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
		"Live and sandbox journeys have event types of their own, whose names are not verified; one that ends in :live or :sandbox says so, else give each a source.",
		"An event of any other type that has an outcome or a journey's status approves and rejects nobody: it waits in review, and its body is kept. That goes for group " +
			"reviews, for evaluations made again or by a vendor's alert, and for journeys under other names.",
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

// alloyEvents are the types that carry an outcome; true for the one whose outcome is the whole journey's.
var alloyEvents = map[string]bool{
	"create:evaluations:run_create":      false,
	"create:reviews:is_entity":           false,
	"update:journey_applications:status": true,
}

// alloyFamilies are the objects whose events have no outcome.
var alloyFamilies = []string{"entities", "documents", "notes"}

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
		Outcome     string   `json:"outcome"`
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
	if r.Ignored = b.ignored(); r.Ignored != "" && f.err == nil {
		return r, nil
	}
	if r.EventType == "" {
		f.fail("type", "is not a word")
	}
	d, whole := &b.Data, b.whole()
	u := observe(alloyName, alloyVersion, r, f.epoch("timestamp", b.at(), time.Millisecond))
	u.Subject = kyc.Subject{ID: f.id("external_entity_id", d.EntityID), ProviderRef: f.id("entity_token", d.Entity), Kind: kyc.Individual}
	if group := f.id("group_token", d.Group); group != "" && group == u.Subject.ProviderRef {
		u.Subject.ProviderRef = "" // several people
	}
	review, evaluation, journey := f.id("review_token", d.Review), f.id("evaluation_token", d.Evaluation), f.id("journey_application_token", d.Journey)
	u.Verification = kyc.Verification{Ref: evaluation, Workflow: f.id("application_token", d.Application)}
	u.Scope, u.Check = kyc.Overall, kyc.RiskAssessment
	if whole || strings.HasPrefix(b.part(1), "journey") {
		u.Verification.Ref = journey
	} else {
		if journey != "" || b.family() { // a step, which does not speak for the journey
			u.Scope = kyc.CheckScope
		}
		if review != "" { // newer than the evaluation it decides, so a session of its own
			u.Verification.Ref = review
		}
	}
	if u.Subject.ID == "" && u.Subject.ProviderRef == "" && u.Verification.Ref == "" {
		f.fail("entity_token", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	r.KeepBody = b.what(o, &u)
	r.Updates = []kyc.Update{u}
	return r, nil
}

// ignored says why the event carries no status, "" if it does.
func (b *alloyBody) ignored() string {
	_, known := alloyEvents[b.Type]
	switch {
	case !known && b.family() && b.Data.Outcome == "":
		return noStatus
	case !known && b.Data.Outcome == "" && b.Data.JourneyIs == "":
		return unknownEv
	case known && b.whole() && b.Data.JourneyIs == "":
		return noStatus
	default: // an outcome says something under any name
		return ""
	}
}

// part is one of the words of the type: what happened, to what, and which of it.
func (b *alloyBody) part(n int) string {
	if parts := strings.Split(b.Type, ":"); n < len(parts) {
		return parts[n]
	}
	return ""
}

// family reports whether the event is about an object that usually has no outcome.
func (b *alloyBody) family() bool { return slices.Contains(alloyFamilies, b.part(1)) }

// whole reports whether the event's outcome is that of a whole journey.
func (b *alloyBody) whole() bool { return alloyEvents[b.Type] }

// livemode is what the end of the type may say. https://developer.alloy.com/public/docs/journey-events
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

// at is when it happened. A review has a time of its own, and in the vendor's example the one beside it is a day later, like the last retry.
func (b *alloyBody) at() ident {
	own, ok := b.Data.At.read()
	if b.part(1) != "reviews" || !ok || !own.digits() {
		return b.At
	}
	return own
}

// what fills in the status, and reports a word that is unknown or contradicts another: that is in review.
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
	case slices.Contains(alloyOutcomes(o, "approved"), outcome):
		u.Status = kyc.Approved
	case slices.Contains(alloyOutcomes(o, "denied"), outcome):
		reject(u, pairs, terminal)
	case slices.Contains(alloyOutcomes(o, "review"), outcome):
		u.Reasons = pairs
	default:
		return true
	}
	return false
}

// why lists the tags that the account gave, in the plural or the singular.
func (b *alloyBody) why() []string {
	if b.Data.Reason == "" {
		return b.Data.Reasons
	}
	return append(slices.Clip(b.Data.Reasons), b.Data.Reason)
}
