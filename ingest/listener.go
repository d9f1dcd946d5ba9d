package ingest

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// listener bounds the open connections, in all and of each address, and outlives what makes
// fasthttp's Serve return for good: too many open files, a connection reset before it was accepted.
type listener struct {
	net.Listener
	exempt  func(netip.Addr) bool // addresses that may have more: they speak for many
	crowded func(reason string)   // is told of each connection that was closed to make place
	log     *slog.Logger

	little time.Duration // see deadlines

	once   sync.Once
	closed chan struct{}
	freed  chan struct{} // holds one if a connection has ended since it was last looked at

	mu       sync.Mutex // guards the fields below
	max      int        // connections open at once
	share    int        // of these, those of one address
	open     map[*conn]struct{}
	origins  map[netip.Addr]map[*conn]struct{} // the same, by where they come from
	latest   []standing                        // who may give way next, best last: see evict
	lingered []*conn                           // those that linger, longest first
	hasty    bool                              // what lingers shall not do so for long
}

func newListener(ln net.Listener, exempt func(netip.Addr) bool, log *slog.Logger) *listener {
	return &listener{
		Listener: ln, exempt: exempt, crowded: func(string) {}, log: log, closed: make(chan struct{}), freed: make(chan struct{}, 1),
		open: map[*conn]struct{}{}, origins: map[netip.Addr]map[*conn]struct{}{},
	}
}

// Accept waits for a connection, and makes place for it.
func (l *listener) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			if t := l.place(c); t != nil {
				return t, nil
			}
			wait = 5 * time.Millisecond
			continue
		case !passing(err):
			return nil, err
		}
		l.log.Warn("accept_failed", "error", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-l.closed:
			return nil, net.ErrClosed
		}
		wait = min(2*wait, time.Second)
	}
}

// begun are the connections on which a request has begun to come and is not answered yet.
func (l *listener) begun() (cs []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if c.begun.Load() {
			cs = append(cs, c)
		}
	}
	return cs
}

// ended reports whether all of these are closed, or answered: what was answered just before answers
// began to end connections rests.
func (l *listener) ended(cs []*conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range cs {
		if _, open := l.open[c]; open && c.begun.Load() && !c.lingering.Load() {
			return false
		}
	}
	return true
}

// bound sets how many may be open, and how many of one address. Those beyond it go when another
// comes.
func (l *listener) bound(most, share int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max, l.share = most, share
}

func (l *listener) most() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.max
}

// count is how many connections are open.
func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// rest closes the connections that rest between two requests.
func (l *listener) rest() {
	for _, c := range l.all() {
		if c.rested.Load() && !c.begun.Load() && !c.lingering.Load() {
			c.end() //nolint:errcheck,gosec // nothing is under way on it
		}
	}
}

func (l *listener) all() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.open))
}

// follow is told by fasthttp what becomes of a connection. It calls one active that has just been
// opened, so of the first request the bytes tell.
func follow(nc net.Conn, state fasthttp.ConnState) {
	c := ours(nc)
	switch {
	case c == nil:
	case state == fasthttp.StateIdle:
		c.handling.Store(false)
		c.begun.Store(false)
		c.rested.Store(true)
		c.due.Store(elapsed())
	case state == fasthttp.StateActive && c.rested.Load() && !c.begun.Load(): // its bytes came along with the request before
		c.begin(elapsed())
	}
}

// ours is the connection below TLS; nil if it is none of this listener's.
func ours(nc net.Conn) *conn {
	if s, ok := nc.(*sealed); ok {
		return s.below
	}
	c, _ := nc.(*conn)
	return c
}

// sealed is a connection with TLS.
type sealed struct {
	*tls.Conn
	below *conn
}

// Read notes the end that a sender puts inside TLS.
func (s *sealed) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if n > 0 {
		return n, nil // an end behind it is read again
	}
	s.below.ended = s.below.ended || err != nil
	return n, err //nolint:wrapcheck // the server asks what it is
}

