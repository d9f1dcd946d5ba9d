package signing

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const kycBody = `{"a": 1.50, "signature":null, "b":{"token":"x","signature":"x"}, "token" : 7 }`

// TestSignBody signs, verifies, and looks at what became of the rest of the body.
func TestSignBody(t *testing.T) {
	for _, s := range bodySetups {
		a, b := mustKey(t, s.a), mustKey(t, s.b)
		body := mustSignBody(t, s.scheme, kycBody, Keyring{a})
		f := func(name string, body []byte, ring Keyring, want error) {
			t.Helper()
			if err := s.scheme.Verify(headers{}, body, ring, now); !errors.Is(err, want) {
				t.Errorf("%s: %s: %v, want %v", s.name, name, err, want)
			}
		}
		f("own", body, Keyring{a}, nil)
		f("second key", body, Keyring{b, a}, nil)
		f("other key", body, Keyring{b}, ErrMismatch)
		f("unsigned", []byte(`{"a":1}`), Keyring{a}, ErrMissing)
		f("cut short", body[:len(body)-1], Keyring{a}, ErrMalformed)
		f("twice", append(bytes.Clone(body), body...), Keyring{a}, ErrMalformed)
		f("wrapped", []byte(`{"x":`+string(body)+`}`), Keyring{a}, ErrMissing)
		f("listed", []byte(`[`+string(body)+`]`), Keyring{a}, ErrMalformed)
		f("rest changed, which it does not cover", bytes.Replace(body, []byte("1.50"), []byte("2"), 1), Keyring{a}, nil)
		for _, name := range s.members {
			alone := mustSignBody(t, s.scheme, "{}", Keyring{a})
			f(name+" absent", bytes.Replace(alone, []byte(`"`+name+`"`), []byte(`"gone"`), 1), Keyring{a}, ErrMissing)
			again := append(bytes.Clone(body[:len(body)-1]), `,"`+strings.ToUpper(name)+`":1}`...)
			f(name+" twice", again, Keyring{a}, ErrMalformed)
		}
		resigned := mustSignBody(t, s.scheme, string(body), Keyring{a})
		if string(resigned) != string(body) {
			t.Errorf("%s: signed again it is another body:\n%s\n%s", s.name, resigned, body)
		}
	}
	got := mustSignBody(t, BodyToken{Member: "token"}, kycBody, Keyring{mustKey(t, `a"b`)})
	if want := `{"a": 1.50, "signature":null, "b":{"token":"x","signature":"x"}, "token" : "a\"b" }`; string(got) != want {
		t.Errorf("signed body = %s, want %s", got, want)
	}
}

// TestSignBodyMatchesTheProvider makes the provider's own sample anew.
func TestSignBodyMatchesTheProvider(t *testing.T) {
	at := time.Date(2026, 3, 14, 10, 25, 0, 829_999_999, time.FixedZone("", 3600))
	m := Message{Time: at, Body: []byte(`{"ResultCode":"1012","signature":"x"}`)}
	got, err := smile.SignBody(m, Keyring{mustKey(t, "2189:smile-api-key-0b6f2d")})
	const want = `{"ResultCode":"1012","signature":"nFOWLMjuwZ8JyzGHXo1JGGmoapqgcsfxXhq2OrsAtlo=","timestamp":"2026-03-14T09:25:00.829Z"}`
	if err != nil || string(got) != want {
		t.Errorf("SignBody = %s, %v; want %s", got, err, want)
	}
}

// TestSignOfBodySchemes: it sets nothing, and tells whether the body carries the proof that
// SignBody would put there.
func TestSignOfBodySchemes(t *testing.T) {
	for _, s := range bodySetups {
		a, b := mustKey(t, s.a), mustKey(t, s.b)
		f := func(name string, body []byte, ring Keyring, wantOK bool) {
			t.Helper()
			h := headers{}
			err := s.scheme.Sign(h, Message{Time: now, Body: body}, ring)
			if (err == nil) != wantOK || len(h) > 0 {
				t.Errorf("%s: %s: %v, headers %v, want ok = %v and none", s.name, name, err, h, wantOK)
			}
		}
		body := mustSignBody(t, s.scheme, "{}", Keyring{a})
		f("signed", body, Keyring{a}, true)
		f("signed with the last key", body, Keyring{b, a}, true)
		f("signed with the first key", body, Keyring{a, b}, false) // who knows the older key only would refuse it
		f("not signed", []byte("{}"), Keyring{a}, false)
		f("no ring", body, nil, false)
		f("empty key", body, Keyring{{}}, false)
		if err := s.scheme.Sign(headers{}, message("{}"), Keyring{a}); err == nil || !strings.Contains(err.Error(), "use SignBody") {
			t.Errorf("%s: Sign = %v, want the way out", s.name, err)
		}
		for name, m := range map[string]Message{"no object": message("[]"), "cut short": message("{"), "no body": {Time: now}} {
			if got, err := s.scheme.SignBody(m, Keyring{a}); err == nil {
				t.Errorf("%s: %s: signed as %s", s.name, name, got)
			}
		}
		for _, ring := range []Keyring{nil, {}, {{}}, {a, {}}} {
			if got, err := s.scheme.SignBody(message("{}"), ring); err == nil {
				t.Errorf("%s: signed with a ring of %d keys: %s", s.name, len(ring), got)
			}
		}
	}
	keys := Keyring{mustKey(t, "2189:k")}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got, err := smile.SignBody(Message{Time: at, Body: []byte("{}")}, keys); err == nil {
			t.Errorf("signed at %v: %s", at, got)
		}
	}
	if err := smile.Sign(headers{}, Message{Body: mustSignBody(t, smile, "{}", keys)}, keys); err == nil {
		t.Error("a message without a time passed for signed")
	}
	if _, err := smile.SignBody(message("{}"), Keyring{mustKey(t, "no colon")}); err == nil {
		t.Error("signed with a key without a colon")
	}
}

