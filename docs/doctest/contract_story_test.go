package doctest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/outbox/store"
	contract "countersign/relay/control/api"
)

var update = flag.Bool("update", false, "write the examples of the API as they are answered")

// step is one example: which call it is of, what it shows, and what is sent.
type step struct {
	id, name string
	as       string // "": operator
	path     string // {x} is what the stage calls so
	ask      string
	status   int  // 0: 200
	soon     bool // what it needs has been ordered, and may be under way still
}

// story is every example, in the order in which they are sent: what one makes another needs.
var story = []step{
	{id: "listQuarantine", name: "bodies", as: "viewer", path: "/v1/quarantine"},
	{id: "listQuarantine", name: "records that wait for their subject", as: "viewer", path: "/v1/quarantine?kind=records"},
	{id: "listQuarantine", name: "no such kind", as: "viewer", path: "/v1/quarantine?kind=everything", status: 400},
	{id: "openBody", name: "a body that is no JSON", path: "/v1/quarantine/{body}"},
	{id: "openBody", name: "none of that id", path: "/v1/quarantine/nothing", status: 404},
	{id: "translateBody", name: "what a release would come to", path: "/v1/quarantine/{live}/translation"},
	{id: "translateBody", name: "a body that is understood no better", path: "/v1/quarantine/{body}/translation"},
	{id: "release", name: "a body that is understood no better", path: "/v1/quarantine/{body}/release", status: 409},
	{id: "release", name: "a live body, since its source is live", path: "/v1/quarantine/{live}/release"},
	{id: "release", name: "a record to its subject", path: "/v1/quarantine/{held}/release", ask: `{"partner":"acme","subject":"user-006"}`},
	{id: "takeBack", name: "a record of somebody else", path: "/v1/quarantine/{held}/take-back", ask: `{"reason":"it is user-007's, ticket 4711"}`, soon: true},
	{id: "discard", name: "a body", path: "/v1/quarantine/{body}/discard", ask: `{"reason":"the provider sent it again, ticket 4816"}`},
	{id: "discard", name: "a record", path: "/v1/quarantine/{second}/discard"},
	{id: "listSources", name: "the first", as: "viewer", path: "/v1/sources?limit=1"},
	{id: "explain", name: "one that is not signed", path: "/v1/sources/sumsub-eu/explain", ask: `{"headers":{"Content-Type":["application/json"]},"text":"{}"}`},
	{id: "explain", name: "of no source", path: "/v1/sources/nobody/explain", ask: `{"text":"{}"}`, status: 404},
	{id: "listQuestions", name: "what jumio has still to be asked", as: "viewer", path: "/v1/questions"},
	{id: "countOldQuestions", name: "of jumio", as: "viewer", path: "/v1/questions/old?source=jumio&older=0s&all=true"},
	{id: "discardQuestion", name: "one that nobody answers", path: "/v1/questions/discard", ask: `{"id":"{question}"}`},
	{id: "discardOldQuestions", name: "of jumio", path: "/v1/questions/discard-old", ask: `{"source":"jumio","older":"1h"}`},
	{id: "subject", name: "one that was approved", as: "viewer", path: "/v1/subjects/acme/user-001"},
	{id: "subject", name: "before anything was said", as: "viewer", path: "/v1/subjects/acme/user-001?at=2026-01-01T00:00:00Z"},
	{id: "exportSubject", name: "everything that is kept of one", path: "/v1/subjects/acme/user-001/export"},
	{id: "exportSubject", name: "nobody", path: "/v1/subjects/acme/nobody/export", status: 404},
	{id: "subject", name: "nobody", as: "viewer", path: "/v1/subjects/acme/nobody", status: 404},
	{
		id: "decide", name: "what would come of it", path: "/v1/subjects/acme/user-003/decisions",
		ask: `{"source":"sumsub-eu","check":"identity_verification","release":true,"reason":"a namesake, ticket 4812","dry_run":true}`,
	},
	{
		id: "decide", name: "a release", path: "/v1/subjects/acme/user-003/decisions",
		ask: `{"source":"sumsub-eu","check":"identity_verification","release":true,"reason":"a namesake, ticket 4812"}`,
	},
	{id: "decide", name: "without a reason", path: "/v1/subjects/acme/user-003/decisions", ask: `{"source":"sumsub-eu","check":"identity_verification","status":"approved"}`, status: 400},
	{id: "listSetAside", name: "somebody whose record is damaged", as: "viewer", path: "/v1/set-aside"},
	{id: "rebuild", name: "from the history", path: "/v1/subjects/acme/user-009/rebuild", ask: `{"reason":"a disk failed, ticket 4813"}`},
	{id: "rebuild", name: "one of whom nothing is damaged", path: "/v1/subjects/acme/user-001/rebuild", ask: `{"reason":"a disk failed, ticket 4813"}`, status: 409},
	{id: "policy", name: "whom it would move", as: "viewer", path: "/v1/policies/acme"},
	{id: "applyPolicy", name: "of acme", path: "/v1/policies/acme/apply"},
	{id: "user", name: "in BlendFi's shape", as: "partner", path: "/v1/users/user-001/kyc"},
	{id: "user", name: "in our own words", as: "partner", path: "/v1/users/user-001/kyc?format=canonical"},
	{id: "user", name: "another's", as: "partner", path: "/v1/users/user-001/kyc?partner=beta", status: 403},
	{id: "driveTest", name: "approved", as: "partner", path: "/v1/test_helpers/users/user-010/kyc", ask: `{"status":"approved"}`},
	{id: "submit", name: "whose applicant-88 is", as: "partner", path: "/v1/submissions", ask: `{"subject":"user-004","source":"sumsub-eu","provider_ref":"applicant-88"}`},
	{id: "submit", name: "one that another has", path: "/v1/submissions", ask: `{"partner":"acme","subject":"user-005","source":"sumsub-eu","provider_ref":"applicant-88"}`, status: 409, soon: true},
	{id: "listConflicts", name: "applicant-88", as: "viewer", path: "/v1/refs/conflicts"},
	{
		id: "settle", name: "whose it is", path: "/v1/refs/settle",
		ask: `{"source":"sumsub-eu","provider_ref":"applicant-88","partner":"acme","subject":"user-004","reason":"as the provider's dashboard shows, ticket 4812"}`,
	},
	{id: "listEndpoints", name: "to an operator", path: "/v1/endpoints"},
	{id: "listEndpoints", name: "to a viewer, page by page", as: "viewer", path: "/v1/endpoints?limit=1"},
	{id: "giveUp", name: "what would be given up", path: "/v1/endpoints/acme-old/give-up", ask: `{"dry_run":true}`},
	{id: "giveUp", name: "of one that is served", path: "/v1/endpoints/acme-main/give-up", ask: `{}`, status: 409},
	{id: "delivery", name: "a rejection that is owed to a disabled endpoint", path: "/v1/deliveries/{waits}"},
	{id: "delivery", name: "none of that id", path: "/v1/deliveries/evt_nothing@acme-main", status: 404},
	{id: "deliveryAttempts", name: "one that is dead, to a viewer", as: "viewer", path: "/v1/deliveries/{dead}/attempts"},
	{id: "retryNow", name: "at a disabled endpoint", path: "/v1/deliveries/{waits}/retry-now"},
	{id: "retryNow", name: "one that is dead", path: "/v1/deliveries/{dead}/retry-now", status: 409},
	{id: "skip", name: "one that is dead", path: "/v1/deliveries/{dead}/skip", status: 409},
	{id: "skip", name: "a rejection, which stays withheld", path: "/v1/deliveries/{waits}/skip"},
	{id: "cancel", name: "without a reason", path: "/v1/deliveries/{waits}/cancel", ask: `{}`, status: 400},
	{id: "cancel", name: "a rejection", path: "/v1/deliveries/{waits}/cancel", ask: `{"because":"a test person, ticket 4815"}`, status: 409},
	{id: "cancel", name: "a rejection, all the same", path: "/v1/deliveries/{waits}/cancel", ask: `{"because":"a test person, ticket 4815","force":true}`},
	{id: "retryAllNow", name: "of acme-main, which waits for nothing", path: "/v1/endpoints/acme-main/retry-now"},
	{id: "search", name: "a webhook-id", as: "viewer", path: "/v1/search?q={webhook}"},
	{id: "search", name: "a provider's ref", as: "viewer", path: "/v1/search?q=applicant-2"},
	{id: "search", name: "a subject", as: "viewer", path: "/v1/search?q=user-001"},
	{id: "resume", name: "one that had answered 410", path: "/v1/endpoints/acme-old/resume"},
	{id: "pause", name: "one that is moving", path: "/v1/endpoints/acme-old/pause"},
	{id: "ping", name: "one that is paused", path: "/v1/endpoints/acme-old/ping"},
	{id: "ping", name: "one that is not there", path: "/v1/endpoints/nobody/ping", status: 404},
	{id: "listKeys", name: "of the config", as: "viewer", path: "/v1/endpoints/acme-main/keys"},
	{id: "rotateKey", name: "a shared secret", path: "/v1/endpoints/beta-main/rotate", ask: `{"kind":"hmac","overlap":"48h"}`},
	{id: "rotateKey", name: "to an ed25519 key", path: "/v1/endpoints/beta-main/rotate", ask: `{"kind":"ed25519"}`},
	{id: "rotateKey", name: "one of the config", path: "/v1/endpoints/acme-main/rotate", ask: `{}`, status: 409},
	{id: "rotateKey", name: "of no kind there is", path: "/v1/endpoints/beta-main/rotate", ask: `{"kind":"rsa"}`, status: 400},
	{id: "listKeys", name: "that are kept", as: "viewer", path: "/v1/endpoints/beta-main/keys"},
	{id: "revokeKey", name: "one, and another in its place", path: "/v1/endpoints/beta-main/keys/{key}/revoke?replace=true"},
	{id: "revokeKey", name: "none that signs", path: "/v1/endpoints/beta-main/keys/key_0123456789abcdef/revoke", status: 404},
	{id: "listDeliveries", name: "what is dead at acme-main", as: "viewer", path: "/v1/deliveries?status=dead_lettered&endpoint=acme-main"},
	{id: "listDeliveries", name: "all of a person", as: "viewer", path: "/v1/deliveries?partner=acme&subject=user-002&type=kyc.status.*"},
	{id: "listWithheld", name: "what acme-main was not told", as: "viewer", path: "/v1/withheld?endpoint=acme-main"},
	{id: "acknowledge", name: "after a call to the partner", path: "/v1/withheld/{dead}/acknowledge", ask: `{"reason":"told by telephone, ticket 4814"}`},
	{id: "redeliver", name: "one that is dead", path: "/v1/deliveries/{dead}/redeliver"},
	{id: "redeliver", name: "none of that id", path: "/v1/deliveries/nothing@acme-main/redeliver", status: 404},
	{id: "createReplay", name: "what of the dead would be told", path: "/v1/replays", ask: `{"kind":"dead_lettered","endpoint":"acme-main","dry_run":true}`},
	{id: "createReplay", name: "a morning, again", path: "/v1/replays", ask: `{"kind":"range","endpoint":"acme-main","since":"2020-11-30T08:00:00Z","until":"2020-11-30T12:00:00Z","rate":50,"because":"lost by the partner, ticket 4815"}`},
	{id: "createReplay", name: "of a kind that there is not", path: "/v1/replays", ask: `{"kind":"all","endpoint":"acme-main"}`, status: 400},
	{id: "listReplays", name: "the newest", as: "viewer", path: "/v1/replays?limit=1"},
	{id: "replay", name: "how far it is", as: "viewer", path: "/v1/replays/{replay}"},
	{id: "pauseReplay", name: "one that is paused already", path: "/v1/replays/{slow}/pause"},
	{id: "resumeReplay", name: "the same", path: "/v1/replays/{slow}/resume"},
	{id: "cancelReplay", name: "the same", path: "/v1/replays/{slow}/cancel"},
	{id: "pauseReplay", name: "one that has ended", path: "/v1/replays/{replay}/pause", status: 409},
	{id: "resumeReplay", name: "none of that id", path: "/v1/replays/none/resume", status: 404},
	{id: "cancelReplay", name: "none of that id", path: "/v1/replays/none/cancel", status: 404},
	{id: "createPartner", name: "gamma", path: "/v1/partners", ask: `{"id":"gamma","policy":{"notice_days":14}}`},
	{id: "createPartner", name: "one of the config", path: "/v1/partners", ask: `{"id":"acme"}`, status: 409},
	{id: "updatePartner", name: "a longer notice", path: "/v1/partners/gamma", ask: `{"policy":{"notice_days":30}}`},
	{id: "updatePartner", name: "one of the config", path: "/v1/partners/acme", ask: `{"max_submissions":5}`, status: 409},
	{
		id: "createEndpoint", name: "with a filter", path: "/v1/partners/gamma/endpoints",
		ask: `{"id":"gamma-main","url":"https://gamma.example/kyc","filter":"change.status in [\"approved\", \"rejected\"]","disable_after":"12h","headers":{"X-Env":"prod"}}`,
	},
	{id: "createEndpoint", name: "of another partner", as: "partner", path: "/v1/partners/gamma/endpoints", ask: `{"id":"mine","url":"https://acme.example/mine"}`, status: 404},
	{id: "updateEndpoint", name: "fewer at once", path: "/v1/endpoints/gamma-main", ask: `{"concurrency":4,"retry":{"attempts":10}}`},
	{id: "updateEndpoint", name: "one of the config", path: "/v1/endpoints/acme-main", ask: `{"concurrency":4}`, status: 409},
	{id: "listPartners", name: "to a partner", as: "partner", path: "/v1/partners"},
	{id: "partner", name: "gamma", as: "viewer", path: "/v1/partners/gamma"},
	{id: "listEndpointsOf", name: "of gamma, to a viewer", as: "viewer", path: "/v1/partners/gamma/endpoints"},
	{id: "endpoint", name: "gamma's", path: "/v1/endpoints/gamma-main"},
	{id: "endpoint", name: "another's", as: "partner", path: "/v1/endpoints/gamma-main", status: 404},
	{id: "removeEndpoint", name: "what would stay owed", path: "/v1/endpoints/gamma-main?dry_run=true"},
	{id: "removePartner", name: "what would stay owed", path: "/v1/partners/gamma?dry_run=true"},
	{id: "makeToken", name: "for a dashboard", as: "admin", path: "/v1/tokens/dashboard", ask: `{"scope":"viewer","expires_at":"2099-01-01T00:00:00Z"}`},
	{id: "makeToken", name: "by an operator", path: "/v1/tokens/mine", ask: `{"scope":"admin"}`, status: 403},
	{id: "listSubjects", name: "of a partner, the first two", as: "viewer", path: "/v1/subjects?partner=acme&limit=2"},
	{id: "listSubjects", name: "a status that there is not", as: "viewer", path: "/v1/subjects?status=fine", status: 400},
	{id: "whoami", name: "an operator", path: "/v1/whoami"},
	{id: "whoami", name: "a partner", as: "partner", path: "/v1/whoami"},
	{id: "listTokens", name: "the first two", as: "admin", path: "/v1/tokens?limit=2"},
	{id: "revokeToken", name: "the dashboard's", as: "admin", path: "/v1/tokens/dashboard/revoke"},
	{id: "listAudit", name: "the newest two", as: "viewer", path: "/v1/audit?limit=2"},
	{id: "listAudit", name: "about a person", as: "viewer", path: "/v1/audit?subject=acme/ann&limit=1"},
	{id: "verifyAudit", name: "all of it", as: "viewer", path: "/v1/audit/verify"},
	{id: "verifyAudit", name: "with a head that is none", as: "viewer", path: "/v1/audit/verify?head=7", status: 400},
	{id: "reload", name: "what it would change", path: "/v1/reload", ask: `{"dry_run":true}`},
	{id: "reload", name: "of the same file", path: "/v1/reload", ask: `{}`},
	{id: "compaction", name: "before there was one", as: "viewer", path: "/v1/compact"},
	{id: "compact", name: "what it would come to", path: "/v1/compact", ask: `{"dry_run":true}`},
	{id: "backup", name: "into a file", path: "/v1/backup", ask: `{"path":"{dir}/backup.db"}`},
	{id: "backup", name: "where it cannot be", path: "/v1/backup", ask: `{"path":"/no/such/folder/backup.db"}`, status: 409},
	{id: "eraseSubject", name: "what would go", path: "/v1/subjects/acme/user-001/erase", ask: `{"because":"asked for by letter, ticket 4713","dry_run":true}`},
	{id: "eraseSubject", name: "a reason that names the person", path: "/v1/subjects/acme/user-001/erase", ask: `{"because":"user-001 asked for it"}`, status: 400},
	{id: "eraseSubject", name: "nobody", path: "/v1/subjects/acme/nobody/erase", ask: `{"because":"asked for by letter"}`, status: 404},
	{id: "eraseSubject", name: "for good", path: "/v1/subjects/acme/user-001/erase", ask: `{"because":"asked for by letter, ticket 4713"}`},
	{id: "erasure", name: "the file is rid of it", as: "viewer", path: "/v1/subjects/acme/user-001/erasure", soon: true},
	{id: "erasure", name: "who was never erased", as: "viewer", path: "/v1/subjects/acme/user-002/erasure", status: 404},
}

