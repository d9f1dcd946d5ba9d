package main

import (
	"errors"
	"syscall"
	"time"

	"countersign/ingest"
	"countersign/ingest/confirm"
	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/send"
)

// bindCallbacks is the first thing a gateway does and closing that listener the last: while the
// file is opened, connections wait in the kernel and are not refused. An address that is still
// taken may be that of a gateway which is just stopping, or of one that has the file too, so the
// file's own error comes first.
func (g *gateway) bindCallbacks() (err error) {
	if g.role == roleRelay || g.callbacks != nil {
		return nil
	}
	if ln := g.sockets[socketCallbacks]; ln != nil {
		g.callbacks = ln
		return nil
	}
	g.callbacks, err = bind("listen.callbacks", "callback listener", g.cfg.Listen.Callbacks)
	return err
}

func (g *gateway) bindEarly() error {
	if err := g.bindCallbacks(); err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return nil
}

// knowsPartner reports whether there is a partner of an id: in the config, or made since.
func (g *gateway) knowsPartner(cfg *Config) (func(id string) bool, error) {
	declared := map[string]bool{} // those of the config are in the registry soon after the first callbacks are taken
	for i := range cfg.Partners {
		ids, err := g.registry.PartnerNames(cfg.Partners[i].ID)
		if err != nil {
			return nil, err
		}
		for _, id := range append(ids, cfg.Partners[i].RenamedFrom) { // people keep the prefix that they began with
			declared[id] = id != ""
		}
	}
	return func(id string) bool { return declared[id] || g.registry.Read().Partner(id) != nil }, nil
}

// startIngress takes callbacks. It is started as soon as there is a journal, before all that works
// on what is in it, and so stops after it.
func (g *gateway) startIngress() error {
	if g.role == roleRelay {
		return nil
	}
	if err := g.bindCallbacks(); err != nil {
		return err
	}
	s, keys, err := g.ingressSettings(g.cfg, &g.limits)
	if err != nil {
		return err
	}
	keys.start()
	g.process.start("published keys", g.keepers.run)
	o := ingest.Options{
		Listener: g.callbacks, Journal: g.appender(), Logger: g.log, Metrics: g.metrics(), Tracer: g.tracer, TrustedProxies: s.TrustedProxies, Partners: s.Partners, Sources: s.Sources,
		MaxConns: s.MaxConns, ConnsOfAddress: s.ConnsOfAddress, IdleTimeout: g.cfg.Listen.IdleTimeout, Bodies: s.Bodies, BodiesOfSource: s.BodiesOfSource, BodiesOfClient: s.BodiesOfClient,
		Live: g.cfg.Live(), Knows: func(u *kyc.Update) bool { return relay.Knows(g.store, u) },
	}
	if t := g.cfg.TLS; t != nil {
		if o.TLS, err = ingest.NewCertificate(t.CertFile, t.KeyFile, g.log, time.Now); err != nil {
			return err
		}
		if t.ClientCAFile != "" {
			if o.Clients, err = ingest.NewClientAuthorities(t.ClientCAFile, g.log, time.Now); err != nil {
				return err
			}
		}
	}
	in, err := ingest.New(o)
	if err != nil {
		return err
	}
	g.ingress.Store(in)
	g.process.start("ingress", in.Run)
	return nil
}

// ingressSettings are what a config says to the ingress, and who looks up keys for its sources.
func (g *gateway) ingressSettings(cfg *Config, l *limits) (s ingest.Settings, keys keepersPlan, err error) {
	s = ingest.Settings{TrustedProxies: cfg.TrustedProxies, MaxConns: l.callbacks, ConnsOfAddress: l.ofAddress}
	if s.Partners, err = g.knowsPartner(cfg); err != nil {
		return s, keys, err
	}
	s.Bodies, s.BodiesOfSource, s.BodiesOfClient = cfg.bodies(memoryLimit("/"))
	for _, sc := range cfg.Sources {
		src, err := newSource(sc)
		if err != nil {
			return s, keys, err
		}
		s.Sources = append(s.Sources, src)
	}
	keys, err = g.planKeys(cfg, s.Sources)
	return s, keys, err
}

// startAsking asks what callbacks leave open, and follows the streams of providers that post none.
func (g *gateway) startAsking() error {
	in := g.ingress.Load()
	if in == nil {
		return nil
	}
	return errors.Join(g.startConfirmer(in), g.startFollower(in))
}

// startConfirmer asks what callbacks leave open.
func (g *gateway) startConfirmer(in *ingest.Ingress) error {
	o := confirm.Options{
		Journal: g.journal, Asked: g.journal.Asked, Oldest: g.journal.OldestQuestion, Take: in.Confirmed, Logger: g.log, Metrics: g.metrics(),
		Control: send.Guard(g.cfg.Live(), g.cfg.EgressAllow),
	}
	o.Sources = askedSources(g.cfg)
	c, err := confirm.New(o)
	if err != nil {
		return err
	}
	g.confirmer = c
	g.process.start("confirmer", c.Run)
	return nil
}

// askedSources are the sources whose provider can be asked.
func askedSources(cfg *Config) (all []confirm.Source) {
	for _, sc := range cfg.Sources {
		if s, ok := apiSource(sc); ok {
			all = append(all, s)
		}
	}
	return all
}
