package provider

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// attacked is every scheme an adapter can build.
var attacked = []struct {
	adapter Adapter
	options Options
}{
	{sumsub, nil},
	{sumsub, Options{"algorithm": "sha1"}},
	{sumsub, Options{"algorithm": "sha512"}},
	{persona, nil},
	{persona, Options{"tolerance": "5m"}},
	{rebilly, nil},
	{rebilly, Options{"auth": "header", "header": "X-Token"}},
	{blendfi, nil},
	{blendfi, Options{"scheme": "blendfi-legacy"}},
	{blendfi, Options{"scheme": "blendfi-v1"}},
}

// TestAttack signs every fixture's body as the provider would and then forges: nothing forged may be accepted.
func TestAttack(t *testing.T) {
	const key, other = "a-key-of-the-source:with-a-colon", "another-key:of-another-source"
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	for _, c := range attacked {
		seen[c.adapter.Name] = true
		s := scheme(t, c.adapter, c.options)
		if err := signing.CheckKeys(s, ring(t, key)); err != nil {
			t.Errorf("%s%v: check: %v", c.adapter.Name, c.options, err)
		}
		sign := func(body []byte, at time.Time) http.Header {
			t.Helper()
			h := http.Header{}
			if err := s.Sign(h, signing.Message{ID: "m", Time: at, Body: body}, ring(t, key)); err != nil {
				t.Fatalf("%s%v: sign: %v", c.adapter.Name, c.options, err)
			}
			return h
		}
		for _, f := range fixtures(t, c.adapter) {
			accepted := func(what string, h http.Header, body []byte, keys signing.Keyring, want bool) {
				t.Helper()
				if err := s.Verify(h, body, keys, now); (err == nil) != want {
					t.Errorf("%s%v/%s: %s: %v", c.adapter.Name, c.options, f.name, what, err)
				}
			}
			good := sign(f.body, now)
			accepted("genuine", good, f.body, ring(t, key), true)
			accepted("genuine, while keys rotate", good, f.body, ring(t, other, key), true)
			accepted("wrong key", good, f.body, ring(t, other), false)
			accepted("no key", good, f.body, nil, false)
			accepted("zero key", good, f.body, signing.Keyring{{}}, false)
			accepted("no header", http.Header{}, f.body, ring(t, key), false)
			for name, values := range good {
				h := good.Clone()
				h.Add(name, values[0])
				accepted(name+" twice", h, f.body, ring(t, key), false)
				h = good.Clone()
				h.Set(name, values[0][:len(values[0])-1])
				accepted(name+" cut short", h, f.body, ring(t, key), false)
				h.Set(name, "")
				accepted(name+" empty", h, f.body, ring(t, key), false)
			}
			if c.adapter.Evidence != kyc.Signed {
				continue
			}
			accepted("longer body", good, append([]byte(" "), f.body...), ring(t, key), false)
			if len(f.body) > 0 {
				accepted("shorter body", good, f.body[:len(f.body)-1], ring(t, key), false)
				flipped := append([]byte(nil), f.body...)
				flipped[len(flipped)/2] ^= 1
				accepted("one bit of the body", good, flipped, ring(t, key), false)
			}
		}
	}
	for _, a := range All {
		if !seen[a.Name] {
			t.Errorf("%s is not attacked", a.Name)
		}
	}
}

// TestDowngrade: whoever forges a delivery names the weakest algorithm, and a source pins one.
func TestDowngrade(t *testing.T) {
	const key = "k"
	body := []byte(`{"type":"applicantReviewed"}`)
	algorithms := []string{"sha1", "sha256", "sha512"}
	for _, pinned := range algorithms {
		for _, sent := range algorithms {
			h := http.Header{}
			m := signing.Message{Body: body}
			if err := scheme(t, sumsub, Options{"algorithm": sent}).Sign(h, m, ring(t, key)); err != nil {
				t.Fatal(err)
			}
			s := scheme(t, sumsub, Options{"algorithm": pinned})
			if err := s.Verify(h, body, ring(t, key), time.Time{}); (err == nil) != (pinned == sent) {
				t.Errorf("pinned %s, sent %s: %v", pinned, sent, err)
			}
			h.Del("X-Payload-Digest-Alg") // a genuine digest of another algorithm, unannounced
			if err := s.Verify(h, body, ring(t, key), time.Time{}); (err == nil) != (pinned == sent) {
				t.Errorf("pinned %s, sent %s unannounced: %v", pinned, sent, err)
			}
		}
	}
}

