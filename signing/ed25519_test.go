package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// The key pair, message and signature of the tests of Svix's server,
// server/svix-server/src/worker.rs: ed25519 has one signature for each message, so ours is theirs.
const (
	svixPrivate   = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	svixSeed      = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc="
	svixPublic    = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	svixSignature = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

var svixMessage = Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Time: time.Unix(1614265330, 0), Body: []byte(`{"test": 2432232314}`)}

func ringOf(tb testing.TB, texts ...string) (r Keyring) {
	tb.Helper()
	for _, text := range texts {
		r = append(r, mustKey(tb, text))
	}
	return r
}

func TestEd25519Vector(t *testing.T) {
	s := StandardWebhooks{}
	for _, private := range []string{svixPrivate, svixSeed} {
		h := mustSign(t, s, svixMessage, ringOf(t, private))
		if got := h.Values("webhook-signature"); len(got) != 1 || got[0] != svixSignature {
			t.Errorf("signed %q", got)
		}
		for _, key := range []string{svixPublic, svixPrivate, svixSeed} {
			if err := s.Verify(h, svixMessage.Body, ringOf(t, key), svixMessage.Time); err != nil {
				t.Errorf("%s: %v", key[:5], err)
			}
		}
		if got := mustKey(t, private).Public(); got != svixPublic {
			t.Errorf("the public half is %q", got)
		}
	}
}

// TestMixedRing: one signature for each key, newest first, in the version of its kind; each
// verifies under its own key and under no other.
func TestMixedRing(t *testing.T) {
	s, m := StandardWebhooks{}, message(`{"a":1}`)
	text, other, err := GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := mustSign(t, s, m, ringOf(t, svixPrivate, secretA, text))
	var versions []string
	for entry := range strings.FieldsSeq(h.Values("webhook-signature")[0]) {
		version, _, _ := strings.Cut(entry, ",")
		versions = append(versions, version)
	}
	if strings.Join(versions, " ") != "v1a v1 v1a" {
		t.Errorf("signed %v", versions)
	}
	f := func(want error, keys ...string) {
		t.Helper()
		if err := s.Verify(h, m.Body, ringOf(t, keys...), now); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if err := s.Verify(h, append(bytes.Clone(m.Body), ' '), ringOf(t, keys...), now); !errors.Is(err, ErrMismatch) {
			t.Errorf("another body: %v", err)
		}
	}
	f(nil, svixPublic)
	f(nil, secretA)
	f(nil, other.Public())
	f(nil, secretB, other.Public())
	f(ErrMismatch, secretB)
	f(ErrMismatch, mustNew(t).Public())
	f(ErrMismatch, secretB, mustNew(t).Public())
	if err := s.Verify(h, m.Body, ringOf(t, svixPublic), now.Add(6*time.Minute)); !errors.Is(err, ErrStale) {
		t.Errorf("six minutes later: %v", err)
	}
}

