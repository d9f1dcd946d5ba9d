package dispatch

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"countersign/outbox"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// sender delivers what one endpoint is owed. Each endpoint has its own, with its own slots, rate, pauses and connections: that is why one costs no other anything (I6).
type sender struct {
	r       *Dispatcher
	e       *registry.Endpoint
	limit   *rate.Limiter
	pool    *send.Pool    // connections that no other endpoint has a part in
	freed   chan struct{} // one token: a slot has become free
	workers atomic.Int64  // goroutines that deliver or wait for something to deliver

	mu          sync.Mutex // guards the fields below
	turns       turns      // slots, and who has them
	breaker     breaker
	recovering  bool // the breaker has half opened, and whoever sends has not seen it yet
	health      health
	allowed     int       // slots in use at most: halved when the endpoint asks for less, one more with each success
	pausedUntil time.Time // the endpoint sent Retry-After
	lastSuccess time.Time
	throttled   []string // lanes that were answered 429 since then, up to manyPeople
}

// connections is how many an endpoint has open at most: one for each attempt in flight, and a quarter more that rest, or are dialled in vain.
func connections(e *registry.Endpoint) int { return e.Concurrency + e.Concurrency/4 }

// manyPeople answered 429, and nobody accepted in between, are the endpoint: then its Retry-After pauses all of it.
const manyPeople = 3

func newSender(r *Dispatcher, e *registry.Endpoint) *sender {
	s := &sender{r: r, e: e, allowed: e.Concurrency, freed: make(chan struct{}, 1), limit: rate.NewLimiter(rate.Inf, 1)}
	s.pool = r.o.Client.Pool(send.PoolOptions{Name: e.ID, Conns: connections(e), Headers: e.Headers, TLS: e.TLS})
	if e.Rate > 0 {
		s.limit = rate.NewLimiter(rate.Limit(e.Rate), max(1, int(e.Rate/10)))
	}
	s.recall()
	return s
}

func (s *sender) disabled() bool { return s.r.o.Registry.Read().Disabled(s.e.ID) != "" }

// run claims and delivers until ctx ends, then waits for what is in flight and gives back the rest.
func (s *sender) run(ctx context.Context) {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(s.r.o.Grace, cut) })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	work := make(chan job)
	defer close(work)
	l := &line{s: s}
	defer l.release()
	for ctx.Err() == nil {
		for {
			j, ok := l.take(attempts)
			if !ok {
				break
			}
			if err := s.limit.Wait(ctx); err != nil || s.closed() { // stopping, or closed since it waited for its turn
				s.spare(j)
				break
			}
			s.hand(&wg, attempts, work, j)
		}
		s.wait(ctx, l)
	}
}

// spare gives back what was not tried.
func (s *sender) spare(j job) {
	s.r.o.Outbox.Release(j.d)
	s.give(j)
}

// hand gives a delivery to a worker that waits for one, or to a new one. A worker that has had nothing to do for a while ends: an idle endpoint costs no memory, a busy
// one no new goroutine and stack for each delivery.
func (s *sender) hand(wg *sync.WaitGroup, ctx context.Context, work chan job, j job) { //nolint:revive // ctx is the attempts', not the call's
	select {
	case work <- j:
		return
	default:
	}
	if s.workers.Add(1) > int64(s.e.Concurrency) { // one of them is about to wait
		s.workers.Add(-1)
		select {
		case work <- j:
			return
		case <-time.After(workerIdle): // or about to end
			s.workers.Add(1)
		}
	}
	wg.Go(func() {
		defer s.workers.Add(-1)
		s.work(ctx, work, j)
	})
}

const workerIdle = 5 * time.Second

func (s *sender) work(ctx context.Context, work <-chan job, j job) {
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	for {
		s.deliver(ctx, j)
		idle.Reset(workerIdle)
		var ok bool
		select {
		case j, ok = <-work:
			if !ok {
				return
			}
		case <-idle.C:
			return
		}
	}
}

// closed reports whether the endpoint is paused or disabled.
func (s *sender) closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut()
}

// shut is closed, for whoever holds mu.
func (s *sender) shut() bool {
	return s.r.o.Now().Before(s.pausedUntil) || s.disabled()
}

// give gives back the slot of an attempt that has ended.
func (s *sender) give(j job) {
	s.mu.Lock()
	s.turns.end(&j.d)
	if j.probe && s.breaker.probing { // it said nothing
		s.breaker.spared(s.r.o.Now())
	}
	s.mu.Unlock()
	s.nudge()
}

