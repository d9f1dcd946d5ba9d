package dispatch

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/relay/registry"
	"countersign/relay/send"
)

// TestTriesSayWhatWentOverTheWire: of each try that failed the file keeps where its time went, where
// it went, and what was answered, for whoever asks later.
func TestTriesSayWhatWentOverTheWire(t *testing.T) {
	g := newRigOf(t, func(g *rig, w http.ResponseWriter, _ *http.Request) {
		switch g.took.Load() {
		case 1:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<h1>no\x1b[2J</h1>"+strings.Repeat("x", 5000))
		case 2:
			w.Header().Set("Content-Type", "image/png")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte{0x89, 'P', 'N', 'G', 0, 1})
		case 3, 4: // the first of these on a connection used again, so that it is written once more at once
			panic(http.ErrAbortHandler)
		case 5:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, "thanks")
		}
	}, func(e *registry.Endpoint) {
		e.Retry = registry.Retry{First: time.Millisecond, Factor: 1, Max: time.Millisecond, Attempts: 15}
	})
	g.run()
	g.owe("ann")
	eventually(t, "it is accepted", func() bool { return g.outbox.Owed("a") == 0 && g.took.Load() >= 6 })
	tries, err := g.outbox.TriesInFull("a", "acme/ann", 2)
	if err != nil || len(tries) != 4 {
		t.Fatalf("%+v, %v", tries, err)
	}
	for i, try := range tries {
		if "http://"+try.Address.String() != g.url || try.FirstByte <= 0 || try.FirstByte > try.Took || try.Outcome != outbox.Retry || try.At.IsZero() ||
			try.Reused && try.Connect != 0 || try.DNS+try.TLS != 0 {
			t.Errorf("try %d: %+v", i, try)
		}
	}
	f := func(n int, reason string, code int, want outbox.Answer, reused bool) {
		t.Helper()
		if try := tries[n]; try.Reason != reason || try.Code != code || try.Answer != want || try.Reused != reused {
			t.Errorf("try %d: %s %d %+v, reused %v; want %s %d %+v, %v", n, try.Reason, try.Code, try.Answer, try.Reused, reason, code, want, reused)
		}
	}
	page := (`<h1>no\x1b[2J</h1>` + strings.Repeat("x", 5000))[:outbox.MaxText]
	f(0, reasonServer, 502, outbox.Answer{Text: page, Type: "text/html; charset=utf-8", Bytes: 5015, Cut: true}, false)
	f(1, reasonServer, 500, outbox.Answer{Type: "image/png", Bytes: 6}, true)
	f(3, reasonServer, 503, outbox.Answer{}, false)
	if last := tries[2]; last.Reason != send.Reset || last.Detail == "" || last.Code != 0 || last.Answer != (outbox.Answer{}) {
		t.Errorf("try 2: %+v", last)
	}
}

// TestExchangeOfAccepted: every delivery has one that was accepted, so less is kept of it, and
// nothing where nothing was said.
func TestExchangeOfAccepted(t *testing.T) {
	f := func(a send.Answer, accepted bool, want outbox.Answer) {
		t.Helper()
		if got := exchange(&a, accepted).Answer; got != want {
			t.Errorf("%+v is kept of %q, want %+v", got, a.Body, want)
		}
	}
	long := strings.Repeat("thanks ", 100)
	f(send.Answer{Code: 204}, true, outbox.Answer{})
	f(send.Answer{Code: 200, Body: []byte("ok"), Size: 2, Type: "text/plain"}, true, outbox.Answer{Text: "ok", Type: "text/plain", Bytes: 2})
	f(send.Answer{Code: 200, Body: []byte(long), Size: 700}, true, outbox.Answer{Text: long[:outbox.MaxAcceptedText], Bytes: 700, Cut: true})
	f(send.Answer{Code: 400, Body: []byte(long), Size: 700}, false, outbox.Answer{Text: long, Bytes: 700})
	a := send.Answer{Code: 204, Timings: send.Timings{FirstByte: time.Millisecond}}
	if n := testing.AllocsPerRun(100, func() { _ = exchange(&a, true) }); n != 0 {
		t.Errorf("%v allocations for an answer that says nothing", n)
	}
}
