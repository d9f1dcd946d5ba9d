package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// chaosReport is what came of one plan.
type chaosReport struct {
	Scenario string `json:"scenario"`
	soakReport
	Topics  topicFindings `json:"topics"`
	LagOver float64       `json:"told_everything_s"` // from the last fault until neither a topic nor a partner was owed anything

	Elections  []float64 `json:"elections_s,omitempty"`             // from a leader's death until another led
	Leaderless int       `json:"leaderless_partitions,omitempty"`   // for a while
	WentOn     int       `json:"partitions_that_went_on,omitempty"` // meanwhile
	FullAfter  float64   `json:"bound_met_after_s,omitempty"`       // of the outage
	OpenAfter  float64   `json:"taking_again_after_s,omitempty"`    // from when the brokers were back until a second's callbacks had been taken
}

func (r *chaosReport) elected(after time.Duration) {
	r.Elections = append(r.Elections, after.Seconds())
}

// judge decides.
func (r *chaosReport) judge(p *plan) {
	r.Problems = append(append(r.Problems, r.Found.problems()...), r.Topics.problems()...)
	if r.Fired.GivenUp > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("%d callbacks were never acknowledged", r.Fired.GivenUp))
	}
	for _, code := range slices.Sorted(maps.Keys(r.Fired.Refused)) {
		if !p.refuses(code) {
			r.Problems = append(r.Problems, fmt.Sprintf("%d callbacks were refused with %s", r.Fired.Refused[code], code))
		}
	}
	if r.Fired.NoRetryAfter > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("%d callbacks were refused without a Retry-After", r.Fired.NoRetryAfter))
	}
	slices.Sort(r.Problems)
	r.OK = r.Found.faults() == 0 && r.Topics.faults() == 0 && len(r.Problems) == 0
}

func (r *chaosReport) remarks() []string {
	return append(append(slices.Clone(r.Problems), r.Topics.Examples...), r.Found.Examples...)
}

func (r *chaosReport) figures() []figure {
	verdict := map[bool]string{true: "yes", false: "no"}[r.OK]
	refused := make([]string, 0, len(r.Fired.Refused))
	for _, code := range slices.Sorted(maps.Keys(r.Fired.Refused)) {
		refused = append(refused, fmt.Sprintf("%s×%d", code, r.Fired.Refused[code]))
	}
	figures := []figure{
		{"scenario", r.Scenario},
		{"all in order", verdict},
		count("faults made", r.Topics.Marks),
		count("of these, kills of the gateway", r.Kills),
		count("callbacks sent", r.Fired.Sent),
		count("callbacks acknowledged", r.Fired.Acked),
		count("sent again", r.Fired.Duplicates),
		count("given up", r.Fired.GivenUp),
		count("turns skipped", r.Fired.Skipped),
		{"refused, by code", cmp.Or(strings.Join(refused, " "), "none")},
		count("of these, without Retry-After", r.Fired.NoRetryAfter),
		{"acknowledged a second", fmt.Sprintf("%.1f", r.Fired.Rate)},
		{"acknowledgement p50, p99", fmt.Sprintf("%.2f ms, %.2f ms", r.Fired.P50, r.Fired.P99)},
		{"start to ready p50, max", fmt.Sprintf("%.0f ms, %.0f ms", r.ReadyP50, r.ReadyMax)},
		{"everything told after the last fault", fmt.Sprintf("%.1f s", r.LagOver)},
		{"settled in, stopped in", fmt.Sprintf("%.1f s, %.1f s", r.SettledIn, r.StoppedIn)},
	}
	figures = append(figures, r.special()...)
	figures = append(figures, r.Topics.figures()...)
	return append(figures, under("partner", r.Found.figures())...)
}

// special are the figures of some scenarios only.
func (r *chaosReport) special() (figures []figure) {
	for _, s := range r.Elections {
		figures = append(figures, figure{"another leader after", fmt.Sprintf("%.1f s", s)})
	}
	if r.Leaderless > 0 {
		figures = append(figures, count("partitions without a leader", r.Leaderless), count("partitions that went on meanwhile", r.WentOn))
	}
	if r.FullAfter > 0 {
		figures = append(figures, figure{"bound met after", fmt.Sprintf("%.1f s", r.FullAfter)}, figure{"callbacks taken again after", fmt.Sprintf("%.1f s", r.OpenAfter)})
	}
	return figures
}
