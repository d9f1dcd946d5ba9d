package main

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

const theirTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestTrace: from a callback to the webhook is one trace, in which each span stands where it
// belongs; each attempt has a span of its own, from which its partner goes on; and nothing in it says
// who it is about.
func TestTrace(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusServiceUnavailable, http.StatusOK)
	g := start(t, traced(t, partner.url, r.url, ""))
	body := postTraced(t, g, "person-7731-canary", theirTrace, time.Now())
	deliver := r.want(t, "deliver", 2)
	callback := r.one(t, "callback")
	if got := hex.EncodeToString(callback.GetParentSpanId()); got != theirTrace[36:52] || hex.EncodeToString(callback.GetTraceId()) != theirTrace[3:35] {
		t.Errorf("the callback is in trace %x below %s", callback.GetTraceId(), got)
	}
	spanHas(t, callback, "countersign.source=sumsub-eu", "countersign.provider=sumsub", "countersign.verdict=accepted", "http.response.status_code=200", "http.request.method=POST")
	if callback.GetKind() != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("the callback is %v", callback.GetKind())
	}
	for _, name := range []string{"verify", "translate", "journal.append", "decide"} {
		s := r.one(t, name)
		childOf(t, s, callback)
		if s.GetStartTimeUnixNano() < callback.GetStartTimeUnixNano() || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%s was from %d to %d, the callback from %d", name, s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano(), callback.GetStartTimeUnixNano())
		}
	}
	decide, fold := r.one(t, "decide"), r.one(t, "fold")
	spanHas(t, decide, "countersign.verdict=applied", "countersign.partner=acme", "countersign.record.offset=1", "countersign.changes=2")
	spanHas(t, fold, "countersign.batch.size=1", "countersign.deliveries=1")
	linked(t, decide, fold)
	linked(t, fold, callback)
	sent := partner.all()
	if len(sent) != 2 {
		t.Fatalf("the partner was told %d times", len(sent))
	}
	for i, s := range deliver {
		childOf(t, s, callback)
		if s.GetKind() != tracepb.Span_SPAN_KIND_CLIENT || sent[i].traceparent != traceparentOf(s) {
			t.Errorf("attempt %d is %v %s, and the partner goes on from %s", i+1, s.GetKind(), traceparentOf(s), sent[i].traceparent)
		}
	}
	spanHas(t, deliver[0], "countersign.attempt=1", "countersign.outcome=retry", "http.response.status_code=503", "http.request.resend_count=", "countersign.endpoint=acme-main", "countersign.partner=acme", "countersign.format=standard")
	spanHas(t, deliver[1], "countersign.attempt=2", "countersign.outcome=done", "http.response.status_code=200", "http.request.resend_count=1")
	if deliver[0].GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || deliver[1].GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("the attempts are %v and %v", deliver[0].GetStatus(), deliver[1].GetStatus())
	}
	if events := deliver[0].GetEvents(); !slices.ContainsFunc(events, func(e *tracepb.Span_Event) bool { return e.GetName() == "connect" }) ||
		!slices.ContainsFunc(events, func(e *tracepb.Span_Event) bool { return e.GetName() == "first_byte" }) {
		t.Errorf("where the time of the first attempt went: %v", events)
	}
	if r.header.Get("Authorization") != "Bearer collector-canary" {
		t.Errorf("the collector was sent %v", r.header)
	}
	tellsNobody(t, r, body, g)
}

// tellsNobody wants nothing of a callback's body in what went to the collector, nor a secret.
func tellsNobody(t *testing.T, r *traceReceiver, body string, g *gateway) {
	t.Helper()
	var tree any
	if err := json.Unmarshal([]byte(body), &tree); err != nil {
		t.Fatal(err)
	}
	texts := []string{"canary", "sumsub-secret", strings.TrimPrefix(acmeKey, "whsec_"), g.token, "whsec_"}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, v := range v {
				walk(v)
			}
		case []any:
			for _, v := range v {
				walk(v)
			}
		case string:
			if len(v) > 4 {
				texts = append(texts, v)
			}
		}
	}
	walk(tree)
	if len(texts) < 8 {
		t.Fatalf("only %q to look for", texts)
	}
	all := r.text()
	for _, text := range texts {
		if strings.Contains(all, text) {
			t.Errorf("the collector was told %q", text)
		}
	}
	if !strings.Contains(all, "acme-main") {
		t.Error("the search is broken")
	}
}

