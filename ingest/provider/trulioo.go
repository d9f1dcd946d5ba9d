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
	truliooName    = "trulioo"
	truliooVersion = 2
)

// Trulioo has two unrelated products that call back. Their bodies tell themselves apart; what
// proves them is the source's to say.
var trulioo = Adapter{
	Name:       truliooName,
	Version:    truliooVersion,
	Doc:        "https://developer.trulioo.com/reference/webhook",
	Evidence:   kyc.Signed,
	Proves:     truliooProves,
	Options:    truliooOptions,
	Scheme:     truliooScheme,
	Translate:  translateTrulioo,
	PersonRefs: []RefKind{SessionRef}, // a transaction is one verification of one person
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.DocumentVerification, kyc.Liveness, kyc.Screening},
	Workflow:   "flowId",
	Events:     slices.Sorted(slices.Values(slices.Concat(truliooDocument, slices.Collect(maps.Keys(truliooWorkflow)), []string{truliooHandshake}))),
	API:        &truliooAPI,
	Gaps: []string{
		"The contents of a document verification event are documented by one example only; whatever else it may say, the transaction is asked for.",
		"What an error's code means is not verified; only a message that says that the image is unreadable is a rejection.",
		"The schedule and time limit of retries are not verified.",
		"Workflow Studio: what the services of a type beside those of Person Match, Document Verification and Person Watchlist say of a person is not verified; they stay in review. So does REJECT, which is the flow's own decision.",
		"Workflow Studio: a match of IDV approves the person whatever DOCV finds: where a flow has both, let the policy require document_verification too.",
		"Workflow Studio: what match means for a watchlist service is not verified; such a service approves only where each list says that there is no hit, and a hit beside any other service is a screening in review.",
		"Workflow Studio: the bodies of manual decisions are not verified; a manual acceptance changes nothing here.",
		"Workflow Studio: its results are not asked for, so that a claim which only a token proves stays unconfirmed.",
		"API: whether an access token that was made for asking may read an older transaction is not verified.",
		"API: nor is it whether making that token opens a transaction, or needs consent.",
		"API: how long a transaction may have the status NO_RESULT is not verified; it is asked for again.",
	},
	reasons: truliooReasons,
}

var truliooOptions = map[string]string{
	"scheme": "hmac (x-trulioo-signature signs the body) or token (Workflow Studio: the key stands in the body) (default hmac)",
}

func truliooScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(truliooOptions); err != nil {
		return nil, err
	}
	kind, err := o.oneOf("scheme", "hmac", "token")
	if err != nil {
		return nil, err
	}
	if kind == "token" {
		return signing.BodyToken{Member: "token"}, nil
	}
	return signing.BodyHMAC{Header: "x-trulioo-signature", Hash: signing.SHA256, Encoding: signing.Hex}, nil
}

func truliooProves(o Options) kyc.Authenticity {
	if o["scheme"] == "token" {
		return kyc.Authenticated
	}
	return kyc.Signed
}

// truliooDocument are the events of a document verification that are documented; others are asked
// about just as "decision" is. https://developer.trulioo.com/reference/demo-license
var truliooDocument = []string{"create", "decision", "error"}

// truliooEvent is what an event of Workflow Studio says. The zero value says nothing about the
// status.
type truliooEvent struct {
	status    kyc.Status
	byService bool // the service's result is the status
}

// truliooWorkflow are the events of Workflow Studio.
// https://developer.trulioo.com/reference/event-dispatcher
var truliooWorkflow = map[string]truliooEvent{
	"SERVICE_SUBMIT":              {byService: true},
	"INSTANT_SERVICE_SUBMIT":      {byService: true},
	"MANUALLY_REJECTED":           {status: kyc.Rejected},
	"MANUALLY_PENDING_REVIEW":     {status: kyc.InReview},
	"MANUALLY_ACCEPTED":           {},
	"MANUALLY_ABANDONED":          {},
	"ABANDONED":                   {},
	"FLOW_START":                  {},
	"FLOW_END":                    {},
	"STEP_INIT":                   {},
	"STEP_SUBMIT":                 {},
	"SERVICE_INIT":                {},
	"SERVICE_TIMEOUT":             {},
	"INTERMEDIATE_EVENT_RECEIVED": {},
	"NOTE_ADDED":                  {},
	"TASK_ADDED":                  {},
	"TASK_DONE":                   {},
	"TASK_UNDONE":                 {},
}

