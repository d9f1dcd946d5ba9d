package api

import (
	"net/http"
	"time"
)

// PolicyTerms is which checks approve the people of a partner, and for how long.
type PolicyTerms struct {
	Required        []string       `json:"required"`
	RequiredCompany []string       `json:"required_company"`
	ValidityMonths  int            `json:"validity_months"`
	Validity        map[string]int `json:"validity,omitempty" doc:"Months, by check, where it differs."`
	NoticeDays      int            `json:"notice_days"`
}

// PolicyAsk is a policy as it is asked for. What is left out stays, or is the default of a new
// partner.
type PolicyAsk struct {
	Required        []string       `json:"required,omitempty" doc:"Checks that approve a person; without it, identity_verification."`
	RequiredCompany []string       `json:"required_company,omitempty" doc:"Checks that approve a business; without it, business_verification."`
	ValidityMonths  int            `json:"validity_months,omitempty" min:"1" max:"1200"`
	Validity        map[string]int `json:"validity,omitempty" doc:"Months, by check, where it differs."`
	NoticeDays      int            `json:"notice_days,omitempty" min:"1" max:"365"`
}

// Fields are the fields of a PartnerAsk or an EndpointAsk by name, where what is empty is meant so
// and not left out.
type Fields map[string]any

// PartnerAsk makes or changes a partner. In a change, what is left out stays.
type PartnerAsk struct {
	ID             string    `json:"id,omitempty" doc:"Of a new one: 1 to 64 of a-z, 0-9, dot, dash and underscore. It stays what it is."`
	MaxSubmissions int64     `json:"max_submissions,omitempty" doc:"Refs that its tokens may have registered that no callback has come for."`
	Policy         PolicyAsk `json:"policy,omitzero"`
}

// PartnerDetail is one partner.
type PartnerDetail struct {
	Object         string      `json:"object" enum:"partner"`
	ID             string      `json:"id"`
	From           string      `json:"from" enum:"config,api"`
	MaxSubmissions int64       `json:"max_submissions"`
	Policy         PolicyTerms `json:"policy"`
	Endpoints      []string    `json:"endpoints" doc:"Their ids."`
	Version        uint64      `json:"version,omitempty" doc:"For what was created through the API: the number of its last change."`
	ChangedAt      time.Time   `json:"changed_at,omitzero"`
}

// RetryTerms is a schedule of attempts. Durations are like 500ms, 15s, 12h or 7d.
type RetryTerms struct {
	First         string  `json:"first" doc:"The wait after the first failure."`
	Factor        float64 `json:"factor" doc:"Each wait is this many times the one before."`
	Max           string  `json:"max" doc:"No wait is longer."`
	Jitter        float64 `json:"jitter" doc:"Each wait varies by this fraction, either way."`
	Attempts      int     `json:"attempts" doc:"Then the delivery is dead-lettered."`
	MaxRetryAfter string  `json:"max_retry_after" doc:"No Retry-After is obeyed for longer."`
}

// RetryAsk is a schedule as it is asked for. What is left out stays, or is the default of a new
// endpoint.
type RetryAsk struct {
	First         string  `json:"first,omitempty" doc:"The wait after the first failure."`
	Factor        float64 `json:"factor,omitempty" doc:"Each wait is this many times the one before."`
	Max           string  `json:"max,omitempty" doc:"No wait is longer."`
	Jitter        float64 `json:"jitter,omitempty" doc:"Each wait varies by this fraction, either way."`
	Attempts      int     `json:"attempts,omitempty" doc:"Then the delivery is dead-lettered."`
	MaxRetryAfter string  `json:"max_retry_after,omitempty" doc:"No Retry-After is obeyed for longer."`
}

