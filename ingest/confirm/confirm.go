// Package confirm asks providers what their callbacks said too little, or proved too little, about.
//
// Its promises: a question that is on disk is asked until it is answered, across restarts; the
// answer is translated by the same adapter and appended together with the end of the question
// (I11); a provider that is slow, down or refuses costs no other source anything (I6). It never
// follows an address from a body.
package confirm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
)

// Source is an account at a provider's API.
type Source struct {
	Name        string
	API         *provider.API
	Options     provider.Options
	Base        string               // URL without a slash at its end; empty: the API's own, by Live
	Credentials provider.Credentials // a zero Key: this source cannot ask, and its questions wait
	Live        bool
	Rate        float64       // calls per second; 0: 5
	Timeout     time.Duration // of one call; 0: 10 s
}

// Journal is what the confirmer needs of the journal. Answer and Postpone are all or none, and nil
// only when everything is on stable storage.
type Journal interface {
	Due(source string, now time.Time, n int) (qs []journal.Question, next time.Time, err error)
	Answer(ctx context.Context, q journal.Question, t journal.Intake) error
	Postpone(ctx context.Context, q journal.Question, t journal.Intake) error
}

// Options of a Confirmer. Journal, Take and Logger are required.
type Options struct {
	Journal Journal
	Asked   func() <-chan struct{} // closed when there is a new question
	Oldest  func() time.Time       // since when the oldest question is open; zero: there is none
	Sources []Source
	// Take says what an answer comes to, as Ingress.Confirmed does.
	Take    func(q journal.Question, res provider.Result, unread error, answers [][]byte, asked time.Time) (journal.Intake, error)
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
	First   time.Duration // before the first retry; 0: 5 s
	Control Control       // judges the addresses of APIs
}

// Confirmer asks. Make it with New, run it with Run, change its sources with Plan.
type Confirmer struct {
	o Options
	m *metrics

	mu      sync.Mutex                   // guards the fields below
	sources map[string]*source           // by name
	workers map[string]worker            // of those that are asked just now, by name
	begin   func(name string, s *source) // gives a source its worker; nil: Run has not begun, or has ended
}

type source struct {
	Source
	given  Source // before it was completed
	client *http.Client
	limit  *rate.Limiter
	token  token
}

// The bounds of one source's asking.
const (
	atOnce    = 4         // questions in flight
	maxAnswer = 4 << 20   // bytes of one answer
	maxCalls  = 16        // of one question
	maxWait   = time.Hour // between two tries
	blind     = time.Hour // between two looks at a question that nobody can ask
	maxSeeing = 10_000    // of these that are due at once when somebody can

	defaultTimeout = 10 * time.Second // of one call
)

// New checks that every source's API has an address.
func New(o Options) (*Confirmer, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.First == 0 {
		o.First = 5 * time.Second
	}
	c := &Confirmer{o: o, workers: map[string]worker{}}
	p, err := c.Plan(o.Sources)
	if err != nil {
		return nil, err
	}
	c.m = newMetrics(o.Metrics, c)
	p.Begin()
	return c, nil
}

// canAsk reports whether there are credentials.
func (s *Source) canAsk() bool {
	has := false
	s.Credentials.Key.With(func([]byte) { has = true })
	return has
}

