package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/relay/format"
)

// The key pair of the tests of Svix's server.
const (
	pairPrivate = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	pairPublic  = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
)

// TestSignEd25519: sign makes what listen and verify accept under the public key, and says clearly
// what cannot sign.
func TestSignEd25519(t *testing.T) {
	dir := t.TempDir()
	body := write(t, dir, "body.json", `{"type":"ping"}`)
	env := map[string]string{"PRIVATE": pairPrivate, "PUBLIC": pairPublic, "SHARED": acmeKey}
	f := func(want int, text string, args ...string) string {
		t.Helper()
		code, out, errs := cli(t, env, append(args, "--body", body)...)
		if code != want || !strings.Contains(out+errs, text) || strings.Contains(out+errs, pairPrivate[5:]) {
			t.Errorf("%q: exit %d, want %d with %q\n%s%s", args, code, want, text, out, errs)
		}
		return out
	}
	signed := f(exitYes, "Webhook-Signature: v1a,", "sign", "--scheme", "standard", "--key", "env:PRIVATE")
	f(exitYes, "Webhook-Signature: v1a,", "sign", "--scheme", "cloudevents", "--key", "env:PRIVATE")
	f(exitNo, "is a public key (whpk_…), which verifies and cannot sign", "sign", "--scheme", "standard", "--key", "env:PUBLIC")
	f(exitNo, "is an ed25519 key, and this scheme is an HMAC", "sign", "--scheme", "blendfi", "--key", "env:PRIVATE")
	f(exitNo, "is an ed25519 key, and this scheme is an HMAC", "sign", "--scheme", "blendfi-v1", "--key", "env:PUBLIC")

	// verify, with a provider that signs as Standard Webhooks does
	h := http.Header{}
	for line := range strings.Lines(signed) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			h.Set(name, value)
		}
	}
	headers := write(t, dir, "headers.json", `{"Webhook-Id":"`+h.Get("Webhook-Id")+`","Webhook-Timestamp":"`+h.Get("Webhook-Timestamp")+`","Webhook-Signature":"`+h.Get("Webhook-Signature")+`"}`)
	verify := func(want int, text, key string) {
		t.Helper()
		f(want, text, "verify", "--provider", "bluum", "--option", "scheme=standard", "--headers", headers, "--key", key)
	}
	verify(exitYes, "Verdict: accepted.", "env:PUBLIC")
	verify(exitYes, "Verdict: accepted.", "env:PRIVATE")
	verify(exitNo, "the ring holds no such key: give the sender's public key", "env:SHARED")
	f(exitNo, "is an ed25519 key, and this scheme is an HMAC", "verify", "--provider", "sumsub", "--headers", headers, "--key", "env:PUBLIC")

	// listen
	var said bytes.Buffer
	standard, _ := format.ByName("standard")
	l := &listener{console: &console{out: &said, err: &said}, format: standard, keys: mustKeys(t, "env:PUBLIC", env)}
	for _, tampered := range []bool{false, true} {
		text := `{"type":"ping"}`
		if tampered {
			text = `{"type":"pong"}`
		}
		r, w := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text)), httptest.NewRecorder()
		r.Header = h
		if l.ServeHTTP(w, r); (w.Code == 200) == tampered {
			t.Errorf("tampered %v: answered %d\n%s", tampered, w.Code, said.String())
		}
	}
}

// TestCheckEndpointKeys: a key that could not sign for its endpoint is found when the config is
// read, at its line.
func TestCheckEndpointKeys(t *testing.T) {
	dir := t.TempDir()
	f := func(name, keys, want string) {
		t.Helper()
		path := write(t, dir, "countersign.yaml", "mode: sandbox\nsources:\n  - {name: s, provider: sumsub, keys: [env:SHARED], partner: acme}\npartners:\n  - id: acme\n    endpoints:\n      - id: a\n        url: http://127.0.0.1:9/\n        format: "+
			name+"\n        keys: ["+keys+"]\n")
		code, out, errs := cli(t, map[string]string{"PRIVATE": pairPrivate, "PUBLIC": pairPublic, "SHARED": acmeKey, "PLAIN": "a plain text of a partner's own"}, "check", "--config-only", "--config", path)
		switch {
		case want == "" && code != exitYes:
			t.Errorf("%s with %s: exit %d\n%s%s", name, keys, code, out, errs)
		case want != "" && (code != exitNo || !strings.Contains(out+errs, want) || !strings.Contains(out+errs, "countersign.yaml:10: partners[0].endpoints[0].keys")):
			t.Errorf("%s with %s: exit %d, want %q\n%s%s", name, keys, code, want, out, errs)
		}
	}
	f("standard", "env:PRIVATE", "")
	f("cloudevents", "env:SHARED, env:PRIVATE", "")
	f("standard", "env:PUBLIC", "is a public key (whpk_…), which verifies and cannot sign")
	f("standard", "env:SHARED, env:PUBLIC", "is a public key (whpk_…), which verifies and cannot sign")
	f("standard", "env:PLAIN", "not a Standard Webhooks secret")
	f("blendfi", "env:PRIVATE", "is an ed25519 key, and this scheme is an HMAC")
	f("blendfi-v1", "env:SHARED, env:PRIVATE", "is an ed25519 key, and this scheme is an HMAC")
	f("blendfi", "env:PLAIN", "")
}
