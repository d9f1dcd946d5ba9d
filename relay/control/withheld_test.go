package control

import (
	"net/url"
	"strings"
	"testing"

	"countersign/kyc"
)

// TestAcknowledgeWithheld: a rejection that has died is listed until an operator says that the
// partner knows; that stands in the audit trail, and nothing is sent by it.
func TestAcknowledgeWithheld(t *testing.T) {
	g := newRig(t)
	g.tell("bad", 1, kyc.Rejected)
	list := g.call("vera", "GET", "/v1/withheld?endpoint=main", "").data(t)
	if len(list) != 1 || list[0]["subject"] != "acme/bad" || list[0]["type"] != "kyc.status.rejected" || list[0]["dead_lettered"] == nil {
		t.Fatalf("withheld: %v", list)
	}
	id := list[0]["id"].(string)
	path := "/v1/withheld/" + url.PathEscape(id) + "/acknowledge"
	f := func(token, path, body string, code int, field string) {
		t.Helper()
		a := g.call(token, "POST", path, body)
		if e, _ := a.json["error"].(map[string]any); a.code != code || field != "" && e["param"] != field {
			t.Errorf("%s %s: %d %s", path, body, a.code, a.body)
		}
	}
	f("vera", path, `{"reason":"told by telephone"}`, 403, "")
	f("otto", path, `{}`, 400, "reason")
	f("otto", path, `{"reason":"`+strings.Repeat("x", maxReason+1)+`"}`, 400, "reason")
	f("otto", path, `{"because":"x"}`, 400, "body")
	f("otto", "/v1/withheld/evt_1@main/acknowledge", `{"reason":"r"}`, 404, "")
	f("otto", path, `{"reason":"told by telephone"}`, 200, "")
	f("otto", path, `{"reason":"once more"}`, 200, "") // the first one stands
	if list := g.call("vera", "GET", "/v1/withheld?endpoint=main", "").data(t); len(list) != 0 {
		t.Errorf("still withheld: %v", list)
	}
	list = g.call("vera", "GET", "/v1/withheld?acknowledged=true&endpoint=main", "").data(t)
	if len(list) != 1 {
		t.Fatalf("acknowledged: %v", list)
	}
	if a, _ := list[0]["acknowledged"].(map[string]any); a["by"] != "otto" || a["reason"] != "told by telephone" {
		t.Errorf("acknowledged: %v", list)
	}
	if dead := g.outbox.Dead("main"); dead != 1 {
		t.Errorf("%d dead, want the delivery as it was", dead)
	}
	if trail := g.call("vera", "GET", "/v1/audit?limit=1000", "").body; strings.Count(trail, "POST /v1/withheld/{id}/acknowledge") < 2 || !strings.Contains(trail, id) {
		t.Errorf("the audit trail: %s", trail)
	}
	for _, q := range []string{"?acknowledged=perhaps", "?cursor=nonsense", "?after=evt_1@main", "?limit=0"} {
		if a := g.call("vera", "GET", "/v1/withheld"+q, ""); a.code != 400 {
			t.Errorf("%s: %d", q, a.code)
		}
	}
}
