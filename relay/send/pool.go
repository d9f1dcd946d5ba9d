package send

import (
	"context"
	"crypto/tls"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
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
	c       *Client
	o       PoolOptions
	own     []ownLine              // of o.Headers
	slots   chan struct{}          // taken by each connection, of whatever generation; net/http's own bound does not hold in HTTP/2
	last    atomic.Pointer[target] // that was posted to
	waiting atomic.Int64           // len(wants)

	mu       sync.Mutex // guards the fields below
	current  *generation
	looked   time.Time       // when the files of TLS were last looked at
	stamps   stamps          // of those that current was made with
	http2    map[string]bool // origins that have chosen HTTP/2
	busy     []*conn         // in use by posts, in HTTP/1.1
	watch    *watch          // of the context of the last post
	wants    []*want         // posts that wait for a connection, the first first
	closing  bool            // what is in use now is closed after it
	sweeping bool            // sweeper is about to look at those at rest
	sweeper  *time.Timer
}

// Pool returns a new pool. Close of the client closes its idle connections.
func (c *Client) Pool(o PoolOptions) *Pool {
	o.Conns = orDefault(o.Conns, 64)
	p := &Pool{c: c, o: o, own: ownLines(o.Headers), slots: make(chan struct{}, o.Conns), http2: map[string]bool{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools = append(c.pools, p)
	return p
}

// generation is connections that were opened within MaxAge. When it is over, requests under way end
// as they would have, and then their connections are closed.
type generation struct {
	tls     *tls.Config
	born    time.Time
	proxied bool

	idle      []*conn         // HTTP/1.1 at rest, the last used last; guarded by Pool.mu, as the rest is
	transport *http.Transport // for HTTP/2; nil: nobody asked for it
	spare     spare           // for the transport to begin with
	users     int             // of the transport, under way
	retired   bool
}

const lookAgain = 10 * time.Second // at files that may have changed

// generation returns the one to use, a new one if the last has had its time or a file of its TLS has
// changed. The caller holds mu.
func (p *Pool) generation(now time.Time) (*generation, error) {
	if p.current == nil || now.Sub(p.current.born) >= p.c.o.MaxAge || p.filesChanged(now) {
		if err := p.renew(now); err != nil {
			return nil, err
		}
	}
	return p.current, nil
}

// fresh begins a generation, which has no connection yet, unless that has been done since the one
// that is meant.
func (p *Pool) fresh(stale *generation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == stale {
		p.replace(stale.tls, p.c.o.Now())
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
	p.stop()
	if p.current != nil {
		p.current.retired = true
	}
}

func (p *Pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
}

// stop closes what rests, and then what is in use now. The caller holds mu.
func (p *Pool) stop() {
	p.closing = true
	p.unwatch()
	if p.sweeper != nil {
		p.sweeper.Stop()
	}
	p.sweeping = false
	if p.current != nil {
		p.current.closeIdle()
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
		old.closeIdle()
	}
	c = c.Clone()
	c.NextProtos = []string{"h2", "http/1.1"}
	p.current = &generation{tls: c, born: now, proxied: p.c.o.Proxy != nil}
}

// slotted opens a connection for whoever has taken a slot for it.
func (p *Pool) slotted(ctx context.Context, address string) (*slotted, error) {
	open := p.c.dial
	if p.o.Public {
		open = p.c.public
	}
	conn, err := open(ctx, "tcp", address)
	if err != nil {
		p.freed()
		return nil, err
	}
	s := &slotted{Conn: conn, free: sync.OnceFunc(p.freed), to: addressOf(conn.RemoteAddr())}
	if through, ok := conn.(*tunnelled); ok {
		s.wire = through.wire
	} else if s.wire, err = newWire(conn); err == nil {
		s.Conn = s.wire
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// shake begins TLS with the endpoint, which chooses between HTTP/2 and HTTP/1.1 by it. What fails is
// closed.
func (p *Pool) shake(ctx context.Context, g *generation, s *slotted, host string, t *trace) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.c.o.TLSTimeout)
	defer cancel()
	c := g.tls.Clone()
	c.ServerName = host
	secure := tls.Client(s, c)
	t.mark(&t.tlsStart)
	err := secure.HandshakeContext(ctx)
	t.mark(&t.tlsDone)
	if err != nil {
		_ = s.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return secure, nil
}
