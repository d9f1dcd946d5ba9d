// Package judge lets the official libraries of Standard Webhooks for Go and JavaScript, and Svix's,
// judge our signer and our verifier. It is a module of its own, so that they never become a
// dependency of the product. None of them knows v1a (ed25519): OpenSSL, which Node.js brings,
// judges that.
package judge

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"countersign/signing"
)

var bodies = []string{
	`{}`, ``, `{"type":"kyc.status.approved","data":{"id":"evt_1"}}`, "{\n  \"indented\": true\n}\n", `{"name":"Zoë 🦊 <&>"}`,
	"not json \x00\xff", strings.Repeat("0123456789", 10_000),
}

// secrets of the sizes the specification allows; the last one goes without its prefix.
func secrets(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, n := range []int{24, 32, 33, 64} {
		b := make([]byte, n)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		all = append(all, "whsec_"+base64.StdEncoding.EncodeToString(b))
	}
	text, _, err := signing.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, text, strings.TrimPrefix(all[1], "whsec_"))
}

func keyring(t *testing.T, texts ...string) signing.Keyring {
	t.Helper()
	var ring signing.Keyring
	for _, text := range texts {
		k, err := signing.StandardKey(text)
		if err != nil {
			t.Fatal(err)
		}
		ring = append(ring, k)
	}
	return ring
}

func library(t *testing.T, secret string) *standardwebhooks.Webhook {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return wh
}

func TestTheLibraryAcceptsOurSignatures(t *testing.T) {
	scheme, all := signing.StandardWebhooks{}, secrets(t)
	for i, secret := range all {
		other := all[(i+2)%5]
		for _, body := range bodies {
			f := func(name string, ring signing.Keyring, wantOK bool) {
				t.Helper()
				h := http.Header{}
				if err := scheme.Sign(h, signing.Message{ID: "evt_01JPN3", Time: time.Now(), Body: []byte(body)}, ring); err != nil {
					t.Fatal(err)
				}
				if err := library(t, secret).Verify([]byte(body), h); (err == nil) != wantOK {
					t.Errorf("secret %d, %d bytes, %s: %v, want ok = %v", i, len(body), name, err, wantOK)
				}
				if err := library(t, secret).Verify([]byte(body+" "), h); err == nil {
					t.Errorf("secret %d, %d bytes, %s: the library accepted another body", i, len(body), name)
				}
			}
			f("one key", keyring(t, secret), true)
			f("newest of two", keyring(t, secret, other), true)
			f("oldest of two", keyring(t, other, secret), true)
			f("not in the ring", keyring(t, other), false)
			private, _ := pair(t)
			f("before an ed25519 key", keyring(t, secret, private), true)
			f("behind an ed25519 key", keyring(t, private, secret), true)
			f("an ed25519 key alone", keyring(t, private), false)
		}
	}
}

func TestWeAcceptTheLibrarysSignatures(t *testing.T) {
	all := secrets(t)
	for i, secret := range all {
		for _, body := range bodies {
			at := time.Now()
			sig, err := library(t, secret).Sign("msg_1", at, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			h.Set(standardwebhooks.HeaderWebhookID, "msg_1")
			h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
			h.Set(standardwebhooks.HeaderWebhookSignature, sig)
			f := func(name, body string, ring signing.Keyring, now time.Time, wantOK bool) {
				t.Helper()
				if err := (signing.StandardWebhooks{}).Verify(h, []byte(body), ring, now); (err == nil) != wantOK {
					t.Errorf("secret %d, %d bytes, %s: %v, want ok = %v", i, len(body), name, err, wantOK)
				}
			}
			f("fresh", body, keyring(t, secret), at, true)
			f("among others", body, keyring(t, all[(i+2)%5], secret), at, true)
			f("other key", body, keyring(t, all[(i+2)%5]), at, false)
			f("other body", body+" ", keyring(t, secret), at, false)
			f("stale", body, keyring(t, secret), at.Add(5*time.Minute+2*time.Second), false)
			f("ahead", body, keyring(t, secret), at.Add(-5*time.Minute-2*time.Second), false)
		}
	}
}
