package provider

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	diditName    = "didit"
	diditVersion = 3 // hits of screenings, users who are active again, words in any case
)

var didit = Adapter{
	Name:      diditName,
	Version:   diditVersion,
	Doc:       "https://docs.didit.me/integration/webhooks",
	Evidence:  kyc.Signed,
	Options:   diditOptions,
	Scheme:    diditScheme,
	Translate: translateDidit,
	// A session is made for one person or firm. There is no other name of theirs than our own.
	PersonRefs: []RefKind{SessionRef},
	Headers:    []string{diditTest},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.BusinessVerification},
	Steps:      []kyc.Check{kyc.Screening},
	Workflow:   "workflow_id",
	Events:     slices.Sorted(maps.Keys(diditEvents)),
	Gaps: []string{
		"How long Didit waits for an answer and when it tries again are not verified. That X-Signature-Previous is signed as X-Signature is, with the secret before, is read from its name and from one sentence.",
		"Whether a retry repeats the timestamp in its body is not verified. If it does not, the repeat of an older callback counts as newer than what was said meanwhile.",
		"Without a timestamp an approval or an attempt counts from the start of its session; what takes an approval away counts from its arrival.",
		"X-Timestamp is checked, but nothing signs it: a captured callback can be sent again under a fresh one, and is then dropped as a duplicate.",
		"X-Signature-V2 and X-Signature-Simple prove nothing here: the first is written in two ways, the second leaves out the decision.",
		"Statuses are matched in any case, for Kyc Expired is written in two ways.",
		"The list of warnings is not complete: one that is not known is the reason other, and can be tried again.",
		"Hits of a decision's AML screenings are a screening: rejected where somebody has confirmed one, where the screening was declined, or where a hit has sanctions or PEPs and no review status; else in review. What is a false positive is no hit. It is approved only beside an approval, by a screening that is approved and has no hit left.",
		"Events about users and businesses are read in the envelope of sessions. Didit describes another one for them as well, with event and data: it is kept in quarantine.",
		"What is said of a user is of no session. ACTIVE ends a block, unless the event names no time: then an operator releases it. A flag lasts until a newer session has an outcome.",
		"Older versions of the envelope have neither event_id nor environment: then a test workflow is a source of its own.",
		"How the console marks its tests, test_webhook in metadata and the header X-Didit-Test-Webhook, is known from receivers in use. The mark in the body is believed; the header, which is not signed, makes it test mode.",
	},
	reasons: diditReasons,
}

var diditOptions = map[string]string{
	"tolerance": "how far X-Timestamp may be from our clock, either way, such as 10m (default 5m)",
}

func diditScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(diditOptions); err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance(300*time.Second, false)
	if err != nil {
		return nil, err
	}
	return diditHMAC{tolerance}, nil
}

// diditBodyHMAC is what is signed: the body alone, not the time beside it.
var diditBodyHMAC = signing.BodyHMAC{Header: "X-Signature", Hash: signing.SHA256, Encoding: signing.Hex}

const (
	diditTime = "X-Timestamp"
	// diditPrevious is there for a day after the console has made a new secret, and signed with the old one:
	// https://docs.didit.me/management-api/webhook/get-destination
	diditPrevious = "X-Signature-Previous"
	diditTest     = "X-Didit-Test-Webhook" // true where somebody has pressed the console's button; nothing proves it
)

// diditHMAC is an HMAC of the body beside a time that must be there and fresh, though nothing
// proves it.
type diditHMAC struct{ Tolerance time.Duration }

// Sign sets the signature and the time.
func (s diditHMAC) Sign(h signing.Header, m signing.Message, keys signing.Keyring) error {
	if m.Time.Unix() <= 0 {
		return errors.New("message has no usable time")
	}
	h.Set(diditTime, strconv.FormatInt(m.Time.Unix(), 10))
	return diditBodyHMAC.Sign(h, m, keys)
}

// Verify accepts a body that the signature fits, if the time beside it is within the tolerance.
func (s diditHMAC) Verify(h signing.Header, body []byte, keys signing.Keyring, now time.Time) error {
	if err := diditBodyHMAC.Verify(h, body, keys, now); err != nil && !diditByPrevious(err, h, body, keys, now) {
		return err
	}
	v := h.Values(diditTime)
	switch {
	case len(v) == 0:
		return fmt.Errorf("%w: there is no %s", signing.ErrMissing, diditTime)
	case len(v) > 1:
		return fmt.Errorf("%w: %s stands %d times", signing.ErrMalformed, diditTime, len(v))
	}
	at, err := strconv.ParseUint(v[0], 10, 40)
	if err != nil {
		return fmt.Errorf("%w: %s is not unix seconds", signing.ErrMalformed, diditTime)
	}
	if age := now.Unix() - int64(at); max(age, -age) > int64(s.Tolerance/time.Second) {
		return fmt.Errorf("%w: %s", signing.ErrStale, diditTime)
	}
	return nil
}

