package signing

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNewKeyRefusesNothing(t *testing.T) {
	f := func(b []byte, wantOK bool) {
		t.Helper()
		if _, err := NewKey(b); (err == nil) != wantOK {
			t.Errorf("NewKey(%d bytes) = %v, want ok = %v", len(b), err, wantOK)
		}
	}
	f(nil, false)
	f([]byte{}, false)
	f([]byte{0}, false)
	f(make([]byte, 32), false)
	f([]byte{0, 1}, true)
	f([]byte("k"), true)
}

func TestNewKeyCopies(t *testing.T) {
	b := []byte("a secret that the caller wipes")
	k, err := NewKey(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	s := BodyHMAC{Header: "X"}
	want := mustSign(t, s, message("body"), Keyring{mustKey(t, "a secret that the caller wipes")})
	if err := s.Verify(want, []byte("body"), Keyring{k}, now); err != nil {
		t.Errorf("wiping the caller's bytes changed the key: %v", err)
	}
}

func TestStandardKey(t *testing.T) {
	f := func(text string, wantOK bool) {
		t.Helper()
		k, err := StandardKey(text)
		if (err == nil) != wantOK {
			t.Errorf("StandardKey = %v, want ok = %v", err, wantOK)
		}
		if err != nil && (k.secret() != nil || len(text) > 6 && strings.Contains(err.Error(), text[6:])) {
			t.Errorf("a failing StandardKey gave a key or showed it: %v", err)
		}
	}
	of := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, n)) }
	f("whsec_"+of(24), true)
	f(of(24), true)
	f(of(64), true)
	f("whsec_"+of(23), false)
	f(of(65), false)
	f("", false)
	f("whsec_", false)
	f("whsec_not base64 at all, by any means", false)
	f(base64.StdEncoding.EncodeToString(make([]byte, 32)), false)
}

func TestGenerateKey(t *testing.T) {
	text, k, err := GenerateKey(strings.NewReader(strings.Repeat("0123456789abcdef", 2)))
	if err != nil || text != secretB {
		t.Fatalf("GenerateKey = %q, %v", text, err)
	}
	if err := CheckKeys(StandardWebhooks{}, Keyring{k}); err != nil {
		t.Errorf("a generated key is not usable: %v", err)
	}
	if _, _, err := GenerateKey(strings.NewReader("too short")); err == nil {
		t.Error("a short read made a key")
	}
	if _, _, err := GenerateKey(bytes.NewReader(make([]byte, 32))); err == nil {
		t.Error("broken randomness made a key")
	}
}

// TestKeysNeverPrint tries every way a value gets into text, alone and inside other values.
func TestKeysNeverPrint(t *testing.T) {
	const text = "s3cr3t-AAAA-BBBB"
	k := mustKey(t, text)
	ring := Keyring{k}
	type wrapper struct {
		Key    Key
		hidden Key
		Ring   Keyring
	}
	w := wrapper{k, k, ring}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T"} {
		for _, v := range []any{k, &k, ring, &ring, w, &w, []any{k}, map[string]Key{"k": k}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	logger := slog.New(slog.NewTextHandler(&out, nil))
	logger.Info("m", "key", k, "ring", ring, "wrapper", w)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "key", k, "ring", ring, "wrapper", w)
	for _, form := range []string{
		text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), strings.Trim(fmt.Sprintf("%d", []byte(text)), "[]"),
		base64.StdEncoding.EncodeToString([]byte(text)),
	} {
		if strings.Contains(out.String(), form) {
			t.Errorf("a key printed as %s", form)
		}
	}
	if got := fmt.Sprintf("%v %#v %d %s", k, k, k, ring); got != "signing.Key signing.Key signing.Key [signing.Key]" {
		t.Errorf("a key prints as %s", got)
	}
	if !strings.Contains(out.String(), "key=signing.Key") {
		t.Error("slog does not show the fixed word")
	}
}

func TestKeysAreNeverEncoded(t *testing.T) {
	k := mustKey(t, secretA)
	if b, err := json.Marshal(struct{ K Key }{k}); err == nil {
		t.Errorf("json: %s", b)
	}
	if b, err := json.Marshal(map[string]any{"k": &k}); err == nil {
		t.Errorf("json: %s", b)
	}
	if b, err := k.MarshalJSON(); err == nil {
		t.Errorf("json: %s", b)
	}
	if b, err := k.MarshalText(); err == nil {
		t.Errorf("text: %s", b)
	}
	if v, err := k.MarshalYAML(); err == nil {
		t.Errorf("yaml: %v", v)
	}
	if err := gob.NewEncoder(&bytes.Buffer{}).Encode(k); err == nil {
		t.Error("gob encoded a key")
	}
}

