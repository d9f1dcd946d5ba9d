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
		Name: "store_records_written_total", Help: "Records written to the database or deleted from it, by kind: put or delete.",
	}, []string{"what"})
	m := &metrics{
		puts: records.WithLabelValues("put"), deletes: records.WithLabelValues("delete"),
		commits: f.NewHistogram(prometheus.HistogramOpts{
			Name: "store_commit_seconds", Help: "Time of one group commit, with both flushes.",
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
		free: f.NewGauge(prometheus.GaugeOpts{Name: "store_disk_free_bytes", Help: "Free space on the disk of the data directory."}),
		compactions: f.NewCounterVec(prometheus.CounterOpts{
			Name: "store_compactions_total", Help: "Compactions of the database file while in use, by outcome: done, or failed (the file was not changed).",
		}, []string{"outcome"}),
		pause: f.NewGauge(prometheus.GaugeOpts{Name: "store_compaction_pause_seconds", Help: "How long the last compaction blocked writes; 0: there was none."}),
	}
	for _, outcome := range []string{"done", "failed"} {
		m.compactions.WithLabelValues(outcome)
	}
	damaged := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "store_damaged_records", Help: "Damaged records that were moved aside when the file was repaired, by bucket. They stay in the file.",
	}, []string{"bucket"})
	mended := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "store_repaired_records", Help: "Records that were found damaged at this start: corrected (one bit had flipped), or damaged (moved aside).",
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
		Name: "store_commit_running_seconds", Help: "How long the current commit has been running; 0: none is running. Above 2 s the disk hangs, and the gateway is not ready.",
	}, func() float64 { return s.Running().Seconds() })
	f.NewGauge(prometheus.GaugeOpts{
		Name: "store_unclean_start", Help: "1 if the previous process did not close the database: it was killed, lost power, or ended itself after an I/O error.",
	}).Set(map[bool]float64{true: 1}[s.unclean])
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_file_bytes", Help: "Size of the database file."}, func() float64 { return float64(s.size.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_max_bytes", Help: "Maximum size of the database file (storage.max_size)."}, func() float64 { return float64(s.o.MaxSize) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_full", Help: "1 while new callbacks are refused because space is short; store_short says what is short."}, func() float64 {
		if s.Admit() != nil {
			return 1
		}
		return 0
	})
	if r != nil {
		r.MustRegister(&shortages{s})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_room_bytes", Help: "Bytes that the file can still take: half of its free pages, and what it may grow by."}, func() float64 { return float64(s.room.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "store_pending_bytes", Help: "Part of store_room_bytes that work already accepted is expected to use: records to evaluate, deliveries to send and to record.",
	}, func() float64 { return float64(s.owed.Load()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_reserve_bytes", Help: "Part of store_room_bytes that new callbacks may not use. Half of it is only for recording results of deliveries."}, func() float64 { return float64(s.o.reserve()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_free_page_bytes", Help: "Free bytes inside the database file."}, func() float64 {
		return float64(s.file().Stats().FreePageN) * float64(s.page)
	})
	return m
}

func (m *metrics) committed(n int, j *joint, took time.Duration) {
	m.commits.Observe(took.Seconds())
	m.group.Observe(float64(n))
	for _, tx := range j.of {
		m.puts.Add(float64(tx.puts))
		m.deletes.Add(float64(tx.deletes))
	}
}

var shortDesc = prometheus.NewDesc("store_short", "1 while space is short, by what is short: disk, size (storage.max_size), pending (the rest is needed for work already accepted), commit (the last commit found no space).",
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