// truliooHandshake comes once, when a callback URL is set up.
const truliooHandshake = "URL_VERIFICATION"

// truliooServices are the services whose match is an answer about a person, under the names of
// either version of the documentation.
var truliooServices = map[string]struct {
	check kyc.Check
	scope kyc.Scope
}{
	"IDV":          {kyc.IdentityVerification, kyc.Overall},
	"TRULIOO_EIDV": {kyc.IdentityVerification, kyc.Overall},
	"DOCV":         {kyc.DocumentVerification, kyc.CheckScope},
	"TRULIOO_DOCV": {kyc.DocumentVerification, kyc.CheckScope},
}

// truliooReject is the step of a flow that rejects the person.
const truliooReject = "REJECT"

// lists reports a service whose business is lists of persons.
func (b *truliooBody) lists() bool {
	return strings.Contains(b.Service, "WATCHLIST") || strings.HasSuffix(b.Service, "_WL")
}

// decides reports that a body of an unknown kind holds a decision or a hit.
func (b *truliooBody) decides() bool {
	manual := b.Event != nil && strings.HasPrefix(b.Event.Type, "MANUALLY_") // the decision is in the name
	return manual || b.Data.Match != nil && b.Data.Status == "COMPLETED" || b.listed().found
}

type truliooBody struct {
	ID ident `json:"id"`

	// Document verification.
	TransactionID ident `json:"transactionId"`
	ClientID      ident `json:"clientId"`
	Error         struct {
		Code    jsontext.Value `json:"code"` // a number; 0 is no error
		Message string         `json:"message"`
	} `json:"error"`

	// Both, with different members.
	Event *struct {
		Name   string `json:"name"`
		Result string `json:"result"`
		Type   string `json:"type"`
		At     ident  `json:"ts"` // seconds
	} `json:"event"`

	// Workflow Studio.
	Type      string `json:"type"`
	Challenge string `json:"challenge"`
	FlowID    ident  `json:"flowId"`
	UserID    ident  `json:"userId"`
	Service   string `json:"serviceType"`
	Test      *bool  `json:"test"`
	Data      struct {
		Status string `json:"serviceStatus"`
		Match  *bool  `json:"match"`
		Info   struct {
			TransactionID ident `json:"transactionId"`
		} `json:"transactionInfo"`
		Lists raw[truliooLists]  `json:"watchlistResults"`
		Full  raw[truliooRecord] `json:"fullServiceDetails"`
	} `json:"serviceData"`
}

func translateTrulioo(_ signing.Header, body []byte, _ Options) (Result, error) {
	var b truliooBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	var f fields
	r := Result{EventID: f.id("id", b.ID)}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	if b.Test != nil {
		r.Livemode = new(!*b.Test)
	}
	switch b.Type {
	case "":
		b.document(&r, &f)
	case truliooHandshake: // the only handshake that wants an answer in the answer's body
		r.EventType, r.Ignored, r.Livemode = b.Type, noStatus, nil // answered in any mode
		if word(b.Challenge) == "" {
			f.fail("challenge", "is missing or no word")
		}
		r.Reply = []byte(b.Challenge)
	case "EVENT_CALLBACK":
		b.workflow(&r, &f)
	default:
		r.EventType = word(b.Type)
		b.unknown(&r)
	}
	if f.err != nil {
		return Result{}, f.err
	}
	return r, nil
}

