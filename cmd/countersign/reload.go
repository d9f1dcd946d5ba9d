package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"countersign/ingest/confirm"
	"countersign/ingest/journal"
	"countersign/ingest/stream"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/control"
	"countersign/relay/control/api"
	"countersign/relay/registry"
)

// reloading is what a gateway knows of its config while it runs.
type reloading struct {
	turn   chan struct{} // holds one while a reload is under way
	cfg    *Config       // what counts now; owned by whoever has the turn
	bodies atomic.Int64  // how long bodies in quarantine are kept, in nanoseconds

	outcomes *prometheus.CounterVec
	last     prometheus.Gauge
	bad      prometheus.Gauge
	good     prometheus.Gauge
}

// What came of a reload. Metric labels come from it.
const (
	reloadApplied = "applied"
	reloadRefused = "refused" // the config is wrong, or takes a restart: nothing was changed
	reloadFailed  = "failed"  // the disk did not take what has to be kept
)

func (r *reloading) begin(cfg *Config, reg prometheus.Registerer) {
	f := promauto.With(reg)
	r.turn, r.cfg = make(chan struct{}, 1), cfg
	r.bodies.Store(int64(cfg.Retention.QuarantineBodies))
	r.outcomes = f.NewCounterVec(prometheus.CounterOpts{
		Name: "reloads_total", Help: "Times the config was read again to be applied, by what came of it (applied, refused, failed).",
	}, []string{"outcome"})
	for _, o := range []string{reloadApplied, reloadRefused, reloadFailed} {
		r.outcomes.WithLabelValues(o)
	}
	r.last = f.NewGauge(prometheus.GaugeOpts{
		Name: "reload_last_success_timestamp_seconds", Help: "Unix time at which the config that counts was read: of the start, or of the last reload that was applied.",
	})
	r.bad = f.NewGauge(prometheus.GaugeOpts{
		Name: "reload_last_failure_timestamp_seconds", Help: "Unix time at which a reload was last refused or failed; 0: none has been since the start.",
	})
	r.good = f.NewGauge(prometheus.GaugeOpts{
		Name: "reload_last_successful", Help: "1 if the config was applied when it was last read, 0 if what counts is an older one.",
	})
	r.last.SetToCurrentTime()
	r.good.Set(1)
}

func (r *reloading) quarantineKept() time.Duration { return time.Duration(r.bodies.Load()) }

// count notes what came of a reload.
func (r *reloading) count(err error) {
	var refused *control.RefusedError
	switch {
	case err == nil:
		r.outcomes.WithLabelValues(reloadApplied).Inc()
		r.last.SetToCurrentTime()
		r.good.Set(1)
		return
	case errors.As(err, &refused):
		r.outcomes.WithLabelValues(reloadRefused).Inc()
	default:
		r.outcomes.WithLabelValues(reloadFailed).Inc()
	}
	r.bad.SetToCurrentTime()
	r.good.Set(0)
}

// prepared is a config with all worked out that can fail, and nothing changed.
type prepared struct {
	cfg       *Config
	limits    limits
	token     string // of the data directory
	ingress   func() // nil: role relay
	keys      keepersPlan
	asking    *confirm.Plan
	plan      registry.Plan // of the endpoints' owners
	following *stream.Plan
}

