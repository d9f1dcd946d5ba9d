package client

import (
	"context"
	"io"
	"maps"
	"net/http"
	"time"

	"countersign/relay/control/api"
)

// Subjects is which persons are asked for; what is empty has no bound.
type Subjects struct {
	Partner  string // a partner's token needs none
	Livemode *bool  // nil: as the gateway's mode
	Begins   string // with Partner: whose ids begin so
	Status   string
	Held     bool // only those with a sanctions or PEP match that nobody has released
}

// ListSubjects lists persons. A page may have fewer entries than its limit, or none, and go on.
func (c *Client) ListSubjects(ctx context.Context, p Page, s Subjects) (api.List[api.ListedSubject], error) {
	q := mode(s.Livemode, "partner", s.Partner, "begins", s.Begins, "status", s.Status, "held", word(s.Held))
	maps.Copy(q, p.query())
	return do[api.List[api.ListedSubject]](ctx, c, call{method: http.MethodGet, path: "/v1/subjects", query: q})
}

// Subject is who told us what of a person, what we made of it, and whom we told: a page of it, the
// newest first. At an instant, all of it is as it was then; zero is now. Livemode nil is the
// gateway's own mode.
func (c *Client) Subject(ctx context.Context, partner, id string, livemode *bool, then time.Time, p Page) (api.Subject, error) {
	var when string
	if !then.IsZero() {
		when = then.Format(time.RFC3339Nano)
	}
	q := mode(livemode, "at", when)
	maps.Copy(q, p.query())
	return do[api.Subject](ctx, c, call{method: http.MethodGet, path: at("/v1/subjects/{partner}/{id}", partner, id), query: q})
}

// ExportSubject writes everything that is kept of one person, as one JSON object: an
// api.SubjectExport. An error after the first byte says that not all of it was written.
func (c *Client) ExportSubject(ctx context.Context, out io.Writer, partner, id string, livemode *bool) error {
	return c.stream(ctx, out, call{method: http.MethodGet, path: at("/v1/subjects/{partner}/{id}/export", partner, id), query: mode(livemode)})
}

// EraseSubject takes away everything that is kept of one person, for good; dry: only says what would
// go.
func (c *Client) EraseSubject(ctx context.Context, partner, id string, livemode *bool, ask api.EraseAsk) (api.Erasure, error) {
	return do[api.Erasure](ctx, c, call{method: http.MethodPost, path: at("/v1/subjects/{partner}/{id}/erase", partner, id), query: mode(livemode), ask: ask})
}

// Erasure says how far the erasure of one person is.
func (c *Client) Erasure(ctx context.Context, partner, id string, livemode *bool) (api.Erasure, error) {
	return do[api.Erasure](ctx, c, call{method: http.MethodGet, path: at("/v1/subjects/{partner}/{id}/erasure", partner, id), query: mode(livemode)})
}

// Decide takes an operator's decision. With a key it is carried out once, however often it is sent.
func (c *Client) Decide(ctx context.Context, partner, id string, livemode *bool, key string, ask api.DecisionAsk) (api.Decision, error) {
	return do[api.Decision](ctx, c, call{
		method: http.MethodPost, path: at("/v1/subjects/{partner}/{id}/decisions", partner, id), query: mode(livemode), key: key, ask: ask,
	})
}

// Rebuild makes the state of a subject that is set aside anew.
func (c *Client) Rebuild(ctx context.Context, partner, id string, livemode *bool, ask api.RebuildAsk) (api.Rebuild, error) {
	return do[api.Rebuild](ctx, c, call{method: http.MethodPost, path: at("/v1/subjects/{partner}/{id}/rebuild", partner, id), query: mode(livemode), ask: ask})
}

// ListSetAside lists the subjects of whom something is damaged.
func (c *Client) ListSetAside(ctx context.Context, p Page) (api.List[api.SetAside], error) {
	return do[api.List[api.SetAside]](ctx, c, call{method: http.MethodGet, path: "/v1/set-aside", query: p.query()})
}

// Policy says whom a partner's newest policy would move.
func (c *Client) Policy(ctx context.Context, partner string) (api.Plan, error) {
	return do[api.Plan](ctx, c, call{method: http.MethodGet, path: at("/v1/policies/{partner}", partner)})
}

// ApplyPolicy moves them.
func (c *Client) ApplyPolicy(ctx context.Context, partner string) (api.Plan, error) {
	return do[api.Plan](ctx, c, call{method: http.MethodPost, path: at("/v1/policies/{partner}/apply", partner)})
}

