package control

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// unclaimed lets sumsub say something of whom only its ref is known.
func (g *rig) unclaimed(ref string, minute int, s kyc.Status) {
	g.t.Helper()
	at := time.Date(2026, 3, 1, 9, minute, 0, 0, time.UTC)
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Subject: kyc.Subject{ProviderRef: ref},
		Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: s, Authenticity: kyc.Signed, OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at,
	}
	u.ID = kyc.UpdateID(u.Source, []string{ref, at.String(), string(s)}, u.Kind, u.Check, u.Scope, "", 0, at)
	if err := g.journal.Append(context.Background(), journal.Record{Kind: u.Kind, Appended: time.Now(), Body: u.AppendJSON(nil)}); err != nil {
		g.t.Fatal(err)
	}
	g.folded()
}

func submission(subject, source, ref string) string {
	return fmt.Sprintf(`{"subject":%q,"source":%q,"provider_ref":%q}`, subject, source, ref)
}

// code200 is the error code of an answer, or its status.
func (a answer) code200() string {
	if e, ok := a.json["error"].(map[string]any); ok {
		return fmt.Sprint(a.code, " ", e["code"])
	}
	return strconv.Itoa(a.code)
}

// TestRefsOfTwoPartners walks a ref that two partners registered from the claims to the operator's
// word, as the partners and the operator see it.
func TestRefsOfTwoPartners(t *testing.T) {
	g := newRig(t)
	f := func(token, subject, ref, want string) answer {
		t.Helper()
		a := g.call(token, "POST", "/v1/submissions", submission(subject, "sumsub-eu", ref))
		if a.code200() != want {
			t.Errorf("%s registers %s as %s's: %s %s, want %s", token, ref, subject, a.code200(), a.body, want)
		}
		g.folded()
		return a
	}
	sees := func(token, subject, want string) {
		t.Helper()
		for _, format := range []string{"", "?format=canonical"} {
			a := g.call(token, "GET", "/v1/users/"+subject+"/kyc"+format, "")
			refs, _ := json.Marshal(a.json["refs"])
			if !strings.Contains(string(refs), want) || want == "null" && string(refs) != want {
				t.Errorf("%s sees of %s: %s, want %s", token, subject, refs, want)
			}
			if other := map[string]string{"pia": "beta", "bea": "acme"}[token]; strings.Contains(a.body, other) || strings.Contains(a.body, map[string]string{"pia": "bob", "bea": "ann"}[token]) {
				t.Errorf("%s is told who the other is: %s", token, a.body)
			}
		}
	}
	f("pia", "ann", "r-1", "200")
	sees("pia", "ann", "null")
	if a := f("bea", "bob", "r-1", "409 ref_taken"); strings.Contains(a.body, "acme") || strings.Contains(a.body, "ann") {
		t.Errorf("who has it is said: %s", a.body)
	}
	f("pia", "ann", "r-1", "409 ref_taken") // both are told
	sees("pia", "ann", `"state":"contested"`)
	sees("bea", "bob", `"state":"contested"`)
	g.unclaimed("r-1", 1, kyc.Approved)
	if a, b := g.status("pia", "ann", ""), g.status("bea", "bob", ""); a != "200 pending" || b != a {
		t.Errorf("they are %s and %s", a, b)
	}
	list := g.call("vera", "GET", "/v1/refs/conflicts", "").data(t)
	if len(list) != 1 || list[0]["provider_ref"] != "r-1" || len(list[0]["claims"].([]any)) != 2 || list[0]["id"] != "sumsub-eu/t/r-1" {
		t.Errorf("the operator sees %v", list)
	}
	settle := `{"source":"sumsub-eu","provider_ref":"r-1","partner":"acme","subject":"ann","reason":"ticket 17"}`
	for _, token := range []string{"pia", "bea", "vera"} {
		if a := g.call(token, "POST", "/v1/refs/settle", settle); a.code != 403 {
			t.Errorf("%s settles it: %d", token, a.code)
		}
	}
	if a := g.call("otto", "POST", "/v1/refs/settle", strings.Replace(settle, "ticket 17", "", 1)); a.code200() != "400 reason" {
		t.Errorf("without a reason: %s", a.body)
	}
	if a := g.call("otto", "POST", "/v1/refs/settle", settle); a.code != 200 || a.json["settled"] != true {
		t.Fatalf("settle: %d %s", a.code, a.body)
	}
	if a, b := g.status("pia", "ann", ""), g.status("bea", "bob", ""); a != "200 approved" || b != "200 pending" {
		t.Errorf("settled, they are %s and %s", a, b)
	}
	sees("pia", "ann", "null")
	sees("bea", "bob", "null")
	f("bea", "bob", "r-1", "409 ref_taken")
	f("pia", "ann", "r-1", "200")
	if s := g.call("vera", "GET", "/v1/subjects/acme/ann", "").body; !strings.Contains(s, `"actor":"otto"`) || !strings.Contains(s, "ticket 17") {
		t.Errorf("the history does not say who settled it, and why: %s", s)
	}
	trail := g.call("vera", "GET", "/v1/audit?limit=1000", "").body
	if !strings.Contains(trail, `"call":"POST /v1/refs/settle"`) || strings.Count(trail, `"changed":true`) != 1 || strings.Count(trail, `"ok":true`) != 2 { // the claim and the settlement; the same claim again is no change
		t.Errorf("the trail: %s", trail)
	}
}

