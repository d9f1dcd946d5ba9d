package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// cutReport is what came of one mode, over all its databases.
type cutReport struct {
	Mode      string           `json:"mode"`
	Cuts      int              `json:"cuts"`
	Databases int              `json:"databases"`
	Destroyed int              `json:"destroyed"` // databases that no start could open after a cut
	Crashed   int              `json:"crashed"`   // ends of the gateway that no planned failure explains
	Failed    int              `json:"failed"`    // calls that went wrong as planned
	Ended     int              `json:"ended"`     // exits with code 1 because of them
	Unflushed int              `json:"unflushed"` // sectors and names that a cut found pending
	Left      int              `json:"left"`      // of these, there afterwards
	GivenUp   int64            `json:"given_up"`
	Refused   map[string]int64 `json:"refused"`
	Found     findings         `json:"found"`
	ReadyP50  float64          `json:"ready_p50_ms"` // from exec to /readyz, after a cut
	ReadyMax  float64          `json:"ready_max_ms"`
	Took      float64          `json:"took_s"`
	Problems  []string         `json:"problems,omitempty"` // that the ledgers do not show
	OK        bool             `json:"ok"`
	expected  bool             // to be broken
	ready     *latencies
	readyMax  time.Duration
}

// broken is how much went wrong that a gateway may never let go wrong.
func (r *cutReport) broken() int { return r.Destroyed + r.Crashed + r.Found.faults() }

func (r *cutReport) problem(format string, args ...any) {
	if len(r.Problems) < maxExamples {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// judge decides. Of a gateway that is broken on purpose only the damage is asked for: a test that
// cannot fail proves nothing.
func (r *cutReport) judge(expectFailure bool) {
	r.ReadyP50, r.ReadyMax = milliseconds(r.ready.quantile(0.5)), milliseconds(r.readyMax)
	if r.expected = expectFailure; expectFailure {
		r.OK = r.Destroyed > 0 || r.Found.Lost > 0
		return
	}
	for _, p := range r.Found.problems() {
		r.problem("%s", p)
	}
	if r.GivenUp > 0 {
		r.problem("%d callbacks were never acknowledged", r.GivenUp)
	}
	if r.Unflushed == 0 && r.Failed == 0 { // what a failed flush has lost is not pending any more
		r.problem("no cut found anything that was not flushed: nothing could be lost")
	}
	if r.Mode != "cut" && r.Failed == 0 {
		r.problem("no call went wrong, though one was to before each cut")
	}
	r.OK = r.broken() == 0 && len(r.Problems) == 0
}

// add puts the findings about another database to these.
func (f *findings) add(g *findings) {
	for _, sum := range []struct {
		to   *int
		more int
	}{
		{&f.Persons, g.Persons},
		{&f.Acked, g.Acked},
		{&f.InDoubt, g.InDoubt},
		{&f.Deliveries, g.Deliveries},
		{&f.Accepted, g.Accepted},
		{&f.Lost, g.Lost},
		{&f.Invented, g.Invented},
		{&f.Altered, g.Altered},
		{&f.BadlySigned, g.BadlySigned},
		{&f.OutOfOrder, g.OutOfOrder},
		{&f.DuplicateWithOtherID, g.DuplicateWithOtherID},
		{&f.Gaps, g.Gaps},
		{&f.Duplicated, g.Duplicated},
		{&f.RepeatedAfter2xx, g.RepeatedAfter2xx},
		{&f.Kills, g.Kills},
		{&f.AllowedRepeats, g.AllowedRepeats},
	} {
		*sum.to += sum.more
	}
	for _, e := range g.Examples {
		f.example("%s", e)
	}
}

// print writes one line of the table, under its head if it is the first.
func (r *cutReport) print(out io.Writer, head bool) error {
	w := tabwriter.NewWriter(out, 13, 0, 2, ' ', 0)
	if head {
		_, _ = fmt.Fprintln(w, "mode\tcuts\tcalls failed\texits\tnot flushed\tof it left\tacknowledged\tlost\twrong\tdestroyed\tcrashed\tready p50, max ms\ttook\tin order") // Flush tells
	}
	verdict := map[bool]string{true: "yes", false: "NO"}[r.OK]
	if r.expected {
		verdict = map[bool]string{true: "no, as expected", false: "YES, and should not be"}[r.OK]
	}
	_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d of %d\t%d\t%.0f, %.0f\t%.0f s\t%s\n", r.Mode, r.Cuts, r.Failed, r.Ended, r.Unflushed, r.Left, r.Found.Acked, r.Found.Lost,
		r.Found.faults()-r.Found.Lost, r.Destroyed, r.Databases, r.Crashed, r.ReadyP50, r.ReadyMax, r.Took, verdict)
	if !r.OK || r.expected {
		for _, text := range append(r.Problems, r.Found.Examples...) {
			_, _ = fmt.Fprintf(w, "  %s\n", text)
		}
	}
	return w.Flush()
}
