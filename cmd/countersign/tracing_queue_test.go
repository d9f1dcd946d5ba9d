package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestSpanQueue: whoever ends a span never waits, whatever the collector does; what has no room is
// counted, and a stop takes two seconds at most.
func TestSpanQueue(t *testing.T) {
	f := func(name string, spans int, export func(ctx context.Context, n int) error, wantSent, wantDropped, wantFailed float64, wantStop time.Duration, wantLog string) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &book{}
				q := newSpanQueue(func(ctx context.Context, batch []sdktrace.ReadOnlySpan) error {
					if len(batch) == 0 || len(batch) > spansAtOnce {
						t.Errorf("a request of %d", len(batch))
					}
					return export(ctx, len(batch))
				}, time.Minute, slog.New(slog.NewJSONHandler(log, nil)), prometheus.NewRegistry())
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- q.run(ctx) }()
				defer cancel()
				span := tracetest.SpanStub{Name: "x"}.Snapshot()
				for left := spans; left > 0; left -= 100 {
					done := make(chan struct{})
					go func() {
						defer close(done)
						for range 100 {
							q.OnEnd(span)
						}
					}()
					synctest.Wait()
					select {
					case <-done:
					default:
						t.Fatal("whoever ends a span waits")
					}
				}
				time.Sleep(20 * time.Second) // of the bubble's clock
				began := time.Now()
				cancel()
				if err := <-ended; err != nil || time.Since(began) != wantStop {
					t.Errorf("stopped after %v, %v; want %v", time.Since(began), err, wantStop)
				}
				for c, want := range map[prometheus.Counter]float64{q.sent: wantSent, q.dropped: wantDropped, q.failed: wantFailed} {
					var m dto.Metric
					if err := c.Write(&m); err != nil || m.GetCounter().GetValue() != want {
						t.Errorf("%v: %v, want %v", c.Desc(), m.GetCounter().GetValue(), want)
					}
				}
				if n := strings.Count(log.String(), "tracing_trouble"); wantLog == "" && n > 0 || wantLog != "" && (n != 1 || !strings.Contains(log.String(), wantLog)) {
					t.Errorf("the log: %s", log.String())
				}
			})
		})
	}
	const all = 10_000
	f("well", all, func(context.Context, int) error { return nil }, all, 0, 0, 0, "")
	hangs := func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}
	most := float64(spansWaiting + spansAtOnce)
	f("hangs", all, hangs, 0, all-most, most, spansFlush, "context canceled")
	f("is away", all, func(context.Context, int) error { return errors.New("connection refused") }, 0, all-most, most, 0, "connection refused")
	f("refuses", all, func(context.Context, int) error { return errNotTaken }, 0, 0, all, 0, "refused them")
	failures := 0
	f("comes back", 100, func(context.Context, int) error {
		if failures++; failures < 4 {
			return errors.New("it answered 503")
		}
		return nil
	}, 100, 0, 0, 0, "tracing_recovered")
	f("nothing", 0, func(context.Context, int) error { return nil }, 0, 0, 0, 0, "")
}
