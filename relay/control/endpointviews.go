package control

import (
	"maps"
	"slices"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// oneEndpoint is an answer about an endpoint.
type oneEndpoint struct {
	api.EndpointDetail
	tag string
}

func (v oneEndpoint) etag() string { return v.tag }

// shown is the endpoint as a token may see it: an address may hold a secret.
func shown(v api.EndpointDetail, t Token) oneEndpoint {
	bare := v
	bare.Owed, bare.Dead, bare.Disabled, bare.Paused, bare.Key = 0, 0, "", nil, ""
	bare.Breaker, bare.BreakerOpened, bare.FailingSince, bare.OldestDue = "", time.Time{}, time.Time{}, time.Time{}
	bare.OldestPending = time.Time{}
	one := oneEndpoint{v, tagOf(v.Version, bare)}
	if !t.seesURLs() {
		one.URL = masked(v.URL)
	}
	return one
}

// always is when changes are owed of which nothing else is said.
const always = "always"

// defaultEndpoint is what is not said of a new endpoint; as in the config.
func defaultEndpoint() api.EndpointAsk {
	return api.EndpointAsk{
		Format: "standard", Events: defaultEvents(), Concurrency: 16, Timeout: "15s", MaxOwed: 1_000_000, Since: always,
		Retry:        api.RetryAsk{First: "5s", Factor: 3, Max: "12h", Jitter: 0.2, Attempts: 15, MaxRetryAfter: "1h"},
		DisableAfter: registry.FormatDisableAfter(0),
	}
}

func defaultEvents() []string { return []string{"kyc.status.*"} }

// askOf is an endpoint that is kept as it would be asked for, but for its URL, so that a change of
// it may leave out what stays.
func askOf(d *registry.EndpointDraft) api.EndpointAsk {
	return api.EndpointAsk{
		Format: d.Format, Events: d.Events, Filter: d.Filter, Concurrency: d.Concurrency, Rate: d.Rate, Timeout: registry.FormatDuration(d.Timeout), MaxOwed: d.MaxOwed,
		Since: viewSince(d.Since), Retry: api.RetryAsk(viewRetry(d.Retry)), DisableAfter: registry.FormatDisableAfter(d.DisableAfter),
	}
}

// take makes a draft what is asked for, but for its URL.
func take(d *registry.EndpointDraft, in *api.EndpointAsk) error {
	if in.Events == nil {
		in.Events = defaultEvents()
	}
	d.Format, d.Events, d.Filter, d.Concurrency, d.Rate, d.MaxOwed = in.Format, in.Events, in.Filter, in.Concurrency, in.Rate, in.MaxOwed
	d.Retry = registry.Retry{Factor: in.Retry.Factor, Jitter: in.Retry.Jitter, Attempts: in.Retry.Attempts}
	for _, f := range []struct {
		name, text string
		to         *time.Duration
	}{
		{"timeout", in.Timeout, &d.Timeout},
		{"retry.first", in.Retry.First, &d.Retry.First},
		{"retry.max", in.Retry.Max, &d.Retry.Max},
		{"retry.max_retry_after", in.Retry.MaxRetryAfter, &d.Retry.MaxRetryAfter},
	} {
		var err error
		if *f.to, err = registry.ParseDuration(f.text); err != nil {
			return &registry.ValueError{Field: f.name, What: "is not a duration", Remedy: "write a number and its unit, like 500ms, 15s, 12h or 7d"}
		}
	}
	after, err := registry.ParseDisableAfter(in.DisableAfter)
	if err != nil {
		return &registry.ValueError{Field: "disable_after", What: "is not how long an endpoint may fail", Remedy: "write a number and its unit, like 12h or 5d, or never"}
	}
	d.DisableAfter = after
	if d.Since = (time.Time{}); in.Since != always {
		at, err := time.Parse(time.RFC3339, in.Since)
		if err != nil {
			return &registry.ValueError{Field: "since", What: "is not an instant", Remedy: "write always, or a time like 2026-12-01T08:00:00Z"}
		}
		d.Since = at.UTC()
	}
	return d.SetHeaders(in.Headers)
}

func viewSince(t time.Time) string {
	if t.IsZero() {
		return always
	}
	return t.UTC().Format(time.RFC3339)
}

func viewRetry(r registry.Retry) api.RetryTerms {
	d := registry.FormatDuration
	return api.RetryTerms{First: d(r.First), Factor: r.Factor, Max: d(r.Max), Jitter: r.Jitter, Attempts: r.Attempts, MaxRetryAfter: d(r.MaxRetryAfter)}
}

// viewMadeEndpoint is an endpoint as a change has left it; key is its new key, "": it is not shown.
func (s *Server) viewMadeEndpoint(v *registry.Version, key string) api.EndpointDetail {
	e := v.Endpoint
	return api.EndpointDetail{
		Object: "endpoint", ID: e.ID, Partner: s.o.Registry.Read().Shown(e.Partner), From: fromAPI, URL: e.URL, PublicOnly: e.Public, Format: e.Format, Events: e.Events, Filter: e.Filter, Concurrency: e.Concurrency,
		Rate: e.Rate, Timeout: registry.FormatDuration(e.Timeout), MaxOwed: e.MaxOwed, Since: viewSince(e.Since), Retry: viewRetry(e.Retry), DisableAfter: registry.FormatDisableAfter(e.DisableAfter),
		Headers: headerNames(slices.Sorted(maps.Keys(e.Headers))), Version: v.Number, ChangedAt: v.At, Key: key,
	}
}

// viewDeclared is an endpoint of the config.
func viewDeclared(partner string, e *registry.Endpoint) api.EndpointDetail {
	var names []string
	for _, h := range e.Headers {
		names = append(names, h.Name)
	}
	return api.EndpointDetail{
		Object: "endpoint", ID: e.ID, Partner: partner, From: fromConfig, URL: e.URL, Format: e.Format.Name, Events: headerNames(e.Events), Filter: e.Filter.String(),
		Concurrency: e.Concurrency, Rate: e.Rate, Timeout: registry.FormatDuration(e.Timeout), MaxOwed: e.MaxOwed, Since: viewSince(e.Since), Retry: viewRetry(e.Retry), DisableAfter: registry.FormatDisableAfter(e.DisableAfter),
		Headers: headerNames(names),
	}
}

// headerNames are never null.
func headerNames(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}