// Run asks until ctx ends or the journal fails. What was in flight then is asked again by the next
// Run.
func (c *Confirmer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	c.mu.Lock()
	c.begin = func(name string, s *source) {
		ctx, end := context.WithCancel(ctx)
		w := worker{end: end, ended: make(chan struct{})}
		c.workers[name] = w
		wg.Go(func() {
			defer close(w.ended)
			if err := c.follow(ctx, s); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	for name, s := range c.sources {
		c.begin(name, s)
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.begin = nil
	clear(c.workers)
	c.mu.Unlock()
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

// asked is one question that was asked, and what the journal said to what came of it.
type asked struct {
	id  string
	err error
}

// follow works through one source's questions as they become due, a few at once. Which is next is
// decided anew for each, so that one that comes before others need not wait for them.
func (c *Confirmer) follow(ctx context.Context, s *source) error {
	if err := c.seeing(ctx, s); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	busy, done := map[string]bool{}, make(chan asked, atOnce)
	for ctx.Err() == nil {
		raised := c.o.Asked()
		qs, next, err := c.o.Journal.Due(s.Name, c.o.Now(), atOnce)
		if err != nil {
			return fmt.Errorf("read the questions of %s: %w", s.Name, err)
		}
		for _, q := range qs {
			if len(busy) == atOnce || busy[q.ID()] {
				continue
			}
			busy[q.ID()] = true
			wg.Go(func() { done <- asked{q.ID(), c.one(ctx, s, q)} })
		}
		if err := c.pause(ctx, next, raised, busy, done); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// pause waits until there may be something to ask: a question was raised or has become due, or one
// that was in flight is no more.
func (c *Confirmer) pause(ctx context.Context, next time.Time, raised <-chan struct{}, busy map[string]bool, done <-chan asked) error {
	wait := maxWait
	if !next.IsZero() && len(busy) < atOnce {
		wait = min(wait, max(0, next.Sub(c.o.Now())))
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case d := <-done:
		delete(busy, d.id)
		return d.err
	case <-raised:
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}

// seeing makes what a source could not ask before due at once, now that it has credentials.
func (c *Confirmer) seeing(ctx context.Context, s *source) error {
	if !s.canAsk() {
		return nil
	}
	qs, _, err := c.o.Journal.Due(s.Name, c.o.Now().Add(blind), maxSeeing)
	if err != nil {
		return fmt.Errorf("read the questions of %s: %w", s.Name, err)
	}
	for _, q := range qs {
		if q.Error != errBlind.Error() || !q.Due.After(c.o.Now()) {
			continue
		}
		q.Due = c.o.Now()
		if err := c.o.Journal.Postpone(ctx, q, journal.Intake{}); err != nil && ctx.Err() == nil && !errors.Is(err, journal.ErrBacklog) && !errors.Is(err, journal.ErrFull) {
			return err // full: it is due within the hour anyway
		}
	}
	return nil
}

// errBlind is why a source without credentials asks nothing.
var errBlind = errors.New("the source has no api credentials")

// one asks one question and writes down what came of it.
func (c *Confirmer) one(ctx context.Context, s *source, q journal.Question) error {
	asked := c.o.Now()
	a, err := c.ask(ctx, s, provider.Fetch{Ref: q.Ref, What: q.What})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // stopping: the question stays as it is
	}
	var t journal.Intake
	if err == nil {
		t, err = c.take(q, a, asked)
	}
	if err == nil {
		return c.settle(ctx, s, answered, func() error { return c.o.Journal.Answer(ctx, q, t) })
	}
	f := &failure{outcome: unreachable, err: err}
	errors.As(err, &f)
	if f.outcome != noCredentials { // nobody was asked
		q.Tries++
	}
	if unknownRef(&q, f) {
		q.Unknown++
	}
	if q.Unknown >= enough {
		c.o.Logger.Debug("question_given_up", "source", s.Name, "what", q.What, "claim", q.Claim, "tries", q.Tries, "error", f.err)
		return c.settle(ctx, s, givenUp, func() error { return c.o.Journal.Answer(ctx, q, journal.Intake{}) })
	}
	q.Due, q.Error = c.o.Now().Add(c.wait(q.Tries, f)), f.err.Error()
	if unknownRef(&q, f) {
		q.Due = c.o.Now().Add(secondLook * c.o.First)
	} else if f.outcome != unsettled && f.outcome != noCredentials {
		c.o.Logger.Warn("question_unanswered", "source", s.Name, "what", q.What, "claim", q.Claim, "outcome", string(f.outcome), "tries", q.Tries, "error", f.err)
	}
	return c.settle(ctx, s, f.outcome, func() error { return c.o.Journal.Postpone(ctx, q, t) })
}

// enough is how often a provider has to say that it knows nothing of a ref that an unproved
// callback named, and secondLook how long it is given in between: it may not have written down yet
// what it has just posted. In units of the first wait, so a minute.
const (
	enough     = 2
	secondLook = 12
)

// unknownRef reports whether an unproved callback named a ref that neither we nor the provider
// know.
func unknownRef(q *journal.Question, f *failure) bool {
	return q.Weak && !q.Known && (f.outcome == notFound || f.bad)
}

// take says what an answer comes to. With an error the question stays open; what is kept of the
// answer, or applied of one that is not the last, is written all the same.
func (c *Confirmer) take(q journal.Question, a answer, asked time.Time) (journal.Intake, error) {
	t, err := c.o.Take(q, a.res, a.unread, a.parts, asked)
	switch {
	case err != nil:
		return journal.Intake{}, &failure{outcome: unusable, err: err}
	case t.Open():
		return t, &failure{outcome: unusable, err: errors.New(t.Keep.Detail)}
	case a.res.Fault:
		return t, &failure{outcome: unusable, err: errors.New("the provider reports a fault of the integration")}
	case a.res.Unsettled:
		return t, &failure{outcome: unsettled, err: errors.New("the provider is still at work")}
	}
	return t, nil
}

// settle writes until the journal takes it: one that is full or behind has room again once the
// relay has caught up.
func (c *Confirmer) settle(ctx context.Context, s *source, o outcome, write func() error) error {
	for {
		err := write()
		switch {
		case err == nil:
			c.m.questions.WithLabelValues(s.Name, string(o)).Inc()
			return nil
		case !errors.Is(err, journal.ErrBacklog) && !errors.Is(err, journal.ErrFull):
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// wait is how long until the next try after so many that failed.
func (c *Confirmer) wait(tries int, f *failure) time.Duration {
	if f.outcome == noCredentials {
		return blind
	}
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(c.o.First), backoff.WithMultiplier(3), backoff.WithRandomizationFactor(0.2),
		backoff.WithMaxInterval(maxWait), backoff.WithMaxElapsedTime(0), // its default gives up after 15 minutes
	)
	d := b.NextBackOff()
	for range min(tries, 20) - 1 {
		d = b.NextBackOff()
	}
	return min(max(d, f.after), maxWait)
}

// answer is what a provider's API said to one question.
type answer struct {
	res    provider.Result
	unread error    // why it could not be read; nil: it could
	parts  [][]byte // of each call
}

// ask follows a question through the provider's API. Errors say that there is no answer; one that
// could not be read is an answer.
func (c *Confirmer) ask(ctx context.Context, s *source, q provider.Fetch) (a answer, err error) {
	if !s.canAsk() {
		return a, &failure{outcome: noCredentials, err: errBlind}
	}
	defer func() {
		if p := recover(); p != nil { // else the same answer would end the process again after every start
			c.o.Logger.Error("confirm_panic", "source", s.Name, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			a.res, a.unread, err = provider.Result{}, errors.New("the adapter panicked"), nil
		}
	}()
	for range maxCalls {
		call, more, err := s.API.Next(q, a.parts, s.Options)
		switch {
		case err != nil && len(a.parts) == 0:
			return a, &failure{outcome: unusable, err: err}
		case err != nil:
			a.unread = err
			return a, nil
		case !more:
			a.res, a.unread = s.API.Read(q, a.parts, s.Options)
			return a, nil
		}
		if err := s.limit.Wait(ctx); err != nil {
			return a, err
		}
		started := time.Now()
		part, err := s.call(ctx, call, c.o.Now)
		c.m.call.Observe(time.Since(started).Seconds())
		if err != nil {
			return a, err
		}
		a.parts = append(a.parts, part)
		if len(part) > maxAnswer {
			a.parts[len(a.parts)-1], a.unread = part[:maxAnswer], fmt.Errorf("more than %d bytes: only its beginning is kept", maxAnswer)
			return a, nil
		}
	}
	a.unread = errors.New("the question takes too many calls")
	return a, nil
}
