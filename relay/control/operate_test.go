package control

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// folded waits until everything in the journal is folded.
func (g *rig) folded() {
	g.t.Helper()
	eventually(g.t, "everything is folded", func() bool { return g.journal.Backlog() == 0 })
	g.appended = g.relay.Position().Offset
	g.settled()
}

// status is what a poller reads, in our words.
func (g *rig) status(token, subject, more string) string {
	g.t.Helper()
	a := g.call(token, "GET", "/v1/users/"+subject+"/kyc?format=canonical"+more, "")
	return fmt.Sprint(a.code, " ", a.json["status"])
}

// TestSimulate is the sandbox: an outcome takes the whole way to the partner, and whoever polls
// sees it. In live mode there is no such call.
func TestSimulate(t *testing.T) {
	g := newRig(t)
	const call = "/v1/test_helpers/users/tess/kyc"
	f := func(status, canonical, blendfi string, keys ...string) {
		t.Helper()
		a := g.call("pia", "POST", call, fmt.Sprintf(`{"status": %q}`, status))
		if ids, _ := a.json["updates"].([]any); a.code != 200 || len(ids) != 1 {
			t.Fatalf("%s: %d %s", status, a.code, a.body)
		}
		if a.json["asked"] != status || a.json["status"] != canonical {
			t.Errorf("%s: %s", status, a.body)
		}
		if got := g.status("pia", "tess", ""); got != "200 "+canonical {
			t.Errorf("%s: %s", status, got)
		}
		poll := g.call("pia", "GET", "/v1/users/tess/kyc", "")
		if poll.json["status"] != blendfi || poll.json["user_id"] != "tess" {
			t.Errorf("%s: %s", status, poll.body)
		}
		for _, key := range keys {
			if poll.json[key] == nil {
				t.Errorf("%s: no %s in %s", status, key, poll.body)
			}
		}
		if len(poll.json) != 2+len(keys) {
			t.Errorf("%s: %s", status, poll.body)
		}
	}
	f("pending", "pending", "pending")
	f("approved", "approved", "approved", "approved_at", "expires_at")
	f("in_review", "in_review", "rejected", "rejected_at", "rejection_reason") // as the webhook after an approval says
	f("rejected", "rejected", "rejected", "rejected_at", "rejection_reason")
	f("approved", "approved", "approved", "approved_at", "expires_at")
	f("suspended", "suspended", "rejected", "rejected_at", "rejection_reason")
	f("approved", "approved", "approved", "approved_at", "expires_at") // whatever stood
	f("expired", "expired", "expired", "approved_at", "expires_at")
	f("not_started", "not_started", "not_started")

	one := g.call("otto", "POST", "/v1/test_helpers/users/uma/kyc?partner=acme", `{"status":"approved"}`, "Idempotency-Key", "k").json["updates"]
	two := g.call("otto", "POST", "/v1/test_helpers/users/uma/kyc?partner=acme", `{"status":"approved"}`, "Idempotency-Key", "k").json["updates"]
	if fmt.Sprint(one) != fmt.Sprint(two) || fmt.Sprint(one) == "<nil>" {
		t.Errorf("the same key gave %v and %v", one, two)
	}
	g.folded()
	if got := g.status("vera", "uma", "&partner=acme&livemode=true"); got != "404 <nil>" {
		t.Errorf("test and live share a state: %s", got)
	}

	live := newRig(t, func(o *Options) { o.Livemode = true })
	if a := live.call("ada", "POST", call+"?partner=acme", `{"status":"approved"}`); a.code != 404 {
		t.Errorf("in live mode: %d %s", a.code, a.body)
	}
}

