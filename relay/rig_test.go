package relay

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/dispatch"
	"countersign/relay/registry"
	"countersign/relay/send"
)

// rig is a relay with everything real around it but the providers. What is set before open counts.
type rig struct {
	t        *testing.T
	dir      string
	clock    clock
	partners []Partner
	grace    time.Duration
	forward  bool
	maxSize  int64                              // of the database; 0: the default
	first    journal.Position                   // of the log: where its first record stands
	wrap     func(*journal.Bolt) readAndWritten // for faults
	alarm    func(time.Time) (<-chan time.Time, func())
	log      logBook

	store    *store.Store
	sealer   *store.Sealer
	journal  *journal.Bolt
	outbox   *outbox.Outbox
	registry *registry.Registry
	relay    *Relay
	sends    *dispatch.Dispatcher
	client   *send.Client
	reg      *prometheus.Registry

	stopRelay, stopStore context.CancelFunc
	relayDone, storeDone chan error
	appended             int64
}

// readAndWritten is the log and what appends to it: on one node the journal.
type readAndWritten interface {
	journal.Log
	journal.Appender
}

// newRig makes a rig whose partners stand; it is open but does not run.
func newRig(t *testing.T, partners ...Partner) *rig {
	t.Helper()
	g := &rig{t: t, dir: t.TempDir(), partners: partners, grace: 5 * time.Second, first: firstOf(t)}
	t.Cleanup(func() { g.close() })
	g.open()
	return g
}

// start is newRig, running.
func start(t *testing.T, partners ...Partner) *rig {
	t.Helper()
	g := newRig(t, partners...)
	g.run()
	return g
}

func acme(es ...Endpoint) Partner { return Partner{ID: "acme", Endpoints: es} }

