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

// sender delivers what one endpoint is owed. Each endpoint has its own, with its own slots, rate,
// pauses and connections: that is why one costs no other anything (I6).
type sender struct {
	r       *Dispatcher
	id      string // of its endpoint
	setup   atomic.Pointer[setup]
	limit   *rate.Limiter
	detail  *detail         // what is counted of this endpoint alone
	freed   chan struct{}   // one token: a slot has become free, or something else may have changed
	life    context.Context //nolint:containedctx // ends when the endpoint is no more
	cease   context.CancelFunc
	workers atomic.Int64 // goroutines that deliver or wait for something to deliver

	mu          sync.Mutex // guards the fields below
	turns       turns      // slots, and who has them
	breaker     breaker
	recovering  bool // the breaker has half opened, and whoever sends has not seen it yet
	health      health
	allowed     int       // slots in use at most: halved when the endpoint asks for less, one more with each success
	pausedUntil time.Time // the endpoint sent Retry-After
	lastSuccess time.Time
	throttled   []string // lanes that were answered 429 since then, up to manyPeople
	pinged      time.Time
	over        bool // the endpoint is no more: it has no series
}

// setup is what a sender goes by at one moment. Nobody changes it: an attempt goes by the one it
// began with.
type setup struct {
	*registry.Endpoint
	pool *send.Pool // connections that no other endpoint has a part in
	post poster     // the pool's Post; a benchmark's own answers from memory
}

// poster is send.Pool.Post.
type poster func(ctx context.Context, url string, h http.Header, body []byte, timeout time.Duration) (send.Answer, error)

// connections is how many an endpoint has open at most: one for each attempt in flight, and a
// quarter more that rest, or are dialled in vain.
func connections(e *registry.Endpoint) int { return e.Concurrency + e.Concurrency/4 }

// manyPeople answered 429, and nobody accepted in between, are the endpoint: then its Retry-After
// pauses all of it.
const manyPeople = 3

func newSender(r *Dispatcher, e *registry.Endpoint) *sender {
	s := &sender{r: r, id: e.ID, detail: newDetail(), freed: make(chan struct{}, 1), limit: rate.NewLimiter(rate.Inf, 1)}
	s.life, s.cease = context.WithCancel(context.Background())
	s.follow(e)
	s.recall()
	return s
}

// follow makes the sender go by what its endpoint is now. What is under way ends as it began.
func (s *sender) follow(e *registry.Endpoint) {
	was, is := s.setup.Load(), &setup{Endpoint: e}
	o := poolOptions(e)
	if was != nil && o.Same(poolOptions(was.Endpoint)) {
		is.pool = was.pool
	} else {
		is.pool = s.r.o.Client.Pool(o)
	}
	is.post = is.pool.Post
	s.mu.Lock()
	switch {
	case was == nil:
		s.allowed = e.Concurrency
	case e.Concurrency > was.Concurrency && s.allowed == was.Concurrency: // nothing has slowed it down
		s.allowed = e.Concurrency
	default:
		s.allowed = min(s.allowed, e.Concurrency)
	}
	s.mu.Unlock()
	if was == nil || was.Rate != e.Rate {
		s.limit.SetLimit(limitOf(e))
		s.limit.SetBurst(max(1, int(e.Rate/10)))
	}
	s.setup.Store(is)
	if was != nil && was.URL != e.URL {
		s.forgive() // how one address did says nothing about another
	}
	if was != nil && was.pool != is.pool {
		was.pool.End()
	}
	s.nudge()
}

func limitOf(e *registry.Endpoint) rate.Limit {
	if e.Rate > 0 {
		return rate.Limit(e.Rate)
	}
	return rate.Inf
}

func poolOptions(e *registry.Endpoint) send.PoolOptions {
	return send.PoolOptions{Name: e.ID, Conns: connections(e), Headers: e.Headers, TLS: e.TLS, Public: e.Public}
}

