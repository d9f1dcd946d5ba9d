package main

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/relay/control/client"
)

const script = `<script>alert(1)</script>`

// TestConsolePersons: a person's page says who said what, what was concluded and who was told; a
// decision is shown before it is taken, and taken once.
func TestConsolePersons(t *testing.T) {
	b := newBrowsing(t)
	now := time.Now()
	b.say("ann", "approved", now.Add(-time.Hour))
	b.say("bob", "rejected_sanctions", now.Add(-time.Hour))
	b.say("bob", "approved", now)
	b.say(script, "approved", now)
	eventually(t, "the partner is told", func() bool {
		return b.partner.told("ann", "approved") && b.partner.told("bob", "rejected") && b.partner.told(script, "approved")
	})
	s := b.signedIn("operator")
	f := func(what string, a paged, code int, wants ...string) {
		t.Helper()
		if a.code != code {
			t.Errorf("%s: %d, want %d\n%s", what, a.code, code, a.body)
		}
		for _, want := range wants {
			if bare, not := strings.CutPrefix(want, "!"); strings.Contains(a.body, bare) == not {
				t.Errorf("%s: %q\n%s", what, want, a.body)
			}
		}
		if strings.Contains(a.body, script) || strings.Contains(a.body, "onerror=x>") {
			t.Errorf("%s: what somebody said is a part of the page", what)
		}
	}
	const ann, bob = "/console/person?partner=acme&subject=ann", "/console/person?partner=acme&subject=bob"
	f("everybody", s.get("/console/persons"), 200, "ann", "bob", "&lt;script&gt;")
	f("the rejected", s.get("/console/persons?status=rejected"), 200, ">bob<", "!>ann<")
	f("the held", s.get("/console/persons?held=true"), 200, ">bob<", "!>ann<")
	f("by the beginning", s.get("/console/persons?partner=acme&begins=an"), 200, ">ann<", "!>bob<")
	f("a beginning without a partner", s.get("/console/persons?begins=an"), 400, "name the partner")
	f("one", s.get(ann), 200, "sumsub-eu said", "signed", "It counts.", "acme-main was told", "Approve…")
	f("one who is held", s.get(bob), 200, "Only an operator releases it", "What would answer it: an operator only.")
	f("a hostile one", s.get("/console/person?partner=acme&subject="+url.QueryEscape(script)), 200, "&lt;script&gt;")
	f("nobody", s.get("/console/person?partner=acme&subject=zoe"), 404)
	f("then", s.get(ann+"&at=2020-01-01T00:00"), 200, "As of", "!Approve…")
	f("at no time", s.get(ann+"&at=yesterday"), 200, "is not a time")
	f("found", s.get("/console/find?q=ann"), 200, "subject=ann")

	const decide = "/console/decide?partner=acme&subject=bob&what=approved&target=source%3Dsumsub-eu%26check%3Didentity_verification%26scope%3Doverall"
	page := s.get(decide)
	f("what an approval would do", page, 200, "What will happen", "kyc.status.approved", "acme-main")
	f("a decision about nothing", s.get("/console/decide?partner=acme&subject=bob&what=approved"), 400)
	f("a decision that there is not", s.get(strings.Replace(decide, "=approved", "=erased", 1)), 400)
	form := page.fields(t, "/console/decide")
	form.Set("note", `the same name only <img onerror=x>`)
	forged := maps.Clone(form)
	forged.Del("form")
	f("a form without its token", s.ask(http.MethodPost, "/console/decide", forged), 403)
	forged.Set("form", b.signedIn("operator").get("/console/now").fields(t, "/console/sign-out").Get("form"))
	f("a form of another session", s.ask(http.MethodPost, "/console/decide", forged), 403)
	f("another site's form", s.ask(http.MethodPost, "/console/decide", form, "Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"), 403)
	forged = maps.Clone(form)
	forged.Set("note", " ")
	f("without a reason", s.ask(http.MethodPost, "/console/decide", forged), 400, "say why", "What will happen")
	if p, err := b.admin.Subject(t.Context(), "acme", "bob", nil, time.Time{}, client.Page{}); err != nil || p.Status.Status != "rejected" || len(p.Records) != 2 {
		t.Fatalf("something was done that was only foreseen: %+v, %v", p.Status, err)
	}
	for range 2 { // a browser sends a form again
		if a := s.ask(http.MethodPost, "/console/decide", form); a.code != 303 || !strings.Contains(a.header.Get("Location"), "subject=bob") {
			t.Fatalf("decide: %d %s", a.code, a.body)
		}
	}
	f("what came of it", s.get(bob), 200, "rejected → approved", "a-operator decided", "&lt;img onerror")
	eventually(t, "the partner is told of the approval", func() bool { return b.partner.told("bob", "approved") })
	if p, err := b.admin.Subject(t.Context(), "acme", "bob", nil, time.Time{}, client.Page{}); err != nil || len(p.Records) != 3 {
		t.Errorf("a form that was sent twice: %d records, %v", len(p.Records), err)
	}
	form.Set("what", "rejected")
	f("another decision under the same key", s.ask(http.MethodPost, "/console/decide", form), 409, "Idempotency-Key")
	trail, err := b.admin.ListAudit(t.Context(), client.Page{}, client.Span{Call: "decisions"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range trail.Data {
		if e.Actor != "a-operator" || e.Scope != "operator" {
			t.Errorf("the trail has %+v", e)
		}
	}
	if len(trail.Data) == 0 {
		t.Error("the decision is not in the audit trail")
	}
}

// TestConsoleScopes: whoever may not do something is not shown it, and does not get it.
func TestConsoleScopes(t *testing.T) {
	b := newBrowsing(t)
	b.say("ann", "approved", time.Now())
	eventually(t, "the partner is told", func() bool { return b.partner.told("ann", "approved") })
	f := func(scope, path string, code int, wants ...string) {
		t.Helper()
		a := b.signedIn(scope).get(path)
		if a.code != code {
			t.Errorf("%s by %s: %d, want %d\n%s", path, scope, a.code, code, a.body)
		}
		for _, want := range wants {
			if bare, not := strings.CutPrefix(want, "!"); strings.Contains(a.body, bare) == not {
				t.Errorf("%s by %s: %q\n%s", path, scope, want, a.body)
			}
		}
	}
	const ann, decide = "/console/person?partner=acme&subject=ann", "/console/decide?partner=acme&subject=ann&what=rejected&target=manual%3Dtrue%26check%3Dscreening%26scope%3Doverall"
	for _, scope := range []string{"operator", "admin"} {
		f(scope, "/console/now", 200, `href="/console/now"`, `href="/console/persons"`)
		f(scope, ann, 200, "Reject…", "Timeline")
		f(scope, decide, 200, "What will happen")
	}
	f("viewer", "/console/now", 200)
	f("viewer", ann, 200, "!Reject…", "Timeline")
	f("viewer", decide, 403, "operator")
	f("partner", "/console/now", 403)
	f("partner", "/console/find?q=ann", 403)
	f("partner", "/console/persons", 200, ">ann<", `!href="/console/now"`)
	f("partner", ann, 200, "approved", "acme-main", "!Reject…", "!Timeline")
	f("partner", decide, 403)
	if a := b.signedIn("partner").get("/console"); a.header.Get("Location") != "/console/persons" {
		t.Errorf("a partner begins at %s", a.header.Get("Location"))
	}
	s := b.signedIn("viewer")
	form := s.get("/console/now").fields(t, "/console/sign-out")
	form.Set("partner", "acme")
	form.Set("subject", "ann")
	form.Set("what", "rejected")
	form.Set("target", "manual=true&check=screening")
	form.Set("note", "n")
	if a := s.ask(http.MethodPost, "/console/decide", form); a.code != 403 {
		t.Errorf("a viewer decides: %d", a.code)
	}
}

// TestConsoleLive: what is live comes as it changes, to no more browsers than there is room for,
// and ends with the session.
func TestConsoleLive(t *testing.T) {
	b := newBrowsing(t)
	s := b.signedIn("viewer")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s.client.Timeout = 0
	open := func() (code int, kind string, body io.Reader) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+"/console/now/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp.StatusCode, resp.Header.Get("Content-Type"), resp.Body
	}
	code, kind, first := open()
	if code != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("%d %s", code, kind)
	}
	for range 3 {
		open()
	}
	if code, _, _ := open(); code != http.StatusServiceUnavailable {
		t.Errorf("the fifth stream of a session: %d", code)
	}
	lines := bufio.NewScanner(first)
	lines.Buffer(nil, 1<<20)
	next := func(prefix string) string {
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), prefix) {
				return lines.Text()
			}
		}
		t.Fatalf("the stream ends without %q: %v", prefix, lines.Err())
		return ""
	}
	if data := next("data: "); !strings.Contains(data, `"numbers":`) || !strings.Contains(data, "Pending") {
		t.Errorf("the first event is %s", data)
	}
	if _, err := b.admin.RevokeToken(t.Context(), "a-viewer"); err != nil {
		t.Fatal(err)
	}
	next("event: ended")
}
