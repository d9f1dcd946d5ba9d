// Package kyc is the vocabulary of Countersign and the rules that turn what providers say about a
// person into what partners are told.
//
// It is pure: no clock, no I/O, standard library only. An Update is one record about one subject;
// State.Apply folds updates, in whatever order they arrive, into numbered Changes. Spellings are a
// contract (docs/EVENTS.md): enums are open strings, so a reader keeps a word it does not know.
package kyc

import "time"

// Status is where a subject, a check or a document stands.
type Status string

// The seven statuses.
const (
	NotStarted Status = "not_started"
	Pending    Status = "pending"
	InReview   Status = "in_review"
	Approved   Status = "approved"
	Rejected   Status = "rejected"
	Expired    Status = "expired"
	Suspended  Status = "suspended"
)

// Statuses lists every Status, least to most advanced.
var Statuses = []Status{NotStarted, Pending, InReview, Approved, Rejected, Expired, Suspended}

// Check is one kind of thing verified about a subject.
type Check string

// The check types.
const (
	IdentityVerification Check = "identity_verification"
	DocumentVerification Check = "document_verification"
	AddressVerification  Check = "address_verification"
	TaxIDVerification    Check = "tax_id_verification"
	Screening            Check = "screening"
	RiskAssessment       Check = "risk_assessment"
	Liveness             Check = "liveness"
	BusinessVerification Check = "business_verification"
)

// Checks lists every check type.
var Checks = []Check{
	IdentityVerification, DocumentVerification, AddressVerification, TaxIDVerification,
	Screening, RiskAssessment, Liveness, BusinessVerification,
}

// Reason is why a status is not a plain yes. The provider's own code always travels beside it.
type Reason string

// The reasons.
const (
	SanctionsMatch          Reason = "sanctions_match"
	PEPMatch                Reason = "pep_match"
	AdverseMediaMatch       Reason = "adverse_media_match"
	FraudSuspected          Reason = "fraud_suspected"
	Underage                Reason = "underage"
	DuplicateAccount        Reason = "duplicate_account"
	UnsupportedCountry      Reason = "unsupported_country"
	LivenessFailed          Reason = "liveness_failed"
	DataMismatch            Reason = "data_mismatch"
	NameMismatch            Reason = "name_mismatch"
	DocumentExpired         Reason = "document_expired"
	DocumentTypeNotAccepted Reason = "document_type_not_accepted"
	DocumentMissing         Reason = "document_missing"
	DocumentUnreadable      Reason = "document_unreadable"
	AttemptsExceeded        Reason = "attempts_exceeded"
	HighRisk                Reason = "high_risk"
	CompanyStructure        Reason = "company_structure"
	ConsentDeclined         Reason = "consent_declined"
	TechnicalFailure        Reason = "technical_failure"
	OtherReason             Reason = "other"
)

// Priority lists every Reason, gravest first: the first reason of an update is its primary one.
var Priority = []Reason{
	SanctionsMatch, PEPMatch, AdverseMediaMatch, FraudSuspected, Underage, DuplicateAccount, UnsupportedCountry,
	LivenessFailed, DataMismatch, NameMismatch, DocumentExpired, DocumentTypeNotAccepted, DocumentMissing, DocumentUnreadable,
	AttemptsExceeded, HighRisk, CompanyStructure, ConsentDeclined, TechnicalFailure, OtherReason,
}

// Kind says what sort of record an Update is (I11).
type Kind string

// The record kinds. Observation is what a provider's callback said; the rest are made by
// Countersign or its operators.
const (
	Observation  Kind = "observation"
	Confirmation Kind = "confirmation"
	FetchRequest Kind = "fetch"
	Decision     Kind = "decision"
	Timer        Kind = "timer"
	PolicyChange Kind = "policy"
	Submission   Kind = "submission"
	Redelivery   Kind = "redelivery"
	Erasure      Kind = "erasure"
)

// Scope says what an update is about: the person as a whole, one step, or one document.
type Scope string

// The scopes.
const (
	Overall       Scope = "overall"
	CheckScope    Scope = "check"
	DocumentScope Scope = "document"
)

// Authenticity is how strongly a callback proved who sent it.
type Authenticity string

// The levels, strongest first: signed covers the body, authenticated proves the sender only,
// network is an address or a path.
const (
	Signed        Authenticity = "signed"
	Authenticated Authenticity = "authenticated"
	Network       Authenticity = "network"
)

// AtLeast reports whether a is as strong as the level asked for. An unknown level is weaker than
// all.
func (a Authenticity) AtLeast(need Authenticity) bool {
	return a.strength() >= need.strength() && a.strength() > 0
}

func (a Authenticity) strength() int {
	switch a {
	case Signed:
		return 3
	case Authenticated:
		return 2
	case Network:
		return 1
	default:
		return 0
	}
}

// Origin says where an update's OccurredAt comes from.
type Origin string

