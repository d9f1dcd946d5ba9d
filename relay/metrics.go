package relay

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"countersign/kyc"
)

type metrics struct {
	updates     *prometheus.CounterVec
	changes     *prometheus.CounterVec
	became      map[kyc.Verdict]prometheus.Counter // of updates
	decided     map[kyc.Status]prometheus.Counter  // of changes
	unconfirmed prometheus.Counter
	ambiguous   prometheus.Counter
	submissions *prometheus.CounterVec
	fold        prometheus.Histogram
	removed     prometheus.Counter
	damaged     prometheus.Counter
	filters     prometheus.Counter

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
			Name: "relay_updates_total", Help: "Records evaluated, by verdict.",
		}, []string{"verdict"}),
		changes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_status_changes_total", Help: "kyc.status changes decided, by status.",
		}, []string{"status"}),
		unconfirmed: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_unconfirmed_claims_total", Help: "Updates that say approved, suspended or a final rejection on weak evidence. They count as in_review until confirmed.",
		}),
		ambiguous: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_ambiguous_refs_total", Help: "Provider refs that were given for two subjects.",
		}),
		submissions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_submissions_total", Help: "Submissions (registered refs), by outcome: taken, repeated, contested (another person has registered the ref too), refused (the ref is in use by another person), too_many.",
		}, []string{"outcome"}),
		damaged: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_damaged_changes_total", Help: "Batches of changes for Kafka that failed their checksum and were skipped. They stay in the database.",
		}),
		filters: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_filter_failures_total", Help: "Changes for which an endpoint's filter failed. They are sent: a broken filter holds nothing back.",
		}),
		removed: f.NewCounter(prometheus.CounterOpts{
			Name: "relay_retention_removed_total", Help: "History entries, changes and failed attempts removed because their retention has ended.",
		}),
		fold: f.NewHistogram(histogram("relay_evaluation_seconds", "Time to evaluate one batch of records, with its commit.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1})),
	}
	m.timers(f, r)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_subjects_set_aside", Help: "Subjects with a damaged record. Partners are told nothing new about them until they are rebuilt.",
	}, func() float64 { return float64(r.aside.count()) })
	if reg != nil {
		reg.MustRegister(heldCollector{r})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_evaluation_waiting", Help: "1 while evaluation waits because the next record does not fit into the free space. Completed deliveries free space.",
	}, func() float64 {
		if r.Waiting() {
			return 1
		}
		return 0
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "relay_unrouted_records", Help: "Records whose provider ref leads to no known person yet."}, func() float64 { return float64(r.Unrouted()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_contested_refs", Help: "Provider refs claimed for several persons. Their updates wait until an operator decides whose they are.",
	}, func() float64 { return float64(r.counts.of(contestedRefs)) })
	for _, o := range claimOutcomes {
		m.submissions.WithLabelValues(o)
	}
	return m
}

func (m *metrics) timers(f promauto.Factory, r *Relay) {
	m.fired = f.NewCounterVec(prometheus.CounterOpts{
		Name: "relay_timers_fired_total", Help: "Timers that have fired, by kind: notice, expiry, attempt.",
	}, []string{"kind"})
	m.timersRefused = f.NewCounter(prometheus.CounterOpts{
		Name: "relay_timers_refused_total", Help: "Groups of timers that the journal did not accept. They are tried again.",
	})
	m.lateness = f.NewHistogram(histogram("relay_timer_lateness_seconds", "How long after its due time a timer fired.",
		[]float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}))
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "relay_timer_next_timestamp_seconds", Help: "Unix time of the next timer that has not fired; 0: there is none.",
	}, func() float64 { return float64(r.timers.next.Load()) / 1e6 })
	for _, kind := range timerKinds {
		m.fired.WithLabelValues(kind)
	}
}

// start makes every series that can exist, so that the first failure is seen as an increase.
func (m *metrics) start() {
	m.became, m.decided = map[kyc.Verdict]prometheus.Counter{}, map[kyc.Status]prometheus.Counter{}
	for _, v := range kyc.Verdicts {
		m.became[v] = m.updates.WithLabelValues(string(v))
	}
	for _, s := range kyc.Statuses {
		m.decided[s] = m.changes.WithLabelValues(string(s))
	}
}

// count counts what a batch has come to, once that is on disk.
func (b *batch) count() {
	for v, n := range b.tallies {
		b.r.m.became[v].Add(float64(n))
	}
	for s, n := range b.statuses {
		b.r.m.decided[s].Add(float64(n))
	}
	b.r.m.unconfirmed.Add(float64(b.claims))
	b.r.m.ambiguous.Add(float64(b.unclear))
	b.r.m.filters.Add(float64(b.unasked))
	b.countClaims()
}

var heldDesc = prometheus.NewDesc("relay_subjects_held", "Persons of whom a sanctions or PEP match stands that nobody has released, by mode (live, test).", []string{"mode"}, nil)

// heldCollector reads how many persons a match holds, which is counted as they are folded.
type heldCollector struct{ r *Relay }

// Describe implements prometheus.Collector.
func (heldCollector) Describe(ch chan<- *prometheus.Desc) { ch <- heldDesc }

// Collect implements prometheus.Collector.
func (c heldCollector) Collect(ch chan<- prometheus.Metric) {
	for mode, live := range map[string]bool{"live": true, "test": false} {
		ch <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(c.r.Held(live)), mode)
	}
}
