package dispatch

import (
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

// What a sender does with what is owed, whatever owes it. The relay's tests have what the two come
// to together.

func (g *rig) oweMany(n int) {
	for i := range n {
		g.owe(fmt.Sprint("user-", i))
	}
}

// counted is the value of the series of a metric whose only label is this.
func (g *rig) counted(name, label string) float64 {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

// together is the most requests that were at a partner at one time.
func together(hits []hit) (most int) {
	for _, h := range hits {
		n := 0
		for _, o := range hits {
			if o.start <= h.start && h.start < o.end {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestTogether keeps the measure honest.
func TestTogether(t *testing.T) {
	if n := together([]hit{{start: 1, end: 4}, {start: 2, end: 3}, {start: 5, end: 8}, {start: 6, end: 9}, {start: 7, end: 10}}); n != 3 {
		t.Errorf("together = %d, want 3", n)
	}
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	f := func(allowed, want int) {
		t.Helper()
		turn := make(chan struct{})
		p := newFar(t, func(h hit) reply {
			<-turn
			return ok(h)
		})
		g := serving(t, registry.Endpoint{ID: "a", URL: p.URL, Concurrency: allowed})
		g.oweMany(30)
		p.until(t, want)
		for range 30 {
			turn <- struct{}{}
		}
		g.owesNothing("a")
		if got := together(p.seen()); got != want {
			t.Errorf("concurrency %d: %d at a time, want %d", allowed, got, want)
		}
	}
	f(1, 1)
	f(3, 3)
	f(16, 16)
	f(0, 1) // left out: slow, but it goes on
}

// TestRate holds the least time that so many deliveries may take, never the most.
func TestRate(t *testing.T) {
	f := func(rate float64, n int, least time.Duration) {
		t.Helper()
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			p := newFar(t, ok)
			g := serving(t, registry.Endpoint{ID: "a", URL: p.URL, Concurrency: 8, Rate: rate})
			began := time.Now()
			g.oweMany(n)
			hits := p.until(t, n)
			if took := hits[n-1].at.Sub(began); took < least {
				t.Errorf("%d deliveries took %v, want at least %v", n, took, least)
			}
		})
	}
	f(50, 30, 490*time.Millisecond) // 5 at once, then one each 20 ms
	f(5, 4, 590*time.Millisecond)   // one at once
	f(1000, 200, 90*time.Millisecond)
}

// TestRetryAfterOfOnePerson: who is asked about too often waits, and nobody else does.
func TestRetryAfterOfOnePerson(t *testing.T) {
	t.Parallel()
	p := newFar(t, func(h hit) reply {
		if h.try == 1 && h.id == "evt_ann" {
			return reply{code: 429, header: http.Header{"Retry-After": {"200"}}}
		}
		return ok(h)
	})
	g := serving(t, registry.Endpoint{ID: "a", URL: p.URL, Concurrency: 8})
	g.owe("ann")
	eventually(t, "she is to wait", func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 2); return len(tries) == 1 })
	g.owe("bob")
	g.owe("cid")
	eventually(t, "the others are told", func() bool { return p.accepted() == 2 && g.outbox.Owed("a") == 1 })
	if n := len(p.seen()); n != 3 {
		t.Errorf("%d requests, want 3: she was to wait", n)
	}
	g.after(201*time.Second, "a")
	g.owesNothing("a")
}

// TestNoAnswer: attempts that cannot be made or end without an answer are failures like others,
// with their own reason.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	f := func(url, want string) {
		t.Helper()
		g := serving(t, registry.Endpoint{ID: "a", URL: url, Concurrency: 8, Retry: registry.Retry{First: 2 * time.Millisecond, Factor: 1, Max: 2 * time.Millisecond, Attempts: 2}})
		g.owe("ann")
		g.owesNothing("a")
		tries, err := g.outbox.Tries("a", "acme/ann", 2)
		if err != nil || len(tries) != 2 || tries[0].Reason != want {
			t.Errorf("%s: %+v, %v; want two tries, the first %s", url, tries, err, want)
		}
		if d, _, err := g.outbox.ListDead(func(e string) bool { return e == "a" }, "", 9); err != nil || len(d) != 1 || d[0].Reason != "exhausted" || !d[0].HasBody {
			t.Errorf("%s: %+v, %v", url, d, err)
		}
		if g.counted("relay_attempt_reasons_total", want) != 1 {
			t.Errorf("%s: not counted as %s", url, want)
		}
	}
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	f(tls.URL, send.TLS)
	f("http://127.0.0.1:1", send.Connect)
	f("http://169.254.169.254/latest", send.RefusedAddress)
	f("http://10.0.0.1/", send.RefusedAddress)
	f("://", send.Other)
}

