package send

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"slices"
	"time"
)

const (
	maxRest   = 90 * time.Second // no connection that nobody uses is kept for longer
	lookEvery = 10 * time.Second // at those at rest, for what the other side has closed
)

// want is a post that waits for a connection: for the one that is opened for it, or for one that has
// become free before.
type want struct {
	life    context.Context //nolint:containedctx // of the dial: ends with the post's context, and not with its deadline
	at      *target
	t       *trace
	anew    bool // one that has been used before does not do
	dialing bool
	ready   chan got // has room for one
}

// got is what became of a want.
type got struct {
	c     *conn
	http2 bool // the endpoint speaks HTTP/2
	err   error
}

// acquire returns a connection on which nothing has come since its last answer, with the deadline of
// the post; or it says that the endpoint speaks HTTP/2. The connection that came to rest last is used
// first, so that those that are not needed grow old and are closed. A request that is written once
// more gets one that nothing has been written to.
func (p *Pool) acquire(ctx context.Context, x *exchange, at *target, deadline time.Time) (c *conn, http2 bool, err error) {
	for {
		p.mu.Lock()
		g, err := p.generation(x.t.start)
		if err != nil || at.secure && p.http2[at.origin] {
			p.mu.Unlock()
			return nil, err == nil, err
		}
		p.closing = false
		if c = nil; !x.anew {
			c = g.pop(at.origin)
		}
		if c == nil {
			w, leave := p.want(ctx, x, at)
			p.mu.Unlock()
			if c, http2, err = p.await(ctx, w, leave, deadline); c == nil {
				return nil, http2, err
			}
			p.mu.Lock()
		}
		p.begin(ctx, c)
		p.mu.Unlock()
		if err = c.limit(ctx, deadline); err == nil && (!c.used || c.silent()) {
			return c, false, nil
		}
		p.release(c, false)
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
	}
}

// pop takes a connection from those at rest; nil: there is none for these URLs. The caller holds mu.
func (g *generation) pop(origin string) *conn {
	for i, c := range slices.Backward(g.idle) {
		if c.origin == origin {
			g.idle = slices.Delete(g.idle, i, i+1)
			return c
		}
	}
	return nil
}

// want waits in line. leave tells the dial that nobody will want what it opens. The caller holds mu.
func (p *Pool) want(ctx context.Context, x *exchange, at *target) (w *want, leave func()) {
	life, leave := context.WithCancel(context.WithoutCancel(ctx))
	w = &want{life: life, at: at, t: x.t, anew: x.anew, ready: make(chan got, 1)}
	x.lent = true
	p.wants = append(p.wants, w)
	p.waiting.Store(int64(len(p.wants)))
	p.dialWanted()
	return w, leave
}

// await returns what became of a want. A dial that is not needed any more goes on, for another may
// need what it opens; only a stop ends it.
func (p *Pool) await(ctx context.Context, w *want, leave func(), deadline time.Time) (*conn, bool, error) {
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case r := <-w.ready:
		return r.c, r.http2, r.err
	case <-ctx.Done():
		leave()
		return nil, false, p.giveUp(w, ctx.Err())
	case <-late.C:
		return nil, false, p.giveUp(w, context.DeadlineExceeded)
	}
}

// giveUp leaves the line. What has come meanwhile is for the next.
func (p *Pool) giveUp(w *want, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.unwant(w) {
		if r := <-w.ready; r.c != nil {
			p.rest(r.c)
		}
	}
	return err
}

// unwant takes a want from the line, and reports whether it was there: if not, something is ready
// for it. The caller holds mu.
func (p *Pool) unwant(w *want) bool {
	i := slices.Index(p.wants, w)
	if i < 0 {
		return false
	}
	p.wants = slices.Delete(p.wants, i, i+1)
	p.waiting.Store(int64(len(p.wants)))
	return true
}

// dialWanted opens connections for those in line, as many as there are slots for. One that rests and
// does not do gives its slot up. The caller holds mu.
func (p *Pool) dialWanted() {
	for _, w := range p.wants {
		if w.dialing {
			continue
		}
		if !p.trySlot() {
			g := p.current
			i := slices.IndexFunc(g.idle, func(c *conn) bool { return w.anew || c.origin != w.at.origin })
			if i < 0 {
				return
			}
			g.idle[i].end(true)
			g.idle = slices.Delete(g.idle, i, i+1)
			if !p.trySlot() {
				return
			}
		}
		w.dialing = true
		go p.open(p.current, w)
	}
}

func (p *Pool) trySlot() bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// freed is called when a slot is free again, by whoever closed its connection, who may hold mu.
func (p *Pool) freed() {
	<-p.slots
	if p.waiting.Load() > 0 { // a want counts before it looks for a slot, so one of the two sees the other
		go func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.dialWanted()
		}()
	}
}

// open opens a connection for a want, which may have been given another meanwhile.
func (p *Pool) open(g *generation, w *want) {
	ctx := httptrace.WithClientTrace(context.WithValue(w.life, traceKey{}, w.t), w.t.hooks(g.proxied))
	s, err := p.slotted(ctx, w.at.address)
	var secure *tls.Conn
	if err == nil && w.at.secure {
		secure, err = p.shake(ctx, g, s, w.at.host, w.t)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		if p.unwant(w) {
			w.ready <- got{err: err}
		}
	case secure == nil:
		p.opened(w, &conn{Conn: s, s: s, g: g, origin: w.at.origin})
	case secure.ConnectionState().NegotiatedProtocol == "h2":
		p.foundHTTP2(g, w.at, secure)
	default:
		p.opened(w, &conn{Conn: secure, s: s, g: g, origin: w.at.origin})
	}
}

// opened hands over a new connection. The caller holds mu.
func (p *Pool) opened(w *want, c *conn) {
	if p.unwant(w) {
		w.ready <- got{c: c}
		return
	}
	p.rest(c)
}

// release ends a post's use of a connection. again: it may be used again.
func (p *Pool) release(c *conn, again bool) {
	p.mu.Lock()
	p.done(c)
	if again {
		p.rest(c)
	}
	p.mu.Unlock()
	if !again {
		c.end(false)
	}
}

// rest gives a connection to the first in line, or lays it to rest; or closes it, where it is not to
// be used any more. The caller holds mu.
func (p *Pool) rest(c *conn) {
	if c.g != p.current || c.g.retired || p.closing {
		c.end(true)
		return
	}
	for _, w := range p.wants {
		if w.at.origin == c.origin && !w.anew {
			p.unwant(w)
			w.ready <- got{c: c}
			return
		}
	}
	c.rested = time.Now()
	c.g.idle = append(c.g.idle, c)
	p.dialWanted() // those in line have no use for it, but for its slot
	if !p.sweeping {
		p.sweeping = true
		p.sweeper = time.AfterFunc(lookEvery, p.sweep)
	}
}

// sweep closes what has rested for too long, and what the other side has closed, until nothing rests
// any more.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeping = false
	g := p.current
	now := time.Now()
	g.idle = slices.DeleteFunc(g.idle, func(c *conn) bool {
		over := now.Sub(c.rested) > maxRest-lookEvery || !c.silent()
		if over {
			c.end(true)
		}
		return over
	})
	if len(g.idle) > 0 {
		p.sweeping = true
		p.sweeper.Reset(lookEvery)
	}
}

// closeIdle closes what rests of a generation. The caller holds Pool.mu.
func (g *generation) closeIdle() {
	for _, c := range g.idle {
		c.end(true)
	}
	g.idle = nil
	g.dropSpare()
	if g.transport != nil {
		g.transport.CloseIdleConnections()
	}
}
