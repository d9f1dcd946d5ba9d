package main

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// pasted is a callback as somebody pastes it: its headers, one a line, and its body.
func (r *reviewed) pasted(subject string) (headers string, body []byte) {
	r.t.Helper()
	body, err := provider.Sample("sumsub", "approved", provider.SampleVars{Subject: subject, EventID: "event-" + subject, At: time.Now()})
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := newCallback(r.t.Context(), &r.cfg.Sources[0], "http://"+r.callbackAddr(), body, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Del("Countersign-Trigger")
	var b strings.Builder
	for name := range req.Header {
		b.WriteString(name + ": " + req.Header.Get(name) + "\r\n")
	}
	return b.String(), body
}

// TestConsoleSources: each source is shown with what came, and what a callback would mean is said
// of what is genuine, and of nothing else; nothing of it is kept, counted or logged.
func TestConsoleSources(t *testing.T) {
	r := newReviewed(t)
	r.say("user-1", "approved", time.Now())
	r.say("user-2", "pending", time.Now())
	viewer, operator := r.signedIn("viewer"), r.signedIn("operator")
	viewer.shows("/console/sources", "sumsub-eu", "by-ref", "jumio", "signed", "network")
	page := viewer.shows("/console/source?name=sumsub-eu", "accepted", "Last callback", "1 in the config", "it serves plain HTTP")
	if strings.Contains(page.body, "What would this callback mean") || strings.Contains(page.body, "sumsub-secret-canary") {
		t.Error("a viewer is offered what it may not do, or shown a key")
	}
	if a := viewer.get("/console/source?name=none"); a.code != http.StatusNotFound {
		t.Errorf("a source that is not: %d", a.code)
	}
	before := r.sourceNow("sumsub-eu")
	if before.Verdicts["accepted"] != 2 || before.Last.IsZero() || before.Taken.IsZero() {
		t.Errorf("%+v", before)
	}
	form := operator.get("/console/source?name=sumsub-eu").fields(t, "/console/source")
	explain := func(headers, body string, more ...string) paged {
		form.Set("headers", headers)
		form.Set("body", body)
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return operator.ask(http.MethodPost, "/console/source", form)
	}
	f := func(what string, a paged, code int, has, hasNot []string) {
		t.Helper()
		for _, w := range has {
			if !strings.Contains(a.body, w) {
				t.Errorf("%s: it does not say %q: %d\n%s", what, w, a.code, a.body)
			}
		}
		for _, w := range hasNot {
			if strings.Contains(a.body, w) {
				t.Errorf("%s: it says %q", what, w)
			}
		}
		if a.code != code {
			t.Errorf("%s: %d, want %d", what, a.code, code)
		}
	}
	headers, body := r.pasted("canary-person")
	says := "Updates that would be applied"
	f("genuine", explain(headers, string(body)), 200, []string{"genuine", "It would be answered as: accepted", "Verdict: accepted.", says, "approved", "canary-person"}, []string{"not genuine"})
	f("with another end of lines", explain(headers, strings.ReplaceAll(string(body), "\n", "\r\n")), 200, []string{"It would be answered as: accepted"}, nil)
	f("tampered", explain(headers, strings.Replace(string(body), "GREEN", "RED", 1)), 200, []string{"not genuine", "It would be answered as: mismatch", "what is not genuine is not read"}, []string{says})
	f("unsigned, hostile", explain("X-A: "+hostileText, `{"x":`+hostileText), 200, []string{"It would be answered as: unsigned"}, []string{says, "<script>alert"})
	f("no header", explain("no header at all", "{}"), 400, []string{"This line is not"}, nil)
	f("no base64", explain("", "§", "base64", "true"), 400, []string{"The body is not base64."}, nil)
	form.Del("base64")
	f("too long", explain("", strings.Repeat("x", 300<<10)), 413, []string{"256 KiB"}, nil)
	form.Set("form", "another")
	f("a form of nobody's", explain(headers, string(body)), 403, nil, []string{says})
	f("a viewer", viewer.ask(http.MethodPost, "/console/source", form), 403, nil, []string{says})

	after := r.sourceNow("sumsub-eu")
	if fmt.Sprint(after.Verdicts) != fmt.Sprint(before.Verdicts) || !after.Last.Equal(before.Last) {
		t.Errorf("what was only explained counts: %v, then %v", before, after)
	}
	if l, err := r.admin.ListSubjects(t.Context(), client.Page{}, client.Subjects{Partner: "acme", Begins: "canary"}); err != nil || len(l.Data) != 0 {
		t.Errorf("what was only explained was applied: %v %v", l, err)
	}
	if strings.Contains(r.log.String(), "canary") {
		t.Error("the log names a callback that was explained")
	}
	b, err := os.ReadFile(r.store.Path())
	if err != nil || bytes.Contains(b, []byte("canary-person")) {
		t.Errorf("the file has a callback that was explained: %v", err)
	}
	viewer.shows("/console/audit?call=explain", "/v1/sources/sumsub-eu/explain")
}

func (r *reviewed) sourceNow(name string) api.Source {
	r.t.Helper()
	l, err := r.admin.ListSources(r.t.Context(), client.Page{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range l.Data {
		if s.Name == name {
			return s
		}
	}
	r.t.Fatalf("no source %s", name)
	return api.Source{}
}

// runs is how the programs of the page are run.
var runs = map[string][]string{"go": {"go", "run", "verify.go"}, "python": {"python3", "verify.py"}, "javascript": {"node", "verify.js"}, "java": {"java", "Verify.java"}, "php": {"php", "verify.php"}}

// TestConsoleVerify: the programs that a partner is shown say yes to what its endpoint was sent and
// no to what was tampered with; the page names its keys and headers, and no secret.
func TestConsoleVerify(t *testing.T) {
	r := newReviewed(t)
	made, err := r.admin.CreateEndpoint(t.Context(), "acme", "", api.Fields{"id": "acme-made", "url": strings.Replace(r.cfg.Partners[0].Endpoints[0].URL, "/main", "/made", 1)})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := r.admin.ListKeys(t.Context(), "acme-made")
	if err != nil || len(keys.Data) != 1 {
		t.Fatal(keys, err)
	}
	r.say("user-1", "approved", time.Now())
	to := map[string]string{"acme-main": "main", "acme-flat": "flat", "acme-v1": "v1", "acme-made": "made"}
	for _, path := range to {
		eventually(t, path+" is told", func() bool { return r.sent(path) != nil })
	}
	partner := r.signedIn("partner")
	partner.shows("/console/verify", "acme-main", "acme-made")
	if a := partner.get("/console/verify?endpoint=nobodys"); a.code != http.StatusNotFound {
		t.Errorf("an endpoint that is not: %d", a.code)
	}
	ran := 0
	for endpoint, path := range to {
		page := partner.shows("/console/verify?"+url.Values{"endpoint": {endpoint}}.Encode(), endpoint, "Set <code>KEY</code>")
		secret := acmeKey
		if endpoint == "acme-made" {
			secret = made.Key
			partner.shows("/console/verify?endpoint=acme-made", keys.Data[0].ID)
		}
		if strings.Contains(page.body, secret) || strings.Contains(page.body, strings.TrimPrefix(secret, "whsec_")) {
			t.Errorf("the page of %s has its secret", endpoint)
		}
		programs := regexp.MustCompile(`(?s)data-program="([a-z]+)-hmac"><code>(.*?)</code>`).FindAllStringSubmatch(page.body, -1)
		if len(programs) != 5 {
			t.Errorf("%s: %d programs, want 5", endpoint, len(programs))
		}
		for _, m := range programs {
			if !strings.Contains(m[2], endpoint) || endpoint == "acme-made" && !strings.Contains(m[2], keys.Data[0].ID) {
				t.Errorf("the %s program of %s does not name it, or its key", m[1], endpoint)
			}
			if slow := m[1] == "go" || m[1] == "java"; slow && endpoint != "acme-made" { // what is compiled is compiled once: relay/format has tried all of it
				continue
			}
			ran += r.tryProgram(endpoint, m[1], html.UnescapeString(m[2]), secret, r.sent(path))
		}
	}
	if ran < 1 {
		t.Errorf("%d programs were run: there is Go, at least", ran)
	}
	r.asymmetric(partner)
	if a := r.signedIn("viewer").get("/console/verify?endpoint=acme-main"); a.code != 200 || strings.Contains(a.body, acmeKey) {
		t.Errorf("a viewer: %d", a.code)
	}
}

// asymmetric: the same five programs are there for a key pair, and hold to what is signed with it.
func (r *reviewed) asymmetric(partner *surfer) {
	r.t.Helper()
	k, err := r.admin.RotateKey(r.t.Context(), "acme-made", "", api.RotateAsk{Kind: "ed25519", Overlap: "0s"})
	if err != nil {
		r.t.Fatal(err)
	}
	before := r.sent("made")
	r.say("user-1", "rejected_final", time.Now())
	eventually(r.t, "it is told with the new key", func() bool { return !bytes.Equal(r.sent("made"), before) })
	page := partner.shows("/console/verify?endpoint=acme-made", k.ID, "Code for the ed25519 key")
	if !strings.Contains(html.UnescapeString(page.body), k.PublicKey) {
		r.t.Errorf("the page does not have the public key %s", k.PublicKey)
	}
	programs := regexp.MustCompile(`(?s)data-program="([a-z]+)-ed25519"><code>(.*?)</code>`).FindAllStringSubmatch(page.body, -1)
	if len(programs) != 5 {
		r.t.Errorf("%d programs for the key pair, want 5", len(programs))
	}
	for _, m := range programs {
		if m[1] == "python" && exec.CommandContext(r.t.Context(), "python3", "-c", "import cryptography").Run() != nil || m[1] == "go" || m[1] == "java" {
			continue // relay/format has tried all of them
		}
		r.tryProgram("acme-made", m[1], html.UnescapeString(m[2]), k.PublicKey, r.sent("made"))
	}
}

// tryProgram runs a program on a delivery and on one that was tampered with; 0: this machine has
// not its language.
func (r *reviewed) tryProgram(endpoint, language, code, key string, wire []byte) int {
	r.t.Helper()
	run := runs[language]
	if _, err := exec.LookPath(run[0]); err != nil {
		r.t.Logf("%s is not on this machine", run[0])
		return 0
	}
	if language == "java" && exec.CommandContext(r.t.Context(), "javac", "-version").Run() != nil {
		return 0
	}
	dir := r.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, run[len(run)-1]), []byte(code), 0o600); err != nil {
		r.t.Fatal(err)
	}
	for want, input := range map[string][]byte{"yes": wire, "no": bytes.Replace(wire, []byte("user-1"), []byte("user-2"), 1)} {
		cmd := exec.CommandContext(r.t.Context(), run[0], run[1:]...)
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
		cmd.Env = append(os.Environ(), "KEY="+key, "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.Output(); strings.TrimSpace(string(out)) != want {
			r.t.Errorf("%s, %s: %q, want %q (%v)", endpoint, language, out, want, err)
		}
	}
	return 1
}
