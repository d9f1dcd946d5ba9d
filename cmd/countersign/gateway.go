package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"countersign/dashboards"
	web "countersign/dashboards/console"
	"countersign/ingest"
	"countersign/ingest/confirm"
	"countersign/ingest/forward"
	"countersign/ingest/forward/kafka"
	"countersign/ingest/journal"
	"countersign/ingest/stream"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/outbox/trace"
	"countersign/relay"
	"countersign/relay/control"
	"countersign/relay/dispatch"
	"countersign/relay/format"
	"countersign/relay/notice"
	"countersign/relay/registry"
	"countersign/relay/replay"
	"countersign/relay/send"
	"countersign/signing"
)

// The roles of a process.
const (
	roleAll    = "all"
	roleIngest = "ingest"
	roleRelay  = "relay"
)

// gateway is one running Countersign, wired from a Config. Make it with newGateway, end it with
// close.
type gateway struct {
	cfg     *Config
	role    string
	notices io.Writer // what an operator should know once: where the token is, and generated keys
	outside
	reg     *prometheus.Registry
	shown   *prometheus.Registry // of these, what the console shows
	process *process
	tracer  *trace.Tracer // nil: nothing is traced

	store    *store.Store
	sealer   *store.Sealer
	journal  *journal.Bolt
	registry *registry.Registry
	dividing atomic.Pointer[limits] // that endpoints have their shares by
	outbox   *outbox.Outbox
	client   *send.Client
	relay    *relay.Relay
	dispatch *dispatch.Dispatcher
	notifier *notice.Notifier
	replays  *replay.Replays
	kafka    *kafka.Client      // nil without kafka
	updates  *forward.Forwarder // nil without kafka
	changes  *forward.Forwarder // nil without kafka, or without a relay
	ingress  atomic.Pointer[ingest.Ingress]
	control  net.Listener
	waiting  *waiting // answers there until the gateway does
	machines          // who asks how it is

	forwarding *forward.Metrics
	keyMetrics *confirm.KeyMetrics // nil: no source's provider publishes keys
	keepers    keepers             // of the keys that providers publish
	confirmer  *confirm.Confirmer  // nil: role relay
	follower   *stream.Follower    // the same
	api        *control.Server
	pages      *web.Console
	reloading  reloading
	token      string

	callbacks net.Listener // closed last
	phase     atomic.Int32 // starting, serving or stopping
	recovery  recovery     // of this start
	closed    bool         // the store is
}

// The phases of a gateway.
const (
	starting int32 = iota
	serving
	stopping
)

// newGateway makes a gateway that is given no more than a log and a place for notices.
func newGateway(cfg *Config, role string, log *slog.Logger, notices io.Writer) (*gateway, error) {
	return openGateway(cfg, role, outside{log: log, terminal: notices})
}

// openGateway binds the listeners, opens the database and starts every component. On error
// everything it has started is stopped. The components are stopped in the reverse of this order, so
// callbacks are taken until the journal is all that is left.
func openGateway(cfg *Config, role string, o outside) (g *gateway, err error) {
	g = assemble(cfg, role, o)
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	for _, c := range o.collectors {
		if err := g.metrics().Register(c); err != nil {
			return g, err
		}
	}
	for _, s := range append([]step{{"", g.bindEarly}, {"", g.wait}, {"", g.serveMetrics}}, g.steps()...) {
		if err := o.ended(); err != nil {
			return g, err
		}
		if err := s.run(); err != nil {
			return g, hindered(s.key, "", err)
		}
	}
	g.phase.Store(serving)
	return g, nil
}

