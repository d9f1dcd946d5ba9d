package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	callbacks *callbacks
	latency   prometheus.Histogram
	ahead     *prometheus.CounterVec
	evidence  *prometheus.GaugeVec
	faults    *prometheus.CounterVec
	cut       prometheus.Counter
	crowded   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, in *Ingress) *metrics {
	f := promauto.With(r)
	m := &metrics{
		callbacks: newCallbacks(in.o.Now),
		latency: f.NewHistogram(prometheus.HistogramOpts{
			Name: "ingest_callback_seconds", Help: "Time from a callback's headers to our answer. Providers wait about five seconds.",
			Buckets:                     []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}),
		ahead: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ingest_clock_ahead_total", Help: "Updates whose provider time was more than five minutes in the future, by source. The time of receipt is used instead.",
		}, []string{"source"}),
		faults: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ingest_provider_faults_total", Help: "Callbacks that report a broken integration and no status, by source.",
		}, []string{"source"}),
		evidence: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ingest_source_evidence", Help: "1 for the evidence that an approval of the source needs to count without confirmation.",
		}, []string{"source", "evidence"}),
	}
	if r != nil {
		r.MustRegister(m.callbacks)
	}
	m.boundMemory(f, in)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_certificate_expires_timestamp_seconds", Help: "Unix time at which the TLS certificate of the callback listener expires; 0: it serves plain HTTP.",
	}, in.certificateEnds)
	if c := in.o.Clients; c != nil {
		refused := f.NewCounterVec(prometheus.CounterOpts{
			Name: "ingest_handshakes_refused_total", Help: "TLS handshakes refused for the client's certificate, by reason. Only with tls.client_ca.",
		}, []string{"reason"})
		for _, r := range clientCertReasons {
			refused.WithLabelValues(r)
		}
		c.refused = func(reason string) { refused.WithLabelValues(reason).Inc() }
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_connections", Help: "Open connections on the callback listener.",
	}, func() float64 { return float64(in.ln.count()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_connections_max", Help: "Maximum open connections on the callback listener. Beyond it the connection that has been slow or idle longest is closed.",
	}, func() float64 { return float64(in.ln.most()) })
	return m
}

// boundMemory is about what strangers can make us hold.
func (m *metrics) boundMemory(f promauto.Factory, in *Ingress) {
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_body_bytes", Help: "Memory in use for bodies of callbacks that are being received or handled.",
	}, in.bodies.holds)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_body_bytes_max", Help: "Maximum memory for bodies. Beyond it the slowest bodies are aborted, and then callbacks are refused.",
	}, in.bodies.most)
	m.cut = f.NewCounter(prometheus.CounterOpts{
		Name: "ingest_bodies_cut_total", Help: "Bodies that were aborted because the memory for bodies was used up and they were the slowest.",
	})
	m.crowded = f.NewCounterVec(prometheus.CounterOpts{
		Name: "ingest_connections_evicted_total", Help: "Connections closed to make room for new ones, by reason: all (all connections in use) or address (all that one address may have).",
	}, []string{"reason"})
	for _, reason := range []string{crowdedAll, crowdedAddress} {
		m.crowded.WithLabelValues(reason)
	}
}

func newCallbacks(now func() time.Time) *callbacks {
	c := &callbacks{now: now, each: map[string]*answered{}}
	c.desc = prometheus.NewDesc("ingest_callbacks_total", "Provider callbacks answered, by source and verdict.", []string{"source", "verdict"}, nil)
	const name = "ingest_callbacks_total" // the same, of all sources together
	c.sums = prometheus.NewDesc(name, "Provider callbacks answered, by verdict.", []string{"verdict"}, nil)
	return c
}