// TestTraceOfNobody: a callback that brings no trace begins one, and one that is refused has one of
// its own, whatever its sender says.
func TestTraceOfNobody(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusOK)
	g := start(t, traced(t, partner.url, r.url, ""))
	postTraced(t, g, "person-1", "", time.Now())
	deliver, callback := r.one(t, "deliver"), r.one(t, "callback")
	childOf(t, deliver, callback)
	if len(callback.GetParentSpanId()) != 0 {
		t.Errorf("the callback has the parent %x", callback.GetParentSpanId())
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.cfg.Listen.Callbacks+"/v1/callbacks/sumsub-eu", strings.NewReader(`{"not":"signed"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", theirTrace)
	if err := give(fresh(), req); err == nil {
		t.Fatal("an unsigned callback was taken")
	}
	refused := r.want(t, "callback", 2)[1]
	if len(refused.GetParentSpanId()) != 0 || hex.EncodeToString(refused.GetTraceId()) == theirTrace[3:35] {
		t.Errorf("a stranger's callback is in trace %x below %x", refused.GetTraceId(), refused.GetParentSpanId())
	}
	spanHas(t, refused, "countersign.verdict=unsigned", "http.response.status_code=401", "countersign.source=sumsub-eu")
}

// TestNotSampled: of what is not sampled nobody hears, but partners go on being passed the trace, as
// without tracing.
func TestNotSampled(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusOK)
	g := start(t, traced(t, partner.url, r.url, ", sample: 0"))
	not := strings.TrimSuffix(theirTrace, "1") + "0"
	postTraced(t, g, "person-1", not, time.Now())
	postTraced(t, g, "person-2", "", time.Now())
	eventually(t, "both are told", func() bool { return len(partner.all()) == 2 })
	for _, req := range partner.all() {
		if want := map[bool]string{true: not}[strings.Contains(req.body, "person-1")]; req.traceparent != want {
			t.Errorf("the partner was passed %q, want %q", req.traceparent, want)
		}
	}
	postTraced(t, g, "person-3", theirTrace, time.Now()) // whose word counts: it is signed
	r.one(t, "deliver")
	r.one(t, "callback")
	r.one(t, "decide")
}

// TestTraceOverRestart: what was taken before a restart and folded after it is one trace for each
// callback; the batch that they were folded in leads to all of them.
func TestTraceOverRestart(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusOK)
	config := traced(t, partner.url, r.url, "")
	g := startIn(t, config, roleIngest)
	for _, person := range []string{"person-1", "person-2", "person-3"} {
		postTraced(t, g, person, "", time.Now())
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	callbacks := r.want(t, "callback", 3) // a stop sends what there is
	if n := len(r.named("decide")); n != 0 {
		t.Fatalf("%d are decided before the restart", n)
	}
	start(t, config)
	delivered, decided, fold := r.want(t, "deliver", 3), r.want(t, "decide", 3), r.one(t, "fold")
	spanHas(t, fold, "countersign.batch.size=3")
	for i, callback := range callbacks {
		of := func(s *tracepb.Span) bool { return string(s.GetTraceId()) == string(callback.GetTraceId()) }
		deliver, decide := slices.IndexFunc(delivered, of), slices.IndexFunc(decided, of)
		if deliver < 0 || decide < 0 {
			t.Fatalf("of callback %d: delivered %d, decided %d", i, deliver, decide)
		}
		childOf(t, delivered[deliver], callback)
		childOf(t, decided[decide], callback)
		linked(t, decided[decide], fold)
		linked(t, fold, callback)
	}
}

// TestTracingChangesNothing: the same callback, at the same instant, has the same ids and the same
// webhook whether it is traced or not, and whatever trace it brings (I4).
func TestTracingChangesNothing(t *testing.T) {
	at := time.Now()
	received := regexp.MustCompile(`"(?:received_at|created_at|timestamp)":"[^"]*"`)
	var ids, bodies []string
	f := func(tracing bool, traceparent string) {
		t.Helper()
		partner := newTracedPartner(t, http.StatusOK)
		_, config := house(t, partner.url)
		if tracing {
			config = traced(t, partner.url, newTraceReceiver(t).url, "")
		}
		postTraced(t, start(t, config), "person-1", traceparent, at)
		eventually(t, "the partner is told", func() bool { return len(partner.all()) == 1 })
		ids, bodies = append(ids, partner.all()[0].id), append(bodies, received.ReplaceAllString(partner.all()[0].body, ""))
	}
	f(false, "")
	f(true, "")
	f(true, "")
	f(false, theirTrace)
	f(true, theirTrace)
	if len(slices.Compact(ids)) != 1 || len(slices.Compact(bodies)) != 1 {
		t.Errorf("%q\n%q", ids, bodies)
	}
}

