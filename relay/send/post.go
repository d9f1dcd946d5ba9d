package send

import (
	"context"
	"time"
)

// Post sends body and returns the answer, whatever its code: redirects are answers. It returns an
// error only when there was none; Classify names it. The deadline covers everything from the lookup
// to the end of the body. The caller gives f and body away: over HTTP/2 they may still be read when
// Post has returned early.
//
// A request that was written to a connection used before, and met its end in place of any byte of
// an answer, is written once more at once, to a connection opened since: most often the other side
// had closed it while it rested. It is the same request, byte for byte; should the first have
// arrived all the same, the partner knows it by its id. That is one attempt.
//
// When the code is known and the body then hangs or breaks, the answer stands: asking again would
// only repeat what the partner has already settled.
func (p *Pool) Post(ctx context.Context, rawURL string, f Fields, body []byte, timeout time.Duration) (Answer, error) {
	start := p.c.o.Now()
	at := p.target(rawURL)
	if at.refused != nil {
		return Answer{}, at.refused
	}
	if timeout <= 0 {
		timeout = 15 * time.Second
	}
	deadline := time.Now().Add(timeout)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	x := p.c.exchange()
	defer p.c.recycle(x)
	x.begin(p.c.o.Now, start, false)
	a, g, err := p.attempt(ctx, x, at, f, body, deadline)
	if err != nil && x.t.stale(ctx, err) {
		p.fresh(g)
		x.begin(p.c.o.Now, start, true)
		a, _, err = p.attempt(ctx, x, at, f, body, deadline)
		a.Repeated = true
	}
	a.Reused, a.Address, a.Timings = x.t.reused.Load(), x.t.address(), x.t.timings()
	if err != nil {
		return a, explain(ctx, err, x.t)
	}
	return a, nil
}

// attempt writes a request once, and returns the generation of connections that it met.
func (p *Pool) attempt(ctx context.Context, x *exchange, at *target, f Fields, body []byte, deadline time.Time) (Answer, *generation, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, nil, err
	}
	if !at.plain {
		x.lent = true
		return p.overHTTP2(ctx, x.t, at, f, body, deadline)
	}
	c, http2, err := p.acquire(ctx, x, at, deadline)
	switch {
	case err != nil:
		return Answer{}, nil, err
	case http2:
		x.lent = true
		return p.overHTTP2(ctx, x.t, at, f, body, deadline)
	}
	if err = x.request(p, at, f, body); err != nil {
		p.release(c, true)
		return Answer{}, nil, err
	}
	a, again, err := x.run(ctx, c)
	p.release(c, again)
	return a, c.g, err
}

// stale reports whether a request met a connection that had been used before and ended in place of
// any byte of an answer. One whose stream alone was reset, in HTTP/2, has been answered in a way.
func (t *trace) stale(ctx context.Context, err error) bool {
	return t.reused.Load() && t.first.Load() == 0 && ctx.Err() == nil && reason(ctx, err) == Reset && !isStreamError(err)
}
