package main

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	web "countersign/dashboards/console"
)

// metricPrefix stands before the name of each metric of this program.
const metricPrefix = "countersign_"

// measured registers a metric for whoever scrapes, and once more for the console if that shows it:
// the console reads every ten seconds, and the series of tens of thousands of sources would take
// longer than that. What can say its sums is registered there with these alone.
type measured struct {
	prometheus.Registerer
	console prometheus.Registerer
}

// Register implements prometheus.Registerer.
func (m measured) Register(c prometheus.Collector) error {
	if err := m.Registerer.Register(c); err != nil {
		return err
	}
	if s, ok := c.(interface{ Sums() prometheus.Collector }); ok {
		c = s.Sums()
	}
	if !shownByConsole(c) {
		return nil
	}
	return m.console.Register(c)
}

// MustRegister implements prometheus.Registerer.
func (m measured) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := m.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (m measured) Unregister(c prometheus.Collector) bool {
	m.console.Unregister(c)
	return m.Registerer.Unregister(c)
}

// shownByConsole reports whether the console shows anything of what is collected.
func shownByConsole(c prometheus.Collector) bool {
	all := make(chan *prometheus.Desc)
	go func() { c.Describe(all); close(all) }()
	shown, families := false, web.Families()
	for d := range all {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		shown = shown || slices.Contains(families, metricPrefix+name)
	}
	return shown
}
