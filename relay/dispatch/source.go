package dispatch

import (
	"bytes"
	"context"
	"slices"
	"time"

	"countersign/outbox"
)

// source is one of the outboxes that a line claims from, and how far the line has come there.
type source struct {
	*part
	attempts context.Context //nolint:containedctx // of what is claimed here
	stop     func()

	spent  bool      // the last claim took all that was due, and nothing has said since that there is more
	next   time.Time // when something more becomes due, as of the last claim; zero: nothing known
	behind bool      // results wait for the disk, so that nothing may begin
	asked  bool      // by the claim that is being made
	rounds [2]round  // of what has failed before: of urgent lanes, and of others
}

// follow makes the sources those of the partitions that there are. What is claimed is tried under
// ctx. mu is held.
func (l *line) follow(ctx context.Context) {
	now := l.s.r.owed.list.Load()
	if now == l.parts || now == nil {
		return
	}
	l.part()
	all := make([]*source, 0, len(*now))
	for _, p := range *now {
		i := slices.IndexFunc(l.sources, func(src *source) bool { return src.part == p })
		if i < 0 {
			all = append(all, newSource(ctx, p))
		} else {
			all = append(all, l.sources[i])
		}
	}
	l.parts, l.sources = now, all
}

func newSource(ctx context.Context, p *part) *source {
	src := &source{part: p}
	var cut context.CancelFunc
	src.attempts, cut = context.WithCancel(ctx)
	stop := context.AfterFunc(p.life, cut) // which comes with its end
	src.stop = func() {
		stop()
		cut()
	}
	src.rounds[0].begin()
	src.rounds[1].begin()
	return src
}

// leave has nothing more claimed from partitions that have ended, and gives back what waits of
// theirs.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part()
}

// part is leave, for whoever holds mu.
func (l *line) part() {
	l.sources = slices.DeleteFunc(slices.Clone(l.sources), func(src *source) bool { return src.over() })
	l.parts = nil
	l.giveBack(func(*source) bool { return false })
}

// end is for a line that has closed, and of which nothing is under way.
func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, src := range l.sources {
		src.stop()
	}
}

// heard are the sources that run listens to; deaf: to none.
func (l *line) heard(deaf bool) []*source {
	l.mu.Lock()
	defer l.mu.Unlock()
	if deaf {
		return nil
	}
	return l.sources
}

// of is where a delivery was claimed; nil: nowhere that there is.
func (l *line) of(d *outbox.Delivery) *source {
	for _, src := range l.sources {
		if src.outbox == d.From() {
			return src
		}
	}
	return nil
}

// anew has every source asked again.
func (l *line) anew() {
	for _, src := range l.sources {
		src.spent = false
	}
}

// wants reports whether a claim may find something there. One source that always has something keeps
// run from waiting, and so from hearing of the others: while it does not listen, whoever claims does.
func (l *line) wants(src *source) bool {
	if len(l.sources) > 1 && !l.listening && src.spent {
		select {
		case <-src.outbox.Wake(l.s.id):
			src.spent = false
		default:
			src.spent = src.next.IsZero() || l.s.r.o.Now().Before(src.next)
		}
	}
	return !src.spent && !src.behind
}

// spent reports whether no claim would find anything.
func (l *line) spent() bool { return !slices.ContainsFunc(l.sources, l.wants) }

// stalled reports whether results wait for the disk everywhere, so that nothing may begin. What
// waits for a slot where they do is given back, if there are others.
func (l *line) stalled() bool {
	n := 0
	for _, src := range l.sources {
		if src.behind = src.outbox.Behind(); src.behind {
			n++
		}
	}
	if n > 0 && n < len(l.sources) {
		l.giveBack(func(src *source) bool { return src.behind })
		l.next = l.soonest()
	}
	return n == len(l.sources)
}

// soonest is when something more becomes due; zero: nothing known.
func (l *line) soonest() (next time.Time) {
	for _, src := range l.sources {
		if !src.behind {
			next = first(next, src.next)
		}
	}
	return next
}

// rush reports whether something urgent has come to stand anywhere since it was last asked.
func (l *line) rush() (yes bool) {
	for _, src := range l.sources {
		yes = src.outbox.Rush(l.s.id) || yes
	}
	return yes
}

