package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox/store"
	"countersign/relay/registry"
)

// stopwatch is a time that a test moves.
type stopwatch struct{ at atomic.Int64 }

func newStopwatch() *stopwatch {
	c := &stopwatch{}
	c.at.Store(time.Now().Truncate(time.Second).UnixNano())
	return c
}

func (c *stopwatch) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *stopwatch) pass(d time.Duration) { c.at.Add(int64(d)) }

// with calls with a token that was made.
func (g *rig) with(token, method, path, body string) answer {
	g.t.Helper()
	return g.call("", method, path, body, "Authorization", "Bearer "+token)
}

// reopened is another server over the same file, as after a restart, without its listener.
func (g *rig) reopened(t *testing.T) func(token string) int {
	t.Helper()
	o := g.server.o
	o.Metrics = nil // they are registered
	s := New(o)
	return func(token string) int {
		w := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/quarantine", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		s.mux.ServeHTTP(w, req)
		return w.Code
	}
}

// listed is a token as it is listed.
func (g *rig) listed(name string) map[string]any {
	g.t.Helper()
	for _, v := range g.call("ada", "GET", "/v1/tokens", "").data(g.t) {
		if v["name"] == name {
			return v
		}
	}
	return nil
}

// TestTokens is a token's life: made, used, revoked, over restarts.
func TestTokens(t *testing.T) {
	c := newStopwatch()
	g := newRig(t, func(o *Options) { o.Now = c.now })
	c.pass(time.Hour)
	a := g.call("ada", "POST", "/v1/tokens/grafana", `{"scope":"viewer"}`)
	token, _ := a.json["token"].(string)
	if a.code != 200 || token == "" || a.json["name"] != "grafana" || a.json["scope"] != "viewer" || a.json["made_by"] != "ada" || a.json["from"] != "made" || a.json["status"] != "active" {
		t.Fatalf("made: %d %s", a.code, a.body)
	}
	if v := g.listed("grafana"); v == nil || v["token"] != nil || v["last_used_at"] != nil || v["made_at"] != c.now().UTC().Format(time.RFC3339) {
		t.Errorf("listed: %v", v)
	}
	if a := g.with(token, "GET", "/v1/quarantine", ""); a.code != 200 {
		t.Errorf("used: %d %s", a.code, a.body)
	}
	if a := g.with(token, "POST", "/v1/endpoints/main/resume", ""); a.code != 403 {
		t.Errorf("beyond its scope: %d", a.code)
	}
	if v := g.listed("grafana"); v["last_used_at"] != c.now().UTC().Format(time.RFC3339) {
		t.Errorf("after its use: %v", v)
	}
	if v := g.listed("vera"); v == nil || v["from"] != "config" || v["scope"] != "viewer" {
		t.Errorf("of the config: %v", v)
	}
	if code := g.reopened(t)(token); code != 200 {
		t.Errorf("after a restart: %d", code)
	}
	if a := g.call("ada", "POST", "/v1/tokens/grafana/revoke", ""); a.code != 200 || a.json["revoked"] != true {
		t.Errorf("revoke: %d %s", a.code, a.body)
	}
	if a := g.with(token, "GET", "/v1/quarantine", ""); a.code != 401 || !strings.Contains(a.body, "token_revoked") || strings.Contains(a.body, token) {
		t.Errorf("once it is revoked: %d %s", a.code, a.body)
	}
	if code := g.reopened(t)(token); code != 401 {
		t.Errorf("revoked, and after a restart: %d", code)
	}
	if v := g.listed("grafana"); v["status"] != "revoked" || v["revoked_by"] != "ada" || v["revoked_at"] == nil {
		t.Errorf("listed afterwards: %v", v)
	}
	second := fmt.Sprint(g.call("ada", "POST", "/v1/tokens/grafana", `{"scope":"operator"}`).json["token"]) // its name is free again
	if a, b := g.with(second, "GET", "/v1/quarantine", ""), g.with(token, "GET", "/v1/quarantine", ""); a.code != 200 || b.code != 401 || second == token {
		t.Errorf("the next of its name: %d, and the old one: %d", a.code, b.code)
	}
	if v := g.listed("grafana"); v["status"] != "active" || v["scope"] != "operator" || v["revoked_by"] != nil {
		t.Errorf("the next: %v", v)
	}
	trail := g.call("vera", "GET", "/v1/audit", "").body
	for _, want := range []string{`"actor":"ada","scope":"admin","call":"POST /v1/tokens/{name}","path":"/v1/tokens/grafana","ok":true`, `"path":"/v1/tokens/grafana/revoke","ok":true`} {
		if !strings.Contains(trail, want) {
			t.Errorf("%s is not in the audit trail: %s", want, trail)
		}
	}
	g.holdsNothingOf(token, second)
}

