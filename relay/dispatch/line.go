package dispatch

import (
	"context"
	"slices"
	"sync"
	"time"

	"countersign/outbox"
	"countersign/outbox/trace"
	"countersign/relay/registry"
)

// job is one attempt to make.
type job struct {
	d     outbox.Delivery
	from  *source     // where it was claimed
	probe bool        // of an open breaker
	span  *trace.Span // of its attempt; nil: it is not traced
}

// line is what is claimed for one endpoint and waits for a slot. Whoever has one to give takes from
// it: the goroutine that runs the sender, and workers that have ended an attempt.
type line struct {
	s *sender

	mu        sync.Mutex // guards the fields below; taken before the sender's
	over      bool       // nothing is taken any more
	listening bool       // run waits, and hears what the outboxes say
	parts     *[]*part   // that the sources are of
	sources   []*source
	last      [2]int // of the sources, which gave something last: of urgent lanes, and of others
	queue     []outbox.Delivery
	marks     marks
	looked    time.Time // when it was last looked for what is due
	next      time.Time // when something more becomes due; zero: nothing known
	sweep     time.Time // when an open one is looked through for what has waited too long
	probes    int       // begun since the breaker opened
	early     bool      // the endpoint is back: what waits for its next try is tried now
}

func (s *sender) endpoint() *registry.Endpoint { return s.setup.Load().Endpoint }

// lookAgain is for how long a queue goes on before something urgent that has become due is looked
// for.
const lookAgain = 100 * time.Millisecond

// take is the next attempt to make, whose slot is taken with it; not ok: there is none now.
func (l *line) take(ctx context.Context) (j job, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.s
	if l.over {
		return job{}, false
	}
	l.follow(ctx)
	s.mu.Lock()
	if s.shut() {
		s.mu.Unlock()
		l.drop() // when it goes on, what is urgent then goes first
		return job{}, false
	}
	s.hungry = true // until it has been seen that nothing waits
	state, opened, slots, full := s.breaker.state, s.breaker.changed, s.slots(), s.turns.inFlight >= s.slots()
	if s.recovering {
		l.early, s.recovering = true, false
		l.beginRounds()
	}
	s.mu.Unlock()
	switch {
	case state == open:
		l.drop()
		l.early = false
		if now := s.r.o.Now(); !now.Before(l.sweep) {
			l.sweep = l.expire(ctx, opened)
		}
		return l.probe()
	case full || l.stalled():
		return job{}, false
	}
	l.probes, l.sweep = 0, time.Time{}
	failed := l.marks.failed
	switch rush := l.rush(); {
	case slots == 1 && failed == len(l.queue): // it is by turns, and whose turn it is may not have been claimed
	case rush || len(l.queue) > 0 && s.r.o.Now().Sub(l.looked) > lookAgain:
		l.claim(outbox.Turn{Max: 3*s.endpoint().Concurrency - len(l.queue), Failed: forFailed(slots) - failed, Urgent: true})
		fallthrough
	default:
		if j, ok = l.choose(); ok {
			return j, true
		}
		failed = l.marks.failed
	}
	if !l.spent() {
		l.claim(outbox.Turn{Max: 2*s.endpoint().Concurrency - len(l.queue) + failed, Failed: forFailed(slots) - failed})
	}
	if j, ok = l.choose(); ok {
		return j, true
	}
	return l.beforeTime()
}

// marks are how many of a queue have failed before, and how many are urgent.
type marks struct{ failed, urgent int }

func (m *marks) count(d *outbox.Delivery, n int) {
	if d.Failures > 0 {
		m.failed += n
	}
	if d.Urgent {
		m.urgent += n
	}
}

// choose takes from the queue whose turn it is, and a slot for it.
func (l *line) choose() (job, bool) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	i := 0
	if alike := l.marks.failed == 0 && (l.marks.urgent == 0 || len(l.queue) > 0 && l.queue[0].Urgent); !alike || len(l.queue) == 0 || s.turns.inFlight >= s.slots() {
		i = s.turns.choose(l.queue, s.slots()) // else it is the first, and nobody looks through all of them
	}
	if i < 0 {
		return job{}, false
	}
	j := job{d: l.queue[i]}
	j.from = l.of(&j.d)
	l.marks.count(&j.d, -1)
	if i == 0 { // nothing has to move up
		l.queue[0] = outbox.Delivery{}
		l.queue = l.queue[1:]
	} else {
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	s.turns.begin(&j.d)
	return j, true
}

// slots is how many attempts may be under way now. s.mu is held.
func (s *sender) slots() int { return min(s.allowed, s.breaker.slots(s.endpoint().Concurrency)) }

// release gives back what waits.
func (l *line) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
}

// close is release for good: whoever would take more takes nothing.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.drop()
}

// drop is release, for whoever holds mu.
func (l *line) drop() {
	l.giveBack(func(*source) bool { return true })
	l.queue = nil
	l.anew()
}

// giveBack gives back what waits of some outboxes. mu is held.
func (l *line) giveBack(of func(*source) bool) {
	l.queue = slices.DeleteFunc(l.queue, func(d outbox.Delivery) bool {
		src := l.of(&d)
		if src != nil && !of(src) {
			return false
		}
		l.marks.count(&d, -1)
		d.From().Release(d)
		return true
	})
}

