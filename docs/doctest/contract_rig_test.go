package doctest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	"syscall"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/outbox/store"
)

const sumsubKey = "a-key-of-sumsub-for-the-contract"

// running is the whole program, run as a process of its own, and the partner that it tells.
type running struct {
	t         *testing.T
	dir       string
	binary    string
	callbacks string
	control   string
	partner   *httptest.Server // answers 404 to whatever names user-002, and 410 at /gone
	process   *exec.Cmd
	out       *bytes.Buffer
	text      []byte         // the document
	doc       map[string]any // the same, decoded
	calls     []*operation   // what is in it
}

// The tokens of the config, by scope. other is a partner's whose subjects these are not.
func tokenOf(who string) string { return "token-of-" + who + "-in-a-test-of-the-contract" }

var builtIn string // the folder that it is in; "": nobody has needed it

var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "countersign-contract-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "countersign")
	c := exec.Command("go", "build", "-o", path, "./cmd/countersign")
	c.Dir = filepath.Join("..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build countersign: %w\n%s", err, out)
	}
	return path, nil
})

// TestMain removes what was built.
func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// gateway runs one until the test ends.
func gateway(t *testing.T) *running {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	g := &running{t: t, dir: t.TempDir(), binary: path, callbacks: free(t), control: free(t)}
	g.partner = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		switch {
		case strings.HasPrefix(r.URL.Path, "/gone"):
			w.WriteHeader(http.StatusGone)
		case bytes.Contains(b, []byte("user-002")):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error": "no such customer"}`)
		}
	}))
	t.Cleanup(g.partner.Close)
	g.write("sumsub.key", sumsubKey)
	g.write("api.key", "api-key-of-some-length")
	g.write("path.token", "a-path-token-of-some-length")
	g.write("acme.key", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	g.write("countersign.yaml", g.config(""))
	g.start()
	t.Cleanup(g.stop)
	g.text = []byte(g.call(request{as: "", method: "GET", path: "/v1/openapi.json"}).body)
	g.doc, _ = decoded(t, g.text).(map[string]any)
	return g
}

func (g *running) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// config is of a sandbox; more is what stands with the source that is sent a live body.
func (g *running) config(more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}
  - {name: sumsub-us, provider: sumsub, keys: [file:sumsub.key], partner: acme%s}
  - {name: jumio, provider: jumio, token: file:path.token, partner: acme, api: {url: "http://%s/down", user: client-7, key: file:api.key}}
partners:
  - id: acme
    endpoints:
      - {id: acme-main, url: "%s/kyc", keys: [file:acme.key], retry: {first: 10ms, factor: 1, max: 10ms, attempts: 2}}
      - {id: acme-old, url: "%s/gone", keys: [file:acme.key], retry: {first: 10ms, factor: 1, max: 10ms, attempts: 2}}
  - id: beta
    endpoints:
      - {id: beta-main, url: "%s/beta"}
tokens:
`, g.dir, g.callbacks, g.control, more, free(g.t), g.partner.URL, g.partner.URL, g.partner.URL)
	for _, who := range []struct{ name, rest string }{
		{"viewer", "scope: viewer"}, {"operator", "scope: operator"}, {"admin", "scope: admin"}, {"partner", "scope: partner, partner: acme"}, {"other", "scope: partner, partner: beta"},
	} {
		fmt.Fprintf(&b, "  - {name: %s, %s, sha256: %x}\n", who.name, who.rest, sha256.Sum256([]byte(tokenOf(who.name))))
	}
	return b.String()
}

func free(t *testing.T) string {
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

func (g *running) start() {
	g.t.Helper()
	g.out = &bytes.Buffer{}
	g.process = exec.Command(g.binary, "serve", "--config", filepath.Join(g.dir, "countersign.yaml"))
	g.process.Stdout, g.process.Stderr = g.out, g.out
	g.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.process.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.until("it is ready", func() bool {
		resp, err := http.Get("http://" + g.control + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (g *running) stop() {
	if g.process == nil {
		return
	}
	err := errors.Join(g.process.Process.Signal(syscall.SIGTERM), g.process.Wait())
	if g.process = nil; err != nil || g.t.Failed() {
		g.t.Logf("the gateway: %v\n%s", err, g.out)
	}
}

// until waits for something that has to come.
func (g *running) until(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// request is one call, and of whose token; "": of none.
type request struct {
	as, method, path, ask string
	headers               []string // pairs
}

// answer is what was said to it.
type answer struct {
	status int
	header http.Header
	body   string
}

func (g *running) call(r request) answer {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), r.method, "http://"+g.control+r.path, strings.NewReader(r.ask))
	if err != nil {
		g.t.Fatal(err)
	}
	if r.as != "" {
		req.Header.Set("Authorization", "Bearer "+tokenOf(r.as))
	}
	for i := 0; i < len(r.headers); i += 2 {
		req.Header.Set(r.headers[i], r.headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// say posts what sumsub would, as it signs it.
func (g *running) say(source string, body []byte) {
	g.t.Helper()
	mac := hmac.New(sha256.New, []byte(sumsubKey))
	mac.Write(body)
	g.post(source, body, "X-Payload-Digest", hex.EncodeToString(mac.Sum(nil)), "X-Payload-Digest-Alg", "HMAC_SHA256_HEX")
}

func (g *running) post(source string, body []byte, headers ...string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, "http://"+g.callbacks+"/v1/callbacks/"+source, bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		g.t.Fatalf("a callback at %s is answered %d", source, resp.StatusCode)
	}
}

// sumsub is a sample of what sumsub says about somebody; more pairs are replaced in it.
func (g *running) sumsub(event, subject, ref string, minute int, more ...string) []byte {
	g.t.Helper()
	b, err := provider.Sample("sumsub", event, provider.SampleVars{
		Livemode: slices.Contains(more, "live"), Subject: subject, ProviderRef: ref, SessionRef: "session-" + ref, EventID: "event-" + ref, At: time.Date(2026, 3, 1, 9, minute, 0, 0, time.UTC),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return []byte(strings.NewReplacer(more...).Replace(string(b)))
}

// lists waits until a list has as many entries, and returns them.
func (g *running) lists(path string, n int) (data []map[string]any) {
	g.t.Helper()
	g.until(fmt.Sprintf("%s has %d entries", path, n), func() bool {
		var v struct{ Data []map[string]any }
		a := g.call(request{as: "admin", method: "GET", path: path})
		if err := json.Unmarshal([]byte(a.body), &v); err != nil {
			g.t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		data = v.Data
		return len(data) == n
	})
	return data
}

// damage changes a record in the file of a gateway that is stopped, as a failing disk would.
func (g *running) damage(n store.Name, key string) {
	g.t.Helper()
	s, err := store.Open(store.Options{Dir: filepath.Join(g.dir, "data")})
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(g.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	err = s.Update(ctx, func(tx *store.Tx) error {
		body, err := tx.Bucket(n).Get([]byte(key))
		if body == nil {
			return errors.Join(err, errors.New("there is no such record"))
		}
		record := store.NewRecord(bytes.Clone(body))
		err = tx.Bucket(n).PutRecord([]byte(key), record)
		record[len(record)-1] ^= 0xff
		record[len(record)-2] ^= 0xff
		return err
	})
	stop()
	if err := errors.Join(err, <-ended, s.Close()); err != nil {
		g.t.Fatal(err)
	}
}
