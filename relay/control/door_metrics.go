package control

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
	byCrowd   = "evicted"   // a connection that had waited longest made room for a new one
)

// Refusals counts them, at every listener that a process has for machines and operators.
type Refusals struct{ refused *prometheus.CounterVec }

// NewRefusals registers the count; nil: nobody looks.
func NewRefusals(reg prometheus.Registerer) *Refusals {
	r := &Refusals{refused: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "control_refused_total", Help: "Calls and connections refused at the control listener, by reason.",
	}, []string{"reason"})}
	for _, reason := range []string{byHost, byMissing, byUnknown, byExpired, byRevoked, byOften, byScope, byCrowd} {
		r.refused.WithLabelValues(reason)
	}
	return r
}

func (r *Refusals) refuse(reason string) { r.refused.WithLabelValues(reason).Inc() }
