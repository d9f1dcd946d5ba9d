package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/signing"
)

// rig is a registry on a file of its own. Its writer runs once run has been called.
type rig struct {
	t      *testing.T
	store  *store.Store
	sealer *store.Sealer
	*Registry
}

func newRig(t *testing.T, partners ...Partner) *rig {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(store.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	g := &rig{t: t, store: s}
	if g.sealer, err = store.OpenSealer(dir); err != nil {
		t.Fatal(err)
	}
	g.again(partners...)
	return g
}

// again is what a restart reads.
func (g *rig) again(partners ...Partner) {
	g.t.Helper()
	var err error
	if g.Registry, err = New(Options{Store: g.store, Sealer: g.sealer, Random: rand.Reader, Partners: partners}); err != nil {
		g.t.Fatal(err)
	}
}

// run starts the writer.
func (g *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.store.Run(ctx) }()
	g.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Error(err)
		}
	})
}

// written waits until whatever was to be written has been.
func (g *rig) written() {
	g.t.Helper()
	if err := g.store.Update(g.t.Context(), func(*store.Tx) error { return nil }); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) isDisabled(endpoint string) (yes bool) {
	g.t.Helper()
	if err := g.store.View(func(tx *store.Tx) error { yes = IsDisabled(tx, endpoint); return nil }); err != nil {
		g.t.Fatal(err)
	}
	return yes
}

func acme() Partner {
	return Partner{ID: "acme", Policy: kyc.Policy{ValidityMonths: 6}, Endpoints: []Endpoint{{ID: "a"}, {ID: "b"}}}
}

func TestLookUps(t *testing.T) {
	g := newRig(t, acme(), Partner{ID: "beta"})
	g.run()
	s := g.Read()
	if len(s.Partners()) != 2 || s.Partner("acme").Policy.ValidityMonths != 6 || s.Partner("nobody") != nil || s.Endpoint("b").ID != "b" || s.Endpoint("c") != nil {
		t.Errorf("%+v", s)
	}
	if err := g.Configure([]Partner{{ID: "gamma", Endpoints: []Endpoint{{ID: "c"}}}}); err != nil {
		t.Fatal(err)
	}
	if s.Partner("acme") == nil || s.Endpoint("c") != nil {
		t.Error("a snapshot that is held has changed")
	}
	if s := g.Read(); s.Partner("acme") != nil || s.Partner("gamma") == nil || s.Endpoint("c") == nil {
		t.Errorf("after Configure: %+v", s)
	}
}

