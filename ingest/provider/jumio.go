package provider

import (
	"bytes"
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	jumioName    = "jumio"
	jumioVersion = 2 // watchlists and reject reasons of Netverify, INITIATED
)

// Jumio signs nothing: what it documents is a list of addresses. A callback of KYX has no decision
// in it, one of the older Netverify has all of it.
var jumio = Adapter{
	Name:      jumioName,
	Version:   jumioVersion,
	Doc:       "https://documentation.jumio.ai/docs/developer-resources/callback",
	Evidence:  kyc.Network,
	Options:   map[string]string{},
	Scheme:    jumioScheme,
	Translate: translateJumio,
	// An account at Jumio is one person, and a workflow execution belongs to one account.
	PersonRefs: []RefKind{SubjectRef, SessionRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Steps:      []kyc.Check{kyc.DocumentVerification, kyc.Liveness, kyc.AddressVerification, kyc.Screening},
	Workflow:   "definitionKey",
	Events:     slices.Sorted(maps.Keys(jumioEvents)),
	API:        &jumioAPI,
	Gaps: []string{
		"Nothing is signed and no client certificate is documented: give the source allow with the published addresses of its region, and a token.",
		"The published addresses change; those in use are on the provider's page and are not built in.",
		"Retries and the time allowed for an answer are not verified.",
		"callbackSentAt is when a callback was sent, so a late repeat of a stage looks like news.",
		"The API is asked at the region amer-1 unless api.url names another; that the token service of a region stands on its host auth.REGION is not verified outside amer-1.",
		"Which list a watchlist alert is on is not read: every alert is a sanctions match until somebody looks.",
		"The labels come from a public reference table and are not verified against Jumio's own pages.",
		"The older Netverify callbacks cannot be confirmed through the API.",
		"A Netverify callback says how many results a watchlist search had, not of whom or on which list: any is a screening in review, and so is a search that failed. One without results is not told.",
	},
	reasons: jumioReasons,
}

func jumioScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(nil); err != nil {
		return nil, err
	}
	return signing.Unsigned{}, nil
}

// jumioEvents are the words of a workflow's status and of Netverify's verificationStatus, which are
// all the name that an event has.
var jumioEvents = map[string]jumioEvent{
	"INITIATED":           {status: kyc.Pending},
	"ACQUISITION_STARTED": {status: kyc.Pending},
	"ACQUIRED":            {status: kyc.Pending},
	"PROCESSED":           {status: kyc.Pending, ask: true}, // decided, but how is for the API to say
	"SESSION_EXPIRED":     {status: kyc.Expired},
	"TOKEN_EXPIRED":       {status: kyc.Expired},

	"APPROVED_VERIFIED":             {legacy: true, status: kyc.Approved},
	"DENIED_FRAUD":                  {legacy: true, status: kyc.Rejected, reason: kyc.FraudSuspected, hint: terminal},
	"DENIED_UNSUPPORTED_ID_TYPE":    {legacy: true, status: kyc.Rejected, reason: kyc.DocumentTypeNotAccepted, hint: retryable},
	"DENIED_UNSUPPORTED_ID_COUNTRY": {legacy: true, status: kyc.Rejected, reason: kyc.UnsupportedCountry, hint: terminal},
	"ERROR_NOT_READABLE_ID":         {legacy: true, status: kyc.Rejected, reason: kyc.DocumentUnreadable, hint: retryable},
	"NO_ID_UPLOADED":                {legacy: true, status: kyc.Expired},
}

// jumioEvent is what a status word says.
type jumioEvent struct {
	legacy bool // a word of Netverify's
	status kyc.Status
	ask    bool
	reason kyc.Reason
	hint   hint
}

type jumioBody struct {
	SentAt        string `json:"callbackSentAt"`
	UserReference ident  `json:"userReference"`
	Execution     struct {
		ID            ident  `json:"id"` // beside it stands a URL, which is never asked
		DefinitionKey ident  `json:"definitionKey"`
		Status        string `json:"status"`
	} `json:"workflowExecution"`
	Account struct {
		ID ident `json:"id"`
	} `json:"account"`
}

func translateJumio(_ signing.Header, body []byte, _ Options) (Result, error) {
	if text := bytes.TrimLeft(unmarked(body), " \t\r\n"); len(text) > 0 && text[0] != '{' && bytes.IndexByte(text, '=') > 0 {
		return translateNetverify(body)
	}
	var b jumioBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	var f fields
	id, account := f.id("workflowExecution.id", b.Execution.ID), f.id("account.id", b.Account.ID)
	said := b.Execution.Status
	r := Result{EventType: cmp.Or(word(said), "status"), Dedupe: []string{id, said}}
	if said == "" {
		r.Ignored = noStatus
		return r, nil
	}
	e, known := jumioEvents[said]
	at := f.time("callbackSentAt", b.SentAt, time.Millisecond, time.RFC3339)
	if e.ask { // sent after the decision was made: with this time the attempt would seem to follow it
		at = time.Time{}
	}
	u := observe(jumioName, jumioVersion, r, at)
	u.Scope, u.Check, u.Status = kyc.Overall, kyc.IdentityVerification, e.status
	u.Subject = kyc.Subject{ID: f.id("userReference", b.UserReference), ProviderRef: account, Kind: kyc.Individual}
	u.Verification = kyc.Verification{Ref: id, Workflow: f.id("workflowExecution.definitionKey", b.Execution.DefinitionKey)}
	if id == "" {
		f.fail("workflowExecution.id", "is missing")
	}
	if r.KeepBody = !known || e.legacy; r.KeepBody {
		u.Status = kyc.InReview
	}
	if u.Status == kyc.Expired {
		u.ExpiryKind = kyc.ExpiryAttempt
	}
	if e.ask || r.KeepBody {
		if account == "" {
			f.fail("account.id", "is missing")
		}
		r.Fetch = []Fetch{{Ref: f.pair("account.id", account, id), What: jumioAsked}}
	}
	r.Updates = []kyc.Update{u}
	return r.unless(f.err)
}

