package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"time"
)

// overHTTP2 posts through net/http, which speaks HTTP/2, and knows what to do about unusual URLs. It
// may still be reading body when it has returned early.
func (p *Pool) overHTTP2(ctx context.Context, t *trace, at *target, f Fields, body []byte, deadline time.Time) (a Answer, g *generation, err error) {
	h, err := p.headers(f)
	if err != nil {
		return Answer{}, nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if g, err = p.take(t.start); err != nil {
		return Answer{}, nil, err
	}
	defer p.give(g)
	resp, err := g.roundTrip(ctx, t, at, h, body)
	if err != nil {
		return Answer{}, g, ended(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // a body that was not read to its end costs the connection
	a.Code = resp.StatusCode
	if v := resp.Header.Get("Retry-After"); v != "" {
		a.RetryAfter = retryAfter(v, resp.Header.Get("Date"), p.c.o.Now())
	}
	if a.Body, a.Size, err = readBody(resp); err != nil {
		a.Cut = reason(ctx, err)
	}
	if a.Size > 0 {
		a.Type = resp.Header.Get("Content-Type")
	}
	return a, g, nil
}

// ended is the error of an attempt whose time is over: whatever the connection says that was torn
// down with it, that is what it was. What we refused stays so.
func ended(ctx context.Context, err error) error {
	if r := reason(ctx, err); ctx.Err() != nil && (r == Timeout || r == Canceled) {
		return ctx.Err()
	}
	return err
}

// headers completes those of one request, as request does.
func (p *Pool) headers(f Fields) (http.Header, error) {
	all := make(http.Header, len(f)+len(p.own)+1)
	for i := range f {
		if isOurs(f[i].Name) {
			continue
		}
		if !validName(f[i].Name) || !validValue(f[i].Value) {
			return nil, errHeader
		}
		all[f[i].Name] = append(all[f[i].Name], f[i].Value)
	}
	for _, own := range p.own {
		if !f.has(own.name) {
			all[own.name] = []string{own.value()}
		}
	}
	all["User-Agent"] = []string{p.c.o.UserAgent}
	return all, nil
}

// take returns the generation to use, with its transport. Whoever takes gives.
func (p *Pool) take(now time.Time) (*generation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, err := p.generation(now)
	if err != nil {
		return nil, err
	}
	if g.transport == nil {
		g.transport = p.transport(g)
	}
	g.users++
	return g, nil
}

// give ends a use. The last one of a retired generation closes what is left of it.
func (p *Pool) give(g *generation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g.users--
	if g.users > 0 {
		return
	}
	g.dropSpare() // that the transport had no need of
	if g.retired {
		g.transport.CloseIdleConnections()
	}
}

func (g *generation) dropSpare() {
	if g.spare.Conn != nil {
		_ = g.spare.Close()
		g.spare = spare{}
	}
}

// roundTrip asks the transport itself: an http.Client would add redirects and cookies, and errors
// with the URL in them.
func (g *generation) roundTrip(ctx context.Context, t *trace, at *target, h http.Header, body []byte) (*http.Response, error) {
	r := &http.Request{
		Method: http.MethodPost, URL: at.url, Host: at.url.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		// For a connection that turns out dead before the first byte was written; and for HTTP/2's
		// REFUSED_STREAM, which says "not processed".
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	ctx = context.WithValue(ctx, traceKey{}, t)
	return g.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, t.hooks(g.proxied))))
}

// readBody keeps the first 16 KiB and reads on for at most 64 KiB: a body that ends there leaves a
// connection to use again, any other costs it. size is how much was read.
func readBody(resp *http.Response) (kept []byte, size int64, err error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, 0, nil // that body is the bare connection, which knows no deadline
	}
	if resp.Body == http.NoBody {
		return nil, 0, nil
	}
	if kept, err = io.ReadAll(io.LimitReader(resp.Body, maxBody)); err != nil {
		return kept, int64(len(kept)), err
	}
	var more int64
	if len(kept) == maxBody {
		more, err = io.CopyN(io.Discard, resp.Body, maxDiscard)
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	return kept, int64(len(kept)) + more, err
}

// spare is a connection on which HTTP/2 was chosen, and with whom.
type spare struct {
	*tls.Conn
	address string
}

// foundHTTP2 hands an endpoint over to net/http, and the connection by which it was found out with
// it. The caller holds mu.
func (p *Pool) foundHTTP2(g *generation, at *target, c *tls.Conn) {
	if len(p.http2) >= 16 { // URLs of an endpoint: nobody changes them that often
		clear(p.http2)
	}
	if g == p.current { // else a newer generation may know better
		p.http2[at.origin] = true
	}
	if g.retired || g.spare.Conn != nil {
		_ = c.Close()
	} else {
		g.spare = spare{c, at.address}
	}
	for _, w := range slices.Backward(p.wants) {
		if w.at.origin == at.origin {
			p.unwant(w)
			w.ready <- got{http2: true}
		}
	}
}

func (p *Pool) transport(g *generation) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Transport{
		Proxy:                  nil, // one from the environment would connect for us, out of the guard's sight; ours is in dial
		DialContext:            p.dial,
		DialTLSContext:         func(ctx context.Context, _, address string) (net.Conn, error) { return p.dialTLS(ctx, g, address) },
		DisableCompression:     true, // else 16 KiB on the wire may become 16 MiB
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         1 << 10, // of each connection; answers are short
		MaxConnsPerHost:        p.o.Conns,
		MaxIdleConns:           p.o.Conns,
		MaxIdleConnsPerHost:    p.o.Conns,
		IdleConnTimeout:        maxRest,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}, // notice dead connections
	}
}

// slot waits until there may be one more connection.
func (p *Pool) slot(ctx context.Context) error {
	wait := time.NewTimer(p.c.o.DialTimeout)
	defer wait.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return &failure{reason: Timeout, text: "all connections of the endpoint are in use", is: context.DeadlineExceeded}
	}
}

// dial opens a connection as soon as there may be one more.
func (p *Pool) dial(ctx context.Context, _, address string) (net.Conn, error) {
	if err := p.slot(ctx); err != nil {
		return nil, err
	}
	s, err := p.slotted(ctx, address)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// dialTLS opens one with TLS, or takes the spare one. An endpoint that does not choose HTTP/2 any
// more is not left to net/http for longer than this connection lasts.
func (p *Pool) dialTLS(ctx context.Context, g *generation, address string) (net.Conn, error) {
	p.mu.Lock()
	if c := g.spare; c.Conn != nil && c.address == address {
		g.spare = spare{}
		p.mu.Unlock()
		return c.Conn, nil
	}
	p.mu.Unlock()
	t, ok := ctx.Value(traceKey{}).(*trace)
	if !ok {
		t = &trace{now: p.c.o.Now, start: p.c.o.Now()} // nobody asks
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if err := p.slot(ctx); err != nil {
		return nil, err
	}
	s, err := p.slotted(ctx, address)
	if err != nil {
		return nil, err
	}
	c, err := p.shake(ctx, g, s, host, t)
	if err != nil {
		return nil, err
	}
	if c.ConnectionState().NegotiatedProtocol != "h2" {
		p.mu.Lock()
		if g == p.current {
			delete(p.http2, "https://"+address)
		}
		p.mu.Unlock()
	}
	return c, nil
}
