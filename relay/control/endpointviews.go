package control

import (
	"maps"
	"slices"
	"time"

	"countersign/relay/registry"
)

// duration is one as it is sent and shown: 500ms, 15s, 12h, 90d.
type duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d duration) MarshalText() ([]byte, error) {
	return []byte(registry.FormatDuration(time.Duration(d))), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(b []byte) error {
	v, err := registry.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// since is an instant as it is sent and shown: 2026-12-01T08:00:00Z, or always.
type since time.Time

// MarshalText implements encoding.TextMarshaler.
func (s since) MarshalText() ([]byte, error) {
	if time.Time(s).IsZero() {
		return []byte("always"), nil
	}
	return time.Time(s).UTC().AppendFormat(nil, time.RFC3339), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *since) UnmarshalText(b []byte) error {
	if string(b) == "always" {
		*s = since{}
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(b))
	*s = since(t.UTC())
	return err
}

// RetryInput is a schedule of attempts as it is sent and shown.
type RetryInput struct {
	First         duration `json:"first"`
	Factor        float64  `json:"factor"`
	Max           duration `json:"max"`
	Jitter        float64  `json:"jitter"`
	Attempts      int      `json:"attempts"`
	MaxRetryAfter duration `json:"max_retry_after"`
}

// EndpointInput is the request that makes or changes an endpoint. In a change, what is left out stays; a header that is null goes.
type EndpointInput struct {
	ID          string             `json:"id,omitempty"` // of a new one
	URL         string             `json:"url"`
	Format      string             `json:"format"`
	Events      []string           `json:"events"`
	Filter      string             `json:"filter"`
	Concurrency int                `json:"concurrency"`
	Rate        float64            `json:"rate"` // attempts per second; 0: no limit
	Timeout     duration           `json:"timeout"`
	MaxOwed     int64              `json:"max_owed"`
	Since       since              `json:"since"` // changes recorded before are not owed
	Retry       RetryInput         `json:"retry"`
	Headers     map[string]*string `json:"headers,omitempty"` // values are never shown again
}

// EndpointDetail is what is shown of one endpoint.
type EndpointDetail struct {
	Object      string     `json:"object"` // endpoint
	ID          string     `json:"id"`
	Partner     string     `json:"partner"`
	From        string     `json:"from"` // config, or api
	URL         string     `json:"url"`
	PublicOnly  bool       `json:"public_only,omitempty"` // egress.allow does not count for it: a partner's own token gave its URL
	Format      string     `json:"format"`
	Events      []string   `json:"events"`
	Filter      string     `json:"filter,omitempty"`
	Concurrency int        `json:"concurrency"`
	Rate        float64    `json:"rate"`
	Timeout     duration   `json:"timeout"`
	MaxOwed     int64      `json:"max_owed"`
	Since       since      `json:"since"`
	Retry       RetryInput `json:"retry"`
	Headers     []string   `json:"headers"`            // their names
	Disabled    string     `json:"disabled,omitempty"` // why
	Paused      *PauseView `json:"paused,omitempty"`
	Owed        int64      `json:"owed"`
	Dead        int64      `json:"dead"`
	Version     uint64     `json:"version,omitempty"` // of what was made through the API: the number of its last change
	ChangedAt   time.Time  `json:"changed_at,omitzero"`
	Key         string     `json:"key,omitempty"` // in the answer that made it, and never again

	tag string // worked out before anything was masked
}

// PauseView is who has paused an endpoint, and when.
type PauseView struct {
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

// EndpointDetailList is a page of endpoints of one partner.
type EndpointDetailList struct {
	Object  string           `json:"object"` // list
	Data    []EndpointDetail `json:"data"`
	HasMore bool             `json:"has_more"`
}

func (v EndpointDetail) etag() string {
	switch {
	case v.tag != "":
		return v.tag
	case v.Version > 0:
		return versionTag(v.Version)
	}
	v.Owed, v.Dead, v.Disabled, v.Paused = 0, 0, "", nil
	return declaredTag(v)
}

// defaultEndpoint is what is not said of a new endpoint; as in the config.
func defaultEndpoint() EndpointInput {
	return EndpointInput{
		Format: "standard", Events: defaultEvents(), Concurrency: 16, Timeout: duration(15 * time.Second), MaxOwed: 1_000_000,
		Retry: RetryInput{duration(5 * time.Second), 3, duration(12 * time.Hour), 0.2, 15, duration(time.Hour)},
	}
}

func defaultEvents() []string { return []string{"kyc.status.*"} }

// inputOf is an endpoint that is kept as it would be sent, but for its URL, so that a change of it may leave out what stays.
func inputOf(d *registry.EndpointDraft) EndpointInput {
	return EndpointInput{
		Format: d.Format, Events: d.Events, Filter: d.Filter, Concurrency: d.Concurrency, Rate: d.Rate, Timeout: duration(d.Timeout), MaxOwed: d.MaxOwed, Since: since(d.Since),
		Retry: viewRetry(d.Retry),
	}
}

// put makes a draft what was sent, but for its URL.
func (in *EndpointInput) put(d *registry.EndpointDraft) error {
	if in.Events == nil {
		in.Events = defaultEvents()
	}
	d.Format, d.Events, d.Filter, d.Concurrency, d.Rate = in.Format, in.Events, in.Filter, in.Concurrency, in.Rate
	d.Timeout, d.MaxOwed, d.Since = time.Duration(in.Timeout), in.MaxOwed, time.Time(in.Since)
	r := in.Retry
	d.Retry = registry.Retry{First: time.Duration(r.First), Factor: r.Factor, Max: time.Duration(r.Max), Jitter: r.Jitter, Attempts: r.Attempts, MaxRetryAfter: time.Duration(r.MaxRetryAfter)}
	return d.SetHeaders(in.Headers)
}

func viewRetry(r registry.Retry) RetryInput {
	return RetryInput{duration(r.First), r.Factor, duration(r.Max), r.Jitter, r.Attempts, duration(r.MaxRetryAfter)}
}

// viewMadeEndpoint is an endpoint as a change has left it; key is its new key, "": it is not shown.
func viewMadeEndpoint(v *registry.Version, key string) EndpointDetail {
	e := v.Endpoint
	return EndpointDetail{
		Object: "endpoint", ID: e.ID, Partner: e.Partner, From: fromAPI, URL: e.URL, PublicOnly: e.Public, Format: e.Format, Events: e.Events, Filter: e.Filter, Concurrency: e.Concurrency, Rate: e.Rate,
		Timeout: duration(e.Timeout), MaxOwed: e.MaxOwed, Since: since(e.Since), Retry: viewRetry(e.Retry), Headers: headerNames(slices.Sorted(maps.Keys(e.Headers))),
		Version: v.Number, ChangedAt: v.At, Key: key,
	}
}

// masked is the endpoint as a token may see it: an address may hold a secret.
func (v EndpointDetail) masked(t Token) EndpointDetail {
	if v.tag = v.etag(); !t.seesURLs() {
		v.URL = masked(v.URL)
	}
	return v
}

// viewDeclared is an endpoint of the config.
func viewDeclared(partner string, e *registry.Endpoint) EndpointDetail {
	var names []string
	for _, h := range e.Headers {
		names = append(names, h.Name)
	}
	return EndpointDetail{
		Object: "endpoint", ID: e.ID, Partner: partner, From: fromConfig, URL: e.URL, Format: e.Format.Name, Events: e.Events, Filter: e.Filter.String(), Concurrency: e.Concurrency,
		Rate: e.Rate, Timeout: duration(e.Timeout), MaxOwed: e.MaxOwed, Since: since(e.Since), Retry: viewRetry(e.Retry), Headers: headerNames(names),
	}
}

func headerNames(names []string) []string {
	if names == nil {
		return []string{} // never null
	}
	return names
}
