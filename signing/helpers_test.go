package signing

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// headers is the smallest Header: names in lower case.
type headers map[string][]string

func (h headers) Values(name string) []string { return h[strings.ToLower(name)] }
func (h headers) Set(name, value string)      { h[strings.ToLower(name)] = []string{value} }
func (h headers) Add(name, value string) {
	name = strings.ToLower(name)
	h[name] = append(h[name], value)
}

var _ Header = http.Header{}

// clone copies the values too.
func (h headers) clone() headers {
	c := maps.Clone(h)
	for k, v := range c {
		c[k] = slices.Clone(v)
	}
	return c
}

func mustKey(tb testing.TB, text string) Key {
	tb.Helper()
	k, err := ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// now is the clock of every test that does not bring its own.
var now = time.Unix(1_773_478_975, 0)

const (
	secretA = "whsec_bSvML0JVUh267rI0nTQaHlvVv8cRQaNx"
	secretB = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	basicA  = "acme:one"
	basicB  = "acme:two"
)

// smile is the setting of the only known sender of body proofs.
var smile = BodyProof{Signature: "signature", Timestamp: "timestamp", Suffix: "sid_request", Tolerance: 5 * time.Minute}

// setup is one scheme with two keys it can use. The tests of what all schemes promise run over
// setups.
type setup struct {
	name   string
	scheme Scheme
	a, b   string
	body   bool   // the proof covers the body
	many   bool   // one signature per key
	proof  string // the header that holds it
}

var setups = []setup{
	{"hmac sha1 hex", BodyHMAC{Header: "X-Sig", Hash: SHA1}, secretA, secretB, true, false, "X-Sig"},
	{"hmac sha256 base64", BodyHMAC{Header: "X-Sig", Hash: SHA256, Encoding: Base64}, secretA, secretB, true, false, "X-Sig"},
	{"hmac sha256 prefix", BodyHMAC{Header: "X-Sig", Prefix: "sha256="}, secretA, secretB, true, false, "X-Sig"},
	{
		"hmac sha512 announced",
		BodyHMAC{Header: "X-Sig", Hash: SHA512, Encoding: Hex, Announce: "X-Alg", Announced: "HMAC_SHA512_HEX"},
		secretA, secretB, true, false, "X-Sig",
	},
	{"timestamped", Timestamped{Header: "X-Sig", Tolerance: 5 * time.Minute}, secretA, secretB, true, true, "X-Sig"},
	{"standard", StandardWebhooks{}, secretA, secretB, true, true, "webhook-signature"},
	{"svix", StandardWebhooks{HeaderPrefix: "svix"}, secretA, secretB, true, true, "svix-signature"},
	{"basic", Static{Scheme: Basic}, basicA, basicB, false, false, "Authorization"},
	{"bearer", Static{Scheme: Bearer}, secretA, secretB, false, false, "Authorization"},
	{"digest suffix", DigestSuffix{Header: "X-Sig"}, secretA, secretB, true, false, "X-Sig"},
	{"digest suffix plain", DigestSuffix{Header: "X-Sig", Plain: true}, secretA, secretB, true, false, "X-Sig"},
	{"raw", Static{Header: "X-Token"}, secretA, secretB, false, false, "X-Token"},
}

// bodyScheme is a scheme whose proof lies in the body.
type bodyScheme interface {
	Scheme
	BodySigner
}

var (
	_ bodyScheme = BodyProof{}
	_ bodyScheme = BodyToken{}
)

// bodySetups are to body schemes what setups are to the others.
var bodySetups = []struct {
	name    string
	scheme  bodyScheme
	a, b    string
	members []string
}{
	{"body proof", smile, "2189:" + secretA, "2189:" + secretB, []string{"signature", "timestamp"}},
	{"body proof without a suffix", BodyProof{Signature: "s", Timestamp: "t"}, "1:" + secretA, "2:" + secretA, []string{"s", "t"}},
	{"body token", BodyToken{Member: "token"}, secretA, secretB, []string{"token"}},
}

func mustSignBody(tb testing.TB, s BodySigner, body string, keys Keyring) []byte {
	tb.Helper()
	b, err := s.SignBody(message(body), keys)
	if err != nil {
		tb.Fatalf("sign: %v", err)
	}
	return b
}

func message(body string) Message { return Message{ID: "evt_1", Time: now, Body: []byte(body)} }

func mustSign(tb testing.TB, s Scheme, m Message, keys Keyring) headers {
	tb.Helper()
	h := headers{}
	if err := s.Sign(h, m, keys); err != nil {
		tb.Fatalf("sign: %v", err)
	}
	return h
}
