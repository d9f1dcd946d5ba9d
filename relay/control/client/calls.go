package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"countersign/relay/control/api"
)

// Health says that the process lives.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	return do[api.Health](ctx, c, call{method: http.MethodGet, path: "/healthz"})
}

// Readiness says whether the process should get traffic. That it should not is no error.
func (c *Client) Readiness(ctx context.Context) (api.Ready, error) {
	return do[api.Ready](ctx, c, call{method: http.MethodGet, path: "/readyz", accept: http.StatusServiceUnavailable})
}

// Metrics are what is counted, in Prometheus' format; with an endpoint's id of that one alone.
func (c *Client) Metrics(ctx context.Context, endpoint string) ([]byte, error) {
	return c.bytes(ctx, call{method: http.MethodGet, path: "/metrics", query: Page{}.query("endpoint", endpoint)})
}

// Runbook is what to do about an alert, as Markdown.
func (c *Client) Runbook(ctx context.Context, alert string) ([]byte, error) {
	return c.bytes(ctx, call{method: http.MethodGet, path: "/runbooks/" + url.PathEscape(alert)})
}

// Describe is the OpenAPI document of this gateway.
func (c *Client) Describe(ctx context.Context) (json.RawMessage, error) {
	return do[json.RawMessage](ctx, c, call{method: http.MethodGet, path: "/v1/openapi.json"})
}

// Profiles is a profile of the process by its name, such as heap; "": the list of them.
func (c *Client) Profiles(ctx context.Context, name string) ([]byte, error) {
	return c.bytes(ctx, call{method: http.MethodGet, path: "/debug/pprof/" + name})
}

// CommandLine is the command line of the process.
func (c *Client) CommandLine(ctx context.Context) ([]byte, error) {
	return c.bytes(ctx, call{method: http.MethodGet, path: "/debug/pprof/cmdline"})
}

// Symbols says whether the process can name program counters.
func (c *Client) Symbols(ctx context.Context) ([]byte, error) {
	return c.bytes(ctx, call{method: http.MethodGet, path: "/debug/pprof/symbol"})
}

// Profile writes a profile of the CPU that is made for so long, a minute at most.
func (c *Client) Profile(ctx context.Context, out io.Writer, long time.Duration) error {
	return c.stream(ctx, out, call{method: http.MethodGet, path: "/debug/pprof/profile", query: seconds(long).query()})
}

// Trace writes a trace of the execution that is made for so long, a minute at most.
func (c *Client) Trace(ctx context.Context, out io.Writer, long time.Duration) error {
	return c.stream(ctx, out, call{method: http.MethodGet, path: "/debug/pprof/trace", query: seconds(long).query()})
}

// seconds is how long something runs, as a query.
type seconds time.Duration

func (s seconds) query() map[string][]string {
	return Page{}.query("seconds", strconv.Itoa(int(time.Duration(s)/time.Second)))
}

// ListQuarantine lists bodies that could not be applied.
func (c *Client) ListQuarantine(ctx context.Context, p Page) (api.List[api.QuarantinedBody], error) {
	return do[api.List[api.QuarantinedBody]](ctx, c, call{method: http.MethodGet, path: "/v1/quarantine", query: p.query()})
}

// ListHeld lists records that wait for their subject: listQuarantine with kind=records.
func (c *Client) ListHeld(ctx context.Context, p Page) (api.List[api.UnroutedRecord], error) {
	return do[api.List[api.UnroutedRecord]](ctx, c, call{method: http.MethodGet, path: "/v1/quarantine", query: p.query("kind", "records")})
}

// OpenBody shows a body in clear; that stands in the audit trail.
func (c *Client) OpenBody(ctx context.Context, id string) (api.OpenedBody, error) {
	return do[api.OpenedBody](ctx, c, call{method: http.MethodGet, path: at("/v1/quarantine/{id}", id)})
}

// Release translates a body again, or gives a record its subject; of a body, ask is nil.
func (c *Client) Release(ctx context.Context, id string, ask *api.ReleaseAsk) (api.Released, error) {
	r := call{method: http.MethodPost, path: at("/v1/quarantine/{id}/release", id)}
	if ask != nil {
		r.ask = ask
	}
	return do[api.Released](ctx, c, r)
}

// Discard takes a body or a record out for good; reason is for the audit trail, and may be empty.
func (c *Client) Discard(ctx context.Context, id, reason string) (api.Discarded, error) {
	return do[api.Discarded](ctx, c, call{method: http.MethodPost, path: at("/v1/quarantine/{id}/discard", id), ask: api.DiscardAsk{Reason: reason}})
}

// TakeBack takes a record back that was released to the wrong subject.
func (c *Client) TakeBack(ctx context.Context, id, reason string) (api.TakenBack, error) {
	return do[api.TakenBack](ctx, c, call{method: http.MethodPost, path: at("/v1/quarantine/{id}/take-back", id), ask: api.Because{Reason: reason}})
}

// ListQuestions lists what providers have still to be asked.
func (c *Client) ListQuestions(ctx context.Context, p Page) (api.List[api.Question], error) {
	return do[api.List[api.Question]](ctx, c, call{method: http.MethodGet, path: "/v1/questions", query: p.query()})
}

