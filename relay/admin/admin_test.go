package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/relay"
)

// TestScopes is the table of who may call what. A route that is not in it fails.
func TestScopes(t *testing.T) {
	g := newRig(t)
	g.tell("bad", 1, kyc.Rejected)
	dead := g.call("vera", "GET", "/v1/deliveries?status=dead", "").data(t)
	paths := map[string]string{ // a call of each route that is answered 200 to whoever may make it
		"GET /v1/quarantine":                 "/v1/quarantine",
		"POST /v1/backup":                    "/v1/backup",
		"GET /v1/subjects/{partner}/{id}":    "/v1/subjects/acme/bad?livemode=true",
		"GET /v1/endpoints":                  "/v1/endpoints",
		"POST /v1/endpoints/{id}/resume":     "/v1/endpoints/main/resume",
		"GET /v1/deliveries":                 "/v1/deliveries?status=dead",
		"POST /v1/deliveries/{id}/redeliver": "/v1/deliveries/" + url.PathEscape(dead[0]["id"].(string)) + "/redeliver",
	}
	changes := map[string]bool{"POST /v1/backup": true, "POST /v1/endpoints/{id}/resume": true, "POST /v1/deliveries/{id}/redeliver": true}
	f := func(route, who, authorization string, want int) {
		t.Helper()
		method, _, _ := strings.Cut(route, " ")
		body := ""
		if route == "POST /v1/backup" {
			body = fmt.Sprintf(`{"path": %q}`, filepath.Join(t.TempDir(), "backup.db"))
		}
		var headers []string
		if authorization != "" {
			headers = []string{"Authorization", authorization}
		}
		a := g.call("", method, paths[route], body, headers...)
		if a.code != want {
			t.Errorf("%s by %s: %d, want %d: %s", route, who, a.code, want, a.body)
		}
		if want == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s by %s: WWW-Authenticate is %q", route, who, a.header.Get("WWW-Authenticate"))
		}
		g.appended = 0
		g.settled()
	}
	if n := len(g.server.routes()); n != len(paths) {
		t.Errorf("%d routes, %d in the table", n, len(paths))
	}
	for _, r := range g.server.routes() {
		viewer, operator := 200, 200
		if changes[r.Pattern] {
			viewer = 403
		}
		if paths[r.Pattern] == "" {
			t.Errorf("%s is not in the table", r.Pattern)
			continue
		}
		digest := sha256.Sum256([]byte("secret-ada"))
		f(r.Pattern, "nobody", "", 401)
		f(r.Pattern, "somebody else", "Bearer secret-eve", 401)
		f(r.Pattern, "an empty token", "Bearer ", 401)
		f(r.Pattern, "the digest of a token", "Bearer "+hex.EncodeToString(digest[:]), 401)
		f(r.Pattern, "a token with a blank", "Bearer  secret-ada", 401)
		f(r.Pattern, "another scheme", "Basic secret-ada", 401)
		f(r.Pattern, "a bare token", "secret-ada", 401)
		f(r.Pattern, "a partner", "Bearer secret-pia", 403)
		f(r.Pattern, "an unknown scope", "Bearer secret-odd", 403)
		f(r.Pattern, "a viewer", "Bearer secret-vera", viewer)
		if r.Pattern == "POST /v1/deliveries/{id}/redeliver" {
			f(r.Pattern, "an operator", "Bearer secret-otto", operator)
			eventually(t, "the delivery is dead again", func() bool {
				return g.outbox.Dead("main") == 1 && g.outbox.Owed("main") == 0 && g.relay.Position() == 2
			})
			f(r.Pattern, "an admin", "Bearer secret-ada", 200)
			continue
		}
		f(r.Pattern, "an operator", "Bearer secret-otto", operator)
		f(r.Pattern, "an admin", "Bearer secret-ada", 200)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/heap"} { // for machines, on a private listener
		if a := g.call("", "GET", path, ""); a.code != 200 {
			t.Errorf("%s: %d", path, a.code)
		}
	}
	if log := g.log.String(); strings.Contains(log, "secret-") {
		t.Error("a token was logged")
	}
}

