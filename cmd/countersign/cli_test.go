package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/signing"
)

// TestMain lets the test binary be the program: a gateway checks its database in a process of its
// own, and some tests need a second one.
func TestMain(m *testing.M) {
	if gate := os.Getenv(holdCheck); gate != "" && len(os.Args) > 2 && os.Args[1] == "check" {
		os.Exit(heldCheck(gate))
	}
	if len(os.Args) > 2 && os.Args[1] == "check" || os.Getenv("COUNTERSIGN_BE_MAIN") != "" {
		if with := os.Getenv("COUNTERSIGN_SWAP_DISK"); with != "" {
			go swapDisk(with)
		}
		main()
		return
	}
	os.Exit(m.Run())
}

// cli runs one command and returns its exit code and what it wrote.
func cli(t *testing.T, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := &console{in: strings.NewReader(""), out: &o, err: &e, ctx: ctx, env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
	code = run(c, args)
	return code, o.String(), e.String()
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 { // below the ports that the system gives to whoever asks for any, and never the same twice
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+rand.IntN(18000)))
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		ln.Close()
		if _, given := givenAddrs.LoadOrStore(addr, true); !given {
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

var givenAddrs sync.Map

const acmeKey = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// house is a config in a directory of its own, with free ports.
func house(t *testing.T, hook string) (dir, config string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, "sumsub.key", "sumsub-secret-canary")
	write(t, dir, "rebilly.key", "countersign:basic-canary-long-enough")
	write(t, dir, "acme.key", acmeKey)
	return dir, write(t, dir, "countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}
  - {name: rebilly, provider: rebilly, keys: [file:rebilly.key], partner: acme}
partners:
  - id: acme
    endpoints:
      - {id: acme-main, url: "%s", keys: [file:acme.key], retry: {first: 10ms, factor: 1, max: 10ms, attempts: 3}}
`, dir, freeAddr(t), freeAddr(t), hook))
}

// start runs a gateway in this process until the test ends.
func start(t *testing.T, config string) *gateway {
	t.Helper()
	return startIn(t, config, roleAll)
}

// startIn is start in a role.
func startIn(t *testing.T, config, role string) *gateway {
	t.Helper()
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	g, err := newGateway(cfg, role, slog.New(slog.DiscardHandler), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return g
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func TestDemo(t *testing.T) {
	code, out, errs := cli(t, nil, "demo")
	if code != exitYes || !strings.Contains(out, "7 callbacks in, 5 webhooks out") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
}

// TestRoundTrip is a newcomer's first hour, by the command line alone.
func TestRoundTrip(t *testing.T) {
	answer := http.StatusInternalServerError
	partner := newHook(t, func() int { return answer })
	dir, config := house(t, partner.url)
	g := start(t, config)
	f := func(want int, text string, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, nil, args...)
		if code != want || !strings.Contains(out+errs, text) {
			t.Fatalf("%q: exit %d, want %d with %q\n%s%s", args, code, want, text, out, errs)
		}
		return out
	}
	f(exitYes, "is in order", "check", "--config", config)
	f(exitYes, "200 ok", "trigger", "--config", config, "sumsub-eu", "rejected_retry", "--subject", "carl")
	eventually(t, "the delivery is dead", func() bool { return g.outbox.Dead("acme-main") == 1 })
	var dead struct{ Data []struct{ ID, Reason string } }
	if err := json.Unmarshal([]byte(f(exitYes, "", "deliveries", "--config", config, "--dead-lettered", "--json")), &dead); err != nil || len(dead.Data) != 1 || dead.Data[0].Reason != "exhausted" {
		t.Fatalf("%v %+v", err, dead)
	}
	f(exitYes, "500 exhausted", "deliveries", "--config", config, "--dead-lettered") // what went wrong last
	answer = http.StatusOK
	f(exitYes, "is pending again", "redeliver", "--config", config, dead.Data[0].ID)
	eventually(t, "it is delivered", func() bool { return g.outbox.Owed("acme-main") == 0 && g.outbox.Dead("acme-main") == 0 })
	f(exitUnknown, "not found", "redeliver", "--config", config, "evt_01M8NW8BD5Y7PMN18APSKNPWHP@acme-main")

	f(exitYes, "200 ok", "trigger", "--config", config, "rebilly", "request_fulfilled", "--subject", "edsger")
	eventually(t, "it is told", func() bool { return partner.told("edsger", "in_review") && g.outbox.Owed("acme-main") == 0 })
	out := f(exitYes, "in_review (claimed approved)", "subject", "--config", config, "acme", "edsger")
	if !strings.Contains(out, "acme-main") || !strings.Contains(out, "done") {
		t.Errorf("the history does not say whom we told:\n%s", out)
	}
	var view relay.SubjectView
	if err := json.Unmarshal([]byte(f(exitYes, "", "subject", "--config", config, "--json", "acme", "carl")), &view); err != nil || len(view.Records) != 2 || len(view.Deliveries) != 2 {
		t.Errorf("carl: %v %+v", err, view)
	}
	f(exitUnknown, "not found", "subject", "--config", config, "acme", "nobody")
	seeCarl(t, f, config, dir)
	f(exitYes, "acme-main", "endpoints", "--config", config)
	f(exitYes, "is enabled", "endpoints", "resume", "--config", config, "acme-main")
	f(exitUnknown, "not found", "endpoints", "resume", "--config", config, "nosuch")
	f(exitYes, "", "quarantine", "--config", config)
	backup := filepath.Join(dir, "backup.db")
	f(exitYes, "every page checked", "backup", "--config", config, backup)
	f(exitNo, "exists", "backup", "--config", config, backup)
	f(exitYes, "are in order", "check", "--file", backup)
	f(exitYes, "nothing was changed", "compact", "--config", config, "--dry-run")
	f(exitYes, "the writer waited", "compact", "--config", config)
	f(exitYes, `"state":"done"`, "compact", "--config", config, "--json")
	f(exitNo, "locked", "compact", "--file", g.store.Path())
	f(exitYes, "nothing was changed", "compact", "--file", backup, "--dry-run")
	f(exitYes, "bytes and has", "compact", "--file", backup)
	f(exitYes, "are in order", "check", "--file", backup)
	f(exitYes, "200 ok", "trigger", "--config", config, "sumsub-eu", "approved", "--subject", "after")
	eventually(t, "it goes on upon the new file", func() bool { return partner.told("after", "approved") })
	f(exitNo, "locked by another process", "serve", "--config", config)
	f(exitNo, "no source nosuch", "trigger", "--config", config, "nosuch", "x")
	f(exitUsage, "unexpected argument", "frobnicate")
}

// hook is a partner that verifies nothing and remembers what it was told.
type hook struct {
	url  string
	seen chan [2]string
	all  map[[2]string]bool
}

func newHook(t *testing.T, answer func() int) *hook {
	t.Helper()
	h := &hook{seen: make(chan [2]string, 100), all: map[[2]string]bool{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			Data struct {
				Subject struct{ ID string }
				Status  string
			}
		}
		if json.NewDecoder(r.Body).Decode(&e) == nil {
			h.seen <- [2]string{e.Data.Subject.ID, e.Data.Status}
		}
		w.WriteHeader(answer())
	})}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	h.url = "http://" + ln.Addr().String() + "/"
	return h
}

func (h *hook) told(subject, status string) bool {
	for {
		select {
		case s := <-h.seen:
			h.all[s] = true
		default:
			return h.all[[2]string{subject, status}]
		}
	}
}

// A database that cannot be used is refused by name and left as it is (I8).
func TestUnusableDatabase(t *testing.T) {
	f := func(name, want string, spoil func(b []byte) []byte) {
		t.Helper()
		dir, config := house(t, "http://127.0.0.1:9/")
		g := start(t, config)
		if err := g.close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "data", "countersign.db")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b = spoil(b)
		write(t, filepath.Dir(path), "countersign.db", string(b))
		write(t, filepath.Dir(path), "countersign.unclean", "1\n") // as after a crash: the check in a process of its own runs first
		code, _, errs := cli(t, nil, "serve", "--config", config)
		if code != exitNo || !strings.Contains(errs, path) || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
		after, err := os.ReadFile(path)
		if err != nil || sha256.Sum256(after) != sha256.Sum256(b) {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
	f("too short", "too few", func(b []byte) []byte { return b[:100] })
	f("not a database", "corrupt", func(b []byte) []byte { return bytes.Repeat([]byte("no"), len(b)/2) })
	f("zeroed pages", "corrupt", func(b []byte) []byte { clear(b[2*4096:]); return b })
}

// Graceful stop: SIGTERM, exit 0, nothing owed is lost, and the mark of an unclean stop is gone.
func TestSIGTERM(t *testing.T) {
	partner := newHook(t, func() int { return http.StatusOK })
	dir, config := house(t, partner.url)
	cmd := exec.Command(os.Args[0], "serve", "--config", config)
	cmd.Env = append(os.Environ(), "COUNTERSIGN_BE_MAIN=1")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	eventually(t, "ready", func() bool {
		code, _, _ := cli(t, nil, "endpoints", "--config", config)
		return code == exitYes
	})
	if code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code != exitYes {
		t.Fatal(out, errs)
	}
	eventually(t, "told", func() bool { return partner.told("user-001", "approved") })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "countersign.unclean")); err == nil {
		t.Error("the mark of an unclean stop is still there")
	}
	fi, err := os.Stat(filepath.Join(dir, "data", "operator.token"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("operator.token: %v %v", fi.Mode(), err)
	}
	for _, canary := range []string{"sumsub-secret-canary", "basic-canary", acmeKey} {
		if strings.Contains(log.String(), canary) {
			t.Errorf("the log holds a secret (I7)")
		}
	}
}

// An endpoint without keys gets one, shown once and kept sealed.
func TestGeneratedKey(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "countersign.yaml", strings.Replace(string(b), "keys: [file:acme.key], ", "", 1))
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	open := func() string {
		var notices bytes.Buffer
		g, err := newGateway(cfg, roleAll, slog.New(slog.DiscardHandler), &notices)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.close(); err != nil {
			t.Fatal(err)
		}
		return notices.String()
	}
	first := open()
	_, key, ok := strings.Cut(first, "shown this once: ")
	if !ok || !strings.HasPrefix(key, "whsec_") {
		t.Fatalf("no key was shown: %q", first)
	}
	if again := open(); strings.Contains(again, "whsec_") {
		t.Error("the key was shown again")
	}
	db, err := os.ReadFile(filepath.Join(cfg.Data, "countersign.db"))
	if err != nil || bytes.Contains(db, []byte(strings.TrimSpace(key))) {
		t.Errorf("the key stands in clear in the file (%v)", err)
	}
}

// A component that fails ends the process with an error: here the disk's writer.
func TestComponentFails(t *testing.T) {
	p := newProcess(slog.New(slog.DiscardHandler))
	p.start("writer", func(context.Context) error { return store.ErrUnknown })
	p.start("other", func(ctx context.Context) error { <-ctx.Done(); return nil })
	if err := p.wait(t.Context()); err == nil || !strings.Contains(err.Error(), "writer") {
		t.Error(err)
	}
	if err := p.stop(); err == nil {
		t.Error("stop forgot the failure")
	}
}

// verify and translate work on captured files, offline.
func TestCaptured(t *testing.T) {
	dir := t.TempDir()
	body, err := provider.Sample("sumsub", "approved", provider.SampleVars{Subject: "ada", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	req, err := newCallback(t.Context(), &SourceConfig{Name: "s", Provider: "sumsub", Keys: mustKeys(t, "env:K", map[string]string{"K": "secret"})}, "http://x", body, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	headers, err := json.Marshal(req.Header)
	if err != nil {
		t.Fatal(err)
	}
	b, h := write(t, dir, "body.json", string(body)), write(t, dir, "headers.json", string(headers))
	f := func(want int, text string, args ...string) {
		t.Helper()
		code, out, errs := cli(t, map[string]string{"K": "secret", "W": "wrong", "S": acmeKey}, args...)
		if code != want || !strings.Contains(out+errs, text) {
			t.Errorf("%q: exit %d, want %d with %q\n%s%s", args, code, want, text, out, errs)
		}
	}
	f(exitYes, "genuine", "verify", "--provider", "sumsub", "--key", "env:K", "--headers", h, "--body", b, "--json")
	f(exitNo, "Remedy", "verify", "--provider", "sumsub", "--key", "env:W", "--headers", h, "--body", b)
	f(exitYes, "", "verify", "--provider", "sumsub", "--key", "env:W", "--key", "env:K", "--headers", h, "--body", b)
	f(exitNo, "not in this program", "verify", "--provider", "nosuch", "--key", "env:K", "--body", b)
	f(exitNo, "env:NOSUCH", "verify", "--provider", "sumsub", "--key", "env:NOSUCH", "--body", b)
	f(exitUsage, "missing flags", "verify")
	f(exitNo, "needs --key", "verify", "--provider", "sumsub", "--headers", h, "--body", b)
	f(exitYes, "Verdict: accepted", "verify", "--provider", "jumio", "--body", b) // which signs nothing, and proves as much
	f(exitYes, `"disposition":"update"`, "translate", "--provider", "sumsub", "--body", b)
	f(exitNo, `"disposition":"unreadable"`, "translate", "--provider", "sumsub", "--body", write(t, dir, "cut.json", string(body[:20])))
	f(exitNo, `unknown option`, "translate", "--provider", "sumsub", "--option", "nosuch=1", "--body", b)
	f(exitYes, "Webhook-Signature: v1,", "sign", "--scheme", "standard", "--key", "env:S", "--body", b)
	f(exitNo, "not in this program", "sign", "--scheme", "nosuch", "--key", "env:S", "--body", b)
	f(exitYes, "sumsub", "providers")
	f(exitYes, "blendfi-v1", "formats", "--json")
	f(exitYes, "countersign ", "version")
	f(exitYes, "sources[].name", "check", "--explain")
}

func mustKeys(t *testing.T, ref string, env map[string]string) (keys signing.Keyring) {
	t.Helper()
	keys, err := readKeys(&console{env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}, []string{ref})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
