package send

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

// Post sends body and returns the answer, whatever its code: redirects are answers. It returns an
// error only when there was none; Classify names it. The deadline covers everything from the lookup
// to the end of the body. The caller gives h and body away: net/http may still be reading them when
// Post has returned early.
//
// A request that was written to a connection used before, and met its end in place of any byte of
// an answer, is written once more at once, to a connection opened since: most often the other side
// had closed it while it rested. It is the same request, byte for byte; should the first have
// arrived all the same, the partner knows it by its id. That is one attempt.
//
// When the code is known and the body then hangs or breaks, the answer stands: asking again would
// only repeat what the partner has already settled.
func (p *Pool) Post(ctx context.Context, rawURL string, h http.Header, body []byte, timeout time.Duration) (Answer, error) {
	o := &p.c.o
	start := o.Now()
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" { // without a name the dialer would take this machine
		return Answer{}, &failure{reason: Other, text: "the URL cannot be used"}
	}
	if o.LiveMode && u.Scheme != "https" {
		return Answer{}, &failure{reason: RefusedAddress, text: "plain http is refused in live mode", is: ErrRefused}
	}
	u.User = nil // never sent: a password in a URL is a mistake that CheckURL refuses
	if timeout <= 0 {
		timeout = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	h = p.headers(h)
	g, err := p.take()
	if err != nil {
		return Answer{}, err
	}
	defer func() { p.give(g) }()
	t := &trace{now: o.Now, start: start}
	resp, err := g.roundTrip(ctx, t, u, h, body)
	repeated := err != nil && t.stale(ctx, err)
	if repeated {
		p.give(g)
		g = p.fresh()
		t = &trace{now: o.Now, start: start}
		resp, err = g.roundTrip(ctx, t, u, maps.Clone(h), body)
	}
	if err != nil {
		return Answer{Timings: t.timings(), Reused: t.reused.Load(), Address: t.address(), Repeated: repeated}, explain(ctx, err, t)
	}
	defer func() { _ = resp.Body.Close() }() // a body that was not read to its end costs the connection
	a := Answer{Code: resp.StatusCode, Reused: t.reused.Load(), Address: t.address(), Repeated: repeated}
	if v := resp.Header.Get("Retry-After"); v != "" {
		a.RetryAfter = retryAfter(v, resp.Header.Get("Date"), o.Now())
	}
	if a.Body, a.Size, err = readBody(resp); err != nil {
		a.Cut = reason(ctx, err)
	}
	if a.Size > 0 {
		a.Type = resp.Header.Get("Content-Type")
	}
	a.Timings = t.timings()
	return a, nil
}

// headers completes those of one request. What the endpoint's own would overwrite stays: signatures
// are nobody else's to set.
func (p *Pool) headers(h http.Header) http.Header {
	if h == nil {
		h = http.Header{}
	}
	h.Set("User-Agent", p.c.o.UserAgent)
	for _, own := range p.o.Headers {
		if name := http.CanonicalHeaderKey(own.Name); len(h[name]) == 0 {
			h[name] = []string{own.value()}
		}
	}
	// Their presence makes net/http send a POST again by itself, as often as it finds a dead
	// connection; attempts are the outbox's to count.
	h.Del("Idempotency-Key")
	h.Del("X-Idempotency-Key")
	return h
}

// roundTrip asks the transport itself: an http.Client would add redirects and cookies, and errors
// with the URL in them.
func (g *generation) roundTrip(ctx context.Context, t *trace, u *url.URL, h http.Header, body []byte) (*http.Response, error) {
	r := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		// For a connection that turns out dead before the first byte was written; and for HTTP/2's
		// REFUSED_STREAM, which says "not processed".
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	if g.proxied {
		ctx = context.WithValue(ctx, traceKey{}, t)
	}
	return g.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, t.hooks(g.proxied))))
}

// stale reports whether a request met a connection that had been used before and ended in place of
// any byte of an answer. One whose stream alone was reset, in HTTP/2, has been answered in a way.
func (t *trace) stale(ctx context.Context, err error) bool {
	return t.reused.Load() && t.first.Load() == 0 && ctx.Err() == nil && reason(ctx, err) == Reset && !isStreamError(err)
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
