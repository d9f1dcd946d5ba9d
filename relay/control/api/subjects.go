package api

import "time"

// Subject is who told us what of a person, what we made of it, and whom we told: where the person
// stands, and a page of the history, the newest first.
type Subject struct {
	Object     string       `json:"object" enum:"subject"`
	Partner    string       `json:"partner"`
	ID         string       `json:"id"`
	Livemode   bool         `json:"livemode"`
	Policy     Policy       `json:"policy"`
	Status     Status       `json:"status"`
	Checks     []CheckState `json:"checks"`
	Why        []Standing   `json:"why" doc:"Each finding and approval that still matters, and what became or would become of it."`
	Endpoints  []Told       `json:"endpoints" doc:"For each endpoint: the last sequence it accepted, and its pending and dead-lettered deliveries."`
	Records    []Record     `json:"records"`
	Changes    []Change     `json:"changes"`
	Deliveries []Outcome    `json:"deliveries"`
	SetAside   bool         `json:"set_aside,omitempty" doc:"A record of this person is damaged: the status is unknown, and nothing new is sent until it is rebuilt."`
	At         *At          `json:"at,omitempty" doc:"Of what instant all this is, where one was asked for."`
	HasMore    bool         `json:"has_more"`
	Next       string       `json:"next,omitempty" doc:"Where there is more: the cursor that the next page is asked for with."`
}

// ListedSubject is one person in a list: where they stand.
type ListedSubject struct {
	Partner           string    `json:"partner"`
	ID                string    `json:"id"`
	Livemode          bool      `json:"livemode"`
	Status            string    `json:"status,omitempty" doc:"Left out of one that is set aside."`
	Reasons           []Reason  `json:"reasons,omitempty"`
	Terminal          bool      `json:"terminal"`
	NeedsConfirmation bool      `json:"needs_confirmation"`
	ClaimedStatus     string    `json:"claimed_status,omitempty"`
	ExpiresAt         time.Time `json:"expires_at,omitzero"`
	ChangedAt         time.Time `json:"changed_at,omitzero" doc:"When the status changed last."`
	Sequence          uint64    `json:"sequence" doc:"Of the last change."`
	Held              int       `json:"held,omitempty" doc:"Open sanctions and PEP matches, which only an operator can release."`
	SetAside          bool      `json:"set_aside,omitempty" doc:"A record of it is damaged: its status is unknown."`
}

// At says of what instant a subject is shown, and how that is known.
type At struct {
	At        time.Time `json:"at"`
	By        string    `json:"by" enum:"evaluation,change,nothing" doc:"evaluation: computed again from everything that had been processed by then; complete. change: not everything is kept; the status comes from the changes that were sent, and the state of the checks is not known. nothing: nothing of that time is kept."`
	KnownFrom time.Time `json:"known_from,omitzero" doc:"What was before is not kept; left out where everything is."`
	Unproved  []uint64  `json:"unproved,omitempty" doc:"Changes that had been decided, but may not yet have been on stable storage at that time."`
}

// Told is how far one endpoint has been told of a person.
type Told struct {
	Endpoint   string    `json:"endpoint"`
	Accepted   uint64    `json:"accepted,omitempty" doc:"The newest sequence that it has accepted, as far as that is kept."`
	AcceptedAt time.Time `json:"accepted_at,omitzero"`
	Owed       []Owed    `json:"pending" doc:"In the order of sending; at most 100."`
	Dead       []Death   `json:"dead_lettered" doc:"Dead-lettered deliveries: not sent unless somebody retries them; at most 100."`
	More       bool      `json:"more,omitempty" doc:"There are more pending or dead-lettered deliveries than are shown."`
	Orphaned   bool      `json:"orphaned,omitempty" doc:"The endpoint is not in the config any more; its deliveries stay pending."`
	Disabled   string    `json:"disabled,omitempty" doc:"Why."`
	Paused     *Pause    `json:"paused,omitempty"`
	Breaker    string    `json:"breaker,omitempty" enum:"closed,half_open,open"`
}

