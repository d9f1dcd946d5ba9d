package control

import (
	lru "container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	wrongRate   = 10 // wrong tokens of one network that are looked at in a second; more are answered 429
	watched     = 1024
	tellEvery   = time.Minute // of one network there is a line in the log so often
	linesAtOnce = 10          // lines in the log, of all networks, at once; then one in tellEvery/linesAtOnce
)

// watch keeps an eye on who is refused: so that one who guesses is slowed down, and so that the log
// says it and is not filled by it. It knows the networks that were refused last, and no more of
// them than watched.
type watch struct {
	lines *rate.Limiter

	mu    sync.Mutex // guards the fields below
	seen  map[netip.Addr]*lru.Element
	order *lru.List // of *suspect; the one that was refused last is in front
}

// suspect is a network from which something was refused.
type suspect struct {
	from     netip.Addr
	wrong    *rate.Limiter
	told     time.Time // when the log last had a line; zero: never
	unlogged int       // refused since
}

func newWatch() *watch {
	return &watch{lines: rate.NewLimiter(rate.Every(tellEvery/linesAtOnce), linesAtOnce), seen: map[netip.Addr]*lru.Element{}, order: lru.New()}
}

// of finds a suspect or makes one, for whoever holds mu. The one that has been quiet for longest is
// forgotten for it.
func (w *watch) of(from netip.Addr) *suspect {
	if e := w.seen[from]; e != nil {
		w.order.MoveToFront(e)
		return e.Value.(*suspect) //nolint:forcetypeassert // nothing else is in it
	}
	if len(w.seen) >= watched {
		last := w.order.Back()
		w.order.Remove(last)
		delete(w.seen, last.Value.(*suspect).from) //nolint:forcetypeassert // as above
	}
	s := &suspect{from: from, wrong: rate.NewLimiter(wrongRate, wrongRate)}
	w.seen[from] = w.order.PushFront(s)
	return s
}

// often reports whether wrong tokens come from a network faster than they are looked at.
func (w *watch) often(from netip.Addr, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.of(from).wrong.AllowN(now, 1)
}

// tell reports whether a refusal is to be logged, and how many of this network were not since the
// last one that was.
func (w *watch) tell(from netip.Addr, now time.Time) (unlogged int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.of(from)
	if !s.told.IsZero() && now.Sub(s.told) < tellEvery || !w.lines.AllowN(now, 1) {
		s.unlogged++
		return 0, false
	}
	unlogged, s.unlogged, s.told = s.unlogged, 0, now
	return unlogged, true
}