func (g *rig) open() {
	g.t.Helper()
	g.reg = prometheus.NewRegistry()
	log := slog.New(slog.NewJSONHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if g.store, err = store.Open(store.Options{Dir: g.dir, MaxSize: g.maxSize, Logger: log, Metrics: g.reg, Linger: 200 * time.Microsecond}); err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.stopStore, g.storeDone = cancel, make(chan error, 1)
	go func(s *store.Store, done chan error) { done <- s.Run(ctx) }(g.store, g.storeDone)
	sealer, err := store.OpenSealer(g.dir)
	g.sealer = sealer
	if err != nil {
		g.t.Fatal(err)
	}
	g.begin()
	if g.journal, err = journal.NewBolt(journal.Options{Store: g.store, Sealer: sealer, Logger: log, Metrics: g.reg, Now: g.clock.now}); err != nil {
		g.t.Fatal(err)
	}
	g.client = send.New(send.Options{})
	g.makeRelay(log)
}

// begin has the log of a new file begin at g.first.
func (g *rig) begin() {
	g.t.Helper()
	g.tamper(func(tx *store.Tx) error {
		next := []byte("journal/next")
		if at, err := journal.ReadPosition(tx, next); err != nil || at != (journal.Position{}) {
			return err
		}
		return errors.Join(journal.WritePosition(tx, next, g.first), journal.WritePosition(tx, []byte("journal/trimmed"), g.first.Plus(-1)))
	})
}

// at is where the n-th record of the log stands.
func (g *rig) at(n int64) journal.Position { return g.first.Plus(n - 1) }

// nth undoes at; 0: before the first.
func (g *rig) nth(at journal.Position) int64 { return max(0, at.Offset-g.first.Offset+1) }

// position is how many records of the log have been folded.
func (g *rig) position() int64 { return g.nth(g.relay.Position()) }

// makeRelay makes a new outbox and relay on the store as it is.
func (g *rig) makeRelay(log *slog.Logger) {
	g.t.Helper()
	var owed []outbox.Endpoint
	partners := make([]Partner, len(g.partners))
	for i, p := range g.partners { // New keeps and completes what it is given
		partners[i] = p
		for _, e := range p.Endpoints {
			owed = append(owed, outbox.Endpoint{ID: e.ID, MaxOwed: e.MaxOwed})
		}
	}
	var err error
	if g.registry, err = registry.New(registry.Options{Store: g.store, Partners: partners, Sealer: g.sealer}); err != nil {
		g.t.Fatal(err)
	}
	o := outbox.Options{Store: g.store, Logger: log, Metrics: g.reg, Now: g.clock.now, Settled: Settled, Decides: Decides}
	if g.outbox, err = outbox.New(o, owed); err != nil {
		g.t.Fatal(err)
	}
	var j readAndWritten = g.journal
	if g.wrap != nil {
		j = g.wrap(g.journal)
	}
	g.relay, err = New(Options{
		Store: g.store, Log: j, Journal: j, Outbox: g.outbox, Registry: g.registry, PersonRefs: personRefs,
		Logger: log, Metrics: g.reg, Now: g.clock.now, Alarm: g.alarm, Forward: g.forward, Journaled: g.journal,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.sends = dispatch.New(dispatch.Options{
		Registry: g.registry, Outbox: g.outbox, Client: g.client, After: g.relay.Begun(), Anew: g.relay.Anew, Logger: log, Metrics: g.reg, Now: g.clock.now, Grace: g.grace, LogAll: true,
	})
}

func (g *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	g.stopRelay, g.relayDone = cancel, make(chan error, 1)
	go func(r *Relay, d *dispatch.Dispatcher, done chan error) {
		delivered := make(chan error, 1)
		go func() { delivered <- d.Run(ctx) }()
		err := r.Run(ctx)
		cancel() // one that ends by itself ends the other, as the gateway would
		done <- errors.Join(err, <-delivered)
	}(g.relay, g.sends, g.relayDone)
}

// halt asks the relay to stop and returns what Run returned.
func (g *rig) halt() error {
	g.t.Helper()
	if g.stopRelay == nil {
		return nil
	}
	g.stopRelay()
	return g.ended()
}

// ended waits until Run has returned.
func (g *rig) ended() error {
	g.t.Helper()
	defer func() { g.stopRelay = nil }()
	select {
	case err := <-g.relayDone:
		return err
	case <-time.After(patience):
		g.t.Fatal("the relay does not stop")
		return nil
	}
}

// haltStore stops the store.
func (g *rig) haltStore() {
	g.t.Helper()
	g.stopStore()
	select {
	case err := <-g.storeDone:
		if err != nil {
			g.t.Errorf("store: %v", err)
		}
		g.storeDone <- nil
	case <-time.After(patience):
		g.t.Fatal("the store does not stop")
	}
}

// close stops the relay, then the store, as the gateway does.
func (g *rig) close() {
	g.t.Helper()
	if g.store == nil {
		return
	}
	if err := g.halt(); err != nil {
		g.t.Errorf("relay: %v", err)
	}
	g.haltStore()
	g.shut()
}

func (g *rig) shut() {
	g.t.Helper()
	if err := g.store.Close(); err != nil {
		g.t.Error(err)
	}
	g.client.Close()
	g.store = nil
}

func (g *rig) restart() {
	g.t.Helper()
	g.close()
	g.open()
	g.run()
}

// snapshot copies what is committed at this moment: the file as a power cut would leave it.
func (g *rig) snapshot() (dir string) {
	dir, err := os.MkdirTemp(g.t.TempDir(), "crash")
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(filepath.Join(dir, "countersign.db"), os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			err = g.store.View(func(tx *store.Tx) error {
				_, err := tx.WriteTo(f)
				return err
			})
			err = errors.Join(err, f.Close())
		}
	}
	var key []byte
	if err == nil {
		key, err = os.ReadFile(filepath.Join(g.dir, "countersign.key"))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "countersign.key"), key, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Error(err)
	}
	return dir
}

// crash goes on from a snapshot: whatever was in memory is lost.
func (g *rig) crash() {
	g.t.Helper()
	dir := g.snapshot()
	g.close()
	g.dir = dir
	g.open()
	g.run()
}
