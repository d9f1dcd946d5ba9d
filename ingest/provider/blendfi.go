package provider

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

const (
	blendfiName    = "blendfi"
	blendfiVersion = 2 // decisions under unknown names are kept
)

// BlendFi has an old and a current form of signature and body, both in use. Bodies tell themselves
// apart; for signatures see blendfiEither.
var blendfi = Adapter{
	Name:      blendfiName,
	Version:   blendfiVersion,
	Doc:       "https://docs.blendfi.com.br/en/docs/concepts/webhooks",
	Evidence:  kyc.Signed,
	Options:   blendfiOptions,
	Scheme:    blendfiScheme,
	Translate: translateBlendfi,
	// A user is one person. There is no session that all events name.
	PersonRefs: []RefKind{SubjectRef},
	Overall:    []kyc.Check{kyc.IdentityVerification},
	Events:     slices.Sorted(maps.Keys(blendfiEvents)),
	reasons:    blendfiReasons,
}

var blendfiOptions = map[string]string{
	"scheme": "auto (told apart by the header's value), blendfi-legacy (hex HMAC of the body, no timestamp) or blendfi-v1 (t=,v1=);" +
		" pin the one you use (default auto)",
	"tolerance": "how old a blendfi-v1 signature may be (default 5m)",
}

const (
	blendfiHeader    = "X-BlendFi-Signature" // in both: header names have no case
	blendfiTolerance = 300 * time.Second
)

func blendfiScheme(o Options) (signing.Scheme, error) {
	if err := o.allow(blendfiOptions); err != nil {
		return nil, err
	}
	kind, err := o.oneOf("scheme", "auto", "blendfi-legacy", "blendfi-v1")
	if err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance(blendfiTolerance, false)
	if err != nil {
		return nil, err
	}
	legacy := signing.BodyHMAC{Header: blendfiHeader, Hash: signing.SHA256, Encoding: signing.Hex}
	v1 := signing.Timestamped{Header: blendfiHeader, Tolerance: tolerance, Ahead: tolerance}
	switch {
	case kind == "blendfi-legacy" && o["tolerance"] != "":
		return nil, errors.New("option tolerance: blendfi-legacy signs no timestamp; remove it, or set scheme: blendfi-v1")
	case kind == "blendfi-legacy":
		return legacy, nil
	case kind == "blendfi-v1":
		return v1, nil
	}
	return blendfiEither{legacy, v1}, nil
}

// blendfiEither judges a header by the form it has. No forger gains by choosing: either form needs
// the key, and what is signed in one form is no body in the other.
type blendfiEither struct {
	legacy signing.BodyHMAC
	v1     signing.Timestamped
}

// String says how a callback is proved, for docs/PROVIDERS.md.
func (blendfiEither) String() string {
	return "HMAC of the body, or of time and body, in `" + blendfiHeader + "`"
}

// Sign signs in the current form.
func (s blendfiEither) Sign(h signing.Header, m signing.Message, keys signing.Keyring) error {
	return s.v1.Sign(h, m, keys)
}

// Verify accepts what the form that the header has accepts.
func (s blendfiEither) Verify(h signing.Header, body []byte, keys signing.Keyring, now time.Time) error {
	if slices.ContainsFunc(h.Values(blendfiHeader), func(v string) bool { return strings.Contains(v, "=") }) {
		return s.v1.Verify(h, body, keys, now)
	}
	return s.legacy.Verify(h, body, keys, now)
}

// Check reports settings and keys that cannot work.
func (s blendfiEither) Check(keys signing.Keyring) error { return s.v1.Check(keys) }

// blendfiEvents: a name says only that there may be a status; which one, the body says.
// user.kyc.expired comes seven days early, while still approved.
var blendfiEvents = map[string]bool{
	"user.kyc.approved": true,
	"user.kyc.rejected": true,
	"user.kyc.expired":  true,
	"user.kyc_pending":  true,
	"user.kyc_approved": true,
	"user.kyc_rejected": true,
	"user.kyc_expired":  true,
}

// blendfiFamilies are about money.
var blendfiFamilies = []string{"conversion.", "transaction."}

// blendfiReason is why a submission was rejected; its message is for people and never read.
type blendfiReason struct {
	Code      string `json:"code"`
	Retriable *bool  `json:"retriable"`
}

// blendfiUser is the current form's object; the old form is the same under other names.
type blendfiUser struct {
	ID         ident           `json:"id"`
	ExternalID ident           `json:"external_id"`
	Status     string          `json:"kyc_status"`
	ApprovedAt string          `json:"kyc_approved_at"`
	ExpiresAt  string          `json:"kyc_expires_at"`
	Reason     string          `json:"rejection_reason"`
	Reasons    []blendfiReason `json:"rejection_reasons"`
	Submission struct {
		ID      ident           `json:"id"`
		Reasons []blendfiReason `json:"rejection_reasons"`
	} `json:"latest_submission"`
}

type blendfiBody struct {
	Type string `json:"type"`

	// The current form.
	ID        ident        `json:"id"`
	CreatedAt string       `json:"created_at"`
	Data      *blendfiUser `json:"data"`

	// The old form.
	UserID     ident  `json:"user_id"`
	ExternalID ident  `json:"external_id"`
	Status     string `json:"kyc_status"`
	ApprovedAt string `json:"approved_at"`
	RejectedAt string `json:"rejected_at"`
	ExpiresAt  string `json:"expires_at"`
	Reason     string `json:"rejection_reason"`
}