// TestDecide: an operator's word counts, and the trail says whose it was.
func TestDecide(t *testing.T) {
	g := newRig(t)
	g.tell("dora", 1, kyc.Rejected)
	const call, query = "/v1/subjects/acme/dora/decisions", "?livemode=true"
	body := `{"source":"sumsub-eu","check":"identity_verification","status":"approved","reason":"seen in person"}`
	a := g.call("otto", "POST", call+query, body, "Idempotency-Key", "once")
	again := g.call("otto", "POST", call+query, body, "Idempotency-Key", "once")
	if a.code != 200 || a.json["object"] != "decision" || a.json["id"] != again.json["id"] {
		t.Fatalf("%d %s, again %s", a.code, a.body, again.body)
	}
	g.folded()
	if got := g.status("vera", "dora", "&partner=acme&livemode=true"); got != "200 approved" {
		t.Errorf("after the decision: %s", got)
	}
	if s := g.call("vera", "GET", "/v1/subjects/acme/dora"+query, "").body; !strings.Contains(s, "seen in person") || !strings.Contains(s, `"actor":"otto"`) {
		t.Errorf("the history does not say who decided and why: %s", s)
	}
	trail := g.call("vera", "GET", "/v1/audit", "").data(t)
	if len(trail) != 2 || trail[0]["actor"] != "otto" || trail[0]["path"] != "/v1/subjects/acme/"+g.registry.PersonDigest("acme", "dora")+"/decisions" || trail[0]["ok"] != true || trail[0]["id"] == trail[1]["id"] {
		t.Errorf("%v", trail)
	}
	first := g.call("vera", "GET", "/v1/audit?limit=1", "")
	if next := g.call("vera", "GET", "/v1/audit?limit=1&cursor="+first.json["next"].(string), "").data(t); len(next) != 1 || next[0]["id"] != trail[1]["id"] {
		t.Errorf("%v", next)
	}
	g.call("otto", "POST", call+query, `{}`) // refused, and still in the trail
	if trail = g.call("vera", "GET", "/v1/audit", "").data(t); len(trail) != 3 || trail[0]["ok"] != false || trail[0]["error"] == "" {
		t.Errorf("%v", trail)
	}
}

// TestDecideAnswers: what would come of a decision, and what came of it; a release of nothing says
// so; a key is one decision.
func TestDecideAnswers(t *testing.T) {
	g := newRig(t)
	g.tell("dora", 1, kyc.Rejected)
	const call = "/v1/subjects/acme/dora/decisions?livemode=true"
	f := func(what, body string, code int, want string, headers ...string) map[string]any {
		t.Helper()
		a := g.call("otto", "POST", call, body, headers...)
		e, _ := a.json["error"].(map[string]any)
		got := fmt.Sprint(a.json["dry_run"], " ", a.json["evaluated"], " ", a.json["before"], ">", a.json["after"], " lifts ", a.json["lifts"], " released ", a.json["released"])
		if code != 200 {
			got = fmt.Sprint(e["code"], " ", e["param"])
		}
		if a.code != code || got != want {
			t.Errorf("%s: %d %s\nwant %d %s\n%s", what, a.code, got, code, want, a.body)
		}
		return a.json
	}
	const check = `"source":"sumsub-eu","check":"identity_verification","reason":"r"`
	dry := f("foreseen", `{"dry_run":true,"status":"approved",`+check+`}`, 200, "true false rejected>approved lifts 0 released <nil>")
	if g.call("vera", "GET", "/v1/audit", "").data(t) != nil || g.status("vera", "dora", "&partner=acme&livemode=true") != "200 rejected" {
		t.Error("what was only foreseen has left a trace")
	}
	f("foreseen, of a release", `{"dry_run":true,"release":true,`+check+`}`, 200, "true false rejected>not_started lifts 1 released true")
	first := f("made", `{"status":"approved",`+check+`}`, 200, "false true rejected>approved lifts 0 released <nil>", "Idempotency-Key", "k")
	if fmt.Sprint(first["changes"]) != fmt.Sprint(dry["changes"]) || !strings.Contains(fmt.Sprint(first["changes"]), "main strict") {
		t.Errorf("foreseen %v, came %v", dry["changes"], first["changes"])
	}
	again := f("made again", ` {"status":"approved", `+check+`, "dry_run":false}`, 200, "false true rejected>approved lifts 0 released <nil>", "Idempotency-Key", "k")
	if fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("first %v, again %v", first, again)
	}
	f("another under its key", `{"status":"suspended",`+check+`}`, 409, "idempotency_key_used Idempotency-Key", "Idempotency-Key", "k")
	f("a release of nothing", `{"release":true,`+check+`}`, 200, "false true approved>approved lifts 0 released false")
	f("no such source", `{"status":"suspended","source":"nosuch","check":"identity_verification","reason":"r"}`, 400, "source source")
	f("no such check", `{"status":"suspended","source":"sumsub-eu","check":"screening","reason":"r"}`, 404, "not_found <nil>")
	f("a reserved source", `{"status":"suspended","source":"manual","check":"screening","reason":"r"}`, 400, "source source")
	f("a source and none", `{"status":"suspended","source":"sumsub-eu","manual":true,"check":"screening","reason":"r"}`, 400, "source source")
	f("nobody's", `{"status":"suspended","manual":true,"check":"screening","reason":"r"}`, 200, "false true approved>suspended lifts 0 released <nil>")
	f("nobody's, released", `{"release":true,"manual":true,"check":"screening","reason":"r"}`, 200, "false true suspended>approved lifts 1 released true")

	// Outcomes that are driven take a key as well.
	const drive = "/v1/test_helpers/users/tess/kyc"
	one := g.call("pia", "POST", drive, `{"status":"approved"}`, "Idempotency-Key", "k").body
	g.call("pia", "POST", drive, `{"status":"pending"}`)
	if two := g.call("pia", "POST", drive, `{"status":"approved"}`, "Idempotency-Key", "k").body; one != two {
		t.Errorf("first %s, again %s", one, two)
	}
	for _, body := range []string{`{"status":"rejected"}`, `{"status":"approved","kind":"company"}`} {
		if a := g.call("pia", "POST", drive, body, "Idempotency-Key", "k"); a.code != 409 || !strings.Contains(a.body, "idempotency_key_used") {
			t.Errorf("%s under its key: %d %s", body, a.code, a.body)
		}
	}
	if got := g.status("pia", "tess", ""); got != "200 pending" {
		t.Errorf("in the end: %s", got)
	}
}

