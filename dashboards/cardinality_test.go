package dashboards

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const monitoring = "../docs/MONITORING.md"

// bounds are how many series a metric has at most: products and sums of numbers, S sources, E
// endpoints in the config, and F formats that they use. Without a line here it is 1, or one for
// each value of its only label where that is a source, an endpoint or one of two topics.
var bounds = map[string]string{
	"build_info": "1", "ingest_callbacks_total": "26 * S + 26", "ingest_source_evidence": "S", "ingest_callback_seconds": "16", "ingest_connections_evicted_total": "2", "ingest_handshakes_refused_total": "3",
	"confirm_call_seconds": "13", "confirm_key_lookups_total": "4 * S", "confirm_questions_total": "10 * S", "control_audited_calls_total": "4", "control_refused_total": "8",
	"forward_errors_total": "22", "forward_produce_seconds": "32", "journal_quarantined_total": "8",
	"outbox_dead_lettered_total": "6", "outbox_oldest_withheld_rejection_seconds": "E + 33",
	"relay_attempt_reasons_total": "23", "relay_attempt_seconds": "16", "relay_attempts_total": "3 * E", "relay_deliveries_total": "3 * F", "relay_end_to_end_seconds": "20",
	"relay_endpoint_attempt_seconds": "2 * E", "relay_endpoint_info": "E", "relay_evaluation_seconds": "13", "relay_notices_total": "4", "relay_replays": "3", "relay_status_changes_total": "7", "relay_submissions_total": "5", "relay_subjects_held": "2",
	"relay_timer_lateness_seconds": "17", "relay_timers_fired_total": "3", "relay_updates_total": "10", "reloads_total": "3", "starts_total": "2",
	"store_commit_failures_total": "2", "store_commit_group_size": "14", "store_commit_seconds": "15", "store_compactions_total": "2", "store_damaged_records": "28", "store_repaired_records": "2",
	"store_records_written_total": "2", "store_short": "4", "stream_connections_total": "8 * S", "stream_events_total": "5 * S", "tracing_spans_total": "3",
}

// TestMetricsTable holds the table of metrics in docs/MONITORING.md to the code. Its numbers are held
// to a gateway's registry by promtest.
func TestMetricsTable(t *testing.T) {
	c := scan(t)
	var table strings.Builder
	table.WriteString("<!-- metrics: begin -->\n| metric | labels | series at most |\n|---|---|---|\n")
	told := 0
	for _, name := range slices.Sorted(maps.Keys(basesOf(c))) {
		if notShown[name] != "" {
			continue
		}
		labels := c.metrics[name]
		if labels == nil {
			labels = c.metrics[name+"_sum"]
		}
		bound := bounds[strings.TrimPrefix(name, "countersign_")]
		switch {
		case bound != "":
			told++
		case len(labels) == 0:
			bound = "1"
		case len(labels) == 1 && labels[0] == "source":
			bound = "S"
		case len(labels) == 1 && labels[0] == "endpoint":
			bound = "E"
		case len(labels) == 1 && labels[0] == "topic":
			bound = "2"
		default:
			t.Errorf("%s has the labels %v, and nobody says how many series that makes", name, labels)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", name, strings.Join(labels, ", "), strings.ReplaceAll(bound, "*", "×"))
	}
	table.WriteString("<!-- metrics: end -->")
	if told != len(bounds) {
		t.Errorf("%d of the %d bounds are of no metric", len(bounds)-told, len(bounds))
	}
	doc, err := os.ReadFile(monitoring)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)<!-- metrics: begin -->.*<!-- metrics: end -->`)
	want := block.ReplaceAllLiteralString(string(doc), table.String())
	if string(doc) == want && strings.Contains(want, table.String()) {
		return
	}
	if !*update {
		t.Fatal("the table of metrics in docs/MONITORING.md is not what the code has; run go test ./dashboards -run TestMetricsTable -update")
	}
	if err := os.WriteFile(monitoring, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

func basesOf(c *code) map[string]bool {
	all := map[string]bool{}
	for _, base := range c.base {
		all[base] = true
	}
	return all
}
