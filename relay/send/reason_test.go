package send

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestReasons(t *testing.T) {
	answer := func(text string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, text)
		}
	}
	f := func(name string, fn func(*net.TCPConn), want string) {
		t.Helper()
		addr, accepted := raw(t, fn)
		_, err := post(t, client(t, Options{}), "http://"+addr+"/kyc?token=canary-query", soon)
		if got := Classify(err); got != want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error quotes the URL: %v", name, err)
		}
		if accepted.Load() != 1 {
			t.Errorf("%s: %d connections: net/http retried by itself", name, accepted.Load())
		}
	}
	f("resets", func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1)) // unread bytes make the close a reset
		_ = c.SetLinger(0)
	}, Reset)
	f("closes", answer(""), Reset)
	f("closes in the header", answer("HTTP/1.1 200 OK\r\nContent-Type: te"), Reset)
	f("not HTTP", answer("220 mail.example ESMTP\r\n\r\n"), Protocol)
	f("garbage code", answer("HTTP/1.1 2x0 OK\r\n\r\n"), Protocol)
	f("short code", answer("HTTP/1.1 99 Low\r\n\r\n"), Protocol)
	f("bad length", answer("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), Protocol)
	f("two lengths", answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), Protocol)
	f("bad header line", answer("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), Protocol)
	f("echoes the request", func(c *net.TCPConn) {
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		_, _ = c.Write(b[:n])
	}, Protocol)
	f("echoes the path as code", answer("HTTP/1.1 /kyc?token=canary-query HTTP/1.1\r\n\r\n"), Protocol)
	f("huge header", func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for line := "X-Filler: " + strings.Repeat("a", 1000) + "\r\n"; ; {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
	}, Protocol)
	f("a little under 64 KiB", answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Filler: "+strings.Repeat("a", 60<<10)+"\r\n\r\n"), "")
	f("a little over", answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Filler: "+strings.Repeat("a", 70<<10)+"\r\n\r\n"), Protocol)
	f("1xx for ever", func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 4096))
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); err != nil {
				return
			}
		}
	}, Protocol)
	f("1xx, then an answer", answer("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "")
}

func TestSwitchingProtocolsDoesNotOutliveTheDeadline(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	addr, _ := raw(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		<-hold
	})
	a, err := post(t, client(t, Options{}), "http://"+addr, soon)
	if err != nil || a.Code != http.StatusSwitchingProtocols || a.Timings.Total > soon/2 {
		t.Errorf("Post = %+v, %v", a, err)
	}
}

func TestConnectAndDNS(t *testing.T) {
	f := func(o Options, url, want, wantText string) {
		t.Helper()
		_, err := post(t, client(t, o), url, soon)
		if Classify(err) != want || !strings.HasSuffix(err.Error(), wantText) {
			t.Errorf("%s: %v, want %s … %s", url, err, want, wantText)
		}
	}
	f(Options{}, "http://127.0.0.1:1", Connect, "connection refused")
	f(Options{Resolver: nameServer(t, func(string, int) []string { return nil })}, "http://nobody.example", DNS, "no such host")
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	f(Options{Resolver: resolverAt(silent.LocalAddr().String()), DialTimeout: 100 * time.Millisecond}, "http://slow.example", DNS, "did not answer")
	f(Options{}, "://", Other, "the URL cannot be used")
	f(Options{}, "/relative", Other, "the URL cannot be used")
	f(Options{}, "http://h\x00st?token=canary-query", Other, "the URL cannot be used")
	f(Options{}, "ftp://127.0.0.1/", Other, "the request failed (*errors.errorString)")
	f(Options{LiveMode: true, Allow: loopback}, "http://127.0.0.1:1", RefusedAddress, "plain http is refused in live mode")
}

