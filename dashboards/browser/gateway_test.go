// Package browser has no code: its tests walk the console of a running gateway in a real Chromium,
// as people do, hold every page to axe-core's rules of accessibility, and take pictures.
package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// gateway is the real program, with a partner that takes what it is told and one that is down.
type gateway struct {
	t      *testing.T
	binary string
	config string
	base   string // of the console
	token  string // an admin's

	mu   sync.Mutex // guards what follows
	told []string   // subject status, as they came
}

const config = `mode: sandbox
data: %[1]s/data
listen: {callbacks: %[2]s, control: %[3]s}
log: {level: error}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}
  - {name: persona-us, provider: persona, keys: [file:persona.key], partner: acme}
  - {name: rebilly, provider: rebilly, keys: [file:rebilly.key], partner: acme}
  - {name: by-ref, provider: sumsub, keys: [file:sumsub.key], partner_from: submission}
  - {name: by-prefix, provider: sumsub, keys: [file:sumsub.key], partner_from: subject_prefix}
partners:
  - id: acme
    endpoints:
      - {id: acme-main, url: "%[4]s/kyc", keys: [file:acme.key]}
      - {id: acme-ledger, url: "http://127.0.0.1:9/", keys: [file:acme.key], events: [kyc.status.rejected, kyc.status.suspended], retry: {first: 1s, factor: 1, max: 1s, attempts: 50}}
      - {id: acme-risk, url: "%[4]s/gone", keys: [file:acme.key], events: [kyc.status.rejected], retry: {first: 100ms, factor: 1, max: 100ms, attempts: 2}}
`

// newGateway builds the program, and runs it until the test ends.
func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{t: t}
	dir := t.TempDir()
	g.binary = program.of(t)
	partner := httptest.NewServer(http.HandlerFunc(g.take))
	t.Cleanup(partner.Close)
	callbacks, control := freeAddr(t), freeAddr(t)
	for name, text := range map[string]string{
		"sumsub.key": "a-secret-of-sumsub-0001", "persona.key": "wbhsec_a-secret-of-persona", "rebilly.key": "countersign:a-password-that-is-long",
		"acme.key": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "countersign.yaml": fmt.Sprintf(config, dir, callbacks, control, partner.URL),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.config, g.base = filepath.Join(dir, "countersign.yaml"), "http://"+control
	var log bytes.Buffer
	serve := exec.Command(g.binary, "serve", "--config", g.config)
	serve.Stdout, serve.Stderr = &log, &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(os.Interrupt)
		_ = serve.Wait()
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", log.String())
		}
	})
	g.eventually("the gateway is ready", func() bool {
		resp, err := http.Get(g.base + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	token, err := os.ReadFile(filepath.Join(dir, "data", "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	g.token = strings.TrimSpace(string(token))
	return g
}

func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 { // below the ports that the system gives to whoever asks for any
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+rand.IntN(18000))))
		if err != nil {
			continue
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

// take is the partner: it accepts everything but what goes to an address of it that is broken.
func (g *gateway) take(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	if req.URL.Path != "/kyc" {
		http.Error(w, "this queue was moved", http.StatusInternalServerError)
		return
	}
	var e struct {
		Data struct {
			Status  string
			Subject struct{ ID string }
		}
	}
	_ = json.Unmarshal(body, &e)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, e.Data.Subject.ID+" "+e.Data.Status)
}

func (g *gateway) wasTold(what string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.told, what)
}

// trigger posts a signed sample of a provider, as the provider would.
func (g *gateway) trigger(source, event, subject string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, g.binary, "trigger", "--config", g.config, source, event, "--subject", subject).CombinedOutput()
	if err != nil {
		g.t.Fatalf("trigger %s %s: %v\n%s", source, event, err, out)
	}
}

func (g *gateway) eventually(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	g.t.Fatalf("never: %s", what)
}

// people are what the pages show: some approved, one held by a sanctions match, one rejected that
// two endpoints were not told of, and one of whom only unsigned evidence speaks.
func (g *gateway) people() {
	g.t.Helper()
	for _, s := range []string{"ada", "grace", "barbara", "user-001", "user-002", "user-003"} {
		g.trigger("sumsub-eu", "approved", s)
	}
	g.trigger("persona-us", "approved", "ada")
	g.trigger("sumsub-eu", "rejected_sanctions", "linus")
	g.trigger("persona-us", "approved", "linus")
	g.trigger("sumsub-eu", "approved", "linus")
	g.trigger("sumsub-eu", "pending", "edsger")
	g.trigger("sumsub-eu", "rejected_retry", "edsger")
	g.trigger("rebilly", "request_fulfilled", "donald")
	g.eventually("the partner was told of everybody", func() bool {
		return g.wasTold("ada approved") && g.wasTold("user-003 approved") && g.wasTold("edsger rejected") && g.wasTold("linus rejected")
	})
}
