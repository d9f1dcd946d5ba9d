package provider

import (
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
	"countersign/signing"
)

const (
	veriffName    = "veriff"
	veriffVersion = 2 // watchlists in data, codes of declined sessions that another session mends
)

var veriff = Adapter{
	Name:      veriffName,
	Version:   veriffVersion,
	Doc:       "https://devdocs.veriff.com/docs/webhooks-guide",
	Evidence:  kyc.Signed,
	Options:   veriffOptions,
	Scheme:    veriffScheme,
	Translate: translateVeriff,
	// A session is made for one person. Nothing else in a body is the provider's own name for a
	// person.
	PersonRefs: []RefKind{SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.AddressVerification},
	Steps:      []kyc.Check{kyc.Screening},
	Events: []string{
		"decision.abandoned", "decision.approved", "decision.declined", "decision.expired", "decision.resubmission_requested", "decision.review",
		"event.started", "event.submitted",
		"fullauto.approved", "fullauto.declined", "fullauto.resubmission_requested", "fullauto.review",
		"user-status.created",
		"watchlist.no_match", "watchlist.possible_match", "watchlist.potential_match", "watchlist.reviewed",
	},
	Gaps: []string{
		"How long Veriff waits for an answer and which addresses it sends from are not verified.",
		"The VRF- twins of the signature headers are known from receivers in use, not from Veriff's pages.",
		"Signatures of very old integrations, a plain SHA-256 of body and secret, are not supported.",
		"In full-auto callbacks the place of the decision is not verified; a text and an object with a value are both read.",
		"The list of reason codes may be incomplete from 210 to 219 and above 540; an unknown code is passed on as reason other.",
		"A decision that names an addressId as well counts as address_verification; how decisions about addresses look is not verified.",
		"Whether createdAt of a watchlist callback is the time of this result or of the first is not verified; at equal times the stricter result stands.",
		"The words of a decision's pepSanctionMatch are not verified: any but NO_MATCH opens screening.",
		"A possible PEP match (126) opens screening as well. Where the decision is a review, a later no_match of the watchlist or an operator closes it, else an operator only.",
		"Newer watchlist callbacks have a reviewStatus; what somebody has decided of the hits of one that is reviewed is not verified: it stays in review.",
		"A declined session is final, unless its reason is a document that was expired, of a wrong type or not readable: then a new session may succeed.",
		"A resubmission that is asked for beside fraud, age or a PEP match counts as a terminal rejection: an operator releases it.",
		"Callbacks about INE, CURP and statuses that a customer defines are ignored, and so is VRF-INTEGRATION-ID, which is not signed.",
		"Neither test mode nor production is named in a body: a test integration is a source of its own.",
	},
	reasons: veriffReasons,
}

var veriffOptions = map[string]string{
	"client":  "the API key of the integration, which X-AUTH-CLIENT must then name; without it the header is not looked at (default none)",
	"subject": "vendorData or endUserId: which of the two holds our id (default vendorData)",
}

// veriffText is a word that Veriff writes as a string, as a number or as an object with a value.
type veriffText string

// veriffObject is the last of these.
type veriffObject struct {
	Value string `json:"value"`
}

// readsAs implements asRead.
func (veriffText) readsAs() reflect.Type { return reflect.TypeFor[veriffObject]() }

// UnmarshalJSONFrom reads any of the three.
func (t *veriffText) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var o veriffObject
	switch d.PeekKind() {
	case '{':
		if err := json.UnmarshalDecode(d, &o); err != nil {
			return err //nolint:wrapcheck // decode has its own words for it
		}
	case '0':
		v, err := d.ReadValue()
		if err != nil {
			return err //nolint:wrapcheck // decode has its own words for it
		}
		o.Value = string(v)
	default:
		if err := json.UnmarshalDecode(d, &o.Value); err != nil {
			return err //nolint:wrapcheck // decode has its own words for it
		}
	}
	*t = veriffText(o.Value)
	return nil
}

