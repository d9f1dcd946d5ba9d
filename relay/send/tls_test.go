package send

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
	"log/slog"
	"math/big"
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
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	a.pem, _ = a.issue(t, name, nil)
	return a
}

// issue makes a certificate, with a as its authority; the first is a's own.
func (a *authority) issue(t *testing.T, name string, usage []x509.ExtKeyUsage) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: usage, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign
		parent, signer = tmpl, k
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, k.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert == nil {
		a.key = k
		a.cert, _ = x509.ParseCertificate(der)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// put replaces a file, with another time of change than before.
func put(t *testing.T, path string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(time.Duration(stamp.next()) * time.Second)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	return path
}

// counter gives each file a time of its own, however coarse the clock of the file system is.
type counter struct {
	mu sync.Mutex // guards the field below
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

var stamp counter

// mutual is a server that wants a certificate of its clients; who is the name in it.
func mutual(t *testing.T, server, clients *authority, http2 bool) (url string) {
	t.Helper()
	cert, key := server.issue(t, "hooks.example", nil)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Proto, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.EnableHTTP2 = http2
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients.pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// TestClientCertificate: an endpoint shows its own certificate and believes its own authority, over
// HTTP/1 and HTTP/2; another endpoint of the same client does neither. What is wrong is the reason
// tls.
func TestClientCertificate(t *testing.T) {
	dir := t.TempDir()
	theirs, ours, other := newAuthority(t, "theirs"), newAuthority(t, "ours"), newAuthority(t, "other")
	cert, key := ours.issue(t, "countersign", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth})
	strange, strangeKey := other.issue(t, "stranger", nil)
	file := func(name string, text []byte) string { return put(t, filepath.Join(dir, name), text) }
	right := TLSFiles{CA: file("ca.pem", theirs.pem), Cert: file("cert.pem", cert), Key: file("key.pem", key)}
	for _, http2 := range []bool{false, true} {
		url := mutual(t, theirs, ours, http2)
		c := New(Options{})
		t.Cleanup(c.Close)
		f := func(what string, files TLSFiles, wantBody string, wantReason ...string) {
			t.Helper()
			a, err := post(t, c.Pool(PoolOptions{TLS: files}), url, soon)
			if !slices.Contains(wantReason, Classify(err)) || string(a.Body) != wantBody {
				t.Errorf("http2 %v, %s: %q, %v; want %q, %q", http2, what, a.Body, err, wantBody, wantReason)
			}
			if err != nil && strings.Contains(err.Error(), dir) {
				t.Errorf("%s: the error names a file: %v", what, err)
			}
		}
		f("both", right, map[bool]string{false: "HTTP/1.1 countersign", true: "HTTP/2.0 countersign"}[http2], "")
		f("no certificate", TLSFiles{CA: right.CA}, "", TLS, Reset) // in TLS 1.3 a server refuses it after the handshake, and the end of the connection may overtake the alert
		f("a certificate of an authority they do not know", TLSFiles{CA: right.CA, Cert: file("s.pem", strange), Key: file("s.key", strangeKey)}, "", TLS, Reset)
		f("no authority", TLSFiles{Cert: right.Cert, Key: right.Key}, "", TLS)
		f("another authority", TLSFiles{CA: file("other.pem", other.pem), Cert: right.Cert, Key: right.Key}, "", TLS)
		f("nothing there", TLSFiles{CA: filepath.Join(dir, "nosuch")}, "", TLS)
	}
}

// TestCertificatesAreFollowed: files that are replaced count within ten seconds of the client's
// clock, without a restart and without cutting anything; those that cannot be used are logged, and
// the last that could are used further.
func TestCertificatesAreFollowed(t *testing.T) {
	dir := t.TempDir()
	theirs, ours := newAuthority(t, "theirs"), newAuthority(t, "ours")
	files := TLSFiles{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	become := func(name string) {
		cert, key := ours.issue(t, name, nil)
		put(t, files.Cert, cert)
		put(t, files.Key, key)
	}
	url := mutual(t, theirs, ours, true)
	var log bytes.Buffer
	c := new(clock)
	client := New(Options{Now: c.now, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	t.Cleanup(client.Close)
	p := client.Pool(PoolOptions{Name: "acme-main", TLS: files})
	f := func(wantReason, want, wantLog string) {
		t.Helper()
		log.Reset()
		a, err := post(t, p, url, soon)
		if Classify(err) != wantReason || !strings.HasSuffix(string(a.Body), want) || !strings.Contains(log.String(), wantLog) || (wantLog == "") != (log.Len() == 0) {
			t.Errorf("%q, %v, want %q, %q; log %q", a.Body, err, wantReason, want, log.String())
		}
	}
	f(TLS, "", `"endpoint_tls_unusable","endpoint":"acme-main"`)
	if at := p.CertificateEnds(); !at.IsZero() {
		t.Errorf("a certificate that is not there ends at %v", at)
	}
	put(t, files.CA, theirs.pem)
	become("first")
	f("", "first", "")
	become("second")
	f("", "first", "") // looked at every ten seconds
	c.forward(10 * time.Second)
	f("", "second", "endpoint_tls_reloaded")
	cert, _ := ours.issue(t, "half", nil)
	put(t, files.Cert, cert) // its key is not there yet
	c.forward(10 * time.Second)
	f("", "second", "is not the key of the certificate")
	become("third")
	c.forward(10 * time.Second)
	f("", "third", "endpoint_tls_reloaded")
	if err := os.Remove(files.CA); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(p.CertificateEnds()); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the certificate in use ends in %v", left)
	}
	c.forward(5 * time.Minute)
	f("", "third", "it does not exist")
	put(t, files.CA, newAuthority(t, "another").pem)
	c.forward(10 * time.Second)
	f(TLS, "", "endpoint_tls_reloaded")
}

// TestTLSFilesCheck: what is wrong is named, with the key that names the file.
func TestTLSFilesCheck(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t, "a")
	cert, key := a.issue(t, "one", nil)
	_, another := a.issue(t, "two", nil)
	file := func(name, text string) string { return put(t, filepath.Join(dir, name), []byte(text)) }
	good := TLSFiles{CA: file("ca", string(a.pem)), Cert: file("cert", string(cert)), Key: file("key", string(key))}
	f := func(files TLSFiles, wantKey, want string) {
		t.Helper()
		err := files.Check()
		te, _ := errors.AsType[*TLSError](err)
		switch {
		case want == "" && err != nil:
			t.Errorf("%+v: %v", files, err)
		case want != "" && (te == nil || te.Key != wantKey || !strings.Contains(te.Problem, want) || te.Remedy == ""):
			t.Errorf("%+v: %v, want %s: %s", files, err, wantKey, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("it quotes the file: %v", err)
		}
	}
	with := func(set func(*TLSFiles)) TLSFiles {
		files := good
		set(&files)
		return files
	}
	f(TLSFiles{}, "", "")
	f(good, "", "")
	f(with(func(f *TLSFiles) { f.CA = "" }), "", "")
	f(with(func(f *TLSFiles) { f.CA = filepath.Join(dir, "nosuch") }), "ca", "it does not exist")
	f(with(func(f *TLSFiles) { f.CA = dir }), "ca", "no regular file")
	f(with(func(f *TLSFiles) { f.CA = file("empty", "") }), "ca", "holds no certificate of an authority")
	f(with(func(f *TLSFiles) { f.CA = file("junk", "canary") }), "ca", "holds no certificate of an authority")
	f(with(func(f *TLSFiles) { f.CA = file("big", strings.Repeat("x", 1<<20+1)) }), "ca", "over 1 MiB")
	f(with(func(f *TLSFiles) { f.Cert = "" }), "cert", "is missing")
	f(with(func(f *TLSFiles) { f.Key = "" }), "key", "is missing")
	f(with(func(f *TLSFiles) { f.Cert = f.Key }), "cert", "holds no certificate")
	f(with(func(f *TLSFiles) { f.Cert = file("c2", "canary") }), "cert", "holds no certificate")
	f(with(func(f *TLSFiles) { f.Key = f.Cert }), "key", "holds no private key")
	f(with(func(f *TLSFiles) { f.Key = file("k2", string(another)) }), "key", "is not the key of the certificate")
	f(with(func(f *TLSFiles) {
		f.Key = file("k3", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nY2FuYXJ5\n-----END ENCRYPTED PRIVATE KEY-----\n")
	}), "key", "is locked with a passphrase")
	f(with(func(f *TLSFiles) {
		f.Cert = file("c4", "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n")
	}), "cert", "cannot be used")
	if leaf := good.Leaf(); leaf == nil || leaf.Subject.CommonName != "one" {
		t.Errorf("leaf %v", leaf)
	}
}

// TestHeaders: an endpoint's headers go with every request of its own, and none of another's; what
// the format sets wins.
func TestHeaders(t *testing.T) {
	var got http.Header
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = r.Header
	})
	c := New(Options{})
	t.Cleanup(c.Close)
	own := c.Pool(PoolOptions{Headers: []Header{
		NewHeader("x-env", "prod"), NewHeader("Authorization", "Bearer canary"), NewHeader("Webhook-Id", "forged"), NewHeader("User-Agent", "forged"), NewHeader("Idempotency-Key", "again"),
	}})
	for _, p := range []*Pool{own, c.Pool(PoolOptions{})} {
		for range 2 { // also on the connection used before
			if _, err := p.Post(t.Context(), url, Fields{{"Webhook-Id", "evt_1"}}, []byte("x"), soon); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"Webhook-Id": "evt_1", "User-Agent": "countersign", "Idempotency-Key": "", "X-Env": "", "Authorization": ""}
			if p == own {
				want["X-Env"], want["Authorization"] = "prod", "Bearer canary"
			}
			for name, w := range want {
				if v := strings.Join(got.Values(name), "|"); v != w {
					t.Errorf("%s: %q, want %q", name, v, w)
				}
			}
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", own.o, own.o.Headers, own.o.Headers, own.o.Headers[1]); strings.Contains(text, "canary") || strings.Contains(text, "prod") {
		t.Errorf("a value prints: %s", text)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "header", own.o.Headers[1])
	if strings.Contains(log.String(), "canary") {
		t.Errorf("a value is logged: %s", log.String())
	}
}

func TestCheckHeader(t *testing.T) {
	f := func(name, value, want string) {
		t.Helper()
		err := CheckHeader(name, value)
		he, _ := errors.AsType[*HeaderError](err)
		if want == "" && err != nil || want != "" && (he == nil || !strings.Contains(he.Problem, want) || he.Remedy == "") {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: the value is quoted: %v", name, err)
		}
	}
	f("X-Env", "prod", "")
	f("x-api-key", "canary 1!~", "")
	f("Authorization", "Bearer canary", "") // the config says whether auth stands beside it
	f("Cookie", "a=b; c=d", "")
	const itself = "sets itself"
	for _, name := range []string{
		"Host", "hOST", "Content-Length", "content-type", "Content-Encoding", "Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Proxy-Authenticate", "TE", "Trailer",
		"Transfer-Encoding", "transfer-encoding", "Upgrade", "Expect", "User-Agent", "Accept-Encoding", "Idempotency-Key", "Traceparent",
	} {
		f(name, "canary", itself)
	}
	f("webhook-id", "canary", "of the signature")
	f("Webhook-Anything", "canary", "of the signature")
	for _, name := range []string{"", ":authority", "X Env", "X-Env:", "X-Env\r\nX", "X-Énv", strings.Repeat("a", 65)} {
		f(name, "canary", "is no name of a header")
	}
	for _, value := range []string{"", " canary", "canary\n", "\tcanary", "canary "} {
		f("X-Env", value, "empty value, or blanks")
	}
	for _, value := range []string{"canary\r\nX-Other: 1", "can\x00ary", "canary\x7f", "canaryé", "can\tary"} {
		f("X-Env", value, "control characters, or beyond ASCII")
	}
	f("X-Env", strings.Repeat("a", 4<<10), "")
	f("X-Env", strings.Repeat("canary", 1000), "over 4 KiB")
}