// claim adds to the queue what a turn takes: of many sources, what is urgent in any of them before
// all else.
func (l *line) claim(t outbox.Turn) {
	t.Max, t.Failed = max(t.Max, 0), max(t.Failed, 0)
	n := 0
	for _, src := range l.sources {
		if src.asked = l.wants(src) || t.Urgent && !src.behind; src.asked {
			n++
		}
	}
	if t.Urgent {
		l.ask(t, false)
		return
	}
	for _, src := range l.sources {
		if src.asked {
			src.spent, src.next = true, time.Time{}
		}
	}
	if n > 1 {
		t.Urgent = true
		t = l.ask(t, true)
		t.Urgent, t.Plain = false, true
	}
	l.ask(t, true)
	l.next = l.soonest()
}

// ask claims from one source after the other, beginning behind the last that gave something, so that
// none starves another. It returns what is left of the turn. note: what is left there is noted.
func (l *line) ask(t outbox.Turn, note bool) outbox.Turn {
	last := &l.last[1]
	if t.Urgent {
		last = &l.last[0]
	}
	begin := *last + 1
	for i := range l.sources {
		at := (begin + i) % len(l.sources)
		src := l.sources[at]
		if !src.asked {
			continue
		}
		if t.Max == 0 && len(l.sources) > 1 {
			src.spent = src.spent && !note
			continue
		}
		n, failed, next, err := l.claimOf(src, t)
		if n > 0 {
			*last = at
		}
		if note {
			src.next = first(src.next, next)
			src.spent = src.spent && err == nil && n < t.Max && failed < t.Failed
		}
		t.Max, t.Failed = t.Max-n, t.Failed-failed
	}
	return t
}

// claimOf adds to the queue what one source gives.
func (l *line) claimOf(src *source, t outbox.Turn) (n, failed int, next time.Time, err error) {
	s := l.s
	ds, next, err := src.outbox.Claim(s.id, t)
	l.looked = s.r.o.Now()
	if err != nil {
		s.r.o.Logger.Error("claim_failed", "endpoint", s.id, "error", err)
		next = l.looked.Add(time.Second)
	}
	was := l.marks
	for i := range ds {
		l.marks.count(&ds[i], 1)
	}
	if len(l.queue) == 0 {
		l.queue = ds
	} else {
		l.queue = append(l.queue, ds...)
	}
	return len(ds), l.marks.failed - was.failed, next, err
}

// expire is of all sources.
func (l *line) expire(ctx context.Context, opened time.Time) (next time.Time) {
	for _, src := range l.sources {
		next = first(next, l.s.expire(ctx, src.outbox, opened))
	}
	return next
}

// owes reports whether an urgent delivery is owed anywhere, and one that has never been tried.
func (l *line) owes() (urgent, fresh bool) {
	for _, src := range l.sources {
		u, f := src.outbox.Owes(l.s.id)
		urgent, fresh = urgent || u, fresh || f
	}
	return urgent, fresh
}

func (l *line) beginRounds() {
	for _, src := range l.sources {
		src.rounds[0].begin()
		src.rounds[1].begin()
	}
}

// round goes through what has failed before, each once, from wherever the last one came to: so that
// those who go first and fail for reasons of their own are not all that is ever tried.
type round struct {
	place   []byte // behind it is the next
	from    []byte // where it began; nil: at the first
	wrapped bool   // it has come to the last, and gone on at the first
}

func (r *round) begin() { r.from, r.wrapped = r.place, r.place == nil }

// next is the next of an endpoint's urgent lanes in an outbox, or of its others; not ok: it has been
// through all of them, unless it goes on for ever.
func (r *round) next(s *sender, o *outbox.Outbox, urgent, forever bool) (outbox.Delivery, bool) {
	for {
		d, at, err := o.Early(s.id, urgent, r.place)
		switch {
		case err != nil:
			s.r.o.Logger.Error("claim_failed", "endpoint", s.id, "error", err)
			return d, false
		case at == nil && (r.place == nil || r.wrapped && !forever):
			return d, false
		case at == nil:
			r.place, r.wrapped = nil, true
		case r.wrapped && !forever && r.from != nil && bytes.Compare(at, r.from) > 0:
			o.Release(d)
			return d, false
		default:
			r.place = at
			return d, true
		}
	}
}
