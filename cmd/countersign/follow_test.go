package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"countersign/ingest/provider"
	"countersign/kyc"
)

// accounts is Alpaca's stream: whoever has the credentials is told what came behind a cursor, and
// then what comes.
type accounts struct {
	mu    sync.Mutex // guards what follows
	all   []string   // events: the n-th has the id n
	more  chan struct{}
	asked []string
}

func (a *accounts) happens(account, status string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := len(a.all) + 1
	a.all = append(a.all, fmt.Sprintf(`{"account_id":%q,"at":"2026-03-14T09:36:%02dZ","event_id":%d,"kyc_results":null,"status_to":%q}`, account, id, id, status))
	close(a.more)
	a.more = make(chan struct{})
}

// next returns the events behind a cursor, and a channel that is closed when there are more.
func (a *accounts) next(behind int) ([]string, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[min(behind, len(a.all)):], a.more
}

// ServeHTTP implements http.Handler. A cursor includes the event it names.
func (a *accounts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, key, _ := r.BasicAuth(); user != "broker-7" || key != "stream-canary" || r.URL.Path != "/v1/events/accounts/status" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	behind := 1
	if _, err := fmt.Sscanf(r.URL.RawQuery, "since_id=%d", &behind); err != nil && r.URL.RawQuery != "since=2000-01-01" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	behind--
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.RawQuery)
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		events, more := a.next(behind)
		for _, e := range events {
			io.WriteString(w, ": heartbeat\n\ndata: "+e+"\n\n")
			behind++
		}
		http.NewResponseController(w).Flush()
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}

// TestStream: a provider that posts nothing is followed. What its stream says is told like a signed
// callback; a gateway that starts again goes on where it was, and nothing is told twice.
func TestStream(t *testing.T) {
	feed := &accounts{more: make(chan struct{})}
	api := httptest.NewServer(feed)
	t.Cleanup(api.Close) // after the gateway has hung up
	partner := &told{bodies: map[string][]string{}}
	hook := httptest.NewServer(partner)
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	write(t, dir, "api.key", "stream-canary")
	write(t, dir, "acme.key", acmeKey)
	config := write(t, dir, "countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: brokerage, provider: alpaca, partner: acme, api: {url: %q, user: broker-7, key: file:api.key}}
partners:
  - {id: acme, endpoints: [{id: acme-main, url: %q, keys: [file:acme.key]}]}
egress: {allow: [127.0.0.0/8]}
`, dir, freeAddr(t), freeAddr(t), api.URL, hook.URL+"/alpaca"))
	feed.happens("acc-7", "SUBMITTED")
	feed.happens("acc-7", "APPROVED")
	feed.happens("acc-7", "ACTIVE") // tells nobody anything new

	g := start(t, config)
	if code, out, errs := cli(t, nil, "submit", "--config", config, "acme", "user-7", "brokerage", "acc-7"); code != exitYes {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	says := func(n int, want string) {
		t.Helper()
		eventually(t, "the partner is told "+want, func() bool { return len(partner.of("alpaca")) >= n && g.outbox.Owed("acme-main") == 0 })
		all := partner.of("alpaca")
		if len(all) != n || !strings.Contains(all[n-1], want) || !strings.Contains(all[n-1], `"user-7"`) {
			t.Errorf("told %q, want %d, the last with %s", all, n, want)
		}
	}
	says(2, "kyc.status.approved")
	s, err := g.relay.SubjectStatus("acme", "user-7", false)
	if err != nil || s.Status != kyc.Approved {
		t.Errorf("%+v, %v", s, err)
	}
	c := posted{path: "/v1/callbacks/brokerage", h: http.Header{}, body: []byte(feed.all[1])}
	if code := c.send(t, "http://"+g.callbackAddr()); code != http.StatusNotFound {
		t.Errorf("a callback of a source that has none: answered %d", code)
	}
	eventually(t, "it is taken to its end", func() bool { at, err := g.journal.Cursor("brokerage"); return err == nil && at == "3" })
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	feed.happens("acc-7", "DISABLED") // while nobody listens

	g = start(t, config)
	says(3, "kyc.status.suspended")
	feed.mu.Lock()
	defer feed.mu.Unlock()
	if got := strings.Join(feed.asked, " "); got != "since=2000-01-01 since_id=3" {
		t.Errorf("asked %s", got)
	}
	code, out, errs := cli(t, nil, "subject", "--config", config, "acme", "user-7")
	if code != exitYes || strings.Count(out, "brokerage") == 0 || strings.Contains(out+errs, "canary") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// TestStreamOnTheCommandLine: what a stream is for is said where somebody may take its provider for
// one that posts.
func TestStreamOnTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	config := write(t, dir, "countersign.yaml", "partners: [{id: acme}]\nsources: [{name: brokerage, provider: alpaca, partner: acme, api: {user: id, key: env:KEY}}]\n")
	f := func(want string, code int, args ...string) {
		t.Helper()
		got, out, errs := cli(t, map[string]string{"KEY": "stream-canary"}, args...)
		if got != code || !strings.Contains(out+errs, want) || strings.Contains(out+errs, "canary") {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", args, got, code, want, out, errs)
		}
	}
	f("alpaca sends no callbacks", exitNo, "trigger", "--config", config, "brokerage", "active")
	f("source brokerage (alpaca): 0 key(s), evidence: signed; required: signed\n", exitYes, "check", "--config", config)
	f(`"stream":true`, exitYes, "providers", "--json")
	f("its stream is followed", exitYes, "providers")
	event := write(t, dir, "event.json", section(t, filepath.Join("alpaca", "ACTIVE.txtar"), "body"))
	f(`"disposition":"update"`, exitYes, "translate", "--provider", "alpaca", "--body", event)
	f(`"status":"approved"`, exitYes, "translate", "--provider", "alpaca", "--body", event)
	for _, a := range provider.All {
		if a.Stream != nil && len(provider.SampleEvents(a.Name)) == 0 {
			t.Errorf("%s has no samples", a.Name)
		}
	}
}
