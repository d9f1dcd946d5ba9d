package provider

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/signing"
)

// plaidDocsKey is the key that Plaid's own page shows.
const plaidDocsKey = `{"alg":"ES256","created_at":1560466143,"crv":"P-256","expired_at":null,"kid":"bfbd5111-8e33-4643-8ced-b2e642a72f3c","kty":"EC","use":"sig",` +
	`"x":"hKXLGIjWvCBv-cP5euCTxl8g9GLG9zHo_3pO5NN1DwQ","y":"shhexqPB7YffGn6fR6h2UhTSuCtPmfzQJ6ENVIoO4Ys"}`

func plaidKeys(t *testing.T) (ours, other string) {
	t.Helper()
	v := variants(t, plaidIDV)[0]
	return v.Key, v.Other
}

func plaidSigned(t *testing.T, body string, at time.Time, key string) http.Header {
	t.Helper()
	h := http.Header{}
	if err := (plaidJWT{}).Sign(h, signing.Message{Time: at, Body: []byte(body)}, ring(t, key)); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestPlaidKeyLookUp: a key is asked for by the name in the header and comes back as a text that a
// keyring takes.
func TestPlaidKeyLookUp(t *testing.T) {
	ours, _ := plaidKeys(t)
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	kid, err := plaidAPI.Keys.KeyID(plaidSigned(t, "{}", at, ours))
	if kid != "6c5516e1-92dc-479e-a8ff-5a51992e0001" || err != nil {
		t.Errorf("kid %q, %v", kid, err)
	}
	c, err := plaidAPI.Keys.Call(`a"b`)
	if err != nil || c.Method != http.MethodPost || c.Path != "/webhook_verification_key/get" || string(c.Body) != `{"key_id":"a\"b"}` {
		t.Errorf("call %+v, %v", c, err)
	}
	if err := plaidAPI.Authorize(&c, Credentials{User: "id", Key: ring(t, "secret")[0]}, at); err != nil || string(c.Body) != `{"client_id":"id","key_id":"a\"b","secret":"secret"}` {
		t.Errorf("authorized %s, %v", c.Body, err)
	}
	if err := plaidAPI.Authorize(&c, Credentials{User: "id"}, at); err == nil {
		t.Error("authorized without a key")
	}
	jwk, expired, err := plaidAPI.Keys.Read([]byte(`{"key":` + plaidDocsKey + `,"request_id":"r"}`))
	if jwk != plaidDocsKey || expired || err != nil {
		t.Errorf("read %q, %v, %v", jwk, expired, err)
	}
	f := func(answer string, wantExpired, wantOK bool) {
		t.Helper()
		jwk, expired, err := plaidAPI.Keys.Read([]byte(answer))
		if expired != wantExpired || (err == nil) != wantOK || wantOK != (jwk != "") {
			t.Errorf("%s: %q, %v, %v; want expired %v, ok %v", answer, jwk, expired, err, wantExpired, wantOK)
		}
		if err != nil && strings.Contains(err.Error(), "hKXL") {
			t.Errorf("%v shows the answer", err)
		}
	}
	f(`{"key":`+strings.Replace(plaidDocsKey, `"expired_at":null`, `"expired_at":1560466150`, 1)+`}`, true, true)
	f(`{"key":`+strings.Replace(plaidDocsKey, `"expired_at":null`, `"expired_at":0`, 1)+`}`, true, true)
	f(`{"key":`+strings.Replace(plaidDocsKey, `"expired_at":null,`, ``, 1)+`}`, false, true)
	f(`{"key":`+strings.Replace(plaidDocsKey, "P-256", "P-384", 1)+`}`, false, false)
	f(`{"key":`+strings.Replace(plaidDocsKey, "ES256", "ES384", 1)+`}`, false, false)
	f(`{"key":`+strings.Replace(plaidDocsKey, "hKXL", "AAAA", 1)+`}`, false, false) // not on the curve
	f(`{"key":{"kty":"oct","kid":"k","k":"c2VjcmV0"}}`, false, false)
	f(`{"key":null}`, false, false)
	f(`{}`, false, false)
	f(`{"error_code":"INVALID_FIELD"`, false, false)
}

// TestPlaidKeyID: whoever forges may write anything into the header; what is looked up is short and
// printable.
func TestPlaidKeyID(t *testing.T) {
	f := func(header string, want error) {
		t.Helper()
		kid, err := plaidJWT{}.KeyID(http.Header{plaidHeader: {header}})
		if !errors.Is(err, want) || kid != "" {
			t.Errorf("%.40q: %q, %v; want %v", header, kid, err, want)
		}
	}
	f("", signing.ErrMissing)
	f(strings.Repeat("A", maxToken+1), signing.ErrMalformed)
	f("eyJhbGciOiJFUzI1NiJ9.e30.AAAA", signing.ErrMalformed)                                                       // {"alg":"ES256"}
	f("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEgYiJ9.e30.AAAA", signing.ErrMalformed)                                       // "kid":"a b"
	f("eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.e30.", signing.ErrMalformed)                                               // "alg":"none"
	f("eyJhbGciOiJIUzI1NiIsImtpZCI6ImEifQ.e30.AAAA", signing.ErrMalformed)                                         // "alg":"HS256"
	f("eyJhbGciOiJFUzI1NiIsImtpZCI6IjxhPiJ9.e30", signing.ErrMalformed)                                            // two parts
	f("not a token", signing.ErrMalformed)                                                                         // blanks
	f("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA\n", signing.ErrMalformed)                                       // a line end
	if _, err := (plaidJWT{}).KeyID(http.Header{plaidHeader: {"a", "b"}}); !errors.Is(err, signing.ErrMalformed) { // twice
		t.Errorf("two headers: %v", err)
	}
}

// TestPlaidCheck: a wrong key is found when the configuration is read, and never shown.
func TestPlaidCheck(t *testing.T) {
	ours, other := plaidKeys(t)
	f := func(want string, keys ...string) {
		t.Helper()
		err := signing.CheckKeys(plaidJWT{}, ring(t, keys...))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("", ours, other, plaidDocsKey)
	f("no key")
	f("key 2 of 2: it is not a JWK", ours, "secret")
	f("key 1 of 1: it has expired", strings.Replace(plaidDocsKey, "null", "1", 1))
	f("it is no key for ES256", strings.Replace(plaidDocsKey, `"sig"`, `"enc"`, 1))
	f("it has no key id", strings.Replace(plaidDocsKey, "bfbd5111", "bfbd 5111", 1))
	s := plaidJWT{}
	if err := s.Sign(http.Header{}, signing.Message{Time: time.Unix(1, 0)}, ring(t, plaidDocsKey)); err == nil || !strings.Contains(err.Error(), "public") {
		t.Errorf("a public key signed: %v", err)
	}
	if err := s.Sign(http.Header{}, signing.Message{}, ring(t, ours)); err == nil {
		t.Error("signed without a time")
	}
	if err := s.Sign(http.Header{}, signing.Message{Time: time.Unix(1, 0)}, nil); err == nil {
		t.Error("signed without a key")
	}
	if err := (plaidJWT{Tolerance: -1}).Check(nil); err == nil {
		t.Error("a negative tolerance")
	}
}

// TestPlaidExplain breaks requests in the ways support engineers see, and reads what is said of
// them.
func TestPlaidExplain(t *testing.T) {
	ours, other := plaidKeys(t)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const sent = `{"webhook_type":"IDENTITY_VERIFICATION"}`
	good := plaidSigned(t, sent, now, ours)
	f := func(h http.Header, body string, at time.Time, keys []string, wants ...string) {
		t.Helper()
		lines := signing.Explain(plaidJWT{}, h, []byte(body), ring(t, keys...), at)
		text := strings.Join(lines, "\n")
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in:\n%s", want, text)
			}
		}
		if strings.Contains(text, "IDENTITY") || strings.Contains(text, "eyJ") || strings.Contains(text, `"d"`) {
			t.Errorf("shows a body, a token or a key:\n%s", text)
		}
	}
	f(good, sent, now, []string{other, ours}, "Scheme: a token signed with ES256", "appears once", "id of 36 characters", "Key 1 of 2 has another id.", "Key 2 of 2 has that id and matches.",
		"claims the digest of these 40 bytes", "0 seconds old; 5m0s is accepted", "Verdict: accepted.")
	f(http.Header{}, sent, now, []string{ours}, "is absent", "Verdict: refused: signature missing.", "no proxy removes")
	f(http.Header{plaidHeader: {"a", "b"}}, sent, now, []string{ours}, "appears 2 times", "Remedy: Send Plaid-Verification once")
	f(http.Header{plaidHeader: {"abc"}}, sent, now, []string{ours}, "not what the scheme expects", "Remedy: Copy the whole header")
	f(good, sent, now, []string{other}, "Key 1 of 1 has another id.", "Remedy: Give the key that the token names")
	f(good, sent, now, []string{"secret"}, "Key 1 of 1 is not a JWK.", "Remedy: Correct the key")
	f(good, sent, now, []string{strings.Replace(ours, `"expired_at":null`, `"expired_at":1`, 1)}, "has expired, so it proves nothing")
	f(good, sent, now, []string{strings.Replace(other, "51992e0002", "51992e0001", 1)}, "has that id and does not match", "Remedy: The token was signed with another key of the same id")
	f(good, sent+" ", now, []string{ours}, "claims another digest", "about another body", "Remedy: The token fits the body without its white space")
	f(good, "{}", now, []string{ours}, "claims another digest", "Remedy: The token is genuine and the body is another one")
	f(good, sent, now.Add(301*time.Second), []string{ours}, "301 seconds old", "refused: timestamp outside the tolerance", "Remedy: Check both clocks")
	f(good, sent, now.Add(-301*time.Second), []string{ours}, "301 seconds ahead", "too far ahead")
}

// TestPlaidPlausible: what no key could make right is found before one is looked up; what a key
// decides is not.
func TestPlaidPlausible(t *testing.T) {
	ours, other := plaidKeys(t)
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f := func(what string, h http.Header, body string, o Options, now time.Time, want error) {
		t.Helper()
		if err := plaidPlausible(h, []byte(body), o, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	for _, key := range []string{ours, other} {
		h := plaidSigned(t, "{}", at, key)
		f("whoever signed it", h, "{}", nil, at, nil)
		f("another body", h, "{ }", nil, at, signing.ErrMismatch)
		f("old", h, "{}", nil, at.Add(plaidTolerance+time.Second), signing.ErrStale)
		f("old, where that is allowed", h, "{}", Options{"tolerance": "1h"}, at.Add(plaidTolerance+time.Second), nil)
		f("of the future", h, "{}", nil, at.Add(-plaidAhead-time.Second), signing.ErrStale)
	}
	f("nothing", http.Header{}, "{}", nil, at, signing.ErrMissing)
	f("nonsense", http.Header{plaidHeader: {"e30.e30.e30"}}, "{}", nil, at, signing.ErrMalformed)
}