func mustNew(tb testing.TB) Key {
	tb.Helper()
	_, k, err := GenerateEd25519Key(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// TestKindsAreNotConfused: what one kind of key has made counts under no key of the other, and a
// text of one kind is never a key of the other, whoever writes the headers.
func TestKindsAreNotConfused(t *testing.T) {
	m := message(`{"a":1}`)
	// A forger who knows the public key uses its text, or its bytes, as the secret of an HMAC.
	public, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(svixPublic, publicPrefix))
	for _, secret := range []string{base64.StdEncoding.EncodeToString(public), base64.StdEncoding.EncodeToString([]byte(svixPublic))} {
		h := mustSign(t, StandardWebhooks{}, m, ringOf(t, secret))
		relabelled := h.clone()
		relabelled.Set("webhook-signature", strings.Replace(h.Values("webhook-signature")[0], "v1,", "v1a,", 1))
		for _, h := range []headers{h, relabelled} {
			if err := (StandardWebhooks{}).Verify(h, m.Body, ringOf(t, svixPublic), now); !errors.Is(err, ErrMismatch) {
				t.Errorf("a forgery: %v", err)
			}
		}
	}
	genuine := mustSign(t, StandardWebhooks{}, m, ringOf(t, svixPrivate))
	genuine.Set("webhook-signature", strings.Replace(genuine.Values("webhook-signature")[0], "v1a,", "v1,", 1))
	if err := (StandardWebhooks{}).Verify(genuine, m.Body, ringOf(t, svixPublic), now); !errors.Is(err, ErrMismatch) {
		t.Errorf("v1a that calls itself v1: %v", err)
	}
	for _, setup := range setups {
		if Asymmetric(setup.scheme) {
			continue
		}
		for _, key := range []string{svixPublic, svixPrivate} {
			if err := CheckKeys(setup.scheme, ringOf(t, key)); !errors.Is(err, errNotAsymmetric) {
				t.Errorf("%s takes an ed25519 key: %v", setup.name, err)
			}
			h := headers{}
			if err := setup.scheme.Sign(h, m, ringOf(t, key)); !errors.Is(err, errNotAsymmetric) || len(h) > 0 {
				t.Errorf("%s signs with an ed25519 key: %v, %v", setup.name, err, h)
			}
			// A key of the same text that is not known as what it is would have made this.
			s := &secret{raw: []byte(key)}
			h = headers{}
			if err := setup.scheme.Sign(h, m, Keyring{{open: func() *secret { return s }}}); err != nil {
				continue // a basic credential has a colon
			}
			if err := setup.scheme.Verify(h, m.Body, ringOf(t, key), now); !errors.Is(err, ErrMismatch) {
				t.Errorf("%s verifies with the text of an ed25519 key: %v", setup.name, err)
			}
		}
	}
	mustKey(t, svixPrivate).With(func([]byte) { t.Error("an ed25519 key is lent as a secret") })
}

func TestPublicKeysDoNotSign(t *testing.T) {
	h := headers{}
	if err := (StandardWebhooks{}).Sign(h, message("{}"), ringOf(t, secretA, svixPublic)); !errors.Is(err, errPublicSigns) || len(h) > 0 {
		t.Errorf("%v, %v", err, h)
	}
	if err := CheckKeys(StandardWebhooks{}, ringOf(t, svixPublic)); err != nil {
		t.Errorf("to verify: %v", err)
	}
	if err := CheckSigning(StandardWebhooks{}, ringOf(t, secretA, svixPublic)); err == nil || !strings.HasPrefix(err.Error(), "key 2 of 2: is a public key") {
		t.Errorf("to sign: %v", err)
	}
}

func TestEd25519Texts(t *testing.T) {
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(svixPrivate, privatePrefix))
	foreign := bytes.Clone(raw)
	copy(foreign[32:], ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))[32:])
	text := func(prefix string, b []byte) string { return prefix + base64.StdEncoding.EncodeToString(b) }
	for _, bad := range []string{
		"whsk_", "whpk_", "whsk_not base64", text(privatePrefix, raw[:31]), text(privatePrefix, raw[:33]), text(privatePrefix, raw[:63]), text(privatePrefix, make([]byte, 32)),
		text(privatePrefix, foreign), text(publicPrefix, raw), text(publicPrefix, raw[:31]), " " + svixPrivate, strings.ToUpper(svixPublic[:5]) + svixPublic[5:],
		"WHSK_" + svixPrivate[5:], text(privatePrefix, make([]byte, 64)),
	} {
		for _, parse := range []func(string) (Key, error){ParseKey, StandardKey} {
			k, err := parse(bad)
			if err == nil || k.Kind() != "" {
				t.Errorf("%q is a key of kind %q", bad, k.Kind())
			} else if len(bad) > 8 && strings.Contains(err.Error(), bad[5:]) {
				t.Errorf("the error shows the key: %v", err)
			}
		}
	}
	f := func(text string, want Kind) {
		t.Helper()
		if got := mustKey(t, text).Kind(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(secretA, HMAC)
	f("whsk", HMAC)
	f(svixPrivate, Ed25519)
	f(svixPublic, Ed25519)
	if (Key{}).Kind() != "" || (Key{}).Public() != "" || mustKey(t, secretA).Public() != "" {
		t.Error("a key has a kind or a public half that it cannot have")
	}
}

// TestWeakPublicKeys: under each key that is refused, a signature that took no private key fits one
// message in eight, so that anybody could sign.
func TestWeakPublicKeys(t *testing.T) {
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1 // R is the neutral point, and S is 0
	fits := 0
	for _, y := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			public := y
			public[31] |= sign
			if _, err := ParseKey(publicPrefix + base64.StdEncoding.EncodeToString(public[:])); err == nil {
				t.Errorf("%x is a key", public)
			}
			for n := range uint64(200) {
				if ed25519.Verify(public[:], binary.BigEndian.AppendUint64(nil, n), forged) {
					fits++
					break
				}
			}
		}
	}
	if fits < 8 { // some of the ways to write a point are refused by the library too
		t.Errorf("a forged signature fits under %d keys", fits)
	}
}

func TestEd25519NeverPrints(t *testing.T) {
	k := mustKey(t, svixPrivate)
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("key", "key", k, "ring", Keyring{k})
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x", k, k, k, k, Keyring{k}, struct{ K Key }{k})
	for _, part := range []string{svixPrivate[5:20], svixPublic[5:20], fmt.Sprintf("%x", svixPrivate[5:13]), "6976"} {
		if strings.Contains(b.String(), part) {
			t.Errorf("%s shows in %s", part, b.String())
		}
	}
	if _, err := k.MarshalJSON(); err == nil {
		t.Error("it is encoded")
	}
}

func TestExplainEd25519(t *testing.T) {
	m := message(`{"a":1}`)
	f := func(signed, ring, want string) {
		t.Helper()
		h := mustSign(t, StandardWebhooks{}, m, ringOf(t, signed))
		steps := strings.Join(Explain(StandardWebhooks{}, h, m.Body, ringOf(t, ring), now), "\n")
		if !strings.Contains(steps, want) {
			t.Errorf("%s\nwant %q", steps, want)
		}
		if strings.Contains(steps, signed[5:]) || strings.Contains(steps, ring[5:]) {
			t.Error("a key shows")
		}
	}
	f(svixPrivate, svixPublic, "Key 1 of 1 matches.\nVerdict: accepted.")
	f(svixPrivate, svixPublic, "It holds 1 readable signature of version v1a, which is ed25519.")
	f(svixPrivate, mustNew(t).Public(), "Key 1 of 1 does not match.")
	f(svixPrivate, secretA, "Remedy: The request is signed with ed25519 (v1a), and the ring holds no such key: give the sender's public key, whpk_….")
	f(secretA, svixPublic, "Remedy: The request is signed with a shared secret (v1), and the ring holds none: give the sender's whsec_….")
}
