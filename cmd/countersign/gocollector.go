package main

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// goCollector is the library's collector of the Go runtime, without the one gauge whose name is
// that of a counter but for _total: OpenMetrics takes both for one metric that stands there twice.
// What it says is in go_memstats_heap_alloc_bytes too.
type goCollector struct{ prometheus.Collector }

func newGoCollector() prometheus.Collector { return goCollector{collectors.NewGoCollector()} }

// Describe implements prometheus.Collector.
func (c goCollector) Describe(ch chan<- *prometheus.Desc) {
	all := make(chan *prometheus.Desc)
	go func() { c.Collector.Describe(all); close(all) }()
	for d := range all {
		if !ambiguous(d) {
			ch <- d
		}
	}
}

// Collect implements prometheus.Collector.
func (c goCollector) Collect(ch chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric)
	go func() { c.Collector.Collect(all); close(all) }()
	for m := range all {
		if !ambiguous(m.Desc()) {
			ch <- m
		}
	}
}

func ambiguous(d *prometheus.Desc) bool {
	return strings.Contains(d.String(), `fqName: "go_memstats_alloc_bytes",`)
}
