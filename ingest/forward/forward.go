// Package forward copies durable queues to Kafka: the journal, as updates, and what the relay
// decided, as changes. A record has been forwarded when all in-sync replicas have it, and what is
// kept of how far a topic is never runs ahead of that: a crash repeats what was under way, and
// skips nothing.
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"countersign/ingest/journal"
	"countersign/outbox/store"
	"countersign/outbox/trace"
)

// Options of a Forwarder. All but Repartition, Forgotten, Gap, Trim, Tracer
// and Now are required.
type Options struct {
	Name  string // of the topic
	Topic Topic
	Feed  Feed
	Store *store.Store // keeps how far each partition is

	// Repartition allows the topic this number of partitions, where it had another when it was last
	// written to; 0: none. Order across the change is the operator's to see to.
	Repartition int
	// Forgotten is up to where the feed has lost what it had: it begins there at the earliest, and
	// says so if that leaves a gap.
	Forgotten journal.Position
	// Gap is how many records the feed says that it never had; they are counted with the others
	// that were skipped.
	Gap int64
	// TooLarge keeps a message that no broker takes; nil only when it is on stable storage.
	TooLarge func(ctx context.Context, m *Message) error
	// Trim, where nobody else forgets what has been passed, does: it is told up to where everything
	// is acknowledged, and that this is kept. May be nil.
	Trim func(ctx context.Context, upTo journal.Position) error

	Logger  *slog.Logger
	Metrics *Metrics      // of this process; one forwarder of each topic
	Tracer  *trace.Tracer // nil: nothing is traced
	Now     func() time.Time
}

// Forwarder copies a feed to a Kafka topic, in order for each key, with acks of all in-sync
// replicas. How far it is, by partition, is kept after the acknowledgement and never before: a
// crash repeats what was under way and skips nothing. One batch of a partition is under way at a
// time, and is sent again as it was until it is acknowledged, so that whoever drops ids it has seen
// reads each key in the feed's order. Make it with New, run it with Run.
type Forwarder struct {
	o Options
	m *Metrics

	mu      sync.Mutex         // guards the fields below
	places  []journal.Position // by partition: acknowledged up to here; nil: not known how many there are
	kept    journal.Position   // the lowest place on disk
	trouble *Trouble           // what Kafka said last; nil: it is well
	stopped bool               // nothing is sent until somebody changes a setting
	begun   bool               // the topic has been as it must be, since this process started
	stuck   []time.Time
	waiting map[int][]waiter // by partition: who waits for an acknowledgement
	warned  []string
}

// New reads how far the topic is.
func New(o Options) (*Forwarder, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Forwarder{o: o, waiting: map[int][]waiter{}}
	places, err := f.load()
	if err != nil {
		return nil, err
	}
	f.kept = o.Forgotten
	if len(places) > 0 {
		f.kept = journal.Later(f.kept, lowest(places))
	}
	f.m = o.Metrics
	f.m.watch(f)
	f.m.skipped.WithLabelValues(o.Name).Add(float64(o.Gap))
	if gone := f.kept.Offset - lowest(append(places, f.kept)).Offset; gone > 0 {
		f.m.skipped.WithLabelValues(o.Name).Add(float64(gone))
		o.Logger.Error("forward_gap", "topic", o.Name, "records", gone, "reason", "they were removed from the journal while kafka was not in the config")
	}
	return f, nil
}

// Run forwards until ctx ends or the store fails. Before it returns, requests under way have ended
// or were given up after two seconds, and what was acknowledged is kept.
func (f *Forwarder) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	if f.o.Trim != nil {
		wg.Go(func() { cancel(f.trim(ctx)) })
	}
	for ctx.Err() == nil {
		l, from, err := f.prepare(ctx)
		if err == nil && ctx.Err() == nil {
			err = newRun(f, l, from).run(ctx)
		}
		if err != nil {
			return fmt.Errorf("forward to %s: %w", f.o.Name, err)
		}
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("forward to %s: %w", f.o.Name, cause)
	}
	return nil
}

// prepare asks for the topic until it is as it must be, and finds out where each of its partitions
// goes on. An error is the store's.
func (f *Forwarder) prepare(ctx context.Context) (l Layout, from []journal.Position, err error) {
	for patience := patience(); ctx.Err() == nil; pause(ctx, patience.NextBackOff()) {
		if from, err = f.load(); err != nil {
			return l, nil, err
		}
		var t *Trouble
		if l, t = f.ask(ctx); t == nil {
			from, t = f.fit(from, l.Partitions)
		}
		switch {
		case t == nil:
			f.begin(l, from)
			return l, from, nil
		case ctx.Err() == nil:
			f.m.errors.WithLabelValues(f.o.Name, string(t.Class)).Inc()
			f.report(t, t.Class.Permanent())
		}
	}
	return l, nil, nil
}

