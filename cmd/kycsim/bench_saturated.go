package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"countersign/ingest/forward/brokers/cluster"
)

const maxBehind = 1 // second, of the topics behind the partner

// saturated measures whether the topics keep up with the relay when as much comes in as the machine
// takes: how old what had not been acknowledged became, and by how much the topics were through
// later than the partner.
func (c *benchCmd) saturated(ctx context.Context, k *cluster.Cluster) (rows []row, err error) {
	g, o, clean, err := c.forwarding(ctx, "topics-saturated", k, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	o.Connections, o.Duration = ackConnections, saturateFor
	worst, stopWatch := g.oldest(ctx), watch(ctx, g.pid())
	fired, err := fire(ctx, o)
	lag, top := worst(), stopWatch()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var partner, topics time.Duration
	for partner == 0 || topics == 0 {
		rest, err := g.rest(ctx)
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		if partner == 0 && rest[metricOwed] == 0 {
			partner = took
		}
		if topics == 0 && rest[metricLag] == 0 {
			topics = took
		}
		if took > settleWithin {
			return nil, errors.New("the gateway has not told everybody everything in time")
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return nil, err
		}
	}
	if _, err := g.settled(ctx, settleWithin); err != nil {
		return nil, err
	}
	if _, err := g.stop(); err != nil {
		return nil, err
	}
	if err := standing(ctx, k, fired.Acked); err != nil {
		return nil, err
	}
	return []row{
		shown("e", "acknowledged at saturation, with Kafka", fired.Rate, "/s"),
		shown("e", "oldest unacknowledged record at saturation, worst", lag.Seconds(), "s"),
		atMost("e", "anonymous memory at saturation, with Kafka", mib(top.anon), maxBusyMiB, "MiB", ""),
		atMost("e", "topics through after the partner", max(0, (topics-partner).Seconds()), maxBehind, "s", ""),
	}, nil
}

// oldest watches the age of what the gateway has not got to Kafka until stop is called, which
// returns the highest.
func (g *gateway) oldest(ctx context.Context) (stop func() time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var worst float64
	wg.Go(func() {
		for pause(ctx, 200*time.Millisecond) == nil {
			_, body, err := get(ctx, g.control+"/metrics")
			if v, ok := sumOf(body, "countersign_forward_lag_seconds"); err == nil && ok {
				worst = max(worst, v) // of both topics together: never less than the worse
			}
		}
	})
	return func() time.Duration {
		cancel()
		wg.Wait()
		return time.Duration(worst * float64(time.Second))
	}
}
