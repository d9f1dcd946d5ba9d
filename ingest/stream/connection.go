package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// outcome is how a connection ended, or why there was none. Metric label and log field come from
// it.
type outcome string

// The outcomes.
const (
	ended       outcome = "ended"       // the provider closed it
	silent      outcome = "silent"      // not even a heartbeat came
	gap         outcome = "gap"         // the provider says that it has left events out: they are asked for again
	heldBack    outcome = "held_back"   // the journal had no room, and what a provider leaves out meanwhile is not known
	refused     outcome = "refused"     // 401, 403: the credentials, or what they may see
	limited     outcome = "limited"     // 429
	failing     outcome = "failing"     // every other status, and an answer that is no stream
	unreachable outcome = "unreachable" // no connection, no TLS, no answer in time, or broken off
)

var outcomes = []outcome{ended, silent, gap, heldBack, refused, limited, failing, unreachable}

// ending is how a connection ended. Its text is made of fixed words and status codes.
type ending struct {
	outcome outcome
	after   time.Duration // the provider asks to be left alone for so long
	err     error
}

// Control judges an address that is about to be connected to, after the lookup, as
// net.Dialer.ControlContext does.
type Control func(ctx context.Context, network, address string, conn syscall.RawConn) error

// newClient makes a client that follows nothing: where a provider's API sends us is not where the
// operator told us to bring the credentials. It has no deadline for the body, which never ends.
// Control judges every address before it is connected to; nil: every one may be called.
func newClient(answer time.Duration, control Control) *http.Client {
	dialer := &net.Dialer{Timeout: answer, ControlContext: control, Resolver: &net.Resolver{PreferGo: true}}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: answer, ResponseHeaderTimeout: answer, MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// connection is one look at a source's stream.
type connection struct {
	f       *Follower
	s       *source
	cursor  string  // behind the last event taken
	saved   string  // as it is on stable storage
	unsaved []taken // since then
	held    bool    // the journal has had no room
	good    bool    // something came of it: whatever ends it, the next try is a first
}

// follow takes what comes until the connection ends, which is no error. Errors are the journal's.
func (c *connection) follow(ctx context.Context) (*ending, error) {
	reading, cancel := context.WithCancelCause(ctx) // what is written does not depend on it
	defer cancel(nil)
	body, e := c.open(reading)
	if e != nil {
		return e, nil
	}
	defer body.Close() //nolint:errcheck // read to its end or given up
	connected := c.f.m.connected.WithLabelValues(c.s.Name)
	connected.Set(1)
	defer connected.Set(0)
	r := newReader(&watched{body, c.f.waits.silence, func() { cancel(errSilent) }}, int(c.s.MaxEvent), c.s.Adapter.Stream.Gap)
	for {
		ev, err := r.next()
		if err != nil {
			return c.broken(reading, err), nil
		}
		if len(ev.data) > 0 && !ev.gap { // what stands beside the notice of a gap may be behind the gap
			if err := c.take(ctx, ev); err != nil {
				return nil, err
			}
		}
		if !ev.gap && r.more() && len(c.unsaved) < maxBatch {
			continue
		}
		if err := c.save(ctx); err != nil {
			return nil, err
		}
		switch { // of what would come next something may be missing that is still to be had behind the cursor
		case ev.gap:
			return &ending{outcome: gap, err: errors.New("the provider has left events out for a slow reader")}, nil
		case c.held:
			return &ending{outcome: heldBack, err: errors.New("the journal had no room")}, nil
		}
	}
}

// open asks for the stream behind the cursor.
func (c *connection) open(ctx context.Context) (io.ReadCloser, *ending) {
	call := c.s.Adapter.Stream.Call(c.cursor)
	if err := c.s.Adapter.Stream.Authorize(&call, c.s.Credentials, c.f.o.Now()); err != nil {
		return nil, &ending{outcome: refused, err: err}
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, c.s.Base+call.Path, nil)
	if err != nil {
		return nil, &ending{outcome: failing, err: errors.New("the call has no valid address")}
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	req.Header.Set("User-Agent", "countersign")
	for name, value := range call.Header {
		req.Header.Set(name, value)
	}
	res, err := c.s.client.Do(req)
	if err != nil {
		return nil, &ending{outcome: unreachable, err: plain(err)}
	}
	e := ofAnswer(res)
	if e != nil {
		res.Body.Close() //nolint:errcheck,gosec // not read
		return nil, e
	}
	return res.Body, nil
}

// ofAnswer says why an answer is not a stream; nil: it is one.
func ofAnswer(res *http.Response) *ending {
	e := &ending{outcome: failing, err: fmt.Errorf("the api answered %d", res.StatusCode)}
	switch res.StatusCode {
	case http.StatusOK:
		if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err == nil && kind == "text/event-stream" {
			return nil
		}
		e.err = errors.New("the api answered with something that is no event stream")
	case http.StatusUnauthorized, http.StatusForbidden:
		e.outcome = refused
	case http.StatusTooManyRequests:
		e.outcome = limited
	default:
	}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		e.after = time.Duration(min(n, 3600)) * time.Second
	}
	return e
}

// plain takes the URL out of an error: an operator's own may hold a name.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

var errSilent = errors.New("not even a heartbeat came")

// broken says how a stream ended that could not be read on. What of an event came before is torn
// and comes again.
func (c *connection) broken(ctx context.Context, err error) *ending {
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		c.good = true // a quiet stream is no failing one
		return &ending{outcome: silent, err: errSilent}
	case errors.Is(err, io.EOF):
		return &ending{outcome: ended, err: errors.New("the provider closed the stream")}
	default:
		return &ending{outcome: unreachable, err: errors.New("the stream broke off")}
	}
}

// watched gives up when nothing comes for a while. It counts only while somebody reads, so that a
// reader who is busy is not taken for a silent provider.
type watched struct {
	io.Reader
	silence time.Duration
	giveUp  func()
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	t := time.AfterFunc(w.silence, w.giveUp)
	defer t.Stop()
	return w.Reader.Read(p)
}
