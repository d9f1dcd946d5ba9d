package control

import (
	"net/http"
	"strings"
	"testing"

	"countersign/kyc"
)

// TestGiveUpRoute: what an endpoint owes that is disabled is named by a dry run, which changes
// nothing, and given up by an operator, once; the trail has who. What a served one owes is not.
func TestGiveUpRoute(t *testing.T) {
	g := newRig(t)
	g.partner.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	g.tell("ann", 1, kyc.Rejected)
	for i, id := range []string{"bob", "cat", "dan"} {
		g.append(id, i+1, []kyc.Status{kyc.Rejected, kyc.InReview, kyc.Suspended}[i])
	}
	eventually(t, "main owes all three", func() bool { return g.outbox.Owed("main") == 3 && g.outbox.Owed("strict") == 3 })
	const path = "/v1/endpoints/main/give-up"
	if a := g.call("vera", "POST", path, "{}"); a.code != 403 {
		t.Errorf("by a viewer: %d", a.code)
	}
	f := func(body string, given, owed, rejections float64, named int) {
		t.Helper()
		a := g.call("otto", "POST", path, body)
		list, _ := a.json["withheld"].([]any)
		if a.code != 200 || a.json["endpoint"] != "main" || a.json["given_up"] != given || a.json["pending"] != owed || a.json["rejections"] != rejections || len(list) != named {
			t.Errorf("%s: %d %s", body, a.code, a.body)
		}
	}
	f(`{"dry_run":true}`, 0, 3, 2, 2)
	f(`{}`, 3, 0, 0, 0)
	f(`{}`, 0, 0, 0, 0)
	reasons := map[any]int{}
	for _, d := range g.call("vera", "GET", "/v1/deliveries?status=dead_lettered&endpoint=main", "").data(t) {
		reasons[d["reason"]]++
	}
	if reasons["given_up"] != 3 || reasons["http_410"] != 1 {
		t.Errorf("dead: %v", reasons)
	}
	if list := g.call("vera", "GET", "/v1/withheld?endpoint=main", "").data(t); len(list) != 3 {
		t.Errorf("withheld: %v", list)
	}
	if trail := g.call("vera", "GET", "/v1/audit?limit=1000", "").body; strings.Count(trail, `"call":"POST /v1/endpoints/{id}/give-up"`) != 2 { // a dry run changes nothing
		t.Errorf("the audit trail: %s", trail)
	}
	for where, code := range map[string]int{"strict": 200, "nobody": 404} {
		if a := g.call("otto", "POST", "/v1/endpoints/"+where+"/give-up", "{}"); a.code != code {
			t.Errorf("%s: %d %s", where, a.code, a.body)
		}
	}
	g.call("otto", "POST", "/v1/endpoints/main/resume", "")
	if a := g.call("otto", "POST", path, "{}"); a.code != 409 || !strings.Contains(a.body, "endpoint_served") {
		t.Errorf("of one that is served: %d %s", a.code, a.body)
	}
}
