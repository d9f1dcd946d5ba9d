// Package dispatch delivers what the outbox owes: it claims, signs, posts, reads the answer, and
// settles.
//
// Its promises: an attempt carries the webhook-id and the body of every other of its delivery (I5);
// one is in flight of each lane, for the outbox leases no more (I3); a slow or dead endpoint costs
// no other endpoint anything (I6); what was accepted is settled, or made again with the same id. It
// meets the relay, which decides what is owed, in the outbox only.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/outbox/trace"
	"countersign/relay/registry"
	"countersign/relay/send"
)

// Options of a Dispatcher. All but Outbox, Metrics, Tracer, Now, After, Anew, LogAll, Grace and Notice are required.
type Options struct {
	Registry *registry.Registry
	Outbox   *outbox.Outbox // of the one partition that there is, which begins at once; nil: there are many, see Begin
	Client   *send.Client
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
	Tracer   *trace.Tracer // nil: nothing is traced
	Now      func() time.Time
	After    <-chan struct{} // nothing is claimed before it is closed; nil: at once
	// Anew makes a delivery again from its change, in its endpoint's format of today, because it
	// cannot be signed any more as it was made; with a nil body where that format has no word for
	// it. Nil, or an error: it cannot be made again.
	Anew func(outbox.Delivery) (outbox.Delivery, error)
	// Notice is told what becomes of endpoints, by several at once; nil: nobody is. See Notice.
	Notice func(Notice)
	LogAll bool          // see Dispatcher.LogAll
	Grace  time.Duration // for attempts in flight when the dispatcher stops, and then they are given back; 0: 250 ms
}

// Dispatcher delivers. Make it with New, run it with Run.
type Dispatcher struct {
	o Options
	m *metrics

	logAll atomic.Bool
	owed   owed // changed under mu

	mu      sync.Mutex         // guards the fields below
	senders map[string]*sender // by endpoint
	begin   func(*sender)      // runs one; nil: Run has not begun, or is ending
	lines   map[*line]struct{} // those that claim, also of endpoints that are no more
	soon    []outbox.Endpoint  // what the registry says, or is about to say
	share   share              // of the rate and the slots of each endpoint
}

// New makes a sender for each endpoint there is, and from then on follows the registry: endpoints
// come, change and go while it runs.
func New(o Options) *Dispatcher {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Grace == 0 {
		o.Grace = 250 * time.Millisecond // what is about to be answered need not be repeated; a partner that hangs must not hold up a restart
	}
	d := &Dispatcher{o: o, senders: map[string]*sender{}, lines: map[*line]struct{}{}, m: newMetrics(o.Metrics)}
	d.m.start()
	d.LogAll(o.LogAll)
	if o.Outbox != nil {
		d.owed.add(newPart(0, o.Outbox))
	}
	o.Registry.Watch(d.known, d.follow)
	d.follow(o.Registry.Read())
	return d
}

// Run delivers until ctx ends or the store fails. Before it returns, attempts in flight have ended
// or were given back after Options.Grace, to be made again by the next Run with the same id and
// body, and everything settled is on disk.
func (d *Dispatcher) Run(ctx context.Context) error {
	if d.o.After != nil {
		select {
		case <-d.o.After:
		case <-ctx.Done():
			return nil // stopped before it began
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	d.each(func(s *sender) { wg.Go(func() { s.run(ctx) }) })
	err := d.look(ctx)
	cancel(err)
	d.each(nil)
	wg.Wait()
	flush, done := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer done()
	if ferr := d.owed.flush(flush); ferr != nil {
		d.o.Logger.Warn("results_not_written", "error", ferr)
	}
	if err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	return nil
}

// flushWithin is how long a stop waits for the disk to take what was settled.
const flushWithin = 10 * time.Second

// look sees to what damaged records leave, and to when certificates and keys end. What is owed to
// an endpoint that is not in the config is nobody's here: it stays owed.
func (d *Dispatcher) look(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	known := d.o.Registry.Read()
	for n := 0; ; n++ {
		if n%60 == 0 {
			d.certificates()
		}
		if now := d.o.Registry.Read(); n%60 == 0 || now != known { // a key was rotated, or has ended
			d.keys(now)
			known = now
		}
		if err := d.mend(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// mend finds lanes that a damaged record has orphaned.
func (d *Dispatcher) mend(ctx context.Context) error {
	heads, rejections, known, err := d.owed.mend(ctx)
	if !known {
		return nil
	}
	if err != nil && ctx.Err() == nil && !isFull(err) {
		return err
	}
	d.o.Logger.Error("outbox_repaired", "lanes", heads, "rejections", rejections)
	return nil
}

func isFull(err error) bool { return errors.Is(err, store.ErrFull) }