// listen notes that something may have become due.
func (l *line) listen() { l.hear(nil) }

// hear is listen where something may have become due in one outbox only; nil: in any.
func (l *line) hear(from *source) {
	l.mu.Lock()
	l.listening = false
	if from == nil {
		l.anew()
	} else {
		from.spent = false
	}
	l.mu.Unlock()
	l.s.mu.Lock()
	l.s.deaf = false
	l.s.mu.Unlock()
}

// beforeTime tries once, where slots are left and the endpoint is back, each delivery that waits
// for its next try, those of urgent lanes first. What fails so is not counted.
func (l *line) beforeTime() (job, bool) {
	s := l.s
	s.mu.Lock()
	free := s.turns.inFlight < s.slots() && s.turns.failed < forFailed(s.slots())
	s.mu.Unlock()
	if !free {
		return job{}, false
	}
	for i := range 2 * len(l.sources) {
		if !l.early {
			break
		}
		kind, src := i/len(l.sources), l.sources[i%len(l.sources)]
		if src.behind {
			continue
		}
		if d, ok := src.rounds[kind].next(s, src.outbox, kind == 0, false); ok {
			return l.begin(job{d: d, from: src}), true
		}
	}
	l.early = false
	if len(l.queue) == 0 {
		l.rest()
	}
	return job{}, false
}

// rest notes that nothing waits. The breaker of an endpoint that is back is closed then, when nothing
// is under way either.
func (l *line) rest() {
	s := l.s
	s.mu.Lock()
	s.hungry = s.breaker.state != closed
	if s.turns.inFlight > 0 || s.breaker.state != halfOpen {
		s.mu.Unlock()
		return
	}
	s.keep(s.breaker.rested(), s.r.o.Now())
}

func (l *line) begin(j job) job {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.turns.begin(&j.d)
	if j.probe {
		l.s.breaker.probe()
	}
	return j
}

// probe is the next probe of an open breaker, if it is time for one: of an urgent lane, and every
// second time of another, for it may be persons who are hung up on and not the endpoint.
func (l *line) probe() (job, bool) {
	if at, ok := l.probeAt(); !ok || l.s.r.o.Now().Before(at) {
		return job{}, false
	}
	l.probes++
	for _, urgent := range []bool{l.probes%2 == 1, l.probes%2 == 0} {
		if d, src := l.any(urgent); src != nil {
			return l.begin(job{d: d, from: src, probe: true}), true
		}
	}
	return job{}, false
}

// probeAt is when the next probe is due; not ok: one is under way, or the breaker is not open.
func (l *line) probeAt() (at time.Time, ok bool) {
	s := l.s
	urgent, fresh := l.owes()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.breaker.state != open || s.breaker.probing {
		return at, false
	}
	return s.breaker.probeAt(urgent, fresh), true
}

// any is a delivery to probe with, of urgent lanes or of others: one that has never been tried,
// whose schedule begins with that, or else one that has, for which it does not count. What came
// last goes first: it is more likely about somebody else than those who made the breaker open.
// No source: there is none.
func (l *line) any(urgent bool) (d outbox.Delivery, from *source) {
	s, kind, n := l.s, 1, len(l.sources)
	if urgent {
		kind = 0
	}
	for _, src := range l.sources {
		ds, _, err := src.outbox.Claim(s.id, outbox.Turn{Max: 1, Urgent: urgent, Plain: !urgent, Newest: true})
		if err != nil {
			s.r.o.Logger.Error("claim_failed", "endpoint", s.id, "error", err)
		}
		for i := range ds {
			older := ds[i]
			if from == nil || d.Due().Before(older.Due()) {
				d, older, from = older, d, src
			}
			if older.From() != nil {
				older.From().Release(older)
			}
		}
	}
	for i := 0; i < n && from == nil; i++ {
		src := l.sources[(l.probes/2+i)%n] // another goes first with each second probe
		var ok bool
		if d, ok = src.rounds[kind].next(s, src.outbox, urgent, true); ok {
			from = src
		}
	}
	return d, from
}

// until is when there may be something to do, if nothing wakes us before. deaf: a token of the
// outbox says nothing new.
func (l *line) until() (at time.Time, deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.listening = !deaf }()
	s := l.s
	now := s.r.o.Now()
	at = now.Add(time.Minute)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	s.mu.Lock()
	paused, state, full, idle := s.pausedUntil, s.breaker.state, s.turns.inFlight >= s.slots(), s.idle()
	if s.deaf = full && state != open && !idle && !now.Before(paused); s.deaf {
		s.hungry = true // whoever frees a slot looks, and asks the outboxes again
		l.anew()
	}
	s.mu.Unlock()
	switch {
	case now.Before(paused):
		return paused, false
	case idle:
		return at, false
	case state == open:
		sooner(l.sweep)
		if probe, ok := l.probeAt(); ok && probe.After(now) { // else nothing is owed to probe with
			sooner(probe)
		}
		return at, false
	case full:
		return at, true
	case l.stalled(): // a token says when not any more
		return at, false
	}
	sooner(l.next)
	return at, false
}
