package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/control/api"
)

// rawAudit are all bytes of the audit bucket, keys and records.
func (g *rig) rawAudit() []byte {
	g.t.Helper()
	var all bytes.Buffer
	err := g.store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.Audit).ForEach(func(k, v []byte) error {
			all.Write(k)
			all.Write(v)
			return nil
		})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return all.Bytes()
}

// Whom nobody may find in the trail or in the log. No part of either is a part of anything else.
const (
	whom    = "Rosalind/Zoë-Qx77"
	herRef  = "Ref-of-Rosalind-Vw99"
	another = "Bartholomew-Ky31"
)

// TestNobodyIsNamed: after calls of every route with a person's id wherever an id is taken, by
// whoever may call, done and refused, no byte of the id or of their refs is in the trail or in the
// log; and whoever asks for that person is shown their entries.
func TestNobodyIsNamed(t *testing.T) {
	var asked atomic.Int64
	start := time.Now()
	g := newRig(t, func(o *Options) { // calls come so slowly that each that is refused is kept
		o.Now = func() time.Time { return start.Add(time.Duration(asked.Add(1)) * 2 * refusedEvery) }
	})
	g.tell(whom, 1, kyc.Rejected)
	g.tell("bad"+whom, 1, kyc.Rejected) // its delivery dies
	if err := g.journal.Append(t.Context(), unroutedAbout(t, herRef)); err != nil {
		t.Fatal(err)
	}
	g.appended++
	g.settled()
	escaped, calls := url.PathEscape(whom), 0
	bodies := []string{
		"", "{}",
		fmt.Sprintf(`{"partner":"acme","subject":%q,"source":"sumsub-eu","provider_ref":%q,"reason":"about her"}`, whom, herRef),
		fmt.Sprintf(`{"partner":"acme","subject":%q,"source":"sumsub-eu","provider_ref":%q}`, whom, herRef),
		fmt.Sprintf(`{"partner":"acme","subject":%q,"source":"sumsub-eu","provider_ref":%q}`, another, herRef), // contested now
		fmt.Sprintf(`{"partner":"acme","subject":%q}`, whom),
		fmt.Sprintf(`{"id":"a/b/%s"}`, herRef), fmt.Sprintf(`{%q:1}`, whom), fmt.Sprintf(`{"status":"pending","reason":%q}`, whom), `{"status":"pending"}`,
		`{"source":"sumsub-eu","check":"identity_verification","status":"approved","reason":"seen in person"}`, `{"reason":"r"}`,
	}
	dead := g.call("vera", "GET", "/v1/deliveries?status=dead_lettered", "").data(t)
	held := g.call("vera", "GET", "/v1/quarantine?kind=records", "").data(t)
	if len(dead) == 0 || len(held) == 0 {
		t.Fatalf("nothing is dead, or held: %v, %v", dead, held)
	}
	ids := []string{escaped, url.PathEscape("damaged-acme/" + whom + "-1@main"), url.PathEscape(dead[0]["id"].(string)), held[0]["id"].(string), "main"}
	for _, r := range g.server.routes() {
		method, pattern, _ := strings.Cut(r.Pattern, " ")
		for _, id := range ids {
			for _, partner := range []string{"acme", escaped} {
				path := strings.NewReplacer("{partner}", partner, "{id}", id, "{key}", escaped, "{name}", escaped).Replace(pattern)
				if !strings.Contains(pattern, "{") && id != ids[0] || !strings.Contains(pattern, "{partner}") && partner != "acme" {
					continue
				}
				for _, body := range bodies {
					for _, who := range []string{"otto", "ada", "pia"} {
						if method == "GET" && body != "" {
							continue
						}
						g.call(who, method, path+"?livemode=true&partner=acme&subject=acme/"+escaped, body)
						calls++
					}
				}
			}
		}
	}
	trail := g.rawAudit()
	for _, secret := range []string{whom, "bad" + whom, herRef, another, escaped, "Rosalind", "Qx77", "Vw99", "Bartholomew"} {
		if bytes.Contains(trail, []byte(secret)) {
			at := bytes.Index(trail, []byte(secret))
			t.Errorf("the trail has %q: %q", secret, trail[max(0, at-200):min(len(trail), at+100)])
		}
		for line := range strings.Lines(g.log.String()) {
			if strings.Contains(line, secret) {
				t.Errorf("the log has %q: %s", secret, line)
				break
			}
		}
	}
	about := g.call("vera", "GET", "/v1/audit?limit=1000&subject=acme/"+escaped, "").data(t)
	everything := len(g.call("vera", "GET", "/v1/audit?limit=1000&all=true", "").data(t))
	kinds := map[string]int{}
	for _, e := range about {
		kinds[e["call"].(string)]++
	}
	for _, call := range []string{"POST /v1/subjects/{partner}/{id}/decisions", "POST /v1/submissions", "POST /v1/refs/settle", "POST /v1/quarantine/{id}/release", "POST /v1/deliveries/{id}/redeliver"} {
		if kinds[call] == 0 && call != "POST /v1/deliveries/{id}/redeliver" {
			t.Errorf("no entry about her is of %s: %v", call, kinds)
		}
	}
	if n := len(g.call("vera", "GET", "/v1/audit?subject=acme/nobody", "").data(t)); n != 0 {
		t.Errorf("%d entries are about nobody", n)
	}
	v := g.call("vera", "GET", "/v1/audit/verify", "")
	if v.json["ok"] != true {
		t.Errorf("the chain: %s", v.body)
	}
	t.Logf("%d calls, %d entries, %d of them about her, of %d calls", calls, everything, len(about), len(kinds))
}

