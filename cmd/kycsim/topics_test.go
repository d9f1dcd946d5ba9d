package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sampleRecord is an update as the topics promise it.
func sampleRecord() *kgo.Record {
	return &kgo.Record{
		Topic: topicUpdates, Partition: 3, Offset: 7, Key: []byte("acme/user-001"),
		Value: []byte(`{"schema_version":1,"id":"01J","kind":"observation","source":"s","partner":"acme","subject":{"id":"user-001","kind":"individual"},` +
			`"status":"rejected","occurred_at":"2026-03-19T09:20:00.001Z","received_at":"2026-03-19T09:20:01.2Z",` +
			`"body_sha256":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}`),
		Headers: []kgo.RecordHeader{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte("01J")},
			{Key: "ce_source", Value: []byte("/sources/s")},
			{Key: "ce_type", Value: []byte("kyc.update.observation")},
			{Key: "ce_time", Value: []byte("2026-03-19T09:20:00.001Z")},
			{Key: "ce_subject", Value: []byte("acme/user-001")},
			{Key: "content-type", Value: []byte("application/json")},
			{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
		},
	}
}

func TestTopicLine(t *testing.T) {
	f := func(name, want string, change func(r *kgo.Record)) {
		t.Helper()
		r, l := sampleRecord(), topicLine{}
		change(r)
		if l.read(r, time.Unix(1, 0)); want == "" && l.Bad != "" || !strings.Contains(l.Bad, want) {
			t.Errorf("%s: %q, want %q", name, l.Bad, want)
		}
	}
	set := func(name, text string) func(*kgo.Record) {
		return func(r *kgo.Record) {
			i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == name })
			r.Headers[i].Value = []byte(text)
		}
	}
	without := func(name string) func(*kgo.Record) {
		return func(r *kgo.Record) {
			r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == name })
		}
	}
	f("sound", "", func(*kgo.Record) {})
	f("no traceparent", "", without("traceparent"))
	for _, name := range []string{"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "content-type"} {
		f("without "+name, name, without(name))
	}
	f("another id", "ce_id", set("ce_id", "01K"))
	f("another type", "ce_type", set("ce_type", "kyc.update.timer"))
	f("another time", "ce_time", set("ce_time", "2026-03-19T09:20:00Z"))
	f("no time", "ce_time", set("ce_time", "yesterday"))
	f("another traceparent", "traceparent", set("traceparent", "00-1"))
	f("another key", "the key", func(r *kgo.Record) { r.Key = []byte("acme/user-002") })
	f("a header twice", "twice", func(r *kgo.Record) { r.Headers = append(r.Headers, r.Headers[1]) })
	f("no JSON", "JSON", func(r *kgo.Record) { r.Value = []byte("{") })

	var again topicLine
	later := sampleRecord()
	later.Value = bytes.ReplaceAll(later.Value, []byte("09:20:01.2Z"), []byte("09:21:00Z"))
	again.read(later, time.Unix(2, 0))
	var l, back topicLine
	l.read(sampleRecord(), time.Unix(1, 5))
	want := topicLine{
		T: 1e9 + 5, Topic: topicUpdates, Partition: 3, Offset: 7, Key: "acme/user-001", ID: "01J", Type: "kyc.update.observation", Subject: "user-001", Status: "rejected",
		At: time.Date(2026, 3, 19, 9, 20, 0, 1e6, time.UTC).UnixMilli(), Body: "00112233445566778899aabbccddeeff", SHA: digest(sampleRecord().Value), Core: l.Core,
	}
	if again.Core != l.Core || again.SHA == l.SHA {
		t.Errorf("taken later: %+v, first %+v", again, l)
	}
	if err := json.Unmarshal(l.appendTo(nil), &back); err != nil || back != l || l != want {
		t.Errorf("%+v, %v;\n%+v, want\n%+v", back, err, l, want)
	}
}

