package control

import (
	"strings"
	"testing"

	"countersign/kyc"
)

// hostile are ids that no subject, partner or ref has, as they stand in a path and in JSON. The
// first would be ann's test state read as a live one.
var hostile = []struct{ path, json string }{
	{"ann%01t", `ann\u0001t`},
	{"%00", `\u0000`},
	{"ann%0A", `ann\n`},
	{"ann%1B%5B2J", `ann\u001b[2J`},
	{"ann%7F", `ann\u007f`},
	{"ann%C2%85", `ann\u0085`},
	{"ann%FF", `ann\ufffd`},
	{"ann%C3", `ann\ud800`},
	{strings.Repeat("x", kyc.MaxID+1), strings.Repeat("x", kyc.MaxID+1)},
}

// TestHostileIDs is the table of every route against every id that is none: nothing is read, done
// or kept under it, by whomever it is sent.
func TestHostileIDs(t *testing.T) {
	g := newRig(t)
	g.tell("ann", 1, kyc.Approved)
	bodies := map[string][]string{ // bodies whose ids are HERE, and which field is wrong
		"POST /v1/submissions": {
			`{"partner":"acme","subject":"HERE","source":"sumsub-eu","provider_ref":"r"}`, `{"partner":"acme","subject":"s","source":"sumsub-eu","provider_ref":"HERE"}`,
			`{"partner":"HERE","subject":"s","source":"sumsub-eu","provider_ref":"r"}`, `{"partner":"acme","subject":"s","source":"HERE","provider_ref":"r"}`,
		},
		"POST /v1/refs/settle": {
			`{"source":"sumsub-eu","provider_ref":"HERE","partner":"acme","subject":"s","reason":"r"}`, `{"source":"sumsub-eu","provider_ref":"r","partner":"acme","subject":"HERE","reason":"r"}`,
		},
		"POST /v1/questions/discard":                 {`{"id":"HERE"}`},
		"POST /v1/quarantine/{id}/release":           {`{"partner":"acme","subject":"HERE"}`, `{"partner":"HERE","subject":"s"}`},
		"POST /v1/test_helpers/users/{id}/kyc":       {`{"status":"pending","kind":"HERE"}`},
		"POST /v1/subjects/{partner}/{id}/decisions": {`{"source":"HERE","check":"screening","status":"approved","reason":"r"}`},
	}
	paths := map[string]string{"POST /v1/quarantine/{id}/release": "unrouted_0000000000000001"}
	for _, r := range g.server.routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		for _, h := range hostile {
			f := func(what, path, body string, headers ...string) {
				t.Helper()
				if headers == nil {
					headers = []string{"X-Nothing", "x"}
				}
				for _, who := range []string{"ada", "pia"} {
					if who == "pia" && !r.Partner {
						continue
					}
					a := g.call(who, method, path, body, headers...)
					if e, _ := a.json["error"].(map[string]any); a.code < 400 || a.code >= 500 || e["message"] == "" || strings.ContainsAny(a.body[:len(a.body)-1], "\x00\x01\x1b\x7f\n") {
						t.Errorf("%s: %s %q by %s: %d %.200q", r.Pattern, what, h.path, who, a.code, a.body)
					}
				}
			}
			full := strings.NewReplacer("{partner}", "acme", "{id}", "ann").Replace(path)
			for _, wildcard := range []string{"{id}", "{partner}"} {
				if !strings.Contains(path, wildcard) {
					continue
				}
				p := strings.NewReplacer(wildcard, h.path, "{partner}", "acme", "{id}", "ann").Replace(path)
				if code, text := g.raw("ada", method, p+"?partner=acme", `{"status":"approved","reason":"r","source":"sumsub-eu","check":"screening"}`); code != 400 || strings.Contains(text, "ann\x01") {
					t.Errorf("%s: %s %.30q: %d %.300q", r.Pattern, wildcard, h.path, code, text)
				}
			}
			if method == "GET" || strings.Contains(path, "users") {
				f("query", full+"?partner=acme&endpoint="+strings.Repeat(h.path, 1+4*len(h.path)/len(strings.Repeat("x", kyc.MaxID+1))), "{}")
			}
			if strings.HasPrefix(h.path, "ann%") {
				f("key", full+"?partner=acme", `{"status":"pending"}`, "Idempotency-Key", "\x80"+h.path)
			}
			for _, body := range bodies[r.Pattern] {
				id := "ann"
				if paths[r.Pattern] != "" {
					id = paths[r.Pattern]
				}
				f("body", strings.NewReplacer("{partner}", "acme", "{id}", id).Replace(path), strings.ReplaceAll(body, "HERE", h.json))
			}
		}
	}
	g.folded()
	for _, live := range []bool{true, false} {
		for _, id := range []string{"ann\x01t", "ann", "s"} {
			if st, err := g.relay.SubjectStatus("acme", id, live); (err == nil) != (id == "ann" && live) {
				t.Errorf("%q %v: %+v %v", id, live, st.Status, err)
			}
		}
	}
}

// TestTestStateIsNotLive: what the sandbox drove is never read as a live status, nor a live one as
// the sandbox's.
func TestTestStateIsNotLive(t *testing.T) {
	g := newRig(t)
	if a := g.call("pia", "POST", "/v1/test_helpers/users/eve/kyc", `{"status":"approved"}`); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	for path, want := range map[string]int{"eve/kyc": 200, "eve/kyc?livemode=false": 200, "eve/kyc?livemode=true": 404, "eve%01t/kyc?livemode=true": 400, "eve%2501t/kyc?livemode=true": 404} {
		if a := g.call("pia", "GET", "/v1/users/"+path, ""); a.code != want {
			t.Errorf("%s: %d %s, want %d", path, a.code, a.body, want)
		}
	}
	if a := g.call("pia", "POST", "/v1/test_helpers/users/eve%2Fx/kyc", `{"status":"approved"}`); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	for _, path := range []string{"/v1/subjects/acme%2Feve/x", "/v1/users/x/kyc?partner=acme%2Feve", "/v1/policies/acme%2Feve"} { // a partner's id has no slash: this is nobody's
		if a := g.call("ada", "GET", path, ""); a.code200() != "400 partner" {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
}
