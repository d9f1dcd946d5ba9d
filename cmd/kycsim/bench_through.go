package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	saturateFor     = 10 * time.Second
	bareFor         = 3 * time.Second
	settleWithin    = 2 * time.Minute
	idleAfter       = 2 * time.Second
	minDelivered    = 12000
	maxCPUMicros    = 100
	maxBusyMiB      = 192
	maxIdleMiB      = 64
	latencyRate     = 100
	latencyFor      = 20 * time.Second
	maxP50, maxP99  = 3, 15 // milliseconds
	benchConcurrent = 64    // deliveries of one endpoint at a time
)

// endToEnd is part b: one callback in, one webhook out, as fast as it goes.
func (c *benchCmd) endToEnd(ctx context.Context) (rows []row, err error) {
	s := setup{endpoints: 1, concurrency: benchConcurrent}
	g, clean, err := c.place(ctx, "through", c.Gateway, "", &s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	p, err := startPartner(ctx, partnerOptions{Addr: s.partner, Key: s.key, Format: "standard"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := g.start(ctx); err != nil {
		return nil, err
	}
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	if err := pause(ctx, idleAfter); err != nil {
		return nil, err
	}
	idle, err := residentOf(g.pid())
	if err != nil {
		return nil, err
	}
	o, err := c.load(&s, g.url)
	if err != nil {
		return nil, err
	}
	o.Connections, o.Duration = ackConnections, saturateFor
	used, err := cpuTime(g.pid())
	if err != nil {
		return nil, err
	}
	began, stopWatch := time.Now(), watch(ctx, g.pid())
	defer stopWatch()
	fired, err := fire(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := g.settled(ctx, settleWithin); err != nil {
		return nil, err
	}
	took, top := time.Since(began), stopWatch()
	after, err := cpuTime(g.pid())
	if err != nil {
		return nil, err
	}
	if _, err := g.stop(); err != nil {
		return nil, err
	}
	o.Duration = bareFor
	limit, err := bare(ctx, o)
	if err != nil {
		return nil, err
	}
	delivered := p.accepted.Load()
	exact := shown("b", "deliveries for each acknowledged event", float64(delivered)/float64(fired.Acked), "")
	exact.Bound, exact.OK = "= 1", delivered == fired.Acked && p.badlySigned.Load() == 0
	return []row{
		exact,
		atLeast("b", "delivered", float64(delivered)/took.Seconds(), minDelivered, "/s", number(limit.Rate)+" /s sent to nobody"),
		shown("b", "acknowledged meanwhile", fired.Rate, "/s"),
		atMost("b", "CPU of the gateway", float64((after-used).Microseconds())/float64(max(1, delivered)), maxCPUMicros, "µs/event", ""),
		atMost("b", "anonymous memory, saturated", mib(top.anon), maxBusyMiB, "MiB", ""),
		shown("b", "mapped file pages, saturated", mib(top.file), "MiB"),
		atMost("b", "anonymous memory, idle", mib(idle.anon), maxIdleMiB, "MiB", ""),
	}, nil
}

// stopwatch knows when each person's one event was sent.
type stopwatch struct {
	mu   sync.Mutex // guards the field below
	sent map[string]time.Time
	took latencies
}

func (w *stopwatch) before(c *callback, at time.Time) {
	w.mu.Lock()
	w.sent[c.line.Subject] = at
	w.mu.Unlock()
}

func (w *stopwatch) arrived(r *receivedLine, at time.Time) {
	w.mu.Lock()
	began, ok := w.sent[r.Subject]
	delete(w.sent, r.Subject)
	w.mu.Unlock()
	if ok {
		w.took.add(at.Sub(began))
	}
}

// latency is part c: from just before a callback is sent until the partner has its webhook, by one
// clock.
func (c *benchCmd) latency(ctx context.Context) (rows []row, err error) {
	s := setup{endpoints: 1, concurrency: benchConcurrent}
	g, clean, err := c.place(ctx, "latency", c.Gateway, "", &s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	w := &stopwatch{sent: map[string]time.Time{}}
	p, err := startPartner(ctx, partnerOptions{Addr: s.partner, Key: s.key, Format: "standard", Arrived: w.arrived})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := g.start(ctx); err != nil {
		return nil, err
	}
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	o, err := c.load(&s, g.url)
	if err != nil {
		return nil, err
	}
	o.Rate, o.Duration, o.Events, o.Before = latencyRate, latencyFor, 1, w.before
	fired, err := fire(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := g.settled(ctx, settleWithin); err != nil {
		return nil, err
	}
	if _, err := g.stop(); err != nil {
		return nil, err
	}
	o.Duration = bareFor
	limit, err := bare(ctx, o)
	if err != nil {
		return nil, err
	}
	if n := w.took.n.Load(); n != fired.Acked || n == 0 {
		return nil, fmt.Errorf("%d events were acknowledged, but the first delivery of %d was seen", fired.Acked, n)
	}
	return []row{
		shown("c", "events", float64(fired.Acked), ""),
		atMost("c", "callback to webhook, p50", milliseconds(w.took.quantile(0.5)), maxP50, "ms", number(limit.P50)+" ms there and back"),
		atMost("c", "callback to webhook, p99", milliseconds(w.took.quantile(0.99)), maxP99, "ms", number(limit.P99)+" ms there and back"),
	}, nil
}
