package send

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// PoolOptions say what is particular to one endpoint. The zero value is an endpoint with the
// defaults.
type PoolOptions struct {
	Name    string   // of the endpoint, for the log
	Conns   int      // connections open at once at most, being opened, in use or resting; default 64
	Headers []Header // with every request; what the format sets of the same name wins
	TLS     TLSFiles // followed when they change
	Public  bool     // the exceptions of Options.Allow do not count
}

// Same reports whether a pool with these options serves as well as one with the others.
func (o PoolOptions) Same(other PoolOptions) bool {
	return o.Name == other.Name && o.Conns == other.Conns && o.TLS == other.TLS && o.Public == other.Public &&
		slices.EqualFunc(o.Headers, other.Headers, func(a, b Header) bool { return a.Name == b.Name && a.value() == b.value() })
}

// Pool is the connections of one endpoint, and of nobody else: two endpoints at one host share
// none, in HTTP/2 neither, so one that hangs holds up itself only (I6). It is safe for concurrent
// use.
type Pool struct {
	c     *Client
	o     PoolOptions
	slots chan struct{} // taken by each connection, of whatever generation; net/http's own bound does not hold in HTTP/2

	mu      sync.Mutex // guards the fields below
	current *generation
	looked  time.Time // when the files of TLS were last looked at
	stamps  stamps    // of those that current was made with
}

// Pool returns a new pool. Close of the client closes its idle connections.
func (c *Client) Pool(o PoolOptions) *Pool {
	o.Conns = orDefault(o.Conns, 64)
	p := &Pool{c: c, o: o, slots: make(chan struct{}, o.Conns)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools = append(c.pools, p)
	return p
}

// generation is connections that were opened within MaxAge. When it is over, requests under way end
// as they would have, and then their connections are closed.
type generation struct {
	transport *http.Transport
	tls       *tls.Config
	born      time.Time
	proxied   bool
	users     int // Posts under way; guarded by Pool.mu
	retired   bool
}

const lookAgain = 10 * time.Second // at files that may have changed

// take returns the generation to use, a new one if the last has had its time or a file of its TLS
// has changed. Whoever takes gives.
func (p *Pool) take() (*generation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.c.o.Now()
	if p.current == nil || now.Sub(p.current.born) >= p.c.o.MaxAge || p.filesChanged(now) {
		if err := p.renew(now); err != nil {
			return nil, err
		}
	}
	p.current.users++
	return p.current, nil
}

// fresh returns a generation that has no connection yet. Whoever takes gives.
func (p *Pool) fresh() *generation {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replace(p.current.tls, p.c.o.Now())
	p.current.users++
	return p.current
}

// give ends a use. The last one of a retired generation closes what is left of it.
func (p *Pool) give(g *generation) {
	p.mu.Lock()
	g.users--
	over := g.retired && g.users == 0
	p.mu.Unlock()
	if over {
		g.transport.CloseIdleConnections()
	}
}

// CertificateEnds is when the client certificate ends that is, or is about to be, in use; zero:
// there is none.
func (p *Pool) CertificateEnds() time.Time {
	if leaf := p.o.TLS.Leaf(); leaf != nil {
		return leaf.NotAfter
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil || len(p.current.tls.Certificates) == 0 {
		return time.Time{}
	}
	return p.current.tls.Certificates[0].Leaf.NotAfter // its files cannot be used any more
}

// End closes the connections: those at rest at once, those in use when the posts under way on them
// have ended as they would have. Nobody may post through it any more.
func (p *Pool) End() {
	p.c.mu.Lock()
	p.c.pools = slices.DeleteFunc(p.c.pools, func(other *Pool) bool { return other == p })
	p.c.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		p.current.retired = true
		p.current.transport.CloseIdleConnections()
	}
}

func (p *Pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		p.current.transport.CloseIdleConnections()
	}
}

// filesChanged looks at most every ten seconds. The caller holds mu.
func (p *Pool) filesChanged(now time.Time) bool {
	if p.o.TLS == (TLSFiles{}) || now.Sub(p.looked) < lookAgain {
		return false
	}
	p.looked = now
	return p.o.TLS.stamps() != p.stamps
}

// renew begins a generation. Files that cannot be used are logged, and what was read of them last
// is used further. The caller holds mu.
func (p *Pool) renew(now time.Time) error {
	p.looked = now
	seen := p.o.TLS.stamps()
	c, err := p.o.TLS.load()
	log := p.c.o.Logger.With("endpoint", p.o.Name)
	switch {
	case err != nil && p.current == nil:
		log.Error("endpoint_tls_unusable", "error", err)
		return &failure{reason: TLS, text: "the certificate or the authority configured for this endpoint cannot be used"}
	case err != nil:
		log.Error("endpoint_tls_not_reloaded", "error", err)
		p.replace(p.current.tls, now)
		return nil
	case p.current != nil && seen != p.stamps:
		log.Info("endpoint_tls_reloaded")
	}
	p.stamps = seen
	if c.RootCAs == nil {
		c.RootCAs = p.c.o.RootCAs
	}
	p.replace(c, now)
	return nil
}

// replace retires the current generation, if there is one. The caller holds mu.
func (p *Pool) replace(c *tls.Config, now time.Time) {
	if old := p.current; old != nil {
		old.retired = true
		old.transport.CloseIdleConnections()
	}
	p.current = &generation{transport: p.transport(c), tls: c, born: now, proxied: p.c.o.Proxy != nil}
}

// dial opens a connection as soon as there may be one more.
func (p *Pool) dial(ctx context.Context, network, address string) (net.Conn, error) {
	wait := time.NewTimer(p.c.o.DialTimeout)
	defer wait.Stop()
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
		return nil, &failure{reason: Timeout, text: "all connections of the endpoint are in use", is: context.DeadlineExceeded}
	}
	free := sync.OnceFunc(func() { <-p.slots })
	open := p.c.dial
	if p.o.Public {
		open = p.c.public
	}
	conn, err := open(ctx, network, address)
	if err != nil {
		free()
		return nil, err
	}
	return &slotted{conn, free, addressOf(conn.RemoteAddr())}, nil
}

// slotted gives its slot back when it is closed.
type slotted struct {
	net.Conn
	free func()
	to   netip.AddrPort // of the endpoint
}

// addressOf is zero for what is no address of TCP.
func addressOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// Close implements net.Conn.
func (s *slotted) Close() error {
	defer s.free()
	return s.Conn.Close()
}

func (p *Pool) transport(c *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Transport{
		Proxy:                  nil, // one from the environment would connect for us, out of the guard's sight; ours is in dial
		DialContext:            p.dial,
		TLSClientConfig:        c.Clone(),
		TLSHandshakeTimeout:    p.c.o.TLSTimeout,
		DisableCompression:     true, // else 16 KiB on the wire may become 16 MiB
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         1 << 10, // of each connection; answers are short
		MaxConnsPerHost:        p.o.Conns,
		MaxIdleConns:           p.o.Conns,
		MaxIdleConnsPerHost:    p.o.Conns,
		IdleConnTimeout:        90 * time.Second,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}, // notice dead connections
	}
}
