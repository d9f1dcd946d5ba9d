package control

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// walk reads a list page by page, and does something between two pages.
func (g *rig) walk(path string, limit int, between func(page int)) (seen []string) {
	g.t.Helper()
	name := "id"
	if strings.HasPrefix(path, "/v1/tokens") {
		name = "name"
	}
	for cursor, n := "", 1; n == 1 || cursor != ""; n++ {
		if n > 1 {
			between(n)
		}
		if n > 100 {
			g.t.Fatalf("%s has no end", path)
		}
		a := g.call("ada", "GET", fmt.Sprint(path, "limit=", limit, "&cursor=", cursor), "")
		for _, e := range a.data(g.t) {
			seen = append(seen, e[name].(string))
		}
		cursor, _ = a.json["next"].(string)
	}
	return seen
}

// TestListsHoldStill: whatever comes and goes between two pages, an entry that stays is shown, and
// shown once. That is so in every list that there is.
func TestListsHoldStill(t *testing.T) {
	g := newRigWith(t, []string{"blendfi", "bluum", "rebilly"})
	ctx := context.Background()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	done := func(call, body string) {
		t.Helper()
		if a := g.call("ada", "POST", call, body); a.code != 200 {
			t.Fatalf("%s: %d %s", call, a.code, a.body)
		}
	}
	body := func(n int) string { return fmt.Sprintf("item-%02d", n) }
	ask := func(n int) string { return fmt.Sprintf("jumio/workflow/q-%02d", n) }
	conflict := func(n int) {
		for _, subject := range []string{"one", "two"} {
			g.call("otto", "POST", "/v1/submissions", fmt.Sprintf(`{"partner":"acme","subject":%q,"source":"sumsub-eu","provider_ref":"r-%02d"}`, subject, n))
		}
	}
	lists := map[string]struct{ add, remove func(n int) }{
		"/v1/quarantine?": {
			func(n int) {
				ok(g.journal.Hold(ctx, journal.Item{ID: body(n), Source: "s", Reason: journal.Unreadable, At: time.Now(), Body: []byte("b")}))
			},
			func(n int) { ok(g.journal.Drop(ctx, body(n), journal.Intake{})) },
		},
		"/v1/questions?": {
			func(n int) {
				at := time.Now()
				q := journal.Question{Source: "jumio", What: "workflow", Ref: fmt.Sprintf("q-%02d", n), Claim: "c", Since: at, Due: at}
				u := kyc.Update{SchemaVersion: 1, ID: kyc.UpdateID("jumio", []string{q.Ref}, kyc.FetchRequest, "", "", "", 0, at), Kind: kyc.FetchRequest, Source: "jumio", Provider: "jumio"}
				ok(g.journal.Append(ctx, journal.Record{Kind: u.Kind, Appended: at, Body: u.AppendJSON(nil), Ask: []journal.Question{q}}))
			},
			func(n int) { done("/v1/questions/discard", fmt.Sprintf(`{"id":%q}`, ask(n))) },
		},
		"/v1/tokens?": {func(n int) { done(fmt.Sprintf("/v1/tokens/t-%02d", n), `{"scope":"viewer"}`) }, func(int) {}},
		"/v1/audit?": { // it grows by the calls of the others too
			func(n int) { done("/v1/endpoints/main/resume", "") },
			func(int) {},
		},
		"/v1/refs/conflicts?": {conflict, func(n int) {
			done("/v1/refs/settle", fmt.Sprintf(`{"source":"sumsub-eu","provider_ref":"r-%02d","partner":"acme","subject":"one","reason":"r"}`, n))
		}},
		"/v1/endpoints?": {func(int) {}, func(int) {}},
		"/v1/set-aside?": {func(int) {}, func(int) {}},
	}
	for path, l := range lists {
		for n := 10; n < 60; n += 10 { // room between them, for what comes
			l.add(n)
		}
		before := g.walk(path, 1000, func(int) {})
		seen := g.walk(path, 2, func(page int) {
			l.add(10*page - 7) // before the place where we are, or after it
			l.add(10*page + 7)
			if page < 5 {
				l.remove(10 * page)
			}
		})
		after := g.walk(path, 1000, func(int) {})
		for _, id := range before {
			if times := len(slices.DeleteFunc(slices.Clone(seen), func(s string) bool { return s != id })); slices.Contains(after, id) && times != 1 {
				t.Errorf("%s: %s was there all the time, and shown %d times: %q", path, id, times, seen)
			}
		}
		for i, id := range seen {
			if path != "/v1/tokens?" && slices.Contains(seen[i+1:], id) {
				t.Errorf("%s: %s was shown twice: %q", path, id, seen)
			}
		}
	}
}

// TestDeadHoldStill is the same for what is dead and what is withheld, where a redelivery takes
// entries out.
func TestDeadHoldStill(t *testing.T) {
	g := newRig(t)
	for i := range 5 {
		g.tell(fmt.Sprint("bad", i), i, kyc.Rejected)
	}
	for _, path := range []string{"/v1/deliveries?status=dead_lettered&endpoint=strict&", "/v1/withheld?endpoint=strict&"} {
		before := g.walk(path, 1000, func(int) {})
		seen := g.walk(path, 2, func(page int) {
			g.tell(fmt.Sprint("bad-later-", page, len(path)), 10+page, kyc.Rejected)
			if page == 2 { // what was shown goes, and so does what was not
				for _, id := range []string{before[0], before[3]} {
					g.call("otto", "POST", "/v1/withheld/"+id+"/acknowledge", `{"reason":"r"}`)
				}
			}
		})
		after := g.walk(path, 1000, func(int) {})
		for _, id := range before {
			if times := len(slices.DeleteFunc(slices.Clone(seen), func(s string) bool { return s != id })); times > 1 || slices.Contains(after, id) && times != 1 {
				t.Errorf("%s: %s was shown %d times: %q", path, id, times, seen)
			}
		}
	}
}

// TestCursors: a cursor is for the list that gave it, and for nothing else.
func TestCursors(t *testing.T) {
	g := newRig(t)
	made := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	paths := []string{
		"/v1/quarantine?", "/v1/quarantine?kind=records&", "/v1/questions?", "/v1/tokens?", "/v1/audit?", "/v1/refs/conflicts?", "/v1/endpoints?", "/v1/set-aside?",
		"/v1/deliveries?status=dead_lettered&", "/v1/withheld?",
	}
	for _, path := range paths {
		for _, wrong := range []string{"x", "!", "evt_1@main", made("nothing"), made("nothing\x00"), made("other\x00id"), made("\x00id")} {
			a := g.call("ada", "GET", path+"cursor="+wrong, "")
			if e, _ := a.json["error"].(map[string]any); a.code != http.StatusBadRequest || e["code"] != "cursor" || e["param"] != "cursor" {
				t.Errorf("%s%s: %d %s", path, wrong, a.code, a.body)
			}
		}
		if a := g.call("ada", "GET", path+"after=x", ""); a.code != http.StatusBadRequest { // else whoever still goes by it would read the first page for ever
			t.Errorf("%safter: %d", path, a.code)
		}
	}
	next := g.call("vera", "GET", "/v1/endpoints?limit=1", "").json["next"]
	if next == nil || g.call("vera", "GET", "/v1/endpoints?limit=1&cursor="+next.(string), "").data(t)[0]["id"] != "strict" {
		t.Errorf("the second endpoint does not come after %v", next)
	}
}
