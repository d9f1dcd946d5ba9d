package ingest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pair is a certificate on disk, and how it is replaced.
type pair struct {
	t         *testing.T
	cert, key string
	stamp     time.Time
}

// renew writes a new certificate with this serial number.
func (p *pair) renew(serial int64) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"gateway"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(p.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	p.write(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// write gives every file a time of its own, as files written by people have.
func (p *pair) write(name string, b []byte) {
	p.t.Helper()
	p.stamp = p.stamp.Add(time.Minute)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chtimes(name, p.stamp, p.stamp); err != nil {
		p.t.Fatal(err)
	}
}

// wound is a clock that a test moves.
type wound struct {
	mu sync.Mutex // guards t
	t  time.Time
}

func (w *wound) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.t
}

func (w *wound) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = w.t.Add(d)
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{t: t, cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"), stamp: at}
	p.renew(1)
	return p
}

// TestTLS: served, renewed from its files, kept when the new files are broken, nothing below TLS
// 1.2.
func TestTLS(t *testing.T) {
	p, clock, log := newPair(t), &wound{t: at}, &book{}
	certificate, err := NewCertificate(p.cert, p.key, slog.New(slog.NewJSONHandler(log, nil)), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, func(o *Options) { o.TLS, o.ReadTimeout = certificate, 300*time.Millisecond })
	serves := func(serial int64) {
		t.Helper()
		c := tls.Client(d.dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		defer c.Close()
		io.WriteString(c, approval(t, "sumsub", "user-1"))
		a, err := read(bufio.NewReader(c))
		if err != nil || a.status != 200 {
			t.Fatalf("%d, %v", a.status, err)
		}
		s := c.ConnectionState()
		if got := s.PeerCertificates[0].SerialNumber.Int64(); got != serial || s.NegotiatedProtocol != "http/1.1" {
			t.Errorf("certificate %d with %q, want %d with http/1.1", got, s.NegotiatedProtocol, serial)
		}
	}
	logged := func(line string, n int) {
		t.Helper()
		if got := strings.Count(log.String(), line); got != n {
			t.Errorf("%s is logged %d times, want %d", line, got, n)
		}
	}
	serves(1)
	p.renew(2)
	clock.pass(lookAgain - time.Second)
	serves(1) // has not looked yet
	clock.pass(time.Second)
	serves(2)
	logged("certificate_reloaded", 1)

	p.write(p.cert, []byte("half a file"))
	clock.pass(lookAgain)
	serves(2)
	serves(2)
	logged("certificate_not_reloaded", 1)
	os.Remove(p.key)
	clock.pass(lookAgain)
	serves(2)
	p.renew(3)
	p.write(p.key, []byte("not its key"))
	clock.pass(lookAgain)
	serves(2)
	logged("certificate_not_reloaded", 3)
	p.renew(4)
	clock.pass(lookAgain)
	serves(4)
	clock.pass(lookAgain)
	serves(4)
	logged("certificate_reloaded", 2)
	if strings.Contains(log.String(), "PRIVATE") {
		t.Error("the log shows a key")
	}
	d.hostileTLS(t)
}

// hostileTLS: old versions, plain HTTP and silence on a TLS port cost the connection and nothing
// else.
func (d *door) hostileTLS(t *testing.T) {
	t.Helper()
	old := tls.Client(d.dial(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := old.Handshake(); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v, want it refused for its version", err)
	}
	plain := d.dial()
	io.WriteString(plain, approval(t, "sumsub", "user-plain"))
	if b, err := io.ReadAll(plain); timedOut(err) || strings.Contains(string(b), "200") {
		t.Errorf("plain HTTP: %q, %v", b, err)
	}
	started := time.Now()
	for _, c := range []net.Conn{d.dial(), d.dial()} { // says nothing, and never finishes its handshake
		if _, err := io.Copy(io.Discard, c); timedOut(err) || time.Since(started) > 3*time.Second {
			t.Errorf("a silent connection: %v after %v", err, time.Since(started))
		}
	}
	for _, u := range d.updates() {
		if u.Subject.ID != "user-1" {
			t.Errorf("%s was taken", u.Subject.ID)
		}
	}
}

// TestCertificateAtStart: a pair that cannot be used is found before anything is served.
func TestCertificateAtStart(t *testing.T) {
	f := func(want string, spoil func(*pair)) {
		t.Helper()
		p := newPair(t)
		spoil(p)
		if _, err := NewCertificate(p.cert, p.key, slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("no such file", func(p *pair) { os.Remove(p.cert) })
	f("tls.key", func(p *pair) { os.Remove(p.key) })
	f("tls.crt", func(p *pair) { p.write(p.cert, []byte("x")) })
	f("does not match", func(p *pair) {
		old, _ := os.ReadFile(p.key)
		p.renew(2)
		p.write(p.key, old)
	})
}
