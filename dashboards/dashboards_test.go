package dashboards

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the dashboards anew")

// TestDashboardsAreCurrent holds the committed JSON to its description.
func TestDashboardsAreCurrent(t *testing.T) {
	f := func(file string, b board) {
		t.Helper()
		want, err := b.encode()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, want, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
		if got, err := fs.ReadFile(Dashboards(), file); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what its description makes (%v): run go generate ./dashboards", file, err)
		}
	}
	f("overview.json", overview())
}

// committed decodes every dashboard, strictly: a field that the model does not know is a mistake.
func committed(t *testing.T) map[string]board {
	t.Helper()
	files, err := fs.Glob(Dashboards(), "*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	boards := map[string]board{}
	for _, name := range files {
		text, err := fs.ReadFile(Dashboards(), name)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		var b board
		if err := d.Decode(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Contains(text, []byte("\n  \"id\": null,")) {
			t.Errorf("%s: id must be null, or an import overwrites somebody's dashboard", name)
		}
		boards[name] = b
	}
	return boards
}

func TestBoards(t *testing.T) {
	for name, b := range committed(t) {
		f := func(ok bool, what string) {
			t.Helper()
			if !ok {
				t.Errorf("%s: %s", name, what)
			}
		}
		f(strings.HasPrefix(b.UID, "countersign-") && len(b.UID) <= 40, "uid must be stable, ours and at most 40 characters")
		f(b.SchemaVersion >= 39 && b.SchemaVersion <= 41, "schemaVersion must be of the classic model, 39 to 41")
		f(b.Title != "" && b.Description != "", "title and description are needed")
		f(slices.Contains(b.Tags, "countersign"), "tag countersign is missing")
		f(b.Refresh == "30s" && b.Timezone == "browser", "refresh must be 30s, the time zone the browser's")
		f(len(b.Links) > 0, "no links to the other dashboards")
		f(len(b.Annotations.List) > 0 && strings.Contains(b.Annotations.List[0].Expr, "process_start_time_seconds"), "starts are not annotated")
		for _, want := range []string{"job", "instance", "source", "partner", "endpoint"} {
			i := slices.IndexFunc(b.Templating.List, func(v variable) bool { return v.Name == want })
			f(i >= 0, "variable "+want+" is missing")
			if i < 0 {
				continue
			}
			v := b.Templating.List[i]
			f(v.IncludeAll && v.Multi && v.Datasource != nil && *v.Datasource == prom, "variable "+want+" must offer all, several, and use ${datasource}")
		}
		first := b.Templating.List[0]
		f(first.Name == "datasource" && first.Type == "datasource" && first.Query == "prometheus", "the first variable must be the data source")
	}
}

var (
	fixedRange  = regexp.MustCompile(`\[[0-9]`)
	leaveAlone  = regexp.MustCompile(`\$(?:datasource|job|instance|source|partner|endpoint|__rate_interval)\b`)
	anyVariable = regexp.MustCompile(`\$\{?\w+`)
	selector    = regexp.MustCompile(`\b((?:countersign|process|go)_[a-z0-9_]+|countersign:[a-z0-9_:]+)(\{[^}]*\})?`)
	inAlert     = regexp.MustCompile(`\bCountersign[A-Z]\w+`)
)

func TestPanels(t *testing.T) {
	for name, b := range committed(t) {
		ids := map[int]bool{}
		taken := map[[2]int]string{}
		for _, p := range b.Panels {
			fail := func(what string) {
				t.Helper()
				t.Errorf("%s: panel %d %q: %s", name, p.ID, p.Title, what)
			}
			if p.ID <= 0 || ids[p.ID] {
				fail("id is used twice")
			}
			ids[p.ID] = true
			at := p.GridPos
			if at.X < 0 || at.W < 1 || at.X+at.W > columns {
				fail("does not fit the grid")
			}
			for x := at.X; x < at.X+at.W; x++ {
				for y := at.Y; y < at.Y+at.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						fail("covers " + other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Title == "" {
				fail("has no title")
			}
			if p.Type != "row" {
				lintPanel(p, fail)
			}
		}
	}
}

func lintPanel(p panel, fail func(string)) {
	switch {
	case p.Datasource == nil || *p.Datasource != prom:
		fail("data source must be ${datasource}")
	case len(p.Description) < 15 || !strings.HasSuffix(p.Description, "."):
		fail("needs a description in sentences")
	case p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == "":
		fail("has no unit")
	case p.FieldConfig.Defaults.Min == nil || *p.FieldConfig.Defaults.Min != 0:
		fail("min must be 0")
	case len(p.Targets) == 0:
		fail("has no query")
	}
	for _, q := range p.Targets {
		lintQuery(q, fail)
	}
}

func lintQuery(q target, fail func(string)) {
	switch {
	case q.Datasource != prom:
		fail("data source of " + q.RefID + " must be ${datasource}")
	case q.LegendFormat == "":
		fail("query " + q.RefID + " has no legend")
	case fixedRange.MatchString(q.Expr):
		fail("query " + q.RefID + " must use $__rate_interval, not a range of its own")
	case strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")"):
		fail("query " + q.RefID + " has unbalanced parentheses")
	}
	for _, v := range anyVariable.FindAllString(q.Expr, -1) {
		if !leaveAlone.MatchString(v) {
			fail("query " + q.RefID + " uses " + v + ", which is no variable")
		}
	}
	for _, m := range selector.FindAllStringSubmatch(q.Expr, -1) {
		want := `job=~"$job",instance=~"$instance"`
		if strings.HasPrefix(m[1], "countersign:") {
			want = `job=~"$job"`
		}
		if !strings.Contains(m[2], want) {
			fail(m[1] + " is not filtered by " + want)
		}
	}
}

// TestThresholds holds the lines in panels to the numbers in the alerts: an operator must not see
// red where no alert is, or the other way round.
func TestThresholds(t *testing.T) {
	exprs := map[string]string{}
	for _, r := range allRules(t) {
		exprs[r.Alert] += " " + r.Expr
	}
	for name, b := range committed(t) {
		for _, p := range b.Panels {
			alerts := inAlert.FindAllString(p.Description, -1)
			for _, a := range alerts {
				if exprs[a] == "" {
					t.Errorf("%s: panel %q names %s, which is no alert", name, p.Title, a)
				}
			}
			if p.FieldConfig == nil || len(p.FieldConfig.Defaults.Thresholds.Steps) < 2 {
				continue
			}
			if len(alerts) != 1 {
				t.Errorf("%s: panel %q has thresholds, and not one alert but %v", name, p.Title, alerts)
				continue
			}
			low := p.FieldConfig.Defaults.Thresholds.Steps[0].Color == "red"
			for _, s := range p.FieldConfig.Defaults.Thresholds.Steps[1:] {
				n := regexp.QuoteMeta(text(*s.Value))
				number := regexp.MustCompile(`(?:[<>]|==) ` + n + `(?:\D|$)`)
				whole := *s.Value == 1 && strings.Contains(exprs[alerts[0]], " > 0") // 1 or more of them
				if !number.MatchString(exprs[alerts[0]]) && !whole && (!low || !strings.Contains(exprs[alerts[0]], "absent(")) {
					t.Errorf("%s: panel %q changes its colour at %s, which is not the number of its alert (%s)", name, p.Title, n, alerts[0])
				}
			}
		}
	}
}
