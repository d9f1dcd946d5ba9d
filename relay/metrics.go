package relay

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"countersign/kyc"
	"countersign/outbox"
)

type metrics struct {
	updates     *prometheus.CounterVec
	changes     *prometheus.CounterVec
	attempts    *prometheus.CounterVec
	deliveries  *prometheus.CounterVec
	repeated    *prometheus.CounterVec
	latency     *prometheus.HistogramVec
	endToEnd    prometheus.Histogram
	disabled    *prometheus.GaugeVec
	unconfirmed prometheus.Counter
	ambiguous   prometheus.Counter
	submissions *prometheus.CounterVec
	fold        prometheus.Histogram
	removed     prometheus.Counter
	damaged     prometheus.Counter
	keyEnds     *prometheus.GaugeVec
	certEnds    *prometheus.GaugeVec

	fired         *prometheus.CounterVec
	timersRefused prometheus.Counter
	lateness      prometheus.Histogram
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

func newMetrics(reg prometheus.Registerer, r *Relay) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		updates: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_updates_total", Help: "Records folded, by what became of them.",
		}, []string{"verdict"}),
		changes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_status_changes_total", Help: "kyc.status changes decided, by status.",
		}, []string{"status"}),
		attempts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_attempts_total", Help: "Delivery attempts, by endpoint and what came of them.",
		}, []string{"endpoint", "reason"}),
		repeated: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_repeated_requests_total", Help: "Requests written once more at once, within their attempt, because a connection used before ended in place of an answer, by endpoint.",
		}, []string{"endpoint"}),
		deliveries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_deliveries_total", Help: "Attempts settled, by partner format and outcome (done, retry, dead).",
		}, []string{"format", "outcome"}),
		latency: f.NewHistogramVec(histogram("relay_attempt_seconds", "Time of one delivery attempt, by endpoint.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}), []string{"endpoint"}),
		endToEnd: f.NewHistogram(histogram("relay_end_to_end_seconds", "From the receipt of a callback to the partner's 2xx.",
			[]float64{.001, .002, .003, .005, .01, .015, .025, .05, .1, .25, .5, 1, 5, 15, 60, 600, 3600})),
		disabled: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_endpoint_disabled", Help: "1 while an endpoint is disabled, by endpoint.",
		}, []string{"endpoint"}),
		unconfirmed: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_unconfirmed_claims_total", Help: "Claims of approved, terminal or suspended on weak evidence, folded as in_review until confirmed (I10).",
		}),
		ambiguous: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_ambiguous_refs_total", Help: "Provider refs that were taught for two subjects.",
		}),
		submissions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_submissions_total", Help: "Claims of refs, by what became of them (taken, repeated, contested: somebody else has registered it, refused: it serves somebody else, too_many).",
		}, []string{"outcome"}),
		damaged: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_damaged_changes_total", Help: "Batches of changes for Kafka that failed their checksum and were passed over. They stay in the file.",
		}),
		removed: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_retention_removed_total", Help: "History entries, changes and failed attempts removed because they had their time.",
		}),
		fold: f.NewHistogram(histogram("relay_fold_seconds", "Time to fold one batch of records, with its commit.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1})),
	}
	m.keyEnds = f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "relay_key_expires_timestamp_seconds", Help: "Unix time at which the next of an endpoint's keys stops signing, by endpoint; 0: none does.",
	}, []string{"endpoint"})
	m.certEnds = f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "relay_client_certificate_expires_timestamp_seconds", Help: "Unix time at which the client certificate shown to an endpoint ends, by endpoint; 0: there is none, or it cannot be read.",
	}, []string{"endpoint"})
	m.timers(f, r)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_subjects_set_aside", Help: "Subjects of whom something is damaged: nothing new is told of them until they are rebuilt.",
	}, func() float64 { return float64(r.aside.count()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_fold_waiting", Help: "1 while what one callback brought does not fit into the room that is left, so that nothing is folded until deliveries have made some.",
	}, func() float64 {
		if r.Waiting() {
			return 1
		}
		return 0
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "relay_held_records", Help: "Records that wait for somebody to be known by their ref."}, func() float64 { return float64(r.Held()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_contested_refs", Help: "Provider refs that several were said to have: what comes for them is held until an operator has settled whose they are.",
	}, func() float64 { return float64(r.counts.of(contestedRefs)) })
	for _, o := range claimOutcomes {
		m.submissions.WithLabelValues(o)
	}
	return m
}

