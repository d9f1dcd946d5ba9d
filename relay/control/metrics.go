package control

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	audited *prometheus.CounterVec
	guests  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		audited: f.NewCounterVec(prometheus.CounterOpts{
			Name: "control_audited_calls_total", Help: "Calls that change something or show a body, by result: done, failed, refused, refused_not_recorded (refused, and left out of the audit trail because the token had too many refused calls).",
		}, []string{"result"}),
		guests: f.NewCounter(prometheus.CounterOpts{
			Name: "control_partner_calls_limited_total", Help: "Writing calls with partners' tokens that were answered 429 because there were too many.",
		}),
	}
	for _, result := range []string{"done", "failed", "refused", "refused_not_recorded"} {
		m.audited.WithLabelValues(result)
	}
	return m
}
