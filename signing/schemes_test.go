package signing

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRoundTrip signs random bodies and changes single bits of the body and of the proof.
func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, s := range setups {
		keys := Keyring{mustKey(t, s.a)}
		for range 50 {
			body := make([]byte, 1+rnd.IntN(300))
			for i := range body {
				body[i] = byte(rnd.Uint32())
			}
			h := mustSign(t, s.scheme, Message{ID: "evt_1", Time: now, Body: body}, keys)
			if err := s.scheme.Verify(h, body, keys, now); err != nil {
				t.Fatalf("%s: own signature refused: %v", s.name, err)
			}
			if s.body {
				other := bytes.Clone(body)
				other[rnd.IntN(len(other))] ^= 1 << rnd.IntN(8)
				if err := s.scheme.Verify(h, other, keys, now); !errors.Is(err, ErrMismatch) {
					t.Fatalf("%s: changed body: %v", s.name, err)
				}
				if err := s.scheme.Verify(h, body[:len(body)-1], keys, now); !errors.Is(err, ErrMismatch) {
					t.Fatalf("%s: shortened body: %v", s.name, err)
				}
			}
			if err := s.scheme.Verify(h, body, Keyring{mustKey(t, s.b)}, now); !errors.Is(err, ErrMismatch) {
				t.Fatalf("%s: other key: %v", s.name, err)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	for _, s := range setups {
		a, b := mustKey(t, s.a), mustKey(t, s.b)
		f := func(what string, signed, known Keyring, wantOK bool) {
			t.Helper()
			h := mustSign(t, s.scheme, message("{}"), signed)
			if err := s.scheme.Verify(h, []byte("{}"), known, now); (err == nil) != wantOK {
				t.Errorf("%s: %s: %v, want ok = %v", s.name, what, err, wantOK)
			}
		}
		f("old key only", Keyring{a}, Keyring{b, a}, true)
		f("new key only", Keyring{b}, Keyring{b, a}, true)
		f("partner knows the old key", Keyring{b, a}, Keyring{a}, true) // the promise of the last key
		f("partner knows the new key", Keyring{b, a}, Keyring{b}, s.many)
		f("partner knows both", Keyring{b, a}, Keyring{b, a}, true)
		f("key retired", Keyring{a}, Keyring{b}, false)
	}
}

func TestEmptyRingsAndKeysMatchNothing(t *testing.T) {
	for _, s := range setups {
		h := mustSign(t, s.scheme, message("{}"), Keyring{mustKey(t, s.a)})
		for _, ring := range []Keyring{nil, {}, {{}}, {{}, {}}, {{open: func() *secret { return nil }}}} {
			if err := s.scheme.Verify(h, []byte("{}"), ring, now); !errors.Is(err, ErrMismatch) {
				t.Errorf("%s: ring of %d empty keys: %v", s.name, len(ring), err)
			}
			if err := s.scheme.Sign(headers{}, message("{}"), ring); err == nil {
				t.Errorf("%s: signed with a ring of %d empty keys", s.name, len(ring))
			}
		}
		if err := s.scheme.Verify(h, []byte("{}"), Keyring{{}, mustKey(t, s.a)}, now); err != nil {
			t.Errorf("%s: an empty key beside a good one: %v", s.name, err)
		}
	}
}

// TestEveryKeyIsTried counts how often each key is opened: which one fits must not show in the work
// done.
func TestEveryKeyIsTried(t *testing.T) {
	for _, s := range setups {
		var opened [3]int
		counted := func(i int, text string) Key {
			k := mustKey(t, text)
			return Key{open: func() *secret { opened[i]++; return k.open() }}
		}
		h := mustSign(t, s.scheme, message("{}"), Keyring{mustKey(t, s.a)})
		ring := Keyring{counted(0, s.a), counted(1, s.b), counted(2, s.a)}
		if err := s.scheme.Verify(h, []byte("{}"), ring, now); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if opened != [3]int{1, 1, 1} {
			t.Errorf("%s: keys opened %v times, want each once", s.name, opened)
		}
		if s.name == "timestamped" { // and so for each group, also after one that fits
			h.Set(s.proof, h.Values(s.proof)[0]+" t=1,v1=00")
			if err := s.scheme.Verify(h, []byte("{}"), ring, now); err != nil || opened != [3]int{3, 3, 3} {
				t.Errorf("%s: two groups: %v, keys opened %v times in all, want each 3", s.name, err, opened)
			}
		}
	}
}

func TestDuplicateAndMissingHeaders(t *testing.T) {
	for _, s := range setups {
		keys := Keyring{mustKey(t, s.a)}
		h := mustSign(t, s.scheme, message("{}"), keys)
		for name := range h {
			f := func(what string, change func(headers), want error) {
				t.Helper()
				c := h.clone()
				change(c)
				if err := s.scheme.Verify(c, []byte("{}"), keys, now); !errors.Is(err, want) {
					t.Errorf("%s: %s %s: %v, want %v", s.name, name, what, err, want)
				}
			}
			f("twice the same", func(c headers) { c.Add(name, c[name][0]) }, ErrMalformed)
			f("twice", func(c headers) { c[name] = append([]string{"junk"}, c[name]...) }, ErrMalformed)
			f("thrice", func(c headers) { c[name] = append(c[name], "", "") }, ErrMalformed)
			f("too long", func(c headers) { c[name][0] += strings.Repeat(" ", maxHeader) }, map[bool]error{true: ErrMismatch, false: ErrMalformed}[name == "x-alg"])
			if name == "x-alg" {
				continue // its absence is allowed
			}
			f("absent", func(c headers) { delete(c, name) }, ErrMissing)
			f("empty", func(c headers) { c[name] = []string{""} }, ErrMissing)
		}
	}
}

func TestTimes(t *testing.T) {
	f := func(name string, s Scheme, age time.Duration, want error) {
		t.Helper()
		keys := Keyring{mustKey(t, secretA)}
		h := mustSign(t, s, Message{ID: "e", Time: now.Add(-age), Body: []byte("{}")}, keys)
		if err := s.Verify(h, []byte("{}"), keys, now); !errors.Is(err, want) {
			t.Errorf("%s, %v old: %v, want %v", name, age, err, want)
		}
		if err := s.Verify(h, []byte("[]"), keys, now); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s, %v old, forged: %v, want a mismatch whatever the age", name, age, err)
		}
	}
	five := Timestamped{Header: "X", Tolerance: 5 * time.Minute}
	f("timestamped", five, 0, nil)
	f("timestamped", five, 5*time.Minute, nil)
	f("timestamped", five, 5*time.Minute+time.Second, ErrStale)
	f("timestamped", five, -5*time.Minute, nil)
	f("timestamped", five, -5*time.Minute-time.Second, ErrStale)
	f("any age", Timestamped{Header: "X"}, 5*365*24*time.Hour, nil)
	f("any age", Timestamped{Header: "X"}, -5*time.Minute-time.Second, ErrStale)
	f("ahead", Timestamped{Header: "X", Ahead: time.Hour}, -time.Hour, nil)
	f("ahead", Timestamped{Header: "X", Ahead: time.Minute}, -2*time.Minute, ErrStale)
	f("standard", StandardWebhooks{}, 5*time.Minute, nil)
	f("standard", StandardWebhooks{}, 5*time.Minute+time.Second, ErrStale)
	f("standard", StandardWebhooks{}, -5*time.Minute-time.Second, ErrStale)
	f("standard wide", StandardWebhooks{Tolerance: time.Hour}, time.Hour, nil)
}

func TestMessagesThatCannotBeSigned(t *testing.T) {
	keys := Keyring{mustKey(t, secretA)}
	f := func(name string, s Scheme, m Message) {
		t.Helper()
		h := headers{}
		if err := s.Sign(h, m, keys); err == nil || len(h) > 0 {
			t.Errorf("%s: Sign = %v, headers %v", name, err, h)
		}
	}
	f("no id", StandardWebhooks{}, Message{Time: now})
	f("dot in the id", StandardWebhooks{}, Message{ID: "evt.1", Time: now})
	f("long id", StandardWebhooks{}, Message{ID: strings.Repeat("e", maxID+1), Time: now})
	f("no time", StandardWebhooks{}, Message{ID: "e"})
	f("no time", Timestamped{Header: "X"}, Message{ID: "e"})
	f("time at the epoch", Timestamped{Header: "X"}, Message{Time: time.Unix(0, 0)})
	f("no such hash", BodyHMAC{Header: "X", Hash: "md5"}, Message{})
	f("basic without colon", Static{Scheme: Basic}, Message{})
}

// TestTimestampedHeader covers the forms of the header that no vector shows.
func TestTimestampedHeader(t *testing.T) {
	s := Timestamped{Header: "X", Tolerance: 5 * time.Minute}
	keys := Keyring{mustKey(t, secretA)}
	at := func(offset time.Duration) string {
		return mustSign(t, s, Message{Time: now.Add(offset), Body: []byte("{}")}, keys)["x"][0]
	}
	good := at(0)
	stamp, sig, _ := strings.Cut(good, ",")
	junk := "v1=" + strings.Repeat("00", 32)
	f := func(name, value string, want error) {
		t.Helper()
		h := headers{"x": {value}}
		if err := s.Verify(h, []byte("{}"), keys, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	f("as signed", good, nil)
	f("timestamp last", sig+","+stamp, nil)
	f("upper case", stamp+",v1="+strings.ToUpper(sig[3:]), nil)
	f("other versions", "v0=x,v2=y,"+good+",k=z", nil)
	f("second signature", stamp+","+junk+","+sig, nil)
	f("second group", stamp+","+junk+"  "+good, nil)
	f("old group, fresh group", at(-time.Hour)+" "+good, nil)
	f("fresh group, old group", good+" "+at(-time.Hour), nil)
	f("old groups", at(-time.Hour)+" "+at(-2*time.Hour), ErrStale)
	f("old group, foreign group", at(-time.Hour)+" "+stamp+","+junk, ErrStale)
	f("signature moved to another group's time", stamp[:len(stamp)-1]+"0,"+sig+" "+stamp+","+junk, ErrMismatch)
	f("two timestamps", stamp+","+good, ErrMalformed)
	f("no timestamp", sig, ErrMalformed)
	f("group without a timestamp", good+" "+sig, ErrMalformed)
	f("only v0", stamp+",v0="+sig[3:], ErrMismatch)
	f("v1 not hex", stamp+",v1=nothex", ErrMismatch)
	f("v1 too long", good+"00", ErrMismatch)
	f("bare part", good+",x", ErrMalformed)
	f("two equal signs", good+",x=y=z", ErrMalformed)
	f("trailing comma", good+",", ErrMalformed)
	f("signed number", "t=+"+stamp[2:]+","+sig, ErrMalformed)
	f("negative", "t=-1,"+sig, ErrMalformed)
	f("fraction", stamp+".0,"+sig, ErrMalformed)
	f("milliseconds", stamp+"000,"+sig, ErrMalformed)
	f("empty timestamp", "t=,"+sig, ErrMalformed)
	f("huge", "t=99999999999999999999,"+sig, ErrMalformed)
	f("blank", " ", ErrMissing)
	f("most groups", strings.Repeat(stamp+","+junk+" ", maxGroups-1)+good, nil)
	f("too many groups", strings.Repeat(stamp+","+junk+" ", maxGroups)+good, ErrMalformed)
	f("most signatures", stamp+strings.Repeat(","+junk, maxSignatures-1)+","+sig, nil)
	f("too many signatures", stamp+strings.Repeat(","+junk, maxSignatures)+","+sig, ErrMalformed)
}

func TestTimestampedSignsNewestFirst(t *testing.T) {
	s := Timestamped{Header: "X"}
	a, b := mustKey(t, secretA), mustKey(t, secretB)
	of := func(ring ...Key) []string { return strings.Split(mustSign(t, s, message("{}"), ring)["x"][0], ",") }
	both, onlyA, onlyB := of(b, a), of(a), of(b)
	want := []string{"t=" + strconv.FormatInt(now.Unix(), 10), onlyB[1], onlyA[1]}
	if !slices.Equal(both, want) {
		t.Errorf("header of two keys = %v, want %v", both, want)
	}
}

// TestStandardHeader covers the forms of the headers that no vector shows.
func TestStandardHeader(t *testing.T) {
	s := StandardWebhooks{}
	keys := Keyring{mustKey(t, secretA)}
	signed := mustSign(t, s, message("{}"), keys)
	sig := signed["webhook-signature"][0]
	junk := "v1," + Base64.encode(make([]byte, 32))
	f := func(name, header, value string, want error) {
		t.Helper()
		h := signed.clone()
		h.Set(header, value)
		if err := s.Verify(h, []byte("{}"), keys, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	f("as signed", "webhook-signature", sig, nil)
	f("others before", "webhook-signature", "v1a,x v2,y v1,short "+junk+"  "+sig, nil)
	f("asymmetric only", "webhook-signature", "v1a"+sig[2:], ErrMismatch)
	f("no version", "webhook-signature", sig[3:], ErrMalformed)
	f("unpadded", "webhook-signature", strings.TrimRight(sig, "="), ErrMismatch)
	f("most", "webhook-signature", strings.Repeat(junk+" ", maxSignatures-1)+sig, nil)
	f("too many", "webhook-signature", strings.Repeat(junk+" ", maxSignatures)+sig, ErrMalformed)
	f("other id", "webhook-id", "evt_2", ErrMismatch)
	f("dot in the id", "webhook-id", "evt_1."+strconv.FormatInt(now.Unix(), 10), ErrMalformed)
	f("long id", "webhook-id", strings.Repeat("e", maxID+1), ErrMalformed)
	f("other time", "webhook-timestamp", strconv.FormatInt(now.Unix()+1, 10), ErrMismatch)
	f("milliseconds", "webhook-timestamp", strconv.FormatInt(now.UnixMilli(), 10), ErrMalformed)
	f("word", "webhook-timestamp", "now", ErrMalformed)
}

func TestSvixReadsOneFamilyOnly(t *testing.T) {
	svix, std := StandardWebhooks{HeaderPrefix: "svix"}, StandardWebhooks{}
	keys := Keyring{mustKey(t, secretA)}
	h := mustSign(t, std, message("{}"), keys)
	if err := svix.Verify(h, []byte("{}"), keys, now); err != nil {
		t.Errorf("webhook-* under svix: %v", err)
	}
	if err := std.Verify(mustSign(t, svix, message("{}"), keys), []byte("{}"), keys, now); !errors.Is(err, ErrMissing) {
		t.Errorf("svix-* under webhook: %v", err)
	}
	h.Set("svix-signature", "v1,junk")
	if err := svix.Verify(h, []byte("{}"), keys, now); !errors.Is(err, ErrMissing) {
		t.Errorf("a svix-signature beside webhook-*: %v", err)
	}
}

func TestBodyHMACHeader(t *testing.T) {
	keys := Keyring{mustKey(t, secretA)}
	sum := strings.TrimPrefix(mustSign(t, BodyHMAC{Header: "X"}, message("{}"), keys)["x"][0], "")
	f := func(name string, s BodyHMAC, h headers, want error) {
		t.Helper()
		if err := s.Verify(h, []byte("{}"), keys, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	plain := BodyHMAC{Header: "X"}
	f("hex", plain, headers{"x": {sum}}, nil)
	f("upper case", plain, headers{"x": {strings.ToUpper(sum)}}, nil)
	f("short", plain, headers{"x": {sum[:62]}}, ErrMalformed)
	f("long", plain, headers{"x": {sum + "00"}}, ErrMalformed)
	f("not hex", plain, headers{"x": {"zz" + sum[2:]}}, ErrMalformed)
	f("unexpected prefix", plain, headers{"x": {"sha256=" + sum}}, ErrMalformed)
	prefixed := BodyHMAC{Header: "X", Prefix: "sha256="}
	f("prefix", prefixed, headers{"x": {"sha256=" + sum}}, nil)
	f("prefix missing", prefixed, headers{"x": {sum}}, ErrMalformed)
	f("other prefix", prefixed, headers{"x": {"sha512=" + sum}}, ErrMalformed)
	announced := BodyHMAC{Header: "X", Announce: "A", Announced: "S256"}
	f("announced", announced, headers{"x": {sum}, "a": {"S256"}}, nil)
	f("announcement absent", announced, headers{"x": {sum}}, nil)
	f("announcement other", announced, headers{"x": {sum}, "a": {"S1"}}, ErrMismatch)
	f("announcement empty", announced, headers{"x": {sum}, "a": {""}}, ErrMismatch)
	f("announcement twice", announced, headers{"x": {sum}, "a": {"S256", "S256"}}, ErrMalformed)
	f("unknown hash", BodyHMAC{Header: "X", Hash: "md5"}, headers{"x": {sum}}, ErrMismatch)
	f("unknown encoding", BodyHMAC{Header: "X", Encoding: "base32"}, headers{"x": {sum}}, ErrMalformed)
}

func TestStaticHeader(t *testing.T) {
	f := func(name string, s Static, secret, value string, want error) {
		t.Helper()
		h := headers{"authorization": {value}}
		if err := s.Verify(h, nil, Keyring{mustKey(t, secret)}, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	basic, bearer, raw := Static{Scheme: Basic}, Static{Scheme: Bearer}, Static{}
	enc := func(s string) string { return Base64.encode([]byte(s)) }
	f("basic", basic, basicA, "Basic "+enc(basicA), nil)
	f("word in lower case", basic, basicA, "basic  "+enc(basicA), nil)
	f("one newline", basic, basicA, "Basic "+enc(basicA+"\n"), nil)
	f("two newlines", basic, basicA, "Basic "+enc(basicA+"\n\n"), ErrMismatch)
	f("prefix of it", basic, basicA, "Basic "+enc(basicA[:5]), ErrMismatch)
	f("empty", basic, basicA, "Basic ", ErrMismatch)
	f("not base64", basic, basicA, "Basic acme:one", ErrMalformed)
	f("other word", basic, basicA, "Bearer "+enc(basicA), ErrMalformed)
	f("no word", basic, basicA, enc(basicA), ErrMalformed)
	f("bearer", bearer, "tok", "bearer tok", nil)
	f("bearer newline", bearer, "tok", "Bearer tok\n", ErrMismatch)
	f("bearer as basic", bearer, "tok", "Basic tok", ErrMalformed)
	f("raw", raw, "tok", "tok", nil)
	f("raw case", raw, "tok", "Tok", ErrMismatch)
}

// TestErrorsHoldNothingOfTheRequest sends a marked value in every header.
func TestErrorsHoldNothingOfTheRequest(t *testing.T) {
	const mark = "MARKED"
	for _, s := range setups {
		keys := Keyring{mustKey(t, s.a)}
		h := mustSign(t, s.scheme, message("{}"), keys)
		for name := range h {
			for _, value := range []string{mark, mark + ".x", "t=" + mark, "v1," + mark, "Basic " + mark, "t=1,v1=" + mark, mark + "=" + mark} {
				c := h.clone()
				c.Set(name, value)
				if err := s.scheme.Verify(c, []byte(mark), keys, now); err == nil || strings.Contains(err.Error(), mark) {
					t.Errorf("%s: %s: %v", s.name, name, err)
				}
			}
		}
	}
}

// TestVerifyDoesNotAllocate holds the hot path of most providers to what the header itself costs.
func TestVerifyDoesNotAllocate(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1500)
	for _, enc := range []Encoding{Hex, Base64} {
		for _, hash := range []HashName{SHA1, SHA256, SHA512} {
			s := BodyHMAC{Header: "x-sig", Hash: hash, Encoding: enc, Announce: "x-alg", Announced: "a"}
			keys := Keyring{mustKey(t, secretA), mustKey(t, secretB)}
			var h Header = lower(mustSign(t, s, Message{Body: body}, keys))
			var scheme Scheme = s
			got := testing.AllocsPerRun(200, func() {
				if err := scheme.Verify(h, body, keys, now); err != nil {
					t.Fatal(err)
				}
			})
			if got > 0 && !raceEnabled {
				t.Errorf("%s %s: %v allocations per call", hash, enc, got)
			}
		}
	}
}

// lower is headers without the folding of names, which would allocate.
type lower headers

func (h lower) Values(name string) []string { return h[name] }
func (h lower) Set(name, value string)      { h[name] = []string{value} }
func (h lower) Add(name, value string)      { h[name] = append(h[name], value) }
