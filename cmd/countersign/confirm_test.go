package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"countersign/ingest/provider"
	"countersign/kyc"
)

// section is one part of an adapter's fixture.
func section(t *testing.T, file, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "ingest", "provider", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut("\n"+string(b), "\n-- "+name+" --\n")
	if !ok {
		t.Fatalf("%s has no %s", file, name)
	}
	text, _, _ := strings.Cut(rest, "\n-- ")
	return text
}

// TestConfirmation: a provider that signs nothing says that it is done; nobody is approved by that.
// Its API is asked, over a restart and through an outage, and what it answers counts, and is told.
func TestConfirmation(t *testing.T) {
	var up, asked atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, key, _ := r.BasicAuth()
		switch {
		case up.Load() == 0:
			asked.Add(1)
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/oauth2/token" && user == "client-7" && key == "api-canary":
			io.WriteString(w, `{"access_token":"t0ken","expires_in":3600}`)
		case r.Header.Get("Authorization") == "Bearer t0ken" && strings.Contains(r.URL.Path, "/workflow-executions/"):
			io.WriteString(w, section(t, "jumio/api/approved.txtar", "answer1"))
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	partner := newHook(t, func() int { return http.StatusOK })
	dir := t.TempDir()
	write(t, dir, "path.token", pathToken)
	write(t, dir, "api.key", "api-canary")
	write(t, dir, "acme.key", acmeKey)
	config := func(api string) string {
		return write(t, dir, "countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: jumio, provider: jumio, token: file:path.token, partner: acme%s}
partners:
  - {id: acme, endpoints: [{id: acme-main, url: %q, keys: [file:acme.key]}]}
`, dir, freeAddr(t), freeAddr(t), api, partner.url))
	}
	status := func(g *gateway) kyc.Status {
		s, err := g.relay.SubjectStatus("acme", "cust-100234", false)
		if err != nil {
			return ""
		}
		return s.Status
	}
	post := func(g *gateway) {
		t.Helper()
		c := posted{path: "/v1/callbacks/jumio/" + pathToken, h: http.Header{}, body: []byte(section(t, "jumio/PROCESSED.txtar", "body"))}
		if code := c.send(t, "http://"+g.callbackAddr()); code != http.StatusOK {
			t.Fatalf("answered %d", code)
		}
	}

	file := config("") // without credentials it waits, and is seen to wait
	g := start(t, file)
	post(g)
	eventually(t, "it is pending", func() bool { return status(g) == kyc.Pending })
	if code, out, errs := cli(t, nil, "questions", "--config", file); code != exitYes || !strings.Contains(out, "jumio/workflow/") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}

	file = config(fmt.Sprintf(", api: {url: %q, user: client-7, key: file:api.key}", api.URL))
	g = start(t, file)
	post(g) // the provider's own repeat asks at once
	eventually(t, "the API was asked", func() bool { return asked.Load() > 0 })
	if s := status(g); s != kyc.Pending {
		t.Errorf("an API that is down made it %s", s)
	}
	up.Store(1)
	eventually(t, "the answer counts", func() bool { return status(g) == kyc.Approved })
	eventually(t, "and is told", func() bool { return partner.told("cust-100234", "approved") && g.outbox.Owed("acme-main") == 0 })
	code, out, errs := cli(t, nil, "subject", "--config", file, "acme", "cust-100234")
	if code != exitYes || !strings.Contains(out, "workflow") || strings.Contains(out+errs, "canary") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := cli(t, nil, "questions", "--config", file); code != exitYes || out != "" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// TestTrigger: samples of every adapter can be sent to a running gateway from the command line, but
// for those whose provider alone can sign.
func TestTrigger(t *testing.T) {
	config := town(t, newHook(t, func() int { return http.StatusOK }).url)
	start(t, config)
	sent := 0
	for _, a := range posting() {
		events := provider.SampleEvents(a.Name)
		for _, event := range events[:2] {
			code, out, errs := cli(t, nil, "trigger", "--config", config, a.Name, event)
			switch {
			case thin(a):
				if code != exitNo || !strings.Contains(errs, "only it has") {
					t.Errorf("%s %s: exit %d\n%s%s", a.Name, event, code, out, errs)
				}
			case code != exitYes || !strings.Contains(out, "200"):
				t.Errorf("%s %s: exit %d\n%s%s", a.Name, event, code, out, errs)
			default:
				sent++
			}
		}
	}
	if sent < 2*len(posting())-4 {
		t.Errorf("only %d samples were sent", sent)
	}
}
