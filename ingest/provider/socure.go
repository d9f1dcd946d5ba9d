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
	socureName    = "socure"
	socureVersion = 3 // the event names of the settings page
)

// Socure has two products that call back: RiskOS, whose evaluations carry a decision, and the older
// document verification, whose events carry none.
var socure = Adapter{
	Name:       socureName,
	Version:    socureVersion,
	Doc:        "https://help.socure.com/riskos/docs/docv-webhooks",
	Evidence:   kyc.Authenticated, // a fixed credential; nothing covers the body but TLS
	Options:    socureOptions,
	Scheme:     socureScheme,
	Translate:  translateSocure,
	PersonRefs: []RefKind{SessionRef}, // an evaluation or a transaction is one of one person
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Events:     slices.Sorted(maps.Keys(socureEvents)),
	API:        &socureAPI,
	reasons:    socureReasons,
	Gaps: []string{
		"No signature was found in public pages: a fixed credential, set up with the webhook, proves the sender. OAuth 2.0 credentials are not supported.",
		"The addresses that Socure calls from are not verified. For watchlist webhooks its page says 30 seconds, and that the fifth failure deletes the webhook; for others its schedule was not read.",
		"The names of the fields with our user id, the provider's ids and the environment are not verified.",
		"Where an evaluation names no customer_user_id, its eval_id must be registered as a submission.",
		"The answer about a transaction does not name the person: the transaction's earlier events do, or a submission.",
		"Which decision words a workflow uses is configurable; an unknown one stays in review.",
		"Matches of the Global Watchlist inside an evaluation are a screening in review, with the kinds that the lists' names tell; nothing of Socure's clears it. The alerts of its monitoring come from a third party's description.",
		"Reason codes (R and I with a number) are bound to a licence: each becomes other, beside the code.",
		"Changed and repeated decisions (decision_update, case_decision_changed, fraud_confirming, reevaluation) are not read but asked for; their bodies are not verified.",
		"The bodies of evaluation_resumed, case_status_changed, case_assigned, watchlist_match_found, watchlist_monitoring_alert, monitored_search_updated and case_closure are not published; they are read in the envelope of the other events. One that names nobody is kept in quarantine.",
		"Whether decision_at moves when a decision changes is not verified; while it does not, the stricter of the two stands.",
		"API: the path of an evaluation is not verified.",
		"API: a source for the older document verification must name its own base URL, https://api.socure.com; its shape comes from a third party.",
	},
}

var socureOptions = map[string]string{
	"auth":   "bearer (Authorization: Bearer with the key), basic (the key is user:password) or header (the key is the value of a static header) (default bearer)",
	"header": "with auth: header, the name of that header, such as X-Countersign-Token",
}

func socureScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(socureOptions); err != nil {
		return nil, err
	}
	return o.static("bearer", "basic", "header")
}

// socureEvent is what an event's name says. The zero value says nothing about the status.
type socureEvent struct {
	status     kyc.Status
	byDecision bool   // the decision is the status
	asks       string // what to ask the API for
	fault      bool   // of the integration
	lists      bool   // about lists of persons
}

// What Socure's API is asked for.
const (
	socureEvaluation  = "evaluation"
	socureTransaction = "transaction"
)

