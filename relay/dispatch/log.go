package dispatch

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"countersign/outbox"
)

// LogAll has a line written for each delivery that is accepted, too. Else only failures have one, and
// the first success of an endpoint after them, and operational webhooks: the history has every
// attempt, and a line for each costs more than to count it (BenchmarkAttempt).
func (d *Dispatcher) LogAll(all bool) { d.logAll.Store(all) }

// ofNobody reports whether a lane is no subject's. Of what is delivered there, operational webhooks,
// no history is kept, so the log alone says that it was accepted.
func ofNobody(lane string) bool { return strings.HasPrefix(lane, "/") }

// misses are the attempts at an endpoint that were settled otherwise than accepted since it accepted
// one last.
type misses struct {
	times int
	since time.Time // when the first of them was made; zero: there is none
}

// settled notes one more attempt. before are those that had failed before one that was accepted.
func (m *misses) settled(a *outbox.Attempt) (before misses) {
	if a.Outcome == outbox.Done {
		before, *m = *m, misses{}
		return before
	}
	if m.times == 0 {
		m.since = a.At
	}
	m.times++
	return misses{}
}

// logSettled writes the one line of a settled attempt, if it has one. Failures are warnings; a
// delivery that died is an error. One that was accepted says what had failed before it.
func (d *Dispatcher) logSettled(ctx context.Context, a *outbox.Attempt, before misses) {
	level := slog.LevelInfo
	switch a.Outcome {
	case outbox.Retry:
		level = slog.LevelWarn
	case outbox.Died:
		level = slog.LevelError
	case outbox.Done, outbox.Cancelled:
		if before.times == 0 && !d.logAll.Load() && !ofNobody(a.Delivery.Lane) {
			return
		}
	}
	if !d.o.Logger.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 12),
		slog.String("webhook_id", a.Delivery.WebhookID), slog.String("endpoint", a.Delivery.Endpoint), slog.String("type", a.Delivery.Type),
		slog.Uint64("sequence", a.Delivery.Sequence), slog.String("outcome", string(a.Outcome)), slog.String("reason", a.Reason),
		slog.Int("code", a.Code), slog.Int("attempt", a.Delivery.Failures+1), slog.Float64("took_ms", float64(a.Took.Microseconds())/1000))
	if a.Detail != "" {
		attrs = append(attrs, slog.String("detail", a.Detail))
	}
	if before.times > 0 {
		attrs = append(attrs, slog.Int("failed_before", before.times), slog.Time("failing_since", before.since.UTC()))
	}
	d.o.Logger.LogAttrs(ctx, level, "delivery_attempt", attrs...)
}