// document reads a callback about a document verification. It has no time and, but for errors and
// the beginning, no status: the transaction is asked for.
func (b *truliooBody) document(r *Result, f *fields) {
	code := b.code(f)
	failed := code != "" || b.Error.Message != ""
	switch {
	case failed:
		r.EventType = "error"
	case b.Event == nil:
		r.EventType, r.Ignored = "event", noStatus
		return
	default:
		r.EventType = cmp.Or(word(b.Event.Name), "event")
	}
	ref := f.id("transactionId", b.TransactionID)
	if ref == "" {
		f.fail("transactionId", "is missing")
	}
	u := observe(truliooName, truliooVersion, *r, time.Time{})
	u.Subject = kyc.Subject{ID: f.id("clientId", b.ClientID), Kind: kyc.Individual}
	u.Verification.Ref = ref
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	switch {
	case failed && b.Event == nil && strings.Contains(strings.ToLower(b.Error.Message), "unreadable"):
		reject(&u, []kyc.ReasonPair{{Code: kyc.DocumentUnreadable, ProviderCode: code}}, retryable)
		r.Updates = []kyc.Update{u}
		return
	case failed: // beside an event it contradicts it
		u.Status, u.Reasons, r.KeepBody = kyc.InReview, []kyc.ReasonPair{{Code: kyc.OtherReason, ProviderCode: code}}, b.Event != nil
		r.Updates = []kyc.Update{u}
	case b.Event.Name == "create" && b.Event.Result == "created":
		u.Status = kyc.Pending
		r.Updates = []kyc.Update{u}
		return
	}
	r.Fetch = []Fetch{{Ref: ref, What: truliooTransaction}}
}

// code is the error's code, "" if there is no error.
func (b *truliooBody) code(f *fields) string {
	raw := strings.Trim(string(b.Error.Code), `"`)
	if raw == "null" || raw == "0" {
		return ""
	}
	if strings.ContainsAny(raw, `{[\`) || raw != word(raw) {
		f.fail("error.code", "is no code")
	}
	return word(raw)
}

// workflow reads a callback of Workflow Studio.
func (b *truliooBody) workflow(r *Result, f *fields) {
	if b.Event == nil || b.Event.Type == "" {
		f.fail("event.type", "is missing")
		return
	}
	r.EventType = word(b.Event.Type)
	e, known := truliooWorkflow[b.Event.Type]
	switch {
	case !known:
		b.unknown(r)
	case !e.byService && e.status == "", e.byService && b.Data.Status == "":
		r.Ignored = noStatus
	}
	if r.Ignored != "" || r.Hold != "" {
		return
	}
	u := observe(truliooName, truliooVersion, *r, f.epoch("event.ts", b.Event.At, time.Second))
	u.Subject = kyc.Subject{ID: f.id("userId", b.UserID), Kind: kyc.Individual}
	u.Verification = kyc.Verification{
		Ref: f.id("serviceData.transactionInfo.transactionId", b.Data.Info.TransactionID), Workflow: f.id("flowId", b.FlowID),
	}
	if u.Subject.ID == "" && u.Verification.Ref == "" {
		f.fail("userId", "is missing")
	}
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.IdentityVerification, e.status
	switch {
	case e.byService:
		r.KeepBody = b.service(&u)
	case e.status == kyc.Rejected:
		reject(&u, nil, terminal) // a person's decision
	}
	r.Updates = []kyc.Update{u}
	if l := b.listed(); l.found && (!e.byService || !b.lists()) {
		r.Updates = append(r.Updates, hitBeside(u, false, truliooReasons.pairs(l.codes)))
	}
}

// unknown says what becomes of an event that we do not know.
func (b *truliooBody) unknown(r *Result) {
	if b.decides() {
		r.Hold = UnknownEvent
		return
	}
	r.Ignored = unknownEv
}

// service fills in what one service found, and reports what is not understood: that is in review.
func (b *truliooBody) service(u *kyc.Update) (doubtful bool) {
	s, known := truliooServices[b.Service]
	switch u.Scope, u.Check = s.scope, s.check; {
	case known:
	case b.Service == truliooReject:
		u.Scope, u.Check, u.Status = kyc.Overall, kyc.IdentityVerification, kyc.InReview
		return true
	case b.lists():
		u.Scope, u.Check = kyc.CheckScope, kyc.Screening
		return b.screening(u)
	default:
		u.Scope, u.Check = kyc.CheckScope, kyc.IdentityVerification
	}
	switch {
	case b.Data.Status != "COMPLETED":
		u.Status = kyc.Pending
	case !known || b.Data.Match == nil:
		u.Status = kyc.InReview
		return true
	case *b.Data.Match:
		u.Status = kyc.Approved
	default:
		reject(u, []kyc.ReasonPair{{Code: kyc.DataMismatch}}, retryable)
	}
	return false
}