// folder stands in the examples for the one that a test works in.
const folder = "/srv/backups"

// stage brings about what the story is about, and says how what it needs is called.
func (g *running) stage() *strings.Replacer {
	g.t.Helper()
	g.say("sumsub-eu", g.sumsub("approved", "user-001", "applicant-1", 1))
	g.lists("/v1/deliveries?status=dead_lettered&endpoint=acme-old", 1) // from here on it is disabled
	g.say("sumsub-eu", g.sumsub("rejected_final", "user-002", "applicant-2", 2))
	g.say("sumsub-eu", g.sumsub("rejected_sanctions", "user-003", "applicant-3", 3))
	g.say("sumsub-eu", []byte(`{"applicantId":"applicant-5","type":"applicantReviewed"`))
	g.say("sumsub-us", g.sumsub("approved", "user-008", "applicant-8", 8, "live", "live"))
	for i, ref := range []string{"applicant-6", "applicant-7", "applicant-10"} {
		g.say("sumsub-eu", g.sumsub("approved", "none", ref, 10+i, `"externalUserId":"none",`, ""))
	}
	processed, err := provider.Sample("jumio", "processed", provider.SampleVars{Subject: "user-011", ProviderRef: "account-11", SessionRef: "workflow-11", At: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)})
	if err != nil {
		g.t.Fatal(err)
	}
	g.post("jumio/a-path-token-of-some-length", processed)
	g.say("sumsub-eu", g.sumsub("approved", "user-009", "applicant-9", 9))
	g.lists("/v1/deliveries?status=dead_lettered&endpoint=acme-main", 1)
	g.until("user-009 is approved", func() bool {
		return strings.Contains(g.call(request{as: "admin", method: "GET", path: "/v1/users/user-009/kyc?partner=acme"}).body, "approved")
	})
	g.stop()
	g.damage(store.Subjects, "acme/user-009\x01t")
	g.write("countersign.yaml", g.config(", livemode: true"))
	g.start()

	g.call(request{as: "operator", method: "POST", path: "/v1/replays", ask: `{"kind":"current","to":"acme-main","dry_run":true}`})
	replay := g.lists("/v1/replays", 1)[0]["id"].(string)
	g.until("the replay has ended", func() bool {
		return strings.Contains(g.call(request{as: "operator", method: "GET", path: "/v1/replays/" + replay}).body, `"done"`)
	})
	bodies := g.lists("/v1/quarantine", 2)
	held := g.lists("/v1/quarantine?kind=records", 3)
	if bodies[0]["reason"] != "unreadable" {
		slices.Reverse(bodies)
	}
	waits := g.lists("/v1/withheld?endpoint=acme-old", 2)[0]["id"].(string)
	webhook, _, _ := strings.Cut(waits, "@")
	return strings.NewReplacer(
		"{waits}", waits, "{webhook}", webhook,
		"{body}", bodies[0]["id"].(string), "{live}", bodies[1]["id"].(string), "{held}", held[0]["id"].(string), "{second}", held[1]["id"].(string), "{dir}", g.dir, "{replay}", replay,
		"{key}", g.lists("/v1/endpoints/beta-main/keys", 1)[0]["id"].(string),
		"{question}", g.lists("/v1/questions", 1)[0]["id"].(string), "{dead}", g.lists("/v1/deliveries?status=dead_lettered&endpoint=acme-main", 1)[0]["id"].(string),
	)
}

