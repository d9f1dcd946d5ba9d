package signing

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"testing"
)

// BenchmarkSign is what one attempt pays for the proof of a body of 600 bytes: an HMAC, the texts
// of the headers, and the header itself.
func BenchmarkSign(b *testing.B) {
	secret, other := mustKey(b, secretA), mustKey(b, secretB)
	_, pair, err := GenerateEd25519Key(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	f := func(name string, s Scheme, keys ...Key) {
		b.Run(name, func(b *testing.B) {
			m := Message{ID: "evt_01J9ZC4R3W8Q5T7XKBM2NEYV6D", Time: now, Body: bytes.Repeat([]byte("x"), 600)}
			b.ReportAllocs()
			for b.Loop() {
				h := make(http.Header, 8)
				if err := s.Sign(h, m, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	f("standard", StandardWebhooks{}, secret)
	f("standard two keys", StandardWebhooks{}, other, secret)
	f("standard ed25519", StandardWebhooks{}, pair)
	f("timestamped", Timestamped{Header: "X-Signature"}, secret)
	f("body hmac", BodyHMAC{Header: "X-Signature"}, secret)
	f("digest suffix", DigestSuffix{Header: "X-Signature"}, secret)
	f("static", Static{Scheme: Bearer}, secret)
}