// nudge makes run look again.
func (s *sender) nudge() {
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// wait returns when there may be something to do.
func (s *sender) wait(ctx context.Context, l *line) {
	at, deaf := l.until()
	wake := s.r.o.Outbox.Wake(s.name())
	if deaf {
		wake = nil
	}
	t := time.NewTimer(max(0, at.Sub(s.r.o.Now())))
	defer t.Stop()
	select {
	case <-wake:
	case <-s.freed:
	case <-t.C:
	case <-ctx.Done():
	}
}

// deliver makes one attempt and settles it.
func (s *sender) deliver(ctx context.Context, j job) {
	defer s.give(j)
	d := j.d
	started := s.r.o.Now()
	h, err := s.sign(&d, started)
	if err != nil && s.remake(ctx, d, err, started) {
		return
	}
	var a send.Answer
	if err == nil {
		a, err = s.pool.Post(ctx, s.e.URL, h, d.Body, s.e.Timeout)
	}
	if err != nil && ctx.Err() != nil { // stopping: whether it arrived is unknown, so it is owed still
		s.r.o.Outbox.Release(d)
		return
	}
	if a.Repeated {
		s.r.m.repeated.WithLabelValues(s.e.ID).Inc()
	}
	s.conclude(ctx, j, a, err, started)
}

// conclude settles an attempt that was started then and had this answer, or none.
func (s *sender) conclude(ctx context.Context, j job, a send.Answer, err error, started time.Time) {
	d := j.d
	took := s.r.o.Now().Sub(started)
	v := read(a, err)
	lastSuccess := s.note(v, a, d.Lane)
	r := refusals{}
	if v.about && !d.Early {
		r = s.refusals(&d, started, lastSuccess)
	}
	out := settle(d, v, a, Schedule(s.e.Retry), started, took, r)
	if err != nil {
		out.Detail = err.Error()
	}
	if v.disable {
		s.r.disable(ctx, s, "the partner answered 410 Gone")
	}
	s.judge(ctx, j, v, started)
	s.settle(ctx, out)
}

// settle counts, logs and writes how an attempt ended.
func (s *sender) settle(ctx context.Context, out outbox.Attempt) {
	s.r.m.settled(s.e, out, s.r.o.Now())
	s.r.logSettled(ctx, out)
	s.r.died(&out)
	s.r.o.Outbox.Settle(out)
}

// sign makes the headers of one attempt: the same webhook-id as every other, a fresh timestamp, a signature for each key that still signs (I5).
func (s *sender) sign(d *outbox.Delivery, now time.Time) (http.Header, error) {
	var keys signing.Keyring
	for _, k := range s.e.Keys {
		if k.Until.IsZero() || now.Before(k.Until) {
			keys = append(keys, k.Key)
		}
	}
	f, ok := s.e.FormatOf(d.Format)
	if !ok {
		return nil, errors.New("format " + d.Format + " is not in this program")
	}
	h := http.Header{"Content-Type": {f.ContentType}}
	if d.Traceparent != "" {
		h.Set("Traceparent", d.Traceparent)
	}
	if err := f.Scheme.Sign(h, signing.Message{ID: d.WebhookID, Time: now, Body: d.Body}, keys); err != nil {
		return nil, err
	}
	return h, nil
}

// note keeps what the endpoint's answer about somebody says about the endpoint, and returns when it last accepted anything.
func (s *sender) note(v answer, a send.Answer, lane string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.r.o.Now()
	switch {
	case v.ok:
		s.lastSuccess, s.throttled = now, nil
		s.allowed = min(s.e.Concurrency, s.allowed+1)
	case v.slow:
		s.allowed = max(1, s.allowed/2)
		asked := min(Schedule(s.e.Retry).Obey(a.RetryAfter, false), maxPause)
		if until := now.Add(asked); asked > 0 && s.speaksForAll(v, lane) && until.After(s.pausedUntil) {
			s.pausedUntil = until
		}
	}
	return s.lastSuccess
}

// speaksForAll reports whether an answer that asks for less asks it of everybody: not if it may be about one person who is asked about too often, until as many people were answered
// so in a row as makes that unlikely. s.mu is held.
func (s *sender) speaksForAll(v answer, lane string) bool {
	if !v.person {
		return true
	}
	if len(s.throttled) < manyPeople && !slices.Contains(s.throttled, lane) {
		s.throttled = append(s.throttled, lane)
	}
	return len(s.throttled) >= manyPeople
}
