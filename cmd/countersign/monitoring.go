package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"countersign/dashboards"
)

// monitoringCommand prints what Prometheus, Alertmanager and Grafana load, as this program has it.
type monitoringCommand struct {
	Rules        rulesCommand        `cmd:"" help:"Print the recording rules and alerts for Prometheus, as YAML."`
	Dashboard    dashboardCommand    `cmd:"" help:"Print the dashboard for Grafana, as JSON."`
	Alertmanager alertmanagerCommand `cmd:"" help:"Print an example of a config for Alertmanager, as YAML."`
	Runbook      runbookCommand      `cmd:"" help:"Print what to do about an alert, as Markdown."`
}

// linksFlags say where links lead to.
type linksFlags struct {
	Runbooks string `default:"http://127.0.0.1:8481/runbooks" help:"Where runbooks are, as an absolute URL; {alert} in it stands for the alert's name, which else follows. Without it, the gateway serves them to its own machine."`
	Grafana  string `default:"http://127.0.0.1:3000" help:"Where Grafana is, as an absolute URL."`
	Console  string `default:"http://127.0.0.1:8481" help:"Where the gateway's console is, as an absolute URL."`
}

// links are those of the flags.
func (f *linksFlags) links() (dashboards.Links, error) {
	l := dashboards.Links{Runbooks: f.Runbooks, Grafana: f.Grafana, Console: f.Console}
	return l, l.Check()
}

type rulesCommand struct{ linksFlags }

// Run prints the rules.
func (cmd *rulesCommand) Run(c *console) error {
	l, err := cmd.links()
	if err != nil {
		return err
	}
	c.printf("%s", dashboards.RulesTo(l))
	return nil
}

type dashboardCommand struct{ linksFlags }

// Run prints the dashboard.
func (cmd *dashboardCommand) Run(c *console) error {
	l, err := cmd.links()
	if err != nil {
		return err
	}
	text, err := dashboards.OverviewTo(l)
	c.printf("%s", text)
	return err
}

type alertmanagerCommand struct{}

// Run prints the example.
func (cmd *alertmanagerCommand) Run(c *console) error { //nolint:unparam // kong calls nothing that returns no error
	c.printf("%s", dashboards.Alertmanager())
	return nil
}

type runbookCommand struct {
	Alert string `arg:"" optional:"" help:"The alert's name, such as CountersignTargetMissing; without it, all names are listed."`
}

// Run prints a runbook, or says which there are.
func (cmd *runbookCommand) Run(c *console) error {
	if cmd.Alert == "" {
		c.printf("%s\n", strings.Join(dashboards.Alerts(), "\n"))
		return nil
	}
	text, err := dashboards.Runbook(cmd.Alert)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("there is no alert %s; countersign monitoring runbook lists them", cmd.Alert)
	}
	c.printf("%s", text)
	return err
}