// reload reads the config again, and makes it count, all of it or nothing; dry: only says what that
// would come to. One is under way at a time, and others wait for it.
func (g *gateway) reload(ctx context.Context, dry bool) (*api.Reloaded, error) {
	if g.load == nil {
		return nil, control.ErrNoConfig
	}
	select {
	case g.reloading.turn <- struct{}{}:
		defer func() { <-g.reloading.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", control.ErrNotNow, ctx.Err())
	}
	if g.phase.Load() != serving {
		return nil, control.ErrNotNow
	}
	r, err := g.reloadNow(context.WithoutCancel(ctx), dry) // whoever asked may go: it is not left half done
	if dry {
		return r, err
	}
	g.reloading.count(err)
	var refused *control.RefusedError
	switch {
	case errors.As(err, &refused):
		for _, f := range refused.Problems {
			g.log.Error("config_refused", "file", f.File, "line", f.Line, "key", f.Key, "what", f.What, "remedy", f.Remedy)
		}
		g.log.Error("reload_refused", "config", g.reloading.cfg.Path, "problems", len(refused.Problems), "remedy", "correct the file and reload again; nothing was changed")
	case err != nil:
		g.log.Error("reload_failed", "config", g.reloading.cfg.Path, "error", err)
	default:
		keys := make([]string, 0, len(r.Differences))
		for _, d := range r.Differences[:min(len(r.Differences), 100)] {
			keys = append(keys, d.Key)
		}
		g.log.Info("reloaded", "config", r.Config, "differences", len(r.Differences), "keys", strings.Join(keys, " "))
		for _, text := range r.Owed {
			g.log.Warn("reload_leaves", "what", text)
		}
		if g.limits.files > 0 {
			g.limits.tell(ctx, g.log, g.reloading.cfg)
		}
		g.doubt(g.reloading.cfg)
	}
	return r, err
}

func (g *gateway) reloadNow(ctx context.Context, dry bool) (*api.Reloaded, error) {
	next, wrong := g.load()
	if next == nil {
		return nil, refusal(wrong)
	}
	was := g.reloading.cfg
	if wrong = unchangeable(was, next); len(wrong) > 0 {
		return nil, refusal(wrong)
	}
	p, wrong := g.prepare(next)
	owed, more, err := g.owedBy(p)
	if err != nil {
		return nil, err
	}
	if wrong = append(wrong, more...); len(wrong) > 0 {
		slices.SortStableFunc(wrong, func(a, b problem) int { return cmp.Compare(a.Line, b.Line) })
		return nil, refusal(wrong)
	}
	r := &api.Reloaded{Object: "reload", Config: next.Path, DryRun: dry, Differences: []api.Difference{}, Owed: owed, Warnings: faults(warnings(next))}
	r.Differences = append(r.Differences, differences(was, next)...)
	if dry {
		return r, nil
	}
	if err := g.apply(ctx, p); err != nil {
		return nil, err
	}
	r.Applied = true
	return r, nil
}

// refusal is what a config is refused for.
func refusal(wrong []problem) error {
	return &control.RefusedError{Problems: faults(wrong)}
}

func faults(ps []problem) []api.ConfigProblem {
	all := []api.ConfigProblem{}
	for _, p := range ps {
		all = append(all, api.ConfigProblem(p))
	}
	return all
}

// owedBy says what a config does to what is owed, and what of it may not be.
func (g *gateway) owedBy(p *prepared) (owed []string, wrong []problem, err error) {
	owed = []string{}
	if g.relay == nil {
		return owed, nil, nil
	}
	err = g.store.View(func(tx *store.Tx) (err error) {
		if p.plan, err = planOf(tx, p.cfg); err != nil {
			return err
		}
		wrong = append(refused(p.cfg, &p.plan), moved(p.cfg, &p.plan)...)
		doubts, err := orphaned(tx, p.cfg, &p.plan)
		for _, d := range doubts {
			owed = append(owed, d.What+"; "+d.Remedy)
		}
		return err
	})
	return owed, wrong, err
}

// moved are the renamings of a config that have not been carried out. Nothing of an endpoint may be
// under way while what it is owed moves, so that they take a restart.
func moved(cfg *Config, plan *registry.Plan) (wrong []problem) {
	for i, p := range cfg.receivers() {
		if id := p.ID; slices.ContainsFunc(plan.Renames, func(r registry.Rename) bool { return r.To == id }) {
			key := fmt.Sprintf("partners[%d].renamed_from", i)
			wrong = append(wrong, problem{
				File: cfg.Path, Line: cfg.lines[key], Key: key, What: "partner " + id + " is to take the place of " + p.RenamedFrom + ", which cannot be done while this process runs",
				Remedy: "restart for this, or leave it for later; nothing else of this file counts before",
			})
		}
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			if !slices.ContainsFunc(plan.Moves, func(m registry.Move) bool { return m.To == e.ID }) {
				continue
			}
			key := join(cfg.endpointKey(i, j), "renamed_from")
			wrong = append(wrong, problem{
				File: cfg.Path, Line: cfg.lines[key], Key: key, What: "endpoint " + e.ID + " is to take the place of " + e.RenamedFrom + ", which cannot be done while this process runs",
				Remedy: "restart for this, or leave it for later; nothing else of this file counts before",
			})
		}
	}
	return wrong
}

// prepare works out everything of a config that can fail.
func (g *gateway) prepare(cfg *Config) (p *prepared, wrong []problem) {
	p = &prepared{cfg: cfg, limits: g.limits, token: g.token}
	fail := func(key string, err error) {
		if err != nil {
			wrong = append(wrong, problem{File: cfg.Path, Key: key, What: err.Error()})
		}
	}
	var err error
	if g.limits.files > 0 {
		p.limits, err = newLimits(cfg, g.limits.files)
		fail("", err)
	}
	text, err := readToken(filepath.Join(cfg.Data, tokenFile))
	if err == nil {
		p.token = text
	} else if !errors.Is(err, fs.ErrNotExist) { // without a file, the one that was read goes on
		fail("data", err)
	}
	if g.relay != nil {
		_, err = g.partners(cfg, g.futureKeys)
		fail("partners", err)
	}
	in := g.ingress.Load()
	if in == nil {
		return p, wrong
	}
	s, keys, err := g.ingressSettings(cfg, &p.limits)
	fail("sources", err)
	if err == nil {
		p.keys = keys
		p.ingress, err = in.Plan(s)
		fail("sources", err)
	}
	p.asking, err = g.confirmer.Plan(askedSources(cfg))
	fail("sources", err)
	p.following, err = g.follower.Plan(followedSources(cfg))
	fail("sources", err)
	return p, wrong
}

