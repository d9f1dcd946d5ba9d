package ruletest

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// parsed is the rule file, read once: every story asks for the order of its groups.
var parsed = sync.OnceValues(func() (*rulefmt.RuleGroups, error) {
	text, err := os.ReadFile(ruleFile)
	if err != nil {
		return nil, err
	}
	groups, errs := rulefmt.Parse(text, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	return groups, errors.Join(errs...)
})

func ruleGroups(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	groups, err := parsed()
	if err != nil {
		t.Fatal(err)
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

// TestAlerts tells two stories or more of each alert: in one it fires at the end, in the other it
// never does.
func TestAlerts(t *testing.T) {
	told := map[string]bool{}
	fires := func(alert string, minutes int, series ...string) {
		told[alert+" fires"] = true
		t.Run(alert+" fires", func(t *testing.T) {
			t.Parallel()
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
		})
	}
	quiet := func(alert string, minutes int, series ...string) {
		told[alert+" is quiet"] = true
		t.Run(alert+" is quiet", func(t *testing.T) {
			t.Parallel()
			if f, ok := tell(t, minutes, series)[alert]; ok {
				t.Errorf("%s fires in minute %d of %v: %s", alert, f.minute, series, f.alert.Annotations)
			}
		})
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

// TestDashboardsParse gives every query of every dashboard to Prometheus's parser, with Grafana's
// variables filled in as Grafana would.
func TestDashboardsParse(t *testing.T) {
	files, err := filepath.Glob("../*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	fill := strings.NewReplacer("$__rate_interval", "1m", "$job", "countersign", "$instance", ".+", "$source", ".+", "$endpoint", ".+")
	p, queries := parser.NewParser(parser.Options{}), 0
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
			queries++
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
	if queries < 40 {
		t.Errorf("only %d queries were found", queries)
	}
}
