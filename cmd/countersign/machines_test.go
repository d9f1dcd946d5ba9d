package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/outbox/store"
)

// elsewhere is a listener on loopback that says that it is not.
type elsewhere struct {
	*net.TCPListener
	addr net.TCPAddr
}

// Addr implements net.Listener.
func (e elsewhere) Addr() net.Addr { return &e.addr }

// listenElsewhere listens on loopback, and says that the address is another.
func listenElsewhere(t *testing.T, ip string) (ln net.Listener, url string) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return elsewhere{inner.(*net.TCPListener), net.TCPAddr{IP: net.ParseIP(ip), Port: 8481}}, "http://" + inner.Addr().String()
}

// extended is the config of a house with more lines, and more keys under listen.
func extended(t *testing.T, config, listen, lines string) *Config {
	t.Helper()
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "listen: {", "listen: {"+listen, 1) + lines
	write(t, filepath.Dir(config), filepath.Base(config), text)
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return cfg
}

// asked is one call; host and token may be "".
func asked(t *testing.T, url, host, token string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestControlElsewhere: on an address that is not loopback the control listener keeps its metrics
// to those who have a token, while the file is opened and after that; listen.metrics shows them to
// whoever reaches it, and nothing else.
func TestControlElsewhere(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/hook")
	scraped := freeAddr(t)
	const viewer = "a-viewers-own-token-of-the-config"
	cfg := extended(t, config, "control_hosts: [countersign.internal], metrics: "+scraped+", ", fmt.Sprintf("tokens: [{name: vera, scope: viewer, sha256: %x}]\n", sha256.Sum256([]byte(viewer))))
	ln, control := listenElsewhere(t, "203.0.113.7")
	var log notebook
	in, out := make(chan struct{}), make(chan struct{})
	slow := func(ctx context.Context, path, to string, tick func(store.Progress)) (store.Report, error) {
		tick(store.Progress{Step: store.StepCheck, Done: 437, Total: 1000})
		close(in)
		<-out
		return examineApart(ctx, path, to, tick)
	}
	if code, _, errs := cli(t, nil, "check", "--config", config); code != exitYes {
		t.Fatal(errs)
	}
	opened := make(chan *gateway, 1)
	go func() {
		g, err := openGateway(cfg, roleAll, outside{ctx: t.Context(), log: slog.New(slog.NewJSONHandler(&log, nil)), terminal: io.Discard, examiner: slow, sockets: map[string]net.Listener{socketControl: ln}})
		if err != nil {
			t.Error(err)
		}
		opened <- g
	}()
	f := func(url, host, token string, code int, want, not string) {
		t.Helper()
		got, body := asked(t, url, host, token)
		if got != code || !strings.Contains(body, want) || not != "" && strings.Contains(body, not) {
			t.Errorf("%s as %q: %d %.300s, want %d with %q, without %q", url, host, got, body, code, want, not)
		}
	}
	<-in
	f(control+"/healthz", "", "", 200, "ok", "")
	f(control+"/readyz", "", "", 503, "not_ready", "checking")
	f(control+"/readyz", "", viewer, 503, "checking the file, 43 %", "")
	f(control+"/metrics", "", "", 503, "not_ready", "go_goroutines")
	f(control+"/metrics", "", viewer, 200, "go_goroutines", "")
	f(control+"/v1/audit", "", "", 503, "not_ready", "checking")
	f(control+"/readyz", "evil.example", viewer, 421, "listen.control_hosts", "checking")
	f("http://"+scraped+"/readyz", "", "", 503, "checking the file, 43 %", "")
	f("http://"+scraped+"/metrics", "", "", 200, "go_goroutines", "")
	close(out)
	g := <-opened
	if g == nil {
		t.FailNow()
	}
	f(control+"/readyz", "countersign.internal", "", 200, "ready", "")
	f(control+"/metrics", "", "", 401, "token", "go_goroutines")
	f(control+"/metrics", "", viewer, 200, "go_goroutines", "")
	f(control+"/debug/pprof/cmdline", "", viewer, 403, "operator", "")
	f(control+"/debug/pprof/cmdline", "", g.token, 200, "", "")
	f(control+"/v1/endpoints", "evil.example", g.token, 421, "listen.control_hosts", "acme-main")
	f("http://"+scraped+"/healthz", "", "", 200, "ok", "")
	f("http://"+scraped+"/readyz", "", "", 200, "ready", "")
	f("http://"+scraped+"/metrics", "countersign.internal:9100", "", 200, `countersign_control_refused_total{reason="host"} 2`, "")
	f("http://"+scraped+"/metrics", "evil.example", "", 421, "listen.control_hosts", "go_goroutines")
	f("http://"+scraped+"/v1/endpoints", "", g.token, 404, "", "acme-main")
	f("http://"+scraped+"/debug/pprof/cmdline", "", g.token, 404, "", "")
	if text := log.String(); !strings.Contains(text, "control_open_to_all") || !strings.Contains(text, "203.0.113.7") || strings.Contains(text, viewer) {
		t.Errorf("the log: %s", text)
	}
	if err := g.close(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", scraped); err == nil {
		t.Error("listen.metrics is open after the stop")
	}
}

// TestMetricsAddressInUse: the error names the listener.
func TestMetricsAddressInUse(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:9/hook")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := extended(t, config, "metrics: "+taken.Addr().String()+", ", "")
	if _, err := newGateway(cfg, roleAll, slog.New(slog.DiscardHandler), io.Discard); err == nil || !strings.Contains(err.Error(), "metrics listener") {
		t.Errorf("opened: %v", err)
	}
}

// TestTooOpen: which addresses are warned of, and which are none to be called by.
func TestTooOpen(t *testing.T) {
	f := func(address string, warned bool, name, called string) {
		t.Helper()
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := tooOpen(host) != ""; got != warned {
			t.Errorf("%s is warned of: %v", address, got)
		}
		if got := strings.Join(ownName(address), ""); got != name {
			t.Errorf("%s is called by %q, want %q", address, got, name)
		}
		if got := reachable(address); got != called {
			t.Errorf("%s is reached at %s, want %s", address, got, called)
		}
	}
	f("127.0.0.1:8481", false, "127.0.0.1", "127.0.0.1:8481")
	f("[::1]:8481", false, "::1", "[::1]:8481")
	f("localhost:8481", false, "localhost", "localhost:8481")
	f("10.0.0.7:8481", false, "10.0.0.7", "10.0.0.7:8481")
	f("[fd00::7]:8481", false, "fd00::7", "[fd00::7]:8481")
	f("100.64.0.7:8481", false, "100.64.0.7", "100.64.0.7:8481")
	f("countersign.internal:8481", false, "countersign.internal", "countersign.internal:8481")
	f("0.0.0.0:8481", true, "", "127.0.0.1:8481")
	f("[::]:8481", true, "", "[::1]:8481")
	f(":8481", true, "", "127.0.0.1:8481")
	f("203.0.113.7:8481", true, "203.0.113.7", "203.0.113.7:8481")
	f("[2001:db8::7]:8481", true, "2001:db8::7", "[2001:db8::7]:8481")

	_, config := house(t, "http://127.0.0.1:9/hook")
	for address, want := range map[string]bool{"0.0.0.0:8481": true, "10.0.0.7:8481": false} {
		code, out, _ := cli(t, map[string]string{"COUNTERSIGN_LISTEN_CONTROL": address}, "check", "--config-only", "--config", config)
		if code != exitYes || strings.Contains(out, "warning: "+config+": listen.control: ") != want {
			t.Errorf("%s: exit %d\n%s", address, code, out)
		}
	}
}

// TestTokenCommands is a token's life by the command line.
func TestTokenCommands(t *testing.T) {
	dir, config := house(t, "http://127.0.0.1:9/hook")
	f := func(env map[string]string, want int, text string, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, env, append(args, "--config", config)...)
		if code != want || !strings.Contains(out+errs, text) {
			t.Fatalf("%q: exit %d, want %d with %q\n%s%s", args, code, want, text, out, errs)
		}
		return out + errs
	}
	file := func(name string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v %v", name, fi, err)
		}
		token, err := readToken(path) // the form of operator.token
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	out := func(name string) string { return filepath.Join(dir, name) }
	f(nil, exitUsage, "add --out FILE", "token", "make", "root", "--scope", "admin", "--for-config") // nowhere to show it
	lines := f(nil, exitYes, "sha256: ", "token", "make", "root", "--scope", "admin", "--for-config", "--out", out("root.token"))
	root := file("root.token")
	if strings.Contains(lines, root) {
		t.Error("the token is printed as well")
	}
	_, yaml, _ := strings.Cut(lines, "reload:\n")
	extended(t, config, "", yaml)
	g := start(t, config)
	admin := map[string]string{"COUNTERSIGN_TOKEN": root}

	f(nil, exitYes, "operator.token", "token", "list") // which may do so
	f(admin, exitUsage, "add --out FILE", "token", "make", "prometheus", "--scope", "viewer")
	if said := f(admin, exitYes, "expires", "token", "make", "prometheus", "--scope", "viewer", "--expires", "90d", "--out", out("prometheus.token")); strings.Contains(said, "cs_") {
		t.Errorf("the token is printed as well: %s", said)
	}
	made := map[string]string{"COUNTERSIGN_TOKEN": file("prometheus.token")}
	f(made, exitYes, "acme-main", "endpoints", "list")
	f(made, exitUnpermitted, "scope operator", "endpoints", "resume", "acme-main")
	f(admin, exitNo, "exists", "token", "make", "another", "--scope", "viewer", "--out", out("prometheus.token"))
	f(admin, exitNo, "of this name", "token", "make", "prometheus", "--scope", "viewer", "--out", out("again.token"))
	if _, err := os.Stat(out("again.token")); err == nil {
		t.Error("an empty file is left")
	}
	f(admin, exitUsage, "--expires", "token", "make", "x", "--scope", "viewer", "--expires", "soon", "--out", out("x.token"))
	f(admin, exitNo, "has passed", "token", "make", "x", "--scope", "viewer", "--expires", "2020-01-01", "--out", out("x.token"))
	list := f(admin, exitYes, "prometheus", "token")
	for _, want := range []string{"operator.token", "root", "active", "made", "config", "root ", "LAST USED"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
	f(admin, exitYes, `"from":"made"`, "token", "list", "--json")
	f(admin, exitYes, "is revoked", "token", "revoke", "prometheus")
	f(made, exitUnpermitted, "has been revoked", "endpoints", "list")
	f(admin, exitNo, "config", "token", "revoke", "root")
	f(admin, exitUnknown, "no token of this name", "token", "revoke", "nobody")
	f(nil, exitYes, "/v1/tokens/prometheus/revoke", "audit")

	var shown, errs bytes.Buffer // on a terminal
	c := &console{out: &shown, err: &errs, shown: true, ctx: t.Context(), env: func(k string) (string, bool) { v, ok := admin[k]; return v, ok }}
	if code := run(c, []string{"token", "make", "kim", "--scope", "operator", "--config", config}); code != exitYes {
		t.Fatal(errs.String())
	}
	_, text, ok := strings.Cut(shown.String(), "shown this once: ")
	text, _, _ = strings.Cut(text, "\n")
	if !ok || tokenFault(text) != "" || !strings.Contains(shown.String(), "never expires") {
		t.Errorf("shown: %s", shown.String())
	}
	f(map[string]string{"COUNTERSIGN_TOKEN": text}, exitYes, "is enabled", "endpoints", "resume", "acme-main")
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	start(t, config)
	f(map[string]string{"COUNTERSIGN_TOKEN": text}, exitYes, "acme-main", "endpoints", "list") // over a restart
	f(made, exitUnpermitted, "has been revoked", "endpoints", "list")
}
