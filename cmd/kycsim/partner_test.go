package main

import (
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"countersign/signing"
)

const partnerKey = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// delivery is a body of the standard format with everything the partner must pass over.
func delivery(seq int) string {
	return fmt.Sprintf(`{"type":"kyc.status.approved","timestamp":"2026-03-19T09:20:00.001Z","data":{"id":"evt_%d","sequence":%d,"previous_sequence":%d,
 "partner":"acme","subject":{"kind":"individual","id":"user-001"},"status":"approved","previous_status":"in_review","reasons":[{"code":"other","x":[1,-2.5e3,null]}],
 "check":{"type":"identity_verification","status":"clear"},"retryable":false,"livemode":false}}`, seq, seq, seq-1)
}

// signed are the headers of a delivery, made by the gateway's own signer.
func signed(t *testing.T, id, body string, at time.Time) http.Header {
	t.Helper()
	k, err := signing.StandardKey(partnerKey)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	if err := (signing.StandardWebhooks{}).Sign(h, signing.Message{ID: id, Time: at, Body: []byte(body)}, signing.Keyring{k}); err != nil {
		t.Fatal(err)
	}
	return h
}

// deliver posts once; code 0: the connection broke.
func deliver(p *partner, path string, h http.Header, body string, limit time.Duration) (code int, resp *fasthttp.Response) {
	req, resp := fasthttp.AcquireRequest(), &fasthttp.Response{}
	defer fasthttp.ReleaseRequest(req)
	req.SetRequestURI("http://" + p.addr() + path)
	req.Header.SetMethod(http.MethodPost)
	for k := range h {
		req.Header.Set(k, h.Get(k))
	}
	req.SetBodyString(body)
	c := &fasthttp.Client{MaxIdemponentCallAttempts: 1, ReadTimeout: limit}
	defer c.CloseIdleConnections()
	if err := c.Do(req, resp); err != nil {
		return 0, resp
	}
	return resp.StatusCode(), resp
}