// assemble is a gateway that has done nothing yet.
func assemble(cfg *Config, role string, o outside) *gateway {
	g := &gateway{cfg: cfg, role: role, outside: o, notices: o.terminal, reg: prometheus.NewRegistry(), shown: prometheus.NewRegistry(), process: newProcess(o.log)}
	if o.terminal == nil {
		g.notices = noticeLog{o.log}
	}
	g.process.idle = o.rehearsal
	g.reloading.begin(cfg, g.metrics())
	g.reg.MustRegister(newGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	g.refusals = control.NewRefusals(g.metrics())
	return g
}

// step is a part of a start, and the key of the config that is to blame where it fails and says no
// other.
type step struct {
	key string
	run func() error
}

// steps are those after the listeners are bound. A rehearsal takes them too: what one of them
// makes, writes or starts it does not, where the gateway is a rehearsal's.
func (g *gateway) steps() []step {
	return []step{
		{"data", g.openStore},
		{"tracing", g.startTracing},
		{"data", g.openJournal},
		{"kafka", g.openKafka},
		{"sources", g.startIngress},
		{"partners", g.openRelay},
		{"data", g.tellRecovery},
		{"kafka", g.startForwarders},
		{"data", g.startRelay},
		{"data", g.startControl},
		{"sources", g.startAsking},
	}
}

func (g *gateway) metrics() prometheus.Registerer {
	return measured{prometheus.WrapRegistererWithPrefix(metricPrefix, g.reg), prometheus.WrapRegistererWithPrefix(metricPrefix, g.shown)}
}

func (g *gateway) openStore() (err error) {
	o := store.Options{Dir: g.cfg.Data, MaxSize: g.cfg.Storage.MaxSize, Examine: g.examine, Context: g.ctx, Logger: g.log, Metrics: g.metrics()}
	if g.waiting != nil {
		o.Checked = g.waiting.checked
	}
	sealer, token := store.OpenSealer, operatorToken
	if g.rehearsal {
		sealer, token = store.RehearseSealer, futureToken
		err = g.rehearseStore(o)
	} else {
		g.store, err = store.Open(o)
	}
	if err != nil {
		return err
	}
	g.process.lost = g.store.Failed()
	g.process.start("store", g.store.Run)
	if g.sealer, err = sealer(g.cfg.Data); err != nil {
		return err
	}
	l := g.limits
	g.dividing.Store(&l)
	g.registry, err = registry.New(registry.Options{
		Store: g.store, Sealer: g.sealer, Random: rand.Reader, Live: g.cfg.Live(), Allow: g.cfg.EgressAllow, Reserved: signingHeaders(), Divide: func(ps []registry.Partner) error { return g.dividing.Load().divide(ps) },
	})
	if err != nil {
		return err
	}
	if g.token, err = token(g.cfg.Data, g.notices); err != nil {
		return err
	}
	g.doubt(g.cfg)
	return nil
}

func (g *gateway) openJournal() (err error) {
	s := g.journalSettings(g.cfg)
	g.journal, err = journal.NewBolt(journal.Options{
		Asking: s.Asking, Questions: s.Questions, Endpoints: s.Endpoints, Store: g.store, Sealer: g.sealer, Backlog: g.cfg.Storage.Backlog, Logger: g.log, Metrics: g.metrics(),
	})
	if err != nil {
		return err
	}
	g.recovery.look(g.journal)
	g.process.start("quarantine", func(ctx context.Context) error { return g.journal.Retain(ctx, g.reloading.quarantineKept) })
	return nil
}

func (g *gateway) openRelay() error {
	if g.role == roleIngest {
		return nil
	}
	if err := g.own(); err != nil {
		return err
	}
	keys := g.keptKeys
	if g.rehearsal {
		keys = g.futureKeys
	}
	partners, err := g.partners(g.cfg, keys)
	if err != nil {
		return err
	}
	if err := g.registry.Configure(partners); err != nil {
		return err
	}
	var owed []outbox.Endpoint
	for _, p := range g.registry.Read().Receivers() {
		for _, e := range p.Endpoints {
			owed = append(owed, outbox.Endpoint{ID: e.ID, MaxOwed: e.MaxOwed})
		}
	}
	if g.notifier, err = notice.New(notice.Options{
		Store: g.store, Outbox: func() *outbox.Outbox { return g.outbox }, Registry: g.registry, Logger: g.log, Metrics: g.metrics(),
	}); err != nil {
		return err
	}
	g.outbox, err = outbox.New(outbox.Options{Store: g.store, Logger: g.log, Metrics: g.metrics(), Settled: g.settled, Decides: relay.Decides, Current: func(id string) string { return g.registry.Read().Current(id) }}, owed)
	if err != nil {
		return err
	}
	g.client = send.New(send.Options{LiveMode: g.cfg.Live(), Allow: g.cfg.EgressAllow, Proxy: g.cfg.EgressProxy, UserAgent: "countersign/" + version(), Logger: g.log})
	g.relay, err = relay.New(relay.Options{
		Store: g.store, Log: g.journal, Journal: g.journal, Outbox: g.outbox, Registry: g.registry, PersonRefs: personRefs(),
		Logger: g.log, Metrics: g.metrics(), Tracer: g.tracer, Forward: g.cfg.Kafka != nil, Folded: g.journal.Folded,
		Retention: relayKeeps(g.cfg), Journaled: g.journal, Jobs: replay.Forget,
	})
	if err != nil {
		return err
	}
	g.dispatch = dispatch.New(dispatch.Options{
		Registry: g.registry, Outbox: g.outbox, Client: g.client, After: g.relay.Begun(), Anew: g.relay.Anew, Logger: g.log, Metrics: g.metrics(), Tracer: g.tracer,
		Notice: func(dispatch.Notice) { g.notifier.Wake() }, LogAll: g.cfg.Log.Deliveries == deliveriesAll,
	})
	g.replays = replay.New(replay.Options{Store: g.store, Outbox: g.outbox, Relay: g.relay, Registry: g.registry, Logger: g.log, Metrics: g.metrics()})
	return nil
}

// settled keeps how a delivery ended: with its subject, and for whoever is told of that.
func (g *gateway) settled(tx *store.Tx, a outbox.Attempt) error {
	return errors.Join(relay.Settled(tx, a), g.notifier.Settled(tx, a))
}

// startRelay starts what delivers before what folds: nothing is owed any more when deliveries stop.
func (g *gateway) startRelay() error {
	if g.relay == nil {
		return nil
	}
	g.process.start("dispatch", func(ctx context.Context) error {
		defer g.client.Close()
		return g.dispatch.Run(ctx)
	})
	g.process.start("replays", func(ctx context.Context) error { return g.replays.Run(ctx, g.relay.Begun()) })
	g.process.start("notices", func(ctx context.Context) error { return g.notifier.Run(ctx, g.relay.Begun()) })
	g.process.start("relay", g.relay.Run)
	return nil
}

func checkEndpointKeys(f format.Format, keys []registry.Key) error {
	var ring signing.Keyring
	for _, k := range keys {
		ring = append(ring, k.Key)
	}
	return signing.CheckSigning(f.Scheme, ring)
}

func (g *gateway) startControl() (err error) {
	if err := g.waiting.end(); err != nil {
		return fmt.Errorf("control listener: %w", err)
	}
	if g.control == nil {
		if g.control, err = g.bindControl(); err != nil {
			return err
		}
	}
	if err := g.serveMetrics(); err != nil {
		return err
	}
	g.warnOpen()
	f := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "build_info", Help: "1, with this program's version and role."}, []string{"version", "role"})
	f.WithLabelValues(version(), g.role).Set(1)
	if err := g.metrics().Register(f); err != nil {
		return err
	}
	o := control.Options{
		Listener: g.control, Conns: controlConns, Names: g.controlNames(), Exposed: g.exposed(), Refusals: g.refusals, NewToken: newToken,
		Relay: g.relay, Dispatcher: g.dispatch, Outbox: g.outbox, Replays: g.replays, Store: g.store, Registry: g.registry, Quarantine: g.journal, Questions: g.journal, Backup: g.store.Backup,
		Ready: g.ready, Doing: g.doing, Livemode: g.cfg.Live(), Logger: g.log, Gatherer: g.reg, Metrics: g.metrics(), Version: version(), Reload: g.reload, Runbook: dashboards.Runbook,
	}
	known := controlSettings(g.cfg, g.token)
	o.Tokens, o.Sources, o.SourcePartners, o.AuditKeep = known.Tokens, known.Sources, known.SourcePartners, known.AuditKeep
	if g.role != roleRelay {
		o.Release, o.Foresee, o.Explain, o.SourceStates = g.release, g.foresee, g.explain, g.sourceStates
	}
	o.Site = g.openConsole
	s := control.New(o)
	g.api = s
	g.process.start("audit", s.Retain)
	g.process.start("compact", s.Compactions)
	g.process.start("control", s.Run)
	if g.pages != nil {
		g.process.start("console", g.pages.Run) // it ends what is live, which control would wait for
	}
	g.told.Store(true)
	return nil
}

