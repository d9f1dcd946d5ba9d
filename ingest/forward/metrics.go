package forward

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are those of the forwarders of one process.
type Metrics struct {
	factory promauto.Factory

	records, quarantined, skipped *prometheus.CounterVec
	errors                        *prometheus.CounterVec
	produce                       *prometheus.HistogramVec
}

// NewMetrics registers what all forwarders share. A nil registry is fine.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"topic"}, labels...))
	}
	return &Metrics{
		factory:     f,
		records:     counter("forward_records_total", "Records that Kafka has acknowledged, by topic."),
		quarantined: counter("forward_quarantined_total", "Records that were larger than the broker takes and are in quarantine, by topic."),
		skipped:     counter("forward_skipped_records_total", "Records that had left the journal before they could be forwarded, by topic."),
		errors:      counter("forward_errors_total", "Batches that Kafka did not acknowledge, by topic and class of trouble.", "class"),
		produce: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "forward_produce_seconds", Help: "Time from a request to Kafka to its acknowledgement, by topic.",
			Buckets:                     []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"topic"}),
	}
}

// watch makes every series of a forwarder, so that the first failure is seen as an increase.
func (m *Metrics) watch(f *Forwarder) {
	topic := f.o.Name
	m.records.WithLabelValues(topic)
	m.quarantined.WithLabelValues(topic)
	m.skipped.WithLabelValues(topic)
	m.produce.WithLabelValues(topic)
	for _, c := range Classes {
		m.errors.WithLabelValues(topic, string(c))
	}
	gauge := func(name, help string, read func() float64) {
		m.factory.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"topic": topic}}, read)
	}
	gauge("forward_lag_records", "Records that Kafka has not acknowledged, by topic.", func() float64 {
		n, _ := f.waits()
		return float64(n)
	})
	gauge("forward_lag_seconds", "Age of the oldest record that Kafka has not acknowledged, by topic; 0: none waits.", func() float64 {
		_, since := f.waits()
		if since.IsZero() {
			return 0
		}
		return max(0, f.o.Now().Sub(since).Seconds())
	})
	gauge("forward_stopped", "1 while forwarding is stopped until a setting is changed, by topic; /readyz says which.", func() float64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.stopped {
			return 1
		}
		return 0
	})
}
