package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/relay/dispatch"
	"countersign/relay/registry"
)

// TestScopes is the table of who may call what. A route that is not in it fails.
func TestScopes(t *testing.T) {
	now := time.Now()
	var calls atomic.Int64
	g := newRig(t, func(o *Options) { // wrong tokens come slowly enough
		o.Now = func() time.Time { return now.Add(time.Duration(calls.Add(1)) * time.Second) }
	})
	g.tell("ann", 1, kyc.Approved)
	type row struct {
		path, body         string
		answer             int // to whoever may call it
		viewer, own, other int // to a viewer, to the partner about its own, to the partner about another's; 0: as answer
	}
	const operators, everybody = 403, 0
	table := map[string]row{
		"GET /v1/quarantine":                         {"/v1/quarantine", "", 200, everybody, 403, 403},
		"GET /v1/quarantine/{id}":                    {"/v1/quarantine/x", "", 404, operators, 403, 403},
		"POST /v1/quarantine/{id}/release":           {"/v1/quarantine/x/release", "", 404, operators, 403, 403},
		"POST /v1/quarantine/{id}/discard":           {"/v1/quarantine/x/discard", "", 404, operators, 403, 403},
		"POST /v1/quarantine/{id}/take-back":         {"/v1/quarantine/x/take-back", `{"reason":"r"}`, 404, operators, 403, 403},
		"GET /v1/sources":                            {"/v1/sources", "", 200, everybody, 403, 403},
		"POST /v1/sources/{name}/explain":            {"/v1/sources/sumsub-eu/explain", "{}", 409, operators, 403, 403},
		"GET /v1/quarantine/{id}/translation":        {"/v1/quarantine/x/translation", "", 404, operators, 403, 403},
		"GET /v1/questions":                          {"/v1/questions", "", 200, everybody, 403, 403},
		"POST /v1/questions/discard":                 {"/v1/questions/discard", `{"id":"a/b/c"}`, 404, operators, 403, 403},
		"GET /v1/questions/old":                      {"/v1/questions/old?source=jumio&older=1h", "", 200, everybody, 403, 403},
		"POST /v1/questions/discard-old":             {"/v1/questions/discard-old", `{"source":"jumio","older":"1h"}`, 200, operators, 403, 403},
		"GET /v1/audit":                              {"/v1/audit", "", 200, everybody, 403, 403},
		"GET /v1/audit/verify":                       {"/v1/audit/verify", "", 200, everybody, 403, 403},
		"POST /v1/backup":                            {"/v1/backup", "{}", 400, operators, 403, 403},
		"POST /v1/reload":                            {"/v1/reload", "{}", 409, operators, 403, 403},
		"GET /v1/compact":                            {"/v1/compact", "", 200, everybody, 403, 403},
		"POST /v1/compact":                           {"/v1/compact", `{"dry_run":true}`, 200, operators, 403, 403},
		"GET /v1/whoami":                             {"/v1/whoami", "", 200, everybody, 200, 200},
		"GET /v1/tokens":                             {"/v1/tokens", "", 200, operators, 403, 403},
		"POST /v1/tokens/{name}":                     {"/v1/tokens/new", `{"scope":"nothing"}`, 400, operators, 403, 403},
		"POST /v1/tokens/{name}/revoke":              {"/v1/tokens/otto/revoke", "", 409, operators, 403, 403},
		"GET /v1/subjects":                           {"/v1/subjects?partner=PARTNER", "", 200, everybody, 200, 403},
		"GET /v1/subjects/{partner}/{id}":            {"/v1/subjects/PARTNER/ann?livemode=true", "", 200, everybody, 403, 403},
		"GET /v1/subjects/{partner}/{id}/export":     {"/v1/subjects/PARTNER/ann/export?livemode=true", "", 200, operators, 403, 403},
		"POST /v1/subjects/{partner}/{id}/erase":     {"/v1/subjects/PARTNER/ann/erase?livemode=true", `{"because":"r","dry_run":true}`, 200, operators, 403, 403},
		"GET /v1/subjects/{partner}/{id}/erasure":    {"/v1/subjects/PARTNER/ann/erasure?livemode=true", "", 404, everybody, 403, 403},
		"POST /v1/subjects/{partner}/{id}/decisions": {"/v1/subjects/PARTNER/ann/decisions", "{}", 400, operators, 403, 403},
		"POST /v1/subjects/{partner}/{id}/rebuild":   {"/v1/subjects/PARTNER/ann/rebuild", `{"reason":"r"}`, 409, operators, 403, 403},
		"GET /v1/set-aside":                          {"/v1/set-aside", "", 200, everybody, 403, 403},
		"GET /v1/policies/{partner}":                 {"/v1/policies/PARTNER", "", 200, everybody, 403, 403},
		"POST /v1/policies/{partner}/apply":          {"/v1/policies/PARTNER/apply", "", 200, operators, 403, 403},
		"POST /v1/submissions":                       {"/v1/submissions", `{"partner":"PARTNER","subject":"bob","source":"sumsub-eu","provider_ref":"b-1"}`, 200, operators, 200, 403},
		"GET /v1/users/{id}/kyc":                     {"/v1/users/ann/kyc?livemode=true&partner=PARTNER", "", 200, everybody, 200, 403},
		"POST /v1/test_helpers/users/{id}/kyc":       {"/v1/test_helpers/users/bob/kyc?partner=PARTNER", `{"status":"pending"}`, 200, operators, 200, 403},
		"GET /v1/refs/conflicts":                     {"/v1/refs/conflicts", "", 200, everybody, 403, 403},
		"POST /v1/refs/settle":                       {"/v1/refs/settle", `{"source":"sumsub-eu","provider_ref":"nobodys","partner":"PARTNER","subject":"s","reason":"r"}`, 404, operators, 403, 403},
		"GET /v1/endpoints":                          {"/v1/endpoints", "", 200, everybody, 200, 200},
		"POST /v1/endpoints/{id}/resume":             {"/v1/endpoints/OF-PARTNER/resume", "", 200, operators, 200, 404},
		"POST /v1/endpoints/{id}/pause":              {"/v1/endpoints/strict/pause", "", 200, operators, 403, 403},
		"POST /v1/endpoints/{id}/ping":               {"/v1/endpoints/nobody/ping", "", 404, operators, 404, 404},
		"GET /v1/deliveries":                         {"/v1/deliveries?status=dead&endpoint=OF-PARTNER", "", 200, everybody, 200, 404},
		"GET /v1/deliveries/{id}":                    {"/v1/deliveries/evt_1@main", "", 404, operators, 404, 404},
		"GET /v1/deliveries/{id}/attempts":           {"/v1/deliveries/evt_1@main/attempts", "", 404, everybody, 404, 404},
		"POST /v1/deliveries/{id}/retry-now":         {"/v1/deliveries/evt_1@main/retry-now", "", 404, operators, 404, 404},
		"POST /v1/deliveries/{id}/skip":              {"/v1/deliveries/evt_1@main/skip", "", 404, operators, 403, 403},
		"POST /v1/deliveries/{id}/cancel":            {"/v1/deliveries/evt_1@main/cancel", `{"because":"r"}`, 404, operators, 403, 403},
		"POST /v1/endpoints/{id}/retry-now":          {"/v1/endpoints/main/retry-now", "", 200, operators, 403, 403},
		"GET /v1/search":                             {"/v1/search?q=ann", "", 200, everybody, 403, 403},
		"GET /v1/partners":                           {"/v1/partners", "", 200, everybody, 200, 200},
		"POST /v1/partners":                          {"/v1/partners", `{"id":"No"}`, 400, operators, 403, 403},
		"GET /v1/partners/{id}":                      {"/v1/partners/PARTNER", "", 200, everybody, 200, 404},
		"PATCH /v1/partners/{id}":                    {"/v1/partners/PARTNER", "{}", 409, operators, 403, 403},
		"DELETE /v1/partners/{id}":                   {"/v1/partners/PARTNER", "", 409, operators, 403, 403},
		"GET /v1/partners/{id}/endpoints":            {"/v1/partners/PARTNER/endpoints", "", 200, everybody, 200, 404},
		"POST /v1/partners/{id}/endpoints":           {"/v1/partners/PARTNER/endpoints", `{"id":"No"}`, 400, operators, 400, 404},
		"GET /v1/endpoints/{id}":                     {"/v1/endpoints/OF-PARTNER", "", 200, everybody, 200, 404},
		"PATCH /v1/endpoints/{id}":                   {"/v1/endpoints/OF-PARTNER", "{}", 409, operators, 409, 404},
		"DELETE /v1/endpoints/{id}":                  {"/v1/endpoints/OF-PARTNER", "", 409, operators, 409, 404},
		"GET /v1/endpoints/{id}/keys":                {"/v1/endpoints/OF-PARTNER/keys", "", 200, everybody, 200, 404},
		"POST /v1/endpoints/{id}/rotate":             {"/v1/endpoints/OF-PARTNER/rotate", "", 409, operators, 409, 404},
		"POST /v1/endpoints/{id}/keys/{key}/revoke":  {"/v1/endpoints/OF-PARTNER/keys/none/revoke", "", 409, operators, 409, 404},
		"POST /v1/endpoints/{id}/give-up":            {"/v1/endpoints/main/give-up", "{}", 409, operators, 403, 403},
		"GET /v1/replays":                            {"/v1/replays", "", 200, everybody, 403, 403},
		"POST /v1/replays":                           {"/v1/replays", `{"kind":"none"}`, 400, operators, 403, 403},
		"GET /v1/replays/{id}":                       {"/v1/replays/none", "", 404, everybody, 403, 403},
		"POST /v1/replays/{id}/pause":                {"/v1/replays/none/pause", "", 404, operators, 403, 403},
		"POST /v1/replays/{id}/resume":               {"/v1/replays/none/resume", "", 404, operators, 403, 403},
		"POST /v1/replays/{id}/cancel":               {"/v1/replays/none/cancel", "", 404, operators, 403, 403},
		"GET /v1/withheld":                           {"/v1/withheld", "", 200, everybody, 403, 403},
		"POST /v1/withheld/{id}/acknowledge":         {"/v1/withheld/evt_1@main/acknowledge", `{"reason":"r"}`, 404, operators, 403, 403},
		"POST /v1/deliveries/{id}/redeliver":         {"/v1/deliveries/evt_1@main/redeliver", "", 404, operators, 404, 404},
	}
	if n := len(g.server.routes()); n != len(table) {
		t.Errorf("%d routes, %d in the table", n, len(table))
	}
	for _, r := range g.server.routes() {
		c, ok := table[r.Pattern]
		if !ok {
			t.Errorf("%s is not in the table", r.Pattern)
			continue
		}
		f := func(who, authorization, partner string, want int) {
			t.Helper()
			method, _, _ := strings.Cut(r.Pattern, " ")
			var headers []string
			if authorization != "" {
				headers = []string{"Authorization", authorization}
			}
			path := strings.NewReplacer("OF-PARTNER", map[string]string{"acme": "main", "beta": "betas"}[partner], "PARTNER", partner).Replace(c.path)
			a := g.call("", method, path, strings.ReplaceAll(c.body, "PARTNER", partner), headers...)
			if want == 0 {
				want = c.answer
			}
			if a.code != want {
				t.Errorf("%s by %s: %d, want %d: %s", r.Pattern, who, a.code, want, a.body)
			}
			if want == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s by %s: WWW-Authenticate is %q", r.Pattern, who, a.header.Get("WWW-Authenticate"))
			}
		}
		digest := sha256.Sum256([]byte("secret-ada"))
		f("nobody", "", "acme", 401)
		f("somebody else", "Bearer secret-eve", "acme", 401)
		f("an empty token", "Bearer ", "acme", 401)
		f("the digest of a token", "Bearer "+hex.EncodeToString(digest[:]), "acme", 401)
		f("a token with a blank", "Bearer  secret-ada", "acme", 401)
		f("another scheme", "Basic secret-ada", "acme", 401)
		f("a bare token", "secret-ada", "acme", 401)
		f("an unknown scope", "Bearer secret-odd", "acme", 403)
		f("a partner, about its own", "Bearer secret-pia", "acme", c.own)
		f("a partner, about another's", "Bearer secret-pia", "beta", c.other)
		f("a viewer", "Bearer secret-vera", "acme", c.viewer)
		f("an operator", "Bearer secret-otto", "acme", map[bool]int{true: 403}[r.Scope == Admin])
		f("an admin", "Bearer secret-ada", "acme", 0)
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

// faulty is a quarantine whose disk fails.
type faulty struct{ err error }

func (f faulty) Items(string, int) ([]journal.ItemView, bool, error) { return nil, false, f.err }
func (f faulty) Unseal(string) (journal.Item, error)                 { return journal.Item{}, f.err }
func (f faulty) Drop(context.Context, string, journal.Intake) error  { return f.err }

// TestErrors holds the shape of errors.
func TestErrors(t *testing.T) {
	broken := errors.New("the disk is on fire")
	g := newRig(t, func(o *Options) {
		o.Quarantine = faulty{broken}
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
	f("vera", "GET /v1/deliveries?type=kyc.*.approved", "", 400, "invalid_request", "type", "type")
	f("vera", "GET /v1/deliveries?since=yesterday", "", 400, "invalid_request", "since", "since")
	f("vera", "GET /v1/deliveries?subject=ann", "", 400, "invalid_request", "partner", "partner")
	f("vera", "GET /v1/search", "", 400, "invalid_request", "q", "q")
	f("vera", "GET /v1/deliveries?status=owed", "", 400, "invalid_request", "status", "status")
	for _, limit := range []string{"0", "-1", "1001", "x", "1.5", "99999999999999999999"} {
		f("vera", "GET /v1/deliveries?status=dead&limit="+limit, "", 400, "invalid_request", "limit", "limit")
		f("vera", "GET /v1/quarantine?limit="+limit, "", 400, "invalid_request", "limit", "limit")
		f("vera", "GET /v1/audit?limit="+limit, "", 400, "invalid_request", "limit", "limit")
	}
	f("vera", "GET /v1/quarantine?kind=x", "", 400, "invalid_request", "kind", "kind")
	f("vera", "GET /v1/quarantine?kind=records&cursor=x", "", 400, "invalid_request", "cursor", "cursor")
	f("vera", "GET /v1/audit?cursor=x", "", 400, "invalid_request", "cursor", "cursor")
	f("vera", "GET /v1/users/bad/kyc", "", 400, "invalid_request", "partner", "partner")
	f("vera", "GET /v1/users/bad/kyc?partner=acme&livemode=true&format=x", "", 400, "invalid_request", "format", "format")
	f("vera", "GET /v1/users/nobody/kyc?partner=acme", "", 404, "not_found", "not_found", "")
	f("pia", "GET /v1/users/bad/kyc?partner=beta", "", 403, "authorization", "other_partner", "partner")
	for _, body := range []string{"", "[]", "{", `{"status":"approved"}{}`, `{"stattus":"approved"}`} {
		f("otto", "POST /v1/test_helpers/users/bob/kyc?partner=acme", body, 400, "invalid_request", "body", "body")
	}
	f("otto", "POST /v1/test_helpers/users/bob/kyc?partner=acme", `{"status":"applauded"}`, 400, "invalid_request", "status", "status")
	f("otto", "POST /v1/test_helpers/users/bob/kyc?partner=nobody", `{"status":"approved"}`, 404, "not_found", "not_found", "")
	decisions := "POST /v1/subjects/acme/bad/decisions?livemode=true"
	f("otto", decisions, `{"source":"sumsub-eu","check":"identity_verification","status":"approved"}`, 400, "invalid_request", "reason", "reason")
	f("otto", decisions, `{"source":"sumsub-eu","check":"identity","status":"approved","reason":"r"}`, 400, "invalid_request", "check", "check")
	f("otto", decisions, `{"check":"identity_verification","status":"approved","reason":"r"}`, 400, "invalid_request", "source", "source")
	f("otto", "POST /v1/subjects/acme/nobody/decisions", `{"source":"sumsub-eu","check":"identity_verification","status":"approved","reason":"r"}`, 404, "not_found", "not_found", "")
	f("otto", "POST /v1/submissions", `{"partner":"acme","subject":"s","source":"nosuch","provider_ref":"r"}`, 400, "invalid_request", "source", "source")
	f("otto", "POST /v1/submissions", `{"partner":"acme","subject":"s","source":"sumsub-eu"}`, 400, "invalid_request", "provider_ref", "provider_ref")
	f("otto", "POST /v1/policies/nobody/apply", "", 404, "not_found", "not_found", "")
	f("otto", "POST /v1/quarantine/unrouted_0000000000000009/release", `{"partner":"acme","subject":"s"}`, 404, "not_found", "not_found", "")
	f("otto", "POST /v1/quarantine/unrouted_0000000000000009/discard", "", 404, "not_found", "not_found", "")
	f("otto", "POST /v1/quarantine/unrouted_0000000000000009/take-back", `{}`, 400, "invalid_request", "reason", "reason")
	f("otto", "POST /v1/quarantine/unrouted_0000000000000009/take-back", `{"reason":"r"}`, 404, "not_found", "not_found", "")
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
	for _, force := range []string{"?force=false", "?force="} {
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
	byID := func(last, next map[string]any) bool { return last["id"].(string) < next["id"].(string) }
	ms := func(v map[string]any) int64 {
		at, err := time.Parse(time.RFC3339, v["ended_at"].(string))
		if err != nil {
			t.Error(err)
		}
		return at.UnixMilli()
	}
	newest := func(last, next map[string]any) bool { return ms(last) >= ms(next) }
	f := func(path string, limit, want int, ordered func(last, next map[string]any) bool) {
		t.Helper()
		cursor, pages := "", 0
		var last map[string]any
		seen := map[string]bool{}
		for more := true; more; pages++ {
			if pages > want {
				t.Fatalf("%s by %d: no end", path, limit)
			}
			a := g.call("vera", "GET", fmt.Sprint(path, "limit=", limit, "&cursor=", cursor), "")
			items := a.data(t)
			more, _ = a.json["has_more"].(bool)
			cursor, _ = a.json["next"].(string)
			if more != (cursor != "") {
				t.Fatalf("%s by %d: more is %v, and the cursor %q", path, limit, more, cursor)
			}
			if len(items) > limit || more && len(items) != limit || strings.Contains(a.body, "canary") {
				t.Fatalf("%s by %d: %s", path, limit, a.body)
			}
			for _, i := range items {
				id := i["id"].(string)
				if seen[id] || last != nil && !ordered(last, i) {
					t.Errorf("%s by %d: %s after %v", path, limit, id, last["id"])
				}
				seen[id], last = true, i
			}
		}
		if len(seen) != want || pages != (want+limit-1)/limit {
			t.Errorf("%s by %d: %d items on %d pages, want %d", path, limit, len(seen), pages, want)
		}
	}
	for _, limit := range []int{1, 2, 7, 1000} {
		f("/v1/deliveries?status=dead&", limit, 14, newest)
		f("/v1/deliveries?status=dead&endpoint=strict&", limit, 7, newest)
		f("/v1/quarantine?", limit, 7, byID)
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
	empty, err := registry.New(registry.Options{Store: g.store})
	if err != nil {
		t.Fatal(err)
	}
	nobody := dispatch.New(dispatch.Options{Registry: empty, Outbox: g.outbox, Logger: slog.New(slog.DiscardHandler)})
	if b, err := json.Marshal(nobody.Endpoints()); err != nil || string(b) != "[]" {
		t.Errorf("endpoints of nobody: %s, %v", b, err)
	}
}

func TestEndpointsAndResume(t *testing.T) {
	g := newRig(t)
	g.partner.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	g.tell("ann", 1, kyc.Rejected)
	eventually(t, "it is counted as dead-lettered", func() bool { return g.outbox.Dead("main") == 1 }) // a moment after it is pending no more
	a := g.call("vera", "GET", "/v1/endpoints", "")
	e := a.data(t)[0]
	if e["object"] != "endpoint" || e["id"] != "main" || e["partner"] != "acme" || e["format"] != "standard" || e["owed"] != 0.0 || e["dead"] != 1.0 || e["disabled"] == nil {
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
