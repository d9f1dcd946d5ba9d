package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
)

func TestLatencies(t *testing.T) {
	var l latencies
	if l.quantile(0.5) != 0 {
		t.Error("no durations have a median")
	}
	for i := 1; i <= 1000; i++ {
		l.add(time.Duration(i) * time.Millisecond)
	}
	f := func(q float64, want time.Duration) {
		t.Helper()
		if got := l.quantile(q); got < want || float64(got) > 1.02*float64(want) {
			t.Errorf("quantile(%g) = %s, want %s", q, got, want)
		}
	}
	f(0.001, time.Millisecond)
	f(0.5, 500*time.Millisecond)
	f(0.99, 990*time.Millisecond)
	f(1, time.Second)
	for _, v := range []uint64{0, 1, 63, 64, 127, 128, 129, 1 << 20, math.MaxInt64} {
		if i := bucketOf(v); upperOf(i) < v || i > 0 && upperOf(i-1) >= v || i >= len(l.counts) {
			t.Errorf("%d is in bucket %d, which ends at %d", v, i, upperOf(i))
		}
	}
}

func TestSumOf(t *testing.T) {
	const text = `# HELP x_total Help with x_total 5 in it.
# TYPE x_total counter
x_total{endpoint="a b{}"} 3
x_total{endpoint="b"} 4.5
x_total_other 9
y 1e3
`
	f := func(name string, want float64, found bool) {
		t.Helper()
		if got, ok := sumOf([]byte(text), name); got != want || ok != found {
			t.Errorf("sumOf(%s) = %g, %v; want %g, %v", name, got, ok, want, found)
		}
	}
	f("x_total", 7.5, true)
	f("y", 1000, true)
	f("x", 0, false)
}

func TestProc(t *testing.T) {
	got, err := parseStat([]byte("42 (a ) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 9 0 100"))
	if err != nil || got != 1750*time.Millisecond {
		t.Errorf("cpu time %s, %v", got, err)
	}
	if _, err := parseStat([]byte("42 (a) S 1")); err == nil {
		t.Error("a short line was read")
	}
	if m := parseStatus([]byte("Name:\tx\nVmRSS:\t  900 kB\nRssAnon:\t  512 kB\nRssFile:\t 1024 kB\n")); m != (memory{512 << 10, 1 << 20}) {
		t.Errorf("memory %+v", m)
	}
	stop := watch(t.Context(), os.Getpid())
	if m := stop(); m.anon == 0 || m.file == 0 || stop() != m {
		t.Errorf("own memory %+v", m)
	}
	if used, err := cpuTime(os.Getpid()); err != nil || used < 0 {
		t.Errorf("own cpu time %s, %v", used, err)
	}
}

func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []receivedLine{
		{T: 1, ID: "evt_1", Seq: 1 << 63, Prev: 2, Subject: "a \"b\" \\ å\n", Status: "approved", Type: "kyc.status.approved", SHA: "00", OK: true, Answer: 200, Path: "/x"},
		{},
	}
	for i := range want {
		l.received(&want[i])
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, `{"t":3,"id":"cut o`...), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []receivedLine
	if err := readLedgers([]string{path}, func(r *receivedLine) { got = append(got, *r) }); err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readLedgers([]string{path}, func(*receivedLine) {}); err == nil {
		t.Error("nonsense was read")
	}
	var none *ledger
	if none.received(&want[0]); none.Close() != nil {
		t.Error("a nil ledger fails")
	}
	line := firedLine{T: 1, Ev: evSent, Source: "s", Subject: "a", N: 2, At: 3, Status: "approved", SHA: "ff", Code: 200}
	var back firedLine
	if err := json.Unmarshal(line.appendTo(nil), &back); err != nil || back != line {
		t.Errorf("%+v, %v; want %+v", back, err, line)
	}
}

