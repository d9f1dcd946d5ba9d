package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/kyc"
)

// TestForgedQuestions: 600 callbacks of a provider that signs nothing, forged by whoever knows the
// URL, delay the confirmation of a genuine one by little; beyond the source's bound another one is
// refused, to come again; and an operator closes what is left.
func TestForgedQuestions(t *testing.T) {
	const forged, genuine = 600, "41f71912-1c6b-4e2f-b340-d6dc10cd69b8"
	body := section(t, "jumio/PROCESSED.txtar", "body")
	var asked, before atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/oauth2/token":
			io.WriteString(w, `{"access_token":"t0ken","expires_in":3600}`)
		case strings.HasSuffix(r.URL.Path, genuine):
			before.CompareAndSwap(0, asked.Add(1))
			io.WriteString(w, section(t, "jumio/api/approved.txtar", "answer1"))
		case strings.HasPrefix(r.URL.Path, "/down/"):
			w.WriteHeader(http.StatusBadGateway)
		default:
			asked.Add(1)
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer api.Close()
	dir := t.TempDir()
	write(t, dir, "path.token", pathToken)
	write(t, dir, "api.key", "api-canary-of-some-length")
	config := write(t, dir, "countersign.yaml", fmt.Sprintf(`mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: jumio, provider: jumio, token: file:path.token, partner: acme, api: {url: %q, user: client-7, key: file:api.key}}
  - {name: down, provider: jumio, token: file:path.token, partner: acme, api: {url: %q, user: client-7, key: file:api.key, questions: 20}}
partners: [{id: acme}]
`, dir, freeAddr(t), freeAddr(t), api.URL, api.URL+"/down"))
	g := start(t, config)
	post := func(from, source, body string) int {
		t.Helper()
		return postFrom(t, from, g.callbackAddr(), posted{path: "/v1/callbacks/" + source + "/" + pathToken, h: http.Header{}, body: []byte(body)})
	}
	forge := func(i int) string {
		return strings.NewReplacer(genuine, fmt.Sprintf("99999999-9999-4999-8999-%012d", i), "cust-100234", fmt.Sprintf("cust-%d", i)).Replace(body)
	}
	for i := range forged {
		if code := post("127.0.0.3", "jumio", forge(i)); code != http.StatusOK {
			t.Fatalf("forged %d: %d", i, code)
		}
	}
	at, started := asked.Load(), time.Now()
	if code := post("127.0.0.2", "jumio", body); code != http.StatusOK {
		t.Fatalf("the genuine one: %d", code)
	}
	eventually(t, "the genuine one is confirmed", func() bool {
		s, err := g.relay.SubjectStatus("acme", "cust-100234", false)
		return err == nil && s.Status == kyc.Approved
	})
	t.Logf("confirmed after %s, with %d of %d forged questions asked in between", time.Since(started).Round(time.Millisecond), before.Load()-at-1, forged)
	if n := before.Load() - at; n > forged/10 {
		t.Errorf("%d forged questions were asked before the genuine one", n)
	}

	const most = 20
	for i := range most + 1 {
		want := http.StatusOK
		if i == most {
			want = http.StatusServiceUnavailable
		}
		if code := post("127.0.0.3", "down", forge(i)); code != want {
			t.Errorf("question %d of %d: %d, want %d", i+1, most, code, want)
		}
	}
	if n := gauge(t, g, `countersign_journal_open_unauthenticated_questions{source="down"}`); n < most {
		t.Errorf("%v unproved questions are counted", n)
	}
	if code, out, errs := cli(t, nil, "questions", "discard", "--config", config, "--source", "down", "--older", "1ms", "--dry-run"); code != exitYes || !strings.Contains(errs, "20 question(s) of down are open for longer than 1ms") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := cli(t, nil, "questions", "discard", "--config", config, "--source", "down", "--older", "1ms", "--yes"); code != exitYes || !strings.Contains(out, "20 question(s) of down are closed") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code := post("127.0.0.3", "down", forge(9999)); code != http.StatusOK {
		t.Errorf("there is room again, and it is answered %d", code)
	}
	if code, _, _ := cli(t, nil, "questions", "discard", "--config", config, "--source", "down"); code != exitUsage {
		t.Errorf("without --older: exit %d", code)
	}
}
