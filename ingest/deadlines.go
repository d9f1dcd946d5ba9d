package ingest

import (
	"sync/atomic"
	"time"
)

// deadlines are until when a connection may be read from and written to. The server sets three for
// each request: until the next one begins, until it has come, until it is answered. The runtime is
// told only before a read or a write that might wait, and only of one that differs by more than a
// little from the one that stands, so that a busy connection costs a timer now and then in place of
// three for each callback (BenchmarkCallback).
type deadlines struct {
	little  time.Duration // how much earlier than it is set a deadline may come; 0: not at all
	read    deadline
	written deadline
	woken   atomic.Bool // somebody else ended the reading: see wake
}

// deadline is one of them, of the goroutine that serves the connection.
type deadline struct{ wanted, stands time.Time }

// due reports whether the one that stands has to be replaced.
func (d *deadline) due(little time.Duration) bool {
	if d.wanted.IsZero() || d.stands.IsZero() {
		return d.wanted != d.stands
	}
	early := d.wanted.Sub(d.stands)
	return early < 0 || early > little
}

// SetReadDeadline counts from the next Read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.read.wanted = t
	return nil
}

// SetWriteDeadline counts from the next Write.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.written.wanted = t
	return nil
}

// SetDeadline counts from the next Read and the next Write.
func (c *conn) SetDeadline(t time.Time) error {
	c.read.wanted, c.written.wanted = t, t
	return nil
}

// armRead has the deadline of reads stand.
func (c *conn) armRead() error {
	if !c.read.due(c.little) {
		return nil
	}
	if err := c.Conn.SetReadDeadline(c.read.wanted); err != nil {
		return err //nolint:wrapcheck // the server asks what it is
	}
	if c.read.stands = c.read.wanted; c.woken.Load() {
		c.Conn.SetReadDeadline(past) //nolint:errcheck,gosec // it was set a moment ago
	}
	return nil
}

// armWrite has the deadline of writes stand.
func (c *conn) armWrite() error {
	if !c.written.due(c.little) {
		return nil
	}
	if err := c.Conn.SetWriteDeadline(c.written.wanted); err != nil {
		return err //nolint:wrapcheck // the server asks what it is
	}
	c.written.stands = c.written.wanted
	return nil
}

var past = time.Unix(1, 0)

// wake ends the reading of a request for good, from another goroutine than the one that serves it:
// no deadline that is set meanwhile outlasts this one.
func (c *conn) wake() {
	c.woken.Store(true)
	c.Conn.SetReadDeadline(past) //nolint:errcheck,gosec // its reader finds out
}

// Write waits until its deadline at most.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.armWrite(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b) //nolint:wrapcheck // the server asks what it is
}
