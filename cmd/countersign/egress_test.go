package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// connectProxy is an HTTP proxy on loopback that wants credentials; what it was asked is kept. It
// is a partner's way in, so it connects to loopback only.
type connectProxy struct {
	addr string
	want string // Proxy-Authorization; another is answered 407

	mu    sync.Mutex // guards the field below
	asked []string
}

func newConnectProxy(t *testing.T, want string) *connectProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	p := &connectProxy{addr: ln.Addr().String(), want: want}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *connectProxy) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, req.Method+" "+req.RequestURI)
	want := p.want
	p.mu.Unlock()
	if req.Header.Get("Proxy-Authorization") != want {
		fmt.Fprint(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if host, _, _ := net.SplitHostPort(req.RequestURI); !net.ParseIP(host).IsLoopback() {
		return
	}
	onward, err := net.Dial("tcp", req.RequestURI)
	if err != nil {
		return
	}
	defer onward.Close()
	fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
	go io.Copy(onward, r)
	io.Copy(c, onward)
}

// accept makes the proxy want other credentials.
func (p *connectProxy) accept(want string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want = want
}

func (p *connectProxy) seen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.asked, "\n")
}

// TestEgress: a whole gateway whose partner wants a client certificate, an authority of its own, a
// header and a password, behind a proxy that wants one too. The proxy first refuses: the delivery
// is tried again, for that reason. No secret is logged, shown, or in the file.
func TestEgress(t *testing.T) {
	var mu sync.Mutex // guards got
	var got http.Header
	var client string
	partner := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got, client = r.Header.Clone(), r.TLS.PeerCertificates[0].SerialNumber.String()
	}))
	partner.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	partner.StartTLS()
	t.Cleanup(partner.Close)
	proxy := newConnectProxy(t, "nobody has it")
	dir, _ := house(t, "http://127.0.0.1:9/")
	pair(t, dir, time.Now().Add(-time.Hour), time.Now().Add(365*24*time.Hour), x509.ExtKeyUsageClientAuth)
	write(t, dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: partner.Certificate().Raw})))
	write(t, dir, "password", "canary-password\n")
	write(t, dir, "proxy", "user:canary-proxy\n")
	write(t, dir, "api-key", "canary-api-key\n")
	config := write(t, dir, "countersign.yaml", fmt.Sprintf(`
data: %s/data
listen: {callbacks: %s, control: %s}
egress: {proxy: "http://%s", proxy_auth: file:proxy}
sources: [{name: sumsub-eu, provider: sumsub, keys: [file:sumsub.key], partner: acme}]
partners:
  - id: acme
    endpoints:
      - id: acme-main
        url: %s/kyc
        keys: [file:acme.key]
        retry: {first: 10ms, factor: 1, max: 10ms, attempts: 100}
        tls: {ca: file:ca.pem, cert: file:cert.pem, key: file:key.pem}
        headers: {X-Env: prod, X-Api-Key: file:api-key}
        auth: {basic: {user: countersign, password: file:password}}
`, dir, freeAddr(t), freeAddr(t), proxy.addr, partner.URL))
	cfg, problems := loadConfig(config, func(string) (string, bool) { return "", false }, knownNames())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var log syncBuffer
	g, err := newGateway(cfg, roleAll, slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code != exitYes {
		t.Fatal(out, errs)
	}
	eventually(t, "the proxy's refusal is logged, and tried again", func() bool { return strings.Count(log.String(), `"reason":"proxy_auth"`) > 1 })
	proxy.accept("Basic dXNlcjpjYW5hcnktcHJveHk=")
	eventually(t, "it is delivered", func() bool { return g.outbox.Owed("acme-main") == 0 })
	mu.Lock()
	if got.Get("X-Env") != "prod" || got.Get("X-Api-Key") != "canary-api-key" || got.Get("Authorization") != "Basic Y291bnRlcnNpZ246Y2FuYXJ5LXBhc3N3b3Jk" || client != "1" || got.Get("Proxy-Authorization") != "" || got.Get("Webhook-Signature") == "" {
		t.Errorf("the partner got %v from client %s", got, client)
	}
	mu.Unlock()
	if asked := proxy.seen(); !strings.Contains(asked, "CONNECT "+strings.TrimPrefix(partner.URL, "https://")) {
		t.Errorf("the proxy was asked %s", asked)
	}
	families, err := g.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool {
		return f.GetName() == "countersign_relay_client_certificate_expires_timestamp_seconds" && f.GetMetric()[0].GetGauge().GetValue() > float64(time.Now().Add(300*24*time.Hour).Unix())
	}) {
		t.Error("no metric says when the client certificate ends")
	}
	_, shown, _ := cli(t, nil, "endpoints", "--config", config, "--json")
	_, checked, _ := cli(t, nil, "check", "--config", config)
	if err := g.close(); err != nil {
		t.Error(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "data", "countersign.db"))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"the log": log.String(), "endpoints": shown, "check": checked, "the file": string(file), "the config": fmt.Sprintf("%+v %#v", *cfg, *cfg)} {
		for _, secret := range []string{"canary", "Y2FuYXJ5", "dXNlcjpjYW5hcnk", "Y291bnRlcnNpZ246"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds a secret (%s)", what, secret)
			}
		}
	}
}

// syncBuffer may be written while it is read.
type syncBuffer struct {
	mu sync.Mutex // guards the field below
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestSigningHeaders: what formats set is known by having them sign, and is nobody's to configure.
func TestSigningHeaders(t *testing.T) {
	names := signingHeaders()
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "X-Blendfi-Signature"} {
		if !names[name] {
			t.Errorf("%s is not among %v", name, names)
		}
	}
}