// slowReplay is one that has not ended, and is paused.
func (g *running) slowReplay() (id string) {
	g.t.Helper()
	g.call(request{as: "operator", method: "POST", path: "/v1/replays", ask: `{"kind":"range","endpoint":"acme-main","since":"2020-01-01T00:00:00Z","until":"2099-01-01T00:00:00Z","rate":0.001}`})
	id = g.lists("/v1/replays", 4)[0]["id"].(string)
	g.until("the replay has ordered one", func() bool {
		return strings.Contains(g.call(request{as: "operator", method: "GET", path: "/v1/replays/" + id}).body, `"ordered":1`)
	})
	g.call(request{as: "operator", method: "POST", path: "/v1/replays/" + id + "/pause"})
	return id
}

// play sends every example, and compares what is answered with what stands in the document.
func (g *running) play(t *testing.T) {
	t.Helper()
	names, slow := g.stage(), ""
	told := map[string][]contract.Example{}
	for _, s := range story {
		op := g.operation(t, s.id)
		as := s.as
		if as == "" {
			as = "operator"
		}
		status := max(s.status, http.StatusOK)
		if strings.Contains(s.path, "{slow}") && slow == "" { // not before: it leaves its mark on whom it tells
			slow = g.slowReplay()
		}
		r := request{as: as, method: op.method, path: strings.ReplaceAll(names.Replace(s.path), "{slow}", slow), ask: names.Replace(s.ask)}
		e := contract.Example{Name: s.name, As: as, Path: g.neutral(r.path), Status: status}
		var a answer
		g.soon(func() bool {
			a = g.call(r)
			e.Answer = json.RawMessage(g.neutral(strings.TrimSpace(a.body)))
			return a.status == status && (r.method != http.MethodGet || g.shownAs(t, s.id, &e)) || r.method != http.MethodGet && !s.soon
		})
		for _, fault := range op.judge(&a) {
			t.Errorf("%s, %s: %s", s.id, s.name, fault)
		}
		if a.status != status {
			t.Errorf("%s, %s: %d, want %d: %s", s.id, s.name, a.status, status, a.body)
		}
		if faults := op.asks(r.ask); (len(faults) > 0) != (status == http.StatusBadRequest && s.ask != "" && s.name != "a reason that names the person") {
			t.Errorf("%s, %s: what is asked is as the schema says, or is not: %s", s.id, s.name, faults)
		}
		if s.ask != "" {
			e.Ask = json.RawMessage(g.neutral(r.ask))
		}
		told[s.id] = append(told[s.id], e)
		if r.method != http.MethodGet {
			g.folded()
		}
	}
	for id, list := range told {
		hold(t, id, list)
	}
}

