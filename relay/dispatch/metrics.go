package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"countersign/outbox"
	"countersign/relay/registry"
)

type metrics struct {
	attempts   *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	repeated   *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	endToEnd   prometheus.Histogram
	disabled   *prometheus.GaugeVec
	breaker    *prometheus.GaugeVec
	keyEnds    *prometheus.GaugeVec
	certEnds   *prometheus.GaugeVec
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		attempts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_attempts_total", Help: "Delivery attempts, by endpoint and what came of them.",
		}, []string{"endpoint", "reason"}),
		repeated: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_repeated_requests_total", Help: "Requests written once more at once, within their attempt, because a connection used before ended in place of an answer, by endpoint.",
		}, []string{"endpoint"}),
		deliveries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_deliveries_total", Help: "Attempts settled, by partner format and outcome (done, retry, dead).",
		}, []string{"format", "outcome"}),
		latency: f.NewHistogramVec(histogram("relay_attempt_seconds", "Time of one delivery attempt, by endpoint.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}), []string{"endpoint"}),
		endToEnd: f.NewHistogram(histogram("relay_end_to_end_seconds", "From the receipt of a callback to the partner's 2xx.",
			[]float64{.001, .002, .003, .005, .01, .015, .025, .05, .1, .25, .5, 1, 5, 15, 60, 600, 3600})),
		disabled: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_endpoint_disabled", Help: "1 while an endpoint is disabled, by endpoint.",
		}, []string{"endpoint"}),
		breaker: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_endpoint_breaker", Help: "The breaker of an endpoint, by endpoint: 0 closed, 1 half-open (it is back, and gets more and more), 2 open (it is probed only).",
		}, []string{"endpoint"}),
		keyEnds: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_key_expires_timestamp_seconds", Help: "Unix time at which the next of an endpoint's keys stops signing, by endpoint; 0: none does.",
		}, []string{"endpoint"}),
		certEnds: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_client_certificate_expires_timestamp_seconds", Help: "Unix time at which the client certificate shown to an endpoint ends, by endpoint; 0: there is none, or it cannot be read.",
		}, []string{"endpoint"}),
	}
}

// start makes every series that can exist, so that the first failure is seen as an increase.
func (m *metrics) start(d *Dispatcher) {
	m.certificates(d)
	for _, e := range d.endpoints {
		for _, reason := range reasons() {
			m.attempts.WithLabelValues(e.ID, reason)
		}
		for _, o := range []outbox.Outcome{outbox.Done, outbox.Retry, outbox.Died} {
			m.deliveries.WithLabelValues(e.Format.Name, string(o))
		}
		m.latency.WithLabelValues(e.ID)
		m.repeated.WithLabelValues(e.ID)
		m.keyEnds.WithLabelValues(e.ID).Set(keyEnds(e, d.o.Now()))
		off := 0.0
		if d.senders[e.ID].disabled() {
			off = 1
		}
		m.disabled.WithLabelValues(e.ID).Set(off)
		m.breaker.WithLabelValues(e.ID).Set(float64(d.senders[e.ID].breaker.state))
	}
}

// certificates says when client certificates end, also of those that have just been renewed.
func (m *metrics) certificates(d *Dispatcher) {
	for id, s := range d.senders {
		m.certEnds.WithLabelValues(id).Set(float64(max(0, s.pool.CertificateEnds().Unix())))
	}
}

// keyEnds is when the next key stops signing, in unix seconds; 0: none does.
func keyEnds(e *registry.Endpoint, now time.Time) float64 {
	var next time.Time
	for _, k := range e.Keys {
		if k.Until.After(now) && (next.IsZero() || k.Until.Before(next)) {
			next = k.Until
		}
	}
	if next.IsZero() {
		return 0
	}
	return float64(next.Unix())
}

func (m *metrics) settled(e *registry.Endpoint, a outbox.Attempt, now time.Time) {
	m.attempts.WithLabelValues(e.ID, a.Reason).Inc()
	m.deliveries.WithLabelValues(e.Format.Name, string(a.Outcome)).Inc()
	if a.Took > 0 { // else it died without a try
		m.latency.WithLabelValues(e.ID).Observe(a.Took.Seconds())
	}
	if a.Outcome == outbox.Done {
		m.endToEnd.Observe(now.Sub(a.Delivery.Received).Seconds())
	}
}

// logSettled writes the one line of a settled attempt. Failures are warnings; a delivery that died is an error.
func (d *Dispatcher) logSettled(ctx context.Context, a outbox.Attempt) {
	level := slog.LevelInfo
	switch a.Outcome {
	case outbox.Retry:
		level = slog.LevelWarn
	case outbox.Died:
		level = slog.LevelError
	case outbox.Done:
	}
	if !d.o.Logger.Enabled(ctx, level) {
		return
	}
	var detail slog.Attr
	if a.Detail != "" {
		detail = slog.String("detail", a.Detail)
	}
	d.o.Logger.LogAttrs(ctx, level, "delivery_settled",
		slog.String("webhook_id", a.Delivery.WebhookID), slog.String("endpoint", a.Delivery.Endpoint), slog.String("type", a.Delivery.Type),
		slog.Uint64("sequence", a.Delivery.Sequence), slog.String("outcome", string(a.Outcome)), slog.String("reason", a.Reason),
		slog.Int("code", a.Code), slog.Int("attempt", a.Delivery.Failures+1), slog.Float64("took_ms", float64(a.Took.Microseconds())/1000), detail)
}