func TestBodyRingsAndKeys(t *testing.T) {
	for _, s := range bodySetups {
		body := mustSignBody(t, s.scheme, "{}", Keyring{mustKey(t, s.a)})
		for _, ring := range []Keyring{nil, {}, {{}}, {{}, {}}, {{open: func() *secret { return nil }}}} {
			if err := s.scheme.Verify(headers{}, body, ring, now); !errors.Is(err, ErrMismatch) {
				t.Errorf("%s: ring of %d empty keys: %v", s.name, len(ring), err)
			}
		}
		var opened [3]int
		counted := func(i int, text string) Key {
			k := mustKey(t, text)
			return Key{open: func() *secret { opened[i]++; return k.open() }}
		}
		ring := Keyring{counted(0, s.a), counted(1, s.b), counted(2, s.a)}
		if err := s.scheme.Verify(headers{}, body, ring, now); err != nil || opened != [3]int{1, 1, 1} {
			t.Errorf("%s: %v, keys opened %v times, want each once", s.name, err, opened)
		}
	}
	// An api key that is absent, empty or zero would let anyone sign.
	for _, text := range []string{"2189:", "2189", ":", ":k", "2189:\x00"} {
		name, key, _ := strings.Cut(text, ":")
		sum := hmacOf(32, []byte(key), "2026-03-14T09:25:00Z", []byte(name+smile.Suffix))
		body := fmt.Sprintf(`{"timestamp":"2026-03-14T09:25:00Z","signature":%q}`, Base64.encode(sum))
		if err := smile.Verify(headers{}, []byte(body), Keyring{mustKey(t, text)}, time.Unix(1_773_480_300, 0)); !errors.Is(err, ErrMismatch) {
			t.Errorf("a key %q that holds no api key: %v", text, err)
		}
	}
}

func TestBodyProofTimes(t *testing.T) {
	keys := Keyring{mustKey(t, "2189:k")}
	f := func(tolerance, age time.Duration, want error) {
		t.Helper()
		s := smile
		s.Tolerance = tolerance
		body, err := s.SignBody(Message{Time: now.Add(-age), Body: []byte("{}")}, keys)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(headers{}, body, keys, now); !errors.Is(err, want) {
			t.Errorf("tolerance %v, %v old: %v, want %v", tolerance, age, err, want)
		}
		if err := s.Verify(headers{}, body, Keyring{mustKey(t, "2189:other")}, now); !errors.Is(err, ErrMismatch) {
			t.Errorf("tolerance %v, %v old, forged: %v, want a mismatch whatever the age", tolerance, age, err)
		}
	}
	f(5*time.Minute, 0, nil)
	f(5*time.Minute, 5*time.Minute, nil)
	f(5*time.Minute, 5*time.Minute+time.Second, ErrStale)
	f(5*time.Minute, -5*time.Minute, nil)
	f(5*time.Minute, -5*time.Minute-time.Second, ErrStale)
	f(time.Hour, time.Hour, nil)
	f(time.Hour, -time.Hour, nil)
	f(0, 5*365*24*time.Hour, nil)
	f(0, -5*time.Minute, nil)
	f(0, -5*time.Minute-time.Second, ErrStale)
}

// TestBodyErrorsHoldNothing marks the body and the key and reads every error and every step.
func TestBodyErrorsHoldNothing(t *testing.T) {
	const mark = "MARKED"
	for _, s := range bodySetups {
		ring := Keyring{mustKey(t, mark+":"+mark), mustKey(t, mark)}
		var bodies []string
		for _, value := range []string{`"` + mark + `"`, `"` + mark, mark, `["` + mark + `"]`, `"\u00zz` + mark + `"`, `"\ud83d` + mark + `"`, `"2026-03-14T09:25:00.829Z"`} {
			for _, name := range append([]string{mark}, s.members...) {
				bodies = append(bodies, `{"`+name+`":`+value+`}`, `{"`+name+`":`+value+`,"`+strings.ToUpper(name)+`":1}`)
				for _, other := range s.members {
					bodies = append(bodies, `{"`+name+`":`+value+`,"`+other+`":"`+strings.Repeat("A", 43)+`="}`)
				}
			}
		}
		refused := 0
		for _, body := range append(bodies, mark, "") {
			err := s.scheme.Verify(headers{}, []byte(body), ring, now)
			if err != nil {
				refused++
			}
			all := fmt.Sprint(err, Explain(s.scheme, headers{}, []byte(body), ring, now), s.scheme.Sign(headers{}, message(body), ring))
			_, err = s.scheme.SignBody(message(body), Keyring{{}, mustKey(t, mark)})
			if all += fmt.Sprint(err); strings.Contains(all, mark) || strings.Contains(all, "2026-03-14") && !strings.Contains(all, "such as 2026-03-14") {
				t.Errorf("%s: %s: %s", s.name, body, all)
			}
		}
		if refused < len(bodies)/2 {
			t.Errorf("%s: only %d of %d marked bodies were refused", s.name, refused, len(bodies))
		}
	}
}
