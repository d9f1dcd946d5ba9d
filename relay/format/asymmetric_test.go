package format

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// asymmetricLanguages verify ed25519 signatures. Python's standard library cannot.
func asymmetricLanguages() []language {
	all := slices.Clone(languages)
	for i := range all {
		if all[i].name == "python" {
			all[i].run = []string{withCryptography(), "verify.py"}
		}
	}
	return all
}

// withCryptography is a Python that has the package cryptography, or the name of one that nobody
// has.
func withCryptography() string {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import cryptography").Run() == nil {
			return python
		}
	}
	return "python3-with-cryptography"
}

func tryAsymmetric(t *testing.T, snippets map[string]string) {
	t.Helper()
	for _, l := range asymmetricLanguages() {
		name := l.name + " standard-ed25519"
		code := snippets[name]
		if n := statements(code); n == 0 || n > 27 { // Java wants the key in an envelope
			t.Errorf("the snippet %s has %d lines beside its imports, want 1 to 27", name, n)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tryOut(t, l, code, asymmetricTrials(t))
		})
	}
}

// asymmetricTrials are a delivery while an endpoint goes from a shared secret to an ed25519 key.
func asymmetricTrials(t *testing.T) []trial {
	t.Helper()
	private, key, err := signing.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := signing.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := signing.StandardKey(olderKey)
	if err != nil {
		t.Fatal(err)
	}
	c := changeOf(kyc.InReview, kyc.Approved, becauses[0])
	c.Subject.ID = "ключ-001" // bytes, not letters, are signed
	body := mustRender(t, standard, c, 5)
	wire := func(ring signing.Keyring, change func(http.Header), body []byte) []byte {
		h := http.Header{"Content-Type": {standard.ContentType}}
		if err := standard.Scheme.Sign(h, signing.Message{ID: c.ID, Time: changeTime, Body: mustRender(t, standard, c, 5)}, ring); err != nil {
			t.Fatal(err)
		}
		change(h)
		var b bytes.Buffer
		if err := h.Write(&b); err != nil {
			t.Fatal(err)
		}
		return append(append(b.Bytes(), '\r', '\n'), body...)
	}
	same := func(http.Header) {}
	both, public := signing.Keyring{key, shared}, key.Public()
	relabelled := func(h http.Header) {
		h.Set("webhook-signature", strings.Replace(h.Get("webhook-signature"), "v1,", "v1a,", 1))
	}
	return []trial{
		{"genuine", wire(both, same, body), public, changeTime, "yes", false},
		{"the only signature", wire(both[:1], same, body), public, changeTime, "yes", false},
		{"the older of two", wire(signing.Keyring{shared, key}, same, body), public, changeTime, "yes", false},
		{"the newest of two pairs", wire(signing.Keyring{key, mustPair(t)}, same, body), public, changeTime, "yes", false},
		{"the older of two pairs", wire(signing.Keyring{mustPair(t), key}, same, body), public, changeTime, "yes", false},
		{"tampered", wire(both, same, bytes.Replace(body, []byte("approved"), []byte("rejected"), 1)), public, changeTime, "no", false},
		{"another id", wire(both, func(h http.Header) { h.Set("webhook-id", "evt_other") }, body), public, changeTime, "no", false},
		{"another key", wire(both, same, body), other.Public(), changeTime, "no", false},
		{"the shared secret alone", wire(both[1:], same, body), public, changeTime, "no", false},
		{"a MAC that calls itself v1a", wire(both[1:], relabelled, body), public, changeTime, "no", false},
		{"the private key's text", wire(both, same, body), private, changeTime, "no", false},
		{"older", wire(both, same, body), public, changeTime.Add(5*time.Minute + time.Second), "no", false},
		{"unsigned", wire(both, func(h http.Header) { h.Del("webhook-signature") }, body), public, changeTime, "no", false},
		{"no key", wire(both, same, body), "", changeTime, "no", false},
	}
}

func mustPair(t *testing.T) signing.Key {
	t.Helper()
	_, k, err := signing.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestAsymmetricFormats: of the formats, those that sign as Standard Webhooks do take ed25519 keys,
// and the others refuse them by name.
func TestAsymmetricFormats(t *testing.T) {
	for _, f := range All {
		_, standardWebhooks := f.Scheme.(signing.StandardWebhooks)
		if signing.Asymmetric(f.Scheme) != standardWebhooks {
			t.Errorf("%s: asymmetric is %v", f.Name, !standardWebhooks)
		}
		err := signing.CheckSigning(f.Scheme, signing.Keyring{mustPair(t)})
		if standardWebhooks != (err == nil) || err != nil && !strings.Contains(err.Error(), "is an ed25519 key, and this scheme is an HMAC") {
			t.Errorf("%s with an ed25519 key: %v", f.Name, err)
		}
		h := http.Header{}
		if err := f.Scheme.Sign(h, signing.Message{ID: "evt_1", Time: changeTime, Body: []byte("{}")}, signing.Keyring{mustPair(t)}); standardWebhooks != (err == nil) || err != nil && len(h) > 0 {
			t.Errorf("%s signs with an ed25519 key: %v", f.Name, err)
		}
	}
}
