package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"
)

// explained wants sentences in an explanation.
func explained(t *testing.T, name string, steps []string, wants ...string) {
	t.Helper()
	all := strings.Join(steps, "\n")
	for _, want := range wants {
		if !strings.Contains(all, want) {
			t.Errorf("%s: explanation lacks %q:\n%s", name, want, all)
		}
	}
	if strings.Contains(all, "%!") {
		t.Errorf("%s: a sentence is broken:\n%s", name, all)
	}
}

func TestExplainDigestSuffix(t *testing.T) {
	hashed, plain := DigestSuffix{Header: "X"}, DigestSuffix{Header: "X", Plain: true}
	keys := Keyring{mustKey(t, secretB), mustKey(t, secretA)}
	const body = `{"a":1}`
	f := func(name string, s DigestSuffix, sender Scheme, arrived string, ring Keyring, wants ...string) {
		t.Helper()
		h := mustSign(t, sender, message(body), Keyring{mustKey(t, secretA)})
		explained(t, name, Explain(s, h, []byte(arrived), ring, now), wants...)
	}
	f("fine", hashed, hashed, body, keys, "plain hash and not an HMAC", "Key 1 of 2 does not match.", "Key 2 of 2 matches.", "Verdict: accepted.")
	f("plain under hashed", hashed, plain, body, keys, "Key 2 of 2 matches once", "Remedy: The signature fits the other form", "to plain, as for old accounts.")
	f("hashed under plain", plain, hashed, body, keys, "Remedy: The signature fits the other form of the secret, the hex sha256", "to hashed, as for new accounts.")
	f("HMAC", hashed, BodyHMAC{Header: "X"}, body, keys, "Remedy: The signature is an HMAC of the body", "choose the HMAC scheme")
	f("HMAC with sha512", plain, BodyHMAC{Header: "X", Hash: SHA512}, body, keys, "fits sha512, not sha256", "is an HMAC of the body")
	f("HMAC in base64", plain, BodyHMAC{Header: "X", Encoding: Base64}, body, keys, "written as base64, not as hex", "is an HMAC of the body")
	f("newline added", hashed, hashed, body+"\n", keys, "an editor or a shell added one")
	f("indented", plain, plain, "{\n  \"a\": 1\n}", keys, "the body was re-indented")
	f("newline in the secret", plain, plain, body, Keyring{mustKey(t, secretA+"\n")}, "white space around it")
	f("newline in the secret", hashed, hashed, body, Keyring{mustKey(t, secretA+"\n")}, "white space around it")
	f("other key", hashed, hashed, body, keys[:1], "Key 1 of 1 does not match.", "Verdict: refused: signature does not match.", "compare the secret")
	f("no key", hashed, hashed, body, nil, "Correct the key or the setting first: no key")
	f("absent", hashed, DigestSuffix{Header: "Y"}, body, keys, "X is absent or empty.", "no proxy removes X")
	explained(t, "twice", Explain(hashed, headers{"x": {"a", "b"}}, nil, keys, now), "X appears 2 times", "Send X once")
	explained(t, "short", Explain(hashed, headers{"x": {"abcd"}}, nil, keys, now), "not a hex digest of 32 bytes", "Remedy: ")
}