// User is where a subject stands, in our own words: user with format=canonical. Of a partner's
// token, partner may be empty.
func (c *Client) User(ctx context.Context, partner, id string, livemode *bool) (api.User, error) {
	return do[api.User](ctx, c, call{method: http.MethodGet, path: at("/v1/users/{id}/kyc", id), query: mode(livemode, "partner", partner, "format", "canonical")})
}

// BlendFiUser is the same in BlendFi's shape.
func (c *Client) BlendFiUser(ctx context.Context, partner, id string, livemode *bool) (api.BlendFiUser, error) {
	return do[api.BlendFiUser](ctx, c, call{method: http.MethodGet, path: at("/v1/users/{id}/kyc", id), query: mode(livemode, "partner", partner)})
}

// DriveTest drives an outcome in the sandbox. With a key it is carried out once, however often it
// is sent.
func (c *Client) DriveTest(ctx context.Context, partner, id, key string, ask api.TestAsk) (api.Tested, error) {
	return do[api.Tested](ctx, c, call{
		method: http.MethodPost, path: at("/v1/test_helpers/users/{id}/kyc", id), query: Page{}.query("partner", partner), key: key, ask: ask,
	})
}

// Submit registers whose a provider's ref is.
func (c *Client) Submit(ctx context.Context, ask api.SubmissionAsk) (api.Submission, error) {
	return do[api.Submission](ctx, c, call{method: http.MethodPost, path: "/v1/submissions", ask: ask})
}

// ListConflicts lists the refs that several were said to have.
func (c *Client) ListConflicts(ctx context.Context, p Page) (api.List[api.ContestedRef], error) {
	return do[api.List[api.ContestedRef]](ctx, c, call{method: http.MethodGet, path: "/v1/refs/conflicts", query: p.query()})
}

// Settle says whose a ref is.
func (c *Client) Settle(ctx context.Context, ask api.SettleAsk) (api.Settled, error) {
	return do[api.Settled](ctx, c, call{method: http.MethodPost, path: "/v1/refs/settle", ask: ask})
}

// ListEndpoints lists the endpoints, by id.
func (c *Client) ListEndpoints(ctx context.Context, p Page) (api.List[api.Endpoint], error) {
	return do[api.List[api.Endpoint]](ctx, c, call{method: http.MethodGet, path: "/v1/endpoints", query: p.query()})
}

// Pause sends an endpoint nothing for now.
func (c *Client) Pause(ctx context.Context, id string) (api.Paused, error) {
	return do[api.Paused](ctx, c, call{method: http.MethodPost, path: at("/v1/endpoints/{id}/pause", id)})
}

// Resume takes a disabled or paused endpoint up again.
func (c *Client) Resume(ctx context.Context, id string) (api.Resumed, error) {
	return do[api.Resumed](ctx, c, call{method: http.MethodPost, path: at("/v1/endpoints/{id}/resume", id)})
}

// Ping posts a test webhook to an endpoint.
func (c *Client) Ping(ctx context.Context, id string) (api.Ping, error) {
	return do[api.Ping](ctx, c, call{method: http.MethodPost, path: at("/v1/endpoints/{id}/ping", id)})
}

// Redeliver owes a dead delivery again; with force even if a later change has been delivered since.
func (c *Client) Redeliver(ctx context.Context, id, to string, force bool) (api.Redelivery, error) {
	return do[api.Redelivery](ctx, c, call{method: http.MethodPost, path: at("/v1/deliveries/{id}/redeliver", id), query: Page{}.query("force", word(force), "to", to)})
}

// ListWithheld lists what an endpoint has not been told of: those that nobody has acknowledged, or
// those that somebody has.
func (c *Client) ListWithheld(ctx context.Context, p Page, endpoint string, acknowledged bool) (api.List[api.Withheld], error) {
	q := p.query("endpoint", endpoint, "acknowledged", word(acknowledged))
	return do[api.List[api.Withheld]](ctx, c, call{method: http.MethodGet, path: "/v1/withheld", query: q})
}

// Acknowledge ends the alarm about one.
func (c *Client) Acknowledge(ctx context.Context, id, reason string) (api.Acknowledged, error) {
	return do[api.Acknowledged](ctx, c, call{method: http.MethodPost, path: at("/v1/withheld/{id}/acknowledge", id), ask: api.Because{Reason: reason}})
}
