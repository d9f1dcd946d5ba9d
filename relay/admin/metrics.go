package admin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Why something was refused, as the metric says it.
const (
	byHost    = "host"          // called by a name that is not its own
	byMissing = "token_missing" // no token where one is needed
	byUnknown = "token_unknown"
	byExpired = "token_expired"
	byRevoked = "token_revoked"
	byOften   = "too_often" // wrong tokens from one address, faster than they are looked at
	byScope   = "scope"     // a right token, which may not do this
	byCrowd   = "crowd"     // a connection that had waited longest made room for a new one
)

// Metrics are those of every listener that a process has for machines and operators.
type Metrics struct{ refused *prometheus.CounterVec }

// NewMetrics registers them; nil: nobody looks.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{refused: promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "control_refused_total", Help: "Calls and connections refused at the control listener, by reason.",
	}, []string{"reason"})}
	for _, reason := range []string{byHost, byMissing, byUnknown, byExpired, byRevoked, byOften, byScope, byCrowd} {
		m.refused.WithLabelValues(reason)
	}
	return m
}

func (m *Metrics) refuse(reason string) { m.refused.WithLabelValues(reason).Inc() }
