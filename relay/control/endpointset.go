package control

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"countersign/relay/audit"
	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// The most that an entry of the audit trail has of one call.
const (
	mostSet       = 100
	mostEndpoints = 1000
)

// sealedValue stands where the value of a header would.
const sealedValue = "(sealed)"

// concernsEndpoints notes which endpoints a call is about, for the trail. They have to be known: what
// is not may be anything, a person's name too.
func (s *Server) concernsEndpoints(req *http.Request, ids ...string) {
	if c, _ := req.Context().Value(callingKey{}).(*calling); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.entry.Endpoints = withEndpoints(c.entry.Endpoints, ids)
	}
}

func withEndpoints(list, ids []string) []string {
	for _, id := range ids {
		if len(list) < mostEndpoints && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// sets notes what a call changes of an endpoint, in place of what was noted before.
func (s *Server) sets(req *http.Request, set []audit.Setting) {
	if c, _ := req.Context().Value(callingKey{}).(*calling); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.entry.Set = set[:min(len(set), mostSet)]
	}
}

// settings are what a change of an endpoint changes. Of an address only its scheme and host are
// said, of a header only its name.
func settings(was, is *registry.EndpointDraft) (set []audit.Setting) {
	note := func(key, before, after string) {
		set = append(set, audit.Setting{Endpoint: is.ID, Key: key, Was: cut(before, maxText), Is: cut(after, maxText)})
	}
	if was.URL != is.URL {
		note("url", masked(was.URL), masked(is.URL))
	}
	before, after := readable(was), readable(is)
	for i := range before {
		if before[i].value != after[i].value {
			note(before[i].key, before[i].value, after[i].value)
		}
	}
	names := slices.Sorted(maps.Keys(was.Clear))
	for _, name := range slices.Sorted(maps.Keys(is.Clear)) {
		if _, had := was.Clear[name]; !had {
			names = append(names, name)
		}
	}
	for _, name := range names {
		old, had := was.Clear[name]
		now, has := is.Clear[name]
		if had != has || old != now {
			note("headers."+name, masking(had), masking(has))
		}
	}
	return set
}

func masking(there bool) string {
	if there {
		return sealedValue
	}
	return ""
}

type keyed struct{ key, value string }

// readable is how an endpoint is configured, apart from its address and its headers.
func readable(d *registry.EndpointDraft) []keyed {
	a := askOf(d)
	return []keyed{
		{"format", a.Format},
		{"events", strings.Join(a.Events, ", ")},
		{"filter", a.Filter},
		{"concurrency", strconv.Itoa(a.Concurrency)},
		{"rate", fmt.Sprint(a.Rate)},
		{"timeout", a.Timeout},
		{"max_owed", strconv.FormatInt(a.MaxOwed, 10)},
		{"since", a.Since},
		{"disable_after", a.DisableAfter},
		{"retry.first", a.Retry.First},
		{"retry.factor", fmt.Sprint(a.Retry.Factor)},
		{"retry.max", a.Retry.Max},
		{"retry.jitter", fmt.Sprint(a.Retry.Jitter)},
		{"retry.attempts", strconv.Itoa(a.Retry.Attempts)},
		{"retry.max_retry_after", a.Retry.MaxRetryAfter},
	}
}

// reconfigured are the endpoints that another config changes, and what of them.
func reconfigured(r *api.Reloaded) (ids []string, set []audit.Setting) {
	if r == nil || !r.Applied {
		return nil, nil
	}
	for i := range r.Differences {
		d := &r.Differences[i]
		_, rest, ok := strings.Cut(d.Key, "].endpoints[")
		id, key, whole := strings.Cut(rest, "]")
		if !ok || !whole || !strings.HasPrefix(d.Key, "partners[") {
			continue
		}
		ids = withEndpoints(ids, []string{id})
		if len(set) < mostSet {
			set = append(set, audit.Setting{Endpoint: id, Key: strings.TrimPrefix(key, "."), Was: cut(d.Was, maxText), Is: cut(d.Is, maxText)})
		}
	}
	return ids, set
}
