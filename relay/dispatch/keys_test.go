package dispatch

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/signing"
)

// TestKeysOfTheInstant: an attempt is signed with the keys that the registry has when it begins:
// those that were rotated meanwhile, the older ones until their overlap has ended, and none that
// was revoked. The metric says when the next one ends.
func TestKeysOfTheInstant(t *testing.T) {
	t.Parallel()
	g := newRig(t, 1)
	type request struct {
		h    http.Header
		body []byte
	}
	requests := make(chan request, 1)
	partner := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		requests <- request{r.Header, b}
	}))
	t.Cleanup(partner.Close)
	e := g.endpoint("b", partner.URL)
	e.Keys = nil
	if _, _, err := g.registry.FirstKey(t.Context(), "b", func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	g.configure(e)
	g.run()
	all := map[string]signing.Key{}
	know := func(name, id string) {
		t.Helper()
		for _, k := range g.registry.Read().Keys("b") {
			if k.ID == id {
				all[name] = k.Key
				return
			}
		}
		t.Fatalf("no key %s", id)
	}
	rotate := func(name string, kind signing.Kind) string {
		t.Helper()
		m, err := g.registry.Rotate(t.Context(), "b", kind, time.Hour, nil)
		if err != nil {
			t.Fatal(err)
		}
		know(name, m.ID)
		return m.ID
	}
	n := uint64(0)
	f := func(versions string, signed ...string) {
		t.Helper()
		n++
		g.oweAt("b", "ann", fmt.Sprint("evt_", n), n)
		r := <-requests
		var got []string
		for entry := range strings.FieldsSeq(r.h.Get("Webhook-Signature")) {
			version, _, _ := strings.Cut(entry, ",")
			got = append(got, version)
		}
		if strings.Join(got, " ") != versions {
			t.Errorf("signed %v, want %s", got, versions)
		}
		for name, key := range all {
			want := false
			for _, s := range signed {
				want = want || s == name
			}
			if err := e.Format.Scheme.Verify(r.h, r.body, signing.Keyring{key}, g.clock.now()); (err == nil) != want {
				t.Errorf("webhook %d, key %s: %v, want signed %v", n, name, err, want)
			}
		}
		eventually(t, "it is settled", func() bool { return g.outbox.Owed("b") == 0 })
	}
	ends := func(want float64) {
		t.Helper()
		eventually(t, fmt.Sprintf("the next key ends at %v", want), func() bool { return g.keyEnd("b") == want })
	}
	first := g.registry.Read().Keys("b")[0]
	know("first", first.ID)
	f("v1", "first")
	ends(0)
	pair := rotate("pair", signing.Ed25519)
	ends(float64(g.registry.Read().Keys("b")[1].Until.Unix()))
	f("v1a v1", "pair", "first")
	g.clock.advance(time.Hour)
	f("v1a", "pair")
	rotate("second", signing.HMAC)
	f("v1 v1a", "second", "pair")
	if _, err := g.registry.Revoke(t.Context(), "b", pair, false, nil); err != nil {
		t.Fatal(err)
	}
	f("v1", "second")
	ends(0)
	made, err := g.registry.Revoke(t.Context(), "b", g.registry.Read().Keys("b")[0].ID, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	know("third", made.ID)
	f("v1", "third")
}

// keyEnd is the metric.
func (g *rig) keyEnd(endpoint string) float64 {
	g.t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "relay_key_expires_timestamp_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == endpoint {
				return m.GetGauge().GetValue()
			}
		}
	}
	g.t.Fatalf("no series of %s", endpoint)
	return 0
}
