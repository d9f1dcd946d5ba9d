//go:build realprometheus

package promtest

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"countersign/dashboards"
)

var update = flag.Bool("update", false, "draw the picture of the dashboard anew")

// drawn is a panel as far as the picture needs it.
type drawn struct {
	Title, Type string
	GridPos     struct{ X, Y, W, H float64 }
	Targets     []struct{ Expr string }
	Transforms  []struct {
		Options struct{ RenameByName map[string]string }
	} `json:"transformations"`
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct {
				Steps []struct {
					Color string
					Value *float64
				}
			}
		}
	}
}

const (
	unitX, unitY = 46.0, 30.0 // pixels of one unit of Grafana's grid
	seen         = 54.0       // how many units from the top are drawn
)

// picture draws the upper part of the overview, with what a real Prometheus answers to its queries.
// It is no Grafana: it shows what is there and where.
func picture(t *testing.T, s *scraper) {
	t.Helper()
	text, err := fs.ReadFile(dashboards.Dashboards(), "overview.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct{ Panels []drawn }
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12" fill="#ccccdc"><rect width="100%%" height="100%%" fill="#111217"/>`+"\n", 24*unitX, seen*unitY)
	for _, p := range board.Panels {
		if p.GridPos.Y+p.GridPos.H > seen {
			continue
		}
		x, y, w, h := p.GridPos.X*unitX+3, p.GridPos.Y*unitY+3, p.GridPos.W*unitX-6, p.GridPos.H*unitY-6
		fmt.Fprintf(&b, `<svg x="%.0f" y="%.0f" width="%.0f" height="%.0f">`, x, y, w, h)
		switch p.Type {
		case "row":
			fmt.Fprintf(&b, `<text x="4" y="17" font-size="14">▾ %s</text>`, html.EscapeString(p.Title))
		case "stat":
			p.stat(t, &b, s, w, h)
		case "table":
			p.table(t, &b, s, w)
		case "heatmap":
			p.heatmap(t, &b, s, w, h)
		default:
			p.plot(t, &b, s, w, h)
		}
		b.WriteString("</svg>\n")
	}
	b.WriteString("</svg>\n")
	if b.Len() > 200<<10 {
		t.Fatalf("the picture has %d bytes", b.Len())
	}
	if err := os.WriteFile("../overview.svg", []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *drawn) frame(b *strings.Builder) {
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="#181b1f"/><text x="8" y="16">%s</text>`, html.EscapeString(p.Title))
}

// answer is what a query shows, the numbers of each series in the order of time.
func (p *drawn) answer(t *testing.T, s *scraper, i int) (names []string, lines [][]float64) {
	t.Helper()
	found, err := s.ask(t.Context(), p.Targets[i].Expr)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		var line []float64
		for _, v := range f.Values {
			text, _ := v[1].(string)
			if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
				line = append(line, n)
			}
		}
		if len(line) > 0 {
			names, lines = append(names, f.Metric["endpoint"]+f.Metric["source"]+f.Metric["le"]), append(lines, line)
		}
	}
	return names, lines
}

func (p *drawn) stat(t *testing.T, b *strings.Builder, s *scraper, w, h float64) {
	t.Helper()
	colour, value := "#181b1f", "–"
	if _, lines := p.answer(t, s, 0); len(lines) > 0 {
		last := lines[0][len(lines[0])-1]
		value = short(last, p.FieldConfig.Defaults.Unit)
		for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
			if step.Value == nil || last >= *step.Value {
				colour = cmp.Or(map[string]string{"green": "#37872d", "orange": "#e0752d", "red": "#c4162a"}[step.Color], "#181b1f")
			}
		}
	}
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="%s"/><text x="8" y="16" fill="#fff">%s</text><text x="%.0f" y="%.0f" font-size="26" text-anchor="middle" fill="#fff">%s</text>`,
		colour, html.EscapeString(p.Title), w/2, h/2+20, value)
}

func (p *drawn) table(t *testing.T, b *strings.Builder, s *scraper, w float64) {
	t.Helper()
	p.frame(b)
	rows := map[string][]string{}
	for i := range p.Targets {
		names, lines := p.answer(t, s, i)
		for j, name := range names {
			rows[name] = append(rows[name], make([]string, max(0, i+1-len(rows[name])))...)
			rows[name][i] = short(lines[j][len(lines[j])-1], "none")
		}
	}
	column := func(i int) float64 { return 140 + float64(i)*(w-140)/float64(len(p.Targets)) }
	for value, title := range p.Transforms[1].Options.RenameByName {
		if letter, ok := strings.CutPrefix(value, "Value #"); ok {
			fmt.Fprintf(b, `<text x="%.0f" y="36" fill="#8e8e99" font-size="11">%s</text>`, column(int(letter[0]-'A')), html.EscapeString(title))
		}
	}
	for r, name := range sortedKeys(rows) {
		y := 58 + 22*float64(r)
		fmt.Fprintf(b, `<text x="8" y="%.0f" fill="#6e9fff">%s</text>`, y, html.EscapeString(name))
		for i, v := range rows[name] {
			fmt.Fprintf(b, `<text x="%.0f" y="%.0f">%s</text>`, column(i), y, v)
		}
	}
}

func (p *drawn) plot(t *testing.T, b *strings.Builder, s *scraper, w, h float64) {
	t.Helper()
	p.frame(b)
	colours := []string{"#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9"}
	n, top := 0, 0.0
	var all [][]float64
	for i := range p.Targets {
		_, lines := p.answer(t, s, i)
		all = append(all, lines...)
	}
	for _, line := range all {
		top = max(top, slices.Max(line))
	}
	fmt.Fprintf(b, `<text x="8" y="34" font-size="10" fill="#8e8e99">%s</text>`, short(top, p.FieldConfig.Defaults.Unit))
	for _, line := range all {
		var points strings.Builder
		for i, v := range line {
			fmt.Fprintf(&points, "%.0f,%.0f ", 8+float64(i)*(w-16)/float64(max(1, len(line)-1)), h-8-v/max(top, 1e-9)*(h-48))
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" points="%s"/>`, colours[n%len(colours)], strings.TrimSpace(points.String()))
		n++
	}
}

// heatmap draws each bucket as a line of cells. Buckets are cumulative.
func (p *drawn) heatmap(t *testing.T, b *strings.Builder, s *scraper, w, h float64) {
	t.Helper()
	p.frame(b)
	names, lines := p.answer(t, s, 0)
	bound := func(i int) float64 { n, _ := strconv.ParseFloat(names[i], 64); return n }
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return int(math.Copysign(1, bound(x)-bound(y))) })
	high := (h - 40) / float64(max(1, len(order)))
	for r, i := range order {
		y := h - 8 - float64(r+1)*high
		fmt.Fprintf(b, `<text x="6" y="%.0f" font-size="8" fill="#8e8e99">%s</text>`, y+high-2, names[i])
		for c, v := range lines[i] {
			if r > 0 && c < len(lines[order[r-1]]) {
				v -= lines[order[r-1]][c]
			}
			if v > 0.05 {
				wide := (w - 50) / float64(len(lines[i]))
				fmt.Fprintf(b, `<rect x="%.0f" y="%.1f" width="%.1f" height="%.1f" fill="#ff780a" opacity="%.2f"/>`, 40+float64(c)*wide, y, wide-1, high-1, min(1, 0.15+math.Log1p(v)/5))
			}
		}
	}
}

// short is a number as a person reads it.
func short(v float64, unit string) string {
	switch {
	case unit == "percentunit":
		return strconv.FormatFloat(v*100, 'f', 1, 64) + " %"
	case unit == "s" && v < 1 && v > 0:
		return strconv.FormatFloat(v*1000, 'f', 0, 64) + " ms"
	case unit == "s":
		return strconv.FormatFloat(v, 'f', 0, 64) + " s"
	case v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func sortedKeys(m map[string][]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return sorted(keys)
}