// idle reports whether nothing may be sent, for the endpoint is disabled or paused by an operator.
func (s *sender) idle() bool {
	now := s.r.o.Registry.Read()
	return now.Disabled(s.id) != "" || now.Paused(s.id) != nil
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

// hand gives a delivery to a worker that waits for one, or to a new one. A worker that has had
// nothing to do for a while ends: an idle endpoint costs no memory, a busy one no new goroutine and
// stack for each delivery.
func (s *sender) hand(wg *sync.WaitGroup, ctx context.Context, work chan job, j job) { //nolint:revive // ctx is the attempts', not the call's
	select {
	case work <- j:
		return
	default:
	}
	if s.workers.Add(1) > int64(s.setup.Load().Concurrency) { // one of them is about to wait
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

// closed reports whether nothing may be sent now: the endpoint is disabled, paused by an operator,
// or has asked for a rest.
func (s *sender) closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut()
}

// shut is closed, for whoever holds mu.
func (s *sender) shut() bool {
	return s.r.o.Now().Before(s.pausedUntil) || s.idle()
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
	wake := s.r.o.Outbox.Wake(s.id)
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
	if !s.there() { // it went before the attempt began
		s.r.o.Outbox.Release(d)
		return
	}
	started, by := s.r.o.Now(), s.setup.Load()
	h, err := sign(by.Endpoint, s.ring(started), &d, started)
	if err != nil && s.remake(ctx, d, err, started) {
		return
	}
	var a send.Answer
	if err == nil {
		leave := queueUp()
		a, err = by.post(ctx, by.URL, h, d.Body, by.Timeout)
		leave()
	}
	if err != nil && ctx.Err() != nil { // stopping: whether it arrived is unknown, so it is owed still
		s.r.o.Outbox.Release(d)
		return
	}
	if a.Repeated {
		s.r.m.repeated.Inc()
		s.detail.repeated.Add(1)
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
	out := settle(d, v, a, Schedule(s.setup.Load().Retry), started, took, r)
	out.Exchange = exchange(&a, v.ok)
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
	s.count(&out)
	s.r.logSettled(ctx, out)
	s.r.died(&out)
	s.r.o.Outbox.Settle(out)
}

func (s *sender) count(out *outbox.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detail.settled(out)
	if !s.over {
		s.r.m.settled(s.setup.Load().Endpoint, *out, s.r.o.Now())
	}
}

// sign makes the headers of one attempt: the same webhook-id as every other, a fresh timestamp, a
// signature for each key that still signs (I5).
func sign(e *registry.Endpoint, keys signing.Keyring, d *outbox.Delivery, now time.Time) (http.Header, error) {
	f, ok := e.FormatOf(d.Format)
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

// note keeps what the endpoint's answer about somebody says about the endpoint, and returns when it
// last accepted anything.
func (s *sender) note(v answer, a send.Answer, lane string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.r.o.Now()
	switch {
	case v.ok:
		s.lastSuccess, s.throttled = now, nil
		s.allowed = min(s.setup.Load().Concurrency, s.allowed+1)
	case v.slow:
		s.allowed = max(1, s.allowed/2)
		asked := min(Schedule(s.setup.Load().Retry).Obey(a.RetryAfter, false), maxPause)
		if until := now.Add(asked); asked > 0 && s.speaksForAll(v, lane) && until.After(s.pausedUntil) {
			s.pausedUntil = until
		}
	}
	return s.lastSuccess
}

// speaksForAll reports whether an answer that asks for less asks it of everybody: not if it may be
// about one person who is asked about too often, until as many people were answered so in a row as
// makes that unlikely. s.mu is held.
func (s *sender) speaksForAll(v answer, lane string) bool {
	if !v.person {
		return true
	}
	if len(s.throttled) < manyPeople && !slices.Contains(s.throttled, lane) {
		s.throttled = append(s.throttled, lane)
	}
	return len(s.throttled) >= manyPeople
}