// folded waits until what a call has appended counts, if it has.
func (g *running) folded() {
	g.soon(func() bool {
		return strings.Contains(g.call(request{as: "admin", method: http.MethodGet, path: "/metrics"}).body, "\ncountersign_journal_unread_records 0\n")
	})
}

// soon tries something that comes about in a while, if it does.
func (g *running) soon(ok func() bool) {
	patience := 20 * time.Second
	if *update { // what is new does not come to be as it is shown
		patience = 2 * time.Second
	}
	for end := time.Now().Add(patience); !ok() && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
}

// shownAs reports whether the document shows an answer as it came. What is settled beside the calls
// may still be under way.
func (g *running) shownAs(t *testing.T, id string, e *contract.Example) bool {
	t.Helper()
	for _, r := range g.operation(t, id).doc["responses"].(map[string]any) {
		if v := get(r, "content", "application/json", "examples", e.Name, "value"); v != nil {
			return reflect.DeepEqual(masked(decoded(t, encoded(t, v)), ""), masked(decoded(t, e.Answer), ""))
		}
	}
	return false
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// neutral is a text without what is of this machine.
func (g *running) neutral(text string) string {
	text = strings.NewReplacer(g.partner.URL, "https://acme.example", g.dir, folder).Replace(text)
	return regexp.MustCompile(`(cs|whsec|whpk)_[0-9A-Za-z+/]{43,72}=?`).ReplaceAllString(text, "${1}_…")
}

// hold compares the examples of a call with the file that the document has them from; with -update
// it writes the file.
func hold(t *testing.T, id string, list []contract.Example) {
	t.Helper()
	path := filepath.Join("..", "..", "relay", "control", "api", "examples", id+".json")
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(list); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err == nil && reflect.DeepEqual(masked(decoded(t, old), ""), masked(decoded(t, b.Bytes()), "")) {
		return
	}
	if !*update {
		t.Errorf("%s is answered otherwise than its examples say; go test -run TestContract -update writes them:\n%s", id, b.Bytes())
		return
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What differs from run to run: instants, ids, and how long or large something was.
var (
	varies      = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{16}|\b[A-Za-z0-9_-]{40,}\b`)
	variesUnder = []string{
		"took_ms", "bytes", "tries", "owed", "failures", "attempts", "error", "place", "last_used_at", "next", "traceparent", "text",
		"copies", "file_bytes", "free_bytes", "expected_bytes", "needed_bytes", "disk_free_bytes",
	}
)

func masked(v any, under string) any {
	if slices.Contains(variesUnder, under) {
		if _, isObject := v.(map[string]any); !isObject {
			return fmt.Sprintf("%T", v)
		}
	}
	switch v := v.(type) {
	case map[string]any:
		if under == "kept" { // what of an export stands in which section: some of it is on its way
			return slices.Sorted(maps.Keys(v))
		}
		if under == "records" { // what an erasure finds: deliveries wait for nobody
			return "counts"
		}
		for k, of := range v {
			v[k] = masked(of, k)
		}
	case []any:
		for i, of := range v {
			v[i] = masked(of, "")
		}
		if under == "deliveries" { // endpoints wait for nobody
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	case string:
		return varies.ReplaceAllString(v, "…")
	}
	return v
}
