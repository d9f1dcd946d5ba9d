package signing

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExplainAgreesWithVerify(t *testing.T) {
	for _, v := range loadVectors(t) {
		s, keys := v.scheme(t), v.keys(t)
		steps := Explain(s, v.header(), v.Body, keys, time.Unix(v.At, 0))
		accepted := slices.Contains(steps, "Verdict: accepted.")
		if accepted != v.Valid {
			t.Errorf("%s/%s: explained as accepted = %v\n%s", v.Provider, v.Name, accepted, strings.Join(steps, "\n"))
		}
		if last := steps[len(steps)-1]; !v.Valid && (!strings.HasPrefix(last, "Remedy: ") || len(last) < 20) {
			t.Errorf("%s/%s: no remedy:\n%s", v.Provider, v.Name, strings.Join(steps, "\n"))
		}
		all := strings.Join(steps, "\n")
		if len(v.Body) > 8 && strings.Contains(all, string(v.Body)) || v.Secret != "" && v.Secret != "ddd" && strings.Contains(all, v.Secret) {
			t.Errorf("%s/%s: the explanation shows the body or the key", v.Provider, v.Name)
		}
		if strings.Contains(all, "%!") {
			t.Errorf("%s/%s: a sentence is broken:\n%s", v.Provider, v.Name, all)
		}
	}
}

