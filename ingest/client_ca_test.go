package ingest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority makes certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: at.AddDate(-1, 0, 0), NotAfter: at.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue makes a certificate that ends then.
func (a *authority) issue(ends time.Time, use x509.ExtKeyUsage) *tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "canary"}, NotBefore: at.AddDate(-1, 0, 0), NotAfter: ends, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// refusedFor is how many handshakes were refused for this reason.
func refusedFor(d *door, reason string) (n float64) {
	d.t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "ingest_handshakes_refused_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == reason {
				n = m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestClientAuthorities: only clients with a certificate of an authority are served, and only if
// what else is asked of them is there too; refused ones are logged and counted, with nothing of
// what they showed; the file is followed.
func TestClientAuthorities(t *testing.T) {
	p, clock, log := newPair(t), &wound{t: at}, &book{}
	logger := slog.New(slog.NewJSONHandler(log, nil))
	certificate, err := NewCertificate(p.cert, p.key, logger, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	file := filepath.Join(t.TempDir(), "clients.crt")
	p.write(file, ours.pem())
	clients, err := NewClientAuthorities(file, logger, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, func(o *Options) { o.TLS, o.Clients, o.ReadTimeout = certificate, clients, 2*time.Second })
	sessions := tls.NewLRUClientSessionCache(8)
	callback := func(cert *tls.Certificate, version uint16, raw string, cache tls.ClientSessionCache) int {
		t.Helper()
		conf := &tls.Config{InsecureSkipVerify: true, ServerName: "gateway", MinVersion: version, MaxVersion: version, ClientSessionCache: cache}
		if cert != nil {
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil } // whichever authorities are asked for
		}
		c := tls.Client(d.dial(), conf)
		defer c.Close()
		_, _ = io.WriteString(c, raw) // what fails is told by the answer
		a, err := read(bufio.NewReader(c))
		if err != nil {
			return 0
		}
		return a.status
	}
	f := func(cert *tls.Certificate, reason string, want int) {
		t.Helper()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			before, counted := strings.Count(log.String(), `"reason":"`+reason+`"`), refusedFor(d, reason)
			if got := callback(cert, version, approval(t, "sumsub", "user-1"), nil); got != want {
				t.Errorf("TLS %x, %s: %d, want %d", version, reason, got, want)
			}
			if want == 0 && (strings.Count(log.String(), `"reason":"`+reason+`"`) != before+1 || refusedFor(d, reason) != counted+1) {
				t.Errorf("TLS %x: %s is not told\n%s", version, reason, log)
			}
		}
	}
	good := ours.issue(at.AddDate(50, 0, 0), x509.ExtKeyUsageClientAuth)
	f(good, "", 200)
	f(nil, noClientCert, 0)
	f(other.issue(at.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth), unknownClientCert, 0)
	f(ours.issue(at.AddDate(0, 6, 0), x509.ExtKeyUsageServerAuth), unknownClientCert, 0)
	f(ours.issue(at.Add(-time.Hour), x509.ExtKeyUsageClientAuth), expiredClientCert, 0)
	if got := callback(good, tls.VersionTLS13, post(pathPrefix+"sumsub", "{}"), nil); got != 401 {
		t.Errorf("with a certificate and without a signature: %d", got)
	}
	if got := callback(good, tls.VersionTLS13, approval(t, "walled", "user-1"), nil); got != 403 {
		t.Errorf("with a certificate, from an address that is not allowed: %d", got)
	}
	if strings.Contains(log.String(), "canary") {
		t.Error("what a client showed is logged")
	}

	if got := callback(good, tls.VersionTLS13, approval(t, "sumsub", "user-2"), sessions); got != 200 {
		t.Fatalf("%d", got)
	}
	p.write(file, []byte("nonsense"))
	clock.pass(lookAgain)
	f(good, "", 200) // the old file goes on
	p.write(file, other.pem())
	clock.pass(lookAgain)
	f(good, unknownClientCert, 0)
	if got := callback(good, tls.VersionTLS13, approval(t, "sumsub", "user-3"), sessions); got != 0 { // a session that was begun under the old authority
		t.Errorf("an old session was taken up again: %d", got)
	}
	for _, line := range []string{"client_authorities_not_reloaded", "client_authorities_reloaded"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("%s is not logged", line)
		}
	}

	for range 50 {
		callback(nil, tls.VersionTLS13, approval(t, "sumsub", "user-1"), nil)
	}
	if n := strings.Count(log.String(), "client_certificate_refused"); n > 40 {
		t.Errorf("%d lines of the log", n)
	}
	for _, text := range []string{"", "nonsense", string(ours.pem()[:100]), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		p.write(file, []byte(text))
		if _, err := NewClientAuthorities(file, logger, clock.now); err == nil {
			t.Errorf("%q was taken for authorities", text)
		}
	}
}
