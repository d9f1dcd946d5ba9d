package console

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The drawing of a plot, in its own units.
const (
	plotWidth, plotHeight = 380, 150
	plotLeft, plotRight   = 46, 8
	plotTop, plotBottom   = 8, 22
)

// line is one series of a plot. A value that is not known is NaN.
type line struct {
	Name   string
	Values []float64
}

// plot is a drawing of lines over time, and the numbers behind it.
type plot struct {
	ID, Title, Unit string
	Says            string // what a screen reader is told of it
	Lines           []drawn
	Across, Up      []gridLine
	Rows            []plotRow
	Empty           bool
	Width, Height   int
}

// drawn is a line as it is drawn.
type drawn struct {
	Name string
	Now  string // its last value
	N    int    // which it is: its colour, and how it is dashed
	Path string
}

// gridLine is a line of the grid with its label.
type gridLine struct {
	At, Label    string // where it is, and what stands there
	From, To     string
	X, Y, Anchor string // of the label
}

// plotRow is a row of the table that has the same numbers.
type plotRow struct {
	At     time.Time
	Values []string
}

// newPlot draws lines over these times, the oldest first. show writes a value.
func newPlot(id, title, unit string, times []time.Time, show func(float64) string, lines ...line) plot {
	p := plot{ID: id, Title: title, Unit: unit, Width: plotWidth, Height: plotHeight}
	if p.Empty = len(times) < 2; p.Empty {
		return p
	}
	top, ticks := scale(lines, id == "storage")
	from, long := times[0], times[len(times)-1].Sub(times[0])
	x := func(at time.Time) float64 {
		return plotLeft + (plotWidth-plotLeft-plotRight)*float64(at.Sub(from))/float64(long)
	}
	y := func(v float64) float64 { return plotHeight - plotBottom - (plotHeight-plotTop-plotBottom)*v/top }
	for _, v := range ticks {
		p.Up = append(p.Up, gridLine{At: dot(y(v)), Label: show(v), From: strconv.Itoa(plotLeft), To: strconv.Itoa(plotWidth - plotRight), X: strconv.Itoa(plotLeft - 6), Y: dot(y(v) + 4), Anchor: "end"})
	}
	for _, at := range hours(from, long) {
		p.Across = append(p.Across, gridLine{
			At: dot(x(at)), Label: at.Format("15:04"), From: strconv.Itoa(plotTop), To: strconv.Itoa(plotHeight - plotBottom), X: dot(x(at)), Y: strconv.Itoa(plotHeight - 6), Anchor: "middle",
		})
	}
	said := make([]string, len(lines))
	for n, l := range lines {
		last := show(l.Values[len(l.Values)-1])
		p.Lines = append(p.Lines, drawn{Name: l.Name, Now: last, N: n + 1, Path: trace(times, l.Values, x, y)})
		low, high := bounds(l.Values)
		said[n] = fmt.Sprintf("%s: %s now, between %s and %s.", l.Name, last, show(low), show(high))
	}
	p.Says = fmt.Sprintf("%s, from %s to %s UTC. %s The table below has the numbers.", unit, from.UTC().Format("15:04"), times[len(times)-1].UTC().Format("15:04"), strings.Join(said, " "))
	for i, at := range slices.Backward(times) {
		row := plotRow{At: at}
		for _, l := range lines {
			row.Values = append(row.Values, show(l.Values[i]))
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

// trace is a line as SVG draws it. Where a value is missing there is a gap.
func trace(times []time.Time, values []float64, x func(time.Time) float64, y func(float64) float64) string {
	var b strings.Builder
	pen := "M"
	for i, v := range values {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		b.WriteString(pen + dot(x(times[i])) + " " + dot(y(v)))
		pen = "L"
	}
	return b.String()
}

func dot(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func bounds(values []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high {
		return math.NaN(), math.NaN()
	}
	return low, high
}

// scale is the top of the axis, and where its grid lines are: from nothing up to round numbers.
func scale(lines []line, binary bool) (top float64, ticks []float64) {
	for _, l := range lines {
		if _, high := bounds(l.Values); !math.IsNaN(high) {
			top = max(top, high)
		}
	}
	if top <= 0 {
		top = 1
	}
	base := 10.0
	if binary {
		base = 1024
	}
	unit := math.Pow(base, math.Floor(math.Log(top)/math.Log(base)))
	step := unit
	for _, part := range []float64{0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500} {
		if step = part * unit; top/step <= 5 {
			break
		}
	}
	n := math.Ceil(top/step - 1e-9)
	for i := 0.0; i <= n; i++ {
		ticks = append(ticks, i*step)
	}
	return n * step, ticks
}

// hours are the round times within a span.
func hours(from time.Time, long time.Duration) (at []time.Time) {
	every := 6 * time.Hour
	for _, d := range []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour} {
		if long/d <= 5 {
			every = d
			break
		}
	}
	for t := from.UTC().Truncate(every).Add(every); !t.After(from.Add(long)); t = t.Add(every) {
		if float64(t.Sub(from)) > float64(long)*0.04 && float64(t.Sub(from)) < float64(long)*0.96 { // a label needs room
			at = append(at, t)
		}
	}
	return at
}
