package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	// An entity is one person or company, and so is each evaluation, review and journey application of it.
	PersonRefs: []RefKind{SubjectRef, SessionRef},
	Events:     slices.Sorted(maps.Keys(alloyEvents)),
	Gaps: []string{
		"The vendor's sample code signs the body as it prints it again; that this is what it sends, byte for byte, is not verified.",
		"The vendor's published signature could not be computed again, for a field of its example is hidden.",
		"OAuth 2.0, where Alloy fetches a token from us, is not supported.",
		"The fields of an event, and request_token as its id, come from third parties; the time limit is not verified.",
		"Outcomes are words of the account; one that is neither the vendor's nor configured stays in review.",
		"Of the words for a journey application's status only completed_denied was seen; the others follow the words for outcomes.",
		"Live and sandbox journeys have event types of their own, whose names are not verified: give each a source.",
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
	ID   string      `json:"request_token"`
	At   json.Number `json:"timestamp"` // milliseconds
	Type string      `json:"type"`
	Data struct {
		EntityID    string   `json:"external_entity_id"`
		Entity      string   `json:"entity_token"`
		Evaluation  string   `json:"evaluation_token"`
		Review      string   `json:"review_token"`
		Application string   `json:"application_token"`
		Journey     string   `json:"journey_application_token"`
		Outcome     string   `json:"outcome"`
		Status      string   `json:"evaluation_status"`
		JourneyIs   string   `json:"journey_application_status"`
		Completed   *bool    `json:"completed"`
		Reason      string   `json:"reason"`
		Reasons     []string `json:"reasons"`
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
	r := Result{EventID: f.id("request_token", b.ID), EventType: word(b.Type)}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	if r.Ignored = b.ignored(); r.Ignored != "" && f.err == nil {
		return r, nil
	}
	d, whole := &b.Data, alloyEvents[b.Type]
	u := observe(alloyName, alloyVersion, r, f.epoch("timestamp", b.At, time.Millisecond))
	u.Subject = kyc.Subject{ID: f.id("external_entity_id", d.EntityID), ProviderRef: f.id("entity_token", d.Entity), Kind: kyc.Individual}
	review, evaluation, journey := f.id("review_token", d.Review), f.id("evaluation_token", d.Evaluation), f.id("journey_application_token", d.Journey)
	u.Verification = kyc.Verification{Ref: evaluation, Workflow: f.id("application_token", d.Application)}
	u.Scope, u.Check = kyc.Overall, kyc.RiskAssessment
	if whole {
		u.Verification.Ref = journey
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
	if f.err != nil {
		return Result{}, f.err
	}
	r.KeepBody = b.what(o, &u)
	r.Updates = []kyc.Update{u}
	return r, nil
}

// ignored says why the event carries no status, "" if it does.
func (b *alloyBody) ignored() string {
	whole, known := alloyEvents[b.Type]
	parts := strings.Split(b.Type, ":")
	switch {
	case !known && len(parts) > 1 && slices.Contains(alloyFamilies, parts[1]) && b.Data.Outcome == "":
		return noStatus
	case !known:
		return unknownEv
	case whole && b.Data.JourneyIs == "":
		return noStatus
	default:
		return ""
	}
}

// what fills in the status, and reports a word that is unknown or contradicts another: that is in review.
func (b *alloyBody) what(o Options, u *kyc.Update) (doubtful bool) {
	outcome, at := alloyWord(b.Data.Outcome), alloyWord(b.Data.Status)
	open := strings.HasPrefix(at, "pending") || b.Data.Completed != nil && !*b.Data.Completed
	if alloyEvents[b.Type] {
		outcome, at, open = strings.TrimPrefix(alloyWord(b.Data.JourneyIs), "completed "), "", false
		if strings.HasPrefix(outcome, "pending") {
			outcome = ""
		}
	}
	pairs := reasonTable(nil).pairs(b.why())
	u.Status = kyc.InReview
	switch {
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