func TestExplainBodyProof(t *testing.T) {
	const partner, apiKey, at = "2189", "smile-api-key-0b6f2d", "2026-03-14T09:25:00.829Z"
	clock := time.Unix(1_773_480_301, 0)
	sign := func(key, text string) string {
		m := hmac.New(sha256.New, []byte(key))
		fmt.Fprint(m, text)
		return Base64.encode(m.Sum(nil))
	}
	good := sign(apiKey, at+partner+"sid_request")
	body := func(signature, timestamp string) string {
		return fmt.Sprintf(`{"a":1,"signature":%q,"timestamp":%q}`, signature, timestamp)
	}
	f := func(name, secret, body string, wants ...string) {
		t.Helper()
		explained(t, name, Explain(smile, headers{}, []byte(body), Keyring{mustKey(t, secret)}, clock), wants...)
	}
	key := partner + ":" + apiKey
	f("fine", key, body(good, at), "does not cover the rest", "signature appears once, with 44 characters", "1 seconds old", "Key 1 of 1 matches.", "Verdict: accepted.")
	f("no colon", apiKey, body(good, at), "cannot use this configuration", "Remedy: Correct the key", "key 1 of 1: a key of this scheme is partner_id:api_key")
	f("other partner", "2190:"+apiKey, body(good, at), "matches with another partner id", "Remedy: The api key is right and the partner id is another one")
	f("partner without zeros", "7:"+apiKey, body(sign(apiKey, at+"0007sid_request"), at), "The api key is right and the partner id is another one")
	f("other api key", partner+":other", body(good, at), "Key 1 of 1 does not match.", "Remedy: Neither the partner id nor a usual mistake")
	f("wrong way round", apiKey+":"+partner, body(good, at), "Remedy: The key is the wrong way round")
	f("newline", key+"\n", body(good, at), "Remedy: The key has white space in it")
	f("blank", partner+": "+apiKey, body(good, at), "Remedy: The key has white space in it")
	f("whole text", key, body(sign(key, at+partner+"sid_request"), at), "Remedy: The sender keyed with the whole text")
	f("no suffix", key, body(sign(apiKey, at+partner), at), "Remedy: The signature lacks the fixed word")
	f("no partner", key, body(sign(apiKey, at+"sid_request"), at), "Remedy: The signature lacks the partner id")
	for _, other := range []string{
		"2026-03-14T09:25:00Z", "2026-03-14T09:25:00.829000Z", "2026-03-14T09:25:00.829+00:00", "2026-03-14T09:25:00+00:00",
	} {
		f("signed "+other, key, body(sign(apiKey, other+partner+"sid_request"), at), "Remedy: The signature fits the same time written otherwise")
	}
	old := "2026-03-14T08:25:00.829Z"
	f("too old", key, body(sign(apiKey, old+partner+"sid_request"), old), "3601 seconds old; 5m0s is accepted.", "Key 1 of 1 matches.",
		"The signature is right: only its time is refused.", "Verdict: refused: timestamp outside the tolerance: too old.", "Remedy: Check both clocks")
	f("no zone", key, body(good, "2026-03-14T09:25:00.829"), "Remedy: The timestamp has no zone")
	f("seconds", key, body(good, "1773480300"), "Remedy: The timestamp looks like a number")
	f("milliseconds", key, body(good, "1773480300829"), "Remedy: The timestamp looks like a number")
	f("no time", key, body(good, "yesterday"), "not an RFC 3339 time", "Remedy: Write timestamp as RFC 3339")
	f("hex", key, body(strings.Repeat("00", 32), at), "Remedy: The digest is written as hex")
	f("cut short", key, body(good[:40], at), "Remedy: Write signature as padded base64")
	f("signature absent", key, `{"timestamp":"`+at+`"}`, "member signature is absent or empty", "Remedy: Check that the sender is set up to put signature", "signs in a header")
	f("signature empty", key, body("", at), "member signature is absent or empty")
	f("timestamp absent", key, `{"signature":"`+good+`"}`, "signature appears once", "member timestamp is absent or empty", "put timestamp at the top level")
	f("timestamp a number", key, `{"signature":"`+good+`","timestamp":1773480300}`, "timestamp is not a string", "Remedy: Send timestamp as a JSON string.")
	f("twice", key, `{"signature":"x","signature":"x"}`, "signature is duplicated in the body", "Remedy: Send signature and timestamp once each")
	f("capitalised", key, `{"Signature":"x"}`, "capitalised otherwise", "in exactly this spelling")
	f("body cut short", key, `{"signature":"x"`, "cannot be searched", "Remedy: Verify the whole body as it arrived")
	f("form", key, `signature=x`, "not a JSON object", "Remedy: Verify the whole body as it arrived")
	explained(t, "second key", Explain(smile, headers{}, []byte(body(good, at)), Keyring{{}, mustKey(t, "nocolon"), mustKey(t, "1:"+apiKey)}, clock),
		"Key 3 of 3 matches with another partner id.")
}

func TestExplainBodyTokenAndUnsigned(t *testing.T) {
	s := BodyToken{Member: "token"}
	f := func(name, secret, body string, wants ...string) {
		t.Helper()
		explained(t, name, Explain(s, headers{}, []byte(body), Keyring{mustKey(t, secret)}, now), wants...)
	}
	f("fine", "tok", `{"token":"tok"}`, "the sender only", "token appears once, with 3 characters", "Key 1 of 1 matches.", "Verdict: accepted.")
	f("other", "tok", `{"token":"tok2"}`, "Key 1 of 1 does not match.", "Remedy: The token is another one: compare token with")
	f("blank", "tok", `{"token":"tok "}`, "Remedy: The token fits but for white space")
	f("newline", "tok\n", `{"token":"tok"}`, "Remedy: Correct the key", "one line of text")
	f("absent", "tok", `{"a":{"token":"tok"}}`, "member token is absent or empty", "Remedy: Check that the sender is set up to put token", "signs in a header")
	f("null", "tok", `{"token":null}`, "token is not a string", "Remedy: Send token as a JSON string.")
	f("empty body", "tok", ``, "not a JSON object", "Remedy: Verify the whole body")
	explained(t, "unsigned", Explain(Unsigned{}, headers{}, []byte("x"), nil, now), "Scheme: none.", "only its address or the token in the path", "Verdict: accepted.")
	explained(t, "unsigned with a key", Explain(Unsigned{}, headers{}, nil, Keyring{mustKey(t, "k")}, now), "cannot use this configuration", "give the source allow or token")
}

// foreign is a scheme of another package that explains itself.
type foreign struct {
	Static
	remedy string
}

func (f foreign) ExplainSteps(h Header, body []byte, keys Keyring, at time.Time) ([]string, string) {
	return []string{fmt.Sprintf("Saw %d headers, %d bytes, %d keys at %d, 100%% of it.", len(h.Values("X")), len(body), len(keys), at.Unix())}, f.remedy
}

func (f foreign) Unwrap() Scheme { return f.Static }

func TestExplainForeign(t *testing.T) {
	s := foreign{Static{Header: "X"}, "Fetch 100% of the keys."}
	const step = "Saw 1 headers, 2 bytes, 1 keys at 1773478975, 100% of it.\nVerdict: "
	ring := Keyring{mustKey(t, "k")}
	explained(t, "refused", Explain(s, headers{"x": {"v"}}, []byte("{}"), ring, now), step+"refused", "Remedy: Fetch 100% of the keys.")
	explained(t, "accepted", Explain(s, headers{"x": {"k"}}, []byte("{}"), ring, now), step+"accepted.")
	s.remedy = ""
	explained(t, "no remedy", Explain(s, headers{"x": {"v"}}, []byte("{}"), ring, now), step+"refused", "Remedy: No usual change")
}
