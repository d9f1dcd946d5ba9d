package control

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"countersign/relay/control/api"
)

// TestEveryRouteIsDescribed: a route without a description, and a description without a route,
// fail.
func TestEveryRouteIsDescribed(t *testing.T) {
	g := newRig(t)
	var patterns []string
	for _, p := range g.server.pages() {
		patterns = append(patterns, p.pattern)
	}
	for _, r := range g.server.routes() {
		patterns = append(patterns, r.Pattern)
	}
	for _, p := range patterns {
		method, path, _ := strings.Cut(p, " ")
		req, err := http.NewRequest(method, strings.NewReplacer("{", "", "}", "").Replace(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := g.server.mux.Handler(req); got != p {
			t.Errorf("%s: the mux has %q", p, got)
		}
		if c := api.Described(p); c == nil {
			t.Errorf("%s has no description: add it to relay/control/api/calls.go", p)
		} else if c.Summary == "" || c.ID == "" || c.Answer == nil {
			t.Errorf("%s is described without a name, a summary or an answer", p)
		}
	}
	for _, c := range api.Calls() {
		if !slices.Contains(patterns, c.Pattern) {
			t.Errorf("%s is described, and there is no such route", c.Pattern)
		}
	}
	a := g.call("", "GET", "/v1/openapi.json", "") // on a loopback address it needs no token
	paths, _ := a.json["paths"].(map[string]any)
	var shown []string
	for path, methods := range paths {
		for method := range methods.(map[string]any) {
			shown = append(shown, strings.ToUpper(method)+" "+path)
		}
	}
	if slices.Sort(shown); !slices.Equal(shown, slices.Sorted(slices.Values(patterns))) {
		t.Errorf("the document has %q, and the mux %q", shown, patterns)
	}
}

// TestDocumentOnExposedListener: nobody learns without a token what is there; a partner may.
func TestDocumentOnExposedListener(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Exposed = true })
	for token, want := range map[string]int{"": 401, "eve": 401, "odd": 403, "vera": 200, "otto": 200, "ada": 200, "pia": 200} {
		if a := g.call(token, "GET", "/v1/openapi.json", ""); a.code != want {
			t.Errorf("%q: %d, want %d", token, a.code, want)
		}
	}
}

// TestDocumentIsOfThisProcess: a process that has no subjects says nothing of them, and in live
// mode there are no test helpers.
func TestDocumentIsOfThisProcess(t *testing.T) {
	f := func(path string, want bool, change func(*Options)) {
		t.Helper()
		g := newRig(t, change)
		paths, _ := g.call("", "GET", "/v1/openapi.json", "").json["paths"].(map[string]any)
		if _, got := paths[path]; got != want || len(paths) < 10 {
			t.Errorf("%s: %v, want %v; %q", path, got, want, slices.Sorted(maps.Keys(paths)))
		}
	}
	const helpers = "/v1/test_helpers/users/{id}/kyc"
	f(helpers, true, func(*Options) {})
	f(helpers, false, func(o *Options) { o.Livemode = true })
	f("/v1/subjects/{partner}/{id}", false, func(o *Options) { o.Relay, o.Dispatcher = nil, nil })
}

// TestExamplesAreWhole: each call of the API has an example, of one that is done.
func TestExamplesAreWhole(t *testing.T) {
	for _, c := range api.Calls() {
		list, err := c.Examples()
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(c.Pattern, " /v1/") && c.ID != "describe" && !slices.ContainsFunc(list, func(e api.Example) bool { return e.Status == http.StatusOK }) {
			t.Errorf("%s has no example in relay/control/api/examples/%s.json", c.Pattern, c.ID)
		}
		for _, e := range list {
			if (e.Ask != nil) != (c.Ask != nil) && !c.MayAsk || e.Answer != nil && !json.Valid(e.Answer) {
				t.Errorf("%s: the example %q has a body that the call does not take, or has none that it needs", c.Pattern, e.Name)
			}
		}
	}
}