// holdsNothingOf looks for tokens where they would stay: in the file and in the log.
func (g *rig) holdsNothingOf(tokens ...string) {
	g.t.Helper()
	file, err := os.ReadFile(g.store.Path())
	if err != nil {
		g.t.Fatal(err)
	}
	digest := ""
	for _, token := range tokens {
		sum := sha256.Sum256([]byte(token))
		if bytes.Contains(file, []byte(token)) || strings.Contains(g.log.String(), token) {
			g.t.Errorf("%s itself is kept", token)
		}
		digest = hex.EncodeToString(sum[:])
	}
	if !bytes.Contains(file, []byte(digest)) {
		g.t.Errorf("the digest of the last is not in the file, so this looks in the wrong place")
	}
}

// TestTokenExpires: at its instant, without anybody's doing.
func TestTokenExpires(t *testing.T) {
	c := newStopwatch()
	g := newRig(t, func(o *Options) { o.Now = c.now })
	ends := c.now().Add(time.Hour).UTC().Format(time.RFC3339)
	token := fmt.Sprint(g.call("ada", "POST", "/v1/tokens/visitor", fmt.Sprintf(`{"scope":"partner","partner":"acme","expires_at":%q}`, ends)).json["token"])
	f := func(want int, code string) {
		t.Helper()
		a := g.with(token, "GET", "/v1/users/nobody/kyc", "")
		if a.code != want || !strings.Contains(a.body, code) {
			t.Errorf("%d %s, want %d %s", a.code, a.body, want, code)
		}
	}
	f(404, "not_found")
	if a := g.with(token, "GET", "/v1/users/nobody/kyc?partner=beta", ""); a.code != 403 {
		t.Errorf("another partner's: %d", a.code)
	}
	c.pass(time.Hour - time.Second)
	f(404, "not_found")
	c.pass(time.Second)
	f(401, "token_expired")
	if v := g.listed("visitor"); v["status"] != "expired" || v["expires_at"] != ends || v["partner"] != "acme" {
		t.Errorf("listed: %v", v)
	}
	if g.refused(byExpired) != 1 {
		t.Errorf("%v are counted", g.refused(byExpired))
	}
}

