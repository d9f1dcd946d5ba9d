package confirm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/signing"
)

// published is a made-up API that publishes keys by the name in X-Key.
func published() *provider.API {
	api := thin()
	api.Keys = &provider.PublishedKeys{
		KeyID: func(h signing.Header) (string, error) {
			if v := h.Values("X-Key"); len(v) == 1 {
				return v[0], nil
			}
			return "", signing.ErrMissing
		},
		Call: func(kid string) (provider.Call, error) {
			return provider.Call{Method: http.MethodGet, Path: "/keys/" + kid}, nil
		},
		Read: func(answer []byte) (string, bool, error) {
			text, expired := strings.CutPrefix(string(answer), "expired ")
			if text == "nonsense" {
				return "", false, provider.ErrUnreadable
			}
			return text, expired, nil
		},
	}
	return api
}

// TestKeys: a published key is fetched once and remembered; what does not exist is remembered for a
// while; what cannot be had now is not a verdict.
func TestKeys(t *testing.T) {
	var calls, ahead atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		switch kid := strings.TrimPrefix(r.URL.Path, "/keys/"); kid {
		case "good":
			io.WriteString(w, "the key itself")
		case "expired":
			io.WriteString(w, "expired key")
		case "nonsense":
			io.WriteString(w, "nonsense")
		case "down":
			w.WriteHeader(http.StatusBadGateway)
		case "bad":
			w.WriteHeader(http.StatusBadRequest)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	k := newKeys(t, KeysOptions{Source: Source{API: published(), Base: s.URL}, Now: now})
	k.fair.all.SetBurst(1000)
	asked := 0
	f := func(kid string, want error, wantCalls int64) {
		t.Helper()
		before := calls.Load()
		asked++ // each callback comes from an address of its own
		ring, err := k.For(t.Context(), Callback{Header: http.Header{"X-Key": {kid}}, Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(asked)})})
		if !errors.Is(err, want) || (err == nil) != (len(ring) == 1) || calls.Load()-before != wantCalls {
			t.Errorf("%s: %d keys, %v after %d calls; want %v after %d", kid, len(ring), err, calls.Load()-before, want, wantCalls)
		}
	}
	if _, err := k.For(t.Context(), Callback{Header: http.Header{}}); !errors.Is(err, signing.ErrMissing) {
		t.Errorf("a callback that names no key: %v", err)
	}
	f("good", nil, 1)
	f("good", nil, 0)
	for _, none := range []string{"unknown", "expired", "bad"} {
		f(none, signing.ErrMismatch, 1)
		f(none, signing.ErrMismatch, 0)
	}
	f("down", provider.ErrNoKey, 1)
	f("down", provider.ErrNoKey, 1) // asked again: nothing is known of it
	f("nonsense", provider.ErrNoKey, 1)
	ahead.Store(int64(noKeyHolds + time.Second))
	f("unknown", signing.ErrMismatch, 1)
	f("good", nil, 0)

	for i := range 2 * maxNone { // a forger names keys without end
		k.forget(fmt.Sprint("forged-", i))
	}
	if len(k.none) > maxNone {
		t.Errorf("%d keys that do not exist are remembered", len(k.none))
	}
	f("good", nil, 0) // and did not push the good one out
	for i := range 2 * maxKeys {
		k.remember(&knownKey{PublishedKey: PublishedKey{ID: fmt.Sprint("key-", i), Fetched: now()}})
	}
	if len(k.known) > maxKeys {
		t.Errorf("%d keys are remembered", len(k.known))
	}
}