// diditByPrevious reports whether a body whose signature fits no key of ours is signed with the
// secret before it, which we may still be the only one to have.
func diditByPrevious(err error, h signing.Header, body []byte, keys signing.Keyring, now time.Time) bool {
	if !errors.Is(err, signing.ErrMismatch) {
		return false
	}
	previous := diditBodyHMAC
	previous.Header = diditPrevious
	return previous.Verify(h, body, keys, now) == nil
}

// Unwrap is the scheme that explains itself to a person.
func (s diditHMAC) Unwrap() signing.Scheme { return diditBodyHMAC }

// diditAbout is what an event is about. The zero value says nothing about the status.
type diditAbout byte

const (
	diditNothing diditAbout = iota
	diditSession
	diditData // the status that it repeats is no news, and its screenings are: somebody may have looked at a hit
	diditUser
)

var diditEvents = map[string]diditAbout{
	"status.updated":          diditSession,
	"data.updated":            diditData,
	"user.status.updated":     diditUser,
	"user.data.updated":       diditNothing,
	"business.status.updated": diditUser,
	"business.data.updated":   diditNothing,
}

// diditFamilies are events about other things.
var diditFamilies = []string{"transaction.", "travel_rule.", "activity."}

// diditStatuses are the words of a session, in lower case: Kyc Expired and KYC Expired are both in
// use.
var diditStatuses = map[string]struct {
	status kyc.Status
	expiry kyc.ExpiryKind
}{
	"not started":   {status: kyc.NotStarted},
	"in progress":   {status: kyc.Pending},
	"awaiting user": {status: kyc.Pending},
	"resubmitted":   {status: kyc.Pending},
	"approved":      {status: kyc.Approved},
	"declined":      {status: kyc.Rejected},
	"in review":     {status: kyc.InReview},
	"abandoned":     {status: kyc.Expired, expiry: kyc.ExpiryAttempt},
	"expired":       {status: kyc.Expired, expiry: kyc.ExpiryAttempt},
	"kyc expired":   {status: kyc.Expired, expiry: kyc.ExpiryValidity}, // an approval that ran out
}

// diditDecisions are the words that make an event of an unknown name one that must not get lost.
var diditDecisions = []string{"approved", "declined", "kyc expired", "blocked", "flagged"}

type diditBody struct {
	EventID     ident          `json:"event_id"` // absent from older versions of the envelope
	Environment string         `json:"environment"`
	Type        string         `json:"webhook_type"`
	SessionID   ident          `json:"session_id"`
	BusinessID  ident          `json:"business_session_id"` // instead, of a session about a firm
	Kind        string         `json:"session_kind"`
	Status      string         `json:"status"`
	CreatedAt   ident          `json:"created_at"` // of the session
	Timestamp   ident          `json:"timestamp"`
	WorkflowID  ident          `json:"workflow_id"`
	VendorData  ident          `json:"vendor_data"`
	Metadata    raw[diditMeta] `json:"metadata"` // the customer's own, beside a mark of the console's
	Decision    diditDecision  `json:"decision"`
}

// diditMeta is what the console's button writes into the metadata of its example.
type diditMeta struct {
	Test bool `json:"test_webhook"`
}