// DiscardQuestion closes a question that nobody will answer.
func (c *Client) DiscardQuestion(ctx context.Context, id string) (api.Discarded, error) {
	return do[api.Discarded](ctx, c, call{method: http.MethodPost, path: "/v1/questions/discard", ask: api.QuestionAsk{ID: id}})
}

// CountOldQuestions counts what DiscardOldQuestions would close.
func (c *Client) CountOldQuestions(ctx context.Context, ask api.OldAsk) (api.OldQuestions, error) {
	q := Page{}.query("source", ask.Source, "older", ask.Older, "all", word(ask.All))
	return do[api.OldQuestions](ctx, c, call{method: http.MethodGet, path: "/v1/questions/old", query: q})
}

// DiscardOldQuestions closes the questions of a source that nobody will answer any more.
func (c *Client) DiscardOldQuestions(ctx context.Context, ask api.OldAsk) (api.OldQuestions, error) {
	return do[api.OldQuestions](ctx, c, call{method: http.MethodPost, path: "/v1/questions/discard-old", ask: ask})
}

// Whoami says whose token the client brings.
func (c *Client) Whoami(ctx context.Context) (api.Identity, error) {
	return do[api.Identity](ctx, c, call{method: http.MethodGet, path: "/v1/whoami"})
}

// ListTokens lists all tokens, never themselves.
func (c *Client) ListTokens(ctx context.Context, p Page) (api.List[api.Token], error) {
	return do[api.List[api.Token]](ctx, c, call{method: http.MethodGet, path: "/v1/tokens", query: p.query()})
}

// MakeToken makes a token. Its text is in this answer, and in no other.
func (c *Client) MakeToken(ctx context.Context, name string, ask api.TokenAsk) (api.Token, error) {
	return do[api.Token](ctx, c, call{method: http.MethodPost, path: at("/v1/tokens/{name}", name), ask: ask})
}

// RevokeToken ends a token at once.
func (c *Client) RevokeToken(ctx context.Context, name string) (api.Revoked, error) {
	return do[api.Revoked](ctx, c, call{method: http.MethodPost, path: at("/v1/tokens/{name}/revoke", name)})
}

// Span is what of the audit trail is asked for; what is empty has no bound.
type Span struct {
	Since, Until string // an instant in RFC 3339, or a day: from since on, before until
	Actor        string // of the token with this name only
	Subject      string // about this person only: PARTNER/ID
	Endpoint     string // about this endpoint only; Subject is empty then
	Call         string // of calls whose pattern has this in it
	Outcome      string // "true": that were done; "false": that were not; "": either
	All          bool   // also the entries of kind begun that another one completes
}

func (s *Span) query(p Page, pairs ...string) url.Values {
	return p.query(append(pairs, "since", s.Since, "until", s.Until, "actor", s.Actor, "subject", s.Subject, "endpoint", s.Endpoint, "call", s.Call, "ok", s.Outcome, "all", word(s.All))...)
}

// ListAudit lists the audit trail, the newest first. With a filter, a page may be short, or empty,
// and yet have a next one.
func (c *Client) ListAudit(ctx context.Context, p Page, s Span) (api.AuditList, error) {
	return do[api.AuditList](ctx, c, call{method: http.MethodGet, path: "/v1/audit", query: s.query(p)})
}

// VerifyAudit verifies a part of the chain of the audit trail, from a cursor on (empty: from its
// beginning), and looks for a head that was noted as NUMBER:HASH (empty: for none). Who wants all
// of it goes on with Next while there is more.
func (c *Client) VerifyAudit(ctx context.Context, cursor, head string) (api.AuditVerification, error) {
	return do[api.AuditVerification](ctx, c, call{method: http.MethodGet, path: "/v1/audit/verify", query: Page{Cursor: cursor}.query("head", head)})
}

// StreamAudit writes all of the audit trail that is asked for, the oldest first, one entry a line,
// and at the end its head: listAudit with format=ndjson.
func (c *Client) StreamAudit(ctx context.Context, out io.Writer, s Span) error {
	return c.stream(ctx, out, call{method: http.MethodGet, path: "/v1/audit", query: s.query(Page{}, "format", "ndjson")})
}

// Reload has the gateway read its config again, and apply it, all of it or nothing; dry: only say
// what it would change. A config that is refused is an Error with its Problems.
func (c *Client) Reload(ctx context.Context, dry bool) (api.Reloaded, error) {
	return do[api.Reloaded](ctx, c, call{method: http.MethodPost, path: "/v1/reload", ask: api.ReloadAsk{DryRun: dry}})
}

// Compaction says how the compaction of the database file stands, or ended, and what one would come
// to.
func (c *Client) Compaction(ctx context.Context) (api.Compaction, error) {
	return do[api.Compaction](ctx, c, call{method: http.MethodGet, path: "/v1/compact"})
}

// Compact begins to compact the database file; Compaction says how far it is. dry: only says what
// it would come to.
func (c *Client) Compact(ctx context.Context, dry bool) (api.Compaction, error) {
	return do[api.Compaction](ctx, c, call{method: http.MethodPost, path: "/v1/compact", ask: api.CompactAsk{DryRun: dry}})
}

// Backup makes a checked backup in a file on the gateway's machine.
func (c *Client) Backup(ctx context.Context, path string) (api.Backup, error) {
	return do[api.Backup](ctx, c, call{method: http.MethodPost, path: "/v1/backup", ask: api.BackupAsk{Path: path}})
}
