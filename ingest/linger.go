package ingest

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// An answer that is given before a request is read to its end must not be lost: closing a socket
// with unread bytes in it sends a reset, at which the sender's side throws away what it has not
// read. So the gateway says that it is done, throws away what still comes, and closes when the
// sender has closed, or at these bounds.
const (
	lingerBytes = 32 << 20
	lingerTime  = 10 * time.Second
	lingerIdle  = 2 * time.Second
	lingerHasty = 100 * time.Millisecond // for a sender that was too slow, and while stopping
)

// linger ends a connection after its last answer has been written. It holds no buffer while nothing
// comes.
func (c *conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.l.lingering(c)
	defer c.l.lingersNoMore(c)
	for left := int64(lingerBytes); left > 0 && c.wait(); {
		n, err := c.discard()
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

// wait sets how long the next bytes may take; false: it has lingered for long enough. While it does
// so it may be hurried.
func (c *conn) wait() bool {
	for {
		until := c.until.Load()
		left := time.Duration(until - elapsed())
		if left <= 0 || c.Conn.SetReadDeadline(time.Now().Add(min(left, lingerIdle))) != nil {
			return false
		}
		if c.until.Load() == until {
			return true
		}
	}
}

// hasten lets it linger for a moment only.
func (c *conn) hasten() { c.until.Store(elapsed() + int64(lingerHasty)) }

var waste = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// discard throws away what comes next. A buffer is taken only once there is something to read.
func (c *conn) discard() (n int, err error) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return c.Conn.Read(make([]byte, 512)) //nolint:wrapcheck // it only ends the wait
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err //nolint:wrapcheck // it only ends the wait
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		b := waste.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
		n, failed = syscall.Read(int(fd), *b)
		waste.Put(b)
		return !errors.Is(failed, syscall.EAGAIN) && !errors.Is(failed, syscall.EINTR)
	})
	switch {
	case err != nil:
		return 0, err //nolint:wrapcheck // it only ends the wait
	case failed != nil:
		return 0, os.NewSyscallError("read", failed)
	case n <= 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

// lingering counts a connection that lingers. At most a quarter of all do so; then the one that has
// for longest is closed.
func (l *listener) lingering(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lingered) >= max(1, l.max/4) {
		l.evict(l.lingered[0])
		l.lingered = slices.Delete(l.lingered, 0, 1)
	}
	c.lingering.Store(true)
	if c.until.Store(elapsed() + int64(lingerTime)); c.hurried || l.hasty {
		c.hasten()
	}
	c.handling.Store(false)
	l.lingered = append(l.lingered, c)
}

func (l *listener) lingersNoMore(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.lingered, c); i >= 0 {
		l.lingered = slices.Delete(l.lingered, i, i+1)
	}
}

// hurry ends before long what lingers, now and from now on.
func (l *listener) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hasty = true
	for _, c := range l.lingered {
		c.hasten()
		c.Conn.SetReadDeadline(time.Now().Add(lingerHasty)) //nolint:errcheck,gosec // it is closed then
	}
}
