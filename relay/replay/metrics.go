package replay

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	jobs    *prometheus.GaugeVec
	ordered prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		jobs:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "relay_replays", Help: "Replays that have not ended, by state."}, []string{"state"}),
		ordered: prometheus.NewCounter(prometheus.CounterOpts{Name: "relay_replayed_total", Help: "Deliveries that replays have queued."}),
	}
	m.show(nil)
	if reg != nil {
		reg.MustRegister(m.jobs, m.ordered)
	}
	return m
}

func (m *metrics) show(counts map[string]int) {
	for _, s := range []string{Counting, Running, Paused} {
		m.jobs.WithLabelValues(s).Set(float64(counts[s]))
	}
}
