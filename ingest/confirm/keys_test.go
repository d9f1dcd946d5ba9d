package confirm

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

// TestKeys: a published key is fetched once and remembered; what does not exist is remembered for a while; what cannot be had now is not a verdict.
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
	k, err := NewKeys(Source{Name: "src", API: published(), Base: s.URL, Credentials: credentials(t)}, now)
	if err != nil {
		t.Fatal(err)
	}
	k.limit.SetBurst(1000)
	f := func(kid string, want error, wantCalls int64) {
		t.Helper()
		before := calls.Load()
		ring, err := k.For(t.Context(), http.Header{"X-Key": {kid}})
		if !errors.Is(err, want) || (err == nil) != (len(ring) == 1) || calls.Load()-before != wantCalls {
			t.Errorf("%s: %d keys, %v after %d calls; want %v after %d", kid, len(ring), err, calls.Load()-before, want, wantCalls)
		}
	}
	if _, err := k.For(t.Context(), http.Header{}); !errors.Is(err, signing.ErrMissing) {
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
	ahead.Store(int64(keyHolds + time.Second))
	f("good", nil, 1)

	for i := range 2 * maxKeys { // a forger names keys without end
		if _, err := k.For(t.Context(), http.Header{"X-Key": {fmt.Sprint("forged-", i)}}); err == nil {
			t.Fatal("a forged key was found")
		}
	}
	if len(k.known) > maxKeys {
		t.Errorf("%d keys are remembered", len(k.known))
	}
	f("good", nil, 0) // and did not push the good one out
}

// TestKeysTogether: callbacks that need the same key share one look-up, and unknown names are not looked up faster than allowed.
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
	k, err := NewKeys(Source{Name: "src", API: published(), Base: s.URL, Credentials: credentials(t)}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := k.For(t.Context(), http.Header{"X-Key": {"good"}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if calls.Load() > 2 {
		t.Errorf("%d look-ups of one key", calls.Load())
	}
	limited := 0
	for i := range 50 {
		if _, err := k.For(t.Context(), http.Header{"X-Key": {fmt.Sprint("forged-", i)}}); errors.Is(err, provider.ErrNoKey) {
			limited++
		}
	}
	if limited < 30 || calls.Load() > lookBurst+10 {
		t.Errorf("%d of 50 were put off, %d calls", limited, calls.Load())
	}
	if _, err := NewKeys(Source{Name: "src", API: published(), Base: s.URL}, time.Now); err == nil || !strings.Contains(err.Error(), "api.key") {
		t.Errorf("without credentials: %v", err)
	}
	if _, err := NewKeys(Source{Name: "src", API: thin(), Base: s.URL, Credentials: credentials(t)}, time.Now); err == nil {
		t.Error("a provider that publishes no keys")
	}
}
