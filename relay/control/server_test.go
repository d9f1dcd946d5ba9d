package control

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/kyc"
	"countersign/outbox/store"
)

func TestReady(t *testing.T) {
	g := newRig(t)
	if a := g.call("", "GET", "/readyz", ""); a.code != 200 || a.json["status"] != "ready" {
		t.Errorf("ready: %d %s", a.code, a.body)
	}
	g.mu.Lock()
	g.reasons = []string{"storage is full", "the relay has stopped"}
	g.mu.Unlock()
	a := g.call("", "GET", "/readyz", "")
	if a.code != 503 || a.json["status"] != "not_ready" || fmt.Sprint(a.json["reasons"]) != "[storage is full the relay has stopped]" || a.header.Get("Retry-After") != "1" {
		t.Errorf("not ready: %d %s", a.code, a.body)
	}
	if a := g.call("", "GET", "/healthz", ""); a.code != 200 || a.json["status"] != "ok" {
		t.Errorf("healthy: %d %s", a.code, a.body)
	}
}

// TestMetrics: whatever is registered is exposed, from the first scrape.
func TestMetrics(t *testing.T) {
	g := newRig(t)
	a := g.call("", "GET", "/metrics", "")
	if a.code != 200 {
		t.Fatal(a.code)
	}
	families, err := g.reg.Gather()
	if err != nil || len(families) < 15 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName()
			if m.GetHistogram() != nil || m.GetSummary() != nil {
				name += "_count"
			}
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			if !strings.Contains(a.body, "\n"+name+" ") {
				t.Errorf("%s is not exposed", name)
			}
		}
	}
	for _, want := range []string{ // what alerts are made of
		`relay_updates_total{verdict="unrouted"} 0`, `relay_attempts_total{endpoint="main",outcome="retry"} 0`, `relay_attempt_reasons_total{reason="http_5xx"} 0`, `relay_deliveries_total{format="standard",outcome="dead_lettered"} 0`,
		`relay_endpoint_disabled{endpoint="strict"} 0`, `relay_unrouted_records 0`, `outbox_pending_deliveries{endpoint="main"} 0`, `outbox_oldest_due_seconds{endpoint="main"} 0`,
		`outbox_dead_lettered_total{reason="overflow"} 0`, `journal_backlog_records 0`, `relay_end_to_end_seconds_bucket{le="0.005"} 0`,
	} {
		if !strings.Contains(a.body, want+"\n") {
			t.Errorf("%s is not exposed", want)
		}
	}
}

// A compaction goes on after the call that begins it, and whoever asks is told how it stands; a
// second is refused meanwhile.
func TestCompact(t *testing.T) {
	g := newRig(t)
	g.tell("ann", 1, kyc.Approved)
	background(t, g.server.Compactions)
	if a := g.call("otto", "POST", "/v1/compact", `{"dry_run":true}`); a.code != 200 || a.json["state"] != "idle" || a.json["dry_run"] != true || a.json["file_bytes"] == 0.0 {
		t.Errorf("a dry run: %d %s", a.code, a.body)
	}
	a := g.call("otto", "POST", "/v1/compact", `{}`)
	if a.code != 200 || a.json["object"] != "compaction" || a.json["started_at"] == nil {
		t.Fatalf("%d %s", a.code, a.body)
	}
	eventually(t, "it is done", func() bool {
		a = g.call("vera", "GET", "/v1/compact", "")
		return a.json["state"] == "done"
	})
	if a.json["after_bytes"] == nil || a.json["before_bytes"] == nil || a.json["ended_at"] == nil || a.json["error"] != nil {
		t.Errorf("when it has ended: %s", a.body)
	}
	g.tell("ann", 2, kyc.Rejected) // it goes on upon the new file
	path := filepath.Join(t.TempDir(), "copy.db")
	if a := g.call("otto", "POST", "/v1/backup", fmt.Sprintf(`{"path": %q}`, path)); a.code != 200 {
		t.Errorf("a backup of it: %d %s", a.code, a.body)
	}
	var second answer
	once := false
	if _, err := g.store.Compact(t.Context(), func(store.Compaction) {
		if !once {
			once = true
			second = g.call("otto", "POST", "/v1/compact", `{}`)
		}
	}); err != nil || second.code != 409 || second.json["error"].(map[string]any)["code"] != "not_compacted" {
		t.Errorf("%v; a second: %d %s", err, second.code, second.body)
	}
}

