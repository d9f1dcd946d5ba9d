package console

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// How often samples are taken, and how many are kept.
const (
	fineEvery   = 10 * time.Second // for an hour
	coarseEvery = 4 * time.Minute  // for a day
	ringSamples = 361              // of each; their rates are one fewer
	fresh       = 2 * time.Second  // for how long a reading is shown to whoever asks
)

// reading is what the metrics of the process say at an instant. Of what is not measured here, such
// as Kafka's lag without Kafka, the key is missing.
type reading struct {
	at   time.Time
	sums map[string]float64            // of all that a measure takes together
	by   map[string]map[string]float64 // of some, by a label
	each []tally                       // of each endpoint, at its place
}

// measure is one number that is made of a family of metrics.
type measure struct {
	name   string
	family string
	keep   map[string][]string                 // only what has one of these values; nil: all
	drop   map[string][]string                 // but for these
	most   bool                                // the largest of them, in place of their sum
	by     string                              // also apart by this label
	counts func(v float64, now time.Time) bool // how many of them are so, in place of their sum
}

// soon is how long before its end a key or a certificate is shown as about to end.
const soon = 14 * 24 * time.Hour

func isOn(v float64, _ time.Time) bool   { return v > 0 }
func isOpen(v float64, _ time.Time) bool { return v > 1 } // of a breaker: half-open is 1
func ends(v float64, now time.Time) bool { return v > 0 && v < float64(now.Add(soon).Unix()) }
func mode(m string) map[string][]string  { return map[string][]string{"mode": {m}} }

var (
	taken    = []string{"accepted", "ignored", "quarantined", "handshake"}
	measures = []measure{
		{name: "in", family: "countersign_ingest_callbacks_total", keep: map[string][]string{"verdict": taken}},
		{name: "refused", family: "countersign_ingest_callbacks_total", drop: map[string][]string{"verdict": taken}, by: "verdict"},
		{name: "delivered", family: "countersign_relay_attempts_total", keep: map[string][]string{"outcome": {"done"}}},
		{name: "failed", family: "countersign_relay_attempts_total", drop: map[string][]string{"outcome": {"done"}}},
		{name: "pending", family: "countersign_outbox_pending_deliveries"},
		{name: "oldest", family: "countersign_outbox_oldest_pending_seconds", most: true},
		{name: "backlog", family: "countersign_journal_backlog_records", most: true},
		{name: "backlog_max", family: "countersign_journal_backlog_max_records", most: true},
		{name: "file", family: "countersign_store_file_bytes"},
		{name: "free", family: "countersign_store_free_page_bytes"},
		{name: "file_max", family: "countersign_store_max_bytes"},
		{name: "disk_free", family: "countersign_store_disk_free_bytes"},
		{name: "kafka", family: "countersign_forward_lag_records", by: "topic"},
		{name: "kafka_age", family: "countersign_forward_lag_seconds", most: true},
		{name: "held", family: "countersign_relay_subjects_held", keep: mode("live")},
		{name: "held_test", family: "countersign_relay_subjects_held", keep: mode("test")},
		{name: "withheld_age", family: "countersign_outbox_oldest_withheld_rejection_seconds", most: true},
		{name: "quarantine", family: "countersign_journal_quarantine_items"},
		{name: "questions", family: "countersign_journal_open_questions"},
		{name: "unrouted", family: "countersign_relay_unrouted_records"},
		{name: "contested", family: "countersign_relay_contested_refs"},
		{name: "set_aside", family: "countersign_relay_subjects_set_aside"},
		{name: "dead", family: "countersign_outbox_dead_lettered_deliveries"},
		{name: "disabled", family: "countersign_relay_endpoint_disabled", counts: isOn},
		{name: "paused", family: "countersign_relay_endpoint_paused", counts: isOn},
		{name: "breakers", family: "countersign_relay_endpoint_breaker", counts: isOpen},
		{name: "keys", family: "countersign_relay_key_expires_timestamp_seconds", counts: ends},
		{name: "certificates", family: "countersign_relay_client_certificate_expires_timestamp_seconds", counts: ends},
		{name: "own_certificate", family: "countersign_ingest_certificate_expires_timestamp_seconds", counts: ends},
		{name: "full", family: "countersign_store_full", counts: isOn},
	}
)

