package confirm

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	questions *prometheus.CounterVec
	call      prometheus.Histogram
	can       *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer, c *Confirmer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		questions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "confirm_questions_total", Help: "Questions asked at a provider's API, by source and outcome.",
		}, []string{"source", "outcome"}),
		call: f.NewHistogram(prometheus.HistogramOpts{
			Name: "confirm_call_seconds", Help: "Time of one call of a provider's API.",
			Buckets:                     []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}),
	}
	m.can = f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "confirm_source_can_ask", Help: "1 if the source has credentials for its provider's API; 0: its questions wait.",
	}, []string{"source"})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "confirm_oldest_question_timestamp_seconds", Help: "Unix time at which the oldest open question was raised; 0: none is open.",
	}, func() float64 {
		if since := c.o.Oldest(); !since.IsZero() {
			return float64(since.Unix())
		}
		return 0
	})
	return m
}

// begin makes the series of a source.
func (m *metrics) begin(s *source) {
	m.can.WithLabelValues(s.Name).Set(0)
	if s.canAsk() {
		m.can.WithLabelValues(s.Name).Set(1)
	}
	for _, o := range outcomes {
		m.questions.WithLabelValues(s.Name, string(o))
	}
}

// forget takes out those of one that has ended.
func (m *metrics) forget(name string) {
	m.can.DeleteLabelValues(name)
	m.questions.DeletePartialMatch(prometheus.Labels{"source": name})
}

// What came of looking a published key up. Metric labels come from it.
const (
	keyFound  = "found"
	keyNone   = "none"     // the provider has no such key, or has ended it
	keyFailed = "failed"   // the provider could not be asked
	keyPutOff = "deferred" // too many unknown ids at once: the callback is asked to come again
)

// KeyMetrics count the look-ups of all sources. A nil one counts nothing.
type KeyMetrics struct{ lookUps *prometheus.CounterVec }

// NewKeyMetrics registers them.
func NewKeyMetrics(r prometheus.Registerer) *KeyMetrics {
	return &KeyMetrics{promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "confirm_key_lookups_total", Help: "Look-ups of keys that a provider publishes, by source and outcome.",
	}, []string{"source", "outcome"})}
}

func (m *KeyMetrics) begin(source string) {
	if m == nil {
		return
	}
	for _, o := range []string{keyFound, keyNone, keyFailed, keyPutOff} {
		m.lookUps.WithLabelValues(source, o)
	}
}

// Forget takes out the series of a source that has ended.
func (m *KeyMetrics) Forget(source string) {
	if m != nil {
		m.lookUps.DeletePartialMatch(prometheus.Labels{"source": source})
	}
}

func (m *KeyMetrics) count(source, outcome string) {
	if m != nil {
		m.lookUps.WithLabelValues(source, outcome).Inc()
	}
}
