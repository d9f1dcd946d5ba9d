package api

import "time"

// QuarantinedBody is a body that could not be applied, as lists show it: sealed.
type QuarantinedBody struct {
	ID       string    `json:"id"`
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail,omitempty" doc:"Fixed words and field names, never text of the body."`
	At       time.Time `json:"at"`
	Bytes    int       `json:"bytes"`
	BodyGone bool      `json:"body_gone,omitempty" doc:"Removed by retention."`
}

// UnroutedRecord is a record that waits for its subject to be known.
type UnroutedRecord struct {
	ID              string    `json:"id"`
	Kind            string    `json:"kind,omitempty"`
	Source          string    `json:"source,omitempty"`
	Provider        string    `json:"provider,omitempty"`
	Reason          string    `json:"reason"`
	At              time.Time `json:"at,omitzero"`
	Livemode        bool      `json:"livemode"`
	ProviderRef     string    `json:"provider_ref,omitempty"`
	VerificationRef string    `json:"verification_ref,omitempty"`
	ParentRef       string    `json:"parent_ref,omitempty"`
	Check           string    `json:"check,omitempty"`
	Status          string    `json:"status,omitempty"`
}

// OpenedBody is a body in clear. Whoever asked for it stands in the audit trail.
type OpenedBody struct {
	Object   string              `json:"object" enum:"quarantined_body"`
	ID       string              `json:"id"`
	Source   string              `json:"source"`
	Provider string              `json:"provider"`
	Reason   string              `json:"reason"`
	Detail   string              `json:"detail,omitempty"`
	At       time.Time           `json:"at"`
	Headers  map[string][]string `json:"headers,omitempty"`
	Answer   *KeptAnswer         `json:"answer,omitempty" doc:"The question of the provider's API that the body answers."`
	Text     string              `json:"text,omitempty" doc:"The body, if it is text."`
	Body     []byte              `json:"body,omitempty" doc:"The body in base64, if it is not."`
}

// KeptAnswer says which question a kept body answers.
type KeptAnswer struct {
	What  string    `json:"what"`
	Ref   string    `json:"ref"`
	Claim string    `json:"claim"`
	Asked time.Time `json:"asked"`
	Parts []int     `json:"parts" doc:"The length of the answer to each call; in the body they are separated by a newline."`
}

// ReleaseAsk names the subject that an unrouted record is given to. A body takes none.
type ReleaseAsk struct {
	Partner string `json:"partner,omitempty"`
	Subject string `json:"subject,omitempty"`
	Reason  string `json:"reason,omitempty" max:"500" doc:"Why, for the audit trail; it must not name the person."`
	DryRun  bool   `json:"dry_run,omitempty" doc:"Of a record: only say what would become of the person. Of a body, its translation says it."`
}

// Released is what came of a release.
type Released struct {
	Object   string `json:"object" enum:"quarantined_body,unrouted_record"`
	ID       string `json:"id"`
	Released bool   `json:"released"`
	Updates  *int   `json:"updates,omitempty" doc:"Of a body: records that came of it."`
	Kept     string `json:"kept,omitempty" doc:"Of a body that is kept on: why."`

	Person *PersonEffect `json:"person,omitempty" doc:"Of a dry run: what would become of the person."`
}

// Discarded is what was taken out for good.
type Discarded struct {
	Object    string `json:"object" enum:"quarantined_body,unrouted_record,question"`
	ID        string `json:"id"`
	Discarded bool   `json:"discarded"`
}

// TakenBack is what came of taking a record back from the subject that it had been released to.
type TakenBack struct {
	Object    string   `json:"object" enum:"unrouted_record"`
	ID        string   `json:"id"`
	TakenBack bool     `json:"taken_back"`
	Partner   string   `json:"partner"`
	Subject   string   `json:"subject"`
	Livemode  bool     `json:"livemode"`
	Unrouted  int      `json:"unrouted" doc:"Records that wait again."`
	Order     string   `json:"order"`
	Folded    bool     `json:"folded" doc:"False: it is stored, and its effect is not known yet."`
	Before    string   `json:"before,omitempty"`
	After     string   `json:"after,omitempty"`
	Changes   []Effect `json:"changes"`
}

// Question is what a provider has still to be asked.
type Question struct {
	ID      string    `json:"id" doc:"source/what/ref."`
	Source  string    `json:"source"`
	What    string    `json:"what" doc:"Which resource, in the adapter's words."`
	Ref     string    `json:"ref"`
	Claim   string    `json:"claim"`
	Since   time.Time `json:"since"`
	Due     time.Time `json:"due" doc:"When it is asked next."`
	Tries   int       `json:"tries,omitempty"`
	Error   string    `json:"error,omitempty"`
	Unknown int       `json:"unknown,omitempty" doc:"How often the provider has said that it knows nothing of the ref."`
	Weak    bool      `json:"weak,omitempty" doc:"The callback proved nothing of who sent it."`
	Known   bool      `json:"known,omitempty" doc:"Of a weak one: its ref was known here before."`
	Place   time.Time `json:"place,omitzero" doc:"For an unsigned one that was never asked: its position among them."`
}

// QuestionAsk names one question.
type QuestionAsk struct {
	ID string `json:"id" need:"true"`
}

// OldAsk names the questions of a source that are open for longer than a while.
type OldAsk struct {
	Source string `json:"source" need:"true"`
	Older  string `json:"older" need:"true" doc:"Only those that are open for longer than this, such as 1h."`
	All    bool   `json:"all,omitempty" doc:"Also those that proved callbacks raised."`
}

// OldQuestions says how many there are, or were closed.
type OldQuestions struct {
	Object    string `json:"object" enum:"old_questions"`
	Source    string `json:"source"`
	Older     string `json:"older"`
	All       bool   `json:"all"`
	Count     int    `json:"count"`
	Discarded bool   `json:"discarded"`
}
