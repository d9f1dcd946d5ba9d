package signing

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The fuzzers give a scheme arbitrary headers and bodies. A request may be accepted only if it is
// one that was signed here or stands in the vectors; and a body that was signed must not be
// accepted once a bit of it has changed.

func FuzzBodyHMAC(f *testing.F)         { fuzzScheme[BodyHMAC](f) }
func FuzzTimestamped(f *testing.F)      { fuzzScheme[Timestamped](f) }
func FuzzStandardWebhooks(f *testing.F) { fuzzScheme[StandardWebhooks](f) }
func FuzzStatic(f *testing.F)           { fuzzScheme[Static](f) }
func FuzzDigestSuffix(f *testing.F)     { fuzzScheme[DigestSuffix](f) }
func FuzzBodyProof(f *testing.F)        { fuzzBodyScheme(f, smile, "fuzz:"+fuzzSecret) }
func FuzzBodyToken(f *testing.F)        { fuzzBodyScheme(f, BodyToken{Member: "token"}, fuzzSecret) }

// FuzzUnsigned wants every request accepted, with or without keys, and nothing set.
func FuzzUnsigned(f *testing.F) {
	f.Add("X-Sig", "t=1,v1=00", []byte("{}"), int64(0))
	f.Fuzz(func(t *testing.T, name, value string, body []byte, at int64) {
		h := headers{strings.ToLower(name): {value, value}}
		for _, ring := range []Keyring{nil, {mustKey(t, fuzzSecret)}} {
			if err := (Unsigned{}).Verify(h, body, ring, time.Unix(at, 0)); err != nil {
				t.Fatalf("refused: %v", err)
			}
			Explain(Unsigned{}, h, body, ring, time.Unix(at, 0))
			if err := (Unsigned{}).Sign(h, Message{Body: body}, ring); err != nil || len(h) != 1 || len(h[strings.ToLower(name)]) != 2 {
				t.Fatalf("Sign = %v, headers %v", err, h)
			}
		}
	})
}

// fuzzSecret is on no vector, so no header that the fuzzer starts from fits it.
const fuzzSecret = "whsec_ZnV6ei1zZWNyZXQtb2YtMzItYnl0ZXMtZXhhY3RseSE="

func fuzzScheme[S Scheme](f *testing.F) {
	f.Helper()
	for _, v := range loadVectors(f) {
		if _, ok := v.scheme(f).(S); !ok {
			continue
		}
		head, err := json.Marshal(v.Headers)
		if err != nil {
			f.Fatal(err)
		}
		if len(v.Body) < 3000 {
			f.Add(head, v.Body, v.At, uint16(7))
		}
	}
	var schemes []setup
	for _, s := range setups {
		if _, ok := s.scheme.(S); ok {
			schemes = append(schemes, s)
		}
	}
	f.Fuzz(func(t *testing.T, head, body []byte, at int64, bit uint16) {
		var fromFuzzer map[string]string
		if json.Unmarshal(head, &fromFuzzer) != nil {
			return
		}
		clock := time.Unix(at, 0)
		for _, s := range schemes {
			secret := fuzzSecret
			if s.scheme == (Static{Scheme: Basic}) {
				secret = "fuzz:" + secret
			}
			keys := Keyring{mustKey(t, secret)}
			h := headers{}
			for name, value := range fromFuzzer {
				h.Add(name, value)
				h.Add(s.proof, value) // so that the scheme reads it whatever its name
			}
			if len(h.Values(s.proof)) > 1 {
				h.Set(s.proof, h.Values(s.proof)[0])
			}
			if err := s.scheme.Verify(h, body, keys, clock); err == nil {
				t.Fatalf("%s accepted what was never signed", s.name)
			}
			Explain(s.scheme, h, body, keys, clock)
			signed := headers{}
			if err := s.scheme.Sign(signed, Message{ID: "evt_1", Time: clock, Body: body}, keys); err != nil {
				continue // a time that cannot be signed
			}
			if err := s.scheme.Verify(signed, body, keys, clock); err != nil {
				t.Fatalf("%s refused its own signature: %v", s.name, err)
			}
			if !s.body || len(body) == 0 {
				continue
			}
			other := bytes.Clone(body)
			other[int(bit)/8%len(other)] ^= 1 << (bit % 8)
			if err := s.scheme.Verify(signed, other, keys, clock); err == nil {
				t.Fatalf("%s accepted a changed body", s.name)
			}
		}
	})
}

// fuzzBodyScheme is fuzzScheme for a proof that lies in the body: nothing is accepted that was not
// signed here, and whatever can be signed verifies.
func fuzzBodyScheme(f *testing.F, s bodyScheme, secret string) {
	f.Helper()
	for _, v := range loadVectors(f) {
		if v.scheme(f) == Scheme(s) {
			f.Add(v.Body, v.At)
		}
	}
	keys := Keyring{mustKey(f, secret)}
	f.Fuzz(func(t *testing.T, body []byte, at int64) {
		clock := time.Unix(at, 0)
		if err := s.Verify(headers{}, body, keys, clock); err == nil {
			t.Fatal("accepted what was never signed")
		}
		Explain(s, headers{}, body, keys, clock)
		m := Message{Time: clock, Body: body}
		if err := s.Sign(headers{}, m, keys); err == nil {
			t.Fatal("took a body for signed")
		}
		signed, err := s.SignBody(m, keys)
		if err != nil {
			return // no object, or a time that cannot be signed
		}
		if err := s.Verify(headers{}, signed, keys, clock); err != nil {
			t.Fatalf("refused its own proof: %v: %q", err, signed)
		}
		if err := s.Verify(headers{}, signed[:len(signed)-1], keys, clock); err == nil && json.Valid(body) && body[len(body)-1] == '}' {
			t.Fatal("accepted a body that was cut short")
		}
	})
}
