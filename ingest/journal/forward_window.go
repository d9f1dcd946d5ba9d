package journal

import (
	"slices"
	"time"
)

const (
	windowEntries = 8192     // read and not acknowledged, at most about so many
	windowBytes   = 16 << 20 // of them
	batchRecords  = 500      // of one partition in one request
	batchBytes    = 900 << 10
)

// window is what has been read of a feed and not been acknowledged, by partition. One goroutine owns it.
type window struct {
	parts []part
	read  int64 // place up to which the feed has been read
	count int   // entries in it
	bytes int
}

// part is one partition. Its queue is in order, and at most one batch of it is under way: a record is sent only when all before it have been acknowledged.
type part struct {
	queue    []Entry
	under    int       // of the queue, how many are under way
	bytes    int       // of those, or of the last that were
	limit    int       // records of a batch: less when one was too large
	failures int       // in a row
	stuck    time.Time // since when they have been failing; zero: they have not
	retry    time.Time // not before
	from     int64     // everything up to here was acknowledged before this run
}

// newWindow begins where the kept positions say.
func newWindow(from []int64) *window {
	w := &window{parts: make([]part, len(from)), read: slices.Min(from)}
	for p := range w.parts {
		w.parts[p] = part{from: from[p], limit: batchRecords}
	}
	return w
}

func (w *window) full() bool { return w.count >= windowEntries || w.bytes >= windowBytes }

// add takes entries that have been read, up to last. What a partition has acknowledged before a restart is passed over.
func (w *window) add(es []Entry, last int64) {
	for i := range es {
		p := &w.parts[PartitionOf(es[i].Message.Key, len(w.parts))]
		if es[i].Place <= p.from {
			continue
		}
		p.queue = append(p.queue, es[i])
		w.count++
		w.bytes += es[i].Message.size()
	}
	w.read = last
}

// place is up to where everything of a partition has been acknowledged.
func (w *window) place(p int) int64 {
	q := &w.parts[p]
	if len(q.queue) == 0 || passEarly {
		return max(q.from, w.read)
	}
	return max(q.from, q.queue[0].Place-1)
}

// places are those of all partitions.
func (w *window) places() []int64 {
	at := make([]int64, len(w.parts))
	for p := range at {
		at[p] = w.place(p)
	}
	return at
}

// take puts the next batch of a partition under way.
func (w *window) take(p, maxBytes int) Batch {
	q := &w.parts[p]
	n, bytes := 0, 0
	for n < min(len(q.queue), q.limit) {
		size := q.queue[n].Message.size()
		if n > 0 && bytes+size > min(batchBytes, maxBytes) {
			break
		}
		bytes += size
		n++
	}
	b := Batch{Partition: int32(p), Records: make([]*Message, n)} //nolint:gosec // a partition's number
	for i := range n {
		b.Records[i] = q.queue[i].Message
	}
	q.under, q.bytes = n, bytes
	return b
}

// acked forgets the batch that was under way.
func (w *window) acked(p int) (n int) {
	q := &w.parts[p]
	n = q.under
	for i := range n {
		w.bytes -= q.queue[i].Message.size()
		q.queue[i].Message = nil
	}
	w.count -= n
	if q.queue = q.queue[n:]; len(q.queue) == 0 {
		q.queue = nil
	}
	q.under, q.failures, q.stuck, q.retry, q.limit = 0, 0, time.Time{}, time.Time{}, min(batchRecords, q.limit*2)
	return n
}

// refused puts the batch that was under way back in its place, to be sent again as it was.
func (w *window) refused(p int, now time.Time, wait func(failures int) time.Duration) {
	q := &w.parts[p]
	q.under = 0
	q.failures++
	if q.stuck.IsZero() {
		q.stuck = now
	}
	q.retry = now.Add(wait(q.failures))
}

// shrink puts a batch that was too large back, to be sent in halves. It reports false for a single record, which no halving helps.
func (w *window) shrink(p int) bool {
	q := &w.parts[p]
	n := q.under
	if n <= 1 {
		return false
	}
	q.under, q.limit = 0, n/2
	return true
}

// stuck is since when the longest failing partition has been; zero: none is failing.
func (w *window) stuck() (since time.Time) {
	for p := range w.parts {
		if at := w.parts[p].stuck; !at.IsZero() && (since.IsZero() || at.Before(since)) {
			since = at
		}
	}
	return since
}