func TestCheckKeys(t *testing.T) {
	f := func(name string, s Scheme, wantOK bool, secrets ...string) {
		t.Helper()
		var ring Keyring
		for _, text := range secrets {
			k, _ := ParseKey(text)
			ring = append(ring, k)
		}
		err := CheckKeys(s, ring)
		if (err == nil) != wantOK {
			t.Errorf("%s: CheckKeys = %v, want ok = %v", name, err, wantOK)
		}
		for _, text := range secrets {
			if err != nil && len(text) > 4 && strings.Contains(err.Error(), text) {
				t.Errorf("%s: the error shows a key", name)
			}
		}
	}
	hm := BodyHMAC{Header: "X"}
	f("fine", hm, true, "k")
	f("no key", hm, false)
	f("empty key", hm, false, "k", "")
	f("no header", BodyHMAC{}, false, "k")
	f("hash", BodyHMAC{Header: "X", Hash: "md5"}, false, "k")
	f("encoding", BodyHMAC{Header: "X", Encoding: "base32"}, false, "k")
	f("announce", BodyHMAC{Header: "X", Announce: "Y"}, false, "k")
	f("timestamped", Timestamped{Header: "X"}, true, "k")
	f("timestamped no header", Timestamped{}, false, "k")
	f("negative", Timestamped{Header: "X", Tolerance: -1}, false, "k")
	f("too many", Timestamped{Header: "X"}, false, strings.Split(strings.Repeat("k,", 16)+"k", ",")...)
	f("standard", StandardWebhooks{}, true, secretA, secretB)
	f("standard second", StandardWebhooks{}, false, secretA, "plain text")
	f("standard prefix", StandardWebhooks{HeaderPrefix: "x"}, false, secretA)
	f("standard negative", StandardWebhooks{Tolerance: -1}, false, secretA)
	f("standard too many", StandardWebhooks{}, false, strings.Split(strings.Repeat(secretA+",", 16)+secretA, ",")...)
	f("basic", Static{Scheme: Basic}, true, basicA)
	f("basic without colon", Static{Scheme: Basic}, false, "acme")
	f("two lines", Static{Scheme: Bearer}, false, "token\n")
	f("kind", Static{Scheme: "digest"}, false, "k")
	f("digest suffix", DigestSuffix{Header: "X"}, true, "k")
	f("digest suffix no key", DigestSuffix{Header: "X"}, false)
	f("digest suffix no header", DigestSuffix{}, false, "k")
	f("body proof", smile, true, "2189:k", "2189:k:with:colons")
	f("body proof without colon", smile, false, "2189:k", "api-key-alone")
	f("body proof without partner", smile, false, ":api-key")
	f("body proof without api key", smile, false, "2189:")
	f("body proof with a zero api key", smile, false, "2189:\x00\x00")
	f("body proof negative", BodyProof{Signature: "s", Timestamp: "t", Tolerance: -1}, false, "2189:k")
	f("body proof no member", BodyProof{Signature: "s"}, false, "2189:k")
	f("body proof no signature", BodyProof{Timestamp: "t"}, false, "2189:k")
	f("body proof one member", BodyProof{Signature: "s", Timestamp: "S"}, false, "2189:k")
	f("body token", BodyToken{Member: "token"}, true, "k", strings.Repeat("k", maxHeader))
	f("body token no member", BodyToken{}, false, "k")
	f("body token two lines", BodyToken{Member: "token"}, false, "token\n")
	f("body token not text", BodyToken{Member: "token"}, false, "\xff\xfe")
	f("body token too long", BodyToken{Member: "token"}, false, strings.Repeat("k", maxHeader+1))
	f("unsigned", Unsigned{}, true)
	f("unsigned with a key", Unsigned{}, false, "k")
	f("unsigned with an empty key", Unsigned{}, false, "")
}

func TestKeyless(t *testing.T) {
	for _, s := range setups {
		if Keyless(s.scheme) {
			t.Errorf("%s is keyless", s.name)
		}
	}
	if !Keyless(Unsigned{}) || Keyless(sayingNo{}) || Keyless(nil) {
		t.Error("want Unsigned keyless, and neither a scheme that says no nor none at all")
	}
	const want = "this provider signs nothing: give the source allow or token instead of keys"
	if err := CheckKeys(Unsigned{}, Keyring{mustKey(t, "k")}); err == nil || err.Error() != want {
		t.Errorf("CheckKeys = %v, want %q", err, want)
	}
}

// sayingNo could do without keys and does not.
type sayingNo struct{ Static }

func (sayingNo) Keyless() bool { return false }

func TestWith(t *testing.T) {
	lent := 0
	mustKey(t, secretA).With(func(secret []byte) {
		lent++
		if string(secret) != secretA || cap(secret) != len(secret) {
			t.Errorf("lent %d bytes with room for %d, want the whole secret and no more", len(secret), cap(secret))
		}
	})
	if lent != 1 {
		t.Errorf("lent %d times, want once", lent)
	}
	for _, k := range []Key{{}, {open: func() *secret { return nil }}} {
		k.With(func([]byte) { t.Error("an empty key lent something") })
	}
}
