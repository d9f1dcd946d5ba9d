package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// verdict is what became of one event. Metric label and log field come from it.
type verdict string

// The verdicts.
const (
	appended    verdict = "appended"
	ignored     verdict = "ignored"     // it carries no status
	duplicate   verdict = "duplicate"   // the one that the cursor stands behind, again
	quarantined verdict = "quarantined" // kept, sealed; some are applied too
	oversized   verdict = "oversized"   // larger than max_body: its beginning is kept, sealed
)

var verdicts = []verdict{appended, ignored, duplicate, quarantined, oversized}

type metrics struct {
	events      *prometheus.CounterVec
	connections *prometheus.CounterVec
	connected   *prometheus.GaugeVec
	last        *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		events: f.NewCounterVec(prometheus.CounterOpts{
			Name: "stream_events_total", Help: "Events read from providers' streams, by source and outcome.",
		}, []string{"source", "outcome"}),
		connections: f.NewCounterVec(prometheus.CounterOpts{
			Name: "stream_connections_total", Help: "Connections to providers' streams that ended or failed, by source and outcome.",
		}, []string{"source", "outcome"}),
		connected: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stream_connected", Help: "1 while the source's stream is open, else 0.",
		}, []string{"source"}),
		last: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stream_last_event_timestamp_seconds", Help: "Unix time at which the last event of the source's stream was received; 0: none since the start.",
		}, []string{"source"}),
	}
	return m
}

// begin makes the series of a source.
func (m *metrics) begin(name string) {
	for _, v := range verdicts {
		m.events.WithLabelValues(name, string(v))
	}
	for _, o := range outcomes {
		m.connections.WithLabelValues(name, string(o))
	}
	m.connected.WithLabelValues(name)
	m.last.WithLabelValues(name)
}

// forget takes out those of one that has ended.
func (m *metrics) forget(name string) {
	of := prometheus.Labels{"source": name}
	m.events.DeletePartialMatch(of)
	m.connections.DeletePartialMatch(of)
	m.connected.DeletePartialMatch(of)
	m.last.DeletePartialMatch(of)
}