// release hands a body to the ingress, which starts after the control listener.
func (g *gateway) release(item journal.Item) (journal.Intake, error) {
	if item.Reason == journal.Oversized {
		rs, err := releaseRecord(item, time.Now())
		return journal.Intake{Records: rs}, err
	}
	in := g.ingress.Load()
	if in == nil {
		return journal.Intake{}, errors.New("the gateway is starting")
	}
	return in.Release(item)
}

// close stops everything: first what works on what is stored, then what takes callbacks, the disk
// last. Closing again does nothing. When the disk has failed, or hangs, the file is left open: the
// end of the process closes it, and the next start checks it.
func (g *gateway) close() error {
	g.phase.Store(stopping)
	if in := g.ingress.Load(); in != nil {
		in.Drain()
	}
	err := errors.Join(g.waiting.end(), g.process.stop())
	if g.control != nil {
		g.control.Close() //nolint:errcheck,gosec // closed by its server already, unless that was never started
	}
	if g.callbacks != nil {
		g.callbacks.Close() //nolint:errcheck,gosec // closed by the ingress already, unless that was never started
	}
	switch {
	case g.store == nil || g.closed:
		return err
	case g.store.Failure() != nil:
		return errors.Join(err, g.store.Failure())
	case !g.store.Stopped():
		return errors.Join(err, fmt.Errorf("%s is left open: a commit has been running for %s", g.store.Path(), g.store.Running().Round(time.Second)))
	}
	g.closed = true
	return errors.Join(err, g.store.Close())
}