// TestFaultsNameNobody: what is logged of a fault of our own leaves out what the call came with.
func TestFaultsNameNobody(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Quarantine = faulty{fmt.Errorf("item %s: the disk is on fire", whom)} })
	if a := g.call("otto", "GET", "/v1/quarantine/"+url.PathEscape(whom), ""); a.code != 500 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	if log := g.log.String(); strings.Contains(log, whom) || !strings.Contains(log, "item …: the disk is on fire") {
		t.Errorf("the log: %s", log)
	}
}

// unroutedAbout is a record that nobody is known for.
func unroutedAbout(t *testing.T, ref string) journal.Record {
	t.Helper()
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Livemode: true,
		Verification: kyc.Verification{Ref: ref}, Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: kyc.Approved, Authenticity: kyc.Signed,
		OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at,
	}
	u.ID = kyc.UpdateID(u.Source, []string{ref}, u.Kind, u.Check, u.Scope, "", 0, at)
	body, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	return journal.Record{Kind: u.Kind, Appended: time.Now(), Body: body}
}

// TestChangeAndEntryAreOne: a call that has changed something has an entry in the transaction of
// its first change, and another that completes it.
func TestChangeAndEntryAreOne(t *testing.T) {
	g := newRig(t)
	g.tell("bad-ann", 1, kyc.Rejected)
	if err := g.journal.Append(t.Context(), unroutedAbout(t, "r-1")); err != nil {
		t.Fatal(err)
	}
	g.appended++
	g.settled()
	dead := g.call("vera", "GET", "/v1/deliveries?status=dead_lettered", "").data(t)[0]["id"].(string)
	held := g.call("vera", "GET", "/v1/quarantine?kind=records", "").data(t)[0]["id"].(string)
	f := func(who, call, body string) {
		t.Helper()
		method, path, _ := strings.Cut(call, " ")
		if a := g.call(who, method, path, body); a.code != 200 {
			t.Errorf("%s: %d %s", call, a.code, a.body)
			return
		}
		es := g.trail("&all=true")
		last := es[len(es)-1]
		if last.Kind != "done" || last.Begun == 0 || last.Begun >= last.Number {
			t.Errorf("%s: its entry names none that was written with its change: %+v", call, last)
			return
		}
		for _, e := range es {
			if e.Number == last.Begun && (e.Kind != "begun" || !e.Completed || e.Call != last.Call || e.Path != last.Path || e.Actor != last.Actor) {
				t.Errorf("%s: it completes %+v", call, e)
			}
		}
		if shown := g.trail(""); len(shown) > 0 && shown[len(shown)-1].Number != last.Number {
			t.Errorf("%s: the last that is shown is %+v", call, shown[len(shown)-1])
		}
	}
	f("otto", "POST /v1/submissions", `{"partner":"acme","subject":"s","source":"sumsub-eu","provider_ref":"r-2"}`)
	f("pia", "POST /v1/submissions", `{"partner":"acme","subject":"s","source":"sumsub-eu","provider_ref":"r-3"}`)
	f("otto", "POST /v1/subjects/acme/bad-ann/decisions?livemode=true", `{"source":"sumsub-eu","check":"identity_verification","status":"approved","reason":"r"}`)
	f("otto", "POST /v1/quarantine/"+held+"/release", `{"partner":"acme","subject":"s"}`)
	f("otto", "POST /v1/refs/settle", `{"partner":"acme","subject":"s","source":"sumsub-eu","provider_ref":"r-2","reason":"r"}`)
	f("otto", "POST /v1/deliveries/"+url.PathEscape(dead)+"/redeliver?force=true", "")
	f("otto", "POST /v1/endpoints/strict/pause", "")
	f("otto", "POST /v1/endpoints/strict/resume", "")
	f("ada", "POST /v1/tokens/new", `{"scope":"viewer"}`)
	f("ada", "POST /v1/tokens/new/revoke", "")
	f("otto", "POST /v1/test_helpers/users/bob/kyc?partner=acme", `{"status":"pending"}`)
	f("otto", "POST /v1/partners", `{"id":"initech"}`)
	f("otto", "POST /v1/partners/initech/endpoints", `{"id":"ini","url":"http://127.0.0.1:9/"}`)
	f("otto", "PATCH /v1/endpoints/ini", `{"rate":5}`)
	f("otto", "POST /v1/endpoints/ini/rotate", "")
	f("otto", "DELETE /v1/endpoints/ini", "")
	f("otto", "PATCH /v1/partners/initech", `{"max_submissions":5}`)
	f("otto", "DELETE /v1/partners/initech", "")
	f("otto", "POST /v1/backup", fmt.Sprintf(`{"path":%q}`, t.TempDir()+"/copy.db"))
}

