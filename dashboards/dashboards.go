// Package dashboards is what operators look at: a Grafana dashboard, the Prometheus rules and a
// runbook for each alert, embedded so that a binary carries what fits it.
//
// Its promise: every metric that is named here exists in the code, every metric of the code is
// shown or alerted on (or listed as not shown, with the reason), every alert has a runbook, and the
// dashboard is what its description in overview_test.go says. It imports nothing of ours. How
// Grafana renders the dashboard is not tested.
//
// Prometheus scrapes /metrics on the control listener, or on listen.metrics, with classic or with
// native histograms: panels and rules read what there is. Load alerts.yaml with rule_files; its
// runbook links are paths in this repository.
package dashboards

import (
	"embed"
	"io/fs"
)

//go:generate go test . -run TestDashboardsAreCurrent -update

var (
	//go:embed *.json
	dashboards embed.FS
	//go:embed alerts.yaml
	rules string
	//go:embed runbooks/*.md
	runbooks embed.FS
)

// Dashboards holds the Grafana dashboards, one JSON file each, ready to import or to provision.
func Dashboards() fs.FS { return dashboards }

// Rules returns the Prometheus recording rules and alerts, as YAML.
func Rules() []byte { return []byte(rules) }

// Runbook returns what to do about an alert, as Markdown; an error wraps fs.ErrNotExist if there is
// no such alert.
func Runbook(alert string) ([]byte, error) { return runbooks.ReadFile("runbooks/" + alert + ".md") }
