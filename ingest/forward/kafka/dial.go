package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// dialer makes every connection to a broker. TLS is done here and not by the transport, so that the
// handshake's errors arrive as they are, and so that what answers is looked at in the clear before
// the client library reads it.
type dialer struct {
	net      net.Dialer
	tls      *tls.Config // nil: none
	pair     func() (*tls.Certificate, error)
	open     prometheus.Gauge
	withPair bool
}

func newDialer(o *TLS, brokers int, open prometheus.Gauge) (*dialer, error) {
	d := &dialer{open: open, pair: func() (*tls.Certificate, error) { return new(tls.Certificate), nil }}
	d.net.Timeout = max(dialTimeout/time.Duration(brokers), time.Second) // one that swallows packets leaves time for another
	if o == nil {
		return d, nil
	}
	d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca: %w", err)
		}
		if d.tls.RootCAs = x509.NewCertPool(); !d.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca: no certificate in %s", o.CAFile)
		}
	}
	if o.CertFile == "" && o.KeyFile == "" {
		return d, nil
	}
	d.withPair = true
	d.pair = func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.cert, kafka.tls.key: %w", err)
		}
		return &pair, nil
	}
	_, err := d.pair()
	return d, err
}

// stage says how far a connection came.
type stage string

const (
	stageTCP stage = "connect"
	stageTLS stage = "TLS"
)

// openError is why there is no connection.
type openError struct {
	addr  string
	stage stage
	asked bool // for a client certificate
	err   error
}

// Error implements error.
func (e *openError) Error() string { return fmt.Sprintf("%s %s: %v", e.addr, e.stage, e.err) }

// Unwrap returns what the network or the handshake said.
func (e *openError) Unwrap() error { return e.err }

// dial is kafkago.Transport.Dial. An error is an *openError.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	plain, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &openError{addr: addr, stage: stageTCP, err: err}
	}
	c := &conn{Conn: plain, addr: addr, open: d.open}
	c.open.Inc()
	if d.tls == nil {
		return c, nil
	}
	secure := tls.Client(plain, d.config(addr, &c.asked))
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close() //nolint:errcheck,gosec // the handshake's error says more
		return nil, &openError{addr: addr, stage: stageTLS, asked: c.asked.Load(), err: err}
	}
	c.Conn = secure
	return c, nil
}

// config is that of one handshake. asked becomes true when the broker asks who we are.
func (d *dialer) config(addr string, asked *atomic.Bool) *tls.Config {
	config := d.tls.Clone()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		config.ServerName = host
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked.Store(true)
		return d.pair()
	}
	return config
}

// conn is a connection to a broker. It reports its end to the gauge, once.
type conn struct {
	net.Conn
	addr   string
	open   prometheus.Gauge
	asked  atomic.Bool // for a client certificate
	heard  bool        // the first answer was Kafka's
	closed atomic.Bool
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.open.Dec()
	}
	return c.Conn.Close()
}

// SetDeadline implements net.Conn, but for ever is dialTimeout. The client library asks for ever
// before SASL, where a broker that falls silent would then hold its only goroutine for metadata,
// and between requests, where nobody reads or writes.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(dialTimeout)
	}
	return c.Conn.SetDeadline(t)
}

// maxFirst is more than the first answer of any broker takes: the versions it knows.
const maxFirst = 1 << 20

// foreignError says that what answers is not Kafka.
type foreignError struct {
	addr string
	head []byte // what it began with
}

// Error implements error.
func (e *foreignError) Error() string { return fmt.Sprintf("%s answers %q", e.addr, e.head) }

// Read implements net.Conn. The first answer on a connection must be a small one, to request 1: the
// client library would take any four bytes for the size of a list, and reserve memory for it (the
// answer of an HTTP server: 4.8 GB).
func (c *conn) Read(b []byte) (int, error) {
	if c.heard || len(b) < 8 {
		return c.Conn.Read(b)
	}
	n, err := io.ReadAtLeast(c.Conn, b, 8)
	if n < 8 {
		if n > 0 {
			return 0, &foreignError{c.addr, append([]byte(nil), b[:n]...)}
		}
		return 0, err
	}
	if size, id := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]); size < 6 || size > maxFirst || id != 1 {
		return 0, &foreignError{c.addr, append([]byte(nil), b[:8]...)}
	}
	c.heard = true
	return n, nil
}
