// Package relay folds journal records into what changed for each subject, and owes those changes to
// partners.
//
// Its promises: the effects of a record and the position after it commit together (I2); per
// endpoint and subject, changes are owed in sequence order (I3); ids are the same however often a
// record is folded (I4). What a relay knows of a subject is a pure fold of the journal (I11). Who
// delivers what it owes is relay/dispatch.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/outbox/trace"
	"countersign/relay/registry"
)

// RefKind names a ref of an update that belongs to one person only.
type RefKind string

// The refs that may teach who later callbacks are about.
const (
	SubjectRef RefKind = "subject.provider_ref"
	SessionRef RefKind = "verification.ref"
	ParentRef  RefKind = "verification.parent_ref"
)

// Options of a Relay. All but Metrics, Tracer and Now are required.
type Options struct {
	Store      *store.Store
	Log        journal.Log      // what is folded
	Journal    journal.Appender // takes our own records: they come by Log
	Outbox     *outbox.Outbox   // with Settled as its hook; Run repairs it, see Begun
	Registry   *registry.Registry
	Snapshot   func(journal.Position) *registry.Snapshot // what decides about the record at a position, see batch.registry; nil: what Registry.Read says, as on one node
	PersonRefs map[string][]RefKind                      // by provider: refs that belong to one person
	Logger     *slog.Logger
	Metrics    prometheus.Registerer
	Tracer     *trace.Tracer // nil: nothing is traced
	Now        func() time.Time
	Retention  Retention
	Journaled  Journaled                                                                        // nil: nobody can be erased
	Jobs       func(tx *store.Tx, lane string, names func(text []byte) bool) (n int, err error) // takes a person out of the jobs that are kept; nil: there are none
	Forward    bool                                                                             // changes are queued for Kafka
	Folded     func(records int, bytes int64)                                                   // is told what folding has written, by the fold; nil: nobody is

	// Alarm is how timers wait for Now: a channel that is ready when the clock has reached an
	// instant, and what ends the wait before. It may be ready too early: then the clock is read
	// again. Nil: it goes as time does.
	Alarm func(at time.Time) (<-chan time.Time, func())
}

// Relay folds. Make it with New, run it with Run.
type Relay struct {
	o        Options
	begun    chan struct{} // closed when what Run does first is done
	begin    func()
	m        *metrics
	position atomic.Pointer[journal.Position] // of the last folded record, on disk; never nil
	unrouted atomic.Int64                     // records that nobody is known for
	keep     atomic.Pointer[Retention]
	tried    []byte // owned by retain: where it looks at attempts next
	answered []byte // owned by retain: where it looks at the texts of answers next
	aged     []byte // and at orders
	latest   []byte // and at late entries of the finder
	timers   timers
	aside    asides
	floor    uint64 // the first change of a subject from here on comes after this number: see floorKey
	feed     *feed
	folds    folds
	erased   erasures
	counts   counts
	spare    *batch       // for the next fold; guarded by folding
	folding  sync.Mutex   // held while a batch is folded: whoever else writes to subjects takes it
	looking  sync.Mutex   // held by whoever folds a life again to show how it was
	step     int          // owned by the fold: callbacks in a batch at most
	retained int          // owned by retain: entries looked at in one transaction
	waiting  atomic.Bool  // the fold waits for room
	unfound  atomic.Int64 // entries of the history that no segment of the finder has; negative: not known
	segment  atomic.Int64 // entries of a segment
}

var (
	positionKey      = []byte("relay/position")
	unroutedCountKey = []byte("relay/unrouted")
	floorKey         = []byte("relay/floor") // raised when a backup is restored: numbers up to it may have been told of anybody
)

// New reads where the fold stands. Run registers the partners' policies: one that differs from the
// last becomes the next version, under which new subjects are folded.
func New(o Options) (*Relay, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Alarm == nil {
		o.Alarm = alarm(o.Now)
	}
	r := &Relay{o: o, begun: make(chan struct{}), step: maxStep, retained: maxRetain}
	r.unfound.Store(-1)
	r.segment.Store(segmentSize)
	r.timers.moved, r.timers.firing = make(chan struct{}, 1), map[string]bool{}
	r.begin = sync.OnceFunc(func() { close(r.begun) })
	r.Keep(o.Retention)
	r.m = newMetrics(o.Metrics, r)
	r.m.start()
	err := o.Store.View(func(tx *store.Tx) error {
		at, err := journal.ReadPosition(tx, positionKey)
		if err != nil {
			return err
		}
		r.position.Store(&at)
		held, err := tx.Number(unroutedCountKey)
		if err != nil {
			return err
		}
		r.unrouted.Store(held)
		floor, err := tx.Number(floorKey)
		if err != nil {
			return err
		}
		r.floor = uint64(floor) //nolint:gosec // a floor is positive
		if err := r.openCounts(tx); err != nil {
			return err
		}
		if err := r.openAside(tx); err != nil {
			return err
		}
		if err := r.openFeed(tx); err != nil {
			return err
		}
		if err := r.openErased(tx); err != nil {
			return err
		}
		return r.openFolds(tx)
	})
	if err != nil {
		return nil, fmt.Errorf("read the position of the relay: %w", err)
	}
	return r, nil
}

// Run registers policies, then folds and keeps time until ctx ends or the journal or store fails.
func (r *Relay) Run(ctx context.Context) error {
	err := r.repair(ctx)
	if err == nil {
		err = r.o.Registry.RegisterPolicies(ctx)
	}
	if err == nil {
		err = r.eraseRest(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	r.begin()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, part := range []func(context.Context) error{r.trim, r.retain, r.keepTime, r.refill, r.find} {
		wg.Go(func() {
			if err := part(ctx); err != nil {
				cancel(err)
			}
		})
	}
	err = r.o.Log.Tail(ctx, r.Position(), r.fold)
	if err != nil {
		cancel(err)
	}
	wg.Wait()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// trim has the log forget behind the fold, a few times a second: behind whoever else follows it
// too, which may move while the fold rests.
func (r *Relay) trim(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		r.keepFolds()
		if err := r.o.Log.Passed(ctx, r.Position()); err != nil && ctx.Err() == nil && !isFull(err) {
			return err
		}
	}
}

// partner is the partner of an id; nil: there is none.
func (r *Relay) partner(id string) *registry.Partner { return r.o.Registry.Read().Partner(id) }

// Begun is closed when Run has put right what a damaged file left of the outbox, and folds: nothing
// may be claimed there before.
func (r *Relay) Begun() <-chan struct{} { return r.begun }

// Position is that of the last record whose effects are on disk; zero: there is none.
func (r *Relay) Position() journal.Position { return *r.position.Load() }

// Folded reports whether the effects of a record of this relay's log are on disk.
func (r *Relay) Folded(at journal.Position) bool { return r.Position().Reaches(at) }

// Waiting reports whether the fold waits for room: what one callback brought does not fit into what
// is left.
func (r *Relay) Waiting() bool { return r.waiting.Load() }

// Unrouted is how many records wait for somebody to be known by their ref.
func (r *Relay) Unrouted() int64 { return r.unrouted.Load() }

// matches reports whether a change type is among the patterns: an exact name, or a prefix that ends
// in *.
func matches(patterns []string, changeType string) bool {
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(changeType, prefix) || p == changeType {
			return true
		}
	}
	return false
}

func isFull(err error) bool { return errors.Is(err, store.ErrFull) }
