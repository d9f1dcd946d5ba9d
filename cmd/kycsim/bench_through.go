package main

import (
	"context"
	"fmt"
	"time"
)

const (
	saturateFor     = 10 * time.Second
	saturateRounds  = 2
	settleWithin    = 2 * time.Minute
	idleAfter       = 2 * time.Second
	maxBusyMiB      = 192
	maxIdleMiB      = 64
	latencyRate     = 100
	latencyFor      = 20 * time.Second
	steadyRate      = 5000
	fanOut          = 10
	benchConcurrent = 64 // deliveries of one endpoint at a time

	// What the gateway may cost against the bare work of the same run.
	maxCPU       = 2.0 // times, at saturation
	minDelivered = 0.5 // times
	maxSteadyCPU = 2.5 // times, at steadyRate
	minFanOut    = 0.5 // times
	maxLater     = 1.0 // ms, p50 at latencyRate
	maxTail      = 3.0 // times, p99 at latencyRate
	maxWritten   = 6.0 // KiB an event
	maxAnonMiB   = 128 // at saturation
)

// worked is what one rig came to under one load.
type worked struct {
	acked, delivered int64
	perSecond        float64 // delivered, until all was
	ackedPerSecond   float64
	cpu              float64 // µs of the process for each event
	written          float64 // KiB for each event
	records          float64 // put into the file, or deleted, for each event
	commit           float64 // events for each commit
	p50, p99         float64 // ms from before the callback is sent until the webhook is there
	top, idle        memory
	badlySigned      int64
	rounds           float64
}

// and adds what another round came to.
func (f *worked) and(g worked) {
	f.acked, f.delivered, f.badlySigned = f.acked+g.acked, f.delivered+g.delivered, f.badlySigned+g.badlySigned
	mean := func(a *float64, b float64) { *a = (*a*f.rounds + b) / (f.rounds + 1) }
	mean(&f.perSecond, g.perSecond)
	mean(&f.ackedPerSecond, g.ackedPerSecond)
	mean(&f.cpu, g.cpu)
	mean(&f.written, g.written)
	mean(&f.records, g.records)
	mean(&f.commit, g.commit)
	mean(&f.p50, g.p50)
	mean(&f.p99, g.p99)
	f.top.anon, f.top.file, f.idle.anon = max(f.top.anon, g.top.anon), max(f.top.file, g.top.file), max(f.idle.anon, g.idle.anon)
	f.rounds++
}

// loaded is the load of a part. All of it is of one source, for the bare work knows no other.
type loaded struct {
	endpoints   int
	connections int
	rate        float64 // 0: as fast as it goes
	events      int     // of each person
	lasts       time.Duration
	rounds      int
	before      int64 // events that are there already, five of each person; 0: an empty file
}

// both measures the gateway and the bare work in turn, so that what the machine does meanwhile hits
// both.
func (c *benchCmd) both(ctx context.Context, name string, l loaded) (ours, bare worked, err error) {
	for i := range max(1, l.rounds) {
		f, err := c.one(ctx, c.gatewayRig, fmt.Sprintf("%s-%d", name, i), l)
		if err != nil {
			return ours, bare, err
		}
		ours.and(f)
		if f, err = c.one(ctx, c.bareRig, fmt.Sprintf("%s-bare-%d", name, i), l); err != nil {
			return ours, bare, err
		}
		bare.and(f)
	}
	return ours, bare, nil
}