// user is what the body says of its user, in either form.
func (b *blendfiBody) user() *blendfiUser {
	if b.Data != nil {
		return b.Data
	}
	return &blendfiUser{
		ID: b.UserID, ExternalID: b.ExternalID, Status: b.Status, ApprovedAt: b.ApprovedAt, ExpiresAt: b.ExpiresAt, Reason: b.Reason,
	}
}

func translateBlendfi(_ signing.Header, body []byte, _ Options) (Result, error) {
	var b blendfiBody
	if err := decode(body, &b); err != nil {
		return Result{}, err
	}
	if b.Type == "" {
		return Result{}, unreadable("type", "is missing")
	}
	var f fields
	r, user := Result{EventType: word(b.Type), EventID: f.id("id", b.ID)}, b.user()
	if r.EventID != "" { // the old form has neither an id nor a time of its own: the digest of the body
		r.Dedupe = []string{r.EventID}
	}
	switch {
	case blendfiEvents[b.Type] && user.Status == "", slices.ContainsFunc(blendfiFamilies, func(p string) bool { return strings.HasPrefix(b.Type, p) }):
		r.Ignored = noStatus
	case !blendfiEvents[b.Type] && user.decided():
		r.Hold = UnknownEvent
	case !blendfiEvents[b.Type]:
		r.Ignored = unknownEv
	}
	if (r.Ignored != "" || r.Hold != "") && f.err == nil {
		return r, nil
	}
	approved := f.time("approved_at", user.ApprovedAt, time.Second, time.RFC3339)
	expires := f.time("expires_at", user.ExpiresAt, time.Second, time.RFC3339)
	u := observe(blendfiName, blendfiVersion, r, b.occurred(user, approved, expires, &f))
	u.Scope, u.Check = kyc.Overall, kyc.IdentityVerification
	u.Subject = kyc.Subject{ID: f.id("external_id", user.ExternalID), ProviderRef: f.id("user_id", user.ID), Kind: kyc.Individual}
	u.Verification.Ref = f.id("latest_submission.id", user.Submission.ID) // a new submission supersedes a rejection
	if u.Subject.ID == "" && u.Subject.ProviderRef == "" {
		f.fail("external_id", "is missing")
	}
	if f.err != nil {
		return Result{}, f.err
	}
	r.KeepBody = b.what(&u, user, approved, expires)
	r.Updates = []kyc.Update{u}
	return r, nil
}

// decided reports a status that is more than a beginning.
func (user *blendfiUser) decided() bool {
	return !slices.Contains([]string{"", string(kyc.NotStarted), string(kyc.Pending)}, user.Status)
}

// notice reports the warning before an approval runs out, which decides nothing.
func (b *blendfiBody) notice(user *blendfiUser) bool {
	return strings.HasSuffix(b.Type, "expired") && user.Status == string(kyc.Approved)
}

// occurred is the event's time in whole seconds. The old form has none: there it is the time of
// what the status says, and a notice has none at all.
func (b *blendfiBody) occurred(user *blendfiUser, approved, expires time.Time, f *fields) time.Time {
	if b.Data != nil {
		return f.time("created_at", b.CreatedAt, time.Second, time.RFC3339)
	}
	switch kyc.Status(user.Status) {
	case kyc.Approved:
		if !b.notice(user) {
			return approved
		}
	case kyc.Rejected:
		return f.time("rejected_at", b.RejectedAt, time.Second, time.RFC3339)
	case kyc.Expired:
		return expires
	default:
	}
	return time.Time{}
}

// what fills in the status, which is kyc_status and never the event's name. A word we do not know,
// or an approval inside a rejection, is in review.
func (b *blendfiBody) what(u *kyc.Update, user *blendfiUser, approved, expires time.Time) (doubtful bool) {
	u.Status = kyc.Status(user.Status)
	codes, payload := user.why()
	switch u.Status {
	case kyc.NotStarted, kyc.Pending:
	case kyc.Approved:
		if strings.HasSuffix(b.Type, "rejected") {
			u.Status = kyc.InReview
			return true
		}
		if u.ExpiresAt, u.Expiring = expires, b.notice(user); expires.IsZero() && !approved.IsZero() {
			u.ExpiresAt = kyc.AddMonths(approved, 12)
		}
	case kyc.Rejected:
		reject(u, blendfiReasons.pairs(codes), payload, retryable)
	case kyc.Expired:
		u.ExpiryKind, u.ExpiresAt = kyc.ExpiryValidity, expires
	default:
		u.Status = kyc.InReview
		return true
	}
	return false
}

// why returns the codes of a rejection and whether another try can mend it: by what each reason
// says of itself, else by what its code is by nature.
func (user *blendfiUser) why() (codes []string, h hint) {
	reasons := user.Reasons
	if len(reasons) == 0 {
		reasons = user.Submission.Reasons
	}
	if len(reasons) == 0 && user.Reason != "" {
		reasons = []blendfiReason{{Code: user.Reason}}
	}
	for _, r := range reasons {
		codes = append(codes, r.Code)
		switch {
		case r.Retriable == nil:
			h = max(h, blendfiReasons.look(r.Code).hint)
		case *r.Retriable:
			h = max(h, retryable)
		default:
			h = terminal
		}
	}
	return codes, h
}

// blendfiReasons: the two lists are terminal, for re-submission does not help against them.
var blendfiReasons = newReasons(
	means(kyc.SanctionsMatch, terminal,
		"sanctions_match",
	),
	means(kyc.PEPMatch, terminal,
		"pep_match",
	),
	means(kyc.LivenessFailed, retryable,
		"liveness_failed",
	),
	means(kyc.DataMismatch, retryable,
		"data_mismatch",
	),
	means(kyc.DocumentExpired, retryable,
		"document_expired",
	),
	means(kyc.DocumentUnreadable, retryable,
		"document_unreadable",
	),
)
