package send

import (
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Timings says where the time of an attempt went. The parts follow each other and never overlap, so
// they come to Total at most; what is missing of it is waiting for a connection that may be opened,
// and the rest of the answer. What did not happen is 0, such as a handshake on a connection used
// again. What was under way when the attempt ended counts up to there: of one that hung, it is the
// longest.
type Timings struct {
	DNS       time.Duration
	Connect   time.Duration // through a proxy: until the tunnel stands
	TLS       time.Duration // with the endpoint
	Open      time.Duration // from the beginning until the connection was there: where TLS ends and FirstByte begins
	FirstByte time.Duration // waiting for it, from when the connection was there, the sending included
	Total     time.Duration
}

// trace collects instants, in nanoseconds after start. They are atomic because a dial whose request
// has moved on to another connection goes on behind its back, and calls the hooks while, or after,
// the request ends.
type trace struct {
	now   func() time.Time
	start time.Time

	dnsStart, dnsDone, connStart, connected, tlsStart, tlsDone, got, wrote, first atomic.Int64

	reused atomic.Bool                    // the connection had been used before
	conn   atomic.Pointer[slotted]        // that was got; nil: none
	tried  atomic.Pointer[netip.AddrPort] // that was last dialled; nil: none
}

// traceKey finds the trace of a request in the context that its dial is given.
type traceKey struct{}

// hooks are those of net/http and of net. What a tunnel does on its way to the proxy is not told by
// them: it marks itself what concerns the endpoint, as TLS does.
func (t *trace) hooks(proxied bool) *httptrace.ClientTrace {
	h := &httptrace.ClientTrace{
		GotConn:              t.gotConn,
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.mark(&t.wrote) },
		GotFirstResponseByte: func() { t.once(&t.first) },
	}
	if !proxied {
		h.DNSStart = func(httptrace.DNSStartInfo) { t.once(&t.dnsStart) }
		h.DNSDone = func(httptrace.DNSDoneInfo) { t.mark(&t.dnsDone) }
		h.ConnectStart = func(_, address string) {
			if at, err := netip.ParseAddrPort(address); err == nil {
				t.dials(at)
			}
		}
		h.ConnectDone = func(_, _ string, err error) {
			if err == nil { // else it ends with the attempt, or another address is tried
				t.once(&t.connected)
			}
		}
	}
	return h
}

// dials notes that an address is tried, which may be one of several, side by side.
func (t *trace) dials(at netip.AddrPort) {
	t.once(&t.connStart)
	if t.connected.Load() == 0 {
		t.tried.Store(&at)
	}
}

func (t *trace) gotConn(c httptrace.GotConnInfo) {
	t.reused.Store(c.Reused)
	t.mark(&t.got)
	conn := c.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if s, ok := conn.(*slotted); ok {
		t.conn.Store(s)
	}
}

// address is where the request went, or was last tried to be sent; zero: nowhere.
func (t *trace) address() netip.AddrPort {
	if s := t.conn.Load(); s != nil {
		return s.to
	}
	if at := t.tried.Load(); at != nil {
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	return netip.AddrPort{}
}

// mark stores how long it took so far; never 0, which means "did not happen".
func (t *trace) mark(at *atomic.Int64) { at.Store(max(int64(t.now().Sub(t.start)), 1)) }

// once is for what may happen several times, side by side: two address families, or 1xx answers.
func (t *trace) once(at *atomic.Int64) { at.CompareAndSwap(0, max(int64(t.now().Sub(t.start)), 1)) }

func (t *trace) timings() Timings {
	total := t.now().Sub(t.start)
	open := int64(total) // when the connection was there; if it never was, the attempt ended with opening it
	if got := t.got.Load(); got > 0 {
		open = got
	}
	span := func(from, to *atomic.Int64, end int64) time.Duration {
		a, b := from.Load(), to.Load()
		if b == 0 || b > end {
			b = end
		}
		if a == 0 || b < a {
			return 0
		}
		return time.Duration(b - a)
	}
	s := Timings{Open: time.Duration(open), FirstByte: span(&t.got, &t.first, int64(total)), Total: total}
	if !t.reused.Load() { // else what was dialled meanwhile is another's
		s.DNS, s.Connect, s.TLS = span(&t.dnsStart, &t.dnsDone, open), span(&t.connStart, &t.connected, open), span(&t.tlsStart, &t.tlsDone, open)
	}
	return s
}

// stage says how far the attempt had come.
func (t *trace) stage() string {
	switch {
	case t.wrote.Load() > 0:
		return "after sending the request"
	case t.tlsStart.Load() > 0:
		return "in the TLS handshake"
	case t.connStart.Load() > 0:
		return "while connecting"
	case t.dnsStart.Load() > 0:
		return "while resolving the name"
	default:
		return "before sending the request"
	}
}

// maxRetryAfter is more than anybody obeys: who sends has a bound of its own.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads RFC 9110's two forms, whole seconds or an HTTP date. A date is read against the
// partner's own clock, which its Date tells; ours stands in where that says nothing. What is
// neither, or past, is 0.
func retryAfter(v, date string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0
	}
	if strings.Trim(v, "0123456789") == "" {
		var d time.Duration
		for i := 0; i < len(v) && d <= maxRetryAfter; i++ { // digit by digit: twenty of them do not fit an integer
			d = d*10 + time.Duration(v[i]-'0')*time.Second
		}
		return min(d, maxRetryAfter)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(date); err == nil {
		now = theirs
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
