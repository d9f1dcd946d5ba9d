package control

import (
	"fmt"
	"strings"
	"testing"
)

// TestMasked: what a viewer sees of a URL.
func TestMasked(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := masked(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	f("https://hooks.example.com/kyc/s3cr3t?token=s3cr3t#s3cr3t", "https://hooks.example.com/…?…")
	f("https://hooks.example.com:8443/kyc", "https://hooks.example.com:8443/…")
	f("https://user:s3cr3t@hooks.example.com/", "https://hooks.example.com/")
	f("http://127.0.0.1:8490", "http://127.0.0.1:8490/")
	f("https://hooks.example.com?s3cr3t", "https://hooks.example.com/?…")
	f("://s3cr3t", "…")
	f("mailto:s3cr3t", "…")
}

// TestViewerSeesNoURL asks for everything that a viewer may read.
func TestViewerSeesNoURL(t *testing.T) {
	g := newRigWith(t, []string{"cloudevents"}) // its URL has a path
	g.tell("bad", 1, "rejected")
	g.call("otto", "POST", "/v1/endpoints/cloudevents/resume", "")
	replay := fmt.Sprint(g.call("otto", "POST", "/v1/replays", `{"kind":"dead_lettered","endpoint":"cloudevents"}`).json["id"])
	delivery := fmt.Sprint(g.call("otto", "GET", "/v1/deliveries", "").data(t)[0]["id"])
	for _, r := range g.server.routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		if method != "GET" || r.Scope != Viewer {
			continue
		}
		path = strings.NewReplacer("{partner}", "acme", "partners/{id}", "partners/acme", "endpoints/{id}", "endpoints/cloudevents", "replays/{id}", "replays/"+replay, "deliveries/{id}", "deliveries/"+delivery, "{id}", "bad").Replace(path) + "?livemode=true&status=dead_lettered&q=ann&partner=acme&source=sumsub-eu&older=1h"
		if r.Pattern == "GET /v1/subjects" { // a person is not dead, as a delivery is
			path = strings.Replace(path, "&status=dead_lettered", "", 1)
		}
		a := g.call("vera", "GET", path, "")
		if a.code != 200 && r.Pattern != "GET /v1/subjects/{partner}/{id}/erasure" || strings.Contains(a.body, g.partner.URL+"/cloudevents") {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	urls := func(token string) string {
		return fmt.Sprint(g.call(token, "GET", "/v1/endpoints", "").data(t)[0]["url"]) // by id
	}
	if got := urls("vera"); got != g.partner.URL+"/…" {
		t.Errorf("a viewer sees %s", got)
	}
	for _, who := range []string{"otto", "ada"} {
		if got := urls(who); got != g.partner.URL+"/cloudevents" {
			t.Errorf("%s sees %s", who, got)
		}
	}
	if strings.Contains(g.log.String(), g.partner.URL) {
		t.Error("a URL was logged")
	}
}