// TestDisabled: a mark counts at once, is in the file after the next commit, and is there after a
// restart, also when one of its copies is damaged.
func TestDisabled(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	before := g.Read()
	wrote := make(chan error, 1)
	if !g.Disable("a", "410 Gone", func(err error) { wrote <- err }) || g.Disable("a", "again", nil) {
		t.Error("disabled twice, or never")
	}
	if g.Read().Disabled("a") != "410 Gone" || g.Read().Disabled("b") != "" || before.Disabled("a") != "" {
		t.Errorf("disabled for %q, and b for %q", g.Read().Disabled("a"), g.Read().Disabled("b"))
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	g.again(acme())
	if g.Read().Disabled("a") != "410 Gone" || !g.isDisabled("a") || g.isDisabled("b") {
		t.Error("the mark did not survive")
	}
	if err := g.store.Update(t.Context(), func(tx *store.Tx) error { return tx.Bucket(store.Registry).Delete(disabledKey("a")) }); err != nil {
		t.Fatal(err)
	}
	if g.again(acme()); g.Read().Disabled("a") != "410 Gone" || !g.isDisabled("a") {
		t.Error("the mark has no second copy")
	}
	if err := g.Enable(t.Context(), "a"); err != nil || g.Read().Disabled("a") != "" || g.isDisabled("a") {
		t.Errorf("enabled: %v, %q", err, g.Read().Disabled("a"))
	}
}

// TestEnableWins: an endpoint that is enabled while its mark waits for the disk stays enabled; one
// whose mark the disk does not let go stays disabled.
func TestEnableWins(t *testing.T) {
	g := newRig(t, acme()) // nobody writes yet
	g.Disable("a", "410 Gone", func(error) {})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Enable(gone, "a"); !errors.Is(err, context.Canceled) || g.Read().Disabled("a") != "410 Gone" {
		t.Errorf("Enable = %v; disabled for %q", err, g.Read().Disabled("a"))
	}
	g.run()
	g.written()
	for range 20 { // in whichever order the writer takes them
		busy, writer := make(chan struct{}), make(chan struct{})
		go g.store.Update(t.Context(), func(*store.Tx) error {
			close(busy)
			<-writer
			return nil
		})
		<-busy // nothing is written from here on
		g.Disable("a", "410 Gone", func(error) {})
		enabled := make(chan error, 1)
		go func() { enabled <- g.Enable(t.Context(), "a") }()
		deadline := time.Now().Add(20 * time.Second)
		for g.Read().Disabled("a") != "" { // it counts here before it is written
			if runtime.Gosched(); time.Now().After(deadline) {
				t.Fatal("it does not count before it is written")
			}
		}
		close(writer)
		if err := <-enabled; err != nil {
			t.Fatal(err)
		}
		g.written()
		if g.Read().Disabled("a") != "" || g.isDisabled("a") {
			t.Fatalf("disabled for %q, marked: %v", g.Read().Disabled("a"), g.isDisabled("a"))
		}
	}
}

// TestManyAtOnce: marks of several endpoints, and policies, are changed at the same time, and none
// undoes another. The race detector judges too.
func TestManyAtOnce(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.RegisterPolicies(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for _, e := range []string{"a", "b"} {
		wg.Go(func() {
			for range 50 {
				if !g.Disable(e, "for a test", func(error) {}) || g.Read().Disabled(e) == "" {
					t.Errorf("%s: the mark has gone", e)
				}
				if err := g.Enable(t.Context(), e); err != nil || g.Read().Disabled(e) != "" {
					t.Errorf("%s: %v, %q", e, err, g.Read().Disabled(e))
				}
			}
		})
	}
	wg.Wait()
	if g.written(); g.isDisabled("a") || g.isDisabled("b") || g.Read().NewestPolicy("acme") != 1 || g.Read().Policy("acme", 1).ValidityMonths != 6 {
		t.Errorf("marked: %v and %v; policies: %v", g.isDisabled("a"), g.isDisabled("b"), g.Read().Policies("acme"))
	}
}

// TestFirstKey: a key is handed over before it counts, kept sealed, and the same ever after.
func TestFirstKey(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	refused := errors.New("no room")
	if _, _, err := g.FirstKey(t.Context(), "a", func(string) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("FirstKey = %v", err)
	}
	if g.again(acme()); len(g.Read().Keys("a")) != 0 {
		t.Error("a key that nobody was given")
	}
	var given string
	keys, made, err := g.FirstKey(t.Context(), "a", func(text string) error { given = text; return nil })
	if err != nil || given == "" || made == nil || given != made.Secret || len(keys) != 1 {
		t.Fatalf("%v, %d keys; handed over: %v", err, len(keys), made != nil && given == made.Secret)
	}
	keys, again, err := g.FirstKey(t.Context(), "a", func(string) error { t.Error("handed over twice"); return nil })
	if err != nil || again != nil || len(keys) != 1 || !same(keys[0].Key, made.Key.Key) {
		t.Errorf("kept: %v, %v", again != nil, err)
	}
	if g.again(acme()); len(g.Read().Keys("a")) != 1 || !same(g.Read().Keys("a")[0].Key, made.Key.Key) || len(g.Read().Keys("b")) != 0 {
		t.Error("it has not survived, or is another's too")
	}
}

// same reports whether two keys are one.
func same(a, b signing.Key) (yes bool) {
	a.With(func(x []byte) { b.With(func(y []byte) { yes = len(x) > 0 && bytes.Equal(x, y) }) })
	return yes
}