// socureEvents: lower case is RiskOS (https://help.socure.com/riskos/docs/webhook-events), upper
// case the older document verification.
var socureEvents = map[string]socureEvent{
	"evaluation_completed":      {byDecision: true},
	"evaluation_paused":         {status: kyc.Pending}, // it waits for the person, whatever its decision is so far
	"reevaluation":              {asks: socureEvaluation},
	"decision_update":           {asks: socureEvaluation},
	"fraud_confirming":          {asks: socureEvaluation},
	"workflow_execution_failed": {fault: true},
	"review_case_assigned":      {},
	"review_case_unassigned":    {},
	"case_status_updated":       {},
	"case_notes_added":          {},
	"case_attachment_added":     {},

	// These names are in the reference of the settings, and in no sample of a body:
	// https://help.socure.com/riskos/docs/webhook-configuration-reference
	"evaluation_resumed":         {status: kyc.Pending},
	"case_decision_changed":      {asks: socureEvaluation},
	"case_status_changed":        {},
	"case_assigned":              {},
	"watchlist_match_found":      {status: kyc.InReview, lists: true},
	"watchlist_monitoring_alert": {status: kyc.InReview, lists: true},
	// https://help.socure.com/riskos/docs/watchlist-webhooks-overview
	"monitored_search_updated": {status: kyc.InReview, lists: true},
	"case_closure":             {},

	"APP_OPENED":             {status: kyc.Pending},
	"DOCUMENTS_UPLOADED":     {status: kyc.Pending},
	"VERIFICATION_COMPLETED": {asks: socureTransaction},
	"SESSION_EXPIRED":        {status: kyc.Expired},

	"WATCHLIST_NEW_MATCH":     {status: kyc.InReview, lists: true}, // of daily monitoring
	"WATCHLIST_UPDATED_MATCH": {status: kyc.InReview, lists: true},
	"WATCHLIST_CLEARED":       {},
}

// socureData is an evaluation, in a callback and as the API gives it. The requests and answers
// inside it hold the person's data and are never read.
type socureData struct {
	EvalID      ident  `json:"eval_id"`
	User        ident  `json:"customer_user_id"`
	Environment string `json:"environment_name"`
	Decision    string `json:"decision"`
	DecidedAt   string `json:"decision_at"`
	Status      string `json:"eval_status"`
	Enrichments []struct {
		Response raw[socureResponse] `json:"response"`
	} `json:"data_enrichments"`
}

// socureResponse is one service's answer, of which nothing is read but the names of the lists on
// which somebody was found.
type socureResponse struct {
	Watchlist struct {
		Matches raw[map[string]jsontext.Value] `json:"matches"`
	} `json:"globalWatchlist"`
}

// socureKinds tell the kind of a list by a word in its name.
var socureKinds = []struct {
	code   string
	within []string
}{
	{"globalWatchlist.sanctions", []string{"ofac", "sanction", "sdn"}},
	{"globalWatchlist.pep", []string{"pep", "politic"}},
	{"globalWatchlist.media", []string{"media"}},
}

// listed reads on which kinds of list an evaluation found somebody.
func (d *socureData) listed() (found bool, codes []string) {
	for _, e := range d.Enrichments {
		response, _ := e.Response.read()
		matches, ok := response.Watchlist.Matches.read()
		found = found || len(matches) > 0 || !ok && string(response.Watchlist.Matches.Value) != "[]"
		for _, name := range slices.Sorted(maps.Keys(matches)) {
			for _, kind := range socureKinds {
				if slices.ContainsFunc(kind.within, func(w string) bool { return strings.Contains(strings.ToLower(name), w) }) {
					codes = append(codes, kind.code)
				}
			}
		}
	}
	return found, codes
}

// beside adds the screening that stands beside an evaluation.
func (d *socureData) beside(us []kyc.Update) []kyc.Update {
	found, codes := d.listed()
	if !found {
		return us
	}
	return append(us, hitBeside(us[0], false, socureReasons.pairs(codes)))
}

// socureReasons are the kinds of lists. Socure's own codes are bound to a licence.
var socureReasons = newReasons(
	means(kyc.SanctionsMatch, terminal, "globalWatchlist.sanctions"),
	means(kyc.PEPMatch, terminal, "globalWatchlist.pep"),
	means(kyc.AdverseMediaMatch, terminal, "globalWatchlist.media"),
)

type socureBody struct {
	// RiskOS.
	ID   ident      `json:"event_id"`
	Type string     `json:"event_type"`
	At   string     `json:"event_at"`
	Data socureData `json:"data"`

	// The older document verification.
	Event struct {
		Type          string `json:"eventType"`
		At            string `json:"created"`
		TransactionID ident  `json:"docvTransactionId"`
		User          ident  `json:"customerUserId"`
	} `json:"event"`

	// Monitoring of lists of persons.
	AlertType string `json:"eventType"`
	AlertID   ident  `json:"alertId"`
	AlertAt   string `json:"eventTime"`
	ProfileID ident  `json:"profileId"`
	User      ident  `json:"customerUserId"`
}