func translateDidit(h signing.Header, body []byte, _ Options) (Result, error) {
	var b diditBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" {
		return Result{}, unreadable("webhook_type", "is missing")
	}
	about, known := diditEvents[b.Type]
	var f fields
	r := Result{EventID: f.id("event_id", b.EventID), EventType: word(b.Type), Livemode: b.live(h), Dedupe: b.dedupe()}
	if r.EventID != "" {
		r.Dedupe = []string{r.EventID}
	}
	if f.err != nil {
		return Result{}, f.err
	}
	meta, _ := b.Metadata.read()
	switch {
	case meta.Test:
		r.Ignored = testEv
	case known || slices.ContainsFunc(diditFamilies, func(p string) bool { return strings.HasPrefix(b.Type, p) }):
		active := about == diditUser && strings.EqualFold(b.Status, diditActive) && b.time() == ""
		if about == diditNothing || b.Status == "" || active {
			r.Ignored = noStatus
		}
	case slices.Contains(diditDecisions, strings.ToLower(b.Status)):
		r.Hold = UnknownEvent
	default:
		r.Ignored = unknownEv
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	u := observe(diditName, diditVersion, r, f.unixSeconds("timestamp", cmp.Or(b.time(), b.CreatedAt)))
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	u.Subject = kyc.Subject{ID: f.id("vendor_data", b.VendorData), Kind: kyc.Individual}
	if b.Kind == "business" || b.BusinessID != "" || strings.HasPrefix(b.Type, "business.") {
		u.Subject.Kind, u.Check = kyc.Company, kyc.BusinessVerification
	}
	u.Verification = kyc.Verification{Ref: f.id("session_id", b.session()), Workflow: f.id("workflow_id", b.WorkflowID)}
	if u.Subject.ID == "" && u.Verification.Ref == "" {
		f.fail("session_id", "is missing")
	}
	seen := b.screen()
	switch about {
	case diditUser:
		r.KeepBody = b.user(&u)
	case diditData:
		u.Status = diditStatuses[strings.ToLower(b.Status)].status
	default:
		r.KeepBody = b.outcome(seen.confirmed || len(seen.codes) > 0, &u, &f)
	}
	if b.time() == "" && (u.Status == kyc.Rejected || u.Status == kyc.InReview || u.Status == kyc.Suspended || u.ExpiryKind == kyc.ExpiryValidity) {
		u.OccurredAt, u.OccurredAtOrigin = time.Time{}, kyc.OriginReceived // created_at is older than anything the session has said: a no would come too late
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if about != diditData {
		r.Updates = []kyc.Update{u}
	}
	if screening, told := seen.beside(u); told {
		r.Updates = append(r.Updates, screening)
	}
	if r.KeepBody = r.KeepBody || seen.odd; len(r.Updates) == 0 {
		r.Ignored, r.KeepBody = noStatus, false
	}
	return r, nil
}

// session is the id of the session, under the name that its kind has.
func (b *diditBody) session() ident { return cmp.Or(b.SessionID, b.BusinessID) }

// time is when the event happened, in seconds; zero is none.
func (b *diditBody) time() ident {
	if b.Timestamp == "0" {
		return ""
	}
	return b.Timestamp
}

// live is the mode that the body or the header of a test says. The header is not signed: it only
// sets a callback aside.
func (b *diditBody) live(h signing.Header) *bool {
	var header *bool
	if slices.Contains(h.Values(diditTest), "true") {
		header = new(false)
	}
	return marked(header, mode(b.Environment))
}

// dedupe is the tuple of an envelope without an id. Without a time, events that differ would look
// the same.
func (b *diditBody) dedupe() []string {
	who := cmp.Or(b.session(), b.VendorData)
	if who == "" || b.time() == "" {
		return nil
	}
	return []string{string(who), b.Type, b.Status, string(b.Timestamp)}
}

// The words for a user, and the run that BLOCKED and ACTIVE are of: no session's.
const (
	diditActive  = "ACTIVE"
	diditBlocked = "BLOCKED"
	diditFlagged = "FLAGGED"
	diditUserRun = "user"
)

// user fills in what the customer's own list of users says: it can take away, and take a block
// back, and never grants.
func (b *diditBody) user(u *kyc.Update) (doubtful bool) {
	u.Verification.ParentRef = diditUserRun
	switch word := strings.ToUpper(b.Status); word {
	case diditBlocked:
		u.Status = kyc.Suspended
	case diditActive:
		u.Release = true
	default:
		u.Status, doubtful = kyc.InReview, word != diditFlagged
	}
	return doubtful
}

// outcome fills in the status, and reports a word that is unknown or that the decision beside it
// contradicts.
func (b *diditBody) outcome(listed bool, u *kyc.Update, f *fields) (doubtful bool) {
	e, known := diditStatuses[strings.ToLower(b.Status)]
	decided, ok := b.Decision.Status.read()
	if !ok {
		f.fail("decision.status", "has an unexpected type")
	}
	codes := b.warnings()
	u.Status, u.ExpiryKind = e.status, e.expiry
	if doubtful = !known || decided != nil && !strings.EqualFold(*decided, b.Status); doubtful {
		u.Status, u.ExpiryKind = kyc.InReview, ""
	}
	switch u.Status {
	case kyc.Rejected:
		fallback := retryable
		if listed && len(codes) == 0 {
			fallback = terminal // for the list alone, which no other try mends
		}
		reject(u, diditReasons.pairs(codes), diditReasons.hint(codes), fallback)
	case kyc.InReview:
		u.Reasons = diditReasons.pairs(codes)
	default: // a yes and an attempt need no reasons
	}
	return doubtful
}

// diditDecision is full of personal data: only its status, the codes of its warnings and the hits
// of its screenings are read.
type diditDecision struct {
	Status     raw[*string]                `json:"status"`
	AML        raw[[]diditScreening]       `json:"aml"` // of older versions
	Screenings raw[[]diditScreening]       `json:"aml_screenings"`
	Steps      map[string]raw[[]diditPart] `json:",embed"`
}

// diditPart is one step of a decision.
type diditPart struct {
	Warnings []struct {
		Risk string `json:"risk"`
		Log  string `json:"log_type"`
	} `json:"warnings"`
}

// parts are the results of a step, which stands alone or in a list, by the version of the account.
// Whatever else stands in a decision is not a step.
func parts[T any](step raw[[]T]) (all []T, ok bool) {
	if one, ok := raw[T](step).read(); ok && step.Kind() == '{' {
		return []T{one}, true
	}
	return step.read()
}

// warnings lists the codes of every step of the decision but the screenings.
func (b *diditBody) warnings() (codes []string) {
	for _, name := range slices.Sorted(maps.Keys(b.Decision.Steps)) {
		all, _ := parts(b.Decision.Steps[name])
		for _, p := range all {
			codes = append(codes, p.codes()...)
		}
	}
	return codes
}

// codes are the warnings that count: what is no more than information decided nothing.
func (p *diditPart) codes() (codes []string) {
	for _, w := range p.Warnings {
		if w.Risk != "" && w.Log != "information" {
			codes = append(codes, w.Risk)
		}
	}
	return codes
}