// The origins. Only OriginProvider and OriginSignature order updates.
const (
	OriginProvider  Origin = "provider"
	OriginSignature Origin = "signature"
	OriginReceived  Origin = "received"
)

// ExpiryKind tells an approval that ran out from a link or session that lapsed.
type ExpiryKind string

// The expiry kinds.
const (
	ExpiryValidity ExpiryKind = "validity"
	ExpiryAttempt  ExpiryKind = "attempt"
)

// Manual stands for the source of a decision that is about no source's check. Its release also
// answers what there was no room for.
const Manual = "manual"

// Individual and Company are the subject kinds.
const (
	Individual = "individual"
	Company    = "company"
)

// Update is one KYC status update: what one record said about one subject, normalised. Its JSON is
// what stands in the journal and on Kafka. Empty strings, lists, objects and unknown times are
// absent; booleans are always present. It holds no name, birth date, document number or free text.
type Update struct {
	SchemaVersion     int           `json:"schema_version"`
	ID                string        `json:"id,omitempty"` // ULID, deterministic (I4)
	Kind              Kind          `json:"kind"`
	Source            string        `json:"source,omitempty"`
	Provider          string        `json:"provider,omitempty"`
	ProviderEvent     ProviderEvent `json:"provider_event,omitzero"`
	Partner           string        `json:"partner,omitempty"` // empty until routed
	Livemode          bool          `json:"livemode"`
	Subject           Subject       `json:"subject,omitzero"`
	Verification      Verification  `json:"verification,omitzero"`
	Scope             Scope         `json:"scope,omitempty"`
	Check             Check         `json:"check,omitempty"`
	Document          Document      `json:"document,omitzero"`
	Status            Status        `json:"status,omitempty"`
	ExpiryKind        ExpiryKind    `json:"expiry_kind,omitempty"`
	Reasons           []ReasonPair  `json:"reasons,omitempty"` // primary first
	Retryable         bool          `json:"retryable"`
	Terminal          bool          `json:"terminal"`
	Authenticity      Authenticity  `json:"authenticity,omitempty"`
	NeedsConfirmation bool          `json:"needs_confirmation"` // weaker evidence than the source asks for (I10)
	ClaimedStatus     Status        `json:"claimed_status,omitempty"`
	ExpiresAt         time.Time     `json:"expires_at,omitzero"`
	Expiring          bool          `json:"expiring"`             // a notice: owes kyc.status.expiring, decides nothing
	OccurredAt        time.Time     `json:"occurred_at,omitzero"` // UTC; cut to the adapter's coarsest resolution
	OccurredAtOrigin  Origin        `json:"occurred_at_origin,omitempty"`
	ReceivedAt        time.Time     `json:"received_at,omitzero"`
	BodySHA256        string        `json:"body_sha256,omitempty"`
	AdapterVersion    int           `json:"adapter_version,omitempty"`
	Traceparent       string        `json:"traceparent,omitempty"`
	Callback          Callback      `json:"callback,omitzero"`
	Waited            bool          `json:"-"` // it waited for its person: what was received after it may have been applied already
	Skew              time.Duration `json:"-"` // of a provider's word that one of several nodes received: how far, either way, the clock that said ReceivedAt may be from the true time, 0 to an hour; what was received after it may have been applied already. 0: one node, which applies in the order of receipt

	// What follows belongs to the kinds decision, redelivery, confirmation, policy and submission.
	Release       bool      `json:"release,omitempty"`        // decision: lift every hold known now; with UnroutedID: apply that record. Observation, confirmation: the provider ends its own suspension. Submission: an operator settles whose the ref is
	Actor         string    `json:"actor,omitempty"`          // all but confirmation: who ordered it (a token's name)
	Note          string    `json:"note,omitempty"`           // decision, submission: why, in the operator's words
	Endpoint      string    `json:"endpoint,omitempty"`       // redelivery: which endpoint
	ChangeID      string    `json:"change_id,omitempty"`      // redelivery: which change
	Force         bool      `json:"force,omitempty"`          // redelivery: even if the lane has moved on; observation of a test subject: what was said before does not count
	AskedAt       time.Time `json:"asked_at,omitzero"`        // confirmation: when the provider was asked; answers claims received before
	PolicyVersion int       `json:"policy_version,omitempty"` // policy: the version the subject is folded under from here on
	UnroutedID    string    `json:"unrouted_id,omitempty"`    // decision: it is about an unrouted record, not about a check
	TakenBack     string    `json:"taken_back,omitempty"`     // decision with UnroutedID: the update that was given to the wrong subject by it, and is taken back
	Replay        Replay    `json:"replay,omitzero"`          // redelivery: it is a part of a replay
	Rebuild       string    `json:"rebuild,omitempty"`        // decision: the state of a subject that was set aside is made anew, from its "history", or from the "rest" of it
}

