package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	shuftiName    = "shufti"
	shuftiVersion = 2 // hits of background checks, and declines that another try may mend
)

// Shufti tells everything by one reference per request, which we give it, and gives no time.
var shufti = Adapter{
	Name:      shuftiName,
	Version:   shuftiVersion,
	Doc:       "https://developers.shuftipro.com",
	Evidence:  kyc.Signed,
	Options:   shuftiOptions,
	Scheme:    shuftiScheme,
	Translate: translateShufti,
	// A request is about one person.
	PersonRefs: []RefKind{SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification, kyc.BusinessVerification},
	Steps:      []kyc.Check{kyc.Screening},
	Events:     slices.Sorted(maps.Keys(shuftiEvents)),
	API:        &shuftiAPI,
	Gaps: []string{
		"The signature is a hash with the secret at its end and no HMAC, and has no timestamp.",
		"Retries, their order, the time allowed for an answer and the addresses that callbacks come from are not verified.",
		"No event has an id or a time: updates count in the order in which they arrive.",
		"The fields of the body come from public code and are not verified.",
		"The list of declined codes goes on beyond those known here: the others are other. No page says that a decline is final for the person: it can be tried again, unless a known code says otherwise or it is for a list.",
		"Which list somebody is on is read from the codes of background checks and the types of their hits; a screening that failed is rejected, one that passed with hits beside it is in review.",
		"Of the services only the screening is told apart: face, document and address count as parts of the whole.",
		"The request events of a business do not say that it is one: set check: business_verification on its source.",
	},
	reasons: shuftiReasons,
}

var shuftiOptions = map[string]string{
	"secret_form": "hashed (accounts that sign with the hash of their secret) or plain (older ones, which sign with the secret itself) (default hashed)",
	"subject": "what of the reference is our id: none (a submission says whose it is), reference (all of it) or before:SEPARATOR" +
		" (what stands before the last one, such as before:.) (default none)",
}

func shuftiScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(shuftiOptions); err != nil {
		return nil, err
	}
	form, err := o.oneOf("secret_form", "hashed", "plain")
	if err != nil {
		return nil, err
	}
	if where, ok := o["subject"]; ok && where != "none" && where != "reference" && (!strings.HasPrefix(where, "before:") || where == "before:") {
		return nil, errors.New("option subject: write none, reference or before:SEPARATOR, such as before:_")
	}
	return signing.DigestSuffix{Header: "Signature", Plain: form == "plain"}, nil
}

// shuftiEvent is what an event's name says. The zero value says nothing about the status.
type shuftiEvent struct {
	status kyc.Status
	ask    bool // the status has changed, and not to what
	fault  bool
	open   bool // Shufti or the person is still at work
}

var shuftiEvents = map[string]shuftiEvent{
	"request.pending":             {status: kyc.NotStarted, open: true},
	"request.received":            {status: kyc.Pending, open: true},
	"review.pending":              {status: kyc.InReview, open: true},
	"verification.accepted":       {status: kyc.Approved},
	"verification.declined":       {status: kyc.Rejected},
	"verification.status.changed": {ask: true},
	"verification.cancelled":      {status: kyc.Expired},
	"request.timeout":             {status: kyc.Expired},
	"request.deleted":             {}, // the data is gone, the decision stands
	"request.invalid":             {fault: true},
	"request.unauthorized":        {fault: true},
}

// shuftiBody: declined_reason and what the person showed are never read. Where a value is empty, it
// may be an empty list instead of an object.
type shuftiBody struct {
	Reference    ident                         `json:"reference"`
	Event        string                        `json:"event"`
	Results      raw[shuftiTree]               `json:"verification_result"`
	Codes        []string                      `json:"declined_codes"`
	ServiceCodes raw[map[string]raw[[]string]] `json:"services_declined_codes"`
	Data         raw[shuftiData]               `json:"verification_data"`
}

// shuftiData is what the services found, of which only the kinds of hits on lists are read.
type shuftiData struct {
	Background raw[shuftiFound] `json:"background_checks"`
	AML        raw[shuftiFound] `json:"aml"`
	Business   raw[shuftiFound] `json:"aml_for_businesses"`
}

type shuftiFound struct {
	Data raw[struct {
		Hits []struct {
			Types []string `json:"types"`
		} `json:"hits"`
	}] `json:"aml_data"`
}

// shuftiKinds tell the kind of a list by the beginning of a hit's type.
var shuftiKinds = []string{"sanction", "pep", "adverse-media"}