func TestChaosPlans(t *testing.T) {
	f := func(text string, nodes, replication int, backlog int64, refuses, refusesNot string, ok bool) {
		t.Helper()
		p, err := planOf(text)
		if (err == nil) != ok {
			t.Errorf("planOf(%q): %v", text, err)
		}
		if ok && (p.nodes != nodes || p.replication() != replication || p.backlog != backlog || refuses != "" && !p.refuses(refuses) || refusesNot != "" && p.refuses(refusesNot)) {
			t.Errorf("planOf(%q) = %+v", text, p)
		}
	}
	f("leader", 3, 3, 0, "", "503", true)
	f("kills+leader", 3, 3, 0, "0", "", true)
	f("leaderless", 3, 1, 0, "", "0", true)
	f("bound", 1, 1, 20_000, "503", "500", true)
	f("leader+", 0, 0, 0, "", "", false)
	f("", 0, 0, 0, "", "", false)
}

func TestChaosVerdict(t *testing.T) {
	p, err := planOf("bound")
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, want bool, change func(r *chaosReport)) {
		t.Helper()
		r := &chaosReport{soakReport: soakReport{ready: new(latencies), Found: findings{Acked: 10}}}
		change(r)
		if r.judge(&p); r.OK != want {
			t.Errorf("%s: %v %v, want %v", name, r.OK, r.Problems, want)
		}
		if err := printFigures(io.Discard, r.figures(), r.remarks()); err != nil {
			t.Error(err)
		}
	}
	refused := func(code string) func(*chaosReport) {
		return func(r *chaosReport) { r.Fired.Refused = map[string]int64{code: 1} }
	}
	f("good", true, func(*chaosReport) {})
	f("refused as it may be", true, refused("503"))
	f("refused otherwise", false, refused("500"))
	f("not answered", false, refused("0"))
	f("refused without Retry-After", false, func(r *chaosReport) { r.Fired.NoRetryAfter = 1 })
	f("given up", false, func(r *chaosReport) { r.Fired.GivenUp = 1 })
	f("lost to the topic", false, func(r *chaosReport) { r.Topics.Updates.Lost = 1 })
	f("lost to the partner", false, func(r *chaosReport) { r.Found.Lost = 1 })
	f("a repeat without a fault", false, func(r *chaosReport) { r.Topics.Changes.Unexplained = 1 })
	f("more repeats than excused", false, func(r *chaosReport) { r.Topics.Changes.Repeated = 1 })
	f("nothing acknowledged", false, func(r *chaosReport) { r.Found.Acked = 0 })

	c := chaosCmd{ExpectFailure: true}
	lossy := &chaosReport{Topics: topicFindings{Updates: streamFindings{Lost: 1}}}
	if c.verdict([]*chaosReport{{soakReport: soakReport{OK: true}}, lossy}) != nil || c.verdict([]*chaosReport{{soakReport: soakReport{OK: true}}}) == nil {
		t.Error("a loss that was expected is no success, or none is one")
	}
	c.ExpectFailure = false
	if c.verdict([]*chaosReport{{soakReport: soakReport{OK: true}}}) != nil || c.verdict([]*chaosReport{{soakReport: soakReport{OK: true}}, lossy}) == nil {
		t.Error("a loss is a success, or none is none")
	}
}