func runPartner(t *testing.T, o partnerOptions) *partner {
	t.Helper()
	o.Addr, o.Key, o.Format = "127.0.0.1:0", partnerKey, "standard"
	p, err := startPartner(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPartner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "received.jsonl")
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	p := runPartner(t, partnerOptions{Ledger: l})
	now := time.Now()
	f := func(name string, h http.Header, body string, want int) {
		t.Helper()
		if got, _ := deliver(p, "/hooks/a", h, body, time.Second); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	body := delivery(7)
	f("good", signed(t, "evt_7", body, now), body, 200)
	f("another body", signed(t, "evt_7", body, now), delivery(8), 401)
	f("another id", func() http.Header { h := signed(t, "evt_7", body, now); h.Set("webhook-id", "evt_8"); return h }(), body, 401)
	f("stale", signed(t, "evt_7", body, now.Add(-6*time.Minute)), body, 401)
	f("not signed", http.Header{"Webhook-Id": {"evt_7"}}, body, 401)
	f("signed, but no standard body", signed(t, "evt_9", `{"type":`, now), `{"type":`, 401)
	f("two signatures, the second ours", func() http.Header {
		h := signed(t, "evt_7", body, now)
		h.Set("webhook-signature", "v1,AAAA "+h.Get("webhook-signature"))
		return h
	}(), body, 200)
	if err := p.close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var lines []receivedLine
	if err := readLedgers([]string{path}, func(r *receivedLine) { lines = append(lines, *r) }); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 7 {
		t.Fatalf("%d lines, want 7", len(lines))
	}
	want := receivedLine{
		T: lines[0].T, ID: "evt_7", Seq: 7, Prev: 6, Subject: "user-001", Status: "approved", Type: "kyc.status.approved", SHA: digest([]byte(body)),
		OK: true, Answer: 200, Path: "/hooks/a",
	}
	if lines[0] != want || time.Unix(0, want.T).Before(now) {
		t.Errorf("line %+v, want %+v", lines[0], want)
	}
	if lines[1].OK || lines[1].Answer != 401 || lines[1].SHA == want.SHA {
		t.Errorf("another body: %+v", lines[1])
	}
}

func TestPartnerBehaves(t *testing.T) {
	f := func(behave []string, path string, want ...int) *fasthttp.Response {
		t.Helper()
		p := runPartner(t, partnerOptions{Behave: behave, Hang: 20 * time.Millisecond})
		defer p.close()
		body := delivery(1)
		var resp *fasthttp.Response
		for i, w := range want {
			var got int
			if got, resp = deliver(p, path, signed(t, "evt_1", body, time.Now()), body, time.Second); got != w {
				t.Errorf("%v: answer %d to %s is %d, want %d", behave, i, path, got, w)
			}
		}
		return resp
	}
	f([]string{"ok"}, "/a", 200, 200)
	f([]string{"500:1"}, "/a", 500)
	f([]string{"hang:1"}, "/a", 0)
	f([]string{"reset:1"}, "/a", 0)
	f([]string{"slow=1ms:1"}, "/a", 200)
	f([]string{"fail-first=2"}, "/a", 500, 500, 200)
	f([]string{"/b=500:1"}, "/a", 200)
	f([]string{"/b=500:1"}, "/b", 500)
	f([]string{"500:1", "/b=slow=1ms:1"}, "/b", 200)
	if r := f([]string{"503:1,retry-after=3"}, "/a", 503); string(r.Header.Peek("Retry-After")) != "3" {
		t.Errorf("Retry-After %q", r.Header.Peek("Retry-After"))
	}
	if r := f([]string{"redirect:1"}, "/a", 302); len(r.Header.Peek("Location")) == 0 {
		t.Error("a redirect to nowhere")
	}
}

func TestBehaviour(t *testing.T) {
	const n = 20000
	b, err := parseBehaviour("500:0.1; 503:0.2,retry-after=1; hang:0.05", 1)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int]int{}
	for range n {
		counts[b.answer("x").code]++
	}
	for code, p := range map[int]float64{500: 0.1, 503: 0.2, 0: 0.05, 200: 0.65} {
		if got := float64(counts[code]) / n; math.Abs(got-p) > 0.02 {
			t.Errorf("%d came with probability %.3f, want %.2f", code, got, p)
		}
	}
	f := func(spec string) {
		t.Helper()
		if _, err := parseBehaviour(spec, 1); err == nil {
			t.Errorf("%q was accepted", spec)
		}
	}
	f("500")
	f("500:1.5")
	f("500:NaN")
	f("500:0.6;503:0.6")
	f("700:0.1")
	f("slow:0.1")
	f("slow=-1s:0.1")
	f("fail-first=0")
	f("503:0.1,after=1")
	f("nonsense:1")
}

func TestPeek(t *testing.T) {
	f := func(body string, want receivedLine, ok bool) {
		t.Helper()
		var got receivedLine
		if err := peek([]byte(body), &got); (err == nil) != ok || ok && got != want {
			t.Errorf("peek(%s) = %+v, %v; want %+v", body, got, err, want)
		}
	}
	f(delivery(3), receivedLine{Type: "kyc.status.approved", Seq: 3, Prev: 2, Subject: "user-001", Status: "approved"}, true)
	f(`{"data":{"subject":{"id":"a\"\u00e5"},"sequence":18446744073709551615}} `, receivedLine{Subject: `a"å`, Seq: math.MaxUint64}, true)
	f(`{"data":{"x":{"id":"no","status":["no"]},"status":"yes"},"type":"t"}`, receivedLine{Type: "t", Status: "yes"}, true)
	f(`{}`, receivedLine{}, true)
	for _, bad := range []string{``, `[]`, `{`, `{"type"}`, `{"type":1}`, `{"type":"x`, `{"data":{"sequence":-1}}`, `{"data":{"sequence":"1"}}`, `{} x`, `{"a":}`, `{"a":1,}`, strings.Repeat(`{"a":`, 100)} {
		f(bad, receivedLine{}, false)
	}
}

func FuzzPeek(f *testing.F) {
	f.Add([]byte(delivery(3)))
	f.Add([]byte(`{"data":{"subject":{"id":"\\"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var r receivedLine
		_ = peek(body, &r) // must end, and not panic
		if r.Seq == 0 && len(body) < 2 && r != (receivedLine{}) {
			t.Errorf("%q gave %+v", body, r)
		}
	})
}
