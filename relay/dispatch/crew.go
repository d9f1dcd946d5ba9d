package dispatch

import (
	"context"
	"reflect"
	"sync"
	"time"
)

// crew are the goroutines that deliver for one sender while it runs, and the line that they take
// from. Whoever has ended an attempt takes what waits for its slot itself, and whoever ends one that
// nothing waits for wakes nobody: a busy endpoint costs no change of goroutines for each delivery
// but the client's own, and one that keeps up costs a change for each that becomes due
// (BenchmarkDeliver).
type crew struct {
	s        *sender
	line     *line
	claims   context.Context //nolint:containedctx // nothing is begun any more when it has ended
	attempts context.Context //nolint:containedctx // ends Options.Grace after a stop
	work     chan job        // to a worker that waits for something to do
	wg       sync.WaitGroup
	alarm    alarm
}

// run claims and delivers until ctx ends or the sender does, then waits for what is in flight and
// gives back the rest.
func (s *sender) run(ctx context.Context) {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(s.r.o.Grace, cut) }) // a stop; an end waits for its answers
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	c := &crew{s: s, line: &line{s: s}, claims: ctx, attempts: attempts, work: make(chan job)}
	s.r.claims(c.line, true)
	defer c.line.end()
	defer c.wg.Wait()
	defer close(c.work)
	defer s.r.claims(c.line, false)
	defer c.line.close()
	defer c.alarm.stop()
	for ctx.Err() == nil {
		for {
			j, ok := c.line.take(attempts)
			if !ok {
				break
			}
			if !c.may(j.from) { // stopping, or closed since it waited for its turn
				s.spare(&j)
				break
			}
			c.hand(j)
		}
		c.wait()
	}
}

// may waits until the endpoint's rate lets one more attempt begin, and reports whether one may, of
// what was claimed there.
func (c *crew) may(from *source) bool {
	if c.s.setup.Load().Rate <= 0 { // no limit: nothing to wait for
		return c.claims.Err() == nil
	}
	turn := c.s.limit.Reserve()
	if wait := turn.Delay(); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-from.ended:
			turn.Cancel()
			return false
		case <-c.claims.Done():
			turn.Cancel()
			return false
		}
	}
	return c.claims.Err() == nil && !c.s.closed()
}

// hand gives a delivery to a worker that waits for one, or to a new one. A worker that has had
// nothing to do for a while ends: an idle endpoint costs no memory, a busy one no new goroutine and
// stack for each delivery.
func (c *crew) hand(j job) {
	select {
	case c.work <- j:
		return
	default:
	}
	s := c.s
	if s.workers.Add(1) > int64(s.setup.Load().Concurrency) { // one of them is about to wait
		s.workers.Add(-1)
		select {
		case c.work <- j:
			return
		case <-time.After(workerIdle): // or about to end
			s.workers.Add(1)
		}
	}
	first := j // a copy of its own: only a new worker costs an allocation
	c.wg.Go(func() {
		defer s.workers.Add(-1)
		c.toil(first)
	})
}

const workerIdle = 5 * time.Second

// toil delivers one after the other, until there is nothing to deliver for a while.
func (c *crew) toil(j job) {
	tick := time.NewTicker(workerIdle)
	defer tick.Stop()
	for ok := true; ok; {
		for ok {
			c.s.deliver(j.from.attempts, &j)
			j, ok = c.next(&j)
		}
		j, ok = c.rest(tick)
	}
}

// rest waits for something to do; not ok: for one to two times workerIdle there was nothing, or the
// run has ended. A ticker goes on by itself, where a timer would have to be set for each delivery.
func (c *crew) rest(tick *time.Ticker) (j job, ok bool) {
	select {
	case <-tick.C: // while it worked
	default:
	}
	for range 2 {
		select {
		case j, ok = <-c.work:
			return j, ok
		case <-tick.C:
		}
	}
	return j, false
}

// next gives back the slot of an attempt that has ended, and is what its worker does in its place,
// if that can be said at once.
func (c *crew) next(ended *job) (j job, ok bool) {
	s := c.s
	if !s.give(ended) {
		return j, false
	}
	if s.setup.Load().Rate > 0 || c.claims.Err() != nil { // run waits for the rate, so that no worker has to
		s.looked(false)
		s.nudge()
		return j, false
	}
	j, ok = c.line.take(c.attempts)
	if s.looked(ok) {
		s.nudge()
	}
	return j, ok
}

// spare gives back what was not tried.
func (s *sender) spare(j *job) {
	j.d.From().Release(j.d)
	if s.give(j) {
		s.looked(false)
		s.nudge()
	}
}

// give gives back the slot of an attempt that has ended. look: something may wait for it, and the
// caller looks, and says so to looked. Of an endpoint whose breaker is not closed only run begins
// attempts.
func (s *sender) give(j *job) (look bool) {
	s.mu.Lock()
	s.turns.end(&j.d)
	if j.probe && s.breaker.probing { // it said nothing
		s.breaker.spared(s.r.o.Now())
	}
	sound := s.breaker.state == closed
	if look = sound && s.hungry; look {
		s.looking++
	}
	s.mu.Unlock()
	if !sound {
		s.nudge()
	}
	return look
}

// looked notes that somebody has looked for what waits for a slot, and reports whether run has to
// look as well: because more may begin, or to hear of what becomes due again.
func (s *sender) looked(found bool) (nudge bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looking--
	if !found {
		return s.deaf
	}
	return s.hungry && s.turns.inFlight+s.looking < s.slots()
}

// wait returns when there may be something to do.
func (c *crew) wait() {
	s := c.s
	at, deaf := c.line.until()
	ring := c.alarm.at(at.Sub(s.r.o.Now()))
	from := c.line.heard(deaf)
	var wake <-chan struct{}
	switch len(from) {
	case 0:
	case 1:
		wake = from[0].outbox.Wake(s.id)
	default:
		c.line.hear(c.waitFor(from, ring))
		return
	}
	select {
	case <-wake:
	case <-s.freed:
	case <-ring:
		c.alarm.rung()
	case <-c.claims.Done():
	}
	c.line.listen()
}

// waitFor is wait where there are many outboxes, and which of them has something more; nil: any of
// them may.
func (c *crew) waitFor(from []*source, ring <-chan time.Time) *source {
	cases := make([]reflect.SelectCase, 0, len(from)+3)
	on := func(ch any) {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ch)})
	}
	for _, src := range from {
		on(src.outbox.Wake(c.s.id))
	}
	on(c.s.freed)
	on(c.claims.Done())
	on(ring)
	i, _, _ := reflect.Select(cases)
	if i < len(from) {
		return from[i]
	}
	if i == len(cases)-1 {
		c.alarm.rung()
	}
	return nil
}

// alarm is one timer for all waits of a run. Most end before their time, and the next is for as
// long: one that rings sooner than it is asked to stays, and costs a look in vain when it does.
type alarm struct {
	t     *time.Timer
	rings time.Time // zero: it has rung
}

// at is a channel that says that so long has passed, or less.
func (a *alarm) at(d time.Duration) <-chan time.Time {
	d = max(0, d)
	switch when := time.Now().Add(d); { // not the clock of Options, which may be set while it waits
	case a.t == nil:
		a.t, a.rings = time.NewTimer(d), when
	case a.rings.IsZero() || when.Before(a.rings):
		a.t.Reset(d)
		a.rings = when
	}
	return a.t.C
}

func (a *alarm) rung() { a.rings = time.Time{} }

func (a *alarm) stop() {
	if a.t != nil {
		a.t.Stop()
	}
}