func TestKafkaYAML(t *testing.T) {
	k := kafkaSetup{brokers: []string{"127.0.0.1:1", "127.0.0.1:2"}, ack: "disk", create: true, partitions: 12, replication: 3}
	s := setup{dir: "/d", kafka: &k, backlog: 5}
	text := s.yaml("127.0.0.1:3", "127.0.0.1:4")
	for _, want := range []string{"kafka: {brokers: [127.0.0.1:1, 127.0.0.1:2], ack: disk, create: true, partitions: 12, replication: 3}\n", "storage: {backlog: 5}\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
	if s = (setup{dir: "/d"}); strings.Contains(s.yaml("", ""), "kafka") || !strings.Contains(s.yaml("", ""), "backlog: 100000000}") {
		t.Error("a setup without Kafka speaks of it")
	}
}

// TestJudgeCommand holds the exit of `kycsim judge` with ledgers of topics.
func TestJudgeCommand(t *testing.T) {
	f := func(name string, want int, say string, write func(w *topicWriting)) {
		t.Helper()
		w := newTopicWriting(t)
		write(w)
		w.judgeTopics()
		args := []string{"judge", "--fired", w.o.Fired[0], "--topics", w.o.Topics[0]}
		if w.o.Received != nil {
			args = append(args, "--received", w.o.Received[0])
		}
		for _, args := range [][]string{args, append(slices.Clone(args), "--json")} {
			var out, errs bytes.Buffer
			if code := run(args, &out, &errs); code != want || !strings.Contains(out.String()+errs.String(), say) {
				t.Errorf("%s: exit %d, want %d; %s%s", name, code, want, out.String(), errs.String())
			}
		}
	}
	f("sound", 0, "lost", sound)
	f("lost", 1, "lost: event 3 of ann", func(w *topicWriting) { sound(w); w.sends("ann", 3, "rejected", true) })
	f("repeated without a fault", 1, "repeat", func(w *topicWriting) { sound(w); w.update("ann", 2, "approved", nil) })
	f("without a partner", 0, "lost", func(w *topicWriting) { w.o.Received = nil; sound(w) })
	f("nothing acknowledged", 1, "nothing was acknowledged", func(*topicWriting) {})
	var out, errs bytes.Buffer
	if code := run([]string{"judge", "--fired", filepath.Join(t.TempDir(), "none")}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "--topics") {
		t.Errorf("neither partner nor topics: exit %d, %s", code, errs.String())
	}
}

// TestFireRetryAfter holds that refusals without a Retry-After are counted, and that each answer is
// told.
func TestFireRetryAfter(t *testing.T) {
	f := func(code int, retryAfter string, want int64) {
		t.Helper()
		tries, answers := 0, []int(nil)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tries++; tries == 1 {
				if retryAfter != "" {
					w.Header().Set("Retry-After", retryAfter)
				}
				w.WriteHeader(code)
			}
		}))
		defer server.Close()
		sum, err := fire(t.Context(), fireOptions{
			URL: server.URL + "/", Sources: []*source{testSource(t, "one", "sumsub", "k1")}, Count: 1, Connections: 1, Persons: 1, Events: 1, GiveUp: time.Minute,
			Answered: func(_ *callback, code int, _ time.Time) { answers = append(answers, code) },
		})
		if err != nil || sum.NoRetryAfter != want || !slices.Equal(answers, []int{code, 200}) {
			t.Errorf("%d %q: %+v %v, %v; want %d", code, retryAfter, sum, answers, err, want)
		}
	}
	f(503, "1", 0)
	f(503, "", 1)
	f(429, "", 1)
	f(500, "", 0)
}

func TestGauge(t *testing.T) {
	g := &gauge{answered: map[string]time.Time{}, read: map[string]time.Time{}}
	now := time.Now()
	answer := func(subject string, code int, at time.Duration) {
		g.answer(&callback{line: firedLine{Subject: subject}}, code, now.Add(at))
	}
	record := func(topic, subject string, at time.Duration) {
		g.record(&topicLine{Topic: topic, Subject: subject, Body: "00"}, now.Add(at))
	}
	answer("ann", 503, 0)
	answer("ann", 200, time.Millisecond)
	record(topicChanges, "ann", 2*time.Millisecond)
	record(topicUpdates, "ann", 6*time.Millisecond)
	record(topicUpdates, "ann", 90*time.Millisecond)
	record(topicUpdates, "bob", 0) // read before the answer was heard
	answer("bob", 200, time.Millisecond)
	answer("cleo", 200, 0) // never read
	if n, p := g.took.n.Load(), g.took.quantile(1).Round(time.Millisecond); n != 2 || p != 5*time.Millisecond || g.took.quantile(0.5) > time.Microsecond {
		t.Errorf("%d measured, at most %s", n, p)
	}
}

// TestSettled holds what a gateway is waited for, with topics and without.
func TestSettled(t *testing.T) {
	f := func(name, metrics string, kafka, want bool) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, metrics) }))
		defer server.Close()
		g := &gateway{control: server.URL, kafka: kafka, exited: make(chan struct{})}
		if _, err := g.settled(t.Context(), 100*time.Millisecond); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	const told = metricOwed + "{endpoint=\"a\"} 0\n" + metricBacklog + " 0\n"
	lag := func(updates, changes string) string {
		return told + metricLag + "{topic=\"" + topicUpdates + "\"} " + updates + "\n" + metricLag + "{topic=\"" + topicChanges + "\"} " + changes + "\n"
	}
	f("no topics", told, false, true)
	f("no figure for topics", told, true, false)
	f("topics", lag("0", "0"), true, true)
	f("one topic behind", lag("0", "3"), true, false)
	f("owed", metricOwed+" 1\n"+metricBacklog+" 0\n", false, false)
	f("no figures", "", false, false)
}