// certificate is self-signed and its own authority.
func certificate(t *testing.T, name string, from, to time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "canary-subject"}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLSFailures(t *testing.T) {
	now := time.Now()
	good, roots := certificate(t, "localhost", now.Add(-time.Hour), now.Add(time.Hour))
	expired, expiredRoots := certificate(t, "localhost", now.Add(-2*time.Hour), now.Add(-time.Hour))
	early, earlyRoots := certificate(t, "localhost", now.Add(time.Hour), now.Add(2*time.Hour))
	named, namedRoots := certificate(t, "hooks.example", now.Add(-time.Hour), now.Add(time.Hour))
	f := func(name string, conf *tls.Config, roots *x509.CertPool, want, wantText string) {
		t.Helper()
		var served atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
		s.TLS = conf
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.StartTLS()
		defer s.Close()
		_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		_, err := post(t, client(t, Options{LiveMode: true, RootCAs: roots, Allow: loopback}), "https://localhost:"+port+"/?token=canary-query", soon)
		if got := Classify(err); got != want || err != nil && !strings.HasSuffix(err.Error(), wantText) {
			t.Errorf("%s: %q (%v), want %q … %q", name, got, err, want, wantText)
		}
		if wantServed := want == ""; (served.Load() == 1) != wantServed {
			t.Errorf("%s: served %d", name, served.Load())
		}
	}
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	f("good", with(good), roots, "", "")
	f("unknown authority", with(good), nil, TLS, "an authority we do not know")
	f("another name", with(named), namedRoots, TLS, "for another name")
	f("expired", with(expired), expiredRoots, TLS, "has expired or is not yet valid")
	f("not yet valid", with(early), earlyRoots, TLS, "has expired or is not yet valid")
	old := with(good)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	f("TLS 1.1", old, roots, TLS, "protocol version not supported")
	asks := with(good)
	asks.ClientAuth, asks.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
	f("wants our certificate", asks, roots, TLS, "the server refused the handshake: handshake failure")
}

func TestBrokenHandshakes(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	f := func(name string, fn func(*net.TCPConn), want, wantText string) {
		t.Helper()
		var first atomic.Int64
		addr, _ := raw(t, func(c *net.TCPConn) {
			b := make([]byte, 4096)
			if n, _ := c.Read(b); n > 0 {
				first.Store(int64(b[0]))
			}
			fn(c)
		})
		a, err := post(t, client(t, Options{TLSTimeout: 100 * time.Millisecond}), "https://"+addr, soon)
		if Classify(err) != want || !strings.HasSuffix(err.Error(), wantText) || a.Timings.Total > soon/2 {
			t.Errorf("%s: %v, want %s … %s", name, err, want, wantText)
		}
		if first.Load() != 0x16 {
			t.Errorf("%s: first byte %#x: sent in the clear", name, first.Load())
		}
	}
	f("says nothing", func(*net.TCPConn) { <-hold }, Timeout, "in the TLS handshake")
	f("half a record", func(c *net.TCPConn) { _, _ = c.Write([]byte{0x16, 3, 3, 0, 90, 2}); <-hold }, Timeout, "in the TLS handshake")
	f("resets", func(c *net.TCPConn) { _ = c.SetLinger(0) }, Reset, "in the TLS handshake")
	f("closes", func(*net.TCPConn) {}, Reset, "in the TLS handshake")
	f("plain HTTP", func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, TLS, "does not speak TLS")
}

func TestClassifyIsClosed(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if got := Classify(err); got != want || !slices.Contains(Reasons, got) {
			t.Errorf("Classify(%v) = %q, want %q", err, got, want)
		}
	}
	f(errors.New("anything"), Other)
	f(errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer"), Reset)
	f(errors.New("http2: client connection lost"), Reset)
	f(errors.New("http2: response header list larger than advertised limit"), Protocol)
	f(errors.New("http: server closed idle connection"), Reset)
	f(&net.OpError{Op: "dial", Err: errors.New("no route")}, Connect)
	f(&failure{reason: TLS}, TLS)
	if got := Classify(nil); got != "" {
		t.Errorf("Classify(nil) = %q", got)
	}
}

func tlsWith(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// TestWrappedAlert: an alert of the other side is one of TLS, whatever net/http was doing when it
// came.
func TestWrappedAlert(t *testing.T) {
	alert := &net.OpError{Op: "remote error", Err: tls.AlertError(116)}
	for _, err := range []error{
		alert,
		fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", alert),
		fmt.Errorf("write tcp 127.0.0.1:1->127.0.0.1:2: %w", alert),
		fmt.Errorf("http2: client connection lost: %w", alert),
	} {
		if got := reason(t.Context(), err); got != TLS {
			t.Errorf("%v: %s", err, got)
		}
	}
}
