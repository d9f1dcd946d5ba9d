package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// browsing is a gateway in this process, and what a browser without scripts does at its console.
type browsing struct {
	t *testing.T
	*gateway
	base    string
	partner *hook
	admin   *client.Client
	tokens  map[string]string // by scope; of partner: acme's
}

func newBrowsing(t *testing.T) *browsing {
	t.Helper()
	partner := newHook(t, func() int { return http.StatusOK })
	_, config := house(t, partner.url)
	b := browse(t, start(t, config))
	b.partner = partner
	return b
}

// browse gives a gateway a token of each scope.
func browse(t *testing.T, g *gateway) *browsing {
	t.Helper()
	b := &browsing{t: t, gateway: g, tokens: map[string]string{}}
	b.base = "http://" + b.cfg.Listen.Control
	b.tokens["admin"] = b.token
	b.admin = client.New(client.Options{Base: b.base, Token: b.token})
	for _, scope := range []api.Scope{api.Viewer, api.Operator, api.Partner} {
		ask := api.TokenAsk{Scope: scope}
		if scope == api.Partner {
			ask.Partner = "acme"
		}
		made, err := b.admin.MakeToken(t.Context(), "a-"+string(scope), ask)
		if err != nil {
			t.Fatal(err)
		}
		b.tokens[string(scope)] = made.Token
	}
	return b
}

// say has Sumsub say something of a person, in a sample's words.
func (b *browsing) say(subject, event string, at time.Time) {
	b.t.Helper()
	b.sayAt(0, subject, event, at)
}

// sayAt is say at another source of Sumsub's, by its place in the config.
func (b *browsing) sayAt(source int, subject, event string, at time.Time) {
	b.t.Helper()
	body, err := provider.Sample("sumsub", event, provider.SampleVars{Subject: subject, EventID: subject + event + at.String(), At: at})
	if err != nil {
		b.t.Fatal(err)
	}
	b.post(source, body)
}

// post signs a body with the key of a source, and posts it.
func (b *browsing) post(source int, body []byte) {
	b.t.Helper()
	req, err := newCallback(b.t.Context(), &b.cfg.Sources[source], "http://"+b.callbackAddr(), body, time.Now())
	if err == nil {
		err = give(fresh(), req)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// surfer is one browser. It follows no redirect by itself.
type surfer struct {
	b      *browsing
	client *http.Client
	seen   []string // every page
}

// held are the headers that every answer of the console has.
var held = map[string]string{
	"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":  "nosniff",
	"Referrer-Policy":         "no-referrer",
	"X-Frame-Options":         "DENY",
}

// holds reports an answer that lacks a header, or has a token in it.
func (b *browsing) holds(what string, h http.Header, body string) {
	b.t.Helper()
	for name, want := range held {
		if got := h.Get(name); got != want {
			b.t.Errorf("%s: %s is %q", what, name, got)
		}
	}
	if got := h.Get("Cache-Control"); got != "no-store" && (!strings.HasPrefix(what, "GET /console/assets/") || !strings.Contains(got, "immutable")) {
		b.t.Errorf("%s: Cache-Control is %q", what, got)
	}
	for scope, token := range b.tokens {
		if strings.Contains(body, token) || strings.Contains(fmt.Sprint(h), token) {
			b.t.Errorf("%s: the token of scope %s is in the answer", what, scope)
		}
	}
}

func (b *browsing) browser() *surfer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &surfer{b: b, client: &http.Client{
		Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signedIn is a browser in which a token of this scope is signed in.
func (b *browsing) signedIn(scope string) *surfer {
	b.t.Helper()
	s := b.browser()
	if a := s.post("/console/sign-in", "token", b.tokens[scope]); a.code != http.StatusSeeOther || a.header.Get("Location") != "/console" {
		b.t.Fatalf("sign in as %s: %d %s\n%s", scope, a.code, a.header.Get("Location"), a.body)
	}
	return s
}

// paged is what the console answered.
type paged struct {
	code   int
	header http.Header
	body   string
}

func (s *surfer) ask(method, path string, form url.Values, headers ...string) paged {
	s.b.t.Helper()
	ctx, cancel := context.WithTimeout(s.b.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.b.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", s.b.base)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Del(headers[i]); headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.b.t.Fatal(err)
	}
	s.b.holds(method+" "+path, resp.Header, string(body))
	s.seen = append(s.seen, string(body))
	return paged{resp.StatusCode, resp.Header, string(body)}
}

func (s *surfer) get(path string, headers ...string) paged {
	s.b.t.Helper()
	return s.ask(http.MethodGet, path, nil, headers...)
}

// post posts a form of these pairs.
func (s *surfer) post(path string, pairs ...string) paged {
	s.b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return s.ask(http.MethodPost, path, form)
}

// fields are the hidden fields and chosen values of the form of a page that goes to an action.
func (p paged) fields(t *testing.T, action string) url.Values {
	t.Helper()
	_, rest, ok := strings.Cut(p.body, `action="`+action+`"`)
	if !ok {
		t.Fatalf("no form goes to %s:\n%s", action, p.body)
	}
	rest, _, _ = strings.Cut(rest, "</form>")
	fields := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
		fields.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return fields
}
