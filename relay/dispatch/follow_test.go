package dispatch

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/relay/registry"
)

// listener is a partner that keeps the ids of what it was sent, in order.
type listener struct {
	*httptest.Server
	mu   sync.Mutex
	ids  []string
	hold atomic.Pointer[chan struct{}] // answers wait for it
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		l.mu.Lock()
		l.ids = append(l.ids, r.Header.Get("Webhook-Id"))
		l.mu.Unlock()
		if c := l.hold.Load(); c != nil {
			<-*c
		}
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) got() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ids)
}

// endpoint is one like the rig's.
func (g *rig) endpoint(id, url string) registry.Endpoint {
	f, _ := format.ByName("standard")
	was := g.registry.Read().Endpoint("a")
	return registry.Endpoint{ID: id, URL: url, Format: f, Keys: was.Keys, Concurrency: 2, Timeout: 10 * time.Second}
}

func (g *rig) configure(es ...registry.Endpoint) {
	g.t.Helper()
	if err := g.registry.Configure([]registry.Partner{{ID: "acme", Endpoints: es}}); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) oweAt(endpoint, subject, id string, sequence uint64) {
	g.t.Helper()
	g.update(func(tx *store.Tx) error {
		return g.outbox.Put(tx, outbox.Delivery{
			Endpoint: endpoint, Lane: "acme/" + subject, Sequence: sequence, WebhookID: id, Type: "kyc.status.approved",
			Format: "standard", Owed: g.clock.now(), Received: g.clock.now(), Body: []byte("{}"),
		})
	})
}

// TestFollow: while the dispatcher runs an endpoint comes, moves to another URL, goes with
// something in flight and something owed, and comes back: each delivery arrives once, in order,
// where the endpoint was when it was tried, and series come and go with it.
func TestFollow(t *testing.T) {
	t.Parallel()
	g := newRig(t, 2)
	a := *g.registry.Read().Endpoint("a")
	g.run()
	first, second := listen(t), listen(t)
	if before := g.series("b"); before != 0 {
		t.Fatalf("%d series of an endpoint that is not there", before)
	}
	g.configure(a, g.endpoint("b", first.URL))
	g.oweAt("b", "ann", "evt_1", 1)
	eventually(t, "the new endpoint is told", func() bool { return len(first.got()) == 1 && g.outbox.Owed("b") == 0 })
	if n := g.series("b"); n == 0 || n > 20 {
		t.Errorf("%d series of an endpoint", n)
	}

	g.configure(a, g.endpoint("b", second.URL))
	open := make(chan struct{})
	second.hold.Store(&open)
	g.oweAt("b", "ann", "evt_2", 2)
	eventually(t, "it is asked at its new address", func() bool { return len(second.got()) == 1 })
	g.oweAt("b", "ann", "evt_3", 3)

	g.configure(a)
	if n := g.series("b"); n != 0 {
		t.Errorf("%d series of an endpoint that has gone", n)
	}
	g.oweAt("b", "ann", "evt_4", 4) // decided before it went
	second.hold.Store(nil)
	close(open)
	eventually(t, "what was in flight has ended", func() bool { return g.outbox.Owed("b") == 2 })
	if n := g.series("b"); n != 0 {
		t.Errorf("%d series of an endpoint that has gone", n)
	}
	g.owe("bob")
	eventually(t, "others go on", func() bool { return g.took.Load() == 1 })
	if got := second.got(); len(got) != 1 {
		t.Errorf("told after it went: %q", got)
	}

	g.configure(a, g.endpoint("b", second.URL))
	eventually(t, "it is told the rest", func() bool { return g.outbox.Owed("b") == 0 })
	if got, want := second.got(), []string{"evt_2", "evt_3", "evt_4"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if got := first.got(); !slices.Equal(got, []string{"evt_1"}) {
		t.Errorf("its old address was told %q", got)
	}
}

// TestEndAndBegin: an endpoint that goes and comes back while something of a person is in flight is
// not told it twice, nor what follows it too soon.
func TestEndAndBegin(t *testing.T) {
	t.Parallel()
	g := newRig(t, 2)
	a := *g.registry.Read().Endpoint("a")
	l := listen(t)
	g.configure(a, g.endpoint("b", l.URL))
	g.run()
	open := make(chan struct{})
	l.hold.Store(&open)
	g.oweAt("b", "ann", "evt_1", 1)
	eventually(t, "it is in flight", func() bool { return len(l.got()) == 1 })
	g.oweAt("b", "ann", "evt_2", 2)
	for range 5 {
		g.configure(a)
		g.configure(a, g.endpoint("b", l.URL))
	}
	g.oweAt("b", "eve", "evt_3", 1) // another person, so that the new sender has been seen to claim
	eventually(t, "the new sender sends", func() bool { return len(l.got()) == 2 })
	l.hold.Store(nil)
	close(open)
	eventually(t, "all is told", func() bool { return g.outbox.Owed("b") == 0 })
	if got, want := l.got(), []string{"evt_1", "evt_3", "evt_2"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// series counts those that name an endpoint.
func (g *rig) series(endpoint string) (n int) {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "endpoint" && l.GetValue() == endpoint {
					n++
					if m.GetSummary() != nil {
						n++ // sum and count
					}
				}
			}
		}
	}
	return n
}

// TestPause: a paused endpoint is sent nothing, also after a restart; a ping reaches it all the
// same; resumed, it gets what it is owed.
func TestPause(t *testing.T) {
	t.Parallel()
	g := newRig(t, 2)
	g.run()
	if err := g.dispatcher.Pause(t.Context(), "a", "otto"); err != nil {
		t.Fatal(err)
	}
	g.owe("ann")
	p, err := g.dispatcher.Ping(t.Context(), "a")
	if err != nil || !p.Delivered || p.Code != 200 || p.Reason != reasonOK || g.took.Load() != 1 {
		t.Errorf("pinged: %+v, %v, %d requests", p, err, g.took.Load())
	}
	if _, err := g.dispatcher.Ping(t.Context(), "a"); err == nil {
		t.Error("pinged twice at once")
	}
	if g.outbox.Owed("a") != 1 || g.took.Load() != 1 {
		t.Errorf("%d owed, %d requests", g.outbox.Owed("a"), g.took.Load())
	}
	again, err := registry.New(registry.Options{Store: g.store, Partners: g.registry.Read().Partners()})
	if err != nil || again.Read().Paused("a") == nil || again.Read().Paused("a").By != "otto" {
		t.Errorf("after a restart: %+v, %v", again.Read().Paused("a"), err)
	}
	if err := g.dispatcher.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is told", func() bool { return g.outbox.Owed("a") == 0 && g.took.Load() == 2 })
}