// TestAuditOutlivesTheCall: who orders something and hangs up stands in the trail all the same.
func TestAuditOutlivesTheCall(t *testing.T) {
	g := newRig(t)
	ctx, hangUp := context.WithCancel(context.Background())
	hangUp()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/endpoints/main/resume", nil)
	req, c := g.server.noting(req, Route{Pattern: "POST /v1/endpoints/{id}/resume", Scope: Operator}, Token{Name: "otto", Scope: Operator})
	if err := g.server.record(req, c, nil, nil); err != nil {
		t.Error(err)
	}
	if trail := g.call("vera", "GET", "/v1/audit", "").data(t); len(trail) != 1 || trail[0]["actor"] != "otto" {
		t.Errorf("%v", trail)
	}
}

// TestSubmit: what nobody was known for finds its person once a partner has said whose it is.
func TestSubmit(t *testing.T) {
	g := newRig(t)
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	u := kyc.Update{
		SchemaVersion: 1, ID: "held-1", Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Subject: kyc.Subject{ProviderRef: "app-1"}, Scope: kyc.Overall,
		Check: kyc.IdentityVerification, Status: kyc.Approved, Authenticity: kyc.Signed, OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at,
	}
	if err := g.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: at, Body: u.AppendJSON(nil)}); err != nil {
		t.Fatal(err)
	}
	g.folded()
	held := g.call("vera", "GET", "/v1/quarantine?kind=records", "").data(t)
	if len(held) != 1 || held[0]["reason"] != "unrouted" || held[0]["provider_ref"] != "app-1" || g.relay.Unrouted() != 1 {
		t.Fatalf("%v", held)
	}
	if a := g.call("pia", "POST", "/v1/submissions", `{"subject":"sue","source":"sumsub-eu","provider_ref":"app-1"}`); a.code != 200 || a.json["partner"] != "acme" {
		t.Fatalf("%d %s", a.code, a.body)
	}
	g.folded()
	if got := g.status("pia", "sue", ""); got != "200 approved" || g.relay.Unrouted() != 0 {
		t.Errorf("%s, %d held", got, g.relay.Unrouted())
	}
	if a := g.call("pia", "POST", "/v1/submissions", `{"subject":"tom","source":"sumsub-eu","provider_ref":"app-1"}`); a.code != 409 {
		t.Errorf("somebody else's ref: %d %s", a.code, a.body)
	}
}