// EndpointAsk makes or changes an endpoint. In a change, what is left out stays; a header that is
// null goes.
type EndpointAsk struct {
	ID           string             `json:"id,omitempty" doc:"Of a new one, unique over all partners: 1 to 64 of a-z, 0-9, dot, dash and underscore. It stays what it is."`
	URL          string             `json:"url,omitempty" doc:"The URL of the endpoint. Required for a new one."`
	Format       string             `json:"format,omitempty"`
	Events       []string           `json:"events,omitempty" doc:"Types that are sent: *, kyc.status.*, kyc.status.rejected and so on."`
	Filter       string             `json:"filter,omitempty" doc:"A condition on the change. The end of an approval that the endpoint received is sent even if the condition does not match."`
	Concurrency  int                `json:"concurrency,omitempty" doc:"Deliveries under way at once."`
	Rate         float64            `json:"rate,omitempty" doc:"Deliveries per second; 0: no limit."`
	Timeout      string             `json:"timeout,omitempty" doc:"Timeout of one attempt, such as 15s."`
	MaxOwed      int64              `json:"max_owed,omitempty" doc:"Deliveries that may wait."`
	Since        string             `json:"since,omitempty" doc:"Changes recorded before this time are not sent: an instant, or always."`
	Retry        RetryAsk           `json:"retry,omitzero"`
	DisableAfter string             `json:"disable_after,omitempty" doc:"After so long of nothing but failures it is disabled, until it is resumed: 1h to 1y, or never."`
	Headers      map[string]*string `json:"headers,omitempty" doc:"With every request. Values are sealed, and never shown again."`
}

// EndpointDetail is one endpoint.
type EndpointDetail struct {
	Object       string     `json:"object" enum:"endpoint"`
	ID           string     `json:"id"`
	Partner      string     `json:"partner"`
	From         string     `json:"from" enum:"config,api"`
	URL          string     `json:"url" doc:"A viewer sees only its scheme and host: the rest may contain a secret."`
	PublicOnly   bool       `json:"public_only,omitempty" doc:"egress.allow does not count for it: a partner's own token gave its URL."`
	Format       string     `json:"format"`
	Events       []string   `json:"events"`
	Filter       string     `json:"filter,omitempty"`
	Concurrency  int        `json:"concurrency"`
	Rate         float64    `json:"rate"`
	Timeout      string     `json:"timeout"`
	MaxOwed      int64      `json:"max_owed"`
	Since        string     `json:"since"`
	Retry        RetryTerms `json:"retry"`
	DisableAfter string     `json:"disable_after" doc:"After so long of nothing but failures it is disabled; or never."`
	Headers      []string   `json:"headers" doc:"Their names."`
	Disabled     string     `json:"disabled,omitempty" doc:"Why."`
	Paused       *Pause     `json:"paused,omitempty"`
	Owed         int64      `json:"owed"`
	Dead         int64      `json:"dead"`
	Version      uint64     `json:"version,omitempty" doc:"For what was created through the API: the number of its last change."`
	ChangedAt    time.Time  `json:"changed_at,omitzero"`

	Breaker       string    `json:"breaker,omitempty" enum:"closed,half_open,open" doc:"As in the list of endpoints."`
	BreakerOpened time.Time `json:"breaker_opened_at,omitzero" doc:"Of a breaker that is not closed."`
	FailingSince  time.Time `json:"failing_since,omitzero" doc:"Nothing was accepted since."`
	OldestDue     time.Time `json:"oldest_due_at,omitzero" doc:"Since when its earliest due delivery has been due; none: nothing is due."`
	OldestPending time.Time `json:"oldest_pending_at,omitzero" doc:"Since when the delivery that has waited longest has been pending, due or not; none: nothing is pending."`

	Key string `json:"key,omitempty" doc:"In the answer that made it, and never again."`
}

// Removed is what came of a removal, or would come of it.
type Removed struct {
	Object    string `json:"object" enum:"partner,endpoint"`
	ID        string `json:"id"`
	Removed   bool   `json:"removed" doc:"false: it was a dry run."`
	DryRun    bool   `json:"dry_run"`
	Endpoints []Left `json:"endpoints" doc:"What is left of each endpoint."`
}

// Left is what is kept of an endpoint that is removed. What is owed stays owed: it goes out when an
// endpoint of this id is made again.
type Left struct {
	ID       string `json:"id"`
	Owed     int64  `json:"owed"`
	Dead     int64  `json:"dead"`
	Withheld int    `json:"withheld" doc:"Pending rejections and suspensions."`
}

