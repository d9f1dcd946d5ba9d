// Package send is the outbound HTTP client: it posts one signed body to one partner and says what came of it.
//
// Its promises: the address is judged after DNS, on the socket about to be connected, so no name and no way of spelling an address gets around it; no proxy
// from the environment, no redirect, no decompression, no retry of its own; no attempt outlives its deadline or keeps more than 16 KiB of the answer; and no
// error holds text of the URL, of the request or of the answer.
package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"time"
)

// What one attempt may cost us, whatever the partner does.
const (
	maxBody    = 16 << 10 // kept of an answer, for people
	maxDiscard = 64 << 10 // read beyond it, so that the connection can be used again
	maxHeader  = 64 << 10 // net/http's own default is 10 MB
)

// Options configure a Client. The zero value is a sandbox client with the defaults.
type Options struct {
	LiveMode        bool           // https only, and loopback is refused like every private address
	Allow           []netip.Prefix // exceptions to the refused addresses
	UserAgent       string         // default "countersign"
	RootCAs         *x509.CertPool // nil: the system's
	Resolver        *net.Resolver  // nil: the system's name servers, asked by Go itself
	DialTimeout     time.Duration  // default 5 s
	TLSTimeout      time.Duration  // default 5 s
	MaxConnsPerHost int            // default 512
	MaxIdle         int            // connections that rest, over all hosts; default 4096
	Now             func() time.Time
}

// Client posts deliveries. It is safe for concurrent use; one serves all endpoints.
type Client struct {
	o         Options
	transport *http.Transport
}

// New returns a Client. It starts nothing.
func New(o Options) *Client {
	o.UserAgent = orDefault(o.UserAgent, "countersign")
	o.DialTimeout = orDefault(o.DialTimeout, 5*time.Second)
	o.TLSTimeout = orDefault(o.TLSTimeout, 5*time.Second)
	o.MaxConnsPerHost = orDefault(o.MaxConnsPerHost, 512)
	o.MaxIdle = orDefault(o.MaxIdle, 4096)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true} // libc would read 0x7f.1 and 017700000001 as addresses
	}
	dialer := &net.Dialer{
		Timeout: o.DialTimeout, KeepAlive: 30 * time.Second, Resolver: o.Resolver,
		ControlContext: control(newGuard(o.LiveMode, o.Allow)),
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &Client{o: o, transport: &http.Transport{
		Proxy:                  nil, // a proxy from the environment would connect for us, out of the guard's sight
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    o.TLSTimeout,
		DisableCompression:     true, // else 16 KiB on the wire may become 16 MiB
		MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost:        o.MaxConnsPerHost,
		MaxIdleConns:           o.MaxIdle,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}, // notice dead connections
	}}
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Close closes the idle connections. Posts under way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Answer is what a partner said.
type Answer struct {
	Code       int
	RetryAfter time.Duration // 0: none, or not one we can read; at most 24 h
	Body       []byte        // the first 16 KiB, as they came
	Cut        string        // why the body broke off, one of Reasons; the code stands all the same. A body over 16 KiB is not "cut"
	Timings    Timings
}

// Post sends body once and returns the answer, whatever its code: redirects are answers. It returns an error only when there was none; Classify names it.
// The deadline covers everything from the lookup to the end of the body. The caller gives h and body away: net/http may still be reading them when Post has
// returned early.
//
// When the code is known and the body then hangs or breaks, the answer stands: asking again would only repeat what the partner has already settled.
func (c *Client) Post(ctx context.Context, rawURL string, h http.Header, body []byte, timeout time.Duration) (Answer, error) {
	start := c.o.Now()
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return Answer{}, &failure{reason: Other, text: "the URL cannot be used"}
	}
	if c.o.LiveMode && u.Scheme != "https" {
		return Answer{}, &failure{reason: RefusedAddress, text: "plain http is refused in live mode", is: ErrRefused}
	}
	u.User = nil // never sent: a password in a URL is a mistake that CheckURL refuses
	if timeout <= 0 {
		timeout = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t := &trace{now: c.o.Now, start: start}
	resp, err := c.roundTrip(httptrace.WithClientTrace(ctx, t.hooks()), u, h, body)
	if err != nil {
		return Answer{Timings: t.timings()}, explain(ctx, err, t)
	}
	defer func() { _ = resp.Body.Close() }() // a body that was not read to its end costs the connection
	a := Answer{Code: resp.StatusCode}
	if v := resp.Header.Get("Retry-After"); v != "" {
		a.RetryAfter = retryAfter(v, c.o.Now())
	}
	if a.Body, err = readBody(resp); err != nil {
		a.Cut = reason(ctx, err)
	}
	a.Timings = t.timings()
	return a, nil
}

// roundTrip asks the transport itself: an http.Client would add redirects and cookies, and errors with the URL in them.
func (c *Client) roundTrip(ctx context.Context, u *url.URL, h http.Header, body []byte) (*http.Response, error) {
	if h == nil {
		h = http.Header{}
	}
	h.Set("User-Agent", c.o.UserAgent)
	// Their presence makes net/http send a POST again by itself; attempts are the outbox's to count.
	h.Del("Idempotency-Key")
	h.Del("X-Idempotency-Key")
	r := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		// For a connection that turns out dead before the first byte was written; and for HTTP/2's REFUSED_STREAM, which says "not processed".
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	return c.transport.RoundTrip(r.WithContext(ctx))
}

// readBody keeps the first 16 KiB and reads on for at most 64 KiB: a body that ends there leaves a connection to use again, any other costs it.
func readBody(resp *http.Response) ([]byte, error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // that body is the bare connection, which knows no deadline
	}
	kept, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return kept, err
	}
	if len(kept) == maxBody {
		_, err = io.CopyN(io.Discard, resp.Body, maxDiscard)
		if err == io.EOF { //nolint:errorlint // CopyN returns io.EOF itself
			err = nil
		}
	}
	return kept, err
}
