package dispatch

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/registry"
	"countersign/relay/send"
	"countersign/signing"
)

const patience = 20 * time.Second // no passing test comes near it

// eventually waits until ok holds.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited %s in vain until %s", patience, what)
		}
	}
}

// at is an instant, so many minutes from a fixed one.
func at(minutes int) time.Time { return time.Date(2026, 3, 1, 12, minutes, 0, 0, time.UTC) }

// clock is real time plus what a test adds to it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

// rig is a dispatcher with one endpoint, "a", whose partner takes everything: a real file, a real
// outbox, or four of each (inFour), and a real server. The relay's tests have whatever a relay owes.
type rig struct {
	t          testing.TB
	clock      clock
	store      *store.Store
	outbox     *spread
	registry   *registry.Registry
	dispatcher *Dispatcher
	reg        *prometheus.Registry
	url        string       // of the partner
	took       atomic.Int64 // requests
}

func newRig(tb testing.TB, concurrency int, set ...func(*Options)) *rig {
	tb.Helper()
	return newRigOf(tb, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency = concurrency }, set...)
}

// newRigOf is one whose partner answers as it is told, and whose endpoint is as it is told.
func newRigOf(tb testing.TB, answer func(*rig, http.ResponseWriter, *http.Request), endpoint func(*registry.Endpoint), set ...func(*Options)) *rig {
	tb.Helper()
	return newRigIn(tb, partsOf(tb), answer, endpoint, set...)
}

// newRigIn is one that has so many partitions.
func newRigIn(tb testing.TB, parts int, answer func(*rig, http.ResponseWriter, *http.Request), endpoint func(*registry.Endpoint), set ...func(*Options)) *rig {
	tb.Helper()
	g := &rig{t: tb}
	partner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		g.took.Add(1)
		answer(g, w, r)
	}))
	tb.Cleanup(partner.Close)
	key, err := signing.StandardKey("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	if err != nil {
		tb.Fatal(err)
	}
	f, _ := format.ByName("standard")
	g.url = partner.URL
	e := registry.Endpoint{ID: "a", URL: partner.URL, Format: f, Keys: []registry.Key{{Key: key}}, Timeout: 10 * time.Second}
	endpoint(&e)
	log, dir := slog.New(slog.DiscardHandler), tb.TempDir()
	if g.store, err = store.Open(store.Options{Dir: dir, Logger: log, Metrics: prometheus.NewRegistry(), Linger: 200 * time.Microsecond}); err != nil {
		tb.Fatal(err)
	}
	stop := g.background(g.store.Run)
	tb.Cleanup(func() {
		stop()
		if err := g.store.Close(); err != nil {
			tb.Error(err)
		}
	})
	reg := prometheus.NewRegistry()
	g.reg = reg
	g.outbox = newSpread(tb, g.store, outbox.Options{Logger: log, Metrics: reg, Now: g.clock.now}, dirsOf(tb, parts)...)
	tb.Cleanup(g.outbox.end)
	partners := []registry.Partner{{ID: "acme", Endpoints: []registry.Endpoint{e}}}
	sealer, err := store.OpenSealer(dir)
	if err != nil {
		tb.Fatal(err)
	}
	if g.registry, err = registry.New(registry.Options{Store: g.store, Partners: partners, Sealer: sealer, Random: rand.Reader, Now: g.clock.now}); err != nil {
		tb.Fatal(err)
	}
	client := send.New(send.Options{})
	tb.Cleanup(client.Close)
	o := Options{Registry: g.registry, Outbox: g.outbox.one(), Client: client, Logger: log, Metrics: reg, Now: g.clock.now}
	for _, fn := range set {
		fn(&o)
	}
	g.dispatcher = New(o)
	g.outbox.begin(g.dispatcher)
	return g
}

// run runs the dispatcher until the test ends.
func (g *rig) run() { g.t.Cleanup(g.background(g.dispatcher.Run)) }

// background runs something until stop is called.
func (g *rig) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Error(err)
		}
	}
}

func (g *rig) update(fn func(*store.Tx) error) {
	g.t.Helper()
	if err := g.store.Update(g.t.Context(), fn); err != nil {
		g.t.Fatal(err)
	}
}

// owe puts one delivery about somebody into the outbox.
func (g *rig) owe(subject string) { g.oweOf(subject, 2, false) }

func (g *rig) oweOf(subject string, seq uint64, restrictive bool) {
	g.t.Helper()
	g.update(func(tx *store.Tx) error {
		return g.outbox.Put(tx, outbox.Delivery{
			Endpoint: "a", Lane: "acme/" + subject, Sequence: seq, WebhookID: "evt_" + subject, Type: "kyc.status.approved", Format: "standard", Restrictive: restrictive,
			Owed: g.clock.now(), Received: g.clock.now(), Body: []byte("{}"),
		})
	})
}
