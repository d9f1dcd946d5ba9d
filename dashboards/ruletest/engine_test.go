package ruletest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const (
	ruleFile = "../alerts.yaml"
	looked   = 4 * time.Hour // how long before its end a story is evaluated; longer ones only lay data before that
)

// healthy is a gateway with three endpoints, and with Kafka, that has nothing to complain of, a
// sample a minute. Values are in promtool's notation; 0+60 goes on for as long as needed.
var healthy = []string{
	`up 1`, `build_info{version="v1",role="all"} 1`, `reload_last_successful 1`, `process_start_time_seconds 1000`, `process_open_fds 50`, `process_max_fds 1000`, `ingest_connections 20`, `ingest_connections_max 4096`,
	`ingest_body_bytes 1e5`, `ingest_body_bytes_max 67108864`, `ingest_bodies_cut_total 0`, `ingest_connections_evicted_total{reason="all"} 0`, `ingest_connections_evicted_total{reason="address"} 0`,
	`ingest_callbacks_total{source="sumsub",verdict="bodies"} 0`, `ingest_callbacks_total{source="unknown",verdict="bodies"} 0`,
	`ingest_callbacks_total{source="sumsub",verdict="accepted"} 0+60`, `ingest_callbacks_total{source="sumsub",verdict="mismatch"} 0`,
	`ingest_callbacks_total{source="sumsub",verdict="backlog"} 0`, `ingest_callbacks_total{source="sumsub",verdict="undecided"} 0`,
	`ingest_callbacks_total{source="sumsub",verdict="panic"} 0`, `ingest_callbacks_total{source="unknown",verdict="unknown"} 0+30`,
	`ingest_callback_seconds_count 0+90`, `ingest_callback_seconds_bucket{le="1.0"} 0+90`, `ingest_clock_ahead_total{source="sumsub"} 0`,
	`ingest_callbacks_total{source="sumsub",verdict="no_key"} 0`, `ingest_provider_faults_total{source="sumsub"} 0`,
	`journal_backlog_records 2`, `journal_unread_records 2`, `journal_backlog_max_records 1000000`, `journal_damaged_records_total 0`, `relay_damaged_changes_total 0`, `journal_quarantine_items 0`,
	`journal_quarantined_total{reason="unreadable"} 0`, `journal_quarantined_total{reason="unknown_event"} 0`,
	`store_full 0`, `store_short{what="disk"} 0`, `store_short{what="size"} 0`, `store_short{what="pending"} 0`, `store_short{what="commit"} 0`, `relay_evaluation_waiting 0`,
	`store_room_bytes 5e10`, `store_pending_bytes 1e6`, `store_reserve_bytes 67108864`, `store_commit_running_seconds 0.001`, `store_unclean_start 0`, `store_file_bytes 1e9`, `store_free_page_bytes 1e8`, `store_max_bytes 64e9`, `store_disk_free_bytes 1e11`,
	`store_commit_seconds_bucket{le="0.25"} 0+1000`, `store_commit_seconds_bucket{le="0.5"} 0+1000`, `store_commit_seconds_bucket{le="+Inf"} 0+1000`,
	`store_commit_failures_total{reason="io"} 0`, `store_commit_failures_total{reason="full"} 0`, `outbox_settle_retries_total 0`,
	`relay_updates_total{verdict="applied"} 0+60`, `relay_updates_total{verdict="parked"} 0`, `relay_updates_total{verdict="ambiguous"} 0`, `relay_updates_total{verdict="held"} 0`, `relay_updates_total{verdict="overruled"} 0`,
	`relay_unrouted_records 0`, `relay_unconfirmed_claims_total 0`, `relay_ambiguous_refs_total 0`, `relay_contested_refs 0`, `relay_submissions_total{outcome="contested"} 0`, `relay_submissions_total{outcome="refused"} 0`,
	`confirm_questions_total{source="sumsub",outcome="answered"} 0+5`, `confirm_questions_total{source="sumsub",outcome="refused"} 0`,
	`confirm_questions_total{source="sumsub",outcome="unsettled"} 0`, `confirm_source_can_ask{source="sumsub"} 1`, `journal_open_questions{source="sumsub"} 3`,
	`confirm_oldest_question_timestamp_seconds 0`, `relay_timer_next_timestamp_seconds 1e9`,
	`relay_timer_lateness_seconds_bucket{le="60.0"} 0+100`, `relay_timer_lateness_seconds_bucket{le="300.0"} 0+100`, `relay_timer_lateness_seconds_bucket{le="+Inf"} 0+100`,
}

