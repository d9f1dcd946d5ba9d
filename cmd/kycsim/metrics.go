package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const maxAnswer = 16 << 20

// get reads one page of the control listener.
func get(ctx context.Context, url string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("get %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err // names method and URL
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// sumOf adds up every series of one metric in the text format; false: there is none.
func sumOf(text []byte, name string) (sum float64, found bool) {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok || len(rest) == 0 || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		if rest[0] == '{' {
			rest = rest[bytes.LastIndexByte(rest, '}')+1:]
		}
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		if v, err := strconv.ParseFloat(string(fields[0]), 64); err == nil {
			sum, found = sum+v, true
		}
	}
	return sum, found
}

// The figures that are 0 when a gateway has told everybody everything. The last is of a gateway
// that forwards to topics.
const (
	metricOwed    = "countersign_outbox_pending_deliveries"
	metricBacklog = "countersign_journal_backlog_records"
	metricLag     = "countersign_forward_lag_records"
)

// rest is what a gateway has still to tell: by metric.
func (g *gateway) rest(ctx context.Context) (rest map[string]float64, err error) {
	_, body, err := get(ctx, g.control+"/metrics")
	if err != nil {
		return nil, err
	}
	names := []string{metricOwed, metricBacklog}
	if g.kafka {
		names = append(names, metricLag)
	}
	rest = map[string]float64{}
	for _, name := range names {
		v, ok := sumOf(body, name)
		if !ok {
			return nil, fmt.Errorf("%w %s", errNoMetric, name)
		}
		if v != 0 {
			rest[name] = v
		}
	}
	return rest, nil
}

var errNoMetric = errors.New("the gateway shows no")

// settled waits until the gateway owes nothing, neither to partners nor to topics, and returns how
// long that took.
func (g *gateway) settled(ctx context.Context, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var rest map[string]float64
	for {
		now, err := g.rest(ctx)
		switch {
		case errors.Is(err, errNoMetric):
			return 0, err
		case err == nil && len(now) == 0:
			return time.Since(began), nil
		case err == nil:
			rest = now
		}
		select {
		case <-tick.C:
		case <-g.exited:
			return 0, fmt.Errorf("the gateway ended by itself (%s)", g.cmd.ProcessState)
		case <-ctx.Done():
			return time.Since(began), fmt.Errorf("after %s the gateway has not told everybody everything, %v: %w", limit, rest, ctx.Err())
		}
	}
}