// TestRotation: while keys overlap both sign, newest first; then the new one alone. Where there is
// room for one signature, the older one signs until then.
func TestRotation(t *testing.T) {
	key := func(text string) signing.Key {
		k, err := signing.StandardKey(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first, second := key("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), key("whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY=")
	p, flat, silent := newFar(t, ok), newFar(t, ok), newFar(t, ok)
	keys := []registry.Key{{Key: first}, {Key: second, Until: time.Now().Add(time.Hour)}}
	standard, _ := format.ByName("standard")
	blendfi, _ := format.ByName("blendfi")
	both := registry.Endpoint{ID: "a", URL: p.URL, Format: standard, Keys: keys}
	one := registry.Endpoint{ID: "one", URL: flat.URL, Format: blendfi, Keys: keys}
	expired := registry.Endpoint{ID: "expired", URL: silent.URL, Format: standard, Keys: keys[1:], Retry: registry.Retry{First: time.Millisecond, Factor: 1, Max: time.Millisecond, Attempts: 1}}
	g := serving(t, both, one, expired)
	last := func(p *far) hit { return p.seen()[len(p.seen())-1] }
	f := func(e *registry.Endpoint, p *far, k signing.Key, want bool) {
		t.Helper()
		h := last(p)
		if got := e.Format.Scheme.Verify(h.header, []byte(h.body), signing.Keyring{k}, g.clock.now()) == nil; got != want {
			t.Errorf("%s: signed by this key: %v, want %v", e.ID, got, want)
		}
	}
	owe := func(id string) {
		for _, e := range []string{"a", "one", "expired"} {
			g.update(func(tx *store.Tx) error {
				return g.outbox.Put(tx, outbox.Delivery{
					Endpoint: e, Lane: "acme/ann-" + id, Sequence: 2, WebhookID: "evt_" + id, Type: "kyc.status.approved", Format: g.registry.Read().Endpoint(e).Format.Name,
					Owed: g.clock.now(), Received: g.clock.now(), Body: []byte("{}"),
				})
			})
			g.owesNothing(e)
		}
	}
	owe("before")
	if sigs := strings.Fields(last(p).header.Get("Webhook-Signature")); len(sigs) != 2 {
		t.Errorf("%d signatures during the overlap, want 2", len(sigs))
	}
	f(&both, p, first, true)
	f(&both, p, second, true)
	f(&one, flat, second, true)
	f(&one, flat, first, false)
	f(&expired, silent, second, true)
	g.after(time.Hour+time.Second, "a", "one", "expired")
	owe("after")
	if sigs := strings.Fields(last(p).header.Get("Webhook-Signature")); len(sigs) != 1 {
		t.Errorf("%d signatures after the overlap, want 1", len(sigs))
	}
	f(&both, p, first, true)
	f(&both, p, second, false)
	f(&one, flat, first, true)
	f(&one, flat, second, false)
	if len(silent.seen()) != 1 || g.outbox.Dead("expired") != 1 {
		t.Errorf("%d requests and %d dead of an endpoint whose only key is out of use, want no more than before and 1", len(silent.seen()), g.outbox.Dead("expired"))
	}
}

// TestHangingEndpointAtASharedHost: of two endpoints at one host and port one hangs, with
// everything it may have in flight; what the other is owed arrives all the same, over HTTP/1 and
// over HTTP/2 (I6). Its own headers go to each.
func TestHangingEndpointAtASharedHost(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		released := make(chan struct{})
		var stuck, well, mistaken atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.Header.Get("X-Path") != r.URL.Path || (r.ProtoMajor == 2) != http2 {
				mistaken.Add(1)
			}
			if r.URL.Path == "/hangs" {
				stuck.Add(1)
				<-released
				return
			}
			well.Add(1)
		}))
		s.EnableHTTP2 = http2
		s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 4}
		s.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		client := send.New(send.Options{RootCAs: roots})
		g := newRig(t, 1, func(o *Options) { o.Client, o.Grace = client, time.Millisecond })
		endpoint := func(id string) registry.Endpoint {
			e := g.endpoint(id, s.URL+"/"+id)
			e.Concurrency, e.Timeout, e.Headers = 8, time.Minute, []send.Header{send.NewHeader("X-Path", "/"+id)}
			e.Retry = registry.Retry{First: time.Hour, Factor: 1, Max: time.Hour, Attempts: 3}
			return e
		}
		g.configure(endpoint("hangs"), endpoint("well"))
		stop := g.background(g.dispatcher.Run)
		for i := range 40 {
			g.oweAt("hangs", fmt.Sprint("user-", i), fmt.Sprint("evt_", i), 2)
			g.oweAt("well", fmt.Sprint("user-", i), fmt.Sprint("evt_", i), 2)
		}
		eventually(t, "the healthy endpoint has everything", func() bool { return well.Load() == 40 && g.outbox.Owed("well") == 0 })
		eventually(t, "the sick one hangs with all it may have", func() bool { return stuck.Load() == 8 })
		if mistaken.Load() != 0 || g.outbox.Owed("hangs") != 40 {
			t.Errorf("http2 %v: %d requests in another protocol, or without their header; %d owed to the sick one", http2, mistaken.Load(), g.outbox.Owed("hangs"))
		}
		stop()
		client.Close()
		close(released)
		s.Close()
	}
}
