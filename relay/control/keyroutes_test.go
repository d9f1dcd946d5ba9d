package control

import (
	"slices"
	"strings"
	"testing"

	"countersign/relay/format"
	"countersign/relay/registry"
)

// keep gives acme further endpoints, whose keys are kept, by their formats.
func (g *rig) keep(formats ...string) {
	g.t.Helper()
	partners := slices.Clone(g.registry.Read().Partners())
	partners[0].Endpoints = slices.Clone(partners[0].Endpoints)
	for _, name := range formats {
		f, ok := format.ByName(name)
		if !ok {
			g.t.Fatal(name)
		}
		e := registry.Endpoint{ID: "kept-" + name, Format: f}
		partners[0].Endpoints = append(partners[0].Endpoints, e)
		if _, _, err := g.registry.FirstKey(g.t.Context(), e.ID, func(string) error { return nil }); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := g.registry.Configure(partners); err != nil {
		g.t.Fatal(err)
	}
}

// TestRotateAndRevoke: a key is made and shown once, listed without what signs, and ended; the
// trail says who made which, and no answer but the first shows a secret.
func TestRotateAndRevoke(t *testing.T) {
	g := newRig(t)
	g.keep("standard")
	var secrets []string
	f := func(want int, method, path, body string) answer {
		t.Helper()
		a := g.call("otto", method, "/v1/endpoints/kept-standard/"+path, body)
		if a.code != want {
			t.Fatalf("%s %s: %d, want %d: %s", method, path, a.code, want, a.body)
		}
		for _, s := range secrets {
			if strings.Contains(a.body, s) {
				t.Errorf("%s %s shows a secret again", method, path)
			}
		}
		return a
	}
	text := func(a answer, name string) string { s, _ := a.json[name].(string); return s }

	hmac := f(200, "POST", "rotate", "")
	if text(hmac, "kind") != "hmac" || !strings.HasPrefix(text(hmac, "secret"), "whsec_") || text(hmac, "object") != "endpoint_key" || text(hmac, "public_key") != "" || text(hmac, "until") != "" {
		t.Errorf("rotated: %s", hmac.body)
	}
	secrets = append(secrets, text(hmac, "secret"))
	pair := f(200, "POST", "rotate", `{"kind":"ed25519","overlap":"1h"}`)
	if !strings.HasPrefix(text(pair, "public_key"), "whpk_") || strings.Contains(pair.body, "whsk_") || text(pair, "secret") != "" {
		t.Errorf("rotated: %s", pair.body)
	}
	again := f(200, "POST", "rotate", `{"overlap":"0s"}`) // of the same kind
	if text(again, "kind") != "ed25519" {
		t.Errorf("rotated: %s", again.body)
	}
	listed := g.call("vera", "GET", "/v1/endpoints/kept-standard/keys", "")
	keys := listed.data(t)
	if len(keys) != 3 || keys[0]["id"] != again.json["id"] || keys[0]["public_key"] != again.json["public_key"] || keys[1]["id"] != hmac.json["id"] || keys[1]["until"] == nil || keys[0]["until"] != nil ||
		keys[0]["from"] != "made" || keys[0]["status"] != "signs" || strings.Contains(listed.body, "whsec_") || strings.Contains(listed.body, "whsk_") {
		t.Errorf("listed: %s", listed.body)
	}
	f(404, "POST", "keys/"+text(pair, "id")+"/revoke", "") // its overlap was none
	f(200, "POST", "keys/"+text(hmac, "id")+"/revoke", "")
	first := keys[2]["id"].(string)
	f(200, "POST", "keys/"+first+"/revoke", "")
	if a := f(409, "POST", "keys/"+text(again, "id")+"/revoke", ""); !strings.Contains(a.body, `"code":"last_key"`) {
		t.Errorf("the last: %s", a.body)
	}
	last := f(200, "POST", "keys/"+text(again, "id")+"/revoke?replace=true", "")
	replacement, _ := last.json["replacement"].(map[string]any)
	if last.json["revoked"] != true || replacement == nil || replacement["kind"] != "ed25519" {
		t.Errorf("replaced: %s", last.body)
	}
	keys = f(200, "GET", "keys", "").data(t)
	if len(keys) != 1 || keys[0]["id"] != replacement["id"] {
		t.Errorf("in the end: %v", keys)
	}

	trail := g.call("vera", "GET", "/v1/audit", "")
	var made []string
	for _, e := range trail.data(t) {
		if key, ok := e["key"].(string); ok {
			made = append(made, key)
		}
		if e["actor"] != "otto" {
			t.Errorf("by %v", e["actor"])
		}
	}
	if want := []string{replacement["id"].(string), text(again, "id"), text(pair, "id"), text(hmac, "id")}; !slices.Equal(made, want) || !strings.Contains(trail.body, "/keys/"+first+"/revoke") {
		t.Errorf("the trail has %v, want %v: %s", made, want, trail.body)
	}
	for _, s := range append(secrets, "whsec_", "whsk_") {
		if strings.Contains(trail.body, s) || strings.Contains(g.log.String(), s) {
			t.Error("a secret stands in the trail or the log")
		}
	}
}

// TestKeyRefusals: each refusal has its code, and says what to do.
func TestKeyRefusals(t *testing.T) {
	g := newRig(t)
	g.keep("standard", "blendfi")
	f := func(path, body string, status int, code, param, message string) {
		t.Helper()
		a := g.call("otto", "POST", "/v1/endpoints/"+path, body)
		e, _ := a.json["error"].(map[string]any)
		got, _ := e["param"].(string)
		if a.code != status || e["code"] != code || got != param || !strings.Contains(a.body, message) {
			t.Errorf("%s %s: %d %s", path, body, a.code, a.body)
		}
	}
	f("main/rotate", "", 409, "keys_in_config", "id", "its keys are in the config, so they are changed there")
	f("main/keys/key_1/revoke?replace=true", "", 409, "keys_in_config", "id", "its keys are in the config")
	f("none/rotate", "", 404, "not_found", "id", "there is no such endpoint")
	f("kept-standard/keys/key_1/revoke", "", 404, "not_found", "key", "no such key that signs")
	f("kept-standard/keys/key_1/revoke?replace=x", "", 400, "replace", "replace", "true or false")
	f("kept-standard/rotate", `{"kind":"rsa"}`, 400, "kind", "kind", "hmac or ed25519")
	f("kept-blendfi/rotate", `{"kind":"ed25519"}`, 400, "kind", "kind", "cannot use an ed25519 key")
	f("kept-standard/rotate", `{"overlap":"soon"}`, 400, "overlap", "overlap", "0 to 7 days")
	f("kept-standard/rotate", `{"overlap":"169h"}`, 400, "overlap", "overlap", "0 to 7 days")
	f("kept-standard/rotate", `{"overlap":"-1s"}`, 400, "overlap", "overlap", "0 to 7 days")
	f("kept-standard/rotate", `{"secret":"mine"}`, 400, "body", "body", "unknown field")
	for range registry.MaxOldKeys {
		if a := g.call("otto", "POST", "/v1/endpoints/kept-standard/rotate", `{"overlap":"1h"}`); a.code != 200 {
			t.Fatal(a.body)
		}
	}
	f("kept-standard/rotate", "", 409, "too_many_keys", "", "revoke one")
	if keys := g.call("vera", "GET", "/v1/endpoints/main/keys", "").data(t); len(keys) != 1 || keys[0]["from"] != "config" || keys[0]["id"] != nil {
		t.Errorf("of the config: %v", keys)
	}
}

// TestOwnEndpoint: a partner's token finds its own endpoints, and learns of another's no more than
// of one that there is not.
func TestOwnEndpoint(t *testing.T) {
	g := newRig(t)
	f := func(token Token, id string, want bool) {
		t.Helper()
		e, err := g.server.keyed(token, id)
		if (err == nil) != want || want && e.ID != id || !want && !strings.Contains(err.Error(), "endpoint "+id+": ") {
			t.Errorf("%s of %s: %v", id, token.Partner, err)
		}
	}
	f(Token{Scope: Operator}, "main", true)
	f(Token{Scope: Partner, Partner: "acme"}, "main", true)
	f(Token{Scope: Partner, Partner: "beta"}, "main", false)
	f(Token{Scope: Partner}, "main", false)
	f(Token{Scope: Viewer}, "none", false)
	f(Token{Scope: Partner, Partner: "acme"}, "none", false)
}