// hits lists the kinds of lists on which a screening found somebody, whether it found anybody at
// all, and whether that has a form that is not known.
func (b *shuftiBody) hits() (found, odd bool, kinds []string) {
	data, _ := objectOf(b.Data)
	for _, service := range []raw[shuftiFound]{data.Background, data.AML, data.Business} {
		checked, _ := objectOf(service)
		aml, ok := objectOf(checked.Data)
		found, odd = found || !ok || len(aml.Hits) > 0, odd || !ok
		for _, hit := range aml.Hits {
			for _, kind := range shuftiKinds {
				if slices.ContainsFunc(hit.Types, func(t string) bool { return strings.HasPrefix(t, kind) }) {
					kinds = append(kinds, kind)
				}
			}
		}
	}
	return found, odd, kinds
}

// shuftiTree is a result in its parts, which may have parts.
type shuftiTree map[string]raw[shuftiTree]

func translateShufti(_ signing.Header, body []byte, o Options) (Result, error) {
	var b shuftiBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Event == "" {
		return Result{}, unreadable("event", "is missing")
	}
	var f fields
	e, known := shuftiEvents[b.Event]
	ref, sum := f.id("reference", b.Reference), sha256.Sum256(body)
	r := Result{EventType: word(b.Event), Dedupe: []string{ref, b.Event, hex.EncodeToString(sum[:])}}
	switch {
	case !known && b.decided():
		r.Hold = UnknownEvent
	case !known:
		r.Ignored = unknownEv
	case e.fault:
		r.Ignored, r.Fault = faultEv, true
	case e.ask:
		r.Fetch = []Fetch{{Ref: ref, What: shuftiAsked}}
	case e.status == "":
		r.Ignored = noStatus
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	if ref == "" {
		f.fail("reference", "is missing")
	}
	if !e.ask {
		r.Updates, r.KeepBody = b.updates(observe(shuftiName, shuftiVersion, r, time.Time{}), e, ref, o)
	}
	return r.unless(f.err)
}

// decided reports whether a body of any event has a result.
func (b *shuftiBody) decided() bool {
	services, _ := objectOf(b.Results)
	for _, result := range services {
		if shuftiResult(result, 0) != shuftiSilent {
			return true
		}
	}
	return len(b.Codes) > 0
}

// updates is what an event or an answer says: of the whole, and of the screening, which no other
// service clears.
func (b *shuftiBody) updates(u kyc.Update, e shuftiEvent, ref string, o Options) (us []kyc.Update, doubtful bool) {
	u.Scope, u.Check, u.Verification.Ref = kyc.Overall, kyc.IdentityVerification, ref
	u.Subject = kyc.Subject{ID: shuftiSubject(ref, o), Kind: kyc.Individual}
	services, readable := objectOf(b.Results)
	if _, ok := services["kyb"]; ok {
		u.Check, u.Subject.Kind = kyc.BusinessVerification, kyc.Company
	}
	screening := u
	codes := b.Codes
	perService, _ := objectOf(b.ServiceCodes)
	for _, service := range slices.Sorted(maps.Keys(perService)) {
		own, _ := perService[service].read()
		codes = append(codes, own...)
	}
	hits, odd, why := b.hits()
	found, passed := slices.ContainsFunc(codes, shuftiListed), false
	why = append(why, slices.DeleteFunc(slices.Clone(codes), func(code string) bool { return !shuftiListed(code) })...)
	codes = slices.DeleteFunc(codes, shuftiListed) // they speak of no face and no document
	for _, service := range shuftiScreenings {
		if result, ok := services[service]; ok {
			said := shuftiResult(result, 0)
			found, passed = found || said == shuftiFailed, passed || said == shuftiPassed
			own, _ := perService[service].read()
			why = append(why, own...)
		}
	}
	switch u.Status = e.status; u.Status {
	case kyc.Approved:
		for _, result := range services {
			doubtful = doubtful || shuftiResult(result, 0) >= shuftiUnknown
		}
		if doubtful = doubtful || !readable; doubtful {
			u.Status = kyc.InReview
		}
	case kyc.Rejected:
		payload := undecided
		if found {
			payload = terminal // another try does not take a name off a list
		}
		reject(&u, shuftiReasons.pairs(codes), payload, shuftiReasons.hint(codes), retryable)
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryAttempt
	default: // an attempt says nothing of its services
	}
	us = []kyc.Update{u}
	decided := e.status == kyc.Approved || e.status == kyc.Rejected
	switch {
	case found && decided:
		us = append(us, hitBeside(screening, true, shuftiReasons.pairs(why)))
	case hits && e.status != kyc.NotStarted:
		us = append(us, hitBeside(screening, false, shuftiReasons.pairs(why)))
	case passed && !doubtful && decided:
		us = append(us, clearBeside(screening))
	}
	return us, doubtful || odd
}

// shuftiSubject finds our id in the reference, where the source says there is one.
func shuftiSubject(ref string, o Options) string {
	if o["subject"] == "reference" {
		return ref
	}
	if separator, ok := strings.CutPrefix(o["subject"], "before:"); ok {
		if at := strings.LastIndex(ref, separator); at > 0 {
			return ref[:at]
		}
	}
	return ""
}

// shuftiScreenings are the services that look for a person or a company on lists.
var shuftiScreenings = []string{"aml", "aml_for_businesses", "background_checks"}

// shuftiListed reports a code that says that somebody is on a list.
func shuftiListed(code string) bool {
	return slices.Contains(shuftiLists, code)
}

// shuftiSaid is what a service came to.
type shuftiSaid byte

const (
	shuftiSilent shuftiSaid = iota // not processed
	shuftiPassed
	shuftiUnknown
	shuftiFailed
)

// shuftiDepth is how deep results nest.
const shuftiDepth = 4

// shuftiResult reads the result of a service: a digit, nothing, or an object with a digit for each
// thing that was looked at. The worst counts.
func shuftiResult(said raw[shuftiTree], depth int) shuftiSaid {
	switch string(said.Value) {
	case "1":
		return shuftiPassed
	case "0":
		return shuftiFailed
	case "null", "[]":
		return shuftiSilent
	}
	if depth == shuftiDepth {
		return shuftiUnknown
	}
	parts, ok := said.read()
	if !ok {
		return shuftiUnknown
	}
	worst := shuftiSilent
	for _, part := range parts {
		worst = max(worst, shuftiResult(part, depth+1))
	}
	return worst
}

// objectOf reads an object that may be absent or, when it is empty, a list.
func objectOf[T any](r raw[T]) (v T, ok bool) {
	if string(r.Value) == "[]" {
		return v, true
	}
	return r.read()
}

// shuftiAsked is what Shufti's API is asked for, by our reference.
const shuftiAsked = "request"

var shuftiAPI = API{ //nolint:gosec // where credentials go, and none of them
	Doc:         "https://developers.shuftipro.com",
	Live:        "https://api.shuftipro.com",
	Credentials: "user: the account's client id; key: its secret key",
	Authorize:   BasicAuth,
	Next: func(q Fetch, answers [][]byte, _ Options) (Call, bool, error) {
		if q.Ref == "" {
			return Call{}, false, unreadable("reference", "is missing")
		}
		body, err := json.Marshal(map[string]string{"reference": q.Ref})
		return Call{Method: http.MethodPost, Path: "/status", Body: body}, len(answers) == 0 && err == nil, err
	},
	Read: shuftiRead,
}

// shuftiRead: an answer has the form of a callback. One that repeats that something has changed
// says no more than the callback did.
func shuftiRead(q Fetch, answers [][]byte, o Options) (Result, error) {
	if len(answers) == 0 {
		return Result{}, unreadable("answer", "is missing")
	}
	var b shuftiBody
	if err := decode(answers[0], &b); err != nil {
		return Result{}, err
	}
	var f fields
	ref := f.same("reference", ident(q.Ref), b.Reference)
	e, known := shuftiEvents[b.Event]
	r := Result{EventType: q.What, Unsettled: e.open}
	switch {
	case b.Event == "":
		return Result{}, unreadable("event", "is missing")
	case e.fault:
		r.Ignored, r.Fault = faultEv, true
	case known && !e.ask && e.status == "":
		r.Ignored = noStatus
	}
	if r.Ignored != "" {
		return r.unless(f.err)
	}
	f.asked("reference", ref, b.Reference)
	if e.status == "" {
		e.status, r.KeepBody = kyc.InReview, true
	}
	us, doubtful := b.updates(observe(shuftiName, shuftiVersion, r, time.Time{}), e, ref, o)
	r.Updates, r.KeepBody = us, r.KeepBody || doubtful
	return r.unless(f.err)
}
