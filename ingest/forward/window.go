package forward

import (
	"slices"
	"time"

	"countersign/ingest/journal"
)

const (
	windowEntries = 8192     // read and not acknowledged, at most about so many
	windowBytes   = 16 << 20 // of them
	batchRecords  = 500      // of one partition in one request
	batchBytes    = 900 << 10
	failingKeeps  = 2 * batchRecords // of a partition that fails while others do not, when the window is full
)

// window is what has been read of a feed and not been acknowledged, by partition. One goroutine
// owns it.
type window struct {
	parts []part
	read  journal.Position // place up to which the feed has been read
	count int              // entries in it
	bytes int
	acks  time.Time // when the last batch was acknowledged
}

// part is one partition. Its queue is in order, and at most one batch of it is under way: a record
// is sent only when all before it have been acknowledged.
type part struct {
	queue    []Entry
	under    int              // of the queue, how many are under way
	limit    int              // records of a batch: less when one was too large
	failures int              // in a row
	stuck    time.Time        // since when they have been failing; zero: they have not
	retry    time.Time        // not before
	alone    bool             // it has failed again after others were acknowledged
	from     journal.Position // everything up to here was acknowledged before this run
	hole     journal.Position // from this place on records have been passed over for want of room, and have to be read again; zero: none have
}

// newWindow begins where the kept positions say.
func newWindow(from []journal.Position) *window {
	w := &window{parts: make([]part, 0, len(from)), read: lowest(from)}
	for _, at := range from {
		w.parts = append(w.parts, part{from: at, limit: batchRecords})
	}
	return w
}

func (w *window) full() bool { return w.count >= windowEntries || w.bytes >= windowBytes }

// add takes entries that have been read, up to last. What a partition has acknowledged before a
// restart is passed over.
func (w *window) add(es []Entry, last journal.Position) {
	for i := range es {
		p := &w.parts[PartitionOf(es[i].Message.Key, len(w.parts))]
		if es[i].Place.Compare(p.from) <= 0 || p.hole.Offset > 0 {
			continue
		}
		p.queue = append(p.queue, es[i])
		w.count++
		w.bytes += es[i].Message.size()
	}
	w.read = last
}

// place is up to where everything of a partition has been acknowledged.
func (w *window) place(p int) journal.Position {
	q := &w.parts[p]
	switch {
	case passEarly:
		return journal.Later(q.from, w.read)
	case len(q.queue) > 0:
		return journal.Later(q.from, q.queue[0].Place.Plus(-1))
	case q.hole.Offset > 0:
		return journal.Later(q.from, q.hole.Plus(-1))
	default:
		return journal.Later(q.from, w.read)
	}
}

// shorten makes room: of a partition that goes on failing while others are acknowledged, no more
// than its next batches stays. So one without a leader holds up nobody else, however long. What is
// passed over is read again when the partition has got through what is left.
func (w *window) shorten() {
	for p := range w.parts {
		q := &w.parts[p]
		cut := max(failingKeeps, q.under)
		if !q.alone || len(q.queue) <= cut {
			continue
		}
		for cut > q.under && (q.queue[cut-1].Place == q.queue[cut].Place || q.splits(cut)) { // a place is read again whole
			cut--
		}
		if cut == q.under {
			continue
		}
		q.hole = q.queue[cut].Place
		w.forget(q.queue[cut:])
		q.queue = q.queue[:cut:cut]
	}
}

// reread reports whether a partition waits for what was passed over.
func (w *window) reread() bool {
	return slices.ContainsFunc(w.parts, func(q part) bool { return q.hole.Offset > 0 && len(q.queue) == 0 })
}

func (w *window) forget(es []Entry) {
	for i := range es {
		w.bytes -= es[i].Message.size()
		es[i].Message = nil
	}
	w.count -= len(es)
}

// places are those of all partitions.
func (w *window) places() []journal.Position {
	at := make([]journal.Position, len(w.parts))
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
	n = q.whole(n, bytes, maxBytes)
	b := Batch{Partition: int32(p), Records: make([]*Message, n)} //nolint:gosec // a partition's number
	for i := range n {
		b.Records[i] = q.queue[i].Message
	}
	q.under = n
	return b
}

// splits reports whether a batch of the first n would leave the rest of a group behind.
func (q *part) splits(n int) bool {
	return n > 0 && n < len(q.queue) && q.queue[n].Group != "" && q.queue[n].Group == q.queue[n-1].Group
}

// whole is how many go into a batch, of n that do by their number and their bytes, so that no group
// is split: what another node writes could come between. Only one that is larger than the broker
// takes is.
func (q *part) whole(n, bytes, maxBytes int) int {
	begin := n
	for q.splits(begin) {
		begin--
	}
	if begin > 0 {
		return begin
	}
	end := n
	for q.limit == batchRecords && q.splits(end) { // less: a batch of so many was too large
		if bytes += q.queue[end].Message.size(); bytes > maxBytes {
			return n
		}
		end++
	}
	return end
}

// acked forgets the batch that was under way.
func (w *window) acked(p int, now time.Time) (n int) {
	q := &w.parts[p]
	n, w.acks = q.under, now
	w.forget(q.queue[:n])
	if q.queue = q.queue[n:]; len(q.queue) == 0 {
		q.queue = nil
	}
	q.under, q.failures, q.stuck, q.retry, q.alone, q.limit = 0, 0, time.Time{}, time.Time{}, false, min(batchRecords, q.limit*2)
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
	q.alone = w.acks.After(q.stuck)
	q.retry = now.Add(wait(q.failures))
}

// shrink puts a batch that was too large back, to be sent in halves. It reports false for a single
// record, which no halving helps.
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
