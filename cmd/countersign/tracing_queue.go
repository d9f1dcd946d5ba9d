package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	spansWaiting = 4096 // that have ended and are not sent
	spansAtOnce  = 512
	spansRest    = time.Second            // how long the first of a request waits for company
	againAtFirst = 500 * time.Millisecond // after a request that failed; then twice that, and so on
	againAtMost  = 30 * time.Second
	spansFlush   = 2 * time.Second // of a stop: what is not sent by then is lost
)

// spanQueue is between whoever ends a span, who never waits, and the collector, which may take its
// time: what has no room is dropped and counted. It is a sdktrace.SpanProcessor.
type spanQueue struct {
	export  func(context.Context, []sdktrace.ReadOnlySpan) error
	timeout time.Duration // of one request
	log     *slog.Logger
	waiting chan sdktrace.ReadOnlySpan
	failing bool // owned by run

	sent, dropped, failed prometheus.Counter
}

func newSpanQueue(export func(context.Context, []sdktrace.ReadOnlySpan) error, timeout time.Duration, log *slog.Logger, reg prometheus.Registerer) *spanQueue {
	n := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "tracing_spans_total", Help: "Spans of sampled traces, by outcome: sent, dropped (the collector was too slow), failed (the collector refused them). Only with tracing.",
	}, []string{"outcome"})
	return &spanQueue{
		export: export, timeout: timeout, log: log, waiting: make(chan sdktrace.ReadOnlySpan, spansWaiting),
		sent: n.WithLabelValues("sent"), dropped: n.WithLabelValues("dropped"), failed: n.WithLabelValues("failed"),
	}
}

// OnStart implements sdktrace.SpanProcessor.
func (*spanQueue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor.
func (q *spanQueue) OnEnd(s sdktrace.ReadOnlySpan) {
	select {
	case q.waiting <- s:
	default:
		q.dropped.Inc()
	}
}

// Shutdown implements sdktrace.SpanProcessor: whoever runs the queue ends it.
func (*spanQueue) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (*spanQueue) ForceFlush(context.Context) error { return nil }

// run sends until ctx ends, and then what still waits, for two seconds at most. The collector is
// nobody's reason to fail.
func (q *spanQueue) run(ctx context.Context) error {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(spansFlush, cut) })()
	for batch := q.next(ctx); len(batch) > 0; batch = q.next(ctx) {
		q.send(ctx, sending, batch)
	}
	return nil
}

// next is what is sent at once; nothing: ctx has ended, and all is sent.
func (q *spanQueue) next(ctx context.Context) (batch []sdktrace.ReadOnlySpan) {
	select {
	case s := <-q.waiting:
		batch = append(batch, s)
	case <-ctx.Done():
	}
	rest := time.NewTimer(spansRest)
	defer rest.Stop()
	for len(batch) < spansAtOnce {
		select {
		case s := <-q.waiting:
			batch = append(batch, s)
			continue
		default:
		}
		if ctx.Err() != nil {
			return batch
		}
		select {
		case s := <-q.waiting:
			batch = append(batch, s)
		case <-rest.C:
			return batch
		case <-ctx.Done():
		}
	}
	return batch
}

// send gives a batch to the collector, again and again while it is away: meanwhile others wait, and
// then are dropped. When ctx has ended each is tried once more.
func (q *spanQueue) send(ctx, sending context.Context, batch []sdktrace.ReadOnlySpan) {
	for again := againAtFirst; ; again = min(2*again, againAtMost) {
		one, done := context.WithTimeout(sending, q.timeout)
		err := q.export(one, batch)
		done()
		q.report(err)
		switch {
		case err == nil:
			q.sent.Add(float64(len(batch)))
			return
		case errors.Is(err, errNotTaken), ctx.Err() != nil:
			q.failed.Add(float64(len(batch)))
			return
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
	}
}

// report says once that the collector does not take spans, and once that it does again.
func (q *spanQueue) report(err error) {
	switch {
	case err != nil && !q.failing:
		q.log.Warn("tracing_trouble", "reason", err.Error())
	case err == nil && q.failing:
		q.log.Info("tracing_recovered")
	}
	q.failing = err != nil
}