// TestSourcesOfOthers: a partner registers refs at its own sources and at those that are for all;
// whether there is another's, it cannot tell.
func TestSourcesOfOthers(t *testing.T) {
	g := newRig(t)
	before := g.relay.Position().Offset
	others := g.call("pia", "POST", "/v1/submissions", submission("ann", "beta-only", "r-1"))
	nobodys := g.call("pia", "POST", "/v1/submissions", submission("ann", "beta-onlx", "r-1"))
	if others.code != 404 || others.code200() != "404 source" || strings.ReplaceAll(others.body, "beta-only", "") != strings.ReplaceAll(nobodys.body, "beta-onlx", "") || nobodys.code != 404 {
		t.Errorf("another's source: %s; none: %s", others.body, nobodys.body)
	}
	if a := g.call("otto", "POST", "/v1/submissions", `{"partner":"acme","subject":"ann","source":"beta-only","provider_ref":"r-1"}`); a.code200() != "400 source" {
		t.Errorf("an operator's slip: %s", a.body)
	}
	if a := g.call("otto", "POST", "/v1/refs/settle", `{"source":"beta-only","provider_ref":"r-1","partner":"acme","subject":"ann","reason":"r"}`); a.code200() != "400 source" {
		t.Errorf("an operator's slip: %s", a.body)
	}
	if n := g.relay.Position().Offset; n != before {
		t.Errorf("%d records were written", n-before)
	}
	if a := g.call("bea", "POST", "/v1/submissions", submission("ann", "beta-only", "r-1")); a.code != 200 {
		t.Errorf("its own: %s", a.body)
	}
	if a := g.call("pia", "POST", "/v1/submissions", submission("ann", "sumsub-eu", "r-1")); a.code != 200 {
		t.Errorf("one for all: %s", a.body)
	}
}

