package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

func testSource(t *testing.T, name, adapter, key string) *source {
	t.Helper()
	t.Setenv("KYCSIM_KEY", key)
	s, err := newSource(name+":"+adapter+":env:KYCSIM_KEY", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestScripts holds the scripts against the adapters: each step must translate to the status
// written down for it, later than the step before.
func TestScripts(t *testing.T) {
	for name := range scripts {
		s := testSource(t, "src", name, "user:a-key-of-a-test")
		a, _ := provider.ByName(name)
		p := &person{source: s, subject: "p1", began: time.Now(), order: make([]int, s.script.longest(7))}
		last := time.Time{}
		for n := range p.order {
			var c callback
			if err := s.make(&c, p, n); err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			for _, kv := range c.headers {
				h.Add(kv[0], kv[1])
			}
			if err := s.scheme.Verify(h, c.body, s.keys, time.Now()); err != nil {
				t.Errorf("%s: event %d: %v", name, n, err)
			}
			r, err := a.Translate(h, c.body, nil)
			if err != nil || len(r.Updates) != 1 {
				t.Fatalf("%s: event %d: %+v, %v", name, n, r, err)
			}
			u := r.Updates[0]
			final := len(s.script.loop) == 0 && n == len(p.order)-1
			if string(u.Status) != c.line.Status || u.Subject.ID != "p1" || u.Scope != kyc.Overall || u.Terminal && !final || u.OccurredAt.UnixMilli() != c.line.At {
				t.Errorf("%s: event %d: %s becomes %+v, want %+v", name, n, c.body, u, c.line)
			}
			if !u.OccurredAt.After(last) || u.OccurredAt.After(p.began) || u.OccurredAt.Before(p.began.Add(-time.Minute)) {
				t.Errorf("%s: event %d happened at %s, the one before at %s, now is %s", name, n, u.OccurredAt, last, p.began)
			}
			last = u.OccurredAt
			if r.Livemode != nil && *r.Livemode {
				t.Errorf("%s: event %d says live", name, n)
			}
		}
	}
}

// TestTemplates cuts every sample there is.
func TestTemplates(t *testing.T) {
	for _, a := range provider.All {
		for _, sample := range provider.SampleEvents(a.Name) {
			if _, err := cut(a.Name, sample); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := cut("sumsub", "no-such-sample"); err == nil {
		t.Error("a sample that does not exist was cut")
	}
}

func TestSourceSpecs(t *testing.T) {
	t.Setenv("KYCSIM_KEY", "k")
	f := func(spec string, own map[string]string, ok bool) {
		t.Helper()
		if _, err := newSource(spec, own); (err == nil) != ok {
			t.Errorf("newSource(%q, %v): %v", spec, own, err)
		}
	}
	f("a:sumsub:env:KYCSIM_KEY", nil, true)
	f("a:sumsub:env:KYCSIM_KEY", map[string]string{"sumsub": "approved=approved,deactivated=suspended"}, true)
	f("a:sumsub:env:KYCSIM_KEY", map[string]string{"sumsub": "approved=approved,company_approved=approved"}, false)
	f("a:sumsub:env:KYCSIM_KEY", map[string]string{"sumsub": "approved=approved,none=rejected"}, false)
	f("a:sumsub:env:KYCSIM_NONE", nil, false)
	f("a:sumsub:plain", nil, false)
	f("a:nobody:env:KYCSIM_KEY", nil, false)
	f("a:sumsub", nil, false)
}

// hand is a gateway made by hand: it verifies and answers as told, and keeps what it accepted.
type hand struct {
	t      *testing.T
	url    string
	answer func(n int) int // to the n-th request

	mu       sync.Mutex // guards the fields below
	requests int
	accepted map[string][]string // by source and subject: event ids, in order of acceptance
	bodies   map[string]string   // by event id: must never change
}

func runHand(t *testing.T, sources []*source, answer func(n int) int) *hand {
	t.Helper()
	h := &hand{t: t, answer: answer, accepted: map[string][]string{}, bodies: map[string]string{}}
	byName := map[string]*source{}
	for _, s := range sources {
		byName[s.name] = s
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &fasthttp.Server{Logger: quiet{}, Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(h.request(ctx, byName[strings.TrimPrefix(string(ctx.Path()), "/v1/callbacks/")]))
	}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.ShutdownWithContext(ctx)
		<-served
	})
	h.url = "http://" + ln.Addr().String() + "/v1/callbacks/"
	return h
}

func (h *hand) request(ctx *fasthttp.RequestCtx, s *source) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s == nil {
		h.t.Errorf("a callback to %s", ctx.Path())
		return 404
	}
	head := http.Header{}
	for k, v := range ctx.Request.Header.All() {
		head.Add(string(k), string(v))
	}
	body := ctx.PostBody()
	if err := s.scheme.Verify(head, body, s.keys, time.Now()); err != nil {
		h.t.Errorf("a callback that does not verify: %v", err)
		return 401
	}
	a, _ := provider.ByName("sumsub")
	r, err := a.Translate(head, body, nil)
	if err != nil || len(r.Updates) != 1 {
		h.t.Errorf("%s: %v", body, err)
		return 200
	}
	if was, ok := h.bodies[r.EventID]; ok && was != string(body) {
		h.t.Errorf("%s was sent again with another body", r.EventID)
	}
	h.bodies[r.EventID] = string(body)
	h.requests++
	if code := h.answer(h.requests); code != 200 {
		return code
	}
	id := r.Updates[0].Subject.ID
	h.accepted[id] = append(h.accepted[id], r.EventID)
	return 200
}

func ok(int) int { return 200 }

func TestFire(t *testing.T) {
	s := []*source{testSource(t, "one", "sumsub", "k1"), testSource(t, "two", "sumsub", "k2")}
	h := runHand(t, s, func(n int) int {
		if n%5 == 0 {
			return 503
		}
		return 200
	})
	path := filepath.Join(t.TempDir(), "fired.jsonl")
	l, err := openLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := fire(t.Context(), fireOptions{
		URL: h.url, Sources: s, Count: 400, Connections: 8, Persons: 20, Events: 4, GiveUp: 10 * time.Second, Duplicates: 0.2, Seed: 1, Run: "r", Ledger: l,
	})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || sum.Sent != 400 || sum.Acked != 400 || sum.GivenUp != 0 || sum.Duplicates == 0 || sum.Refused["503"] == 0 || sum.P50 <= 0 || sum.P99 < sum.P50 {
		t.Fatalf("%+v, %v", sum, err)
	}
	events, again := 0, 0
	for id, ids := range h.accepted {
		highest, seen := -1, map[string]bool{}
		for _, e := range ids {
			var n int
			if _, err := fmt.Sscanf(e, id+"-e%d", &n); err != nil {
				t.Fatal(err)
			}
			switch {
			case seen[e]:
				again++
			case n != highest+1:
				t.Errorf("%s: event %d follows event %d", id, n, highest)
			default:
				highest = n
				events++
			}
			seen[e] = true
		}
	}
	if events != 400 || int64(again) != sum.Duplicates {
		t.Errorf("%d events and %d repeats arrived, %d and %d were sent", events, again, sum.Sent, sum.Duplicates)
	}
	acked := map[string]bool{}
	if err := readLedgers([]string{path}, func(l *firedLine) {
		if l.Ev == evAcked && l.Code == 200 {
			acked[fmt.Sprint(l.Subject, l.N)] = true
		}
	}); err != nil || len(acked) != 400 {
		t.Errorf("the ledger has %d acknowledged events, %v", len(acked), err)
	}
}

func TestFireReorders(t *testing.T) {
	s := []*source{testSource(t, "one", "sumsub", "k1")}
	h := runHand(t, s, ok)
	if _, err := fire(t.Context(), fireOptions{URL: h.url, Sources: s, Count: 40, Connections: 1, Persons: 1, Events: 4, Reorder: 1, Seed: 1, Run: "r"}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(h.accepted["pr-1"]), "[pr-1-e1 pr-1-e0 pr-1-e3 pr-1-e2]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFireGivesUp(t *testing.T) {
	s := []*source{testSource(t, "one", "sumsub", "k1")}
	h := runHand(t, s, func(int) int { return 503 })
	sum, err := fire(t.Context(), fireOptions{URL: h.url, Sources: s, Count: 2, Connections: 1, Persons: 1, Events: 4, GiveUp: 30 * time.Millisecond, Seed: 1, Run: "r"})
	if err != nil || sum.GivenUp != 2 || sum.Acked != 0 || h.requests < 3 {
		t.Errorf("%+v after %d requests, %v", sum, h.requests, err)
	}
}

func TestFirePaces(t *testing.T) {
	s := []*source{testSource(t, "one", "sumsub", "k1")}
	h := runHand(t, s, ok)
	sum, err := fire(t.Context(), fireOptions{URL: h.url, Sources: s, Rate: 200, Count: 60, Connections: 4, Persons: 10, Events: 4, Seed: 1, Run: "r"})
	if err != nil || sum.Acked != 60 || sum.Seconds < 0.29 || sum.Rate > 210 {
		t.Errorf("%+v, %v", sum, err)
	}
	if _, err := fire(t.Context(), fireOptions{URL: h.url, Sources: s, Connections: 0, Persons: 1, Events: 1}); err == nil {
		t.Error("no connections, and yet it fired")
	}
}

// TestCircle closes the circle without a gateway: what is fired is told to the partner by hand, and
// judged. Then the hand begins to forget.
func TestCircle(t *testing.T) {
	f := func(name string, forget int, wantLost bool) {
		t.Helper()
		dir := t.TempDir()
		s := []*source{testSource(t, "one", "sumsub", "k1")}
		sent, got := filepath.Join(dir, "fired"), filepath.Join(dir, "received")
		sentLedger, err := openLedger(sent)
		if err != nil {
			t.Fatal(err)
		}
		gotLedger, err := openLedger(got)
		if err != nil {
			t.Fatal(err)
		}
		p := runPartner(t, partnerOptions{Ledger: gotLedger})
		h := runHand(t, s, ok)
		if _, err := fire(t.Context(), fireOptions{URL: h.url, Sources: s, Count: 30, Connections: 2, Persons: 5, Events: 3, GiveUp: time.Second, Seed: 1, Run: "r", Ledger: sentLedger}); err != nil {
			t.Fatal(err)
		}
		h.tell(p, forget)
		if err := p.close(); err != nil {
			t.Error(err)
		}
		_, _ = sentLedger.Close(), gotLedger.Close()
		v, err := judge(judgeOptions{Fired: []string{sent}, Received: []string{got}})
		if err != nil || (v.Lost > 0) != wantLost || v.faults() != v.Lost || v.Acked != 30 || v.Duplicated != 0 {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	f("honest", -1, false)
	f("forgets one", 7, true)
}

// tell delivers every accepted event, except the one at the place to forget.
func (h *hand) tell(p *partner, forget int) {
	told := 0
	for id, ids := range h.accepted {
		seq := 0
		for _, e := range ids {
			a, _ := provider.ByName("sumsub")
			r, err := a.Translate(http.Header{}, []byte(h.bodies[e]), nil)
			if err != nil {
				h.t.Fatal(err)
			}
			if told++; told-1 == forget {
				continue
			}
			seq++
			status := r.Updates[0].Status
			body := fmt.Sprintf(`{"type":"kyc.status.%s","data":{"sequence":%d,"previous_sequence":%d,"subject":{"id":%q},"status":%q}}`, status, seq, seq-1, id, status)
			head := signed(h.t, "evt_"+e, body, time.Now())
			if code, _ := deliver(p, "/a", head, body, time.Second); code != 200 {
				h.t.Errorf("the partner answered %d", code)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	var h headers
	h.Add("A", "1")
	h.Add("a", "2")
	h.Add("b", "3")
	if v := h.Values("A"); fmt.Sprint(v) != "[1 2]" {
		t.Errorf("values %v", v)
	}
	if h.Set("a", "4"); fmt.Sprint(h) != "[[b 3] [a 4]]" {
		t.Errorf("after Set: %v", h)
	}
	var _ signing.Header = &h
}