// Refusals of partners and endpoints.
var (
	inConfig  = Refusal{http.StatusConflict, TypeConflict, "in_config", "it stands in the config, and is changed there"}
	idTaken   = Refusal{http.StatusConflict, TypeConflict, "id_taken", "the id is in use, or was"}
	changed   = Refusal{http.StatusPreconditionFailed, TypeConflict, "changed_meanwhile", "it is not any more what If-Match names"}
	noRoom    = Refusal{http.StatusConflict, TypeConflict, "too_many", "there are as many as may be"}
	keyInUse  = Refusal{http.StatusConflict, TypeConflict, "idempotency_key_in_use", "a call with the Idempotency-Key is being made"}
	onlyOne   = Param{Name: "If-Match", Header: true, Kind: "string", Min: 1, Max: 1024, About: "The ETag of what is changed: if it has changed since, nothing is done."}
	dryRun    = Param{Name: "dry_run", Kind: "boolean", Default: false, About: "Say what would stay owed, and do nothing."}
	aboutETag = "The answer has an ETag."
)

// partnerCalls are about partners and endpoints.
var partnerCalls = []Call{
	{Pattern: "GET /v1/partners", ID: "listPartners", Summary: "List the partners, by id; a partner token sees its own", Params: pages(), Answer: List[PartnerDetail]{}},
	{
		Pattern: "POST /v1/partners", ID: "createPartner", Summary: "Create a partner", Params: []Param{keyHeader}, Ask: PartnerAsk{}, Answer: PartnerDetail{},
		Refuses: []Refusal{inConfig, idTaken, noRoom, keyUsed, keyInUse, tooMany},
	},
	{Pattern: "GET /v1/partners/{id}", ID: "partner", Summary: "Show a partner", About: aboutETag, Answer: PartnerDetail{}, Refuses: []Refusal{notFound}},
	{
		Pattern: "PATCH /v1/partners/{id}", ID: "updatePartner", Summary: "Update a partner; fields that are left out keep their values", Params: []Param{onlyOne}, Ask: PartnerAsk{}, Answer: PartnerDetail{},
		Refuses: []Refusal{notFound, inConfig, changed},
	},
	{
		Pattern: "DELETE /v1/partners/{id}", ID: "removePartner", Summary: "Remove a partner with its endpoints; pending deliveries are kept", Params: []Param{onlyOne, dryRun}, Answer: Removed{},
		Refuses: []Refusal{notFound, inConfig, changed},
	},
	{
		Pattern: "GET /v1/partners/{id}/endpoints", ID: "listEndpointsOf", Summary: "List the endpoints of a partner, by id", Params: pages(), Answer: List[EndpointDetail]{},
		Refuses: []Refusal{notFound},
	},
	{
		Pattern: "POST /v1/partners/{id}/endpoints", ID: "createEndpoint", Summary: "Create an endpoint, and show its key once", Params: []Param{keyHeader}, Ask: EndpointAsk{},
		Answer: EndpointDetail{}, Refuses: []Refusal{notFound, idTaken, noRoom, keyUsed, keyInUse, tooMany},
	},
	{Pattern: "GET /v1/endpoints/{id}", ID: "endpoint", Summary: "Show an endpoint", About: aboutETag, Answer: EndpointDetail{}, Refuses: []Refusal{notFound}},
	{
		Pattern: "PATCH /v1/endpoints/{id}", ID: "updateEndpoint", Summary: "Update an endpoint; fields that are left out keep their values", Params: []Param{onlyOne}, Ask: EndpointAsk{}, Answer: EndpointDetail{},
		Refuses: []Refusal{notFound, inConfig, changed, noRoom, tooMany},
	},
	{
		Pattern: "DELETE /v1/endpoints/{id}", ID: "removeEndpoint", Summary: "Remove an endpoint; its pending deliveries are kept", Params: []Param{onlyOne, dryRun}, Answer: Removed{},
		Refuses: []Refusal{notFound, inConfig, changed, tooMany},
	},
}
