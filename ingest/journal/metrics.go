package journal

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	damaged     prometheus.Counter
	quarantined *prometheus.CounterVec
	open        *prometheus.GaugeVec
	unproved    *prometheus.GaugeVec

	asking map[string]bool // sources with a series of their own; owned by the store's writer once the journal is used
}

func newMetrics(r prometheus.Registerer, j *Bolt) *metrics {
	f := promauto.With(r)
	m := &metrics{
		asking: map[string]bool{},
		damaged: f.NewCounter(prometheus.CounterOpts{
			Name: "journal_damaged_records_total", Help: "Journal records that failed their checksum and were skipped. They stay in the database.",
		}),
		quarantined: f.NewCounterVec(prometheus.CounterOpts{
			Name: "journal_quarantined_total", Help: "Bodies of genuine callbacks, events and answers put in quarantine, by reason. A repeated body is counted once.",
		}, []string{"reason"}),
		open: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "journal_open_questions", Help: "Open questions to a provider's API, by source.",
		}, []string{"source"}),
		unproved: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "journal_open_unauthenticated_questions",
			Help: "Open questions raised by callbacks whose sender was not authenticated, by source. At sources[].api.questions such callbacks are answered 503.",
		}, []string{"source"}),
	}
	for source, open := range j.unproved.Load().open {
		m.unproved.WithLabelValues(source).Set(float64(open.Load()))
	}
	for _, r := range Reasons {
		m.quarantined.WithLabelValues(string(r))
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "journal_backlog_records", Help: "Records that wait to be evaluated, or for Kafka."}, func() float64 { return float64(j.Backlog()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "journal_unread_records", Help: "Records that are not evaluated yet."}, func() float64 { return float64(j.unfolded()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "journal_backlog_max_records", Help: "Records that may wait before new callbacks are answered 503."}, func() float64 { return float64(j.o.Backlog) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "journal_quarantine_items", Help: "Bodies in quarantine."}, func() float64 { return float64(j.Quarantined()) })
	return m
}
