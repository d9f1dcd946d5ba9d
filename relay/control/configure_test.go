package control

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// TestConfigure: a token that has gone from the config is refused from then on, and a new one
// passes; those that were made stay, and so does when one that stays was last used. Partners and
// sources are those of the new config.
func TestConfigure(t *testing.T) {
	g := newRig(t)
	a := g.call("ada", "POST", "/v1/tokens/made", `{"scope":"viewer"}`)
	if a.code != 200 {
		t.Fatal(a)
	}
	made, _ := a.json["token"].(string)
	f := func(token string, want int) {
		t.Helper()
		if a := g.with(token, "GET", "/v1/quarantine", ""); a.code != want {
			t.Errorf("%s: %d, want %d", token, a.code, want)
		}
	}
	f("secret-vera", 200)
	used := g.listed("vera")["last_used_at"]
	to := *g.server.o.settings()
	to.Tokens = nil
	for _, k := range g.server.o.Tokens {
		if k.Name != "otto" {
			to.Tokens = append(to.Tokens, k)
		}
	}
	to.Tokens = append(to.Tokens, Token{Name: "new", SHA256: sha256.Sum256([]byte("secret-new")), Scope: Viewer})
	to.Sources = map[string]bool{"onfido": true}
	f("secret-new", 401)
	g.server.Configure(to)
	f("secret-new", 200)
	f("secret-otto", 401)
	f(made, 200)
	if now := g.listed("vera")["last_used_at"]; now != used || used == nil {
		t.Errorf("vera's token was last used %v, and now %v", used, now)
	}
	if err := g.registry.Configure([]registry.Partner{{ID: "gamma"}}); err != nil {
		t.Fatal(err)
	}
	if a := g.call("ada", "POST", "/v1/tokens/p", `{"scope":"partner","partner":"acme"}`); a.code != 400 {
		t.Errorf("a token for a partner that has gone: %d", a.code)
	}
	if a := g.call("ada", "POST", "/v1/tokens/p", `{"scope":"partner","partner":"gamma"}`); a.code != 200 {
		t.Errorf("a token for a partner that is new: %d", a.code)
	}
}

// TestNote: what nobody called for over the network stands in the trail too, with what came of it.
func TestNote(t *testing.T) {
	g := newRig(t)
	wrong := &RefusedError{[]api.ConfigProblem{{File: "c.yaml", Line: 7, Key: "mode", What: "is wrong", Remedy: "correct it"}}}
	for _, outcome := range []error{nil, wrong, errors.New("the disk is full")} {
		if err := g.server.Note(t.Context(), "SIGHUP", "SIGHUP", "c.yaml", nil, outcome); err != nil {
			t.Fatal(err)
		}
	}
	a := g.call("vera", "GET", "/v1/audit?actor=SIGHUP", "")
	if n := strings.Count(a.body, `"call":"SIGHUP"`); n != 3 || !strings.Contains(a.body, "c.yaml:7: mode: is wrong; correct it") || strings.Count(a.body, `"ok":true`) != 1 {
		t.Errorf("%d entries: %s", n, a.body)
	}
}
