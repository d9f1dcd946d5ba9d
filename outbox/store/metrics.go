package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	commits  prometheus.Histogram
	group    prometheus.Histogram
	failures *prometheus.CounterVec
	free     prometheus.Gauge
	puts     prometheus.Counter // of records
	deletes  prometheus.Counter

	compactions *prometheus.CounterVec
	pause       prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, s *Store) *metrics {
	f := promauto.With(r)
	records := f.NewCounterVec(prometheus.CounterOpts{
		Name: "store_records_written_total", Help: "Records put into the file or taken out of it, by what was done: put or delete.",
	}, []string{"what"})
	m := &metrics{
		puts: records.WithLabelValues("put"), deletes: records.WithLabelValues("delete"),
		commits: f.NewHistogram(prometheus.HistogramOpts{
			Name: "store_commit_seconds", Help: "Time of one group commit: its functions, both flushes and the answers.",
			Buckets:                     []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}),
		group: f.NewHistogram(prometheus.HistogramOpts{
			Name: "store_commit_group_size", Help: "Writes that shared one group commit.",
			Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 4096},
		}),
		failures: f.NewCounterVec(prometheus.CounterOpts{
			Name: "store_commit_failures_total", Help: "Group commits that failed, by reason: full (new callbacks are refused) or io (the process stops).",
		}, []string{"reason"}),
		free: f.NewGauge(prometheus.GaugeOpts{Name: "store_disk_free_bytes", Help: "Space left on the disk of the data directory."}),
		compactions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "store_compactions_total", Help: "Compactions of the database file while it was in use, by outcome: done, or failed (the file stayed as it was).",
		}, []string{"outcome"}),
		pause: f.NewGauge(prometheus.GaugeOpts{Name: "store_compaction_pause_seconds", Help: "How long the last compaction held up the writer; 0: there was none."}),
	}
	for _, outcome := range []string{"done", "failed"} {
		m.compactions.WithLabelValues(outcome)
	}
	damaged := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "store_damaged_records", Help: "Damaged records that were put aside when the file was mended, by bucket. They stay in the file.",
	}, []string{"bucket"})
	mended := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "store_mended_records", Help: "Records that were found damaged at this start: corrected (one bit had changed, and is known) or damaged (put aside).",
	}, []string{"outcome"})
	if s.found != nil {
		mended.WithLabelValues("corrected").Set(float64(total(s.found.Corrected)))
		mended.WithLabelValues("damaged").Set(float64(total(s.found.Damaged)))
	}
	for _, n := range Names() {
		damaged.WithLabelValues(n.String()).Set(float64(s.damaged[n]))
	}
	for _, r := range []string{"full", "io"} {
		m.failures.WithLabelValues(r)
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "store_commit_running_seconds", Help: "For how long the commit under way has been running; 0 while none is. Over 2 s the disk hangs, and the gateway is not ready.",
	}, func() float64 { return s.Running().Seconds() })
	f.NewGauge(prometheus.GaugeOpts{
		Name: "store_unclean_start", Help: "1 if the process before this one did not close the database: it was killed, lost its power, or ended itself after an I/O error.",
	}).Set(map[bool]float64{true: 1}[s.unclean])
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_file_bytes", Help: "Size of the database file."}, func() float64 { return float64(s.size.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_max_bytes", Help: "Size the database file may reach."}, func() float64 { return float64(s.o.MaxSize) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_full", Help: "1 while new callbacks are refused because there is too little room; store_short says of what."}, func() float64 {
		if s.Admit() != nil {
			return 1
		}
		return 0
	})
	if r != nil {
		r.MustRegister(&shortages{s})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_room_bytes", Help: "What the file can still take: its free pages by half, and what it may grow by."}, func() float64 { return float64(s.room.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "store_owed_bytes", Help: "Of the room, what is expected to be written for what has been taken and not been folded, delivered and settled.",
	}, func() float64 { return float64(s.owed.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_reserve_bytes", Help: "Of the room, what new callbacks leave. Half of it is for settling alone."}, func() float64 { return float64(s.o.reserve()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_free_page_bytes", Help: "Bytes of the database file that can be used again."}, func() float64 {
		return float64(s.file().Stats().FreePageN) * float64(s.page)
	})
	return m
}

func (m *metrics) committed(n int, tx *Tx, took time.Duration) {
	m.commits.Observe(took.Seconds())
	m.group.Observe(float64(n))
	m.puts.Add(float64(tx.puts))
	m.deletes.Add(float64(tx.deletes))
}

var shortDesc = prometheus.NewDesc("store_short", "1 while there is too little room, by what is short: disk, size (storage.max_size), owed (it will be needed for what has been taken), commit (the last one found none).",
	[]string{"what"}, nil)

// shortages is the one metric that is several at once.
type shortages struct{ s *Store }

func (c *shortages) Describe(ch chan<- *prometheus.Desc) { ch <- shortDesc }

func (c *shortages) Collect(ch chan<- prometheus.Metric) {
	short := c.s.Account().Short
	for _, one := range Shortages {
		v := 0.0
		if short&one.Is != 0 {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(shortDesc, prometheus.GaugeValue, v, one.Name)
	}
}
