//go:build realprometheus

package promtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/dashboards"
)

// question is a query, and where it stands.
type question struct{ where, expr string }

var values = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// panels are all queries of all dashboards, annotations and variables included.
func panels(t *testing.T) (all []question) {
	t.Helper()
	files, err := fs.Glob(dashboards.Dashboards(), "*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(dashboards.Dashboards(), file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ RefID, Expr string }
			}
			Annotations struct {
				List []struct{ Name, Expr string }
			}
			Templating struct {
				List []struct{ Name, Definition string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		for _, v := range board.Templating.List {
			if m := values.FindStringSubmatch(v.Definition); m != nil {
				all = append(all, question{file + ": variable " + v.Name, "count by (" + m[2] + ") (" + m[1] + ")"})
			}
		}
		for _, a := range board.Annotations.List {
			all = append(all, question{file + ": annotation " + a.Name, a.Expr})
		}
		for _, p := range board.Panels {
			for _, q := range p.Targets {
				all = append(all, question{file + ": " + p.Title + " " + q.RefID, q.Expr})
			}
		}
	}
	return all
}

// compared are the operands of all rules.
func compared(t *testing.T) (all []question) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct{ Record, Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(dashboards.Rules(), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				all = append(all, question{"rule " + r.Record, r.Record}) // what it records, not what it would
				continue
			}
			parts, err := operands(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range parts {
				if !strings.HasPrefix(p, "absent(") { // empty as long as all is well, whatever it names
					all = append(all, question{"alert " + r.Alert, p})
				}
			}
		}
	}
	return all
}

// silent asks until each question has shown something, or the time is up, and returns those that
// have not. A question that is answered with an error is one of them at once.
func silent(ctx context.Context, s *scraper, all []question, within time.Duration) (still []string) {
	open := slices.Clone(all)
	for end := time.Now().Add(within); ; {
		var rest []question
		for _, q := range open {
			switch found, err := s.ask(ctx, q.expr); {
			case err != nil:
				still = append(still, fmt.Sprintf("%s: %s: %v", q.where, q.expr, err))
			case !shows(found):
				rest = append(rest, q)
			}
		}
		if open = rest; len(open) == 0 || time.Now().After(end) {
			break
		}
		time.Sleep(time.Second)
	}
	for _, q := range open {
		still = append(still, fmt.Sprintf("%s is empty: %s", q.where, q.expr))
	}
	return still
}

// TestEverythingShows: under a load that makes each panel show something, each does, and each alert
// has what it compares; whether Prometheus scrapes classic or native histograms.
func TestEverythingShows(t *testing.T) {
	g := newTown(t)
	scrapers := []*scraper{newScraper(t, "classic", g.control), newScraper(t, "native", g.control, "--enable-feature=native-histograms")}
	g.start()
	stop := g.load(t)
	for _, s := range scrapers {
		eventually(t, s.name+" has scraped deliveries", func() bool {
			found, err := s.ask(t.Context(), `sum(countersign_relay_attempts_total) > 20`)
			return err == nil && shows(found)
		})
	}
	stop()
	g.stop(syscall.SIGKILL) // an unclean stop, and a disk that gives back other bytes than were written
	g.damage(marked)
	g.start()
	t.Cleanup(g.load(t)) // the parts below go on after this has returned
	g.reload("mode: neither", "refused")
	g.reload("mode: sandbox", "applied")
	t.Run("cardinality", func(t *testing.T) { cardinality(t, g.exposition("text/plain")) })
	all := append(panels(t), compared(t)...)
	for _, s := range scrapers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if quiet := silent(t.Context(), s, all, 90*time.Second); len(quiet) > 0 {
				t.Errorf("%d of %d queries show nothing:\n%s", len(quiet), len(all), strings.Join(quiet, "\n"))
			}
			kinds(t, s)
			sound(t, s)
			burns(t, s)
			// A query that names what is not there has to be found.
			wrong := question{"a mistake", strings.Replace(all[len(all)/4].expr, "countersign_", "countersing_", 1)}
			if quiet := silent(t.Context(), s, []question{wrong}, 0); len(quiet) != 1 {
				t.Errorf("%s is taken for a query that shows something", wrong.expr)
			}
			t.Logf("%d queries", len(all))
			if *update && s.name == "classic" {
				<-time.After(looked) // so that there is something to be drawn
				picture(t, s)
			}
		})
	}
}

// kinds makes sure that each scraper has what it is there for, and nothing else.
func kinds(t *testing.T, s *scraper) {
	t.Helper()
	for expr, only := range map[string]string{
		`countersign_ingest_callback_seconds_bucket`: "classic", `histogram_count(countersign_ingest_callback_seconds)`: "native",
	} {
		if found, err := s.ask(t.Context(), expr); err != nil || shows(found) != (s.name == only) {
			t.Errorf("%s shows %v (%v)", expr, shows(found), err)
		}
	}
}

// sound looks at what Prometheus says of the rules that it has evaluated.
func sound(t *testing.T, s *scraper) {
	t.Helper()
	var answer struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := s.get(t.Context(), "rules", nil, &answer); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, group := range answer.Groups {
		for _, r := range group.Rules {
			if n++; r.Health != "ok" || r.LastError != "" {
				t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n < 80 {
		t.Errorf("only %d rules are evaluated", n)
	}
}

// burns waits for the alert that most needs histograms: part of the callbacks is answered too late.
func burns(t *testing.T, s *scraper) {
	t.Helper()
	active := map[string]bool{}
	eventually(t, "callbacks that are late burn the budget", func() bool {
		var answer struct {
			Alerts []struct{ Labels map[string]string }
		}
		if err := s.get(t.Context(), "alerts", url.Values{}, &answer); err != nil {
			return false
		}
		for _, a := range answer.Alerts {
			active[a.Labels["alertname"]+" "+a.Labels["severity"]] = true
		}
		return active["CountersignCallbackSLOBurn critical"]
	})
	t.Logf("active: %v", slices.Sorted(maps.Keys(active)))
}