// TestStale: a signed time is obeyed as far as the source allows, in whole seconds, and never from the future.
func TestStale(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f := func(a Adapter, o Options, age time.Duration, want bool) {
		t.Helper()
		s, h, body := scheme(t, a, o), http.Header{}, []byte("{}")
		if err := s.Sign(h, signing.Message{Time: now.Add(-age), Body: body}, ring(t, "k")); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(h, body, ring(t, "k"), now); (err == nil) != want {
			t.Errorf("%s%v, %v old: %v, want accepted %v", a.Name, o, age, err, want)
		}
	}
	f(persona, nil, 60*time.Hour, true) // the last retry of a delivery signed once
	f(persona, nil, -5*time.Minute, true)
	f(persona, nil, -5*time.Minute-time.Second, false)
	f(persona, Options{"tolerance": "72h"}, 72*time.Hour, true)
	f(persona, Options{"tolerance": "72h"}, 72*time.Hour+time.Second, false)
	for _, o := range []Options{nil, {"scheme": "blendfi-v1"}} {
		f(blendfi, o, 300*time.Second, true)
		f(blendfi, o, 301*time.Second, false)
		f(blendfi, o, -300*time.Second, true)
		f(blendfi, o, -301*time.Second, false)
	}
	f(blendfi, Options{"tolerance": "10m"}, 10*time.Minute, true)
}

// TestBlendfiForms: each form is accepted as itself only, and a pinned source accepts one.
func TestBlendfiForms(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	body := []byte(`{"type":"user.kyc.approved"}`)
	forms := []string{"blendfi-legacy", "blendfi-v1"}
	for _, sent := range forms {
		h := http.Header{}
		if err := scheme(t, blendfi, Options{"scheme": sent}).Sign(h, signing.Message{Time: now, Body: body}, ring(t, "k")); err != nil {
			t.Fatal(err)
		}
		for _, pinned := range forms {
			if err := scheme(t, blendfi, Options{"scheme": pinned}).Verify(h, body, ring(t, "k"), now); (err == nil) != (pinned == sent) {
				t.Errorf("pinned %s, sent %s: %v", pinned, sent, err)
			}
		}
		auto := scheme(t, blendfi, nil)
		if err := auto.Verify(h, body, ring(t, "k"), now); err != nil {
			t.Errorf("auto, sent %s: %v", sent, err)
		}
		value := h.Get(blendfiHeader)
		if sent == "blendfi-v1" { // a captured digest under the other form: it covers other bytes
			h.Set(blendfiHeader, value[strings.Index(value, "v1=")+3:])
		} else {
			h.Set(blendfiHeader, "t=1777636800,v1="+value)
		}
		if err := auto.Verify(h, body, ring(t, "k"), now); err == nil {
			t.Errorf("a %s digest was accepted in the other form", sent)
		}
	}
}

// TestRebillyLine: the documented credential ends in a newline inside the base64.
func TestRebillyLine(t *testing.T) {
	f := func(text string, want bool) {
		t.Helper()
		h := header(map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(text))})
		if err := scheme(t, rebilly, nil).Verify(h, nil, ring(t, "rebilly:superman"), time.Time{}); (err == nil) != want {
			t.Errorf("%q: %v, want accepted %v", text, err, want)
		}
	}
	f("rebilly:superman", true)
	f("rebilly:superman\n", true)
	f("rebilly:superman\n\n", false)
	f("rebilly:superma", false)
	f("rebilly:superman ", false)
	f("rebilly", false)
}
