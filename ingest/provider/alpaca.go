package provider

import (
	"bytes"
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
	"countersign/signing"
)

const (
	alpacaName    = "alpaca"
	alpacaVersion = 2 // every documented status; lists are a check of their own
)

// Alpaca posts nothing: a client opens a stream of events, and may open it again behind any of
// them. What comes is the data of one event.
var alpaca = Adapter{
	Name:      alpacaName,
	Version:   alpacaVersion,
	Doc:       "https://docs.alpaca.markets/docs/sse-events",
	Evidence:  kyc.Signed, // of what we fetch: TLS shows whose stream it is
	Proves:    alpacaProves,
	Options:   map[string]string{},
	Scheme:    alpacaScheme,
	Translate: translateAlpaca,
	// An account is one person's, and every event is about one account.
	PersonRefs: []RefKind{SubjectRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Events:     slices.Sorted(maps.Keys(alpacaStatuses)),
	Stream:     &alpacaStream,
	Gaps: []string{
		"No event carries our id: register each account_id as a submission.",
		"A new source begins with the oldest event that Alpaca still has; how far back that is, is not verified.",
		"Whether since_ulid and since_id repeat the event they name is not verified; a repeat has no effect.",
		"Heartbeats are not documented: a connection that is silent for two minutes is made again.",
		"Events hold only what has changed: one without status_to is ignored, unless kyc_results has something against the person; then it is in review.",
		"Words for an account that say nothing clear of the person, such as LIMITED and DISABLE_PENDING, are in review. So is INACTIVE, which is in no list of the vendor's.",
		"kyc_results says why, and is no check of its own, except for a PEP or a watch list: either is a screening in review, or a match where the account was rejected for it. " +
			"What it accepts approves nothing.",
		"Whether an account belongs to a company is not told: everybody is an individual.",
		"There is no test flag: sandbox and live have hosts of their own.",
	},
	reasons: alpacaReasons,
}

var alpacaStream = Stream{ //nolint:gosec // where credentials go, and none of them
	Doc:         "https://docs.alpaca.markets/us/reference/subscribetoaccountstatussse",
	Live:        "https://broker-api.alpaca.markets",
	Sandbox:     "https://broker-api.sandbox.alpaca.markets",
	Credentials: "api.user and api.key are the Broker API key and its secret",
	Authorize:   BasicAuth,
	Call:        alpacaCall,
	Cursor:      alpacaCursor,
	Gap:         alpacaGap,
}

func alpacaScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(nil); err != nil {
		return nil, err
	}
	return signing.Unsigned{}, nil
}

// alpacaProves is about callbacks. There are none, so whoever posts one is somebody else.
func alpacaProves(Options) kyc.Authenticity { return kyc.Network }

const (
	alpacaFailed = "SUBMISSION_FAILED"
	alpacaAML    = "AML_REVIEW"
	alpacaEvent  = "account_status" // where no word for the status names it
)

// alpacaStatuses are the words for an account's status, which are all the name that an event has.
var alpacaStatuses = map[string]kyc.Status{
	"ONBOARDING":       kyc.NotStarted,
	"SUBMITTED":        kyc.Pending,
	"APPROVAL_PENDING": kyc.Pending,
	// https://github.com/alpacahq/alpaca-docs oas/broker/openapi.yaml has these beside them.
	"SIGNED_UP":          kyc.Pending,
	"RESUBMITTED":        kyc.Pending,
	"EDITED":             kyc.Pending,
	"KYC_SUBMITTED":      kyc.Pending,
	"REAPPROVAL_PENDING": kyc.Pending,
	alpacaAML:            kyc.InReview, // from a country that needs a person's approval
	"LIMITED":            kyc.InReview,
	"ACCOUNT_UPDATED":    kyc.InReview,
	"PAPER_ONLY":         kyc.InReview,
	"DISABLE_PENDING":    kyc.InReview,
	"ACTION_REQUIRED":    kyc.Rejected, // documents can be uploaded
	"APPROVED":           kyc.Approved,
	"ACTIVE":             kyc.Approved,
	"REJECTED":           kyc.Rejected,
	"DISABLED":           kyc.Suspended,
	"ACCOUNT_CLOSED":     kyc.Suspended,
	alpacaFailed:         kyc.InReview, // our submission did not go through
}

