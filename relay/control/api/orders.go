package api

// Decided is what comes, or has come, of an operator's word.
type Decided struct {
	ID      string   `json:"id,omitempty" doc:"Of its record; none: it was only foreseen."`
	Folded  bool     `json:"folded" doc:"False: it is stored, or only previewed, and its effect is not known yet."`
	Before  string   `json:"before,omitempty"`
	After   string   `json:"after,omitempty"`
	Changes []Effect `json:"changes"`
	Lifts   int      `json:"lifts" doc:"Of a release: how many findings of the check stood open."`
}

// Nothing reports that a release has released nothing: no finding of its check stood open, and
// nothing has changed.
func (d *Decided) Nothing() bool { return d.Lifts == 0 && len(d.Changes) == 0 }

// Effect is one change, and who is told of it.
type Effect struct {
	Type           string   `json:"type"`
	Sequence       uint64   `json:"sequence"`
	Status         string   `json:"status"`
	PreviousStatus string   `json:"previous_status"`
	Endpoints      []string `json:"endpoints"`
}

// DecisionAsk is an operator's decision about a subject.
type DecisionAsk struct {
	Source       string   `json:"source,omitempty" doc:"The source of the check; \"manual\" for a decision that belongs to no source."`
	Manual       bool     `json:"manual,omitempty"`
	Check        string   `json:"check" need:"true"`
	Scope        string   `json:"scope,omitempty" enum:"overall,check,document"`
	DocumentType string   `json:"document_type,omitempty"`
	Status       string   `json:"status,omitempty" doc:"What holds from now on; or release in its place."`
	Release      bool     `json:"release,omitempty" doc:"Lift every finding of this check that is known now."`
	Reasons      []string `json:"reasons,omitempty"`
	Terminal     bool     `json:"terminal,omitempty"`
	Retryable    bool     `json:"retryable,omitempty"`
	Reason       string   `json:"reason" need:"true" doc:"Why, for whoever must explain it later."`
	DryRun       bool     `json:"dry_run,omitempty" doc:"Say what would come of it, and do nothing."`
}

// Decision is what came of a decision, or would come of it.
type Decision struct {
	Object   string `json:"object" enum:"decision"`
	Partner  string `json:"partner"`
	Subject  string `json:"subject"`
	Livemode bool   `json:"livemode"`
	DryRun   bool   `json:"dry_run"`
	Decided
	Released *bool `json:"released,omitempty" doc:"Of a release: whether it released anything."`
}

// RebuildAsk makes a subject anew: of its history, or, with a status, of what is left of it and
// that word.
type RebuildAsk struct {
	Check     string   `json:"check,omitempty"`
	Status    string   `json:"status,omitempty"`
	Reasons   []string `json:"reasons,omitempty"`
	Retryable bool     `json:"retryable,omitempty"`
	Reason    string   `json:"reason" need:"true" doc:"Why, for whoever must explain it later."`
	DryRun    bool     `json:"dry_run,omitempty" doc:"Only say what it would come to."`
}

// Rebuild is what came of making a subject anew.
type Rebuild struct {
	Object   string `json:"object" enum:"rebuild"`
	Partner  string `json:"partner"`
	Subject  string `json:"subject"`
	Livemode bool   `json:"livemode"`
	DryRun   bool   `json:"dry_run"`
	Waiting  *int   `json:"waiting,omitempty" doc:"Of a dry run: records that came in since the damage was found, and would be applied."`
	Decided
}

// Plan is what a partner's newest policy means for those who are folded under an older one.
type Plan struct {
	Object   string         `json:"object" enum:"policy"`
	Partner  string         `json:"partner"`
	Version  int            `json:"version"`
	Policy   Policy         `json:"policy"`
	Subjects int            `json:"subjects"`
	Behind   int            `json:"behind" doc:"Persons that are evaluated under an older version."`
	Moves    int            `json:"moves" doc:"Persons whose status changes."`
	Becomes  map[string]int `json:"becomes" doc:"Subjects, by the status they get."`
	Tells    map[string]int `json:"tells" doc:"Changes, by type."`
	Sends    map[string]int `json:"sends" doc:"Webhooks, by endpoint."`
	Applied  bool           `json:"applied"`
}

// TestAsk drives an outcome in the sandbox.
type TestAsk struct {
	Status    string   `json:"status" need:"true"`
	Reasons   []string `json:"reasons,omitempty"`
	Retryable *bool    `json:"retryable,omitempty" doc:"Of a rejection: another try may help; unsaid, true."`
	Kind      string   `json:"kind,omitempty" enum:"individual,company"`
}

// Tested is what came of it.
type Tested struct {
	Object   string   `json:"object" enum:"test_helper"`
	UserID   string   `json:"user_id"`
	Asked    string   `json:"asked"`
	Status   string   `json:"status"`
	Sequence uint64   `json:"sequence"`
	Updates  []string `json:"updates"`
}
