// Package stream follows the event streams of providers that post no callbacks.
//
// Its promises: every event that the provider still has is appended once, in the provider's order,
// across restarts and broken connections, for what an event says and the place behind it are on
// stable storage together (I2); one that cannot be understood is kept, sealed, before the next is
// taken (I8); a journal without room holds the stream back and loses nothing; a provider that is
// slow, down or refuses costs no other source anything (I6).
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
)

// Source is an account at a provider with a stream.
type Source struct {
	Name        string
	Adapter     provider.Adapter // has a Stream
	Options     provider.Options
	Base        string // URL without a slash at its end; empty: the stream's own, by Live
	Credentials provider.Credentials
	Live        bool
	MaxEvent    int64 // bytes of one event; of a larger one the beginning is kept in quarantine. 0: 1 MiB
}

// Journal is what a Follower needs of the journal. AppendFrom and Hold are all or none, and nil
// only when everything is on stable storage.
type Journal interface {
	Cursor(source string) (string, error)
	AppendFrom(ctx context.Context, source, cursor string, rs ...journal.Record) error
	Hold(ctx context.Context, item journal.Item, rs ...journal.Record) error
}

// Options of a Follower. Journal, Take and Logger are required.
type Options struct {
	Journal Journal
	Sources []Source
	// Take says what an event comes to, as Ingress.Streamed does. Its errors end the follower.
	Take    func(source string, res provider.Result, unread error, event []byte) (journal.Intake, error)
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
	Control Control // judges the addresses of streams; nil: every one may be called
}

// Follower follows. Make it with New, run it with Run, change its sources with Plan.
type Follower struct {
	o     Options
	waits waits
	m     *metrics

	mu      sync.Mutex                   // guards the fields below
	sources map[string]*source           // by name
	workers map[string]worker            // of those that are followed just now, by name
	begin   func(name string, s *source) // gives a source its worker; nil: Run has not begun, or has ended
}

// waits are the times of following.
type waits struct {
	silence time.Duration // after which a connection without even a heartbeat is given up
	answer  time.Duration // for the provider's headers
	first   time.Duration // before the first try after one that failed
	longest time.Duration // between two tries
	refused time.Duration // after credentials were not taken: only an operator can mend that
	room    time.Duration // between two looks whether the journal has room again
}

type source struct {
	Source
	given  Source // before it was completed
	client *http.Client
}

// New checks that every source can be followed.
func New(o Options) (*Follower, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Follower{o: o, waits: waits{
		silence: 2 * time.Minute, answer: 30 * time.Second, first: time.Second, longest: time.Minute, refused: 10 * time.Minute, room: time.Second,
	}}
	f.workers = map[string]worker{}
	p, err := f.Plan(o.Sources)
	if err != nil {
		return nil, err
	}
	f.m = newMetrics(o.Metrics)
	p.Begin()
	return f, nil
}

// Run follows every source until ctx ends or the journal fails. The next Run goes on behind what is
// on stable storage.
func (f *Follower) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	f.mu.Lock()
	f.begin = func(name string, s *source) {
		ctx, end := context.WithCancel(ctx)
		w := worker{end: end, ended: make(chan struct{})}
		f.workers[name] = w
		wg.Go(func() {
			defer close(w.ended)
			if err := f.follow(ctx, s); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	for name, s := range f.sources {
		f.begin(name, s)
	}
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	f.begin = nil
	clear(f.workers)
	f.mu.Unlock()
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

// follow keeps a connection to one source's stream. What is on disk says where each begins.
func (f *Follower) follow(ctx context.Context, s *source) error {
	tries := f.backoff()
	for {
		cursor, err := f.o.Journal.Cursor(s.Name)
		if err != nil {
			return err
		}
		c := &connection{f: f, s: s, cursor: cursor, saved: cursor}
		e, err := c.follow(ctx)
		s.client.CloseIdleConnections()
		if err != nil || ctx.Err() != nil {
			return err
		}
		f.m.connections.WithLabelValues(s.Name, string(e.outcome)).Inc()
		level := slog.LevelWarn
		if e.outcome == silent {
			level = slog.LevelInfo
		}
		f.o.Logger.Log(ctx, level, "stream_ended", "source", s.Name, "outcome", string(e.outcome), "error", e.err)
		if c.good {
			tries.Reset()
		}
		if !pause(ctx, f.wait(tries, e)) {
			return nil
		}
	}
}

func (f *Follower) backoff() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(f.waits.first), backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2),
		backoff.WithMaxInterval(f.waits.longest), backoff.WithMaxElapsedTime(0), // its default gives up after 15 minutes
	)
}

// wait is how long until the next try.
func (f *Follower) wait(tries backoff.BackOff, e *ending) time.Duration {
	if e.outcome == refused {
		return f.waits.refused
	}
	return max(tries.NextBackOff(), e.after)
}

// pause reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