// alpacaResults are the codes of what was checked. What stands beside a code may be about the
// person and is not read.
type alpacaResults struct {
	Reject        map[string]jsontext.Value `json:"reject"`
	Indeterminate map[string]jsontext.Value `json:"indeterminate"`
}

type alpacaBody struct {
	AccountID ident         `json:"account_id"`
	At        string        `json:"at"`
	EventULID raw[ident]    `json:"event_ulid"`
	EventID   raw[ident]    `json:"event_id"`
	Results   alpacaResults `json:"kyc_results"` // absent or null where nothing of it changed
	Result    alpacaResults `json:"kyc_result"`  // what the vendor's OpenAPI calls it
	Status    string        `json:"status_to"`   // absent where something else changed
}

func translateAlpaca(_ signing.Header, body []byte, _ Options) (Result, error) {
	var b alpacaBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	id, number, err := alpacaID(b.EventULID, b.EventID)
	if err != nil {
		return Result{}, err
	}
	r := Result{EventType: cmp.Or(word(b.Status), alpacaEvent), Dedupe: []string{id}}
	rejected, open := slices.Sorted(maps.Keys(b.Results.Reject)), slices.Sorted(maps.Keys(b.Results.Indeterminate))
	rejected, open = slices.AppendSeq(rejected, maps.Keys(b.Result.Reject)), slices.AppendSeq(open, maps.Keys(b.Result.Indeterminate))
	if b.Status == "" && len(rejected)+len(open) == 0 {
		r.Ignored = noStatus
		return r, nil
	}
	var f fields
	u := observe(alpacaName, alpacaVersion, r, f.time("at", b.At, time.Microsecond, time.RFC3339))
	u.ProviderEvent.Revision = number // events of one instant have an order all the same
	account := f.id("account_id", b.AccountID)
	if account == "" {
		f.fail("account_id", "is missing")
	}
	u.Subject = kyc.Subject{ProviderRef: account, Kind: kyc.Individual}
	u.Verification.Ref = account
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	screening, found := alpacaScreening(u, alpacaStatuses[b.Status] == kyc.Rejected && slices.ContainsFunc(rejected, alpacaListed), slices.Concat(rejected, open))
	r.KeepBody = b.what(&u, rejected, open)
	if r.Updates = []kyc.Update{u}; found {
		r.Updates = append(r.Updates, screening)
	}
	return r.unless(f.err)
}

// alpacaListed reports a code of a watch list or an exposed person.
func alpacaListed(code string) bool {
	reason := alpacaReasons.look(code).reason
	return reason == kyc.SanctionsMatch || reason == kyc.PEPMatch || reason == kyc.AdverseMediaMatch
}

// alpacaScreening is what the results have in lists, a check of its own: a match where the account
// was rejected for it, else for a person to judge.
func alpacaScreening(u kyc.Update, match bool, codes []string) (_ kyc.Update, found bool) {
	hits := slices.DeleteFunc(codes, func(code string) bool { return !alpacaListed(code) })
	u.Scope, u.Check, u.Status, u.Reasons = kyc.CheckScope, kyc.Screening, kyc.InReview, alpacaReasons.pairs(hits)
	if match {
		reject(&u, u.Reasons, terminal)
	}
	return u, len(hits) > 0
}

// what fills in the status and why. It reports whether a person has to look at the body: at a word
// that is not known, at results without any, at an approval with something against it.
func (b *alpacaBody) what(u *kyc.Update, rejected, open []string) (doubtful bool) {
	against := alpacaReasons.pairs(slices.Concat(rejected, open))
	mendable := alpacaReasons.pairs(slices.Concat(rejected, slices.DeleteFunc(slices.Clone(open), alpacaListed))) // without what screening says
	status, known := alpacaStatuses[b.Status]
	u.Status = status
	switch {
	case !known, status == kyc.Approved && len(mendable) > 0:
		u.Reasons = mendable
		doubted(u)
		return true
	case b.Status == alpacaFailed:
		u.Reasons = []kyc.ReasonPair{{Code: kyc.TechnicalFailure, ProviderCode: alpacaFailed}}
	case b.Status == alpacaAML:
		u.Reasons = ranked(append(mendable, kyc.ReasonPair{Code: kyc.HighRisk, ProviderCode: alpacaAML}))
	case status == kyc.InReview:
		u.Reasons = mendable
	case b.Status == "ACTION_REQUIRED":
		reject(u, mendable, retryable)
	case status == kyc.Rejected && len(rejected) > 0:
		reject(u, alpacaReasons.pairs(rejected), terminal)
	case status == kyc.Rejected:
		reject(u, against, terminal)
	}
	return false
}

