package ingest

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a TLS key pair that follows its files: a renewed one is served within a minute, a
// broken one is logged and the old one goes on.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex // guards the fields below
	cert    *tls.Certificate
	looked  time.Time
	stamped [2]time.Time
}

const lookAgain = 10 * time.Second

// NewCertificate loads the pair once, so that a wrong file is found at start.
func NewCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: now}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Certificate) load() error {
	stamps, err := c.stamps()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load the certificate %s: %w", c.certFile, err)
	}
	c.cert, c.stamped, c.looked = &pair, stamps, c.now()
	return nil
}

func (c *Certificate) stamps() (s [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		fi, err := os.Stat(name)
		if err != nil {
			return s, fmt.Errorf("load the certificate: %w", err)
		}
		s[i] = fi.ModTime()
	}
	return s, nil
}

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.looked) < lookAgain {
		return c.cert, nil
	}
	c.looked = c.now()
	if s, err := c.stamps(); err == nil && s == c.stamped {
		return c.cert, nil
	}
	if err := c.load(); err != nil {
		c.log.Error("certificate_not_reloaded", "error", err)
	} else {
		c.log.Info("certificate_reloaded", "file", c.certFile)
	}
	return c.cert, nil
}

// ends is when the certificate that is served ends.
func (c *Certificate) ends() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cert.Leaf.NotAfter
}

func (in *Ingress) certificateEnds() float64 {
	if in.o.TLS == nil {
		return 0
	}
	return float64(in.o.TLS.ends().Unix())
}

func (c *Certificate) config(clients *ClientAuthorities) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"http/1.1"}}
	if clients != nil {
		return clients.demand(conf)
	}
	return conf
}
