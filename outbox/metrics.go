package outbox

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	putDown       *prometheus.CounterVec
	settleRetries prometheus.Counter
}

// ownReasons are the ways to die that the outbox itself decides; those of an answer are counted by
// the relay.
var ownReasons = []string{Overflow, Overtaken, Removed, Damaged, ReasonGivenUp, ReasonSkipped}

func newMetrics(r prometheus.Registerer, b *Outbox) *metrics {
	f := promauto.With(r)
	m := &metrics{
		putDown: f.NewCounterVec(prometheus.CounterOpts{
			Name: "outbox_dead_lettered_total", Help: "Deliveries that the gateway dead-lettered without a further attempt, by reason.",
		}, []string{"reason"}),
		settleRetries: f.NewCounter(prometheus.CounterOpts{
			Name: "outbox_settle_retries_total", Help: "Times the results of attempts could not be written to the database. The write is repeated.",
		}),
	}
	for _, reason := range ownReasons {
		m.putDown.WithLabelValues(reason)
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "outbox_unwritten_results", Help: "Results of attempts that wait to be written to the file. At 8192, no new attempt begins until half of them are written.",
	}, func() float64 { return float64(b.unsettled.Load()) })
	if r != nil {
		r.MustRegister(&collector{b: b})
	}
	return m
}

func (m *metrics) died(reason string) {
	for _, own := range ownReasons {
		if own == reason {
			m.putDown.WithLabelValues(reason).Inc()
		}
	}
}

var (
	owedDesc     = prometheus.NewDesc("outbox_pending_deliveries", "Pending deliveries, by endpoint.", []string{"endpoint"}, nil)
	limitDesc    = prometheus.NewDesc("outbox_max_pending_deliveries", "Pending deliveries that an endpoint may have (max_owed). Beyond it deliveries are dead-lettered as overflow.", []string{"endpoint"}, nil)
	deadDesc     = prometheus.NewDesc("outbox_dead_lettered_deliveries", "Dead-lettered deliveries that are kept, by endpoint.", []string{"endpoint"}, nil)
	dueDesc      = prometheus.NewDesc("outbox_oldest_due_seconds", "How long the first due delivery has been due, by endpoint; 0: nothing is due.", []string{"endpoint"}, nil)
	pendingDesc  = prometheus.NewDesc("outbox_oldest_pending_seconds", "Age of the oldest pending delivery, due or not, by endpoint, counted from when the callback or order that caused it was received; 0: none is pending.", []string{"endpoint"}, nil)
	withheldDesc = prometheus.NewDesc("outbox_oldest_withheld_rejection_seconds", "Age of the oldest rejection or suspension that the partner has not accepted and no operator has acknowledged, pending or dead-lettered, by endpoint, counted from when the callback or order that caused it was received. Endpoints that are not in the config are included. 0: there is none.", []string{"endpoint"}, nil)
)

// collector reads kept counts and does a few look-ups for each endpoint; it never walks what is owed.
type collector struct{ b *Outbox }

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{owedDesc, limitDesc, deadDesc, dueDesc, pendingDesc, withheldDesc} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	age := func(at time.Time) float64 {
		if at.IsZero() {
			return 0
		}
		return max(0, c.b.o.Now().Sub(at).Seconds())
	}
	gauge := func(d *prometheus.Desc, v float64, id string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, id)
	}
	for id, l := range *c.b.lanes.Load() {
		if !l.served.Load() {
			continue
		}
		owed, dead := c.b.counts(id)
		gauge(owedDesc, float64(owed), id)
		gauge(limitDesc, float64(l.maxOwed.Load()), id)
		gauge(deadDesc, float64(dead), id)
		gauge(dueDesc, age(c.b.OldestDue(id)), id)
		gauge(pendingDesc, age(c.b.OldestPending(id)), id)
		gauge(withheldDesc, age(c.b.OldestWithheld(id)), id)
	}
	for _, s := range bound(c.b.orphansWithheld()) {
		gauge(withheldDesc, age(s.since), s.endpoint)
	}
}

const (
	maxOrphans   = 32         // endpoints that are not in the config and have a series of their own
	otherOrphans = "(others)" // all the rest; no endpoint has such an id
)

// bound makes one of all that are beyond maxOrphans.
func bound(list []orphanWithheld) []orphanWithheld {
	if len(list) <= maxOrphans {
		return list
	}
	rest := orphanWithheld{otherOrphans, list[maxOrphans].since}
	for _, s := range list[maxOrphans:] {
		if s.since.Before(rest.since) {
			rest.since = s.since
		}
	}
	return append(list[:maxOrphans:maxOrphans], rest)
}
