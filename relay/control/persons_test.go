package control

import (
	"fmt"
	"strings"
	"testing"

	"countersign/kyc"
)

// TestPersons: the list says where each person stands, page by page, each once, and a partner's
// token sees its own.
func TestPersons(t *testing.T) {
	g := newRig(t)
	for i := range 7 {
		g.tell(fmt.Sprintf("user-%d", i), i+1, []kyc.Status{kyc.Approved, kyc.InReview}[i%2])
	}
	g.tell("other", 20, kyc.Rejected)
	f := func(who, query, want string) {
		t.Helper()
		var got []string
		cursor := ""
		for range 20 {
			a := g.call(who, "GET", "/v1/subjects?livemode=true&limit=2&"+query+"&cursor="+cursor, "")
			if a.code != 200 {
				t.Fatalf("%s: %d %s", query, a.code, a.body)
			}
			for _, p := range a.data(t) {
				got = append(got, fmt.Sprint(p["partner"], "/", p["id"], "=", p["status"]))
			}
			if cursor, _ = a.json["next"].(string); cursor == "" {
				break
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s by %s: %s\nwant %s", query, who, s, want)
		}
	}
	all := "acme/other=rejected acme/user-0=approved acme/user-1=in_review acme/user-2=approved acme/user-3=in_review acme/user-4=approved acme/user-5=in_review acme/user-6=approved"
	f("vera", "", all)
	f("pia", "", all)
	f("vera", "partner=acme&begins=user-3", "acme/user-3=in_review")
	f("vera", "status=in_review", "acme/user-1=in_review acme/user-3=in_review acme/user-5=in_review")
	f("vera", "partner=beta", "")
	f("vera", "held=true", "")
	if a := g.call("vera", "GET", "/v1/subjects?livemode=false", ""); len(a.data(t)) != 0 {
		t.Errorf("test persons: %s", a.body)
	}
	for query, param := range map[string]string{"status=fine": "status", "begins=x": "partner", "held=perhaps": "held", "cursor=x": "cursor"} {
		if a := g.call("vera", "GET", "/v1/subjects?"+query, ""); a.code != 400 || a.json["error"].(map[string]any)["param"] != param {
			t.Errorf("%s: %d %s", query, a.code, a.body)
		}
	}
}
