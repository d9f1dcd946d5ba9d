//go:build realprometheus

package promtest

import (
	"bytes"
	"os/exec"
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