// TestErrors holds the shape of errors.
func TestErrors(t *testing.T) {
	broken := errors.New("the disk is on fire")
	g := newRig(t, func(o *Options) {
		o.Quarantine = func(string, int) ([]journal.ItemView, bool, error) { return nil, false, broken }
	})
	g.tell("bad", 1, kyc.Rejected)
	g.tell("bad-but-later-good", 1, kyc.Rejected)
	f := func(token, call, body string, code int, kind, name, param string) {
		t.Helper()
		method, path, _ := strings.Cut(call, " ")
		a := g.call(token, method, path, body)
		e, _ := a.json["error"].(map[string]any)
		got := fmt.Sprint(a.code, " ", e["type"], " ", e["code"], " ", e["param"])
		want := fmt.Sprint(code, " ", kind, " ", name, " ", map[bool]any{true: nil, false: param}[param == ""])
		if got != want || len(a.json) != 1 || e["message"] == "" || e["message"] == nil {
			t.Errorf("%s: %s: %s\nwant %s", call, got, a.body, want)
		}
	}
	f("", "GET /v1/endpoints", "", 401, "authentication", "token_unknown", "")
	f("vera", "POST /v1/backup", "{}", 403, "authorization", "scope_too_small", "")
	f("vera", "GET /v1/deliveries", "", 400, "invalid_request", "status", "status")
	f("vera", "GET /v1/deliveries?status=owed", "", 400, "invalid_request", "status", "status")
	for _, limit := range []string{"0", "-1", "1001", "x", "1.5", "99999999999999999999"} {
		f("vera", "GET /v1/deliveries?status=dead&limit="+limit, "", 400, "invalid_request", "limit", "limit")
		f("vera", "GET /v1/quarantine?limit="+limit, "", 400, "invalid_request", "limit", "limit")
	}
	f("vera", "GET /v1/quarantine", "", 500, "internal", "internal", "")
	f("vera", "GET /v1/subjects/acme/nobody?livemode=true", "", 404, "not_found", "not_found", "")
	f("vera", "GET /v1/subjects/acme/bad", "", 404, "not_found", "not_found", "") // live only
	f("vera", "GET /v1/subjects/acme/bad?livemode=yes", "", 400, "invalid_request", "livemode", "livemode")
	f("otto", "POST /v1/endpoints/nobody/resume", "", 404, "not_found", "not_found", "")
	f("otto", "POST /v1/deliveries/evt_1@main/redeliver", "", 404, "not_found", "not_found", "")
	f("otto", "POST /v1/deliveries/x/redeliver", "", 404, "not_found", "not_found", "")
	for _, body := range []string{"", "{}", "[]", `{"path": "relative"}`, `{"path": ""}`, `{"path": 1}`, "not json", `{"path": "/` + strings.Repeat("x", 1<<20) + `"}`} {
		f("otto", "POST /v1/backup", body, 400, "invalid_request", "path", "path")
	}
	f("otto", "POST /v1/backup", `{"path": "/no/such/dir/backup"}`, 409, "conflict", "backup_failed", "path")
	f("ada", "GET /v1/nothing", "", 404, "not_found", "no_such_call", "")
	f("", "GET /", "", 404, "not_found", "no_such_call", "")
	f("ada", "DELETE /v1/endpoints", "", 405, "invalid_request", "method", "")
	if a := g.call("ada", "DELETE", "/v1/endpoints", ""); a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
}

// TestOvertakenNeedsForce walks from a dead delivery to its redelivery.
func TestOvertakenNeedsForce(t *testing.T) {
	g := newRig(t)
	g.tell("bad", 1, kyc.Rejected)
	id := g.call("vera", "GET", "/v1/deliveries?status=dead&endpoint=main", "").data(t)[0]["id"].(string)
	if !strings.HasSuffix(id, "@main") {
		t.Fatalf("id %q", id)
	}
	path := "/v1/deliveries/" + url.PathEscape(id) + "/redeliver"
	g.partner.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}) // nothing is wrong any more
	g.tell("bad", 2, kyc.Approved)
	a := g.call("otto", "POST", path, "")
	if e, _ := a.json["error"].(map[string]any); a.code != 409 || e["code"] != "overtaken" || e["param"] != "force" {
		t.Errorf("redeliver: %d %s", a.code, a.body)
	}
	for _, force := range []string{"?force=false", "?force=", "?force=1"} {
		if a := g.call("otto", "POST", path+force, ""); a.code != 409 {
			t.Errorf("redeliver%s: %d %s", force, a.code, a.body)
		}
	}
	if a := g.call("otto", "POST", path+"?force=true", ""); a.code != 200 || a.json["id"] != id || a.json["ordered"] != true || a.json["object"] != "delivery" {
		t.Errorf("forced: %d %s", a.code, a.body)
	}
	eventually(t, "it is delivered", func() bool { return g.outbox.Dead("main") == 0 && g.outbox.Owed("main") == 0 })
	s := g.call("vera", "GET", "/v1/subjects/acme/bad?livemode=true", "")
	if s.json["object"] != "subject" || !strings.Contains(s.body, `"actor":"otto"`) {
		t.Errorf("subject: %s", s.body)
	}
	if log := g.log.String(); !strings.Contains(log, `"msg":"audit"`) || !strings.Contains(log, `"actor":"otto","ok":true`) || !strings.Contains(log, `"actor":"otto","ok":false`) {
		t.Error("the orders left no audit line")
	}
}

