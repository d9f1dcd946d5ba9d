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
			Name: "control_audited_calls_total", Help: "Calls that change something or show a body, by what came of them (done, failed, refused, refused_not_kept: not in the trail, for its token has had many refused).",
		}, []string{"result"}),
		guests: f.NewCounter(prometheus.CounterOpts{
			Name: "control_partner_calls_limited_total", Help: "Writing calls of partners' tokens that were answered 429, because there were too many of them.",
		}),
	}
	for _, result := range []string{"done", "failed", "refused", "refused_not_kept"} {
		m.audited.WithLabelValues(result)
	}
	return m
}
