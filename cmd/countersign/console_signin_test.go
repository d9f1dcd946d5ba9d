package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"countersign/relay/control/client"
)

// TestConsoleSignIn: a token opens a session, whose cookie nobody else can use and which says
// nothing of the token.
func TestConsoleSignIn(t *testing.T) {
	b := newBrowsing(t)
	s := b.browser()
	f := func(what string, a paged, code int, location string) {
		t.Helper()
		if a.code != code || a.header.Get("Location") != location {
			t.Errorf("%s: %d to %q, want %d to %q\n%s", what, a.code, a.header.Get("Location"), code, location, a.body)
		}
	}
	f("nobody at /", s.get("/"), 303, "/console/sign-in")
	f("nobody at a page", s.get("/console/now?x=1"), 303, "/console/sign-in?to="+url.QueryEscape("/console/now?x=1"))
	f("nobody at what is live", s.get("/console/now/events"), 303, "/console/sign-in?to="+url.QueryEscape("/console/now/events"))
	f("nobody at no page", s.get("/console/none"), 404, "")
	f("a method that it has not", s.ask(http.MethodDelete, "/console/now", nil), 405, "")
	f("a link of another site", s.get("/console/now", "Sec-Fetch-Site", "cross-site"), 200, "")
	f("the page to sign in on", s.get("/console/sign-in"), 200, "")
	f("no token", s.post("/console/sign-in"), 401, "")
	f("a wrong token", s.post("/console/sign-in", "token", "wrong"), 401, "")
	f("a token that is none", s.post("/console/sign-in", "token", "a\nb"), 401, "")
	a := s.post("/console/sign-in", "token", b.tokens["operator"], "to", "//evil.example/console/")
	f("a token, and a page elsewhere", a, 303, "/console")
	cookie := a.header.Get("Set-Cookie")
	_, port, _ := strings.Cut(b.cfg.Listen.Control, ":")
	if !regexp.MustCompile(`^countersign_` + port + `=[A-Za-z0-9_-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$`).MatchString(cookie) {
		t.Errorf("the cookie is %q", cookie)
	}
	if over := b.browser().ask(http.MethodPost, "/console/sign-in", url.Values{"token": {b.tokens["viewer"]}}, "Origin", "https://"+b.cfg.Listen.Control).header.Get("Set-Cookie"); !regexp.MustCompile(`^__Host-countersign=[A-Za-z0-9_-]{43}; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Strict$`).MatchString(over) {
		t.Errorf("over TLS the cookie is %q", over)
	}
	f("signed in at /", s.get("/"), 303, "/console/now")
	page := s.get("/console/now")
	f("signed in at a page", page, 200, "")
	f("another site's form", s.ask(http.MethodPost, "/console/sign-out", url.Values{}, "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"), 403, "")
	f("another site's form, of an old browser", s.ask(http.MethodPost, "/console/sign-out", url.Values{}, "Origin", "http://evil.example", "Sec-Fetch-Site", ""), 403, "")
	f("a form without its token", s.post("/console/sign-out"), 403, "")
	f("a form with another token", s.post("/console/sign-out", "form", "x"), 403, "")
	f("signed in still", s.get("/console/now"), 200, "")
	for _, m := range regexp.MustCompile(`/console/assets/[a-z0-9.-]+`).FindAllString(page.body, -1) {
		f("an asset", s.get(m), 200, "")
	}
	f("signed out", s.ask(http.MethodPost, "/console/sign-out", page.fields(t, "/console/sign-out")), 303, "/console/sign-in?why=out")
	f("a page after that", s.get("/console/now"), 303, "/console/sign-in?to="+url.QueryEscape("/console/now"))
}

// TestConsoleSessionEnds: whoever's token is revoked is out at the next page, and nobody has more
// sessions than there is room for.
func TestConsoleSessionEnds(t *testing.T) {
	b := newBrowsing(t)
	s := b.signedIn("viewer")
	if a := s.get("/console/now"); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	if _, err := b.admin.RevokeToken(t.Context(), "a-viewer"); err != nil {
		t.Fatal(err)
	}
	if a := s.get("/console/now"); a.code != 303 || !strings.HasPrefix(a.header.Get("Location"), "/console/sign-in?") || !strings.Contains(a.header.Get("Location"), "why=ended") {
		t.Errorf("after its token was revoked: %d %s", a.code, a.header.Get("Location"))
	}
	first := b.signedIn("operator")
	for range 16 {
		b.signedIn("operator")
	}
	if a := first.get("/console/now"); a.code != 303 {
		t.Errorf("the seventeenth session has not ended the first: %d", a.code)
	}
}

// TestConsoleGuesses: whoever tries wrong tokens is slowed down, as at the API, and in one count
// with it. A right token passes all the same.
func TestConsoleGuesses(t *testing.T) {
	b := newBrowsing(t)
	s := b.browser()
	slowed := 0
	for i := range 60 {
		if a := s.post("/console/sign-in", "token", fmt.Sprint("wrong-", i)); a.code == 429 {
			slowed++
		}
	}
	if slowed == 0 {
		t.Error("sixty wrong tokens at once, and none was slowed down")
	}
	if _, err := client.New(client.Options{Base: b.base, Token: "wrong", Tries: 1}).Whoami(t.Context()); !client.Is(err, "too_often") && !client.Is(err, "token_unknown") {
		t.Error(err)
	}
	b.signedIn("admin")
}
