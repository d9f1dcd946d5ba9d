package ingest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// listener bounds the open connections, and outlives what makes fasthttp's Serve return for good: too many open files, a connection reset before it was accepted.
type listener struct {
	net.Listener
	slots chan struct{}
	log   *slog.Logger

	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex // guards open
	open map[*conn]struct{}
}

func newListener(ln net.Listener, maxConns int, log *slog.Logger) *listener {
	return &listener{Listener: ln, slots: make(chan struct{}, maxConns), log: log, closed: make(chan struct{}), open: map[*conn]struct{}{}}
}

// Accept waits for a free slot, then for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil {
			return l.track(c), nil
		}
		if !passing(err) {
			<-l.slots
			return nil, err
		}
		l.log.Warn("accept_failed", "error", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-l.closed:
			<-l.slots
			return nil, net.ErrClosed
		}
	}
}

// begun are the connections on which a request has begun to come and is not answered yet.
func (l *listener) begun() (cs []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if c.begun.Load() {
			cs = append(cs, c)
		}
	}
	return cs
}

// ended reports whether all of these are closed.
func (l *listener) ended(cs []*conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range cs {
		if _, open := l.open[c]; open {
			return false
		}
	}
	return true
}

// count is how many connections are open.
func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// rest closes the connections that rest between two requests.
func (l *listener) rest() {
	l.mu.Lock()
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, c := range open {
		if c.rested.Load() && !c.begun.Load() {
			c.Close() //nolint:errcheck,gosec // nothing is under way on it
		}
	}
}

// follow is told by fasthttp what becomes of a connection. It calls one active that has just been opened, so of the first request the bytes tell.
func follow(nc net.Conn, state fasthttp.ConnState) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, ok := nc.(*conn)
	switch {
	case !ok:
	case state == fasthttp.StateIdle:
		c.begun.Store(false)
		c.rested.Store(true)
	case state == fasthttp.StateActive && c.rested.Load():
		c.begun.Store(true)
	}
}

func (l *listener) track(c net.Conn) *conn {
	t := &conn{Conn: c}
	t.free = sync.OnceFunc(func() {
		l.mu.Lock()
		delete(l.open, t)
		l.mu.Unlock()
		<-l.slots
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[t] = struct{}{}
	return t
}

// cut closes every connection that is still open.
func (l *listener) cut() {
	l.mu.Lock()
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, c := range open {
		c.Close() //nolint:errcheck,gosec // it is cut, not finished
	}
}

// Close stops accepting.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

type conn struct {
	net.Conn
	free   func()
	begun  atomic.Bool // bytes have come since the last answer
	rested atomic.Bool // something was answered on it
}

// Read notes that a request begins.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.begun.Load() {
		c.begun.Store(true)
	}
	return n, err
}

// Close gives the slot back.
func (c *conn) Close() error {
	defer c.free()
	return c.Conn.Close()
}

// Certificate is a TLS key pair that follows its files: a renewed one is served within a minute, a broken one is logged and the old one goes on.
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
