package ruletest

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func ruleGroups(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	text, err := os.ReadFile(ruleFile)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return groups
}

// place is a group's place in the file.
func place(t *testing.T, group string) int {
	t.Helper()
	return slices.IndexFunc(ruleGroups(t).Groups, func(g rulefmt.RuleGroup) bool { return g.Name == group })
}

func TestHealthyGatewayIsQuiet(t *testing.T) {
	for name, f := range tell(t, 240, nil) {
		if name != "CountersignWatchdog info" {
			t.Errorf("%s fires in minute %d: %v", name, f.minute, f.alert.Annotations)
		}
	}
}

// TestAlerts tells two stories or more of each alert: in one it fires at the end, in the other it never does.
func TestAlerts(t *testing.T) {
	told := map[string]bool{}
	fires := func(alert string, minutes int, series ...string) {
		t.Helper()
		told[alert+" fires"] = true
		f, ok := tell(t, minutes, series)[alert]
		if !ok || f.minute != minutes {
			t.Errorf("%s does not fire after %d minutes of %v", alert, minutes, series)
			return
		}
		f.alert.Annotations.Range(func(l labels.Label) {
			if strings.Contains(l.Value, "<error") || strings.Contains(l.Value, "%!") || strings.Contains(l.Value, "<no value>") {
				t.Errorf("%s: its %s says %q", alert, l.Name, l.Value)
			}
		})
	}
	quiet := func(alert string, minutes int, series ...string) {
		t.Helper()
		told[alert+" is quiet"] = true
		if f, ok := tell(t, minutes, series)[alert]; ok {
			t.Errorf("%s fires in minute %d of %v: %s", alert, f.minute, series, f.alert.Annotations)
		}
	}
	promiseStories(fires, quiet)
	callbackStories(fires, quiet)
	storageStories(fires, quiet)
	foldStories(fires, quiet)
	confirmStories(fires, quiet)
	timeStories(fires, quiet)
	deliveryStories(fires, quiet)
	kafkaStories(fires, quiet)
	processStories(fires, quiet)
	for _, g := range ruleGroups(t).Groups {
		for _, r := range g.Rules {
			name := r.Alert + " " + r.Labels["severity"]
			if r.Alert != "" && (!told[name+" fires"] || !told[name+" is quiet"]) {
				t.Errorf("%s needs a story in which it fires (%v) and one in which it does not (%v)", name, told[name+" fires"], told[name+" is quiet"])
			}
		}
	}
}

// TestDashboardsParse gives every query of every dashboard to Prometheus's parser, with Grafana's variables filled in as Grafana would.
func TestDashboardsParse(t *testing.T) {
	files, err := filepath.Glob("../*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	fill := strings.NewReplacer("$__rate_interval", "1m", "$job", "countersign", "$instance", ".+", "$source", ".+", "$endpoint", ".+")
	p, parsed := parser.NewParser(parser.Options{}), 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
			Annotations struct{ List []struct{ Expr string } }
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		f := func(where, expr string) {
			parsed++
			if _, err := p.ParseExpr(fill.Replace(expr)); err != nil {
				t.Errorf("%s: %s: %v", file, where, err)
			}
		}
		for _, a := range board.Annotations.List {
			f("annotation", a.Expr)
		}
		for _, panel := range board.Panels {
			for _, q := range panel.Targets {
				f(panel.Title, q.Expr)
			}
		}
	}
	if parsed < 40 {
		t.Errorf("only %d queries were found", parsed)
	}
}