// TestExplainRemedies breaks requests in the ways support engineers see, and reads the remedy.
func TestExplainRemedies(t *testing.T) {
	const compact = `{"a":1,"b":[{"c":"x, y: z"}]}`
	indented := func(s string) string {
		var b bytes.Buffer
		if err := json.Indent(&b, []byte(s), "", "  "); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	keys := Keyring{mustKey(t, secretB), mustKey(t, secretA)}
	f := func(name string, s Scheme, signed, arrived string, change func(headers), ring Keyring, wants ...string) {
		t.Helper()
		h := mustSign(t, s, message(signed), Keyring{mustKey(t, secretA)})
		if change != nil {
			change(h)
		}
		all := strings.Join(Explain(s, h, []byte(arrived), ring, now), "\n")
		for _, want := range wants {
			if !strings.Contains(all, want) {
				t.Errorf("%s: explanation lacks %q:\n%s", name, want, all)
			}
		}
	}
	for _, s := range []Scheme{BodyHMAC{Header: "X"}, Timestamped{Header: "X", Tolerance: time.Minute}, StandardWebhooks{}} {
		f("fine", s, compact, compact, nil, keys, "Key 1 of 2 does not match.", "Key 2 of 2 matches.", "Verdict: accepted.")
		f("indented", s, compact, indented(compact), nil, keys, "Key 2 of 2 matches once", "Remedy: ", "re-indented", "raw bytes")
		f("indented, newline", s, compact, indented(compact)+"\n", nil, keys, "re-indented")
		f("compacted", s, indented(compact), compact, nil, keys, "body was compacted")
		f("blanks", s, `{"a": 1, "b": [{"c": "x, y: z"}]}`, compact, nil, keys, "a blank after each comma")
		f("escaped", s, `{"a":"\u003c"}`, `{"a":"<"}`, nil, keys, "escaped")
		f("newline lost", s, compact+"\n", compact, nil, keys, "something cut the last newline")
		f("newline added", s, compact, compact+"\n", nil, keys, "an editor or a shell added one")
		f("line ends", s, "a\nb", "a\r\nb", nil, keys, "changed the line ends")
		f("mark", s, compact, "\xef\xbb\xbf"+compact, nil, keys, "byte order mark")
		f("empty", s, "", compact, nil, keys, "before it was signed")
		f("other body", s, compact, `{"a":2}`, nil, keys, "compare the secret with the sender's dashboard")
		f("no key", s, compact, compact, nil, nil, "holds 0 keys", "Correct the key or the setting first: no")
		f("absent", s, compact, compact, func(h headers) { clear(h) }, keys, "is absent or empty", "no proxy removes")
	}
	hm, ts, std := BodyHMAC{Header: "X"}, Timestamped{Header: "X", Tolerance: time.Minute}, StandardWebhooks{}
	sumOf := func(s BodyHMAC) func(headers) {
		return func(h headers) { h.Set("X", mustSign(t, s, message(compact), Keyring{mustKey(t, secretA)})["x"][0]) }
	}
	f("sha1", hm, compact, compact, sumOf(BodyHMAC{Header: "X", Hash: SHA1}), keys, "The signature fits sha1, not sha256")
	f("sha512", hm, compact, compact, sumOf(BodyHMAC{Header: "X", Hash: SHA512}), keys, "The signature fits sha512, not sha256")
	f("base64", hm, compact, compact, sumOf(BodyHMAC{Header: "X", Encoding: Base64}), keys, "written as base64, not as hex")
	f("prefix", hm, compact, compact, sumOf(BodyHMAC{Header: "X", Prefix: "sha256="}), keys, "prefix before the digest differs")
	f("two at once", hm, compact, compact+"\n", sumOf(BodyHMAC{Header: "X", Hash: SHA512}), keys, "fits sha512", "added one")
	f("upper case is fine", hm, compact, compact, func(h headers) { h.Set("X", strings.ToUpper(h["x"][0])) }, keys, "Verdict: accepted.")
	f("timestamped sender", hm, compact, compact, func(h headers) { h.Set("X", "t=1,v1=00") }, keys, "uses the timestamped scheme")
	f("body sender", ts, compact, compact, func(h headers) { h.Set("X", strings.Repeat("0", 64)) }, keys, "signs the body alone")
	f("body alone in v1", ts, compact, compact, func(h headers) {
		stamp, _, _ := strings.Cut(h["x"][0], ",")
		sumOf(hm)(h)
		h.Set("X", stamp+",v1="+h["x"][0])
	}, keys, "covers the body alone")
	f("twice", hm, compact, compact, func(h headers) { h.Add("X", "y") }, keys, "appears 2 times", "Send X once")
	f("milliseconds", ts, compact, compact, func(h headers) { h.Set("X", "t=1773478975000,v1=00") }, keys, "looks like milliseconds")
	f("milliseconds", std, compact, compact, func(h headers) { h.Set("webhook-timestamp", "1773478975000") }, keys, "looks like milliseconds")
	f("newline in the secret", hm, compact, compact, nil, Keyring{mustKey(t, secretA+"\n")}, "white space around it")
	f("decoded secret", hm, compact, compact, func(h headers) {
		raw, _ := decodeStandard(secretA)
		h.Set("X", mustSign(t, hm, message(compact), Keyring{mustKey(t, string(raw))})["x"][0])
	}, keys, "keyed with the decoded secret")
	f("text of the secret", std, compact, compact, func(h headers) {
		k := mustKey(t, Base64.encode([]byte(secretA))) // decodes to the text
		h.Set("webhook-signature", mustSign(t, std, message(compact), Keyring{k})["webhook-signature"][0])
	}, keys, "keyed with the secret's text")
	announced := BodyHMAC{Header: "X", Announce: "A", Announced: "S256"}
	f("announced", announced, compact, compact, func(h headers) { h.Set("A", "S1") }, keys, "another algorithm than the pinned S256", "Choose the same algorithm")
	f("wrong key for the scheme", std, compact, compact, nil, Keyring{mustKey(t, "plain text")}, "key 1 of 1: not a Standard Webhooks secret")
}

func TestExplainTimes(t *testing.T) {
	s := Timestamped{Header: "X", Tolerance: time.Minute}
	keys := Keyring{mustKey(t, secretA)}
	f := func(offset time.Duration, want string) {
		t.Helper()
		h := mustSign(t, s, Message{Time: now.Add(offset)}, keys)
		if all := strings.Join(Explain(s, h, nil, keys, now), "\n"); !strings.Contains(all, want) {
			t.Errorf("%v: explanation lacks %q:\n%s", offset, want, all)
		}
	}
	f(-2*time.Minute, "The timestamp is 120 seconds old; 1m0s is accepted.")
	f(-2*time.Minute, "Remedy: Check both clocks")
	f(10*time.Minute, "The timestamp is 600 seconds ahead of the clock; 5m0s is accepted.")
	f(0, "Verdict: accepted.")
}

// wrapped is what a scheme with rules of its own looks like.
type wrapped struct{ Scheme }

func (w wrapped) Unwrap() Scheme { return w.Scheme }

func TestExplainStaticAndWrapped(t *testing.T) {
	f := func(s Scheme, header, value string, wants ...string) {
		t.Helper()
		all := strings.Join(Explain(s, headers{header: {value}}, nil, Keyring{mustKey(t, basicA)}, now), "\n")
		for _, want := range wants {
			if !strings.Contains(all, want) {
				t.Errorf("explanation lacks %q:\n%s", want, all)
			}
		}
	}
	f(Static{Scheme: Basic}, "authorization", "Bearer x", "The sender uses bearer")
	f(Static{Scheme: Basic}, "authorization", "Basic eDp5", "credential is another one")
	f(Static{Scheme: Basic}, "authorization", "Basic "+Base64.encode([]byte(basicA)), "Key 1 of 1 matches.", "Verdict: accepted.")
	f(wrapped{Static{Header: "X"}}, "x", basicA, "adds rules of its own", "a fixed credential (raw) in X", "Verdict: accepted.")
	f(struct{ Scheme }{Static{Header: "X"}}, "x", basicA, "has no step-by-step description", "Verdict: accepted.")
}
