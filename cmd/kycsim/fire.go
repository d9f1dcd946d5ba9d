package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// fireOptions say what to send where. Sources and URL are required.
type fireOptions struct {
	URL         string // up to and with the slash before the source's name
	Sources     []*source
	Rate        float64       // events a second; 0: as fast as the connections allow
	Count       int64         // of events; 0: until Duration or the context ends
	Duration    time.Duration // 0: no limit
	Connections int
	Persons     int // at a time; one who has had all events makes room for a new one
	Events      int // of each person, if its script is long enough
	Duplicates  float64
	Reorder     float64
	GiveUp      time.Duration // for how long an event is sent again
	Seed        uint64
	Run         string // makes the subjects of this run its own
	Ledger      *ledger
	Before      func(c *callback, at time.Time)           // called just before an event is sent for the first time
	Answered    func(c *callback, code int, at time.Time) // called for each answer; code 0: none came
	Over        <-chan struct{}                           // closed: nobody is there any more, and nothing is sent again; may be nil
}

// answerTimeout is how long a provider waits for an answer.
const answerTimeout = 5 * time.Second

// fireSummary is what came of it. Duplicates are not among the sent and acked.
type fireSummary struct {
	Sent       int64            `json:"sent"`
	Acked      int64            `json:"acked"`
	GivenUp    int64            `json:"given_up"`
	Duplicates int64            `json:"duplicates"`
	Skipped    int64            `json:"skipped"` // turns of an open loop that nobody could take within 10 s
	Refused    map[string]int64 `json:"refused"` // by code; 0: no answer
	Seconds    float64          `json:"seconds"`
	Rate       float64          `json:"acked_per_second"`
	P50        float64          `json:"ack_p50_ms"`
	P99        float64          `json:"ack_p99_ms"`

	NoRetryAfter int64 `json:"refused_without_retry_after"` // of those refused with 429 or 503
}

// firer is a provider: it sends every event until it is acknowledged, and a person's next event
// only then.
type firer struct {
	o       fireOptions
	client  *fasthttp.HostClient
	turns   chan struct{} // tokens of the open loop; nil: closed loop
	ready   chan *person
	made    atomic.Int64 // persons so far
	started atomic.Int64 // events so far, for Count
	until   time.Time
	acks    latencies

	sent, acked, givenUp, duplicates, skipped, noRetryAfter atomic.Int64

	mu      sync.Mutex // guards the fields below
	refused map[int]int64
	err     error
}

// fire sends until ctx ends, Count is reached or Duration is over. Then it finishes what is under
// way: when it returns, every event is acknowledged or given up.
func fire(ctx context.Context, o fireOptions) (fireSummary, error) {
	if len(o.Sources) == 0 || o.Connections < 1 || o.Persons < 1 || o.Events < 1 || o.Rate < 0 {
		return fireSummary{}, errors.New("fire: sources, connections, persons and events are needed, and a rate that is not negative")
	}
	f := &firer{o: o, refused: map[int]int64{}, ready: make(chan *person, max(o.Persons, o.Connections))}
	var u fasthttp.URI
	if err := u.Parse(nil, []byte(o.URL)); err != nil {
		return fireSummary{}, fmt.Errorf("fire: %w", err)
	}
	f.client = newHostClient(&u, o.Connections)
	defer f.client.CloseIdleConnections()
	began := time.Now()
	if o.Duration > 0 {
		f.until = began.Add(o.Duration)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, f.until)
		defer cancel()
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // to be repeatable
	for range cap(f.ready) {
		f.ready <- f.newPerson(rng)
	}
	if o.Rate > 0 {
		f.turns = make(chan struct{}, min(1<<20, int(o.Rate*10)+1))
		go f.pace(ctx)
	}
	var wg sync.WaitGroup
	for i := range o.Connections {
		wg.Go(func() { f.work(ctx, rand.New(rand.NewPCG(o.Seed, uint64(i)+1))) }) //nolint:gosec // to be repeatable
	}
	wg.Wait()
	return f.summary(time.Since(began)), f.err
}

