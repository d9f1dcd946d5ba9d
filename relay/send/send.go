// Package send is the outbound HTTP client: it posts one signed body to one partner and says what
// came of it.
//
// Its promises: the address is judged after DNS, on the socket about to be connected, so no name
// and no way of spelling an address gets around it; behind a proxy the proxy is given the judged
// address, never a name; no proxy from the environment, no redirect, no decompression; nothing is
// sent twice, but for a request that met a connection which the other side had closed while it
// rested; what one endpoint does to its connections costs no other endpoint any, also at a shared
// host; no connection is used for longer than a few minutes; no attempt outlives its deadline or
// keeps more than 16 KiB of the answer; no answer is taken for another request's; and no error holds
// text of the URL, of the request, of the answer or of the proxy's credentials.
//
// HTTP/1.1 is spoken by the package itself, in the goroutine of whoever posts; HTTP/2, where an
// endpoint chooses it, by net/http, over connections that are opened in the same way.
package send

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// What one attempt may cost us, whatever the partner does.
const (
	maxBody    = 16 << 10 // kept of an answer, for people
	maxDiscard = 64 << 10 // read beyond it, so that the connection can be used again
	maxHeader  = 64 << 10 // net/http's own default is 10 MB
)

// Options configure a Client. The zero value is a sandbox client with the defaults.
type Options struct {
	LiveMode    bool           // https only, and loopback is refused like every private address
	Allow       []netip.Prefix // exceptions to the refused addresses
	Proxy       *Proxy         // through which every endpoint is reached; nil: none
	UserAgent   string         // default "countersign"
	RootCAs     *x509.CertPool // of endpoints without a CA of their own, and of the proxy; nil: the system's
	Resolver    *net.Resolver  // nil: the system's name servers, asked by Go itself
	DialTimeout time.Duration  // default 5 s; from the lookup to the connection, the proxy's included
	TLSTimeout  time.Duration  // default 5 s
	MaxAge      time.Duration  // after which no connection is used again, so that changes of DNS are followed; default 5 min
	Now         func() time.Time
	Logger      *slog.Logger // nil: nothing is logged

	connecting func(address string) error // a test's, asked before every connect(2), after the guard; nil: nobody
}

// Client posts deliveries. It is safe for concurrent use; one serves all endpoints, each through a
// Pool of its own.
type Client struct {
	o      Options
	dial   dial
	public dial // without the exceptions of Allow

	exchanges sync.Pool // of *exchange

	mu    sync.Mutex // guards the field below
	pools []*Pool
}

// New returns a Client. It starts nothing.
func New(o Options) *Client {
	o.UserAgent = orDefault(o.UserAgent, "countersign")
	o.DialTimeout = orDefault(o.DialTimeout, 5*time.Second)
	o.TLSTimeout = orDefault(o.TLSTimeout, 5*time.Second)
	o.MaxAge = orDefault(o.MaxAge, 5*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true} // libc would read 0x7f.1 and 017700000001 as addresses
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{o: o}
	c.dial, c.public = c.guarded(newGuard(o.LiveMode, o.Allow)), c.guarded(newGuard(o.LiveMode, nil))
	return c
}

// dial opens a connection, as http.Transport wants it.
type dial func(ctx context.Context, network, address string) (net.Conn, error)

// guarded dials what a guard lets pass.
func (c *Client) guarded(guard *ssrf.Guardian) dial {
	if c.o.Proxy == nil {
		return c.o.dialer(control(guard)).DialContext
	}
	return (&tunnel{o: &c.o, guard: guard, dialer: c.o.dialer(nil)}).dial
}

// dialer connects; judge is asked about each address before.
func (o *Options) dialer(judge func(context.Context, string, string, syscall.RawConn) error) *net.Dialer {
	return &net.Dialer{
		Timeout: o.DialTimeout, KeepAlive: 30 * time.Second, Resolver: o.Resolver,
		ControlContext: func(ctx context.Context, network, address string, conn syscall.RawConn) error {
			if judge != nil {
				if err := judge(ctx, network, address, conn); err != nil {
					return err
				}
			}
			if o.connecting != nil {
				return o.connecting(address)
			}
			return nil
		},
	}
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Close closes the idle connections. Posts under way go on.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		p.close()
	}
}

// Answer is what a partner said.
type Answer struct {
	Code       int
	RetryAfter time.Duration  // 0: none, or not one we can read; at most 24 h
	Body       []byte         // the first 16 KiB, as they came: somebody else's, so see Text
	Size       int64          // of the body in bytes, as far as it was read: 80 KiB at most
	Type       string         // the Content-Type of a body, as it came
	Cut        string         // why the body broke off, one of Reasons; the code stands all the same. A body over 16 KiB is not "cut"
	Reused     bool           // the connection had been used before; also beside an error
	Address    netip.AddrPort // where the request went, or was to go, and not its proxy; zero: it got no address. Also beside an error
	Repeated   bool           // the request was written once more, see Post; also beside an error
	Timings    Timings
}
