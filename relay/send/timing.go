package send

import (
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// Timings says where the time of an attempt went. What did not happen, such as a handshake on a
// connection used again, is 0.
type Timings struct {
	DNS, Connect, TLS time.Duration
	FirstByte         time.Duration // from the start to the first byte of the answer
	Total             time.Duration
}

// trace collects instants, in nanoseconds after start. They are atomic because a dial whose request
// has moved on to another connection goes on behind its back, and calls the hooks while, or after,
// the request ends.
type trace struct {
	now   func() time.Time
	start time.Time

	dnsStart, dnsDone, connStart, connDone, tlsStart, tlsDone, wrote, first atomic.Int64

	reused atomic.Bool // the connection had been used before
}

func (t *trace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { t.once(&t.dnsStart) },
		DNSDone:              func(httptrace.DNSDoneInfo) { t.mark(&t.dnsDone) },
		ConnectStart:         func(string, string) { t.once(&t.connStart) },
		ConnectDone:          func(string, string, error) { t.mark(&t.connDone) },
		TLSHandshakeStart:    func() { t.mark(&t.tlsStart) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { t.mark(&t.tlsDone) },
		GotConn:              func(c httptrace.GotConnInfo) { t.reused.Store(c.Reused) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.mark(&t.wrote) },
		GotFirstResponseByte: func() { t.once(&t.first) },
	}
}

// mark stores how long it took so far; never 0, which means "did not happen".
func (t *trace) mark(at *atomic.Int64) { at.Store(max(int64(t.now().Sub(t.start)), 1)) }

// once is for what may happen several times, side by side: two address families, or 1xx answers.
func (t *trace) once(at *atomic.Int64) { at.CompareAndSwap(0, max(int64(t.now().Sub(t.start)), 1)) }

func (t *trace) timings() Timings {
	span := func(from, to *atomic.Int64) time.Duration {
		if a, b := from.Load(), to.Load(); a > 0 && b > a {
			return time.Duration(b - a)
		}
		return 0
	}
	return Timings{
		DNS: span(&t.dnsStart, &t.dnsDone), Connect: span(&t.connStart, &t.connDone), TLS: span(&t.tlsStart, &t.tlsDone),
		FirstByte: time.Duration(t.first.Load()), Total: t.now().Sub(t.start),
	}
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
