package dispatch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"countersign/outbox"
	"countersign/outbox/trace"
	"countersign/relay/registry"
)

type metrics struct {
	attempts   *prometheus.CounterVec
	answers    *prometheus.CounterVec
	reasons    map[string]prometheus.Counter // of answers
	deliveries *prometheus.CounterVec
	repeated   prometheus.Counter
	latency    prometheus.Histogram
	took       *prometheus.SummaryVec
	endToEnd   prometheus.Histogram
	disabled   *prometheus.GaugeVec
	breaker    *prometheus.GaugeVec
	paused     *prometheus.GaugeVec
	keyEnds    *prometheus.GaugeVec
	certEnds   *prometheus.GaugeVec
	info       *prometheus.GaugeVec
	described  map[string][2]string // by endpoint: the partner and the format that its info says; owned by whoever holds Dispatcher.mu
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		described: map[string][2]string{},
		info: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_endpoint_info", Help: "1, with the partner and the format of each endpoint.",
		}, []string{"endpoint", "partner", "format"}),
		attempts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_attempts_total", Help: "Delivery attempts, by endpoint and outcome (done, retry, dead_lettered).",
		}, []string{"endpoint", "outcome"}),
		answers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_attempt_reasons_total", Help: "Delivery attempts, by reason. For one endpoint: /metrics?endpoint=ID.",
		}, []string{"reason"}),
		repeated: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_repeated_requests_total", Help: "Requests sent a second time at once, within the same attempt, because a reused connection was closed before the answer.",
		}),
		deliveries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_deliveries_total", Help: "Delivery attempts, by partner format and outcome (done, retry, dead_lettered).",
		}, []string{"format", "outcome"}),
		latency: f.NewHistogram(histogram("relay_attempt_seconds", "Time of one delivery attempt. For one endpoint: /metrics?endpoint=ID.", attemptBuckets)),
		took: f.NewSummaryVec(prometheus.SummaryOpts{
			Name: "relay_endpoint_attempt_seconds", Help: "Time of delivery attempts, by endpoint: sum and count.",
		}, []string{"endpoint"}),
		endToEnd: f.NewHistogram(histogram("relay_end_to_end_seconds", "Time from the receipt of a callback to the partner's 2xx.",
			[]float64{.001, .002, .003, .005, .01, .015, .025, .05, .1, .25, .5, 1, 5, 15, 60, 600, 3600})),
		disabled: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_endpoint_disabled", Help: "1 while an endpoint is disabled, by endpoint.",
		}, []string{"endpoint"}),
		breaker: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_endpoint_breaker", Help: "Circuit breaker, by endpoint: 0 closed, 1 half-open (it answers again, and gets more and more requests), 2 open (only probes are sent).",
		}, []string{"endpoint"}),
		paused: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_endpoint_paused", Help: "1 while an operator has paused an endpoint, by endpoint.",
		}, []string{"endpoint"}),
		keyEnds: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_key_expires_timestamp_seconds", Help: "Unix time at which the next key of an endpoint stops signing, by endpoint; 0: no key has an end.",
		}, []string{"endpoint"}),
		certEnds: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_client_certificate_expires_timestamp_seconds", Help: "Unix time at which the client certificate for an endpoint expires, by endpoint; 0: there is none, or it cannot be read.",
		}, []string{"endpoint"}),
	}
}

// outcomes are how an attempt may end.
var outcomes = []outbox.Outcome{outbox.Done, outbox.Retry, outbox.Died}

// start makes every series that can exist of no one endpoint, so that the first failure is seen as
// an increase.
func (m *metrics) start() {
	m.reasons = map[string]prometheus.Counter{}
	for _, reason := range reasons() {
		m.reasons[reason] = m.answers.WithLabelValues(reason)
	}
}

// begin makes every series that can exist of an endpoint, or brings them up to what it is now.
func (m *metrics) begin(s *sender, now time.Time, is *registry.Snapshot) {
	e := s.setup.Load().Endpoint
	for _, o := range outcomes {
		m.attempts.WithLabelValues(e.ID, string(o))
		m.deliveries.WithLabelValues(e.Format.Name, string(o))
	}
	m.took.WithLabelValues(e.ID)
	m.key(e.ID, is.Keys(e.ID), now)
	m.disabled.WithLabelValues(e.ID).Set(oneIf(is.Disabled(e.ID) != ""))
	m.paused.WithLabelValues(e.ID).Set(oneIf(is.Paused(e.ID) != nil))
	m.breaker.WithLabelValues(e.ID).Set(float64(s.turned()))
	m.certificate(s)
}

// describe says whose an endpoint is.
func (m *metrics) describe(e *registry.Endpoint, partner string) {
	is := [2]string{partner, e.Format.Name}
	if was, ok := m.described[e.ID]; ok && was != is {
		m.info.DeleteLabelValues(e.ID, was[0], was[1])
	}
	m.described[e.ID] = is
	m.info.WithLabelValues(e.ID, is[0], is[1]).Set(1)
}

// end takes the series of an endpoint away.
func (m *metrics) end(endpoint string) {
	for _, o := range outcomes {
		m.attempts.DeleteLabelValues(endpoint, string(o))
	}
	m.took.DeleteLabelValues(endpoint)
	if was, ok := m.described[endpoint]; ok {
		m.info.DeleteLabelValues(endpoint, was[0], was[1])
		delete(m.described, endpoint)
	}
	for _, g := range []*prometheus.GaugeVec{m.keyEnds, m.disabled, m.breaker, m.paused, m.certEnds} {
		g.DeleteLabelValues(endpoint)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// certificate says when the client certificate of an endpoint ends, also of one that has just been
// renewed.
func (m *metrics) certificate(s *sender) {
	m.certEnds.WithLabelValues(s.id).Set(float64(max(0, s.setup.Load().pool.CertificateEnds().Unix())))
}

// series are those that count the attempts at one endpoint in one format. They are looked up once,
// and not for each attempt (BenchmarkAttempt). Of an endpoint that has gone they count on, unseen.
type series struct {
	attempts, deliveries map[outbox.Outcome]prometheus.Counter
	took                 prometheus.Observer
}

func (m *metrics) series(e *registry.Endpoint) series {
	s := series{map[outbox.Outcome]prometheus.Counter{}, map[outbox.Outcome]prometheus.Counter{}, m.took.WithLabelValues(e.ID)}
	for _, o := range outcomes {
		s.attempts[o] = m.attempts.WithLabelValues(e.ID, string(o))
		s.deliveries[o] = m.deliveries.WithLabelValues(e.Format.Name, string(o))
	}
	return s
}

func (m *metrics) settled(by *series, a *outbox.Attempt, span *trace.Span, now time.Time) {
	by.attempts[a.Outcome].Inc()
	by.deliveries[a.Outcome].Inc()
	m.reasons[a.Reason].Inc()
	if a.Took > 0 { // else it died without a try
		span.Observe(m.latency, a.Took.Seconds())
		by.took.Observe(a.Took.Seconds())
	}
	if a.Outcome == outbox.Done {
		span.Observe(m.endToEnd, now.Sub(a.Delivery.Received).Seconds())
	}
}
