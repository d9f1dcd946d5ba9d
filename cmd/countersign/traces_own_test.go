package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// decideOn posts an operator's decision about somebody, with this traceparent.
func decideOn(t *testing.T, g *gateway, subject, traceparent string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.control.Addr().String()+"/v1/subjects/acme/"+subject+"/decisions",
		strings.NewReader(`{"source":"sumsub-eu","check":"identity_verification","status":"rejected","terminal":true,"reason":"note-canary"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	req.Header.Set("Content-Type", "application/json")
	if traceparent != "" {
		req.Header.Set("Traceparent", traceparent)
	}
	resp, err := fresh().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
}

// TestTraceOfDecision: what an operator decides is one trace, from the call of the API to the
// webhook, and names neither the person nor who decided, nor why.
func TestTraceOfDecision(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusOK)
	g := start(t, traced(t, partner.url, r.url, ""))
	body := postTraced(t, g, "person-7731-canary", "", time.Now())
	r.one(t, "deliver")
	decideOn(t, g, "person-7731-canary", "")
	deliver, root := r.want(t, "deliver", 2)[1], r.one(t, "decision")
	if len(root.GetParentSpanId()) != 0 || string(root.GetTraceId()) == string(r.one(t, "callback").GetTraceId()) {
		t.Errorf("the decision is in trace %x below %x", root.GetTraceId(), root.GetParentSpanId())
	}
	spanHas(t, root, "countersign.record.kind=decision", "countersign.partner=acme", "countersign.source=sumsub-eu")
	childOf(t, deliver, root)
	spanHas(t, deliver, "countersign.change.type=kyc.status.rejected")
	decide := r.want(t, "decide", 2)[1]
	childOf(t, decide, root)
	childOf(t, r.want(t, "journal.append", 2)[1], root)
	spanHas(t, decide, "countersign.record.kind=decision", "countersign.verdict=applied")
	linked(t, r.want(t, "fold", 2)[1], root)
	if sent := partner.all(); sent[1].traceparent != traceparentOf(deliver) {
		t.Errorf("the partner goes on from %s, the attempt is %s", sent[1].traceparent, traceparentOf(deliver))
	}
	tellsNobody(t, r, body, g) // looks for canary too

	decideOn(t, g, "person-7731-canary", theirTrace)
	second := r.want(t, "decision", 2)[1]
	if hex.EncodeToString(second.GetTraceId()) != theirTrace[3:35] || hex.EncodeToString(second.GetParentSpanId()) != theirTrace[36:52] {
		t.Errorf("a call that brings a trace is in %x below %x", second.GetTraceId(), second.GetParentSpanId())
	}
}

// endsSoon is traced, with approvals that hold a month, so that one of ten days ago is to be told of
// its end twenty days before.
func endsSoon(t *testing.T, hook, endpoint, more string) (config string) {
	t.Helper()
	config = traced(t, hook, endpoint, more)
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "  - id: acme\n", "  - id: acme\n    policy: {validity_months: 1, notice_days: 25}\n", 1)
	return write(t, filepath.Dir(config), filepath.Base(config), text)
}

// TestTraceOfTimer: what becomes due by itself is one trace, from the timer to the webhook.
func TestTraceOfTimer(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusOK)
	g := start(t, endsSoon(t, partner.url, r.url, ""))
	body := postTraced(t, g, "person-7731-canary", "", time.Now().AddDate(0, 0, -10))
	deliver, root := r.want(t, "deliver", 2)[1], r.one(t, "timer")
	if len(root.GetParentSpanId()) != 0 || string(root.GetTraceId()) == string(r.one(t, "callback").GetTraceId()) {
		t.Errorf("the timer is in trace %x below %x", root.GetTraceId(), root.GetParentSpanId())
	}
	spanHas(t, root, "countersign.record.kind=timer", "countersign.partner=acme")
	childOf(t, deliver, root)
	spanHas(t, deliver, "countersign.change.type=kyc.status.expiring")
	childOf(t, r.want(t, "decide", 2)[1], root)
	linked(t, r.want(t, "fold", 2)[1], root)
	tellsNobody(t, r, body, g)
}

// TestOwnNotSampled: of what is not sampled nobody hears, and partners are passed what was brought.
func TestOwnNotSampled(t *testing.T) {
	r, partner := newTraceReceiver(t), newTracedPartner(t, http.StatusOK)
	g := start(t, endsSoon(t, partner.url, r.url, ", sample: 0"))
	postTraced(t, g, "person-1", "", time.Now().AddDate(0, 0, -10))
	eventually(t, "the partner is told of the end", func() bool { return len(partner.all()) == 2 })
	not := strings.TrimSuffix(theirTrace, "1") + "0"
	decideOn(t, g, "person-1", not)
	eventually(t, "the partner is told of the decision", func() bool { return len(partner.all()) == 3 })
	var passed []string
	for _, req := range partner.all() {
		passed = append(passed, req.traceparent)
	}
	if got, want := fmt.Sprint(passed), fmt.Sprint([]string{"", "", not}); got != want {
		t.Errorf("the partner was passed %s, want %s", got, want)
	}
	decideOn(t, g, "person-1", theirTrace) // whose word counts: it has a token
	r.one(t, "decision")
	if n := len(r.named("timer")) + len(r.named("callback")); n != 0 {
		t.Errorf("%d spans of what is not sampled", n)
	}
}
