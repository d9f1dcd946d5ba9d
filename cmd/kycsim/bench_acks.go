package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	ackConnections = 256
	ackFor         = 5 * time.Second
	ackRounds      = 2
	minAckRatio    = 0.5
)

// acknowledgements is part a: what making a callback durable costs, against the same program that
// does not.
func (c *benchCmd) acknowledgements(ctx context.Context) ([]row, error) {
	if c.LimitGateway == "" {
		return nil, errors.New("--limit-gateway is needed")
	}
	var durable, limit float64
	for i := range ackRounds { // in turn, so that what the machine does meanwhile hits both
		d, err := c.acks(ctx, fmt.Sprintf("acks-%d", i), c.Gateway)
		if err != nil {
			return nil, err
		}
		l, err := c.acks(ctx, fmt.Sprintf("acks-limit-%d", i), c.LimitGateway)
		if err != nil {
			return nil, err
		}
		durable, limit = durable+d/ackRounds, limit+l/ackRounds
	}
	return []row{
		shown("a", "durable acknowledgements", durable, "/s"),
		shown("a", "acknowledgements without the disk", limit, "/s"),
		atLeast("a", "durable against the limit", durable/limit, minAckRatio, "×", number(limit)+" /s"),
	}, nil
}

func (c *benchCmd) acks(ctx context.Context, name, binary string) (perSecond float64, err error) {
	s := setup{endpoints: 1}
	g, clean, err := c.place(ctx, name, binary, "ingest", &s)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	if err := g.start(ctx); err != nil {
		return 0, err
	}
	if err := g.ready(ctx); err != nil {
		return 0, err
	}
	o, err := c.load(&s, g.url)
	if err != nil {
		return 0, err
	}
	o.Connections, o.Duration = ackConnections, ackFor
	fired, err := fire(ctx, o)
	if err != nil {
		return 0, err
	}
	if fired.GivenUp > 0 || len(fired.Refused) > 0 {
		return 0, fmt.Errorf("the gateway refused callbacks: %v; see its log with --keep", fired.Refused)
	}
	_, err = g.stop()
	return fired.Rate, err
}