// Owed is one delivery that is owed, and what it waits for.
type Owed struct {
	ID           string    `json:"id"`
	Sequence     uint64    `json:"sequence"`
	Type         string    `json:"type"`
	Restrictive  bool      `json:"restrictive,omitempty" doc:"It tells of a rejection or suspension."`
	OwedAt       time.Time `json:"created_at,omitzero"`
	Failures     int       `json:"failures" doc:"Tries so far that are counted."`
	FirstFailure time.Time `json:"first_failure,omitzero"`
	NextTry      time.Time `json:"next_try,omitzero" doc:"When it is due; left out where something else has to happen first."`
	WaitsFor     string    `json:"waits_for" enum:"try,turn,answer,behind,breaker,paused,disabled,orphaned" doc:"try: until next_try. turn: it is due. answer: it is being tried. behind: for one before it of the same person. breaker: until its endpoint answers a probe. paused, disabled: until an operator resumes its endpoint. orphaned: its endpoint is not in the config."`
	Behind       uint64    `json:"behind,omitempty" doc:"The sequence that has to be delivered first."`
}

// WaitsForBreaker is what a delivery waits for whose endpoint does not answer.
const WaitsForBreaker = "breaker"

// Death is one delivery that ended without a 2xx.
type Death struct {
	ID       string    `json:"id"`
	Sequence uint64    `json:"sequence"`
	Type     string    `json:"type"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

// SubjectExport is everything that is kept of one person. The entries of kept are records of the
// disk: of them more may be said with a later version.
type SubjectExport struct {
	Object    string            `json:"object" enum:"subject_export"`
	Version   int               `json:"version"`
	Partner   string            `json:"partner"`
	ID        string            `json:"id"`
	Livemode  bool              `json:"livemode"`
	BegunAt   time.Time         `json:"begun_at" doc:"It is read in many steps: what changed between this and ended_at may be there as it was or as it became."`
	Kept      map[string]any    `json:"kept" doc:"By section, a list of objects: state, set_aside, refs, told, history, outcomes, timers, unrouted, orders, kafka, journal, questions, quarantine, damaged, pending, due, dead_lettered, withheld, attempts and answers."`
	NothingIn map[string]string `json:"nothing_in" doc:"The buckets of the file that keep nothing of any person, and what they keep."`
	Elsewhere map[string]string `json:"elsewhere" doc:"What else is kept, and how it is found."`
	EndedAt   time.Time         `json:"ended_at"`
}

// Policy says what a partner asks of a subject before it counts as approved, and how long an
// approval holds.
type Policy struct {
	Version         int            `json:"version"`
	Required        []string       `json:"required,omitempty"`
	RequiredCompany []string       `json:"required_company,omitempty"`
	ValidityMonths  int            `json:"validity_months,omitempty"`
	Validity        map[string]int `json:"validity,omitempty" doc:"Months, by check type."`
	NoticeDays      int            `json:"notice_days,omitempty"`
}

// Status is where a subject stands, as partners were last told it.
type Status struct {
	Status            string    `json:"status"`
	PreviousStatus    string    `json:"previous_status"`
	Reasons           []Reason  `json:"reasons,omitempty"`
	Retryable         bool      `json:"retryable"`
	Terminal          bool      `json:"terminal"`
	NeedsConfirmation bool      `json:"needs_confirmation"`
	ClaimedStatus     string    `json:"claimed_status,omitempty"`
	ApprovedAt        time.Time `json:"approved_at,omitzero"`
	ExpiresAt         time.Time `json:"expires_at,omitzero"`
	OccurredAt        time.Time `json:"occurred_at,omitzero"`
	DecidedBy         string    `json:"decided_by,omitempty" doc:"Id of the record that decides."`
	Check             Check     `json:"check,omitzero"`
	Sequence          uint64    `json:"sequence" doc:"Of the last change."`
}

// Reason is why a status is not a plain yes: in our word, and beside it the provider's own code.
type Reason struct {
	Code         string `json:"code"`
	ProviderCode string `json:"provider_code,omitempty"`
}

// Check is the check that a change is about, as partners see it.
type Check struct {
	Type        string `json:"type,omitempty"`
	Status      string `json:"status,omitempty"`
	Source      string `json:"source,omitempty"`
	Provider    string `json:"provider,omitempty"`
	ProviderRef string `json:"provider_ref,omitempty"`
}

// CheckState is where one check of a subject stands.
type CheckState struct {
	Source            string    `json:"source"`
	Provider          string    `json:"provider,omitempty"`
	ProviderRef       string    `json:"provider_ref,omitempty"`
	Type              string    `json:"type"`
	Scope             string    `json:"scope"`
	DocumentType      string    `json:"document_type,omitempty"`
	Status            string    `json:"status"`
	Reasons           []Reason  `json:"reasons,omitempty"`
	Retryable         bool      `json:"retryable"`
	Terminal          bool      `json:"terminal"`
	NeedsConfirmation bool      `json:"needs_confirmation"`
	ClaimedStatus     string    `json:"claimed_status,omitempty"`
	ApprovedAt        time.Time `json:"approved_at,omitzero"`
	ExpiresAt         time.Time `json:"expires_at,omitzero"`
	OccurredAt        time.Time `json:"occurred_at,omitzero"`
	DecidedBy         string    `json:"decided_by,omitempty"`
	HeldBy            []string  `json:"held_by,omitempty" doc:"Ids of the sanctions and PEP matches that only an operator releases."`
}

// Standing is one finding or approval that still matters, with what became of it.
type Standing struct {
	Kind              string    `json:"kind"`
	ID                string    `json:"id,omitempty"`
	Source            string    `json:"source"`
	Check             string    `json:"check"`
	Scope             string    `json:"scope"`
	DocumentType      string    `json:"document_type,omitempty"`
	Status            string    `json:"status"`
	Terminal          bool      `json:"terminal"`
	NeedsConfirmation bool      `json:"needs_confirmation"`
	Operator          bool      `json:"operator" doc:"An operator's own word."`
	Reasons           []Reason  `json:"reasons,omitempty"`
	At                time.Time `json:"at"`
	ExpiresAt         time.Time `json:"expires_at,omitzero"`
	Stands            bool      `json:"in_effect"`
	Decides           bool      `json:"decides" doc:"The status depends on it."`
	By                string    `json:"by,omitempty" doc:"Id of the record that answered, superseded, reset or ended it."`
	Because           string    `json:"because"`
}

// Record is one record of a subject's history.
type Record struct {
	At        time.Time `json:"at"`
	Verdict   string    `json:"verdict" doc:"What became of it."`
	Changes   []uint64  `json:"changes,omitempty"`
	Update    Update    `json:"update"`
	TakenBack string    `json:"taken_back,omitempty" doc:"Id of the order that took it back: it counts for nothing here."`
}

// Update is what one record said about one subject, as it is on Kafka too.
type Update struct {
	SchemaVersion     int          `json:"schema_version"`
	ID                string       `json:"id,omitempty"`
	Kind              string       `json:"kind"`
	Source            string       `json:"source,omitempty"`
	Provider          string       `json:"provider,omitempty"`
	ProviderEvent     Event        `json:"provider_event,omitzero"`
	Partner           string       `json:"partner,omitempty"`
	Livemode          bool         `json:"livemode"`
	Subject           Person       `json:"subject,omitzero"`
	Verification      Verification `json:"verification,omitzero"`
	Scope             string       `json:"scope,omitempty"`
	Check             string       `json:"check,omitempty"`
	Document          Document     `json:"document,omitzero"`
	Status            string       `json:"status,omitempty"`
	ExpiryKind        string       `json:"expiry_kind,omitempty"`
	Reasons           []Reason     `json:"reasons,omitempty"`
	Retryable         bool         `json:"retryable"`
	Terminal          bool         `json:"terminal"`
	Authenticity      string       `json:"authenticity,omitempty"`
	NeedsConfirmation bool         `json:"needs_confirmation"`
	ClaimedStatus     string       `json:"claimed_status,omitempty"`
	ExpiresAt         time.Time    `json:"expires_at,omitzero"`
	Expiring          bool         `json:"expiring"`
	OccurredAt        time.Time    `json:"occurred_at,omitzero"`
	OccurredAtOrigin  string       `json:"occurred_at_origin,omitempty"`
	ReceivedAt        time.Time    `json:"received_at,omitzero"`
	BodySHA256        string       `json:"body_sha256,omitempty"`
	AdapterVersion    int          `json:"adapter_version,omitempty"`
	Traceparent       string       `json:"traceparent,omitempty"`
	Callback          Callback     `json:"callback,omitzero"`
	Release           bool         `json:"release,omitempty"`
	Actor             string       `json:"actor,omitempty"`
	Note              string       `json:"note,omitempty"`
	Endpoint          string       `json:"endpoint,omitempty"`
	ChangeID          string       `json:"change_id,omitempty"`
	Force             bool         `json:"force,omitempty"`
	AskedAt           time.Time    `json:"asked_at,omitzero"`
	PolicyVersion     int          `json:"policy_version,omitempty"`
	UnroutedID        string       `json:"unrouted_id,omitempty"`
	TakenBack         string       `json:"taken_back,omitempty"`
	Replay            ReplayPart   `json:"replay,omitzero"`
	Rebuild           string       `json:"rebuild,omitempty"`
}

// ReplayPart says which replay ordered a redelivery.
type ReplayPart struct {
	ID       string    `json:"id"`
	Sequence uint64    `json:"sequence" doc:"The sequence of the change, if it is rendered again for the endpoint; 0: a dead-lettered delivery is sent again as it is."`
	At       time.Time `json:"at,omitzero" doc:"When the record that caused the change was appended."`
	Previous uint64    `json:"previous_sequence,omitzero" doc:"The sequence that the endpoint received before it."`
}

// Event is the provider's own name for what happened.
type Event struct {
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Revision int64  `json:"revision,omitempty"`
}

// Person is the person or business that a record or a change is about.
type Person struct {
	ID          string `json:"id,omitempty"`
	ProviderRef string `json:"provider_ref,omitempty"`
	Kind        string `json:"kind,omitempty"`
}

// Verification names the provider's session.
type Verification struct {
	Ref        string `json:"ref,omitempty"`
	ParentRef  string `json:"parent_ref,omitempty"`
	AttemptRef string `json:"attempt_ref,omitempty"`
	Workflow   string `json:"workflow,omitempty"`
}

// Document is one document, by the provider's id and types.
type Document struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type,omitempty"`
	Subtype string `json:"subtype,omitempty"`
}

