package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign/ingest/provider"
	"countersign/signing"
)

// keyShop is a provider's API that publishes keys by their id, as Plaid's does.
type keyShop struct {
	t     *testing.T
	url   string
	calls atomic.Int64
	down  atomic.Bool

	mu   sync.Mutex // guards keys
	keys map[string]jose.JSONWebKey
}

func newKeyShop(t *testing.T) *keyShop {
	t.Helper()
	p := &keyShop{t: t, keys: map[string]jose.JSONWebKey{}}
	s := httptest.NewServer(http.HandlerFunc(p.answer))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *keyShop) answer(w http.ResponseWriter, r *http.Request) {
	p.calls.Add(1)
	var ask struct {
		ID string `json:"key_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&ask)
	p.mu.Lock()
	k, ok := p.keys[ask.ID]
	p.mu.Unlock()
	switch {
	case p.down.Load():
		w.WriteHeader(http.StatusBadGateway)
	case !ok:
		w.WriteHeader(http.StatusBadRequest)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"key": k.Public(), "request_id": "r"})
	}
}

// rotate publishes a new key; forged ones are not published.
func (p *keyShop) rotate(kid string, published bool) (private signing.Key) {
	p.t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	k := jose.JSONWebKey{Key: secret, KeyID: kid, Algorithm: "ES256", Use: "sig"}
	if published {
		p.mu.Lock()
		p.keys[kid] = k
		p.mu.Unlock()
	}
	text, err := k.MarshalJSON()
	if err != nil {
		p.t.Fatal(err)
	}
	if private, err = signing.ParseKey(string(text)); err != nil {
		p.t.Fatal(err)
	}
	return private
}

// plaidCallback is one that this key has signed just now, about a person of its own.
func plaidCallback(t *testing.T, key signing.Key, subject string) posted {
	t.Helper()
	a, _ := provider.ByName("plaid_idv")
	body, err := provider.Sample(a.Name, "status_updated", provider.SampleVars{Subject: subject, At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Scheme(provider.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := posted{name: subject, path: "/v1/callbacks/plaid", h: http.Header{}, body: body}
	if err := s.Sign(c.h, signing.Message{ID: subject, Time: time.Now(), Body: body}, signing.Keyring{key}); err != nil {
		t.Fatal(err)
	}
	return c
}

// postFrom posts a callback from one of this machine's loopback addresses.
func postFrom(t *testing.T, from, to string, c posted) int {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+to+c.path, bytes.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = c.h.Clone()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// TestKeysBesideAFlood: forgers name key ids without end, each of which could exist. Callbacks
// under a key that was looked up once are taken all the while; a new key of the provider is looked
// up for an address from which something genuine came; a restart forgets no key, even with the
// provider's API down.
func TestKeysBesideAFlood(t *testing.T) {
	const provider, forger = "127.0.0.2", "127.0.0.3"
	shop := newKeyShop(t)
	dir := t.TempDir()
	write(t, dir, "api.key", "a-secret-of-plaid")
	config := write(t, dir, "countersign.yaml", fmt.Sprintf(`
mode: sandbox
data: %s/data
listen: {callbacks: %s, control: %s}
sources:
  - {name: plaid, provider: plaid_idv, partner: acme, api: {url: %q, user: id, key: file:api.key}}
partners: [{id: acme}]
`, dir, freeAddr(t), freeAddr(t), shop.url))
	g := start(t, config)
	first := shop.rotate("kid-1", true)
	if code := postFrom(t, provider, g.callbackAddr(), plaidCallback(t, first, "user-0")); code != http.StatusOK {
		t.Fatalf("the first callback: %d", code)
	}

	forged := shop.rotate("forged", false)
	flood := func(n, at int) (refused int) {
		for i := range n {
			c := plaidCallback(t, forged, "forged")
			renamed := forgedID(t, &c, fmt.Sprintf("forged-%d-%d", at, i))
			if code := postFrom(t, forger, g.callbackAddr(), renamed); code != http.StatusOK {
				refused++
			}
		}
		return refused
	}
	if n := flood(60, 0); n != 60 {
		t.Errorf("%d of 60 forged callbacks were refused", n)
	}
	before := shop.calls.Load()
	taken := 0
	for i := range 40 {
		flood(2, i+1)
		if postFrom(t, provider, g.callbackAddr(), plaidCallback(t, first, fmt.Sprintf("user-%d", i+1))) == http.StatusOK {
			taken++
		}
	}
	if taken != 40 {
		t.Errorf("%d of 40 genuine callbacks were taken beside the flood", taken)
	}
	t.Logf("%d of 40 genuine callbacks were taken beside 140 forged ids; %d look-ups for those", taken, shop.calls.Load()-before)
	second := shop.rotate("kid-2", true)
	if code := postFrom(t, provider, g.callbackAddr(), plaidCallback(t, second, "user-new")); code != http.StatusOK {
		t.Errorf("a new key beside the flood: %d", code)
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}

	shop.down.Store(true)
	g = start(t, config)
	for kid, key := range map[string]signing.Key{"kid-1": first, "kid-2": second} {
		if code := postFrom(t, provider, g.callbackAddr(), plaidCallback(t, key, "user-after")); code != http.StatusOK {
			t.Errorf("%s after a restart, with the provider's API down: %d", kid, code)
		}
	}
}

// forgedID gives the token of a callback another key id: whoever forges needs no key for that.
func forgedID(t *testing.T, c *posted, kid string) posted {
	t.Helper()
	parts := strings.Split(c.h.Get("Plaid-Verification"), ".")
	head, err := json.Marshal(map[string]string{"alg": "ES256", "typ": "JWT", "kid": kid})
	if err != nil || len(parts) != 3 {
		t.Fatal(err)
	}
	out := *c
	out.h = http.Header{"Plaid-Verification": {rawURL(head) + "." + parts[1] + "." + parts[2]}}
	return out
}

func rawURL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