// endToEnd is part b: one callback in, one webhook out, as fast as it goes.
func (c *benchCmd) endToEnd(ctx context.Context) ([]row, error) {
	ours, bare, err := c.both(ctx, "through", loaded{endpoints: 1, connections: ackConnections, events: 4, lasts: saturateFor, rounds: saturateRounds})
	if err != nil {
		return nil, err
	}
	exact := shown("b", "deliveries for each acknowledged event", float64(ours.delivered)/float64(ours.acked), "")
	exact.Bound, exact.OK = "= 1", ours.delivered == ours.acked && ours.badlySigned == 0
	return []row{
		exact,
		shown("b", "CPU of the bare work", bare.cpu, "µs/event"),
		shown("b", "CPU of the gateway", ours.cpu, "µs/event"),
		atMost("b", "CPU against the bare work", ours.cpu/bare.cpu, maxCPU, "×", ""),
		shown("b", "delivered by the bare work", bare.perSecond, "/s"),
		shown("b", "delivered by the gateway", ours.perSecond, "/s"),
		atLeast("b", "delivered against the bare work", ours.perSecond/bare.perSecond, minDelivered, "×", ""),
		shown("b", "acknowledged meanwhile", ours.ackedPerSecond, "/s"),
		shown("b", "callback to webhook, p50", ours.p50, "ms").against(bare.p50),
		atMost("b", "written to disk", ours.written, maxWritten, "KiB/event", number(bare.written)+" by the bare work"),
		shown("b", "records put or deleted", ours.records, "/event"),
		shown("b", "events for each commit", ours.commit, ""),
		atMost("b", "anonymous memory, saturated", mib(ours.top.anon), maxAnonMiB, "MiB", ""),
		shown("b", "mapped file pages, saturated", mib(ours.top.file), "MiB"),
		atMost("b", "anonymous memory, idle", mib(ours.idle.anon), maxIdleMiB, "MiB", ""),
	}, nil
}

// against says what the bare work came to.
func (r row) against(v float64) row {
	r.Limit = number(v) + " by the bare work"
	return r
}

// latency is part c: from just before a callback is sent until the partner has its webhook, by one
// clock.
func (c *benchCmd) latency(ctx context.Context) ([]row, error) {
	ours, bare, err := c.both(ctx, "latency", loaded{endpoints: 1, connections: 64, events: 1, rate: latencyRate, lasts: latencyFor})
	if err != nil {
		return nil, err
	}
	return []row{
		shown("c", "events", float64(ours.acked), ""),
		atMost("c", "callback to webhook, p50", ours.p50, bare.p50+maxLater, "ms", number(bare.p50)+" by the bare work"),
		atMost("c", "callback to webhook, p99", ours.p99, bare.p99*maxTail, "ms", number(bare.p99)+" by the bare work"),
		shown("c", "events for each commit", ours.commit, ""),
		shown("c", "written to disk", ours.written, "KiB/event").against(bare.written),
		shown("c", "CPU of the gateway", ours.cpu, "µs/event").against(bare.cpu),
	}, nil
}

// steady is part f: a rate that both bear.
func (c *benchCmd) steady(ctx context.Context) ([]row, error) {
	ours, bare, err := c.both(ctx, "steady", loaded{endpoints: 1, connections: ackConnections, events: 4, rate: steadyRate, lasts: saturateFor})
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("at %d/s", steadyRate)
	return []row{
		shown("f", "CPU of the gateway "+at, ours.cpu, "µs/event").against(bare.cpu),
		atMost("f", "CPU against the bare work "+at, ours.cpu/bare.cpu, maxSteadyCPU, "×", ""),
		shown("f", "callback to webhook "+at+", p50", ours.p50, "ms").against(bare.p50),
		shown("f", "callback to webhook "+at+", p99", ours.p99, "ms").against(bare.p99),
		shown("f", "events for each commit "+at, ours.commit, ""),
		shown("f", "written to disk "+at, ours.written, "KiB/event").against(bare.written),
		shown("f", "delivered "+at, ours.perSecond, "/s").against(bare.perSecond),
	}, nil
}

// fanOut is part g: one callback in, ten webhooks out.
func (c *benchCmd) fanOut(ctx context.Context) ([]row, error) {
	ours, bare, err := c.both(ctx, "fanout", loaded{endpoints: fanOut, connections: ackConnections, events: 4, lasts: saturateFor / 2})
	if err != nil {
		return nil, err
	}
	return []row{
		shown("g", "delivered to ten endpoints by the bare work", bare.perSecond, "/s"),
		shown("g", "delivered to ten endpoints by the gateway", ours.perSecond, "/s"),
		atLeast("g", "against the bare work", ours.perSecond/bare.perSecond, minFanOut, "×", ""),
	}, nil
}