// Callback says which records one callback brought, where it brought several.
type Callback struct {
	ID    string `json:"id,omitempty"`
	Index int    `json:"index"`
	Count int    `json:"count"`
}

// Change is one numbered effect on a subject, as it is on Kafka too.
type Change struct {
	ID                string    `json:"id"`
	Type              string    `json:"type"`
	Sequence          uint64    `json:"sequence"`
	Partner           string    `json:"partner"`
	Livemode          bool      `json:"livemode"`
	Subject           Person    `json:"subject,omitzero"`
	Status            string    `json:"status"`
	PreviousStatus    string    `json:"previous_status"`
	Check             Check     `json:"check,omitzero"`
	Document          Document  `json:"document,omitzero"`
	Reasons           []Reason  `json:"reasons,omitempty"`
	Retryable         bool      `json:"retryable"`
	Terminal          bool      `json:"terminal"`
	NeedsConfirmation bool      `json:"needs_confirmation"`
	ClaimedStatus     string    `json:"claimed_status,omitempty"`
	ApprovedAt        time.Time `json:"approved_at,omitzero"`
	ExpiresAt         time.Time `json:"expires_at,omitzero"`
	DecidedBy         string    `json:"decided_by,omitempty"`
	OccurredAt        time.Time `json:"occurred_at,omitzero"`
	ReceivedAt        time.Time `json:"received_at,omitzero"`
	CauseID           string    `json:"cause_id"`
	Traceparent       string    `json:"traceparent,omitempty"`
}

