package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"countersign/ingest"
	"countersign/ingest/confirm"
	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/send"
)

// bindCallbacks is the first thing a gateway does and closing that listener the last: while the file is opened, connections wait in the kernel and are not refused. An
// address that is still taken may be that of a gateway which is just stopping, or of one that has the file too, so the file's own error comes first.
func (g *gateway) bindCallbacks() (err error) {
	if g.role == roleRelay || g.callbacks != nil {
		return nil
	}
	if ln := g.sockets[socketCallbacks]; ln != nil {
		g.callbacks = ln
		return nil
	}
	g.callbacks, err = net.Listen("tcp", g.cfg.Listen.Callbacks) //nolint:noctx // bound once at start
	if err != nil {
		g.callbacks = nil
		return fmt.Errorf("callback listener: %w", err)
	}
	return nil
}

func (g *gateway) bindEarly() error {
	if err := g.bindCallbacks(); err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return nil
}

// startIngress takes callbacks. It is started as soon as there is a journal, before all that works on what is in it, and so stops after it.
func (g *gateway) startIngress() error {
	if g.role == roleRelay {
		return nil
	}
	if err := g.bindCallbacks(); err != nil {
		return err
	}
	o := ingest.Options{
		Listener: g.callbacks, Journal: g.appender(), Logger: g.log, Metrics: g.metrics(), TrustedProxies: g.cfg.TrustedProxies, Partners: map[string]bool{},
		MaxConns: g.limits.callbacks, ConnsOfAddress: g.limits.ofAddress, IdleTimeout: g.cfg.Listen.IdleTimeout,
		Live: g.cfg.Live(), Knows: func(u *kyc.Update) bool { return relay.Knows(g.store, u) },
	}
	o.Bodies, o.BodiesOfSource, o.BodiesOfClient = g.cfg.bodies(memoryLimit("/"))
	for _, p := range g.cfg.Partners {
		ids, err := g.registry.PartnerNames(p.ID)
		if err != nil {
			return err
		}
		if p.RenamedFrom != "" {
			ids = append(ids, p.RenamedFrom)
		}
		for _, id := range ids { // people keep the prefix that they began with
			o.Partners[id] = true
		}
	}
	for _, sc := range g.cfg.Sources {
		s, err := newSource(sc)
		if err != nil {
			return err
		}
		if err := g.startKeys(sc, &s); err != nil {
			return err
		}
		o.Sources = append(o.Sources, s)
	}
	var err error
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
	for _, sc := range g.cfg.Sources {
		if s, ok := apiSource(sc); ok {
			o.Sources = append(o.Sources, s)
		}
	}
	c, err := confirm.New(o)
	if err != nil {
		return err
	}
	g.process.start("confirmer", c.Run)
	return nil
}
