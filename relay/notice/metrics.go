package notice

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// newTold makes every series that can exist.
func newTold(r prometheus.Registerer) *prometheus.CounterVec {
	told := promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "relay_notices_total", Help: "Operational webhooks created, by type.",
	}, []string{"type"})
	for _, t := range Types {
		told.WithLabelValues(t)
	}
	return told
}