// newKeys makes the look-up of a source called src.
func newKeys(t *testing.T, o KeysOptions) *Keys {
	t.Helper()
	o.Source.Name, o.Source.Credentials, o.Logger = "src", credentials(t), slog.New(slog.DiscardHandler)
	k, err := NewKeys(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// running runs it; the function that is returned stops it.
func running(t *testing.T, k *Keys) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// TestKeysTogether: callbacks that need the same key share one look-up, and unknown names are not
// looked up faster than allowed.
func TestKeysTogether(t *testing.T) {
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if strings.HasSuffix(r.URL.Path, "/good") {
			io.WriteString(w, "the key itself")
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	now := time.Now()
	k := newKeys(t, KeysOptions{Source: Source{API: published(), Base: s.URL}, Now: func() time.Time { return now }}) // time stands still: no budget is filled up again
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := k.For(t.Context(), named("good", "192.0.2.1")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if calls.Load() > 2 {
		t.Errorf("%d look-ups of one key", calls.Load())
	}
	limited := func(n int, from func(i int) string) (put int) {
		for i := range n {
			if _, err := k.For(t.Context(), named(fmt.Sprintf("forged-%s-%d", from(i), i), from(i))); errors.Is(err, provider.ErrNoKey) {
				put++
			}
		}
		return put
	}
	before := calls.Load()
	if put := limited(50, func(int) string { return "192.0.2.2" }); put != 50-callerBurst {
		t.Errorf("of 50 that one address names %d were put off", put)
	}
	if put := limited(5000, func(i int) string { return fmt.Sprintf("10.0.%d.%d", i/256, i%256) }); put < 5000-lookBurst {
		t.Errorf("of 5000 that as many addresses name %d were put off", put)
	}
	if n := calls.Load() - before; n > lookBurst {
		t.Errorf("%d look-ups", n)
	}
	if len(k.fair.callers) > maxCallers || len(k.fair.turns) > maxCallers {
		t.Errorf("%d addresses are remembered", len(k.fair.callers))
	}
	k.Proved(netip.MustParseAddr("192.0.2.9"))
	if _, err := k.For(t.Context(), named("another", "192.0.2.9")); !errors.Is(err, signing.ErrMismatch) {
		t.Errorf("an address from which something genuine came waits for strangers: %v", err)
	}
	if _, err := NewKeys(KeysOptions{Source: Source{Name: "src", API: published(), Base: s.URL}}); err == nil || !strings.Contains(err.Error(), "api.key") {
		t.Errorf("without credentials: %v", err)
	}
	if _, err := NewKeys(KeysOptions{Source: Source{Name: "src", API: thin(), Base: s.URL, Credentials: credentials(t)}}); err == nil {
		t.Error("a provider that publishes no keys")
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// named is a callback that names a key.
func named(kid, client string) Callback {
	return Callback{Header: http.Header{"X-Key": {kid}}, Client: netip.MustParseAddr(client)}
}

// TestKeysServeWhileFetched: a key that has had its day serves while it is fetched anew, and for
// seven days if it cannot be; one that the provider has ended does not.
func TestKeysServeWhileFetched(t *testing.T) {
	var calls, ahead atomic.Int64
	var how atomic.Value
	how.Store("key")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		switch how.Load() {
		case "key":
			io.WriteString(w, "the key itself")
		case "ended":
			io.WriteString(w, "expired key")
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(s.Close)
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	k := newKeys(t, KeysOptions{Source: Source{API: published(), Base: s.URL}, Now: now})
	running(t, k)
	f := func(want error) {
		t.Helper()
		if _, err := k.For(t.Context(), named("good", "192.0.2.1")); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	f(nil)
	how.Store("down")
	ahead.Add(int64(keyHolds + time.Second))
	f(nil)
	until(t, "it was asked for again", func() bool { return calls.Load() == 2 })
	f(nil)
	ahead.Add(int64(6*24*time.Hour - time.Minute))
	f(nil)
	how.Store("key")
	ahead.Add(int64(time.Hour)) // beyond seven days: the callback waits for the answer
	f(nil)
	if n := calls.Load(); n < 3 {
		t.Errorf("a key of seven days was believed without asking")
	}
	how.Store("down")
	ahead.Add(int64(keyServes))
	f(provider.ErrNoKey)
	how.Store("key")
	f(nil)
	how.Store("ended")
	ahead.Add(int64(keyHolds + time.Second))
	f(nil) // the one that makes it be asked for
	until(t, "its end is known", func() bool {
		_, err := k.For(t.Context(), named("good", "192.0.2.1"))
		return errors.Is(err, signing.ErrMismatch)
	})
}

// TestLateAnswer: an answer that was on its way while another said that the key has ended does not
// bring it back, and one is as old as its question.
func TestLateAnswer(t *testing.T) {
	var ahead atomic.Int64
	var how atomic.Value
	how.Store("key")
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		said := how.Load()
		asked <- struct{}{}
		if said == "key" {
			<-answer
			io.WriteString(w, "the key itself")
			return
		}
		io.WriteString(w, "expired key")
	}))
	t.Cleanup(s.Close)
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	k := newKeys(t, KeysOptions{Source: Source{API: published(), Base: s.URL, Timeout: time.Minute}, Now: now})
	late := &lookUp{done: make(chan struct{})}
	go k.lookUp(t.Context(), "good", late)
	<-asked
	ahead.Add(int64(time.Second))
	how.Store("ended")
	k.lookUp(t.Context(), "good", &lookUp{done: make(chan struct{})})
	close(answer)
	<-late.done
	if _, err := k.For(t.Context(), named("good", "192.0.2.1")); !errors.Is(err, signing.ErrMismatch) || late.key != nil {
		t.Errorf("%v, want that it has ended", err)
	}
}

// TestKeysWaitTheirTurn: an id that was put off is looked up in its turn, one of each address at a
// time, however many one of them names.
func TestKeysWaitTheirTurn(t *testing.T) {
	f := newFairness()
	now := time.Now()
	for i := range 5000 {
		f.allow(netip.MustParseAddr("192.0.2.1"), fmt.Sprint("forged-", i), now)
	}
	for f.all.AllowN(now, 1) { // the rest of what all have together is used up by others
	}
	if f.allow(netip.MustParseAddr("198.51.100.1"), "genuine", now) {
		t.Fatal("there was room: the test does not test what it should")
	}
	if len(f.callers[network(netip.MustParseAddr("192.0.2.1"))].putOff) != maxPutOff {
		t.Error("one address may let more wait than the bound")
	}
	first, second := f.next(), f.next()
	if !strings.HasPrefix(first, "forged-") || second != "genuine" {
		t.Errorf("%s, then %s", first, second)
	}
	n := 0
	for f.next() != "" {
		n++
	}
	if n != maxPutOff-1 {
		t.Errorf("%d more waited", n)
	}
	if network(netip.MustParseAddr("2001:db8::1")) != network(netip.MustParseAddr("2001:db8::ffff:2")) || network(netip.MustParseAddr("192.0.2.1")) == network(netip.MustParseAddr("192.0.2.2")) {
		t.Error("a /64 is one caller, and an address of IPv4 is one")
	}
}
