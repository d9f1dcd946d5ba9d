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
			Name: "ingest_callback_seconds", Help: "Time from a callback's headers to our answer. Providers give five seconds.",
			Buckets:                     []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}),
		ahead: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ingest_clock_ahead_total", Help: "Updates whose provider time lay more than five minutes ahead of ours and was cut back, by source.",
		}, []string{"source"}),
		faults: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ingest_provider_faults_total", Help: "Callbacks that say no status but that the integration is broken, by source.",
		}, []string{"source"}),
		evidence: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ingest_source_evidence", Help: "1 for the evidence a source's approvals need without confirmation.",
		}, []string{"source", "evidence"}),
	}
	if r != nil {
		r.MustRegister(m.callbacks)
	}
	m.boundMemory(f, in)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_certificate_expires_timestamp_seconds", Help: "Unix time at which the callback listener's TLS certificate ends; 0: it serves plain HTTP.",
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
		Name: "ingest_connections", Help: "Open connections on the callbacks' listener.",
	}, func() float64 { return float64(in.ln.count()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_connections_max", Help: "Connections that may be open on the callbacks' listener. Beyond them the one that has been slow or idle for longest is closed.",
	}, func() float64 { return float64(in.ln.most()) })
	return m
}

// boundMemory is about what strangers can make us hold.
func (m *metrics) boundMemory(f promauto.Factory, in *Ingress) {
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_body_bytes", Help: "Memory held for the bodies of callbacks that are on their way or being dealt with, in bytes.",
	}, in.bodies.holds)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ingest_body_bytes_max", Help: "Memory that may be held for bodies, in bytes. Beyond it the slowest give way, and then callbacks are refused.",
	}, in.bodies.most)
	m.cut = f.NewCounter(prometheus.CounterOpts{
		Name: "ingest_bodies_cut_total", Help: "Bodies that were cut off because the memory for bodies was used up and they came slowest.",
	})
	m.crowded = f.NewCounterVec(prometheus.CounterOpts{
		Name: "ingest_connections_crowded_total", Help: "Connections closed to make place for others, because all were taken or those of one address.",
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
