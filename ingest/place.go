package ingest

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Why a connection was closed to make place for another.
const (
	crowdedAll     = "all"     // every connection was taken
	crowdedAddress = "address" // its address had as many as one may have
)

// place counts a connection that was accepted. Where all are taken, the one that gives way first is
// closed; only if each has a request that is ours to finish does it wait. nil: it could not have a
// place, and is closed.
func (l *listener) place(nc net.Conn) *conn {
	from := peer(nc.RemoteAddr())
	c := &conn{Conn: nc, l: l, origin: block(from), exempt: l.exempt(from), deadlines: deadlines{little: l.little}}
	c.unbounded()
	c.due.Store(elapsed() + int64(newCredit))
	for {
		placed, refused := l.try(c)
		if placed {
			return c
		}
		if refused {
			nc.Close() //nolint:errcheck,gosec // nothing was said on it
			return nil
		}
		select {
		case <-l.freed:
		case <-time.After(50 * time.Millisecond): // or one may give way by now
		case <-l.closed:
			nc.Close() //nolint:errcheck,gosec // nothing was said on it
			return nil
		}
	}
}

func (l *listener) try(c *conn) (placed, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if own := l.origins[c.origin]; l.share < l.max && len(own) >= l.share && !c.exempt {
		l.crowded(crowdedAddress)
		late := first(own)
		if late == nil {
			return false, true
		}
		l.evict(late)
	}
	for len(l.open) >= l.max {
		late := l.next()
		if late == nil {
			return false, false
		}
		l.crowded(crowdedAll)
		l.evict(late)
	}
	l.open[c] = struct{}{}
	if l.origins[c.origin] == nil {
		l.origins[c.origin] = map[*conn]struct{}{}
	}
	l.origins[c.origin][c] = struct{}{}
	return true, false
}

// block is what connections and bodies are counted by: an IPv4 address, or the /64 of an IPv6
// address, of which one sender has as many as it likes.
func block(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// standing is how a connection stood when it was looked at.
type standing struct {
	conn *conn
	rank int
	due  int64
}

// stands says who gives way: first what is late and has proven nothing, then what rests or is late,
// then whatever has been silent for longest. One whose request is read does not.
func (c *conn) stands(now int64) (s standing, ok bool) {
	if c.handling.Load() {
		return s, false
	}
	s = standing{conn: c, due: c.due.Load()}
	if c.proven.Load() {
		s.due += int64(provenCredit)
	}
	if s.due < now {
		s.rank = 1
		if !c.proven.Load() {
			s.rank = 2
		}
	}
	return s, true
}

// same reports whether it still stands as it did.
func (s standing) same() bool {
	again, ok := s.conn.stands(elapsed())
	return ok && again.due == s.due
}

// compare orders those that give way first last.
func (s standing) compare(other standing) int {
	return cmp.Or(cmp.Compare(s.rank, other.rank), cmp.Compare(other.due, s.due))
}

// first of some connections to give way; nil: none does.
func first(conns map[*conn]struct{}) *conn {
	var best standing
	now := elapsed()
	for c := range conns {
		if s, ok := c.stands(now); ok && (best.conn == nil || s.compare(best) > 0) {
			best = s
		}
	}
	return best.conn
}

// looksAhead is how many are chosen at once: in a flood, every connection is looked at once for so
// many that come.
const looksAhead = 64

// next is the first of all to give way; nil: none does. It is called with the lock held.
func (l *listener) next() *conn {
	for range 2 {
		for len(l.latest) > 0 {
			s := l.latest[len(l.latest)-1]
			l.latest = l.latest[:len(l.latest)-1]
			if _, open := l.open[s.conn]; open && s.same() {
				return s.conn
			}
		}
		now := elapsed()
		all := make([]standing, 0, len(l.open))
		for c := range l.open {
			if s, ok := c.stands(now); ok {
				all = append(all, s)
			}
		}
		slices.SortFunc(all, standing.compare)
		l.latest = slices.Clone(all[max(0, len(all)-looksAhead):])
	}
	return nil
}

// evict closes a connection. It is called with the lock held.
func (l *listener) evict(c *conn) {
	l.forget(c)
	c.Conn.Close() //nolint:errcheck,gosec // it is cut, not finished
}

// drop forgets a connection that is closed, and gives its place to who waits for it.
func (l *listener) drop(c *conn) {
	l.mu.Lock()
	l.forget(c)
	l.mu.Unlock()
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

func (l *listener) forget(c *conn) {
	delete(l.open, c)
	own := l.origins[c.origin]
	if delete(own, c); len(own) == 0 {
		delete(l.origins, c.origin)
	}
}
