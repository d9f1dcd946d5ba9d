package journal

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type forwardMetrics struct {
	records, quarantined, skipped *prometheus.CounterVec
	errors                        *prometheus.CounterVec
	produce                       *prometheus.HistogramVec
}

// newForwardMetrics registers what all forwarders share, and the gauges of this one.
func newForwardMetrics(r prometheus.Registerer, f *Forwarder) *forwardMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"topic"}, labels...)))
	}
	m := &forwardMetrics{
		records:     counter("forward_records_total", "Records that Kafka has acknowledged, by topic."),
		quarantined: counter("forward_quarantined_total", "Records that were larger than the broker takes and are in quarantine, by topic."),
		skipped:     counter("forward_skipped_records_total", "Records that had left the journal before they could be forwarded, by topic."),
		errors:      counter("forward_errors_total", "Batches that Kafka did not acknowledge, by topic and class of trouble.", "class"),
		produce: shared(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "forward_produce_seconds", Help: "Time from a request to Kafka to its acknowledgement, by topic.",
			Buckets:                     []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"topic"})),
	}
	topic := f.o.Name
	m.records.WithLabelValues(topic)
	m.quarantined.WithLabelValues(topic)
	m.skipped.WithLabelValues(topic)
	m.produce.WithLabelValues(topic)
	for _, c := range Classes {
		m.errors.WithLabelValues(topic, string(c))
	}
	gauge := func(name, help string, read func(ForwardStatus) float64) {
		g := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"topic": topic}}, func() float64 { return read(f.Status()) })
		shared(r, g)
	}
	gauge("forward_lag_records", "Records that Kafka has not acknowledged, by topic.", func(s ForwardStatus) float64 { return float64(s.Waiting) })
	gauge("forward_lag_seconds", "Age of the oldest record that Kafka has not acknowledged, by topic; 0: none waits.", func(s ForwardStatus) float64 {
		if s.Since.IsZero() {
			return 0
		}
		return max(0, f.o.Now().Sub(s.Since).Seconds())
	})
	gauge("forward_stopped", "1 while nothing is forwarded until somebody changes a setting, by topic; /readyz says which.", func(s ForwardStatus) float64 {
		if s.Stopped {
			return 1
		}
		return 0
	})
	return m
}

// shared registers c, or returns the one that the other topic's forwarder has registered.
func shared[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := known.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		panic(err) // as promauto does: two metrics of one name are a mistake of ours
	}
	return c
}