// TestPages walks lists page by page: everything once, in order.
func TestPages(t *testing.T) {
	g := newRig(t)
	for i := range 7 {
		g.tell(fmt.Sprint("bad", i), i, kyc.Rejected)
		err := g.journal.Hold(t.Context(), journal.Item{ID: fmt.Sprint("item-", i), Source: "sumsub-eu", Reason: journal.Unreadable, At: time.Now(), Body: []byte("canary-body")})
		if err != nil {
			t.Fatal(err)
		}
	}
	f := func(path string, limit, want int) {
		t.Helper()
		after, pages, last := "", 0, ""
		seen := map[string]bool{}
		for more := true; more; pages++ {
			if pages > want {
				t.Fatalf("%s by %d: no end", path, limit)
			}
			a := g.call("vera", "GET", fmt.Sprint(path, "limit=", limit, "&after=", url.QueryEscape(after)), "")
			items := a.data(t)
			more, _ = a.json["has_more"].(bool)
			if len(items) > limit || more && len(items) != limit || strings.Contains(a.body, "canary") {
				t.Fatalf("%s by %d: %s", path, limit, a.body)
			}
			for _, i := range items {
				after = i["id"].(string)
				if seen[after] || after <= last {
					t.Errorf("%s by %d: %s after %s", path, limit, after, last)
				}
				seen[after], last = true, after
			}
		}
		if len(seen) != want || pages != (want+limit-1)/limit {
			t.Errorf("%s by %d: %d items on %d pages, want %d", path, limit, len(seen), pages, want)
		}
	}
	for _, limit := range []int{1, 2, 7, 1000} {
		f("/v1/deliveries?status=dead&", limit, 14)
		f("/v1/deliveries?status=dead&endpoint=strict&", limit, 7)
		f("/v1/quarantine?", limit, 7)
	}
	if a := g.call("vera", "GET", "/v1/deliveries?status=dead&endpoint=nobody", ""); len(a.data(t)) != 0 || a.json["has_more"] != false {
		t.Errorf("nobody's: %s", a.body)
	}
}

// TestEmptyLists: a list without items is [], never null.
func TestEmptyLists(t *testing.T) {
	g := newRig(t)
	f := func(path string, want int) {
		t.Helper()
		if a := g.call("vera", "GET", path, ""); a.code != 200 || len(a.data(t)) != want {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	f("/v1/deliveries?status=dead", 0)
	f("/v1/quarantine", 0)
	f("/v1/endpoints", 2)
	nobody, err := relay.New(relay.Options{Store: g.store, Journal: g.journal, Outbox: g.outbox, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(nobody.Endpoints()); err != nil || string(b) != "[]" {
		t.Errorf("endpoints of nobody: %s, %v", b, err)
	}
}

func TestEndpointsAndResume(t *testing.T) {
	g := newRig(t)
	g.partner.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	g.tell("ann", 1, kyc.Rejected)
	a := g.call("vera", "GET", "/v1/endpoints", "")
	e := a.data(t)[0]
	if e["object"] != "endpoint" || e["id"] != "main" || e["partner"] != "acme" || e["format"] != "standard" || e["owed"] != 0.0 || e["dead"] != 0.0 || e["disabled"] == nil {
		t.Errorf("endpoint: %v", e)
	}
	if strings.Contains(a.body, "whsec") {
		t.Error("a key is shown")
	}
	if a := g.call("otto", "POST", "/v1/endpoints/main/resume", ""); a.code != 200 || a.json["resumed"] != true || a.json["id"] != "main" {
		t.Errorf("resume: %d %s", a.code, a.body)
	}
	if e := g.call("vera", "GET", "/v1/endpoints", "").data(t)[0]; e["disabled"] != nil {
		t.Errorf("resumed: %v", e)
	}
}
