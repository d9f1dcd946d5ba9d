package dispatch

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"countersign/relay/registry"
	"countersign/relay/send"
)

// sender delivers what one endpoint is owed. Each endpoint has its own, with its own slots, rate,
// pauses and connections: that is why one costs no other anything (I6).
type sender struct {
	r       *Dispatcher
	id      string // of its endpoint
	setup   atomic.Pointer[setup]
	limit   *rate.Limiter
	detail  *detail         // what is counted of this endpoint alone
	freed   chan struct{}   // one token: something has changed for whoever runs it
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
	missed      misses

	hungry  bool // something may wait for a slot: whoever frees one looks for it
	looking int  // workers that are about to look
	deaf    bool // run does not listen to the outbox, for there was no slot
}

// setup is what a sender goes by at one moment. Nobody changes it: an attempt goes by the one it
// began with.
type setup struct {
	*registry.Endpoint                    // with this node's share of its rate and slots
	whole              *registry.Endpoint // as the registry has it
	pool               *send.Pool         // connections that no other endpoint has a part in
	post               poster             // the pool's Post; a benchmark's own answers from memory
	series                                // of its attempts
}

// poster is send.Pool.Post.
type poster func(ctx context.Context, url string, h send.Fields, body []byte, timeout time.Duration) (send.Answer, error)

// connections is how many an endpoint has open at most: one for each attempt in flight, and a
// quarter more that rest, or are dialled in vain. They are of the whole endpoint, whatever this
// node's share: else they would all be made anew with each partition that comes or goes.
func connections(e *registry.Endpoint) int {
	slots := max(1, e.Concurrency)
	return slots + slots/4
}

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

// follow makes the sender go by what its endpoint is now, and by this node's share. What is under way
// ends as it began. The dispatcher's mu is held.
func (s *sender) follow(whole *registry.Endpoint) {
	e := s.r.shared(whole)
	was, is := s.setup.Load(), &setup{Endpoint: e, whole: whole, series: s.r.m.series(e)}
	o := poolOptions(whole)
	if was != nil && o.Same(poolOptions(was.whole)) {
		is.pool, is.post = was.pool, was.post
	} else {
		is.pool = s.r.o.Client.Pool(o)
		is.post = is.pool.Post
	}
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

// nudge makes run look again.
func (s *sender) nudge() {
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// note keeps what the endpoint's answer about somebody says about the endpoint, and returns when it
// last accepted anything. s.mu is held.
func (s *sender) note(v answer, a *send.Answer, lane string, now time.Time) time.Time {
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
