package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// problemIn is the code and the param of an error.
func (a answer) problem() string {
	e, _ := a.json["error"].(map[string]any)
	if e == nil {
		return ""
	}
	if e["param"] != nil {
		return fmt.Sprint(e["code"], " ", e["param"])
	}
	return fmt.Sprint(e["code"])
}

// want fails unless a call was answered so, and with this problem.
func (a answer) want(t *testing.T, code int, problem string) answer {
	t.Helper()
	if a.code != code || a.problem() != problem {
		t.Errorf("%d %s, want %d and problem %q", a.code, a.body, code, problem)
	}
	return a
}

func ids(things []map[string]any) (all []string) {
	for _, v := range things {
		all = append(all, fmt.Sprint(v["id"]))
	}
	return all
}

// TestPartnersAndEndpoints walks from nothing to an endpoint and back.
func TestPartnersAndEndpoints(t *testing.T) {
	g := newRig(t)
	a := g.call("otto", "POST", "/v1/partners", `{"id":"gamma","policy":{"notice_days":9}}`).want(t, 200, "")
	if a.json["object"] != "partner" || a.json["from"] != "api" || a.json["version"] == 0.0 || a.header.Get("ETag") != fmt.Sprintf(`"v%v"`, a.json["version"]) || !strings.Contains(a.body, `"notice_days":9`) || !strings.Contains(a.body, `"validity_months":12`) {
		t.Errorf("made: %s", a.body)
	}
	a = g.call("otto", "POST", "/v1/partners/gamma/endpoints", `{"id":"g-main","url":"https://hooks.example.com/kyc?s3cr3t","headers":{"X-Env":"canary"},"filter":"change.terminal"}`).want(t, 200, "")
	key, _ := a.json["key"].(string)
	if !strings.HasPrefix(key, "whsec_") || a.json["timeout"] != "15s" || a.json["since"] != "always" || strings.Contains(a.body, "canary") || fmt.Sprint(a.json["headers"]) != "[X-Env]" {
		t.Errorf("made: %s", a.body)
	}
	tag := fmt.Sprintf(`"v%v"`, a.json["version"])
	shown := g.call("otto", "GET", "/v1/endpoints/g-main", "").want(t, 200, "")
	if strings.Contains(shown.body, "whsec") || strings.Contains(shown.body, "canary") || shown.json["url"] != "https://hooks.example.com/kyc?s3cr3t" || shown.header.Get("ETag") != tag || shown.json["disabled"] != nil {
		t.Errorf("shown: %s", shown.body)
	}
	if a := g.call("vera", "GET", "/v1/endpoints/g-main", ""); strings.Contains(a.body, "s3cr3t") || a.header.Get("ETag") != tag {
		t.Errorf("to a viewer: %s", a.body)
	}
	if a := g.call("vera", "GET", "/v1/partners/gamma", ""); fmt.Sprint(a.json["endpoints"]) != "[g-main]" {
		t.Errorf("partner: %s", a.body)
	}
	if a := g.call("vera", "GET", "/v1/partners/gamma/endpoints", ""); len(a.data(t)) != 1 || strings.Contains(a.body, "s3cr3t") {
		t.Errorf("endpoints: %s", a.body)
	}
	next := ""
	for _, want := range []string{"acme beta true", "gamma false"} {
		path := "/v1/partners?limit=2" + next
		a := g.call("vera", "GET", path, "")
		next = "&cursor=" + fmt.Sprint(a.json["next"])
		if got := strings.Join(append(ids(a.data(t)), fmt.Sprint(a.json["has_more"])), " "); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	a = g.call("otto", "PATCH", "/v1/endpoints/g-main", `{"concurrency":3,"events":null,"since":"2026-12-01T08:00:00Z","retry":{"attempts":2},"headers":{"x-env":null,"X-Two":"canary"}}`, "If-Match", `"v1", `+tag).want(t, 200, "")
	if a.json["concurrency"] != 3.0 || fmt.Sprint(a.json["events"]) != "[kyc.status.*]" || a.json["filter"] != "change.terminal" || fmt.Sprint(a.json["headers"]) != "[X-Two]" || !strings.Contains(a.body, `"first":"5s"`) || !strings.Contains(a.body, `"attempts":2`) || a.header.Get("ETag") == tag {
		t.Errorf("changed: %s", a.body)
	}
	g.call("otto", "PATCH", "/v1/partners/gamma", `{"max_submissions":5}`, "If-Match", "*").want(t, 200, "")
	if a := g.call("vera", "GET", "/v1/partners/gamma", ""); a.json["max_submissions"] != 5.0 || !strings.Contains(a.body, `"notice_days":9`) {
		t.Errorf("partner: %s", a.body)
	}
	a = g.call("otto", "DELETE", "/v1/endpoints/g-main?dry_run=true", "").want(t, 200, "")
	if a.json["dry_run"] != true || a.json["removed"] != false || !strings.Contains(a.body, `{"id":"g-main","pending":0,"dead_lettered":0,"withheld":0}`) {
		t.Errorf("dry: %s", a.body)
	}
	g.call("otto", "GET", "/v1/endpoints/g-main", "").want(t, 200, "")
	g.call("otto", "DELETE", "/v1/partners/gamma", "").want(t, 200, "")
	g.call("otto", "GET", "/v1/endpoints/g-main", "").want(t, 404, "not_found")
	g.call("otto", "GET", "/v1/partners/gamma", "").want(t, 404, "not_found")
	for _, text := range []string{"canary", "s3cr3t", "whsec"} {
		if strings.Contains(g.log.String(), text) || strings.Contains(g.call("ada", "GET", "/v1/audit?limit=1000", "").body, text) {
			t.Errorf("%s was logged, or is in the audit trail", text)
		}
	}
}

// TestEndpointErrors: each mistake names its field.
func TestEndpointErrors(t *testing.T) {
	g := newRig(t)
	g.call("otto", "POST", "/v1/partners/acme/endpoints", `{"id":"more","url":"https://hooks.example.com/"}`).want(t, 200, "")
	f := func(call, body string, code int, problem string) {
		t.Helper()
		method, path, _ := strings.Cut(call, " ")
		g.call("otto", method, path, body).want(t, code, problem)
	}
	f("POST /v1/partners", `{"id":"acme"}`, 409, "in_config")
	f("POST /v1/partners", `{"id":"A"}`, 400, "invalid_value id")
	f("POST /v1/partners", `{"id":"delta","policy":{"notice_days":0}}`, 400, "invalid_value policy.notice_days")
	f("POST /v1/partners", `{"id":"delta","policy":{"required":["nothing"]}}`, 400, "invalid_value policy")
	f("POST /v1/partners", `{"id":"delta","name":"x"}`, 400, "body body")
	f("PATCH /v1/partners/acme", `{}`, 409, "in_config")
	f("DELETE /v1/partners/acme", ``, 409, "in_config")
	f("DELETE /v1/partners/acme?dry_run=true", ``, 409, "in_config")
	f("DELETE /v1/partners/nobody?dry_run=yes", ``, 400, "dry_run dry_run")
	f("PATCH /v1/endpoints/main", `{}`, 409, "in_config")
	f("DELETE /v1/endpoints/main", ``, 409, "in_config")
	f("DELETE /v1/endpoints/nobody", ``, 404, "not_found")
	f("POST /v1/partners/nobody/endpoints", `{}`, 404, "not_found")
	f("POST /v1/partners/acme/endpoints", `{"id":"main","url":"https://hooks.example.com/"}`, 409, "id_taken id")
	f("POST /v1/partners/acme/endpoints", `{"id":"x"}`, 400, "invalid_value url")
	f("PATCH /v1/endpoints/more", `{"id":"other"}`, 400, "id id")
	for field, body := range map[string]string{
		"url": `{"url":"http://169.254.169.254/latest"}`, "events[0]": `{"events":["kyc.nothing"]}`, "events": `{"events":[]}`, "filter": `{"filter":"change.nosuch == 1"}`,
		"format": `{"format":"nothing"}`, "concurrency": `{"concurrency":0}`, "timeout": `{"timeout":"1h"}`, "retry.max": `{"retry":{"max":"1s"}}`, "headers": `{"headers":{"Host":"x"}}`,
		"disable_after": `{"disable_after":"59m"}`, "max_owed": `{"max_owed":-1}`, "rate": `{"rate":-1}`,
	} {
		f("PATCH /v1/endpoints/more", body, 400, "invalid_value "+field)
	}
	f("PATCH /v1/endpoints/more", `{"timeout":"soon"}`, 400, "invalid_value timeout")
	f("PATCH /v1/endpoints/more", `{"disable_after":"-1ns"}`, 400, "invalid_value disable_after")
	f("PATCH /v1/endpoints/more", `{"since":"soon"}`, 400, "invalid_value since")
	f("PATCH /v1/endpoints/more", `{"headers":{"X-A":"1","x-a":"2"}}`, 400, "invalid_value headers")
	if a := g.call("otto", "PATCH", "/v1/endpoints/more", `{"filter":"change.status == \"x\" &&& 1"}`); !strings.Contains(a.body, "line 1, column") {
		t.Errorf("no position: %s", a.body)
	}
	if a := g.call("otto", "PATCH", "/v1/endpoints/main", `{}`); !strings.Contains(a.body, "it is in the config file: change it there") {
		t.Errorf("no remedy: %s", a.body)
	}
	g.call("otto", "PATCH", "/v1/endpoints/more", `{"concurrency":2}`, "If-Match", `"v700"`).want(t, 412, "changed_meanwhile If-Match")
	g.call("otto", "DELETE", "/v1/endpoints/more", "", "If-Match", `W/"v1"`).want(t, 412, "changed_meanwhile If-Match")
	declared := g.call("otto", "GET", "/v1/endpoints/main", "").header.Get("ETag")
	if again := g.call("vera", "GET", "/v1/endpoints/main", "").header.Get("ETag"); declared == "" || again != declared {
		t.Errorf("ETags of what is declared: %s, %s", declared, again)
	}
}

// TestPartnersSeeTheirOwn: on every route that partners may call, another's endpoint is answered as
// one that does not exist, and nothing of it changes.
func TestPartnersSeeTheirOwn(t *testing.T) {
	g := newRig(t)
	g.call("otto", "POST", "/v1/partners/beta/endpoints", `{"id":"b-main","url":"https://hooks.example.com/b"}`).want(t, 200, "")
	g.call("otto", "POST", "/v1/partners/beta/endpoints", `{"id":"b-gone","url":"https://hooks.example.com/b"}`).want(t, 200, "")
	g.call("otto", "DELETE", "/v1/endpoints/b-gone", "").want(t, 200, "")
	g.call("otto", "POST", "/v1/partners", `{"id":"gamma"}`).want(t, 200, "")
	g.tell("bad", 1, kyc.Rejected)
	dead := g.call("pia", "GET", "/v1/deliveries?status=dead_lettered", "").data(t)
	if len(dead) != 2 {
		t.Fatalf("%d dead deliveries of its own", len(dead))
	}
	delivery := url.PathEscape(dead[0]["id"].(string))
	before := g.call("ada", "GET", "/v1/endpoints/b-main", "").body
	tried := 0
	f := func(call, body, own, others, nobodys string) {
		t.Helper()
		method, path, _ := strings.Cut(call, " ")
		tried++
		at := func(token, id string) answer { return g.call(token, method, strings.ReplaceAll(path, "ID", id), body) }
		if a := at("pia", own); a.code != 200 {
			t.Errorf("%s, its own: %d %s", call, a.code, a.body)
		}
		other, none := at("pia", others), at("pia", nobodys)
		if other.code != 404 || none.code != 404 || strings.ReplaceAll(other.body, others, "X") != strings.ReplaceAll(none.body, nobodys, "X") {
			t.Errorf("%s: another's %d %s, and nobody's %d %s", call, other.code, other.body, none.code, none.body)
		}
	}
	g.call("pia", "POST", "/v1/partners/acme/endpoints", `{"id":"a-own","url":"https://hooks.example.com/a"}`).want(t, 200, "")
	f("GET /v1/partners/ID", "", "acme", "beta", "nobody")
	f("GET /v1/partners/ID", "", "acme", "gamma", "nobody")
	f("GET /v1/partners/ID/endpoints", "", "acme", "beta", "nobody")
	f("POST /v1/partners/ID/endpoints", `{"id":"a-two","url":"https://hooks.example.com/a"}`, "acme", "beta", "nobody")
	f("GET /v1/endpoints/ID", "", "main", "b-main", "nobody")
	f("PATCH /v1/endpoints/ID", `{"concurrency":2}`, "a-own", "b-main", "nobody")
	f("POST /v1/endpoints/ID/resume", "", "main", "b-main", "nobody")
	f("POST /v1/endpoints/ID/ping", "", "strict", "b-main", "nobody")
	f("GET /v1/deliveries?status=dead_lettered&endpoint=ID", "", "main", "b-main", "nobody")
	f("GET /v1/deliveries?status=dead_lettered&endpoint=ID", "", "main", "b-gone", "nobody")
	f("DELETE /v1/endpoints/ID?dry_run=true", "", "a-own", "b-main", "nobody")
	f("DELETE /v1/endpoints/ID", "", "a-own", "b-main", "nobody")
	f("GET /v1/users/ID/kyc?livemode=true", "", "bad", "nobody-1", "nobody-2")
	if a := g.call("bea", "POST", "/v1/deliveries/"+delivery+"/redeliver", ""); a.code != 404 || strings.Contains(a.body, "overtaken") {
		t.Errorf("another's delivery: %d %s", a.code, a.body)
	}
	g.partner.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	g.call("pia", "POST", "/v1/deliveries/"+delivery+"/redeliver", "").want(t, 200, "")
	if a := g.call("bea", "GET", "/v1/deliveries?status=dead_lettered", ""); len(a.data(t)) != 0 {
		t.Errorf("deliveries of another: %s", a.body)
	}
	for token, want := range map[string]string{"pia": "a-two main strict", "bea": "b-main"} {
		all := slices.DeleteFunc(g.call(token, "GET", "/v1/endpoints", "").data(t), func(e map[string]any) bool { return e["orphaned"] != nil })
		if got := strings.Join(ids(all), " "); got != want {
			t.Errorf("%s sees %s", token, got)
		}
	}
	if ps := g.call("pia", "GET", "/v1/partners", "").data(t); len(ps) != 1 || ps[0]["id"] != "acme" {
		t.Errorf("partners: %v", ps)
	}
	if after := g.call("ada", "GET", "/v1/endpoints/b-main", "").body; after != before || tried != 13 {
		t.Errorf("it was %s, and is %s", before, after)
	}
	g.call("otto", "POST", "/v1/endpoints/strict/pause", "").want(t, 200, "")
	g.call("pia", "POST", "/v1/endpoints/strict/resume", "").want(t, 409, "paused") // by whoever runs the gateway
	g.call("pia", "POST", "/v1/partners/acme/endpoints", `{"id":"b-gone","url":"https://hooks.example.com/a"}`).want(t, 409, "id_taken id")
	g.call("pia", "POST", "/v1/partners/acme/endpoints", `{"id":"a-big","url":"https://hooks.example.com/a","concurrency":65}`).want(t, 400, "concurrency concurrency")
	g.call("otto", "PATCH", "/v1/endpoints/a-two", `{"concurrency":100}`).want(t, 200, "")
	g.call("pia", "PATCH", "/v1/endpoints/a-two", `{"timeout":"5s"}`).want(t, 200, "") // what an operator gave stays
	g.call("pia", "PATCH", "/v1/endpoints/a-two", `{"concurrency":101}`).want(t, 400, "concurrency concurrency")
}

// TestPublicOnly: what egress.allow excepts is for whoever runs the gateway to give away: a
// partner's own token reaches none of it.
func TestPublicOnly(t *testing.T) {
	g := newRig(t)
	g.call("pia", "POST", "/v1/partners/acme/endpoints", `{"id":"own","url":"https://hooks.example.com/a"}`).want(t, 200, "")
	public := func(want bool) {
		t.Helper()
		if e := g.registry.Read().Endpoint("own"); e.Public != want {
			t.Errorf("public only: %v", e.Public)
		}
	}
	public(true)
	g.call("otto", "PATCH", "/v1/endpoints/own", `{"timeout":"5s"}`).want(t, 200, "")
	public(true)
	g.call("otto", "PATCH", "/v1/endpoints/own", `{"url":"https://hooks.example.com/a"}`).want(t, 200, "")
	public(false)
	g.call("pia", "PATCH", "/v1/endpoints/own", `{"timeout":"6s"}`).want(t, 200, "")
	public(false)
	g.call("pia", "PATCH", "/v1/endpoints/own", `{"url":"https://hooks.example.com/b"}`).want(t, 200, "")
	public(true)
}

// TestChangesAreBounded: each change of a partner's own token stays in the file for good, so there
// are only so many.
func TestChangesAreBounded(t *testing.T) {
	now := time.Now()
	g := newRig(t, func(o *Options) { o.Now = func() time.Time { return now } })
	g.call("pia", "POST", "/v1/partners/acme/endpoints", `{"id":"own","url":"https://hooks.example.com/a"}`).want(t, 200, "")
	for i := range changeBurst - 1 {
		g.call("pia", "PATCH", "/v1/endpoints/own", fmt.Sprintf(`{"concurrency":%d}`, 1+i%2)).want(t, 200, "")
	}
	g.call("pia", "PATCH", "/v1/endpoints/own", `{"concurrency":9}`).want(t, 429, "too_many")
	g.call("otto", "PATCH", "/v1/endpoints/own", `{"concurrency":9}`).want(t, 200, "")
}

// TestIdempotencyKey: a call that is sent again with its key is answered the same and does nothing
// again, after a restart of the registry too; another with that key is refused.
func TestIdempotencyKey(t *testing.T) {
	var clock struct {
		sync.Mutex
		ahead time.Duration
	}
	g := newRig(t, func(o *Options) {
		o.Now = func() time.Time {
			clock.Lock()
			defer clock.Unlock()
			return time.Now().Add(clock.ahead)
		}
	})
	path, body := "/v1/partners/acme/endpoints", `{"id":"one","url":"https://hooks.example.com/a"}`
	first := g.call("otto", "POST", path, body, "Idempotency-Key", "k1").want(t, 200, "")
	second := g.call("otto", "POST", path, body, "Idempotency-Key", "k1").want(t, 200, "")
	if first.json["key"] == nil || first.json["key"] != second.json["key"] || first.json["version"] != second.json["version"] || second.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%s, and then %s", first.body, second.body)
	}
	g.call("otto", "POST", path, body).want(t, 409, "id_taken id")
	g.call("otto", "POST", path, body, "Idempotency-Key", "k2").want(t, 409, "id_taken id")
	g.call("otto", "POST", path, `{"id":"two","url":"https://hooks.example.com/a"}`, "Idempotency-Key", "k2").want(t, 200, "") // what was refused has used nothing
	g.call("otto", "POST", path, `{"id":"three","url":"https://hooks.example.com/a"}`, "Idempotency-Key", "k1").want(t, 409, "idempotency_key_used Idempotency-Key")
	g.call("otto", "POST", "/v1/partners", `{"id":"gamma"}`, "Idempotency-Key", "k1").want(t, 409, "idempotency_key_used Idempotency-Key")
	g.call("ada", "POST", "/v1/partners", `{"id":"gamma"}`, "Idempotency-Key", "k1").want(t, 200, "") // another token's key
	if a := g.call("ada", "POST", "/v1/partners", `{"id":"gamma"}`, "Idempotency-Key", "k1").want(t, 200, ""); a.json["id"] != "gamma" {
		t.Errorf("again: %s", a.body)
	}
	clock.Lock()
	clock.ahead = 2 * time.Hour
	clock.Unlock()
	if late := g.call("otto", "POST", path, body, "Idempotency-Key", "k1").want(t, 200, ""); late.json["key"] != nil || late.json["id"] != "one" {
		t.Errorf("after two hours: %s", late.body)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	keys, refused := map[string]int{}, 0
	for range 8 {
		wg.Go(func() {
			a := g.call("otto", "POST", path, `{"id":"four","url":"https://hooks.example.com/a"}`, "Idempotency-Key", "k4")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.code == 200:
				keys[fmt.Sprint(a.json["key"])]++
			case a.code == 409 && a.problem() == "idempotency_key_in_use Idempotency-Key":
				refused++
			default:
				t.Errorf("at once: %d %s", a.code, a.body)
			}
		})
	}
	wg.Wait()
	if len(keys) != 1 {
		t.Errorf("%d keys were made at once, %d refused", len(keys), refused)
	}
	n := 0
	err := g.store.View(func(tx *store.Tx) error {
		vs, err := registry.Versions(tx)
		for _, v := range vs {
			if b, err := json.Marshal(v); err != nil || strings.Contains(string(b), "whsec") {
				t.Errorf("%s, %v", b, err)
			}
			if !v.Declared && (v.Partner != nil || v.Endpoint != nil) {
				n++
			}
		}
		return err
	})
	if err != nil || n != 4 {
		t.Errorf("%d partners and endpoints were made, %v", n, err)
	}
}

