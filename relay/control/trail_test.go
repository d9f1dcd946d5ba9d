package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/outbox/store"
	"countersign/relay/audit"
	"countersign/relay/control/api"
)

// trailStep is about as many entries as one transaction looks at.
const trailStep = 500

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// metric is a counter or a gauge with one label, or none.
func (g *rig) metric(name, label, value string) float64 {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || m.GetLabel()[0].GetName() == label && m.GetLabel()[0].GetValue() == value {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	g.t.Fatalf("there is no %s", name)
	return 0
}

// wrote puts n entries into the trail, a minute apart from this instant on; each third was refused.
func (g *rig) wrote(n int, from time.Time) {
	g.t.Helper()
	err := g.store.Update(g.t.Context(), func(tx *store.Tx) error {
		for i := range n {
			e := audit.Entry{Kind: audit.Done, At: from.Add(time.Duration(i) * time.Minute), Actor: fmt.Sprint("kim", i%2), Path: fmt.Sprint("/v1/", i), Call: fmt.Sprint("POST /v1/{id}/", i%5)}
			if i%3 == 0 {
				e.Kind, e.Status, e.Error = audit.Refused, 400, "no"
			}
			if _, err := audit.Append(tx, &e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// trail is what the listener streams.
func (g *rig) trail(query string) (es []api.AuditEntry) {
	g.t.Helper()
	a := g.call("vera", "GET", "/v1/audit?format=ndjson"+query, "")
	if a.code != 200 || a.header.Get("Content-Type") != "application/x-ndjson" {
		g.t.Fatalf("%s: %d %s %.200s", query, a.code, a.header, a.body)
	}
	lines := bufio.NewScanner(strings.NewReader(a.body))
	for lines.Scan() {
		var e api.AuditEntry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			g.t.Fatal(err)
		}
		es = append(es, e)
	}
	if len(es) == 0 || es[len(es)-1].Object != "audit_head" {
		g.t.Fatalf("%s: the last line is no head: %v", query, es)
	}
	return es[:len(es)-1]
}

// TestTrailStreams: the trail comes as a stream, the oldest first, whole or between two instants,
// and page by page the other way round; both hold the same.
func TestTrailStreams(t *testing.T) {
	g := newRig(t)
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const n = 3*trailStep + 7
	g.wrote(n, from)
	f := func(query string, want int, first string) {
		t.Helper()
		es := g.trail(query)
		if len(es) != want || want > 0 && es[0].Path != first {
			t.Fatalf("%q: %d entries, want %d from %s on", query, len(es), want, first)
		}
		var paged []api.AuditEntry
		for cursor, more := "", true; more; {
			a := g.call("vera", "GET", "/v1/audit?limit=400"+query+"&cursor="+cursor, "")
			for _, e := range a.data(t) {
				paged = append(paged, api.AuditEntry{ID: e["id"].(string)})
			}
			more = a.json["has_more"] == true
			cursor, _ = a.json["next"].(string)
		}
		if len(paged) != len(es) {
			t.Fatalf("%q: %d streamed, %d in pages", query, len(es), len(paged))
		}
		for i := range es {
			if i > 0 && es[i].ID <= es[i-1].ID || es[i].ID != paged[len(paged)-1-i].ID {
				t.Fatalf("%q: entry %d is %s, and %s in the pages", query, i, es[i].ID, paged[len(paged)-1-i].ID)
			}
		}
	}
	at := func(i int) string { return from.Add(time.Duration(i) * time.Minute).Format(time.RFC3339) }
	f("", n, "/v1/0")
	f("&since="+at(1000), n-1000, "/v1/1000")
	f("&until="+at(10), 10, "/v1/0")
	f("&since="+at(700)+"&until="+at(1300), 600, "/v1/700")
	f("&since="+at(700)+"&until="+at(1300)+"&actor=kim1", 300, "/v1/701")
	f("&since=2026-03-02", n-24*60, "/v1/1440")
	f("&until=2026-03-01", 0, "")
	f("&since=2027-01-01", 0, "")
	f("&actor=nobody", 0, "")
	if es := g.trail("&since=" + at(n-2)); len(es) != 2 {
		t.Errorf("at the end: %d", len(es))
	}
	if a := g.call("vera", "GET", "/v1/audit", "", "Accept", "application/x-ndjson"); strings.Count(a.body, "\n") != n+1 {
		t.Errorf("by Accept: %d lines", strings.Count(a.body, "\n"))
	}
	for _, wrong := range []string{"since=yesterday", "until=1", "format=xml", "since=2026-03-01T00:00:00"} {
		if a := g.call("vera", "GET", "/v1/audit?"+wrong, ""); a.code != 400 {
			t.Errorf("%s: %d %s", wrong, a.code, a.body)
		}
	}
}

// TestStreamHoldsNobodyUp: while somebody reads the trail slowly, the file is written to, and a
// stop waits for nobody.
func TestStreamHoldsNobodyUp(t *testing.T) {
	g := newRig(t)
	g.wrote(20*trailStep, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	req, _ := http.NewRequest(http.MethodGet, g.url+"/v1/audit?format=ndjson", nil)
	req.Header.Set("Authorization", "Bearer secret-vera")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 { // the reader reads no further
		if a := g.call("otto", "POST", "/v1/endpoints/main/resume", ""); a.code != 200 {
			t.Fatalf("call %d: %d %s", i, a.code, a.body)
		}
	}
}

// TestTrailRetention: what was refused goes after 30 days, what was done when its own time has
// come, and no number is used twice.
func TestTrailRetention(t *testing.T) {
	day := 24 * time.Hour
	c := &clock{now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	g := newRig(t, func(o *Options) { o.Now, o.AuditKeep = c.read, 90*day })
	const n = 2*trailStep + 10
	g.wrote(n, c.read().Add(-60*day))  // two thirds were done
	g.wrote(30, c.read().Add(-10*day)) // and refused calls of these days
	walk := func(left int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.server.Retain(ctx) }()
		eventually(t, fmt.Sprintf("%d are left", left), func() bool { return len(g.trail("")) == left })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	walk(n - (n+2)/3 + 30)
	es := g.trail("")
	for _, e := range es {
		if e.Kind == "refused" && e.At.Before(c.read().Add(-refusedKept)) {
			t.Fatalf("a refused call of %s is left", e.At)
		}
	}
	last := es[len(es)-1].ID
	c.add(200 * day)
	walk(1)
	if es = g.trail(""); es[0].ID != last {
		t.Errorf("when all have had their time, %d are left", len(es))
	}
	g.call("otto", "POST", "/v1/endpoints/main/resume", "")
	if es = g.trail(""); len(es) != 2 || es[1].ID <= last {
		t.Errorf("the next one is %v", es)
	}
}

// TestHeadIsLogged: the head is in the log at the start and at the end.
func TestHeadIsLogged(t *testing.T) {
	g := newRig(t)
	stop := background(t, g.server.Retain)
	eventually(t, "the head is logged at the start", func() bool { return strings.Contains(g.log.String(), `"msg":"audit_head","head":"0:`) })
	g.call("otto", "POST", "/v1/endpoints/main/resume", "")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	head, _ := g.call("vera", "GET", "/v1/audit", "").json["head"].(map[string]any)
	if text, _ := head["head"].(string); text == "" || !strings.Contains(g.log.String(), `"msg":"audit_head","head":"`+text) {
		t.Errorf("the head %v is not logged at the end: %s", head, g.log.String())
	}
}