// The families that are read of each endpoint.
const (
	attemptsFamily = "countersign_relay_attempts_total"
	secondsFamily  = "countersign_relay_endpoint_attempt_seconds"
)

// Families are the metrics that the console reads. All others need not be gathered for it.
func Families() []string {
	all := []string{attemptsFamily, secondsFamily}
	for i := range measures {
		all = append(all, measures[i].family)
	}
	return all
}

// ring keeps samples of the last hour and the last day, in memory.
type ring struct {
	from   prometheus.Gatherer
	now    func() time.Time
	places places

	mu           sync.Mutex // guards what follows
	last         *reading
	fine, coarse []*reading // the oldest first
}

func newRing(from prometheus.Gatherer, now func() time.Time) *ring {
	return &ring{from: from, now: now}
}

// run takes samples until ctx ends.
func (r *ring) run(ctx context.Context) error {
	tick := time.NewTicker(fineEvery)
	defer tick.Stop()
	for {
		r.sample()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sample keeps what the metrics say now.
func (r *ring) sample() {
	now := r.read()
	if now == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = now
	r.fine = push(r.fine, now)
	if n := len(r.coarse); n == 0 || now.at.Sub(r.coarse[n-1].at) >= coarseEvery-fineEvery/2 {
		r.coarse = push(r.coarse, now)
	}
}

func push(all []*reading, one *reading) []*reading {
	if len(all) >= ringSamples {
		copy(all, all[1:])
		all = all[:len(all)-1]
	}
	return append(all, one)
}

// latest is a reading that is not older than fresh; nil: the metrics cannot be read.
func (r *ring) latest() *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || r.now().Sub(r.last.at) > fresh {
		if now := r.read(); now != nil {
			r.last = now
		}
	}
	return r.last
}

// hour and day are the samples of that time, the oldest first.
func (r *ring) hour() []*reading {
	return r.since(func() []*reading { return r.fine }, time.Hour)
}

func (r *ring) day() []*reading {
	return r.since(func() []*reading { return r.coarse }, 24*time.Hour)
}

func (r *ring) since(of func() []*reading, long time.Duration) (kept []*reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := r.now().Add(-long - fineEvery)
	for _, one := range of() {
		if one.at.After(from) {
			kept = append(kept, one)
		}
	}
	return kept
}

// read gathers the metrics. What can be gathered of them counts, where not all can.
func (r *ring) read() *reading {
	families, _ := r.from.Gather()
	if len(families) == 0 {
		return nil
	}
	found := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		found[f.GetName()] = f
	}
	now := &reading{at: r.now(), sums: map[string]float64{}, by: map[string]map[string]float64{}}
	for i := range measures {
		if f := found[measures[i].family]; f != nil {
			now.take(&measures[i], f)
		}
	}
	now.each = r.places.take(found, now.at)
	return now
}

// take makes one number of a family.
func (now *reading) take(m *measure, f *dto.MetricFamily) {
	sum, by := 0.0, map[string]float64{}
	for _, one := range f.GetMetric() {
		if !m.wants(one) {
			continue
		}
		v := value(one)
		switch {
		case m.counts != nil && m.counts(v, now.at):
			sum++
		case m.counts != nil:
		case m.most:
			sum = max(sum, v)
		default:
			sum += v
		}
		if m.by != "" {
			by[label(one, m.by)] += v
		}
	}
	now.sums[m.name] = sum
	if m.by != "" {
		now.by[m.name] = by
	}
}

func (m *measure) wants(one *dto.Metric) bool {
	for name, values := range m.keep {
		if !slices.Contains(values, label(one, name)) {
			return false
		}
	}
	for name, values := range m.drop {
		if slices.Contains(values, label(one, name)) {
			return false
		}
	}
	return true
}

func label(one *dto.Metric, name string) string {
	for _, l := range one.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func value(one *dto.Metric) float64 {
	switch {
	case one.GetCounter() != nil:
		return one.GetCounter().GetValue()
	case one.GetGauge() != nil:
		return one.GetGauge().GetValue()
	default:
		return one.GetUntyped().GetValue()
	}
}