// TestReads: every call that shows what is sealed says so in its description, and stands in the
// trail before it is answered, whoever makes it.
func TestReads(t *testing.T) {
	g := newRig(t)
	reads := 0
	for _, r := range g.server.routes() {
		if d := api.Described(r.Pattern); d.Reads {
			reads++
			for _, scope := range []Scope{Viewer, Operator} {
				if r := (Route{Pattern: r.Pattern, Scope: scope}); !r.audits(nil) {
					t.Errorf("a %s's %s stands in no trail", scope, r.Pattern)
				}
			}
		}
	}
	if reads == 0 || (Route{Pattern: "GET /v1/quarantine", Scope: Viewer}).audits(nil) {
		t.Errorf("%d calls read", reads)
	}
	full := newRig(t, func(o *Options) { o.Quarantine = opened{} })
	if a := full.call("otto", "GET", "/v1/quarantine/x", ""); a.code != 200 || !strings.Contains(a.body, "the body in clear") || len(full.trail("")) != 1 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	full.halt()
	if a := full.call("otto", "GET", "/v1/quarantine/x", ""); a.code != 500 || strings.Contains(a.body, "the body in clear") {
		t.Errorf("shown without an entry: %d %s", a.code, a.body)
	}
}

// opened is a quarantine that shows something.
type opened struct{ faulty }

func (opened) Unseal(string) (journal.Item, error) {
	return journal.Item{ID: "x", Body: []byte("the body in clear")}, nil
}

// TestKilledBetween: a process is killed when what a call changed is on stable storage, and before
// anything is written of what came of it. The change is there, and the trail says who was making
// it, about whom.
func TestKilledBetween(t *testing.T) {
	const dirOf = "COUNTERSIGN_TEST_KILLED_IN"
	if dir := os.Getenv(dirOf); dir != "" {
		killedBetween(t, dir)
		return
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledBetween$")
	cmd.Env = append(os.Environ(), dirOf+"="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL { //nolint:forcetypeassert // Linux
		t.Fatalf("it was not killed: %v\n%s", err, out)
	}
	g := newRigIn(t, dir)
	if s := g.call("vera", "GET", "/v1/subjects/acme/dora?livemode=true", "").body; !strings.Contains(s, "seen in person") {
		eventually(t, "what was decided is there", func() bool {
			return strings.Contains(g.call("vera", "GET", "/v1/subjects/acme/dora?livemode=true", "").body, "seen in person")
		})
	}
	es := g.trail("&subject=acme/dora")
	if len(es) != 1 || es[0].Kind != "begun" || es[0].Completed || es[0].Actor != "otto" || es[0].OK || es[0].Call != "POST /v1/subjects/{partner}/{id}/decisions" || len(es[0].Persons) != 1 {
		t.Errorf("the trail about her: %+v", es)
	}
	if v := g.call("vera", "GET", "/v1/audit/verify", ""); v.json["ok"] != true {
		t.Errorf("the chain: %s", v.body)
	}
	g.call("otto", "POST", "/v1/endpoints/main/resume", "") // and goes on
	if v := g.call("vera", "GET", "/v1/audit/verify", ""); v.json["ok"] != true {
		t.Errorf("the chain after: %s", v.body)
	}
}

// killedBetween decides about somebody, and is killed as soon as that has been written and the
// outcome is to be: the server asks its clock then.
func killedBetween(t *testing.T, dir string) {
	t.Helper()
	var at atomic.Pointer[rig]
	now := func() time.Time {
		if g := at.Load(); g != nil && bytes.Contains(g.rawAudit(), []byte("/decisions")) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return time.Now()
	}
	g := newRigIn(t, dir, func(o *Options) { o.Now = now })
	g.tell("dora", 1, kyc.Rejected)
	at.Store(g)
	a := g.call("otto", "POST", "/v1/subjects/acme/dora/decisions?livemode=true", `{"source":"sumsub-eu","check":"identity_verification","status":"approved","reason":"seen in person"}`)
	t.Fatalf("it was answered: %d %s", a.code, a.body)
}