// veriffBody is all kinds of callback in one: their fields do not collide.
type veriffBody struct {
	veriffWatch

	Status       string     `json:"status"` // of the message: success or fail
	EventType    string     `json:"eventType"`
	ID           ident      `json:"id"`
	AddressID    ident      `json:"addressId"`
	Action       string     `json:"action"`
	Code         veriffText `json:"code"`
	Time         string     `json:"time"`
	Verification *struct {
		ID           ident      `json:"id"`
		AttemptID    ident      `json:"attemptId"`
		VendorData   ident      `json:"vendorData"`
		EndUserID    ident      `json:"endUserId"`
		Status       string     `json:"status"`
		Code         veriffText `json:"code"`
		ReasonCode   veriffText `json:"reasonCode"` // the reason beside it is for people: never read
		DecisionTime string     `json:"decisionTime"`
		Person       struct {   // of which nothing else is read
			Match veriffText `json:"pepSanctionMatch"`
		} `json:"person"`
	} `json:"verification"`
	Data struct {
		veriffWatch // of a watchlist, as the API answers

		Verification struct {
			Decision veriffText `json:"decision"`
		} `json:"verification"`
	} `json:"data"`
}

// veriffSaid is what a callback of any kind says.
type veriffSaid struct {
	kind, word, code, reason string
	at, timeField            string
	ref, attempt             ident
	vendor, endUser          ident
}

func (b *veriffBody) said() veriffSaid {
	s := veriffSaid{ref: b.SessionID, attempt: b.AttemptID, vendor: b.VendorData, endUser: b.EndUserID, at: b.Time, timeField: "time"}
	switch {
	case b.Verification != nil:
		v := b.Verification
		return veriffSaid{
			kind: "decision", word: v.Status, code: string(v.Code), reason: string(v.ReasonCode), ref: v.ID, attempt: v.AttemptID,
			at: v.DecisionTime, vendor: v.VendorData, endUser: v.EndUserID, timeField: "verification.decisionTime",
		}
	case b.watch().word() != "":
		w := b.watch()
		return veriffSaid{
			kind: "watchlist", word: w.word(), ref: w.SessionID, attempt: w.AttemptID, at: w.CreatedAt, vendor: w.VendorData, endUser: w.EndUserID, timeField: "createdAt",
		}
	case b.EventType == "fullauto":
		s.kind, s.word = b.EventType, string(b.Data.Verification.Decision)
	case b.EventType != "":
		s.kind = b.EventType
	case b.Action != "" || b.Code != "":
		s.kind, s.word, s.code, s.at, s.ref = "event", b.Action, string(b.Code), "", b.ID
		if b.Code == "7005" && b.AddressID != "" {
			s.ref = b.AddressID
		}
	}
	return s
}

// eventType is our name for what has none of its own.
func (s *veriffSaid) eventType() string {
	switch s.kind {
	case "decision", "fullauto", "watchlist", "event":
		if w := word(s.word); w != "" {
			return s.kind + "." + w
		}
	}
	return word(s.kind)
}

// dedupe is the tuple of each kind: there is no delivery id. Without a time a decision could be
// taken for an earlier one that said the same. A watchlist has none: what it found may change while
// its status and time do not.
func (s *veriffSaid) dedupe() []string {
	switch {
	case s.ref == "" || s.kind == "watchlist" || s.kind != "event" && s.at == "":
		return nil
	case s.kind == "event":
		if s.attempt == "" {
			return nil
		}
		return []string{string(s.ref), string(s.attempt), s.code}
	case s.kind == "decision" || s.kind == "fullauto":
		return []string{string(s.ref), string(s.attempt), s.word, s.code, s.at}
	default:
		return []string{s.eventType(), string(s.ref), string(s.attempt), s.at}
	}
}