// apply makes a config count. What can still fail is what has to be written, and comes first: with
// an error nothing counts but what was.
func (g *gateway) apply(ctx context.Context, p *prepared) error {
	if err := g.journal.Configure(ctx, g.journalSettings(p.cfg)); err != nil {
		return err
	}
	divided, divides := g.dividing.Load(), p.limits
	g.dividing.Store(&divides)
	if err := g.applyPartners(ctx, p); err != nil {
		g.dividing.Store(divided)
		return errors.Join(err, g.journal.Configure(ctx, g.journalSettings(g.reloading.cfg)))
	}
	if p.ingress != nil {
		p.asking.End() // what was asked of one that changes is asked again: its answer is read as one set says
		p.following.End()
		end := p.keys.start()
		p.ingress()
		p.asking.Begin()
		p.following.Begin()
		end(g.keyMetrics)
	}
	g.api.Configure(controlSettings(p.cfg, p.token))
	if g.relay != nil {
		g.relay.Keep(relayKeeps(p.cfg))
	}
	g.reloading.bodies.Store(int64(p.cfg.Retention.QuarantineBodies))
	if g.level != nil {
		p.cfg.Log.set(g.level)
	}
	if g.dispatch != nil {
		g.dispatch.LogAll(p.cfg.Log.Deliveries == deliveriesAll)
	}
	g.limits, g.token, g.reloading.cfg = p.limits, p.token, p.cfg // dividing has them already
	return nil
}

// applyPartners makes the partners and endpoints count, before anything is taken for those that are
// new. What they need is on disk first: whose each endpoint is, keys that are made here, and
// policies. With an error none of them counts.
func (g *gateway) applyPartners(ctx context.Context, p *prepared) error {
	if g.relay == nil {
		return nil
	}
	if err := g.registry.Own(ctx, p.plan); err != nil {
		return err
	}
	ps, err := g.partners(p.cfg, g.keptKeys)
	if err != nil {
		return err
	}
	if err := g.registry.Register(ctx, ps); err != nil {
		return err
	}
	return g.registry.Configure(ps)
}

// hangup reloads, as whoever may send this process a signal has asked, and writes that into the
// audit trail.
func (g *gateway) hangup(ctx context.Context) {
	r, err := g.reload(ctx, false)
	if errors.Is(err, control.ErrNoConfig) {
		g.log.Warn("sighup_ignored", "reason", err)
		return
	}
	if err := g.api.Note(ctx, "SIGHUP", "SIGHUP", g.cfg.Path, r, err); err != nil {
		g.log.Error("audit_not_written", "call", "SIGHUP", "error", err)
	}
}

// journalSettings are what a config says to the journal.
func (g *gateway) journalSettings(cfg *Config) journal.Settings {
	s := journal.Settings{Questions: map[string]int{}}
	for _, sc := range cfg.Sources {
		if _, ok := apiSource(sc); ok {
			s.Asking = append(s.Asking, sc.Name)
			if sc.API != nil { // of one that cannot ask, nobody's question waits for another's
				s.Questions[sc.Name] = sc.API.Questions
			}
		}
	}
	kept := g.registry.Read()
	for _, p := range cfg.Partners {
		s.Endpoints = max(s.Endpoints, len(p.Endpoints)+kept.StoredBy(p.ID))
	}
	for _, p := range kept.Partners() {
		s.Endpoints = max(s.Endpoints, len(p.Endpoints))
	}
	return s
}

// controlSettings are what a config says to the control listener; own is the token of the data
// directory.
func controlSettings(cfg *Config, own string) control.Settings {
	s := control.Settings{Tokens: fixedTokens(cfg, own), Sources: map[string]bool{}, SourcePartners: map[string]string{}, AuditKeep: cfg.Retention.Audit}
	for _, sc := range cfg.Sources {
		s.Sources[sc.Name] = true
		if sc.Partner != "" {
			s.SourcePartners[sc.Name] = sc.Partner
		}
	}
	return s
}

func relayKeeps(cfg *Config) relay.Retention {
	return relay.Retention{Changes: cfg.Retention.Changes, History: cfg.Retention.History, Attempts: cfg.Retention.Attempts}
}
