package ingest

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// answered are the callbacks that were answered for one source, or for none, by verdict. A number
// each is all that is kept: a config may have tens of thousands of sources, and each has a series
// for every verdict from the start.
type answered struct {
	made time.Time
	by   []atomic.Uint64 // at the place of each verdict
}

// placeOf is where a verdict stands among all of them.
var placeOf = func() map[verdict]int {
	at := map[verdict]int{}
	for i, v := range verdicts {
		at[v] = i
	}
	return at
}()

func (c *answered) inc(v verdict) { c.by[placeOf[v]].Add(1) }

func (c *answered) value(v verdict) uint64 { return c.by[placeOf[v]].Load() }

// callbacks collects what was counted: the series of a source are made when they are read.
type callbacks struct {
	desc, sums *prometheus.Desc
	now        func() time.Time

	mu   sync.Mutex // guards each
	each map[string]*answered
}

// of is what is counted under a label, from now on if nothing was.
func (c *callbacks) of(label string) *answered {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.each[label]
	if one == nil {
		one = &answered{made: c.now(), by: make([]atomic.Uint64, len(verdicts))}
		c.each[label] = one
	}
	return one
}

// forget takes out what was counted under a label.
func (c *callbacks) forget(label string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.each, label)
}

func (c *callbacks) all() map[string]*answered {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.each)
}

// Describe implements prometheus.Collector.
func (c *callbacks) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *callbacks) Collect(ch chan<- prometheus.Metric) {
	for label, one := range c.all() {
		for i, v := range verdicts {
			ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(c.desc, prometheus.CounterValue, float64(one.by[i].Load()), one.made, label, string(v))
		}
	}
}

// Sums collects the same under the same name, of all sources together.
func (c *callbacks) Sums() prometheus.Collector { return sums{c} }

type sums struct{ of *callbacks }

// Describe implements prometheus.Collector.
func (s sums) Describe(ch chan<- *prometheus.Desc) { ch <- s.of.sums }

// Collect implements prometheus.Collector.
func (s sums) Collect(ch chan<- prometheus.Metric) {
	all := slices.Collect(maps.Values(s.of.all()))
	for i, v := range verdicts {
		var n uint64
		for _, one := range all {
			n += one.by[i].Load()
		}
		ch <- prometheus.MustNewConstMetric(s.of.sums, prometheus.CounterValue, float64(n), string(v))
	}
}