// Close ends what is sent, and drops all that TLS holds before it lingers.
func (s *sealed) Close() error {
	if !s.below.lingers {
		return s.Conn.Close() //nolint:wrapcheck // nobody asks
	}
	s.CloseWrite() //nolint:errcheck,gosec // the sender has gone, or reads on
	s.Conn = nil
	return s.below.Close()
}

// sealing serves TLS on the connections of a listener.
type sealing struct {
	*listener
	config *tls.Config
}

// Accept does not wait for handshakes.
func (l sealing) Accept() (net.Conn, error) {
	nc, err := l.listener.Accept()
	if err != nil {
		return nil, err
	}
	return &sealed{tls.Server(nc, l.config), ours(nc)}, nil
}

// cut closes every connection that is still open.
func (l *listener) cut() {
	for _, c := range l.all() {
		c.end() //nolint:errcheck,gosec // it is cut, not finished
	}
}

// Close stops accepting.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// What counts as progress. A sender at a steady pace of bodyPace or more is never late; one that
// has sent much at once is late again after bodyCredit of silence.
const (
	bodyPace     = 32 << 10 // bytes a second
	bodyCredit   = 500 * time.Millisecond
	newCredit    = time.Second      // for the handshakes and the first byte of a new connection
	provenCredit = 10 * time.Second // more, for a connection on which a genuine callback has come
)

// conn is one connection of the listener. One goroutine serves it; what others look at is atomic.
type conn struct {
	net.Conn
	l      *listener
	origin netip.Addr // whose share of the connections it counts to
	exempt bool       // it may have more than a share

	begun     atomic.Bool  // bytes have come since the last answer
	rested    atomic.Bool  // something was answered on it
	handling  atomic.Bool  // its request is read and not answered yet: it is ours to finish
	proven    atomic.Bool  // a genuine callback has come on it
	lingering atomic.Bool  // it is answered for the last time, and what still comes is thrown away
	until     atomic.Int64 // when it has lingered for long enough
	due       atomic.Int64 // until when it is paid for by what it has sent, as elapsed tells time; before now it is late

	deadlines

	// Of the goroutine that serves it.
	received int64      // bytes, as they came, TLS included
	allowed  int64      // received beyond this fails
	ended    bool       // nothing comes any more
	lingers  bool       // after the last answer: what it answers is not read to its end
	hurried  bool       // its sender is slow: it does not linger for long
	client   netip.Addr // who sent the request
	admitted *source    // of a request that waits for 100 Continue; nil: none does
	way      way        // of the request that is answered next
}

var errOverhead = errors.New("too much around the chunks of a body")

// Read notes that a request begins and how it goes on.
func (c *conn) Read(b []byte) (int, error) {
	if c.received > c.allowed {
		return 0, errOverhead
	}
	if err := c.armRead(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.received += int64(n)
		now := elapsed()
		if !c.begun.Load() {
			c.begin(now)
		}
		c.progress(n, now)
	}
	c.ended = c.ended || n == 0 && err != nil
	return n, err
}

func (c *conn) begin(now int64) {
	c.begun.Store(true)
	c.due.Store(now + int64(bodyCredit))
}

// answered says that an answer is about to be written: it may take a moment, and no longer.
func (c *conn) answered(genuine bool, now int64) {
	if genuine {
		c.proven.Store(true)
	}
	c.due.Store(now + int64(bodyCredit))
	c.handling.Store(false)
}

// progress pays for the time that so many bytes may take.
func (c *conn) progress(n int, now int64) {
	c.due.Store(min(c.due.Load()+int64(n)*int64(time.Second)/bodyPace, now+int64(bodyCredit)))
}

// unbounded lets as many bytes come as there are.
func (c *conn) unbounded() { c.allowed = math.MaxInt64 }

var epoch = time.Now()

// elapsed tells time for what is compared with itself only: nanoseconds of the monotonic clock.
func elapsed() int64 { return int64(time.Since(epoch)) }

// Close is called by whoever serves the connection, after its last answer.
func (c *conn) Close() error {
	if c.lingers && !credulous {
		c.linger()
	}
	return c.end()
}

// end closes it at once and gives the slot back. Anybody may call it, more than once.
func (c *conn) end() error {
	c.l.drop(c)
	return c.Conn.Close()
}
