package provider

import (
	"bytes"
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
	footprintName    = "footprint"
	footprintVersion = 2 // footprint.onboarding.status_changed and more words
)

// Footprint's callbacks are delivered by Svix, which signs every attempt afresh under the same id.
var footprint = Adapter{
	Name:      footprintName,
	Version:   footprintVersion,
	Doc:       "https://docs.onefootprint.com",
	Evidence:  kyc.Signed,
	Options:   footprintOptions,
	Scheme:    footprintScheme,
	Translate: translateFootprint,
	Headers:   []string{"Svix-Id", "Svix-Signature", "Webhook-Id"},
	// fp_id is one person or firm, and so is each onboarding of it.
	PersonRefs: []RefKind{SubjectRef, SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.Screening},
	Workflow:   "playbook_key",
	Events:     slices.Sorted(maps.Keys(footprintEvents)),
	Gaps: []string{
		"How long Footprint waits for an answer and when it tries again are known of Svix in general, not of Footprint.",
		"Events carry no reasons: a rejection has reason other.",
		"footprint.user.manual_review says that somebody reviewed the person, not what they decided, and like footprint.user.info_requested it names no onboarding: what it " +
			"says stands until a newer onboarding has an outcome or an operator decides.",
		"footprint.onboarding.status_changed is deprecated and names no onboarding; after a manual review it may be the only word, so it is read. Footprint sends it to some accounts only.",
		"Firms are not told apart: every subject is an individual.",
	},
	reasons: reasonTable{},
}

var footprintOptions = map[string]string{
	"tolerance":      "how old or how far ahead a signature may be, such as 10m (default 5m)",
	"info_requested": "rejected or pending: what a person is whom Footprint asks for more (default rejected, retryable)",
}

func footprintScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(footprintOptions); err != nil {
		return nil, err
	}
	if _, err := o.oneOf("info_requested", string(kyc.Rejected), string(kyc.Pending)); err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance(5*time.Minute, false)
	if err != nil {
		return nil, err
	}
	return signing.StandardWebhooks{HeaderPrefix: "svix", Tolerance: tolerance}, nil
}

// footprintEvent is what an event's name says. The zero value says nothing about the status.
type footprintEvent struct {
	status   kyc.Status
	byStatus bool // the body's status is the status
	list     bool // of persons: screening
}

var footprintEvents = map[string]footprintEvent{
	"footprint.onboarding.completed":      {byStatus: true},
	footprintChanged:                      {byStatus: true}, // of the person: deprecated, and the only one with what a reviewer decided
	"footprint.user.manual_review":        {status: kyc.InReview},
	"footprint.user.info_requested":       {status: kyc.Rejected},
	"footprint.user.bank_link_updated":    {},
	"footprint.vault.updated":             {},
	"footprint.watchlist_check.completed": {byStatus: true, list: true},
}

const footprintChanged = "footprint.onboarding.status_changed"

// footprintStatuses are the words an onboarding may end with; none is a playbook that decides
// nothing.
var footprintStatuses = map[string]kyc.Status{"pass": kyc.Approved, "fail": kyc.Rejected, "pending": kyc.Pending, "incomplete": kyc.Pending}

const footprintNone = "none"

// footprintLists are the words a check of lists may end with, as Footprint publishes them;
// not_needed is none.
var footprintLists = map[string]kyc.Status{"pass": kyc.Approved, "fail": kyc.InReview, "pending": kyc.Pending, "error": kyc.InReview}

const footprintUnneeded = "not_needed"

type footprintBody struct {
	Event        string         `json:"event_kind"`
	ID           ident          `json:"fp_id"`
	ExternalID   ident          `json:"external_id"`
	Live         *bool          `json:"is_live"`
	Timestamp    string         `json:"timestamp"`
	OnboardingID ident          `json:"onboarding_id"`
	Playbook     ident          `json:"playbook_key"`
	Review       *bool          `json:"requires_manual_review"`
	Status       string         `json:"status"`
	NewStatus    string         `json:"new_status"` // of footprint.onboarding.status_changed
	Error        jsontext.Value `json:"error"`
}