// TestTokenOnce: the same for a token that is made.
func TestTokenOnce(t *testing.T) {
	g := newRig(t)
	path, body := "/v1/tokens/vera-2", `{"scope":"viewer"}`
	first := g.call("ada", "POST", path, body, "Idempotency-Key", "k1").want(t, 200, "")
	second := g.call("ada", "POST", path, body, "Idempotency-Key", "k1").want(t, 200, "")
	if first.json["token"] == nil || first.json["token"] != second.json["token"] || g.made.Load() != 1 {
		t.Errorf("%s, and then %s", first.body, second.body)
	}
	g.call("ada", "POST", path, `{"scope":"admin"}`, "Idempotency-Key", "k1").want(t, 409, "idempotency_key_used Idempotency-Key")
	g.call("ada", "POST", path, body, "Idempotency-Key", "k2").want(t, 409, "name_taken name")
}

// TestTags: every answer about one thing says which state of it is shown, and another state has
// another.
func TestTags(t *testing.T) {
	g := newRig(t)
	g.tell("ann", 1, kyc.Approved)
	tag := func(path string) string {
		t.Helper()
		tag := g.call("vera", "GET", path, "").want(t, 200, "").header.Get("ETag")
		if tag == "" || tag != g.call("vera", "GET", path, "").header.Get("ETag") {
			t.Errorf("%s: ETag %s", path, tag)
		}
		return tag
	}
	before := tag("/v1/users/ann/kyc?partner=acme&livemode=true")
	tag("/v1/subjects/acme/ann?livemode=true")
	tag("/v1/partners/acme")
	tag("/v1/policies/acme")
	g.tell("ann", 2, kyc.Rejected)
	if after := tag("/v1/users/ann/kyc?partner=acme&livemode=true"); after == before {
		t.Error("another state has the same tag")
	}
	if a := g.call("vera", "GET", "/v1/partners", ""); a.header.Get("ETag") != "" {
		t.Error("a list has a tag")
	}
}

// TestPartnerTokenOfMadePartner: a token may be made for a partner that was made here.
func TestPartnerTokenOfMadePartner(t *testing.T) {
	g := newRig(t)
	g.call("ada", "POST", "/v1/tokens/gamma-1", `{"scope":"partner","partner":"gamma"}`).want(t, 400, "partner partner")
	g.call("otto", "POST", "/v1/partners", `{"id":"gamma"}`).want(t, 200, "")
	a := g.call("ada", "POST", "/v1/tokens/gamma-1", `{"scope":"partner","partner":"gamma"}`).want(t, 200, "")
	token := strings.TrimPrefix(fmt.Sprint(a.json["token"]), "secret-")
	if ps := g.call(token, "GET", "/v1/partners", "").data(t); len(ps) != 1 || ps[0]["id"] != "gamma" {
		t.Errorf("%v", ps)
	}
}