var (
	alpacaULID   = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)
	alpacaNumber = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
)

// alpacaID reads what names an event: a ULID, and for older customers also a number, which is to
// go. Both only grow.
func alpacaID(ulid, number raw[ident]) (id string, n int64, err error) {
	if digits, _ := number.read(); alpacaNumber.MatchString(string(digits)) {
		if n, err = strconv.ParseInt(string(digits), 10, 64); err != nil {
			return "", 0, unreadable("event_id", "is out of range")
		}
		id = string(digits)
	}
	if text, _ := ulid.read(); alpacaULID.MatchString(string(text)) {
		id = string(text)
	}
	if id == "" {
		return "", 0, unreadable("event_ulid", "and event_id are missing or malformed")
	}
	return id, n, nil
}

// alpacaCursor reads nothing but the id.
func alpacaCursor(event []byte) (string, error) {
	var b struct {
		EventULID raw[ident] `json:"event_ulid"`
		EventID   raw[ident] `json:"event_id"`
	}
	if json.Unmarshal(unmarked(event), &b, lax) != nil {
		return "", unreadable("body", "is not one json object")
	}
	id, _, err := alpacaID(b.EventULID, b.EventID)
	return id, err
}

// alpacaCall opens the stream behind an event. Without one it names a time before Alpaca's first:
// with neither the stream begins now, and what comes before our next connection would be lost.
func alpacaCall(cursor string) Call {
	from := "since_id=" + cursor
	switch {
	case cursor == "":
		from = "since=2000-01-01"
	case alpacaULID.MatchString(cursor):
		from = "since_ulid=" + cursor
	}
	return Call{Method: http.MethodGet, Path: "/v1/events/accounts/status?" + from}
}

// alpacaGap knows the comment for a client that does not keep up: "you are reading too slowly,
// dropped 10000 messages".
func alpacaGap(comment []byte) bool { return bytes.Contains(comment, []byte("dropped")) }

// alpacaReasons are the codes of kyc_results. Whether another try can mend one is for the status to
// say.
var alpacaReasons = newReasons(
	means(kyc.SanctionsMatch, undecided,
		"WATCHLIST_HIT",
	),
	means(kyc.PEPMatch, undecided,
		"PEP", "FAMILY_MEMBER_PEP", "PEP_FOREIGN", "FAMILY_MEMBER_PEP_FOREIGN", "HIO", "WL_PEP_SCREENING",
	),
	means(kyc.AdverseMediaMatch, undecided,
		"WL_LEGAL_REGULATORY_WARNING",
	),
	means(kyc.FraudSuspected, undecided,
		"compromised_document",
	),
	means(kyc.Underage, undecided,
		"UNDER_MINIMUM_AGE",
	),
	means(kyc.UnsupportedCountry, undecided,
		"COUNTRY_NOT_SUPPORTED", "CITIZENSHIP_COUNTRY_NOT_SUPPORTED",
	),
	means(kyc.LivenessFailed, undecided,
		"SELFIE_VERIFICATION",
	),
	means(kyc.DataMismatch, undecided,
		"IDENTITY_VERIFICATION", "TAX_IDENTIFICATION", "ADDRESS_VERIFICATION", "DATE_OF_BIRTH", "DIFFERING_COUNTRY", "W8BEN_CORRECTION", "data_comparison",
	),
	means(kyc.DocumentTypeNotAccepted, undecided,
		"INVALID_IDENTITY_PASSPORT",
	),
	means(kyc.DocumentUnreadable, undecided,
		"image_integrity",
	),
	means(kyc.HighRisk, undecided,
		"CONTROL_PERSON", "AFFILIATED",
	),
	means(kyc.OtherReason, undecided,
		"OTHER", "OTHER_PARTNER", "DISCRETIONARY", "INTERNAL_CHECK", "VISA_TYPE_OTHER",
	),
)
