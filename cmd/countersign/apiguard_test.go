package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestAPIAddresses: a provider's address in the config is judged like a partner's.
func TestAPIAddresses(t *testing.T) {
	dir := t.TempDir()
	f := func(mode, allow, url, want string) {
		t.Helper()
		for _, provider := range []string{"onfido", "alpaca"} {
			keys := map[string]string{"onfido": ", keys: [env:KEY]"}[provider]
			path := write(t, dir, "c.yaml", fmt.Sprintf("mode: %s\negress: {allow: [%s]}\nsources:\n  - {name: a, provider: %s, partner: acme, api: {url: %q, user: id, key: env:KEY}%s}\npartners: [{id: acme}]\n",
				mode, allow, provider, url, keys))
			_, problems := loadConfig(path, func(k string) (string, bool) { return "canary-of-32-bytes-as-they-say-x", k == "KEY" }, knownNames())
			if ok := len(problems) == 0; ok != (want == "") || !ok && (!strings.Contains(problems[0].String(), "c.yaml:4: sources[0].api.url: "+want) || problems[0].Remedy == "") {
				t.Errorf("%s %s: %v, want %q", mode, url, problems, want)
			}
		}
	}
	const private = "points at a private or reserved address"
	f("live", "", "https://api.eu.onfido.com", "")
	f("sandbox", "", "http://127.0.0.1:1", "")
	f("live", "", "https://127.0.0.1:1", private)
	f("live", "127.0.0.0/8", "https://127.0.0.1:1", "")
	f("live", "", "https://169.254.169.254", private)
	f("sandbox", "", "http://169.254.169.254", private)
	f("sandbox", "", "https://10.0.0.1/v1", private)
	f("sandbox", "10.0.0.0/8", "https://10.0.0.1/v1", "")
	f("live", "", "https://[fd00::1]", private)
	f("live", "", "https://2130706433", "has a host that is a number")
	f("live", "", "https://localhost", "points at this machine")
	f("live", "", "http://api.example.com", "credentials would travel in clear")
}

// safeLog is a log that a test reads while it is written.
type safeLog struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was written.
func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestAPIGuard: what protects is the dialer, whatever the config's text looked like: of what is
// asked, of keys that are looked up, and of streams. The addresses are private ones, and are never
// connected to.
func TestAPIGuard(t *testing.T) {
	f := func(url, source string, post func(g *gateway)) {
		t.Helper()
		dir := t.TempDir()
		write(t, dir, "path.token", pathToken)
		write(t, dir, "api.key", "api-canary-of-some-length")
		path := write(t, dir, "countersign.yaml", fmt.Sprintf(`
mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {%s, partner: acme, api: {url: "http://127.0.0.1:1", user: client-7, key: file:api.key}}
partners: [{id: acme}]
`, dir, freeAddr(t), freeAddr(t), source))
		cfg, problems := loadConfig(path, func(string) (string, bool) { return "", false }, knownNames())
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		cfg.Sources[0].API.URL = url // as a name would, that leads somewhere else than it did
		var log safeLog
		g, err := newGateway(cfg, roleAll, slog.New(slog.NewJSONHandler(&log, nil)), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := g.close(); err != nil {
				t.Error(err)
			}
		})
		post(g)
		eventually(t, source+": the address is refused", func() bool { return strings.Contains(log.String(), "prohibited IP address") })
	}
	for _, url := range []string{"http://10.255.255.254:9", "http://169.254.169.254"} {
		f(url, "name: jumio, provider: jumio, token: file:path.token", func(g *gateway) {
			c := posted{path: "/v1/callbacks/jumio/" + pathToken, h: http.Header{}, body: []byte(section(t, "jumio/PROCESSED.txtar", "body"))}
			if code := c.send(t, "http://"+g.callbackAddr()); code != http.StatusOK {
				t.Errorf("answered %d", code)
			}
		})
		f(url, "name: plaid, provider: plaid_idv", func(g *gateway) {
			c := plaidCallback(t, newKeyShop(t).rotate("kid", true), "user-1")
			if code := c.send(t, "http://"+g.callbackAddr()); code != http.StatusServiceUnavailable {
				t.Errorf("answered %d", code)
			}
		})
		f(url, "name: brokerage, provider: alpaca", func(*gateway) {})
	}
}