func (m *metrics) timers(f promauto.Factory, r *Relay) {
	m.fired = f.NewCounterVec(prometheus.CounterOpts{
		Name: "relay_timers_fired_total", Help: "Timers appended to the journal, by what they tell (notice, expiry, attempt).",
	}, []string{"kind"})
	m.timersRefused = f.NewCounter(prometheus.CounterOpts{
		Name: "relay_timers_refused_total", Help: "Groups of timers that the journal did not take; they are tried again.",
	})
	m.lateness = f.NewHistogram(histogram("relay_timer_lateness_seconds", "How long after its instant a timer was appended to the journal.",
		[]float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}))
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_timer_next_timestamp_seconds", Help: "Unix time of the earliest timer that has not been appended to the journal; 0: there is none.",
	}, func() float64 { return float64(r.timers.next.Load()) / 1e6 })
	for _, kind := range timerKinds {
		m.fired.WithLabelValues(kind)
	}
}

// start makes every series that can exist, so that the first failure is seen as an increase.
func (m *metrics) start(r *Relay) {
	for _, v := range kyc.Verdicts {
		m.updates.WithLabelValues(string(v))
	}
	for _, s := range kyc.Statuses {
		m.changes.WithLabelValues(string(s))
	}
	m.certificates(r)
	for _, e := range r.endpoints {
		for _, reason := range reasons() {
			m.attempts.WithLabelValues(e.ID, reason)
		}
		for _, o := range []outbox.Outcome{outbox.Done, outbox.Retry, outbox.Died} {
			m.deliveries.WithLabelValues(e.Format.Name, string(o))
		}
		m.latency.WithLabelValues(e.ID)
		m.repeated.WithLabelValues(e.ID)
		m.keyEnds.WithLabelValues(e.ID).Set(e.keyEnds(r.o.Now()))
		off := 0.0
		if r.senders[e.ID].disabled.Load() != nil {
			off = 1
		}
		m.disabled.WithLabelValues(e.ID).Set(off)
	}
}

// certificates says when client certificates end, also of those that have just been renewed.
func (m *metrics) certificates(r *Relay) {
	for id, s := range r.senders {
		m.certEnds.WithLabelValues(id).Set(float64(max(0, s.pool.CertificateEnds().Unix())))
	}
}

// keyEnds is when the next key stops signing, in unix seconds; 0: none does.
func (e *Endpoint) keyEnds(now time.Time) float64 {
	var next time.Time
	for _, k := range e.Keys {
		if k.Until.After(now) && (next.IsZero() || k.Until.Before(next)) {
			next = k.Until
		}
	}
	if next.IsZero() {
		return 0
	}
	return float64(next.Unix())
}

func (m *metrics) settled(e *Endpoint, a outbox.Attempt, now time.Time) {
	m.attempts.WithLabelValues(e.ID, a.Reason).Inc()
	m.deliveries.WithLabelValues(e.Format.Name, string(a.Outcome)).Inc()
	m.latency.WithLabelValues(e.ID).Observe(a.Took.Seconds())
	if a.Outcome == outbox.Done {
		m.endToEnd.Observe(now.Sub(a.Delivery.Received).Seconds())
	}
}

// logSettled writes the one line of a settled attempt. Failures are warnings; a delivery that died is an error.
func (r *Relay) logSettled(ctx context.Context, a outbox.Attempt) {
	level := slog.LevelInfo
	switch a.Outcome {
	case outbox.Retry:
		level = slog.LevelWarn
	case outbox.Died:
		level = slog.LevelError
	case outbox.Done:
	}
	if !r.o.Logger.Enabled(ctx, level) {
		return
	}
	var detail slog.Attr
	if a.Detail != "" {
		detail = slog.String("detail", a.Detail)
	}
	r.o.Logger.LogAttrs(ctx, level, "delivery_settled",
		slog.String("webhook_id", a.Delivery.WebhookID), slog.String("endpoint", a.Delivery.Endpoint), slog.String("type", a.Delivery.Type),
		slog.Uint64("sequence", a.Delivery.Sequence), slog.String("outcome", string(a.Outcome)), slog.String("reason", a.Reason),
		slog.Int("code", a.Code), slog.Int("attempt", a.Delivery.Failures+1), slog.Float64("took_ms", float64(a.Took.Microseconds())/1000), detail)
}