func translateFootprint(h signing.Header, body []byte, o Options) (Result, error) {
	var b footprintBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Event == "" {
		return Result{}, unreadable("event_kind", "is missing")
	}
	r := Result{EventID: footprintID(h), EventType: word(b.Event), Livemode: b.live()}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	e, known := footprintEvents[b.Event]
	said := b.said()
	switch {
	case !known && said != "" && said != footprintNone:
		r.Hold = UnknownEvent
	case !known:
		r.Ignored = unknownEv
	case e.status == "" && !e.byStatus, e.byStatus && said == "", e.byStatus && !e.list && said == footprintNone, e.list && said == footprintUnneeded,
		b.Event == footprintChanged && said == "pass" && b.Review == nil: // older ones leave the review to footprint.onboarding.completed
		r.Ignored = noStatus
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	var f fields
	u := observe(footprintName, footprintVersion, r, f.time("timestamp", b.Timestamp, time.Millisecond, time.RFC3339))
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	u.Subject = kyc.Subject{ID: f.id("external_id", b.ExternalID), ProviderRef: f.id("fp_id", b.ID), Kind: kyc.Individual}
	u.Verification = kyc.Verification{Ref: f.id("onboarding_id", b.OnboardingID), Workflow: f.id("playbook_key", b.Playbook)}
	if u.Subject.ID == "" && u.Subject.ProviderRef == "" && u.Verification.Ref == "" {
		f.fail("fp_id", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if (e.status != "" || b.NewStatus != "") && u.Verification.Ref == "" && !u.OccurredAt.IsZero() {
		// Each is a session of its own: together they would be as old as the first of them, and a
		// later one would hide behind a newer onboarding.
		u.Verification.ParentRef = b.Event + "@" + b.Timestamp
	}
	switch {
	case e.list:
		r.KeepBody = b.screening(&u)
	case e.byStatus:
		r.KeepBody = b.onboarding(&u)
	case e.status == kyc.Rejected && o["info_requested"] == string(kyc.Pending):
		u.Status = kyc.Pending
	case e.status == kyc.Rejected:
		reject(&u, []kyc.ReasonPair{{Code: kyc.DocumentMissing}}, retryable)
	default:
		u.Status = e.status
	}
	r.Updates = []kyc.Update{u}
	return r, nil
}

// said is the body's word for the status, under either of its names.
func (b *footprintBody) said() string {
	if b.Event == footprintChanged {
		return b.NewStatus
	}
	return cmp.Or(b.Status, b.NewStatus)
}

// live is what the body says of its mode: in words, or by the ids that persons and firms of the
// sandbox have.
func (b *footprintBody) live() *bool {
	if strings.HasPrefix(string(b.ID), "fp_id_test_") || strings.HasPrefix(string(b.ID), "fp_bid_test_") {
		return new(false)
	}
	return b.Live
}

// footprintID is the id that the signature covers, under the name by which the signature was
// judged. A body has none.
func footprintID(h signing.Header) string {
	name := "svix-id"
	if len(h.Values("svix-signature")) == 0 {
		name = "webhook-id"
	}
	if v := h.Values(name); len(v) == 1 {
		return word(v[0])
	}
	return ""
}

// onboarding fills in the status, and reports a word that is unknown, or a pass that does not say
// whether a person must look at it.
func (b *footprintBody) onboarding(u *kyc.Update) (doubtful bool) {
	status, known := footprintStatuses[b.said()]
	switch review := b.Review != nil && *b.Review; {
	case !known, status == kyc.Approved && b.Review == nil:
		u.Status, doubtful = kyc.InReview, true
	case review && (status == kyc.Approved || status == kyc.Rejected):
		u.Status = kyc.InReview
	case status == kyc.Rejected:
		reject(u, nil, terminal)
	default:
		u.Status = status
	}
	return doubtful
}

// screening fills in what the lists say: a hit is for a person to judge.
func (b *footprintBody) screening(u *kyc.Update) (doubtful bool) {
	status, known := footprintLists[b.Status]
	u.Scope, u.Check, u.Status = kyc.CheckScope, kyc.Screening, kyc.InReview
	faultless := len(b.Error) == 0 || slices.ContainsFunc([]string{"null", "false", `""`}, func(s string) bool { return bytes.Equal(b.Error, []byte(s)) })
	switch {
	case b.Status == "fail":
		u.Reasons = []kyc.ReasonPair{{Code: kyc.OtherReason}} // which list it was does not come with it
	case b.Status == "error", !faultless:
		u.Reasons = []kyc.ReasonPair{{Code: kyc.TechnicalFailure}}
	case known:
		u.Status = status
	}
	return !known || status == kyc.Approved && !faultless
}
