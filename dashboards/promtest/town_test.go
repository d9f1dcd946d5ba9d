//go:build realprometheus

package promtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	random "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// town is the real gateway with everybody around it: partners that accept, fail, are gone or do not
// exist, providers that are asked or followed, and Kafka.
type town struct {
	t         *testing.T
	dir       string
	callbacks string // addresses
	control   string
	client    *http.Client // of providers

	command *exec.Cmd
	ended   chan struct{} // closed when the process is
	log     *os.File
}

const (
	hmacKey   = "a-key-of-the-provider-of-32-chars"
	pathToken = "a-path-segment-that-nobody-guesses-0123456789"
	acmeKey   = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
)

func newTown(t *testing.T) *town {
	t.Helper()
	g := &town{t: t, dir: t.TempDir(), callbacks: freeAddr(t), control: freeAddr(t)}
	for name, text := range map[string]string{"face.key": hmacKey, "path.token": pathToken, "api.key": "api-secret", "acme.key": acmeKey, "older.key": "whsec_" + "b2xkZXIxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc="} {
		g.write(name, text)
	}
	g.authority()
	main := g.server(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	over := g.server(true, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	failing := g.server(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	gone := g.server(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	down := g.server(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	shop := g.server(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }) // publishes no key that anybody names
	stream := g.server(false, g.events())
	g.write("countersign.yaml", fmt.Sprintf(config, g.dir, g.callbacks, g.control, down, shop, stream, main, over, failing, gone, freeAddr(t), brokers(t), main))
	binary := filepath.Join(g.dir, "countersign")
	if out, err := exec.CommandContext(t.Context(), "go", "-C", "../..", "build", "-o", binary, "./cmd/countersign").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var err error
	if g.log, err = os.Create(filepath.Join(g.dir, "gateway.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.stop(syscall.SIGTERM)
		if text, err := os.ReadFile(g.log.Name()); err == nil && t.Failed() {
			t.Logf("the gateway's last words: %s", text[max(0, len(text)-4000):])
		}
	})
	return g
}

// config takes: the directory; addresses; providers' APIs; partners; brokers.
const config = `mode: sandbox
data: %[1]s/data
listen: {callbacks: %[2]q, control: %[3]q}
tls: {cert: file:server.pem, key: file:server.key, client_ca: file:ca.pem}
sources:
  - name: face
    provider: generic
    keys: [file:face.key]
    partner: acme
    generic:
      signature: {kind: hmac, header: X-Face-Signature}
      map:
        event_type: '"check"'
        event_id: body.id
        occurred_at: time(body.at)
        subject: body.who
        ref: body.session
        workflow: body?.flow
        status: body.result
        reasons: list(body?.why)
        expires_at: body?.until
      statuses: {clear: approved, failed: rejected, begun: pending}
      reasons: {LIST: [sanctions_match, terminal], FAKE: [fraud_suspected, terminal]}
  - {name: asked, provider: jumio, token: file:path.token, partner: acme, api: {url: %[4]q, user: client-7, key: file:api.key}}
  - {name: keyed, provider: plaid_idv, partner: acme, api: {url: %[5]q, user: id, key: file:api.key}}
  - {name: followed, provider: alpaca, partner: acme, api: {url: %[6]q, user: broker-7, key: file:api.key}}
partners:
  - id: acme
    endpoints:
      - {id: main, url: %[7]q, keys: [file:acme.key, {key: file:older.key, until: "2036-01-01T00:00:00Z"}]}
      - {id: over-tls, url: %[8]q, keys: [file:acme.key], tls: {ca: file:ca.pem, cert: file:client.pem, key: file:client.key}}
      - {id: failing, url: %[9]q, keys: [file:acme.key], retry: {first: 1s, attempts: 2}}
      - {id: gone, url: %[10]q, keys: [file:acme.key]}
      - {id: down, url: "http://%[11]s/", keys: [file:acme.key], max_owed: 20}
kafka: {brokers: [%[12]s], create: true, replication: 1}
egress: {allow: [127.0.0.0/8]}
tracing: {endpoint: %[13]q} # whoever answers 200 is a collector
`

// brokers are Kafka in this process. One request in ten is refused for a while, as when a leader
// has moved.
func brokers(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var n atomic.Int64
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if _, ok := req.(*kmsg.ProduceRequest); !ok || n.Add(1)%10 != 0 {
			return nil, nil, false
		}
		return nil, errors.New("the connection is cut"), true
	})
	return c.ListenAddrs()[0]
}

// events is a stream in which something happens each half a second, and that ends after ten.
func (g *town) events() http.HandlerFunc {
	var mu sync.Mutex
	next := 0
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for range 10 {
			mu.Lock()
			next++
			id := next
			mu.Unlock()
			fmt.Fprintf(w, "data: {\"account_id\":\"acc-%d\",\"at\":%q,\"event_id\":%d,\"kyc_results\":null,\"status_to\":\"APPROVED\"}\n\n", id, time.Now().UTC().Format(time.RFC3339), id)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

func (g *town) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// server serves on loopback, over TLS with the certificate of this town's own authority.
func (g *town) server(encrypted bool, h http.HandlerFunc) (url string) {
	g.t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	if encrypted {
		pair, err := tls.LoadX509KeyPair(filepath.Join(g.dir, "server.pem"), filepath.Join(g.dir, "server.key"))
		if err != nil {
			g.t.Fatal(err)
		}
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		s.StartTLS()
	} else {
		s.Start()
	}
	g.t.Cleanup(s.Close)
	g.t.Cleanup(s.CloseClientConnections)
	return s.URL
}

// authority makes ca.pem, and the pairs server and client that it has signed.
func (g *town) authority() {
	g.t.Helper()
	secret := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			g.t.Fatal(err)
		}
		return k
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "town"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey := secret()
	pair := func(name string, of *x509.Certificate, key *ecdsa.PrivateKey) {
		der, err := x509.CreateCertificate(rand.Reader, of, ca, key.Public(), caKey)
		if err != nil {
			g.t.Fatal(err)
		}
		g.write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		text, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			g.t.Fatal(err)
		}
		g.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})))
	}
	pair("ca", ca, caKey)
	for i, name := range []string{"server", "client"} {
		pair(name, &x509.Certificate{
			SerialNumber: big.NewInt(int64(i) + 2), Subject: pkix.Name{CommonName: name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, secret())
	}
	text, _ := os.ReadFile(filepath.Join(g.dir, "ca.pem"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	own, err := tls.LoadX509KeyPair(filepath.Join(g.dir, "client.pem"), filepath.Join(g.dir, "client.key"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}}}}
}

// start starts the gateway and waits until it is ready.
func (g *town) start() {
	g.t.Helper()
	g.command = exec.Command(filepath.Join(g.dir, "countersign"), "serve", "--config", filepath.Join(g.dir, "countersign.yaml"))
	g.command.Dir, g.command.Stdout, g.command.Stderr = g.dir, g.log, g.log
	if err := g.command.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.ended = make(chan struct{})
	go func() { _ = g.command.Wait(); close(g.ended) }()
	eventually(g.t, "the gateway is ready", func() bool {
		select {
		case <-g.ended:
			g.t.Fatal("the gateway has ended")
		default:
		}
		resp, err := http.Get("http://" + g.control + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// stop sends the gateway a signal and waits for its end.
func (g *town) stop(how syscall.Signal) {
	if g.command == nil {
		return
	}
	_ = g.command.Process.Signal(how)
	select {
	case <-g.ended:
	case <-time.After(30 * time.Second):
		_ = g.command.Process.Kill()
		<-g.ended
	}
	g.command = nil
}

// reload has the gateway read its config again, with another first line, and waits for what comes of
// it.
func (g *town) reload(first, outcome string) {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, "countersign.yaml"))
	if err != nil {
		g.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	g.write("countersign.yaml", first+"\n"+rest)
	if err := g.command.Process.Signal(syscall.SIGHUP); err != nil {
		g.t.Fatal(err)
	}
	eventually(g.t, "the reload is "+outcome, func() bool {
		return bytes.Contains(g.exposition("text/plain"), []byte(`countersign_reloads_total{outcome="`+outcome+`"} 1`))
	})
}

// damage changes every place of the file, while nobody has it open, that says a text.
func (g *town) damage(text string) {
	g.t.Helper()
	file := filepath.Join(g.dir, "data", "countersign.db")
	whole, err := os.ReadFile(file)
	if err != nil {
		g.t.Fatal(err)
	}
	n := bytes.Count(whole, []byte(text))
	if n == 0 {
		g.t.Fatalf("the file says nowhere %s", text)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(whole, []byte(text), bytes.Repeat([]byte{'#'}, len(text))), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// exposition is what the gateway answers to one that accepts these types.
func (g *town) exposition(accept string) []byte {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "http://"+g.control+"/metrics", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: %v", resp.Status, err)
	}
	return text
}

func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 { // below the ports that the system gives to whoever asks for any
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+random.IntN(18000))))
		if err != nil {
			continue
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	t.Fatal("no port is free")
	return ""
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
