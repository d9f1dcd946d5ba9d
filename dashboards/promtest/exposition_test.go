//go:build realprometheus

package promtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// parse is Python's: the reference parser of OpenMetrics, which refuses a name that stands twice.
const parse = `
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
print(len(list(text_string_to_metric_families(sys.stdin.read()))))
`

// TestExposition: what the gateway answers is what the formats ask for.
func TestExposition(t *testing.T) {
	g := newTown(t)
	g.start()
	stop := g.load(t)
	eventually(t, "callbacks are counted", func() bool {
		return bytes.Contains(g.exposition("text/plain"), []byte(`countersign_ingest_callbacks_total{source="unknown",verdict="unknown"} 1`))
	})
	stop()
	open := g.exposition("application/openmetrics-text; version=1.0.0; charset=utf-8")
	if !bytes.HasSuffix(open, []byte("# EOF\n")) {
		t.Error("it does not speak OpenMetrics")
	}
	python := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", parse)
	python.Stdin = bytes.NewReader(open)
	out, err := python.CombinedOutput()
	if err != nil {
		t.Errorf("OpenMetrics, as Python's prometheus_client parses it (apt-get install python3-prometheus-client): %v\n%s", err, out)
	}
	t.Logf("%s families", strings.TrimSpace(string(out)))

	promtool := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	promtool.Stdin = bytes.NewReader(g.exposition("text/plain"))
	out, err = promtool.CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestRulesAreClean: promtool's linter finds nothing.
func TestRulesAreClean(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", "--lint=all", "--lint-fatal", "../alerts.yaml").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", bytes.TrimSpace(out))
}

// TestPrinted: what the program prints for Prometheus and Alertmanager is what they take, with links
// of one's own, and an alert goes where its severity says.
func TestPrinted(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "countersign")
	run := func(name string, args ...string) []byte {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return out
	}
	keep := func(name string, text []byte) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	run("go", "-C", "../..", "build", "-o", binary, "./cmd/countersign")
	rules := run(binary, "monitoring", "rules", "--runbooks", "https://wiki.example/kyc", "--grafana", "https://grafana.example")
	if !bytes.Contains(rules, []byte("runbook_url: https://wiki.example/kyc/CountersignPanics\n")) || bytes.Contains(rules, []byte("127.0.0.1")) {
		t.Error("the links are not those that were asked for")
	}
	run("promtool", "check", "rules", "--lint=all", "--lint-fatal", keep("rules.yml", rules))
	config := keep("alertmanager.yml", run(binary, "monitoring", "alertmanager"))
	run("amtool", "check-config", config)
	for labels, receiver := range map[string]string{
		"alertname=CountersignPanics severity=critical": "on-call", "alertname=CountersignPendingHigh severity=warning": "office",
		"alertname=CountersignApprovalsHeld severity=info": "nobody", "alertname=CountersignWatchdog severity=info": "dead-mans-switch",
	} {
		args := append([]string{"config", "routes", "test", "--config.file=" + config, "--verify.receivers=" + receiver}, strings.Fields(labels)...)
		run("amtool", args...)
	}
}
