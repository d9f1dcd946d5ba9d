// Package dashboards is what operators look at: a Grafana dashboard, the Prometheus rules and a
// runbook for each alert, embedded so that a binary carries what fits it.
//
// Its promise: every metric that is named here exists in the code, every metric of the code is
// shown or alerted on (or listed as not shown, with the reason), every alert has a runbook, and the
// dashboard is what its description in overview_test.go says. It imports nothing of ours. How
// Grafana renders the dashboard is not tested.
//
// Prometheus scrapes /metrics on the control listener, or on listen.metrics, with classic or with
// native histograms: panels and rules read what there is. Load alerts.yaml with rule_files. Its links
// lead to the gateway and to Grafana on the same machine; countersign monitoring prints it with
// others.
package dashboards

import (
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"strings"
)

//go:generate go test . -run TestDashboardsAreCurrent -update

var (
	//go:embed *.json
	dashboards embed.FS
	//go:embed alerts.yaml
	rules string
	//go:embed runbooks/*.md
	runbooks embed.FS
	//go:embed alertmanager.example.yml
	alertmanager string
)

// Links are where the links in rules and dashboards lead to: absolute URLs, without a slash at the
// end.
type Links struct {
	Runbooks string // {alert} stands for the name of an alert, which else follows behind a slash
	Grafana  string
	Console  string // the gateway's control listener
}

// DefaultLinks are those in the files as they are: everything is on one machine, and the gateway
// itself serves the runbooks.
func DefaultLinks() Links {
	return Links{Runbooks: "http://127.0.0.1:8481/runbooks", Grafana: "http://127.0.0.1:3000", Console: "http://127.0.0.1:8481"}
}

// Check reports the first link that is no absolute http or https URL.
func (l Links) Check() error {
	for _, link := range []string{l.Runbooks, l.Grafana, l.Console} {
		if u, err := url.Parse(link); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%q is no absolute URL: write it as https://host/path", link)
		}
	}
	return nil
}

var runbookLink = regexp.MustCompile(`http://127\.0\.0\.1:8481/runbooks/(\w+|\$\{[^}]*\})`)

// in puts the links into a text that has the default ones.
func (l Links) in(text string) []byte {
	d := DefaultLinks()
	const mark = "\x00" // in place of what must not be replaced again
	text = runbookLink.ReplaceAllString(text, mark+"$1"+mark)
	text = strings.ReplaceAll(text, d.Console, strings.TrimRight(l.Console, "/"))
	text = strings.ReplaceAll(text, d.Grafana, strings.TrimRight(l.Grafana, "/"))
	base := strings.TrimRight(l.Runbooks, "/")
	if !strings.Contains(base, "{alert}") {
		base += "/{alert}"
	}
	return []byte(regexp.MustCompile(mark+"([^"+mark+"]*)"+mark).ReplaceAllStringFunc(text, func(m string) string {
		return strings.ReplaceAll(base, "{alert}", strings.Trim(m, mark))
	}))
}

// RulesTo returns the rules with other links.
func RulesTo(l Links) []byte { return l.in(rules) }

// OverviewTo returns the overview with other links, as JSON that Grafana imports or provisions.
func OverviewTo(l Links) ([]byte, error) {
	text, err := dashboards.ReadFile("overview.json")
	return l.in(string(text)), err
}

// Alertmanager returns an example of a config of Prometheus' Alertmanager for these alerts.
func Alertmanager() []byte { return []byte(alertmanager) }

// Alerts are the names of all alerts that have a runbook.
func Alerts() (names []string) {
	files, _ := fs.Glob(runbooks, "runbooks/*.md") // the pattern is right
	for _, f := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(f, "runbooks/"), ".md"))
	}
	return names
}

// Dashboards holds the Grafana dashboards, one JSON file each, ready to import or to provision.
func Dashboards() fs.FS { return dashboards }

// Rules returns the Prometheus recording rules and alerts, as YAML.
func Rules() []byte { return []byte(rules) }

// Runbook returns what to do about an alert, as Markdown; an error wraps fs.ErrNotExist if there is
// no such alert.
func Runbook(alert string) ([]byte, error) { return runbooks.ReadFile("runbooks/" + alert + ".md") }
