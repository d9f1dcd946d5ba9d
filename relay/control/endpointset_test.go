package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/relay/audit"
	"countersign/relay/control/api"
)

// TestEndpointChanges: the audit trail says of an endpoint who changed what of it and when, and no
// secret of it.
func TestEndpointChanges(t *testing.T) {
	g := newRig(t)
	g.call("otto", "POST", "/v1/partners/acme/endpoints", `{"id":"a-new","url":"https://hooks.example.com/kyc?s3cr3t","headers":{"X-Env":"canary","X-Old":"canary"}}`).want(t, 200, "")
	g.call("otto", "PATCH", "/v1/endpoints/a-new", `{"url":"https://hooks.example.org/other?s3cr3t","concurrency":4,"retry":{"first":"7s"},"headers":{"X-Env":"canary2","X-Old":null,"X-New":"canary3"}}`).want(t, 200, "")
	g.call("otto", "POST", "/v1/endpoints/a-new/rotate", `{"overlap":"1h"}`).want(t, 200, "")
	g.call("otto", "POST", "/v1/endpoints/a-new/pause", "").want(t, 200, "")
	g.call("otto", "POST", "/v1/endpoints/main/pause", "").want(t, 200, "")
	g.call("otto", "PATCH", "/v1/endpoints/a-new", `{"concurrency":0}`).want(t, 400, "invalid_value concurrency")
	a := g.call("vera", "GET", "/v1/audit?endpoint=a-new", "").want(t, 200, "")
	var calls []string
	for _, e := range a.data(t) {
		calls = append(calls, fmt.Sprint(e["actor"], " ", e["call"], " ", e["ok"]))
		if fmt.Sprint(e["endpoints"]) != "[a-new]" {
			t.Errorf("about %v", e["endpoints"])
		}
	}
	want := []string{
		"otto PATCH /v1/endpoints/{id} false", "otto POST /v1/endpoints/{id}/pause true", "otto POST /v1/endpoints/{id}/rotate true", "otto PATCH /v1/endpoints/{id} true",
		"otto POST /v1/partners/{id}/endpoints true",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("the trail says\n%s\nwant\n%s", strings.Join(calls, "\n"), strings.Join(want, "\n"))
	}
	changed := fmt.Sprint(a.data(t)[3]["set"])
	for _, want := range []string{"is:4 key:concurrency was:16", "is:7s key:retry.first was:5s", "is:https://hooks.example.org/…?… key:url was:https://hooks.example.com/…?…", "is:(sealed) key:headers.X-Env was:(sealed)", "key:headers.X-Old was:(sealed)", "is:(sealed) key:headers.X-New"} {
		if !strings.Contains(strings.ReplaceAll(changed, hidden, "…"), strings.ReplaceAll(want, hidden, "…")) {
			t.Errorf("%s is not in %s", want, changed)
		}
	}
	if strings.Contains(a.body, "s3cr3t") || strings.Contains(a.body, "canary") {
		t.Errorf("the trail has a secret: %s", a.body)
	}
	if strings.Contains(changed, "format") || strings.Contains(changed, "retry.max") {
		t.Errorf("more has changed than was asked for: %s", changed)
	}
	if a := g.call("vera", "GET", "/v1/audit?endpoint=main", ""); len(a.data(t)) != 1 {
		t.Errorf("of another endpoint: %s", a.body)
	}
	g.call("vera", "GET", "/v1/audit?endpoint=main&subject=acme/ann", "").want(t, 400, "endpoint endpoint")
}

// TestReconfigured: a reload is found at the endpoints that it has changed.
func TestReconfigured(t *testing.T) {
	r := &api.Reloaded{Applied: true, Differences: []api.Difference{
		{Key: "partners[acme].endpoints[acme-main].retry.first", Was: "5s", Is: "9s"},
		{Key: "partners[acme].endpoints[acme-new]", Is: "new"},
		{Key: "sources[sumsub].rate", Is: "9"},
		{Key: "partners[acme].policy.validity", Is: "9"},
	}}
	ids, set := reconfigured(r)
	want := []audit.Setting{{Endpoint: "acme-main", Key: "retry.first", Was: "5s", Is: "9s"}, {Endpoint: "acme-new", Is: "new"}}
	if !slices.Equal(ids, []string{"acme-main", "acme-new"}) || !slices.Equal(set, want) {
		t.Errorf("%v %+v", ids, set)
	}
	if ids, _ := reconfigured(&api.Reloaded{Differences: r.Differences}); ids != nil {
		t.Errorf("a dry run is about %v", ids)
	}
}