// healthyTopic is what each of the two topics adds.
var healthyTopic = []string{
	`forward_records_total{topic="T"} 0+60`, `forward_lag_records{topic="T"} 1`, `forward_lag_seconds{topic="T"} 0.02`, `forward_stopped{topic="T"} 0`,
	`forward_skipped_records_total{topic="T"} 0`, `forward_quarantined_total{topic="T"} 0`,
}

// healthyEndpoint is what each of the three endpoints adds.
var healthyEndpoint = []string{
	`relay_attempts_total{endpoint="E",outcome="done"} 0+20`, `relay_attempts_total{endpoint="E",outcome="retry"} 0`,
	`relay_endpoint_attempt_seconds_sum{endpoint="E"} 0+1`, `relay_endpoint_attempt_seconds_count{endpoint="E"} 0+20`, `relay_endpoint_disabled{endpoint="E"} 0`, `relay_endpoint_paused{endpoint="E"} 0`, `relay_endpoint_breaker{endpoint="E"} 0`,
	`outbox_oldest_due_seconds{endpoint="E"} 0`, `outbox_oldest_pending_seconds{endpoint="E"} 2`, `outbox_oldest_withheld_rejection_seconds{endpoint="E"} 0`, `outbox_pending_deliveries{endpoint="E"} 5`,
	`outbox_max_pending_deliveries{endpoint="E"} 1000000`, `outbox_dead_lettered_deliveries{endpoint="E"} 0`, `outbox_dead_lettered_total{reason="damaged"} 0`,
	`outbox_dead_lettered_total{reason="overflow"} 0`,
}

// story lays the given series over a healthy gateway. A series without job is one of the gateway's.
func story(minutes int, series []string) string {
	all := map[string]string{}
	for _, s := range healthy {
		lay(all, s, minutes)
	}
	for _, e := range []string{"acme", "beta", "gamma"} {
		for _, s := range healthyEndpoint {
			lay(all, strings.ReplaceAll(s, `"E"`, `"`+e+`"`), minutes)
		}
	}
	for _, topic := range []string{"kyc.status-updates", "kyc.status-changes"} {
		for _, s := range healthyTopic {
			lay(all, strings.ReplaceAll(s, `"T"`, `"`+topic+`"`), minutes)
		}
	}
	for _, s := range series {
		lay(all, s, minutes)
	}
	var b strings.Builder
	b.WriteString("load 1m\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "  %s %s\n", name, all[name])
	}
	return b.String()
}

func lay(all map[string]string, series string, minutes int) {
	name, values, _ := strings.Cut(series, " ")
	name, own, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
	if !strings.HasPrefix(name, "process_") && name != "up" {
		name = "countersign_" + name
	}
	if !strings.Contains(own, "instance=") {
		own = strings.Trim(own+`,job="countersign",namespace="kyc",instance="a"`, ",")
	}
	if !strings.ContainsAny(values, "x_") { // one value, or one slope, from beginning to end
		values = fmt.Sprintf("%sx%d", values, minutes)
	}
	all[name+"{"+own+"}"] = values
}

// fired is an alert that fired, and the last minute in which it did.
type fired struct {
	minute int
	alert  *rules.Alert
}

// tell evaluates the rule file minute by minute and returns what fired, by "alert severity".
func tell(t *testing.T, minutes int, series []string) map[string]fired {
	t.Helper()
	ll, err := promqltest.NewLazyLoader(story(minutes, series), promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ll.Close()
	m := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(ll.QueryEngine(), ll.Storage()), Appendable: ll.Storage(), Context: t.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: promslog.NewNopLogger(), Parser: parser.NewParser(parser.Options{}),
	})
	byKey, errs := m.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, ruleFile)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	// In the order of the file: a map has none, and an alert that reads what is recorded would see
	// it a minute late.
	groups := slices.SortedFunc(maps.Values(byKey), func(x, y *rules.Group) int { return cmp.Compare(place(t, x.Name()), place(t, y.Name())) })
	out := map[string]fired{}
	for minute := max(0, minutes-int(looked.Minutes())); minute <= minutes; minute++ {
		at := time.Unix(0, 0).UTC().Add(time.Duration(minute) * time.Minute)
		ll.WithSamplesTill(at, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				g.Eval(ll.Context(), at)
				for _, r := range g.Rules() {
					note(t, out, r, minute)
				}
			}
		})
	}
	return out
}

func note(t *testing.T, out map[string]fired, r rules.Rule, minute int) {
	t.Helper()
	if r.LastError() != nil {
		t.Fatalf("%s in minute %d: %v", r.Name(), minute, r.LastError())
	}
	a, ok := r.(*rules.AlertingRule)
	if !ok {
		return
	}
	a.SetRestored(true)
	for _, active := range a.ActiveAlerts() {
		if active.State == rules.StateFiring {
			out[a.Name()+" "+a.Labels().Get("severity")] = fired{minute, active}
		}
	}
}
