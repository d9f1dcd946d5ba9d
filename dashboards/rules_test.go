package dashboards

import (
	"bytes"
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is a recording rule or an alert, as it stands in alerts.yaml.
type rule struct {
	Record        string            `yaml:"record"`
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	For           string            `yaml:"for"`
	KeepFiringFor string            `yaml:"keep_firing_for"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`
}

func allRules(t *testing.T) (rs []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(bytes.NewReader(Rules()))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatalf("alerts.yaml: %v", err)
	}
	for _, g := range file.Groups {
		rs = append(rs, g.Rules...)
	}
	if len(rs) == 0 {
		t.Fatal("alerts.yaml has no rules")
	}
	return rs
}

func alerts(t *testing.T) (names []string) {
	t.Helper()
	for _, r := range allRules(t) {
		if r.Alert != "" && !slices.Contains(names, r.Alert) {
			names = append(names, r.Alert)
		}
	}
	return names
}

var (
	camelCase = regexp.MustCompile(`^Countersign(?:[A-Z][a-z0-9]*)+$`)
	recorded  = regexp.MustCompile(`^countersign:[a-z0-9_]+:[a-z0-9_]+$`)
	duration  = regexp.MustCompile(`^(?:[0-9]+[smhd])?$`)
)

func TestRules(t *testing.T) {
	for _, r := range allRules(t) {
		f := func(ok bool, what string) {
			t.Helper()
			if !ok {
				t.Errorf("%s%s: %s", r.Record, r.Alert, what)
			}
		}
		f(r.Expr != "", "no expression")
		if r.Record != "" {
			f(recorded.MatchString(r.Record) && r.Alert == "", "a recorded series is countersign:what:how")
			continue
		}
		f(camelCase.MatchString(r.Alert), "an alert's name is CamelCase and begins with Countersign")
		f(slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]), "severity is critical, warning or info")
		f(duration.MatchString(r.For) && duration.MatchString(r.KeepFiringFor), "for and keep_firing_for are durations")
		f(r.Annotations["summary"] != "" && len(r.Annotations["summary"]) <= 120 && !strings.HasSuffix(r.Annotations["summary"], "."), "summary is one line without a period")
		f(strings.HasSuffix(r.Annotations["description"], "."), "description is in sentences")
		f(r.Annotations["runbook_url"] == DefaultLinks().Runbooks+"/"+r.Alert, "runbook_url is that of its own runbook")
		f(r.Annotations["dashboard_url"] == DefaultLinks().Grafana+"/d/"+overview().UID, "dashboard_url is the overview's")
		f(len(r.Annotations) == 4, "an annotation that nobody reads")
	}
}

// TestRulesNameWhatIsRecorded finds recorded series that nobody records, and those that nobody
// reads.
func TestRulesNameWhatIsRecorded(t *testing.T) {
	exists, read := map[string]bool{}, map[string]bool{}
	var exprs []string
	for _, r := range allRules(t) {
		exists[r.Record] = true
		exprs = append(exprs, r.Expr)
	}
	for _, b := range committed(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				exprs = append(exprs, q.Expr)
			}
		}
	}
	for _, e := range exprs {
		for _, name := range regexp.MustCompile(`countersign:[a-z0-9_:]+`).FindAllString(e, -1) {
			if read[name] = true; !exists[name] {
				t.Errorf("%s is read and not recorded", name)
			}
		}
	}
	for name := range exists {
		if name != "" && !read[name] {
			t.Errorf("%s is recorded and not read", name)
		}
	}
}

// The parts of a runbook, in this order: what somebody who was just woken needs to know.
var runbookParts = []string{"## What it means", "## Who is affected", "## What to do first", "## How to know that it is over"}

func TestRunbooks(t *testing.T) {
	names := alerts(t)
	for _, name := range names {
		text, err := Runbook(name)
		if err != nil {
			t.Errorf("%s has no runbook: %v", name, err)
			continue
		}
		if !strings.HasPrefix(string(text), "# "+name+"\n") {
			t.Errorf("the runbook of %s has another title", name)
		}
		at := 0
		for _, part := range runbookParts {
			i := strings.Index(string(text[at:]), "\n"+part+"\n\n")
			if i < 0 {
				t.Errorf("the runbook of %s lacks %q, or has it elsewhere", name, part)
				break
			}
			at += i + len(part)
		}
		if n := strings.Count(string(text), "\n"); n > 60 {
			t.Errorf("the runbook of %s has %d lines; nobody reads that at night", name, n)
		}
	}
	files, err := fs.Glob(runbooks, "runbooks/*.md")
	if err != nil || len(files) != len(names) {
		t.Errorf("%d runbooks for %d alerts (%v)", len(files), len(names), err)
	}
	if _, err := Runbook("CountersignNoSuchAlert"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Runbook of an alert that does not exist: %v", err)
	}
}

// TestRunbooksNameWhatExists: alerts, panels, metrics, config keys' file and commands in the prose
// are real.
func TestRunbooksNameWhatExists(t *testing.T) {
	code := scan(t)
	names := alerts(t)
	var titles []string
	for _, p := range overview().Panels {
		titles = append(titles, p.Title)
	}
	command := regexp.MustCompile("(?:`|\n +)countersign ([a-z]+(?: [a-z]+)?[^`\n]*)")
	for _, name := range names {
		raw, err := Runbook(name)
		if err != nil {
			continue // reported above
		}
		text := string(raw)
		for _, a := range inAlert.FindAllString(text, -1) {
			if !slices.Contains(names, a) {
				t.Errorf("the runbook of %s names %s, which is no alert", name, a)
			}
		}
		for _, m := range regexp.MustCompile(`\bcountersign_[a-z0-9_]+`).FindAllString(text, -1) {
			if code.metrics[m] == nil {
				t.Errorf("the runbook of %s names %s, which is no metric", name, m)
			}
		}
		for _, m := range regexp.MustCompile(`\*([A-Z][^*\n]+)\*`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(titles, m[1]) {
				t.Errorf("the runbook of %s names the panel %q, which is not on the overview", name, m[1])
			}
		}
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			if err := code.checkCommand(m[1]); err != nil {
				t.Errorf("the runbook of %s: countersign %s: %v", name, m[1], err)
			}
		}
		for _, m := range regexp.MustCompile("log line `([a-z_]+)`").FindAllStringSubmatch(text, -1) {
			if !code.words[m[1]] {
				t.Errorf("the runbook of %s names the log line %s, which is never written", name, m[1])
			}
		}
	}
}