func newHostClient(u *fasthttp.URI, connections int) *fasthttp.HostClient {
	return &fasthttp.HostClient{
		Addr: fasthttp.AddMissingPort(string(u.Host()), string(u.Scheme()) == "https"), IsTLS: string(u.Scheme()) == "https",
		NoDefaultUserAgentHeader: true, MaxConns: connections, MaxIdemponentCallAttempts: 1,
		ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, MaxConnWaitTimeout: answerTimeout,
		RetryIfErr: func(*fasthttp.Request, int, error) (bool, bool) { return false, false }, // every try stands in the ledger
		Dial:       func(addr string) (net.Conn, error) { return fasthttp.DialTimeout(addr, answerTimeout) },
	}
}

func (f *firer) newPerson(rng *rand.Rand) *person {
	i := f.made.Add(1)
	s := f.o.Sources[int(i)%len(f.o.Sources)]
	p := &person{source: s, subject: "p" + f.o.Run + "-" + strconv.FormatInt(i, 10), began: time.Now()}
	p.order = make([]int, s.script.longest(f.o.Events))
	for n := range p.order {
		p.order[n] = n
	}
	for n := 0; n+1 < len(p.order); n += 2 {
		if f.o.Reorder > 0 && rng.Float64() < f.o.Reorder {
			p.order[n], p.order[n+1] = p.order[n+1], p.order[n]
		}
	}
	return p
}

// pace gives out turns at the rate, whatever becomes of them: a gateway that was down meets all
// that has come up meanwhile.
func (f *firer) pace(ctx context.Context) {
	defer close(f.turns)
	interval := time.Duration(float64(time.Second) / f.o.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next, n := time.Now(), int64(0); f.o.Count == 0 || n < f.o.Count; next = next.Add(interval) {
		if wait := time.Until(next); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case f.turns <- struct{}{}:
			n++
		default:
			f.skipped.Add(1)
		}
	}
}

// turn waits until another event may be sent; false: no more.
func (f *firer) turn(ctx context.Context) bool {
	if f.turns != nil {
		_, ok := <-f.turns
		return ok && ctx.Err() == nil
	}
	return ctx.Err() == nil && (f.o.Count == 0 || f.started.Add(1) <= f.o.Count)
}

// work is one connection.
func (f *firer) work(ctx context.Context, rng *rand.Rand) {
	w := &worker{f: f, rng: rng, resp: fasthttp.AcquireResponse(), requests: map[*source]*fasthttp.Request{}}
	defer fasthttp.ReleaseResponse(w.resp)
	for f.turn(ctx) {
		p := <-f.ready // never empty for long: there are at least as many persons as connections
		alive, err := w.event(p)
		if err != nil {
			f.mu.Lock()
			f.err = errors.Join(f.err, err)
			f.mu.Unlock()
			return
		}
		if !alive {
			p = f.newPerson(rng)
		}
		f.ready <- p
	}
}

func (f *firer) refuse(code int) {
	f.mu.Lock()
	f.refused[code]++
	f.mu.Unlock()
}

func (f *firer) summary(took time.Duration) fireSummary {
	s := fireSummary{
		Sent: f.sent.Load(), Acked: f.acked.Load(), GivenUp: f.givenUp.Load(), Duplicates: f.duplicates.Load(), Skipped: f.skipped.Load(),
		Refused: map[string]int64{}, Seconds: took.Seconds(), P50: milliseconds(f.acks.quantile(0.5)), P99: milliseconds(f.acks.quantile(0.99)),
		NoRetryAfter: f.noRetryAfter.Load(),
	}
	s.Rate = float64(s.Acked) / took.Seconds()
	for code, n := range f.refused {
		s.Refused[strconv.Itoa(code)] = n
	}
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