// TestCollectorAway: a collector that hangs, refuses, or is not there slows nothing down, breaks
// nothing, and is counted; a stop waits for it for two seconds at most.
func TestCollectorAway(t *testing.T) {
	refusing := newTraceReceiver(t)
	refusing.answers(http.StatusBadRequest)
	f := func(name, endpoint, outcome string) {
		t.Run(name, func(t *testing.T) {
			partner := newTracedPartner(t, http.StatusOK)
			m := launch(t, traced(t, partner.url, endpoint, ", timeout: 30s"), "", nil).ready()
			const n = 20
			for i := range n {
				m.tell("person-" + string(rune('a'+i)))
			}
			eventually(t, "the partner is told of all", func() bool { return len(partner.all()) == n })
			if outcome != "" {
				eventually(t, "it is counted", func() bool {
					_, text := m.control("/metrics")
					return regexp.MustCompile(`countersign_tracing_spans_total{outcome="` + outcome + `"} [1-9]`).MatchString(text)
				})
			}
			took := m.stop() // it wants exit 0: a part that hangs for partStop ends the process with 1
			t.Logf("stopped after %v", took.Round(time.Millisecond))
		})
	}
	f("hangs", hanging(t), "")
	f("is not there", "http://"+freeAddr(t), "")
	f("refuses", refusing.url, "failed")
}

// TestCollectorComesBack: what ended while the collector was away reaches it later.
func TestCollectorComesBack(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusOK)
	r.answers(http.StatusServiceUnavailable)
	g := start(t, traced(t, partner.url, r.url, ""))
	postTraced(t, g, "person-1", "", time.Now())
	eventually(t, "the collector was asked", func() bool { return r.asked() > 0 })
	r.answers(http.StatusOK)
	childOf(t, r.one(t, "deliver"), r.one(t, "callback"))
}

// TestExemplars: the latency histograms lead to traces, in OpenMetrics, and only there.
func TestExemplars(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusOK)
	g := start(t, traced(t, partner.url, r.url, ""))
	postTraced(t, g, "person-1", "", time.Now())
	trace := hex.EncodeToString(r.one(t, "callback").GetTraceId())
	r.one(t, "deliver")
	scrape := func(accept string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.control.Addr().String()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		req.Header.Set("Authorization", "Bearer "+g.token)
		resp, err := fresh().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		return string(b)
	}
	for _, name := range []string{"ingest_callback_seconds", "relay_end_to_end_seconds", "relay_attempt_seconds"} {
		want := regexp.MustCompile(`(?m)^countersign_` + name + `_bucket\{le="[^"]*"\} \d+ # \{[^}]*trace_id="` + trace + `"`)
		eventually(t, name+" has an exemplar", func() bool { return want.MatchString(scrape("application/openmetrics-text; version=1.0.0")) })
	}
	if strings.Contains(scrape("text/plain"), trace) {
		t.Error("an exemplar in the classic format")
	}
}