// Replay says which replay ordered a redelivery. Where Sequence is 0 a dead delivery is owed again as
// it is; else the change is rendered anew for the endpoint, which may never have been told of it.
type Replay struct {
	ID       string    `json:"id"` // of the replay; "": one delivery was ordered by itself
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at,omitzero"`                // when the record that owed the change was appended: where the history has it
	Previous uint64    `json:"previous_sequence,omitzero"` // what the endpoint was told before it
}

// Callback says which records one callback brought, where it brought several: they stand one after
// another, and what they mean for a subject is worked out together.
type Callback struct {
	ID    string `json:"id,omitempty"` // of the first of them
	Index int    `json:"index"`        // from 0
	Count int    `json:"count"`
}

// ProviderEvent is the provider's own name for what happened.
type ProviderEvent struct {
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Revision int64  `json:"revision,omitempty"` // breaks ties of time within one object
}

// Subject is the person or business, under the partner's own id.
type Subject struct {
	ID          string `json:"id,omitempty"`
	ProviderRef string `json:"provider_ref,omitempty"`
	Kind        string `json:"kind,omitempty"` // individual | company
}

// Verification names the provider's session: ParentRef groups steps (a request of documents),
// AttemptRef is one try within Ref.
type Verification struct {
	Ref        string `json:"ref,omitempty"`
	ParentRef  string `json:"parent_ref,omitempty"`
	AttemptRef string `json:"attempt_ref,omitempty"`
	Workflow   string `json:"workflow,omitempty"`
}

// Document is one document, by the provider's id and types; never its number.
type Document struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type,omitempty"`
	Subtype string `json:"subtype,omitempty"`
}

// ReasonPair is our reason beside the provider's own code.
type ReasonPair struct {
	Code         Reason `json:"code"`
	ProviderCode string `json:"provider_code,omitempty"`
}

// Change is one numbered effect on a subject, complete enough for every partner format. It knows no
// endpoint: previous_sequence and keys belong to a delivery.
type Change struct {
	ID                string       `json:"id"`   // "evt_" + ULID: the webhook-id on every endpoint and every attempt (I4)
	Type              string       `json:"type"` // kyc.status.approved, kyc.check.failed …
	Sequence          uint64       `json:"sequence"`
	Partner           string       `json:"partner"`
	Livemode          bool         `json:"livemode"`
	Subject           Subject      `json:"subject,omitzero"`
	Status            Status       `json:"status"`          // of the object the type names
	PreviousStatus    Status       `json:"previous_status"` // the last one owed for that object; not_started if none
	Check             CheckView    `json:"check,omitzero"`  // the check that decides it
	Document          Document     `json:"document,omitzero"`
	Reasons           []ReasonPair `json:"reasons,omitempty"`
	Retryable         bool         `json:"retryable"`
	Terminal          bool         `json:"terminal"`
	NeedsConfirmation bool         `json:"needs_confirmation"`       // unsigned evidence claims it: in_review until something answers that
	ClaimedStatus     Status       `json:"claimed_status,omitempty"` // what it claims
	ApprovedAt        time.Time    `json:"approved_at,omitzero"`
	ExpiresAt         time.Time    `json:"expires_at,omitzero"`
	DecidedBy         string       `json:"decided_by,omitempty"` // id of the record that decides: the finding that stands, or the approval
	OccurredAt        time.Time    `json:"occurred_at,omitzero"` // of what decided it, else when its record was received
	ReceivedAt        time.Time    `json:"received_at,omitzero"` // when the record that caused it was received
	CauseID           string       `json:"cause_id"`             // the update that caused it
	Traceparent       string       `json:"traceparent,omitempty"`
}

// CheckView is the check a change is about, as partners see it.
type CheckView struct {
	Type        Check  `json:"type,omitempty"`
	Status      string `json:"status,omitempty"` // pending | clear | failed | review_required | error | expired | suspended
	Source      string `json:"source,omitempty"`
	Provider    string `json:"provider,omitempty"`
	ProviderRef string `json:"provider_ref,omitempty"`
}

// Verdict is what became of one record.
type Verdict string

// The verdicts.
const (
	Applied    Verdict = "applied"
	Duplicate  Verdict = "duplicate"  // its id is known
	Stale      Verdict = "stale"      // older than what its run holds, or answered already
	Superseded Verdict = "superseded" // its run's newest, but another run or source speaks
	Parked     Verdict = "parked"     // an approval behind a finding that it does not answer, such as a terminal rejection
	Held       Verdict = "held"       // behind a sanctions or PEP hit
	Overruled  Verdict = "overruled"  // takes away, but an operator's approval answers it
	Unrouted   Verdict = "unrouted"   // nobody is known by its ref yet
	Ambiguous  Verdict = "ambiguous"  // its ref belongs to two subjects
	SetAside   Verdict = "set_aside"  // something of its subject is damaged: kept until that is made anew
)

// Verdicts lists every Verdict.
var Verdicts = []Verdict{Applied, Duplicate, Stale, Superseded, Parked, Held, Overruled, Unrouted, Ambiguous, SetAside}