// TestQuarantineDesk: a body is listed sealed, shown to operators only and on the record, released
// by translating it again, or discarded.
func TestQuarantineDesk(t *testing.T) {
	g := newRig(t)
	hold := func(id, body string) {
		t.Helper()
		item := journal.Item{ID: id, Source: "sumsub-eu", Provider: "sumsub", Reason: journal.Unreadable, Detail: "body is not json", At: time.Now(), Body: []byte(body)}
		if err := g.journal.Hold(context.Background(), item); err != nil {
			t.Fatal(err)
		}
	}
	hold("one", `{"a":"canary"}`)
	hold("two", "\xff\xfe")
	if a := g.call("vera", "GET", "/v1/quarantine", ""); len(a.data(t)) != 2 || strings.Contains(a.body, "canary") {
		t.Errorf("%s", a.body)
	}
	if a := g.call("otto", "GET", "/v1/quarantine/one", ""); a.code != 200 || a.json["text"] != `{"a":"canary"}` || a.json["reason"] != "unreadable" {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := g.call("otto", "GET", "/v1/quarantine/two", ""); a.json["body"] != "//4=" || a.json["text"] != nil {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := g.call("otto", "POST", "/v1/quarantine/one/release", ""); a.code != 409 || !strings.Contains(a.body, "still_unclear") || g.journal.Quarantined() != 2 {
		t.Errorf("%d %s", a.code, a.body)
	}
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	g.mu.Lock()
	g.again = []kyc.Update{{
		SchemaVersion: 1, ID: "u-1", Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Partner: "acme", Subject: kyc.Subject{ID: "quinn"}, Scope: kyc.Overall,
		Check: kyc.IdentityVerification, Status: kyc.Approved, Authenticity: kyc.Signed, OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at,
	}}
	g.mu.Unlock()
	if a := g.call("otto", "POST", "/v1/quarantine/one/release", ""); a.code != 200 || a.json["updates"] != 1.0 {
		t.Errorf("%d %s", a.code, a.body)
	}
	g.folded()
	if got := g.status("pia", "quinn", ""); got != "200 approved" {
		t.Errorf("released: %s", got)
	}
	for _, call := range []string{"release", "discard"} {
		if a := g.call("otto", "POST", "/v1/quarantine/one/"+call, ""); a.code != 404 {
			t.Errorf("%s what is gone: %d %s", call, a.code, a.body)
		}
	}
	if a := g.call("otto", "POST", "/v1/quarantine/two/discard", ""); a.code != 200 || g.journal.Quarantined() != 0 {
		t.Errorf("%d %s", a.code, a.body)
	}
	if trail := g.call("vera", "GET", "/v1/audit", ""); len(trail.data(t)) != 7 || strings.Contains(trail.body, "canary") {
		t.Errorf("%s", trail.body)
	}
}

// TestQuestionsDesk: what is open is listed, and closed by hand where nobody will answer.
func TestQuestionsDesk(t *testing.T) {
	g := newRig(t)
	u := kyc.Update{SchemaVersion: 1, ID: "f-1", Kind: kyc.FetchRequest, Source: "jumio", Partner: "acme"}
	q := journal.Question{Source: "jumio", What: "workflow", Ref: "account/execution", Claim: "f-1", Since: time.Now(), Due: time.Now()}
	if err := g.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: time.Now(), Body: u.AppendJSON(nil), Ask: []journal.Question{q}}); err != nil {
		t.Fatal(err)
	}
	open := g.call("vera", "GET", "/v1/questions", "").data(t)
	if len(open) != 1 || open[0]["id"] != "jumio/workflow/account/execution" || open[0]["claim"] != "f-1" {
		t.Fatalf("%v", open)
	}
	body := `{"id":"jumio/workflow/account/execution"}`
	if a := g.call("otto", "POST", "/v1/questions/discard", body); a.code != 200 || a.json["discarded"] != true {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := g.call("otto", "POST", "/v1/questions/discard", body); a.code != 404 || len(g.call("vera", "GET", "/v1/questions", "").data(t)) != 0 {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// TestOldQuestionsDesk: what a flood of forged callbacks has left is counted, and closed at once;
// what proved callbacks raised stays unless that is said.
func TestOldQuestionsDesk(t *testing.T) {
	g := newRig(t)
	raise := func(source, ref string, weak bool, age time.Duration) {
		t.Helper()
		u := kyc.Update{SchemaVersion: 1, ID: "f-" + source + ref, Kind: kyc.FetchRequest, Source: source, Partner: "acme"}
		at := time.Now().Add(-age)
		q := journal.Question{Source: source, What: "workflow", Ref: ref, Claim: u.ID, Since: at, Due: at, Weak: weak}
		if err := g.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: at, Body: u.AppendJSON(nil), Ask: []journal.Question{q}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1200 {
		raise("jumio", fmt.Sprint("forged-", i), true, 2*time.Hour)
	}
	raise("jumio", "fresh", true, time.Minute)
	raise("jumio", "proved", false, 2*time.Hour)
	raise("jumio-2", "other", true, 2*time.Hour)
	f := func(how, path, body string, want int) {
		t.Helper()
		if a := g.call("otto", how, path, body); a.code != 200 || a.json["count"] != float64(want) || a.json["discarded"] != (how == "POST") {
			t.Errorf("%s %s %s: %d %s, want %d", how, path, body, a.code, a.body, want)
		}
	}
	f("GET", "/v1/questions/old?source=jumio&older=1h", "", 1200)
	f("GET", "/v1/questions/old?source=jumio&older=1h&all=true", "", 1201)
	f("POST", "/v1/questions/discard-old", `{"source":"jumio","older":"1h"}`, 1200)
	f("POST", "/v1/questions/discard-old", `{"source":"jumio","older":"1h"}`, 0)
	if open := g.call("vera", "GET", "/v1/questions", "").data(t); len(open) != 3 {
		t.Errorf("%v", open)
	}
	f("POST", "/v1/questions/discard-old", `{"source":"jumio","older":"0s","all":true}`, 2)
	for _, body := range []string{`{"older":"1h"}`, `{"source":"jumio"}`, `{"source":"jumio","older":"-1h"}`, `{"source":"jumio","older":"old"}`} {
		if a := g.call("otto", "POST", "/v1/questions/discard-old", body); a.code != 400 {
			t.Errorf("%s: %d %s", body, a.code, a.body)
		}
	}
}

// TestUnroutedDesk: a record that waits for its subject is given one, or put down.
func TestUnroutedDesk(t *testing.T) {
	g := newRig(t)
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for i, ref := range []string{"app-1", "app-2"} {
		u := kyc.Update{
			SchemaVersion: 1, ID: fmt.Sprint("held-", i), Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Subject: kyc.Subject{ProviderRef: ref}, Scope: kyc.Overall,
			Check: kyc.IdentityVerification, Status: kyc.Approved, Authenticity: kyc.Signed, OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at,
		}
		if err := g.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: at, Body: u.AppendJSON(nil)}); err != nil {
			t.Fatal(err)
		}
	}
	g.folded()
	held := g.call("vera", "GET", "/v1/quarantine?kind=records", "").data(t)
	if len(held) != 2 {
		t.Fatalf("%v", held)
	}
	first, second := held[0]["id"].(string), held[1]["id"].(string)
	if a := g.call("otto", "POST", "/v1/quarantine/"+first+"/release", `{"partner":"acme","subject":"hal"}`); a.code != 200 {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := g.call("otto", "POST", "/v1/quarantine/"+second+"/discard", ""); a.code != 200 {
		t.Errorf("%d %s", a.code, a.body)
	}
	g.folded()
	if got := g.status("pia", "hal", ""); got != "200 approved" || g.relay.Unrouted() != 0 {
		t.Errorf("%s, %d held", got, g.relay.Unrouted())
	}
	a := g.call("otto", "POST", "/v1/quarantine/"+first+"/take-back", `{"reason":"it is hob's"}`)
	if a.code != 200 || a.json["taken_back"] != true || a.json["subject"] != "hal" || a.json["unrouted"] != 1.0 || a.json["before"] != "approved" || a.json["evaluated"] != true {
		t.Errorf("%d %s", a.code, a.body)
	}
	if got := g.status("pia", "hal", ""); got == "200 approved" || g.relay.Unrouted() != 1 {
		t.Errorf("taken back: %s, %d held", got, g.relay.Unrouted())
	}
	if s := g.call("vera", "GET", "/v1/subjects/acme/hal", "").body; !strings.Contains(s, "it is hob's") || !strings.Contains(s, `"taken_back":"`+a.json["order"].(string)) {
		t.Errorf("the history does not say what was taken back and why: %s", s)
	}
	if a := g.call("otto", "POST", "/v1/quarantine/"+second+"/take-back", `{"reason":"r"}`); a.code != 404 {
		t.Errorf("what was discarded: %d %s", a.code, a.body)
	}
}

// TestPolicies: the plan says what would move before anything does.
func TestPolicies(t *testing.T) {
	g := newRig(t)
	a := g.call("vera", "GET", "/v1/policies/acme", "")
	if a.code != 200 || a.json["object"] != "policy" || a.json["version"] != 1.0 || a.json["behind"] != 0.0 || a.json["applied"] != false {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := g.call("otto", "POST", "/v1/policies/acme/apply", ""); a.code != 200 || a.json["applied"] != true {
		t.Errorf("%d %s", a.code, a.body)
	}
}
