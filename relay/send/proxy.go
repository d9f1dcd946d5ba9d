package send

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"code.dny.dev/ssrf"
)

// Proxy is an HTTP proxy through which endpoints are reached. Its own address may be private: it is
// the operator's.
//
// The proxy is asked, with CONNECT, for an address that the guard has judged, and never for a name:
// what a name leads to is looked up here, once, so one that leads elsewhere a moment later gets no
// further. TLS is spoken with the endpoint, through the proxy, by the endpoint's name.
type Proxy struct {
	address string // host:port
	host    string // of its certificate; "": it speaks plain HTTP
	auth    func() string
}

// NewProxy wants http://host:port or https://host:port; without a port, 80 and 443. credentials are
// user:password; "": none.
func NewProxy(raw, credentials string) (*Proxy, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return nil, &URLError{"is not the address of a proxy", "write it like http://proxy.example:3128"}
	case u.User != nil:
		return nil, &URLError{"holds a user name or password", "move them to egress.proxy_auth, as env: or file: reference to user:password"}
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, &URLError{"has a path, a query or a fragment, which a proxy has no use for", "write it like http://proxy.example:3128"}
	}
	p := &Proxy{address: net.JoinHostPort(u.Hostname(), orDefault(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))}
	if n, err := strconv.ParseUint(orDefault(u.Port(), "80"), 10, 16); err != nil || n == 0 {
		return nil, &URLError{"has no usable port", "use a port from 1 to 65535"}
	}
	if u.Scheme == "https" {
		p.host = u.Hostname()
	}
	if credentials != "" {
		header := "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
		p.auth = func() string { return header }
	}
	return p, nil
}

// InClear reports whether credentials are sent to it in clear.
func (p *Proxy) InClear() bool { return p.host == "" && p.auth != nil }

// Format writes where it is, and never its credentials, whatever the verb.
func (p *Proxy) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.address) }

// tunnel dials through a proxy.
type tunnel struct {
	o      *Options
	guard  *ssrf.Guardian
	dialer *net.Dialer // to the proxy; its address is not judged
}

// dial returns a connection to address, as http.Transport wants it.
func (t *tunnel) dial(ctx context.Context, _, address string) (net.Conn, error) {
	seen, ok := ctx.Value(traceKey{}).(*trace)
	if !ok {
		seen = &trace{now: t.o.Now, start: t.o.Now()} // nobody asks
	}
	ctx, cancel := context.WithTimeout(ctx, t.o.DialTimeout)
	defer cancel()
	judged, err := t.judge(ctx, address, seen)
	for _, a := range judged {
		seen.dials(a)
		var conn net.Conn
		var w *wire
		if conn, w, err = t.connect(ctx, a); err == nil {
			seen.once(&seen.connected)
			return &tunnelled{conn, w, net.TCPAddrFromAddrPort(a)}, nil
		}
		var f *failure
		if ctx.Err() != nil || errors.As(err, &f) && f.reason != ProxyFailed {
			return nil, err // another address would be answered the same
		}
	}
	return nil, err
}

// tunnelled is a connection through the proxy, and says where it leads.
type tunnelled struct {
	net.Conn
	wire *wire // to the proxy
	to   net.Addr
}

// RemoteAddr implements net.Conn.
func (c *tunnelled) RemoteAddr() net.Addr { return c.to }

// judge looks a name up and returns those of its addresses that may be called, a few at most; an
// error if there is none.
func (t *tunnel) judge(ctx context.Context, address string, seen *trace) ([]netip.AddrPort, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &failure{reason: Other, text: "the URL cannot be used"}
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, &failure{reason: Other, text: "the URL cannot be used"}
	}
	_, literal := netip.ParseAddr(host)
	if literal != nil {
		seen.once(&seen.dnsStart)
	}
	all, err := t.o.Resolver.LookupNetIP(ctx, "ip", host)
	seen.mark(&seen.dnsDone)
	if err != nil {
		return nil, err
	}
	var judged []netip.AddrPort
	for _, a := range all {
		at := netip.AddrPortFrom(a.Unmap(), uint16(port))
		network := "tcp4"
		if at.Addr().Is6() {
			network = "tcp6"
		}
		if no := t.guard.Safe(network, at.String(), nil); no != nil {
			err = &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(at), Err: fmt.Errorf("%w: %w", ErrRefused, no)}
			continue
		}
		judged = append(judged, at)
	}
	if len(judged) == 0 {
		return nil, err
	}
	return judged[:min(len(judged), maxTried)], nil
}

const maxTried = 4 // addresses of one name

// connect asks the proxy for one address.
func (t *tunnel) connect(ctx context.Context, to netip.AddrPort) (_ net.Conn, w *wire, err error) {
	dialled, err := t.dialer.DialContext(ctx, "tcp", t.o.Proxy.address)
	if err != nil {
		return nil, nil, t.unreached(ctx, err, "the proxy cannot be reached: "+connectText(err))
	}
	raw, err := newWire(dialled)
	if err != nil {
		_ = dialled.Close()
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) }) // wakes who reads or writes
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = raw.Close()
		}
	}()
	conn := net.Conn(raw)
	if host := t.o.Proxy.host; host != "" {
		secure := tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.o.RootCAs, ServerName: host})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, nil, t.unreached(ctx, err, "the TLS of the proxy: "+tlsText(err))
		}
		conn = secure
	}
	if err := t.ask(ctx, conn, to); err != nil {
		return nil, nil, err
	}
	return conn, raw, nil
}

// ask writes CONNECT and reads its answer.
func (t *tunnel) ask(ctx context.Context, conn net.Conn, to netip.AddrPort) error {
	request := "CONNECT " + to.String() + " HTTP/1.1\r\nHost: " + to.String() + "\r\nUser-Agent: " + t.o.UserAgent + "\r\n"
	if t.o.Proxy.auth != nil {
		request += "Proxy-Authorization: " + t.o.Proxy.auth() + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return t.unreached(ctx, err, "the proxy ended the connection")
	}
	r := bufio.NewReader(io.LimitReader(conn, maxHeader))
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // closing it would read it, and the connection is ended with it
	if err != nil {
		return t.unreached(ctx, err, "the proxy's answer is not HTTP, or it gave none")
	}
	code := strconv.Itoa(resp.StatusCode)
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return &failure{reason: ProxyAuth, text: "the proxy wants other credentials (407); compare egress.proxy_auth"}
	case resp.StatusCode >= 500:
		return &failure{reason: ProxyFailed, text: "the proxy answered " + code + " for " + to.String()}
	case resp.StatusCode/100 != 2:
		return &failure{reason: ProxyRefused, text: "the proxy answered " + code + " for " + to.String()}
	case r.Buffered() > 0:
		return &failure{reason: ProxyFailed, text: "the proxy sent more than its answer"}
	}
	return nil
}

// unreached is the error of a proxy that cannot be spoken to; when the time is over, that is what
// it was.
func (t *tunnel) unreached(ctx context.Context, err error, text string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return context.DeadlineExceeded
	}
	return &failure{reason: ProxyFailed, text: text}
}
