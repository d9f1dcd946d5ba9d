package kafka

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// newMetrics returns the only one there is.
func newMetrics(r prometheus.Registerer) prometheus.Gauge {
	return promauto.With(r).NewGauge(prometheus.GaugeOpts{Name: "kafka_connections", Help: "Open connections to Kafka brokers."})
}
