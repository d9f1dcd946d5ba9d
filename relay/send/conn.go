package send

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// conn is a connection on which HTTP/1.1 is spoken by whoever posts, in its own goroutine. It
// belongs to one post at a time; at rest it belongs to the pool.
type conn struct {
	net.Conn             // what is spoken on: s, or TLS on it
	s        *slotted    // without TLS: what is cut is cut here
	g        *generation //
	origin   string      // of the URLs that it serves
	used     bool        // a request was written to it
	rested   time.Time   // since when
	watch    *watch      // of the post that has it; guarded by Pool.mu, as the next one is
	at       int         // where in Pool.busy
	kind     string      // the last Content-Type: nearly always it is the next, and costs no new string
	byte1    [1]byte     // for silent
}

// silent reports whether nothing has come since the last answer: no end of the connection, and no
// second answer that nobody asked for, which would be taken for the next request's. It looks and does
// not wait, which costs one system call for each post (BenchmarkSilent). What comes between the look
// and the request cannot be told from an answer by anybody.
//
// The look goes through TLS where there is some: what TLS says of itself, such as a new ticket, is no
// answer, and what it has read and not handed on is.
func (c *conn) silent() bool {
	c.s.wire.looking = true
	n, err := c.Read(c.byte1[:])
	c.s.wire.looking = false
	return n == 0 && err == errQuiet //nolint:errorlint // it comes as it is, through TLS too
}

// end closes the connection, and says so to the other side if it is at rest: one in disorder may not
// be listening.
func (c *conn) end(orderly bool) {
	if secure, ok := c.Conn.(*tls.Conn); ok && orderly {
		_ = secure.Close()
		return
	}
	_ = c.s.Close()
}

// wire is the socket. While its owner is looking, it reads what is there and waits for nothing.
type wire struct {
	*net.TCPConn
	raw     syscall.RawConn
	look    func(fd uintptr) // made once, so that looking costs no memory
	looking bool

	b   []byte // for look, and what it found
	n   int
	err error
}

func newWire(c net.Conn) (*wire, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, errors.New("no connection of TCP")
	}
	raw, err := tcp.SyscallConn()
	w := &wire{TCPConn: tcp, raw: raw}
	w.look = func(fd uintptr) {
		for {
			w.n, w.err = syscall.Read(int(fd), w.b) // a socket of Go's never blocks
			if w.err != syscall.EINTR {             //nolint:errorlint // it comes as it is
				return
			}
		}
	}
	return w, err
}

// Read implements net.Conn.
func (w *wire) Read(b []byte) (int, error) {
	if !w.looking {
		return w.TCPConn.Read(b)
	}
	w.b = b
	err := w.raw.Control(w.look)
	w.b = nil
	switch {
	case err != nil:
		return 0, err
	case w.err == syscall.EAGAIN: //nolint:errorlint // the same
		return 0, errQuiet
	case w.err != nil:
		return 0, w.err
	case w.n == 0:
		return 0, io.EOF
	default:
		return w.n, nil
	}
}

// quiet is the error of a look that found nothing. TLS takes one that is temporary as a reason to
// ask again later.
type quiet struct{}

func (quiet) Error() string   { return "nothing has come" }
func (quiet) Timeout() bool   { return true }
func (quiet) Temporary() bool { return true }

var errQuiet net.Error = quiet{}

// slotted gives its slot back when it is closed.
type slotted struct {
	net.Conn
	wire *wire
	free func()
	to   netip.AddrPort // of the endpoint
}

// addressOf is zero for what is no address of TCP.
func addressOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// Close implements net.Conn.
func (s *slotted) Close() error {
	defer s.free()
	return s.Conn.Close()
}