// TestTokenErrors: what cannot be made or revoked, and why.
func TestTokenErrors(t *testing.T) {
	c := newStopwatch()
	g := newRig(t, func(o *Options) { o.Now = c.now })
	f := func(call, body string, code int, name string) {
		t.Helper()
		a := g.call("ada", "POST", "/v1/tokens/"+call, body)
		if e, _ := a.json["error"].(map[string]any); a.code != code || e["code"] != name {
			t.Errorf("%s: %d %s, want %d %s", call, a.code, a.body, code, name)
		}
	}
	for _, name := range []string{"Upper", "two%20words", "%1b%5b2J", "a%2fb", "z%E2%80%8Bz", strings.Repeat("x", 65), ".dot"} {
		f(name, `{"scope":"viewer"}`, 400, "name")
	}
	f("new", ``, 400, "body")
	f("new", `{"scope":"viewer","admin":true}`, 400, "body")
	f("new", `{}`, 400, "scope")
	f("new", `{"scope":"chief"}`, 400, "scope")
	f("new", `{"scope":"partner"}`, 400, "partner")
	f("new", `{"scope":"partner","partner":"nobody"}`, 400, "partner")
	f("new", `{"scope":"viewer","partner":"acme"}`, 400, "partner")
	f("new", fmt.Sprintf(`{"scope":"viewer","expires_at":%q}`, c.now().UTC().Format(time.RFC3339)), 400, "expires_at")
	f("new", `{"scope":"viewer","expires_at":"tomorrow"}`, 400, "body")
	f("vera", `{"scope":"admin"}`, 409, "name_taken") // one of the config
	if a := g.call("ada", "POST", "/v1/tokens/new", `{"scope":"viewer"}`); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	f("new", `{"scope":"viewer"}`, 409, "name_taken")
	f("nobody/revoke", ``, 404, "not_found")
	f("vera/revoke", ``, 409, "token_in_config")
	if a := g.call("ada", "POST", "/v1/tokens/vera/revoke", ""); !strings.Contains(a.body, "config") {
		t.Errorf("it does not say where: %s", a.body)
	}
	if a := g.call("vera", "GET", "/v1/quarantine", ""); a.code != 200 {
		t.Errorf("one of the config after that: %d", a.code)
	}
	if a := g.call("ada", "POST", "/v1/tokens/new/revoke", ""); a.code != 200 {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// TestOnlyAdminsMakeTokens: nobody gets a larger scope than his own by making himself a token.
func TestOnlyAdminsMakeTokens(t *testing.T) {
	g := newRig(t)
	for _, who := range []string{"vera", "otto", "pia", "odd"} {
		for _, scope := range []string{"admin", "operator", "viewer"} {
			if a := g.call(who, "POST", "/v1/tokens/mine", fmt.Sprintf(`{"scope":%q}`, scope)); a.code != 403 {
				t.Errorf("%s makes a token of scope %s: %d %s", who, scope, a.code, a.body)
			}
		}
	}
	if a := g.call("otto", "GET", "/v1/tokens", ""); a.code != 403 || !strings.Contains(a.body, "scope admin") {
		t.Errorf("an operator is not told who may: %s", a.body)
	}
	if g.made.Load() != 0 {
		t.Errorf("%d were made", g.made.Load())
	}
}

// TestLastUse is in the file within a minute, with one write in that time, and never undoes that a
// token was revoked.
func TestLastUse(t *testing.T) {
	c := newStopwatch()
	g := newRig(t, func(o *Options) { o.Now = c.now })
	kept := func() (at int64) {
		t.Helper()
		if err := g.store.View(func(tx *store.Tx) (err error) {
			v, err := tx.Bucket(store.Registry).Get([]byte("token-used/vera"))
			if err == nil {
				at, err = parseUse(v)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return at
	}
	use := func() int64 {
		t.Helper()
		if a := g.call("vera", "GET", "/v1/quarantine", ""); a.code != 200 {
			t.Fatal(a.code)
		}
		return c.now().Unix()
	}
	first := use()
	eventually(t, "it is kept", func() bool { return kept() == first })
	var last int64
	for range 100 {
		c.pass(590 * time.Millisecond)
		last = use()
	}
	if err := g.store.Update(t.Context(), func(*store.Tx) error { return nil }); err != nil { // whatever was to be written has been
		t.Fatal(err)
	}
	if got := kept(); got != first {
		t.Errorf("within a minute it was written again: %d after %d", got, first)
	}
	if v := g.listed("vera"); v["last_used_at"] != time.Unix(last, 0).UTC().Format(time.RFC3339) {
		t.Errorf("listed: %v, want %d", v, last)
	}
	c.pass(2 * time.Second)
	last = use()
	eventually(t, "it is kept again", func() bool { return kept() == last })
	hs, err := newHolders(g.registry, tokens())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range hs.list(c.now()) {
		if v.Name == "vera" && v.LastUsedAt.Unix() != last {
			t.Errorf("after a restart: %v", v.LastUsedAt)
		}
	}
}

// TestTokensAreBounded: of too many that have ended, the one that ended first is forgotten; of too
// many that have not, no more is made.
func TestTokensAreBounded(t *testing.T) {
	now := time.Now()
	hs := &holders{}
	for i := range maxMade {
		hs.all = append(hs.all, &holder{Token: Token{Name: fmt.Sprint("t", i)}, from: fromMade})
	}
	f := func(name, want string, wantErr error) {
		t.Helper()
		gone, err := hs.place(name, now)
		got := ""
		if gone != nil {
			got = gone.Name
		}
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s takes the place of %q, %v; want %q, %v", name, got, err, want, wantErr)
		}
	}
	f("new", "", errTooMany)
	f("t7", "", errNameTaken)
	hs.all[7].made.ExpiresAt = now.Add(-time.Minute)
	hs.all[9].made.RevokedAt = now.Add(-time.Hour)
	hs.all[8].made.ExpiresAt = now.Add(time.Minute)
	f("new", "t9", nil)
	f("t7", "t7", nil)
	f("t8", "", errNameTaken)
	hs.all = hs.all[:maxMade-1]
	f("new", "", nil)
}

// TestRevokedWithoutADisk: a token is refused at once, whatever the disk says, and can be revoked
// again when there is one.
func TestRevokedWithoutADisk(t *testing.T) {
	st, err := store.Open(store.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	reg, err := registry.New(registry.Options{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("secret"))
	h := &holder{Token: Token{Name: "lost", Scope: Admin, SHA256: sum}, from: fromMade, made: madeToken{SHA256: hex.EncodeToString(sum[:]), Scope: Admin}}
	hs := &holders{registry: reg, all: []*holder{h}}
	if _, why := hs.find("secret", time.Now()); why != "" {
		t.Fatal(why)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hs.revoke(gone, "lost", "ada", time.Now()); err == nil || !strings.Contains(err.Error(), "not kept") { // nobody writes yet
		t.Errorf("revoke = %v", err)
	}
	if _, why := hs.find("secret", time.Now()); why != byRevoked {
		t.Errorf("used afterwards: %q", why)
	}
	background(t, st.Run)
	if err := hs.revoke(t.Context(), "lost", "eve", time.Now()); err != nil || h.made.RevokedBy != "ada" {
		t.Errorf("revoked again: %v, by %s", err, h.made.RevokedBy)
	}
	after, err := newHolders(reg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, why := after.find("secret", time.Now()); why != byRevoked {
		t.Errorf("after a restart: %q", why)
	}
}
