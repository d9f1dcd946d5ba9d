package dashboards

import (
	"regexp"
	"strings"
	"testing"
)

// What is asked of a histogram is asked twice: of the classic buckets, where they are scraped, and
// else of the native histogram. A Prometheus that scrapes native histograms keeps no classic
// buckets unless it is told to, and one that turns classic histograms into native ones
// (convert_classic_histograms_to_nhcb) keeps none at all. Where both are kept, the first counts.

// rated is the rate of a metric over the range that the panel has.
func rated(metric string) string { return "rate(" + metric + "[$__rate_interval])" }

// sumBy sums by labels; without any, to one.
func sumBy(expr string, labels ...string) string {
	if len(labels) == 0 {
		return "sum(" + expr + ")"
	}
	return "sum by (" + strings.Join(labels, ", ") + ") (" + expr + ")"
}

// quantile is one of a histogram, for each value of some labels.
func quantile(q, metric string, by ...string) string {
	classic := sumBy(rated(metric+"_bucket"), append([]string{"le"}, by...)...)
	return "histogram_quantile(" + q + ", " + classic + ") or histogram_quantile(" + q + ", " + sumBy(rated(metric), by...) + ")"
}

// within is the part of what a histogram counts that is at most a bound, which has to be one of its
// buckets. Of a native one it is estimated, but for bounds that are powers of two.
func within(bound, metric string) string {
	return sumBy(rated(metric+`_bucket{le=~"`+bound+`|`+bound+`[.]0"}`)) + " / " + sumBy(rated(metric+"_count")) + " or histogram_fraction(-Inf, " + bound + ", " + sumBy(rated(metric)) + ")"
}

// spread is all of a histogram, for a heat map: a series for each classic bucket, or else one native
// histogram.
func spread(metric string) string {
	increase := func(of string) string { return "increase(" + of + "[$__rate_interval])" }
	return sumBy(increase(metric+"_bucket"), "le") + " or on () " + sumBy(increase(metric))
}

// mean is that of what a histogram observes, for each value of some labels.
func mean(metric string, by ...string) string {
	return sumBy(rated(metric+"_sum"), by...) + " / " + sumBy(rated(metric+"_count"), by...) +
		" or histogram_sum(" + sumBy(rated(metric), by...) + ") / histogram_count(" + sumBy(rated(metric), by...) + ")"
}

var (
	ofHistogram = regexp.MustCompile(`\b(countersign_\w+?)_(?:bucket|sum|count)\b`)
	ofSummary   = "countersign_relay_endpoint_attempt_seconds" // its sum and its number are there however it is scraped
)

// TestBothKinds: whoever reads classic series of a histogram reads the native one too.
func TestBothKinds(t *testing.T) {
	f := func(where, expr string) {
		t.Helper()
		for _, m := range ofHistogram.FindAllStringSubmatch(expr, -1) {
			if m[1] != ofSummary && !regexp.MustCompile(`(?:rate|increase)\(`+m[1]+`[[{]`).MatchString(expr) {
				t.Errorf("%s reads %s, and is empty where native histograms are scraped", where, m[0])
			}
		}
	}
	for name, b := range committed(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				f(name+": "+p.Title, q.Expr)
			}
		}
	}
	for _, r := range allRules(t) {
		f(r.Record+r.Alert, r.Expr)
	}
}