// Outcome is how one delivery ended.
type Outcome struct {
	ID       string    `json:"id" doc:"The delivery's."`
	Endpoint string    `json:"endpoint"`
	Sequence uint64    `json:"sequence"`
	Type     string    `json:"type" doc:"Of the change."`
	Outcome  string    `json:"outcome" enum:"done,dead_lettered,cancelled"`
	Reason   string    `json:"reason"`
	Code     int       `json:"code,omitempty"`
	Attempts int       `json:"attempts"`
	Format   string    `json:"format"`
	Anew     bool      `json:"rendered_anew,omitempty" doc:"In that format, because it could not be signed any more as it was made."`
	Previous uint64    `json:"previous_sequence,omitempty" doc:"The previous sequence that this endpoint received, or will receive first."`
	Replayed bool      `json:"replayed,omitempty" doc:"Created by a replay, perhaps a second time."`
	TookMS   float64   `json:"took_ms" doc:"The last attempt."`
	Owed     time.Time `json:"created_at,omitzero" doc:"When the callback or order that caused the delivery was received."`
	Received time.Time `json:"received_at,omitzero" doc:"When what caused it was received."`
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty" doc:"Of one that was cancelled: who."`
	Because  string    `json:"because,omitempty" doc:"And why."`
}

// SetAside is a subject of which something is damaged.
type SetAside struct {
	Partner  string    `json:"partner"`
	ID       string    `json:"id"`
	Livemode bool      `json:"livemode"`
	Since    time.Time `json:"since"`
	Bucket   string    `json:"bucket" doc:"Of what is damaged."`
}