func (f *Forwarder) ask(ctx context.Context) (Layout, *Trouble) {
	l, err := f.o.Topic.Prepare(ctx)
	if err != nil {
		return l, troubleOf(err)
	}
	return l, nil
}

// fit holds the number of partitions against what it was: a key would change its partition, and its
// records their order.
func (f *Forwarder) fit(from []journal.Position, partitions int) ([]journal.Position, *Trouble) {
	switch {
	case partitions < 1:
		return nil, &Trouble{Class: BadTopic, Text: "topic " + f.o.Name + " has no partitions"}
	case len(from) == 0:
		from = make([]journal.Position, partitions)
	case len(from) == partitions:
	case f.o.Repartition != partitions:
		return nil, &Trouble{Class: BadTopic, Text: fmt.Sprintf(
			"topic %s has %d partitions, and had %d when it was last written to: a person's records would go on in another partition, and readers could see them out of order. "+
				"Create the topic again with %d partitions; or, when every reader has read all there is, set kafka.partitions to %d and start again", f.o.Name, partitions, len(from), len(from), partitions)}
	default:
		f.o.Logger.Warn("forward_repartitioned", "topic", f.o.Name, "partitions", partitions, "before", len(from))
		from = slices.Repeat([]journal.Position{lowest(from)}, partitions)
	}
	for p := range from {
		from[p] = journal.Later(from[p], f.o.Forgotten)
	}
	return from, nil
}

// begin notes that the topic is there.
func (f *Forwarder) begin(l Layout, from []journal.Position) {
	f.report(nil, false)
	for _, w := range l.Warnings {
		f.o.Logger.Warn("forward_warning", "topic", f.o.Name, "warning", w)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.warned, f.begun = l.Warnings, true
	f.places, f.stuck = slices.Clone(from), make([]time.Time, len(from))
}

// report notes trouble, or its end, and says so once; stopped: it does not end by itself.
func (f *Forwarder) report(t *Trouble, stopped bool) {
	f.mu.Lock()
	before := f.trouble
	f.trouble, f.stopped = t, stopped
	f.mu.Unlock()
	switch {
	case t == nil && before != nil:
		f.o.Logger.Info("forward_recovered", "topic", f.o.Name)
	case t != nil && (before == nil || before.Class != t.Class):
		f.o.Logger.Warn("forward_trouble", "topic", f.o.Name, "class", string(t.Class), "reason", t.Text)
	}
}

// trim forgets behind what is kept.
func (f *Forwarder) trim(ctx context.Context) error {
	for pause(ctx, 100*time.Millisecond) {
		if err := f.o.Trim(ctx, f.Kept()); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFull) {
			return err
		}
	}
	return nil
}

// Kept is the lowest place of all partitions that is on stable storage: everything up to here is
// with Kafka.
func (f *Forwarder) Kept() journal.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept
}

// Status is how a Forwarder stands.
type Status struct {
	Topic    string
	Waiting  int64     // entries not acknowledged, at most
	Since    time.Time // when the first of them was taken in; zero: none waits
	Trouble  *Trouble  // nil: none
	Stopped  bool      // until somebody changes a setting
	Begun    bool      // the topic has been as it must be, since this process started
	Warnings []string  // of the topic
}

// Status reads how it stands now.
func (f *Forwarder) Status() Status {
	f.mu.Lock()
	s := Status{Topic: f.o.Name, Trouble: f.trouble, Stopped: f.stopped, Begun: f.begun, Warnings: f.warned}
	f.mu.Unlock()
	s.Waiting, s.Since = f.waits()
	return s
}

// waits is how many entries are not acknowledged, at most, and since when the first of them.
func (f *Forwarder) waits() (n int64, since time.Time) {
	f.mu.Lock()
	at := f.kept
	if len(f.places) > 0 {
		at = journal.Later(at, lowest(f.places))
	}
	f.mu.Unlock()
	return f.o.Feed.Waiting(at)
}

// patience is how long to wait between tries that fail.
func patience() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMultiplier(2), backoff.WithMaxInterval(3*time.Second), backoff.WithMaxElapsedTime(0))
}

// waitAfter is the wait after so many failures in a row, as a function of their number.
func waitAfter(failures int) time.Duration {
	first := min(50*time.Millisecond<<min(failures-1, 6), 2*time.Second)
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(first), backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0)).NextBackOff()
}

// pause reports false when ctx ended first.
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

func troubleOf(err error) *Trouble {
	if t, ok := errors.AsType[*Trouble](err); ok {
		return t
	}
	return &Trouble{Class: OtherClass, Text: err.Error(), Err: err}
}
