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
}

func newMetrics(r prometheus.Registerer, s *Store) *metrics {
	f := promauto.With(r)
	m := &metrics{
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
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_full", Help: "1 while new callbacks are refused because the disk or the file is full."}, func() float64 {
		if s.full.Load() {
			return 1
		}
		return 0
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "store_free_page_bytes", Help: "Bytes of the database file that can be used again."}, func() float64 {
		return float64(s.db.Stats().FreePageN) * float64(s.page)
	})
	return m
}

func (m *metrics) committed(n int, took time.Duration) {
	m.commits.Observe(took.Seconds())
	m.group.Observe(float64(n))
}
