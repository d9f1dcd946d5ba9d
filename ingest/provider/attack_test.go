package provider

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// variant is one row of testdata/<adapter>/options.json: what a source may or may not configure.
type variant struct {
	Options   Options `json:"options,omitempty"`
	Key       string  `json:"key,omitempty"`       // a key that fits the scheme, where not any text does
	Other     string  `json:"other,omitempty"`     // another source's
	Tolerance string  `json:"tolerance,omitempty"` // how old a signed time may be
	Several   bool    `json:"several,omitempty"`   // accepts more than one form
	Error     string  `json:"error,omitempty"`     // what the refusal says; empty: the options are possible
}

// firstKey is a key that fits the adapter's default scheme.
func firstKey(tb testing.TB, a Adapter) string { tb.Helper(); return variants(tb, a)[0].Key }

func variants(tb testing.TB, a Adapter) (vs []variant) {
	tb.Helper()
	readJSON(tb, a, "options.json", &vs)
	for i := range vs {
		vs[i].Key = cmp.Or(vs[i].Key, "a-key-of-the-source:with-a-colon")
		vs[i].Other = cmp.Or(vs[i].Other, "another-key:of-another-source")
	}
	return vs
}

// signed is a message with its proof, in headers or in the body.
type signed struct {
	h    http.Header
	body []byte
}

// sign proves a body as the provider would. It fails where the proof belongs into a body that is
// not JSON.
func sign(t *testing.T, s signing.Scheme, body []byte, at time.Time, keys signing.Keyring) (signed, bool) {
	t.Helper()
	m, h := signing.Message{ID: "m", Time: at, Body: body}, http.Header{}
	if in, ok := s.(signing.BodySigner); ok {
		proven, err := in.SignBody(m, keys)
		return signed{h, proven}, err == nil
	}
	if err := s.Sign(h, m, keys); err != nil {
		t.Fatalf("sign: %v", err)
	}
	return signed{h, body}, true
}

// TestAttack signs every fixture's body as the provider would, for everything that a source may
// configure, and then forges: nothing forged may be accepted.
func TestAttack(t *testing.T) {
	for _, a := range All {
		for _, v := range variants(t, a) {
			s, err := a.Scheme(v.Options)
			if v.Error != "" {
				if err == nil || !strings.Contains(err.Error(), v.Error) {
					t.Errorf("%s%v: error %v, want %q", a.Name, v.Options, err, v.Error)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s%v: %v", a.Name, v.Options, err)
				continue
			}
			if signing.Keyless(s) {
				if got := a.Authenticity(v.Options); got != kyc.Network {
					t.Errorf("%s%v has no proof and claims to be %s", a.Name, v.Options, got)
				}
				continue
			}
			if err := signing.CheckKeys(s, ring(t, v.Key)); err != nil {
				t.Errorf("%s%v: check: %v", a.Name, v.Options, err)
			}
			done := 0
			for _, f := range fixtures(t, a) {
				if attack(t, a, v, s, f) {
					done++
				}
			}
			if done == 0 {
				t.Errorf("%s%v was not attacked", a.Name, v.Options)
			}
		}
	}
}

// attack forges one body in every way. It reports false where the body cannot carry the proof.
func attack(t *testing.T, a Adapter, v variant, s signing.Scheme, f fixture) bool {
	t.Helper()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	accepted := func(what string, h http.Header, body []byte, keys signing.Keyring, want bool) {
		t.Helper()
		if err := s.Verify(h, body, keys, now); (err == nil) != want {
			t.Errorf("%s%v/%s: %s: %v", a.Name, v.Options, f.name, what, err)
		}
	}
	good, ok := sign(t, s, f.body, now, ring(t, v.Key))
	if !ok {
		return false
	}
	accepted("genuine", good.h, good.body, ring(t, v.Key), true)
	accepted("genuine, while keys rotate", good.h, good.body, ring(t, v.Other, v.Key), true)
	accepted("wrong key", good.h, good.body, ring(t, v.Other), false)
	accepted("no key", good.h, good.body, nil, false)
	accepted("zero key", good.h, good.body, signing.Keyring{{}}, false)
	accepted("no proof", http.Header{}, f.body, ring(t, v.Key), false)
	for name, values := range good.h {
		h := good.h.Clone()
		h.Add(name, values[0])
		accepted(name+" twice", h, good.body, ring(t, v.Key), false)
		h = good.h.Clone()
		h.Set(name, values[0][:len(values[0])-1])
		accepted(name+" cut short", h, good.body, ring(t, v.Key), false)
		h.Set(name, "")
		accepted(name+" empty", h, good.body, ring(t, v.Key), false)
	}
	stale(t, a, v, s, f.body)
	if a.Authenticity(v.Options) != kyc.Signed {
		return true
	}
	accepted("longer body", good.h, append([]byte(" "), good.body...), ring(t, v.Key), false)
	if len(good.body) > 0 {
		accepted("shorter body", good.h, good.body[:len(good.body)-1], ring(t, v.Key), false)
		flipped := append([]byte(nil), good.body...)
		flipped[len(flipped)/2] ^= 1
		accepted("one bit of the body", good.h, flipped, ring(t, v.Key), false)
	}
	return true
}

// stale: a signed time is obeyed as far as the source allows, in whole seconds.
func stale(t *testing.T, a Adapter, v variant, s signing.Scheme, body []byte) {
	t.Helper()
	if v.Tolerance == "" {
		return
	}
	tolerance, err := time.ParseDuration(v.Tolerance)
	if err != nil {
		t.Fatalf("%s: tolerance: %v", a.Name, err)
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]bool{tolerance: true, tolerance + time.Second: false, -24 * 365 * time.Hour: false} {
		if old, ok := sign(t, s, body, now.Add(-age), ring(t, v.Key)); ok {
			if err := s.Verify(old.h, old.body, ring(t, v.Key), now); (err == nil) != want {
				t.Errorf("%s%v: %v old: %v, want accepted %v", a.Name, v.Options, age, err, want)
			}
		}
	}
}

// TestForms: a source accepts one form of its provider's proof and no other, so that whoever forges
// cannot choose the weakest.
func TestForms(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	body := []byte(`{"type":"applicantReviewed"}`)
	for _, a := range All {
		vs := variants(t, a)
		for _, sent := range vs {
			for _, pinned := range vs {
				if sent.Error != "" || pinned.Error != "" || sent.Several || pinned.Several {
					continue
				}
				from, to := scheme(t, a, sent.Options), scheme(t, a, pinned.Options)
				if signing.Keyless(from) || signing.Keyless(to) || form(from) == form(to) {
					continue
				}
				m, ok := sign(t, from, body, now, ring(t, sent.Key))
				if !ok {
					t.Fatalf("%s%v cannot sign", a.Name, sent.Options)
				}
				if err := to.Verify(m.h, m.body, ring(t, sent.Key), now); err == nil {
					t.Errorf("%s: sent %v, pinned %v: accepted", a.Name, sent.Options, pinned.Options)
				}
			}
		}
	}
}

// form is what of a scheme is seen on the wire: its settings but for the times it allows.
func form(s signing.Scheme) string {
	return regexp.MustCompile(`(Tolerance|Ahead|MaxAge):[^ }]*`).ReplaceAllString(fmt.Sprintf("%T%+v", s, s), "")
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

// TestStale: a signed time is obeyed as far as the source allows, in whole seconds, and never from
// the future.
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
