package main

import (
	"context"
	"fmt"
	"time"
)

const (
	grownEvents = 5 // of each person that is there before
	minGrown    = 0.6
)

// fill has a rig do the work of as many events as are to be there before.
func (l *loaded) fill(ctx context.Context, r *rig, seed uint64) error {
	if l.before == 0 {
		return nil
	}
	o := fireOptions{
		URL: r.url, Sources: []*source{r.source}, Connections: ackConnections, Persons: 2048, Events: grownEvents, GiveUp: 10 * time.Second, Seed: seed, Run: freshRun(),
		Count: l.before, Before: r.watch.before,
	}
	fired, err := fire(ctx, o)
	if err == nil {
		err = r.settled(ctx, fired.Acked)
	}
	if err != nil {
		return fmt.Errorf("fill the file: %w", err)
	}
	return nil
}

// grown is part h: part b upon a file that is full of persons, against part b upon an empty one.
func (c *benchCmd) grown(ctx context.Context) ([]row, error) {
	l := loaded{endpoints: 1, connections: ackConnections, events: 4, lasts: saturateFor}
	empty, err := c.one(ctx, c.gatewayRig, "grown-empty", l)
	if err != nil {
		return nil, err
	}
	l.before = int64(c.Persons) * grownEvents
	full, err := c.one(ctx, c.gatewayRig, "grown-full", l)
	if err != nil {
		return nil, err
	}
	with := fmt.Sprintf("with %d persons and %d records", c.Persons, l.before)
	return []row{
		shown("h", "delivered, empty file", empty.perSecond, "/s"),
		shown("h", "delivered "+with, full.perSecond, "/s"),
		atLeast("h", "against the empty file", full.perSecond/empty.perSecond, minGrown, "×", ""),
		shown("h", "CPU of the gateway, empty file", empty.cpu, "µs/event"),
		shown("h", "CPU of the gateway "+with, full.cpu, "µs/event"),
		shown("h", "written to disk "+with, full.written, "KiB/event").againstEmpty(empty.written),
		shown("h", "callback to webhook "+with+", p50", full.p50, "ms").againstEmpty(empty.p50),
		shown("h", "anonymous memory "+with, mib(full.top.anon), "MiB"),
	}, nil
}

// againstEmpty says what the same came to upon an empty file.
func (r row) againstEmpty(v float64) row {
	r.Limit = number(v) + " with the empty file"
	return r
}