func TestBackup(t *testing.T) {
	g := newRig(t)
	g.tell("ann", 1, kyc.Approved)
	dir := t.TempDir()
	path := filepath.Join(dir, "countersign.db")
	body := fmt.Sprintf(`{"path": %q}`, path)
	a := g.call("otto", "POST", "/v1/backup", body)
	size, _ := a.json["bytes"].(float64)
	if a.code != 200 || a.json["object"] != "backup" || a.json["path"] != path || a.json["checked"] != true || size == 0 {
		t.Fatalf("backup: %d %s", a.code, a.body)
	}
	before, err := os.ReadFile(path)
	if err != nil || float64(len(before)) != size {
		t.Fatalf("%d bytes, said %v: %v", len(before), size, err)
	}
	if a := g.call("otto", "POST", "/v1/backup", body); a.code != 409 {
		t.Errorf("over another: %d %s", a.code, a.body)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Error("the first backup was touched")
	}
	if rep, err := store.Examine(t.Context(), path, "", nil); err != nil || !rep.Sound() {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestCrossOrigin: a page in an operator's browser cannot make changes.
func TestCrossOrigin(t *testing.T) {
	g := newRig(t)
	f := func(method, path string, want int, headers ...string) {
		t.Helper()
		if a := g.call("otto", method, path, "", headers...); a.code != want {
			t.Errorf("%s %s with %v: %d, want %d: %s", method, path, headers, a.code, want, a.body)
		}
	}
	resume := "/v1/endpoints/main/resume"
	f("POST", resume, 200)
	f("POST", resume, 200, "Sec-Fetch-Site", "same-origin")
	f("POST", resume, 200, "Origin", g.url)
	f("POST", resume, 403, "Sec-Fetch-Site", "cross-site")
	f("POST", resume, 403, "Sec-Fetch-Site", "same-site")
	f("POST", resume, 403, "Origin", "https://evil.example")
	f("POST", resume, 403, "Origin", "null")
	f("GET", "/v1/endpoints", 200, "Sec-Fetch-Site", "cross-site") // reads need the token, which no page has
	a := g.call("otto", "POST", resume, "", "Origin", "https://evil.example")
	if e, _ := a.json["error"].(map[string]any); e["code"] != "cross_origin" {
		t.Errorf("refused with %s", a.body)
	}
}

// TestIngestOnly: without a relay there is nothing to ask one.
func TestIngestOnly(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Relay, o.Outbox = nil, nil })
	for path, want := range map[string]int{"/v1/endpoints": 404, "/v1/subjects/acme/ann": 404, "/v1/deliveries?status=dead_lettered": 404, "/v1/quarantine": 200, "/healthz": 200, "/metrics": 200} {
		if a := g.call("ada", "GET", path, ""); a.code != want {
			t.Errorf("%s: %d, want %d", path, a.code, want)
		}
	}
}

// TestStop: when Run returns, no call is left running, for what calls need is closed next.
func TestStop(t *testing.T) {
	g := newRig(t)
	arrived, turn := make(chan struct{}), make(chan struct{})
	var finished bool
	g.mu.Lock()
	g.block = func() {
		close(arrived)
		<-turn
		finished = true
	}
	g.mu.Unlock()
	code := make(chan int, 1)
	go func() { code <- g.call("", "GET", "/readyz", "").code }()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- g.stop() }()
	eventually(t, "the listener is closed", func() bool {
		resp, err := http.Get(g.url + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		stopped <- err
		t.Error("Run has returned while a call was under way")
	case <-time.After(20 * time.Millisecond):
	}
	close(turn)
	if err := <-stopped; err != nil || !finished {
		t.Errorf("Run = %v; the call was finished: %v", err, finished)
	}
	if c := <-code; c != 200 {
		t.Errorf("the call under way was answered %d", c)
	}
}

func TestListenerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := New(Options{Listener: l, Logger: slog.New(slog.DiscardHandler), Gatherer: prometheus.NewRegistry()})
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "control listener") {
		t.Errorf("Run = %v", err)
	}
}