// ignored says why the callback carries no status, "" if it does.
func (s *veriffSaid) ignored() string {
	switch s.kind {
	case "decision", "fullauto":
		if s.word == "" && s.code == "" { // a code alone leaves open which status, but there is one
			return noStatus
		}
	case "watchlist":
	case "event":
		if s.code != "7001" && s.code != "7002" && s.code != "7005" {
			return unknownEv
		}
	case "user-status.created":
		return noStatus // the customer's own label
	default:
		return unknownEv
	}
	return ""
}

func translateVeriff(_ signing.Header, body []byte, o Options) (Result, error) {
	var b veriffBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	s := b.said()
	if word(s.kind) == "" {
		return Result{}, unreadable("eventType", "is missing")
	}
	r := Result{EventType: s.eventType(), Dedupe: s.dedupe()}
	if r.Ignored = s.ignored(); r.Ignored == unknownEv && b.Data.Verification.Decision != "" {
		r.Ignored, r.Hold = "", UnknownEvent
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	var f fields
	// Microseconds, though a watchlist has milliseconds: it is never compared with a decision.
	u := observe(veriffName, veriffVersion, r, f.time(s.timeField, s.at, time.Microsecond, time.RFC3339))
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	u.Subject = kyc.Subject{ID: f.id("vendorData", s.vendor), Kind: kyc.Individual}
	if o["subject"] == "endUserId" {
		u.Subject.ID = f.id("endUserId", s.endUser)
	}
	u.Verification.Ref = f.id("sessionId", s.ref)
	if u.Subject.ID == "" && u.Verification.Ref == "" {
		f.fail("sessionId", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	r.Updates = []kyc.Update{u}
	switch s.kind {
	case "event":
		b.event(&r.Updates[0], &s)
	case "watchlist":
		r.KeepBody = b.watchlist(&r.Updates[0])
	default:
		if b.AddressID != "" {
			r.Updates[0].Check = kyc.AddressVerification
		}
		r.KeepBody = b.decision(&r.Updates[0], &s)
		if code := b.match(&s); code != "" {
			r.Updates = append(r.Updates, veriffHit(r.Updates[0], code))
		}
	}
	return r, nil
}

// event fills in that the person has begun or sent something. It has no time of its own.
func (b *veriffBody) event(u *kyc.Update, s *veriffSaid) {
	u.Status = kyc.Pending
	if s.code == "7005" {
		u.Check = kyc.AddressVerification
	}
}

// veriffStatuses are the words of a decision and the code each comes with: one code stands for two
// words, so that the word decides.
var veriffStatuses = map[string]struct {
	status  kyc.Status
	code    string
	payload hint
}{
	"approved":               {status: kyc.Approved, code: "9001"},
	"declined":               {status: kyc.Rejected, code: "9102"}, // of this session: a new one may be made
	"resubmission_requested": {status: kyc.Rejected, code: "9103", payload: retryable},
	"review":                 {status: kyc.InReview, code: "9121"},
	"expired":                {status: kyc.Expired, code: "9104"}, // never begun
	"abandoned":              {status: kyc.Expired, code: "9104"}, // begun, and left for seven days
}

// decision fills in the status, and reports a word that is unknown or that the rest of the body
// contradicts.
func (b *veriffBody) decision(u *kyc.Update, s *veriffSaid) (doubtful bool) {
	e, known := veriffStatuses[s.word]
	u.Status = e.status
	doubtful = !known || s.code != "" && s.code != e.code
	if u.Status == kyc.Approved && (s.reason != "" || b.Status != "" && b.Status != "success") {
		doubtful = true
	}
	if doubtful {
		u.Status = kyc.InReview
	}
	var codes []string
	if s.reason != "" {
		codes = []string{s.reason}
	}
	switch u.Status {
	case kyc.Rejected:
		pairs := veriffReasons.pairs(codes)
		if grave(pairs) {
			e.payload = terminal
		}
		reject(u, pairs, e.payload, veriffReasons.hint(codes), terminal)
	case kyc.InReview:
		u.Reasons = veriffReasons.pairs(codes)
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryAttempt
	default: // a yes needs no reasons
	}
	return doubtful
}