// TestPartnersAreBlind is the table of what a partner may call, about another's subjects and about
// nobody: the answers are the same, so that nobody learns who is known where.
func TestPartnersAreBlind(t *testing.T) {
	g := newRig(t)
	g.tell("ann", 1, kyc.Approved)
	for i, body := range []string{`{"subject":"s-1","source":"sumsub-eu","provider_ref":"theirs"}`} {
		if a := g.call("pia", "POST", "/v1/submissions", body); a.code != 200 {
			t.Fatalf("%d: %s", i, a.body)
		}
	}
	g.folded()
	f := func(what, method, path, body, otherPath, otherBody string) {
		t.Helper()
		a, b := g.call("bea", method, path, body), g.call("bea", method, otherPath, otherBody)
		hide := strings.NewReplacer("ann", "", "nemo", "", "acme", "", "gamma", "")
		if a.code != b.code || hide.Replace(a.body) != hide.Replace(b.body) || strings.Contains(a.body, "acme") && !strings.Contains(path+body, "acme") {
			t.Errorf("%s: %d %s, and %d %s", what, a.code, a.body, b.code, b.body)
		}
	}
	f("somebody of another partner's", "GET", "/v1/users/ann/kyc?livemode=true", "", "/v1/users/nemo/kyc?livemode=true", "")
	f("another partner", "GET", "/v1/users/ann/kyc?partner=acme", "", "/v1/users/ann/kyc?partner=gamma", "")
	f("another partner, in a submission", "POST", "/v1/submissions", `{"partner":"acme","subject":"x","source":"sumsub-eu","provider_ref":"p"}`, "/v1/submissions", `{"partner":"gamma","subject":"x","source":"sumsub-eu","provider_ref":"p"}`)
	f("another partner, in the sandbox", "POST", "/v1/test_helpers/users/ann/kyc?partner=acme", `{"status":"approved"}`, "/v1/test_helpers/users/ann/kyc?partner=gamma", `{"status":"approved"}`)
	if a := g.call("bea", "POST", "/v1/test_helpers/users/ann/kyc", `{"status":"rejected"}`); a.code != 200 { // its own ann
		t.Errorf("%d %s", a.code, a.body)
	}
	if got := g.status("vera", "ann", "&partner=acme&livemode=true"); got != "200 approved" {
		t.Errorf("acme's ann is %s", got)
	}
	if _, err := g.relay.SubjectStatus("acme", "ann", false); err == nil {
		t.Error("acme has got a test subject by another's call")
	}
	for _, r := range g.server.routes() { // and of what it may not call it learns no more than that
		method, path, _ := strings.Cut(r.Pattern, " ")
		if r.Partner {
			continue
		}
		for _, id := range []string{"ann", "nemo", "ann%01t"} {
			if a := g.call("bea", method, strings.NewReplacer("{partner}", "acme", "{id}", id).Replace(path), "{"); a.code200() != "403 scope_too_small" {
				t.Errorf("%s: %d %s", r.Pattern, a.code, a.body)
			}
		}
	}
}

// TestPartnersCallsAreRationed: one token's calls that write come to an end, and another's and the
// operator's do not.
func TestPartnersCallsAreRationed(t *testing.T) {
	c := &clock{now: time.Now()}
	g := newRig(t, func(o *Options) { o.Now = c.read })
	limited := 0
	for i := range guestBurst + 100 {
		a := g.call("pia", "POST", "/v1/submissions", submission("s", "nowhere", strconv.Itoa(i)))
		if a.code == 429 {
			limited++
			if a.code200() != "429 too_many" || a.header.Get("Retry-After") == "" {
				t.Fatalf("%s %s", a.header, a.body)
			}
		}
	}
	if limited != 100 || g.metric("control_partner_calls_limited_total", "", "") != 100 {
		t.Errorf("%d calls were limited, %v are counted", limited, g.metric("control_partner_calls_limited_total", "", ""))
	}
	for token, want := range map[string]int{"bea": 404, "otto": 400} {
		if a := g.call(token, "POST", "/v1/submissions", `{"partner":"beta","subject":"s","source":"nowhere","provider_ref":"r"}`); a.code != want {
			t.Errorf("%s: %d %s", token, a.code, a.body)
		}
	}
	if a := g.call("pia", "GET", "/v1/users/ann/kyc", ""); a.code != 404 {
		t.Errorf("a call that writes nothing: %d", a.code)
	}
	c.add(time.Second)
	if a := g.call("pia", "POST", "/v1/submissions", submission("s", "sumsub-eu", "r")); a.code != 200 {
		t.Errorf("a second later: %d %s", a.code, a.body)
	}
}

// TestOneSubjectsRefsEnd: a partner's token cannot register one subject without end, and is told
// so.
func TestOneSubjectsRefsEnd(t *testing.T) {
	g := newRig(t)
	refused, taken := 0, int64(0)
	for i := range 103 {
		a := g.call("pia", "POST", "/v1/submissions", submission("ann", "sumsub-eu", fmt.Sprint("r-", i)))
		switch {
		case a.code200() == "429 too_many":
			refused++
		case a.code != 200:
			t.Fatalf("%d: %d %s", i, a.code, a.body)
		default:
			taken++
		}
		eventually(t, "it is folded", func() bool { return g.relay.Position().Offset >= taken })
	}
	if refused != 3 {
		t.Errorf("%d of 103 were refused", refused)
	}
}
