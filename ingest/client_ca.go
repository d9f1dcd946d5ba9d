package ingest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// ClientAuthorities are who may vouch for clients of the callback listener. They follow their file
// as a Certificate does. Every client has to show a certificate of theirs; what is asked of a
// callback besides stays: the address, the token and the proof.
type ClientAuthorities struct {
	file string
	log  *slog.Logger
	now  func() time.Time

	refusals *rate.Limiter // of log lines
	unlogged atomic.Int64
	refused  func(reason string) // counts; set by New

	mu      sync.Mutex // guards the fields below
	pool    *x509.CertPool
	looked  time.Time
	stamped time.Time
}

// The reasons for which a client's certificate is refused.
const (
	noClientCert      = "missing"
	expiredClientCert = "expired"
	unknownClientCert = "unknown" // of another authority, or not made for clients
)

var clientCertReasons = []string{noClientCert, expiredClientCert, unknownClientCert}

// NewClientAuthorities loads the PEM file once, so that a wrong one is found at start.
func NewClientAuthorities(file string, log *slog.Logger, now func() time.Time) (*ClientAuthorities, error) {
	c := &ClientAuthorities{file: file, log: log, now: now, refusals: rate.NewLimiter(1, 20), refused: func(string) {}}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// ReadAuthorities reads the certificates of a PEM file. One that has none, or holds what is no
// certificate, is an error.
func ReadAuthorities(file string) (*x509.CertPool, error) {
	rest, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("load the client authorities: %w", err)
	}
	pool, n := x509.NewCertPool(), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("load the client authorities %s: it holds a block that is no certificate", file)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("load the client authorities %s: certificate %d: %w", file, n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("load the client authorities %s: there is no PEM certificate in it", file)
	}
	return pool, nil
}

func (c *ClientAuthorities) load() error {
	fi, err := os.Stat(c.file)
	if err != nil {
		return fmt.Errorf("load the client authorities: %w", err)
	}
	pool, err := ReadAuthorities(c.file)
	if err != nil {
		return err
	}
	c.pool, c.stamped, c.looked = pool, fi.ModTime(), c.now()
	return nil
}

// current looks at the file now and then. A broken one is logged, and the old one goes on.
func (c *ClientAuthorities) current() *x509.CertPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.looked) < lookAgain {
		return c.pool
	}
	c.looked = c.now()
	if fi, err := os.Stat(c.file); err == nil && fi.ModTime().Equal(c.stamped) {
		return c.pool
	}
	if err := c.load(); err != nil {
		c.log.Error("client_authorities_not_reloaded", "error", err)
	} else {
		c.log.Info("client_authorities_reloaded", "file", c.file)
	}
	return c.pool
}

// demand makes a connection's config ask for a client's certificate. It is judged here and not by
// crypto/tls, which would refuse without telling us; a session that is taken up again is judged
// again.
func (c *ClientAuthorities) demand(base *tls.Config) *tls.Config {
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		pool, from := c.current(), hello.Conn.RemoteAddr()
		conf := base.Clone()
		conf.GetConfigForClient = nil
		conf.ClientAuth, conf.ClientCAs = tls.RequestClientCert, pool
		conf.VerifyConnection = func(s tls.ConnectionState) error {
			reason, err := c.judge(pool, s.PeerCertificates)
			if err != nil {
				c.refuse(from, reason, err)
			}
			return err
		}
		return conf, nil
	}
	return base
}

func (c *ClientAuthorities) judge(pool *x509.CertPool, chain []*x509.Certificate) (reason string, _ error) {
	if len(chain) == 0 {
		return noClientCert, errors.New("the client showed no certificate")
	}
	o := x509.VerifyOptions{Roots: pool, Intermediates: x509.NewCertPool(), CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, cert := range chain[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(o)
	if err == nil {
		return "", nil
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return expiredClientCert, errors.New("the client's certificate, or one that it rests on, is not valid at this time")
	}
	return unknownClientCert, errors.New("the client's certificate is of no authority in tls.client_ca, or not made for clients")
}

// refuse writes one line for each refused handshake, at most one a second; how many were left out
// is in the next. Nothing of the certificate is logged: whoever connects writes it.
func (c *ClientAuthorities) refuse(from net.Addr, reason string, err error) {
	c.refused(reason)
	if !c.refusals.Allow() {
		c.unlogged.Add(1)
		return
	}
	c.log.Warn("client_certificate_refused", "reason", reason, "error", err, "client", peer(from).String(), "not_logged", c.unlogged.Swap(0))
}