func translateSocure(_ signing.Header, body []byte, _ Options) (Result, error) {
	var b socureBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	name := cmp.Or(b.Type, b.Event.Type, b.AlertType)
	if name == "" {
		return Result{}, unreadable("event_type", "is missing")
	}
	var f fields
	r := Result{EventID: f.id("event_id", cmp.Or(b.ID, b.AlertID)), EventType: word(name), Livemode: mode(b.Data.Environment)}
	e, known := socureEvents[name]
	at := f.time("event_at", cmp.Or(b.At, b.Event.At, b.AlertAt), time.Second, time.RFC3339)
	if decided := f.time("decision_at", b.Data.DecidedAt, time.Second, time.RFC3339); e.byDecision && !decided.IsZero() {
		at = decided // as the API says it: the event comes later, and a second decision must not hide behind it
	}
	ref := f.same("eval_id", b.Data.EvalID, b.Event.TransactionID, b.ProfileID)
	switch {
	case r.EventID != "":
		r.Dedupe = []string{r.EventID}
		if e.lists { // whether an alert keeps its id when it is updated is not verified
			r.Dedupe = nil
		}
	case ref != "" && !at.IsZero(): // without a time a second evaluation would pass for the first
		r.Dedupe = []string{ref, r.EventType, at.Format(time.RFC3339)}
	}
	switch {
	case !known && b.Data.Decision != "":
		r.Hold = UnknownEvent
	case !known:
		r.Ignored = unknownEv
	case e.fault:
		r.Ignored, r.Fault = faultEv, true
	case e.byDecision && b.Data.Decision == "", !e.byDecision && e.status == "" && e.asks == "":
		r.Ignored = noStatus
	}
	u := observe(socureName, socureVersion, r, at)
	u.Subject = kyc.Subject{ID: f.same("customer_user_id", b.Data.User, b.Event.User, b.User), Kind: kyc.Individual}
	u.Verification.Ref = ref
	if r.Ignored == "" && r.Hold == "" && ref == "" && (u.Subject.ID == "" || e.asks != "") {
		f.fail("eval_id", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	switch {
	case r.Ignored != "", r.Hold != "":
		return r, nil
	case e.lists:
		r.Updates = []kyc.Update{hitBeside(u, false, nil)}
		return r, nil
	case e.asks != "":
		r.Fetch = []Fetch{{Ref: ref, What: e.asks}}
		return r, nil
	case e.byDecision:
		r.KeepBody = b.Data.judge(&u)
		if ref != "" {
			r.Fetch = []Fetch{{Ref: ref, What: socureEvaluation, Confirms: true}}
		}
	default:
		socureDecides(&u, e.status)
	}
	r.Updates = b.Data.beside([]kyc.Update{u})
	return r, nil
}

// judge fills in the status of an evaluation, and reports a word that is unknown or contradicts it:
// that is in review.
func (d *socureData) judge(u *kyc.Update) (doubtful bool) {
	if d.Status != "" && d.Status != "evaluation_completed" {
		socureDecides(u, kyc.InReview)
		return true
	}
	return socureJudge(u, d.Decision, nil)
}

// socureJudge reads a decision and its codes.
func socureJudge(u *kyc.Update, decision string, codes []string) (doubtful bool) {
	socureDecides(u, kyc.InReview)
	pairs := reasonTable(nil).pairs(codes)
	switch strings.ToUpper(decision) { // lower case in the older API
	case "ACCEPT":
		u.Status = kyc.Approved
	case "REJECT":
		reject(u, pairs, terminal)
	case "RESUBMIT":
		reject(u, pairs, retryable)
	case "REVIEW", "REFER":
		u.Reasons = pairs
	default:
		return true
	}
	return false
}

// socureDecides fills in a status about the person.
func socureDecides(u *kyc.Update, s kyc.Status) {
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.IdentityVerification, s
	if s == kyc.Expired {
		u.ExpiryKind = kyc.ExpiryAttempt
	}
}