// TestFill opens what fill made as the gateway would: half is due, half is not, and every body has
// its size.
func TestFill(t *testing.T) {
	const n = 2000
	dir, now := filepath.Join(t.TempDir(), "data"), time.Now()
	if err := fill(t.Context(), dir, filling{n: n, endpoints: endpointIDs(owedEndpoints), later: anHour}, now); err != nil {
		t.Fatal(err)
	}
	if size, err := dropCache(filepath.Join(dir, databaseInData)); err != nil || size < n*owedBody {
		t.Errorf("%d bytes, %v", size, err)
	}
	st, err := store.Open(store.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	endpoints := make([]outbox.Endpoint, owedEndpoints)
	for i := range endpoints {
		endpoints[i].ID = endpointID(i)
	}
	b, err := outbox.New(outbox.Options{Store: st, Logger: slog.New(slog.DiscardHandler)}, endpoints)
	if err != nil {
		t.Fatal(err)
	}
	owed, due := int64(0), 0
	for _, e := range endpoints {
		ds, next, err := b.Claim(e.ID, outbox.Turn{Max: n, Failed: n})
		if err != nil {
			t.Fatal(err)
		}
		if next.Before(now.Add(anHour - time.Minute)) {
			t.Errorf("%s: the others are due at %s", e.ID, next)
		}
		owed, due = owed+b.Owed(e.ID), due+len(ds)
		for i := range ds {
			var r receivedLine
			if err := peek(ds[i].Body, &r); err != nil || len(ds[i].Body) != owedBody || "acme/"+r.Subject+"\x01t" != ds[i].Lane {
				t.Fatalf("%s: %v", ds[i].Body, err)
			}
		}
	}
	if owed != n || due != n/2 {
		t.Errorf("%d owed, %d due; want %d and half of them", owed, due, n)
	}
}

func TestSetup(t *testing.T) {
	s := setup{dir: filepath.Join(t.TempDir(), "g"), partner: "127.0.0.1:9", endpoints: 2, concurrency: 32, key: partnerKey, sources: testSources()}
	g, err := s.write(t.Context(), "/bin/false", "ingest")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mode: sandbox", "provider: sumsub", "provider: persona", "partner: acme", "url: http://127.0.0.1:9/hooks/02", "concurrency: 32", "attempts: 100"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the config lacks %q:\n%s", want, text)
		}
	}
	if bytes.Contains(text, []byte(partnerKey)) {
		t.Error("the config holds a secret")
	}
	for _, spec := range s.specs() {
		if _, err := newSource(spec, nil); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.write(t.Context(), "/bin/false", ""); err == nil {
		t.Error("a used directory was used again")
	}
	if err := g.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("a gateway that ends at once is ready: %v", err)
	}
	if err := g.kill(); err == nil {
		t.Error("a gateway that ended by itself was killed")
	}
	if err := g.end(); err != nil {
		t.Error(err)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	w := newWriting(t)
	good(w)
	_ = w.judge()
	bad := filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(bad, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(want int, contains string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(args, &out, &errs); got != want || !strings.Contains(out.String()+errs.String(), contains) {
			t.Errorf("run(%q) = %d, want %d:\n%s%s", args, got, want, &out, &errs)
		}
	}
	f(0, "acknowledged events", "judge", "--fired", w.o.Fired[0], "--received", w.o.Received[0])
	f(0, `"acked_events": 6`, "judge", "--json", "--fired", w.o.Fired[0], "--received", w.o.Received[0])
	f(1, "3 lost, 0 invented: (nowhere)", "judge", "--fired", w.o.Fired[0], "--received", bad)
	f(1, "nothing was acknowledged", "judge", "--fired", bad, "--received", bad)
	f(2, "unknown", "judge", "--nonsense")
	f(1, "give --count or --duration", "fire", "--source", "a:sumsub:env:HOME")
}

func TestRows(t *testing.T) {
	var out bytes.Buffer
	rows := []row{atLeast("a", "rate", 12, 10, "/s", "20 /s"), atMost("b", "memory", 5.5, 5, "MiB", ""), shown("c", "n", 1e6, "")}
	if !rows[0].OK || rows[1].OK || !rows[2].OK {
		t.Errorf("%+v", rows)
	}
	if err := printRows(&out, rows); err != nil || !strings.Contains(out.String(), "MISSED") || !strings.Contains(out.String(), "≥ 10.0") {
		t.Errorf("%v\n%s", err, &out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if pause(ctx, time.Hour) == nil {
		t.Error("a pause outlives its context")
	}
}