// translateNetverify reads the older callback, a form with the whole result and all that Jumio
// knows of the person. There is nothing to ask in its stead.
func translateNetverify(body []byte) (Result, error) {
	form, err := url.ParseQuery(string(unmarked(body)))
	if err != nil {
		return Result{}, unreadable("body", "is neither json nor a form")
	}
	for _, name := range []string{
		"callBackType", "verificationStatus", "idScanStatus", "identityVerification", "jumioIdScanReference", "customerId", "callbackDate",
		"additionalChecks", "rejectReason", "transactionResult",
	} {
		if len(form[name]) > 1 {
			return Result{}, unreadable(name, "is duplicated")
		}
	}
	var f fields
	said, id := form.Get("verificationStatus"), f.id("jumioIdScanReference", ident(form.Get("jumioIdScanReference")))
	r := Result{EventType: cmp.Or(word(said), "verificationStatus"), Dedupe: []string{id, said}}
	switch kind := form.Get("callBackType"); {
	case kind == "" && id == "":
		return Result{}, unreadable("body", "is neither json nor a form")
	case kind != "" && kind != "NETVERIFYID" && (jumioEvents[said].legacy || form.Get("transactionResult") != ""): // the latter of an authentication
		r.Hold = UnknownEvent
	case kind != "" && kind != "NETVERIFYID":
		r.Ignored = unknownEv
	case said == "":
		r.Ignored = noStatus
	}
	if r.Ignored != "" || r.Hold != "" {
		return r, nil
	}
	u := observe(jumioName, jumioVersion, r, f.time("callbackDate", form.Get("callbackDate"), time.Millisecond, time.RFC3339))
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	u.Subject = kyc.Subject{ID: f.id("customerId", ident(form.Get("customerId"))), Kind: kyc.Individual}
	if u.Verification.Ref = id; id == "" {
		f.fail("jumioIdScanReference", "is missing")
	}
	r.KeepBody = netverifyStatus(&u, said, form)
	r.Updates = []kyc.Update{u}
	if screening, told, unread := netverifyLists(u, form.Get("additionalChecks")); told {
		r.Updates, r.KeepBody = append(r.Updates, screening), r.KeepBody || unread
	}
	return r.unless(f.err)
}

// netverifyLists reads what a search of watchlists came to, which stands in a field of the form as
// JSON and whose name is spelt in two ways: https://github.com/Jumio/implementation-guides,
// netverify-screening.md.
func netverifyLists(u kyc.Update, text string) (screening kyc.Update, told, unread bool) {
	if text == "" {
		return u, false, false
	}
	type search struct {
		Status  string `json:"searchStatus"`
		Results ident  `json:"searchResults"`
	}
	var checks struct {
		List search `json:"watchlistScreening"`
		Old  search `json:"watchListScreening"`
	}
	unread = decode([]byte(text), &checks) != nil
	s := cmp.Or(checks.List, checks.Old)
	switch {
	case unread, s.Results != "" && strings.Trim(string(s.Results), "0") != "":
		return hitBeside(u, false, nil), true, unread
	case s.Status == "ERROR":
		return hitBeside(u, false, []kyc.ReasonPair{{Code: kyc.TechnicalFailure, ProviderCode: s.Status}}), true, false
	case s.Status != "" && s.Status != "DONE" && s.Status != "NOT_DONE":
		return hitBeside(u, false, nil), true, true
	default:
		return u, false, false
	}
}

// netverifyReasons are the reasons of a rejection, of which the status is the first.
func netverifyReasons(e jumioEvent, said string, form url.Values) []kyc.ReasonPair {
	pairs := []kyc.ReasonPair{{Code: e.reason, ProviderCode: said}}
	var why struct {
		Code ident `json:"rejectReasonCode"`
	}
	if text := form.Get("rejectReason"); text != "" && decode([]byte(text), &why) == nil {
		if code := "rejectReason." + string(why.Code); jumioReasons.look(code).hint != undecided {
			pairs = append(jumioReasons.pairs([]string{code}), pairs...)
		}
	}
	return ranked(pairs)
}

// netverifyStatus fills in the status. The scan and the face have words of their own, which an
// approval must not contradict.
func netverifyStatus(u *kyc.Update, said string, form url.Values) (doubtful bool) {
	e := jumioEvents[said]
	switch u.Status = e.status; {
	case !e.legacy:
		doubtful = true
	case e.status == kyc.Rejected:
		reject(u, netverifyReasons(e, said, form), e.hint)
	case e.status == kyc.Expired:
		u.ExpiryKind = kyc.ExpiryAttempt
	default:
		var face struct {
			Similarity string `json:"similarity"`
			Validity   any    `json:"validity"`
		}
		text := form.Get("identityVerification")
		unread := text != "" && decode([]byte(text), &face) != nil
		valid, _ := face.Validity.(string)
		doubtful = unread || face.Similarity != "" && face.Similarity != "MATCH" ||
			face.Validity != nil && face.Validity != true && !strings.EqualFold(valid, "true") ||
			form.Get("idScanStatus") != "" && form.Get("idScanStatus") != "SUCCESS"
	}
	if doubtful {
		doubted(u)
	}
	return doubtful
}
