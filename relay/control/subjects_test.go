package control

import (
	"fmt"
	"maps"
	"net/http"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
)

// TestBreaks: what would be tried waits for the breaker while that is open; what waits for
// something else does.
func TestBreaks(t *testing.T) {
	f := func(breaker, waits, want string) {
		t.Helper()
		v := api.Told{Owed: []api.Owed{{WaitsFor: waits}}}
		if breaks(&v, breaker); v.Breaker != breaker || v.Owed[0].WaitsFor != want {
			t.Errorf("%s, %s: %+v", breaker, waits, v)
		}
	}
	f("open", relay.WaitsForTry, api.WaitsForBreaker)
	f("open", relay.WaitsForTurn, api.WaitsForBreaker)
	f("open", relay.WaitsForAnswer, relay.WaitsForAnswer)
	f("open", relay.WaitsBehind, relay.WaitsBehind)
	f("open", relay.WaitsPaused, relay.WaitsPaused)
	f("half_open", relay.WaitsForTry, relay.WaitsForTry)
	f("closed", relay.WaitsForTurn, relay.WaitsForTurn)
	f("", relay.WaitsForEndpoint, relay.WaitsForEndpoint)
}

// TestSubjectAsked: an instant is one, a cursor is of this list, and an export stands in the audit
// trail while a look does not.
func TestSubjectAsked(t *testing.T) {
	g := newRig(t)
	g.tell("bad", 1, kyc.Rejected)
	f := func(who, query string, status int, code string) {
		t.Helper()
		a := g.call(who, "GET", "/v1/subjects/acme/bad"+query, "")
		if e, _ := a.json["error"].(map[string]any); a.code != status || code != "" && e["code"] != code {
			t.Errorf("%s %s: %d %s", who, query, a.code, a.body)
		}
	}
	f("vera", "?livemode=true&at="+time.Now().UTC().Format(time.RFC3339), http.StatusOK, "")
	f("vera", "?livemode=true&at=yesterday", http.StatusBadRequest, "at")
	f("vera", "?livemode=true&at=1969-01-01T00:00:00Z", http.StatusBadRequest, "at")
	f("vera", "?livemode=true&cursor=AAAA", http.StatusBadRequest, "cursor")
	f("vera", "?livemode=true&limit=0", http.StatusBadRequest, "limit")
	f("vera", "/export?livemode=true", http.StatusForbidden, "scope_too_small")
	f("otto", "/export?livemode=true", http.StatusOK, "")
	f("otto", "/export", http.StatusNotFound, "not_found")
	calls := map[string]int{}
	for _, e := range g.call("vera", "GET", "/v1/audit", "").data(t) {
		calls[fmt.Sprint(e["actor"], " ", e["call"])]++
	}
	if want := map[string]int{"otto GET /v1/subjects/{partner}/{id}/export": 2}; !maps.Equal(calls, want) {
		t.Errorf("in the audit trail: %v, want %v", calls, want)
	}
}
