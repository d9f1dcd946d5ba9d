package ingest

import (
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// refusals bound the log of one source: a few lines a second for each verdict, so that a flood of
// one kind hides no line of another, and none of another source. All paths that lead to no source
// are one. What bounds a kind is made when the first of that kind is refused.
type refusals struct{ kinds sync.Map } // a *refusalLog for each verdict

type refusalLog struct {
	limit    *rate.Limiter
	unlogged atomic.Int64
}

// The lines of one kind.
const (
	refusalLines = 2 // a second
	refusalBurst = 20
)

// unknownLabel stands for the source of what was posted to none.
const unknownLabel = "unknown"

// of is what bounds one kind.
func (r *refusals) of(v verdict) *refusalLog {
	l, ok := r.kinds.Load(v)
	if !ok {
		l, _ = r.kinds.LoadOrStore(v, &refusalLog{limit: rate.NewLimiter(refusalLines, refusalBurst)})
	}
	return l.(*refusalLog) //nolint:forcetypeassert // nothing else is kept there
}

// allow reports whether a line may be written, and how many of its kind were not since the last
// one.
func (r *refusals) allow(v verdict) (unlogged int64, ok bool) {
	l := r.of(v)
	if !l.limit.Allow() {
		l.unlogged.Add(1)
		return 0, false
	}
	return l.unlogged.Swap(0), true
}
