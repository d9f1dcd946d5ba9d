package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestScan(t *testing.T) {
	f := func(body, want string, wantErr error) {
		t.Helper()
		s, err := scan([]byte(body), "key", "other")
		if err == nil {
			var got string
			if got, err = s.text(0); got != want {
				t.Errorf("%s: found %q, want %q", body, got, want)
			}
		}
		if !errors.Is(err, wantErr) {
			t.Errorf("%s: %v, want %v", body, err, wantErr)
		}
	}
	f(`{"key":"v"}`, "v", nil)
	f(" {\t\"key\"\r\n:\n\"v\" , \"b\" : [ ] , \"c\" : { } } ", "v", nil)
	f(`{"a":[true,false,null,-0,0.5,-12e+3,1E9,2e-1,"",{"key":1}],"key":"v"}`, "v", nil)
	f(`{"a":"}\"{\\","key":"v"}`, "v", nil)
	f(`{"key":"\"\\\/\b\f\n\r\t\u00E9\uD83D\ude00"}`, "\"\\/\b\f\n\r\té😀", nil)
	f(`{"k\u0065y":"v"}`, "v", nil)
	f(`{"\u006b\u0065\u0079":"v"}`, "v", nil)
	f(`{}`, "", ErrMissing)
	f(`{"a":{"key":"v"}}`, "", ErrMissing)
	f(`{"key":""}`, "", ErrMissing)
	f(`{"keys":"v","ke":"v"}`, "", ErrMissing)
	f(`{"key\u0000":"v"}`, "", ErrMissing)
	f(`{"\ud83d":1,"key":"v"}`, "v", nil)
	f("{\"key\xff\":1,\"key\":\"v\"}", "v", nil)
	f(`{"key":"`+strings.Repeat("x", maxHeader)+`"}`, strings.Repeat("x", maxHeader), nil)
	for _, value := range []string{
		`null`, `1`, `true`, `["v"]`, `{"key":"v"}`, `"\ud83d"`, `"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\ud83d"`, `"\ude00\ud83d"`, "\"\xff\"", "\"\xed\xa0\x80\"",
		`"` + strings.Repeat("x", maxHeader+1) + `"`, `"` + strings.Repeat(`\u0041`, maxHeader+1) + `"`,
	} {
		f(`{"key":`+value+`}`, "", ErrMalformed)
	}
	for _, body := range []string{``, ` `, `[]`, `"key"`, `1`, `null`, "\xef\xbb\xbf{}", `x`} {
		f(body, "", errNotObject)
	}
	for _, body := range []string{
		`{`, `{"`, `{"key`, `{"key"`, `{"key":`, `{"key":"`, `{"key":"v`, `{"key":"v"`, `{"key":"v",`, `{"key":"v",}`, `{"key":"v"}}`, `{"key":"v"}x`, `{,}`, `{key:"v"}`,
		`{"key" "v"}`, `{"key":"v" "b":1}`, `{"key":"v";"b":1}`, `{"a":[}`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"a":[1}`, `{"a":{]}`, `{"a":`, `{"a":[`, `{"a":[1,`,
		`{"a":01}`, `{"a":-}`, `{"a":+1}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":1e+}`, `{"a":1e+-1}`, `{"a":0x1}`, `{"a":NaN}`, `{"a":tru}`, `{"a":nul`, `{"a":falsE}`,
		`{"a":"\x"}`, `{"a":"\`, `{"a":"\u"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\u123`, "{\"a\":\"\n\"}", "{\"a\":\"\x1f\"}", `{'a':1}`, `{1:1}`, "{\"a\"\v:1}",
	} {
		f(body, "", errNotJSON)
	}
	f(`{"a":`+strings.Repeat("[", maxDepth-1)+strings.Repeat("]", maxDepth-1)+`,"key":"v"}`, "v", nil)
	f(`{"a":`+strings.Repeat(`{"a":`, maxDepth-1)+`1`+strings.Repeat("}", maxDepth), "", ErrMissing)
	f(`{"a":`+strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth)+`}`, "", errDeep)
	f(`{"a":`+strings.Repeat(`{"a":`, maxDepth)+`1`+strings.Repeat("}", maxDepth+1), "", errDeep)
	f(strings.Repeat(`{"a":`, 1<<20), "", errDeep)
}

func TestScanRefusesSecondSpellings(t *testing.T) {
	f := func(body, wantErr string) {
		t.Helper()
		if _, err := scan([]byte(body), "key", "other"); err == nil || err.Error() != wantErr {
			t.Errorf("%s: %v, want %q", body, err, wantErr)
		}
	}
	for _, again := range []string{`key`, `KEY`, `Key`, `k\u0065y`, `\u006bey`, `\u004BEY`, "\u212aey", `\u212aEy`, `\u212A\u0045\u0059`} {
		f(`{"key":"v","`+again+`":"v"}`, "key is duplicated in the body")
		f(`{"key":null,"a":{"key":1},"`+again+`":[]}`, "key is duplicated in the body")
	}
	f(`{"other":"v","key":"v","OTHER":"v"}`, "other is duplicated in the body")
	f(`{"Key":"v","key":"v"}`, "key is capitalised otherwise in the body")
	f(`{"KEY":"v"}`, "key is capitalised otherwise in the body")
	f("{\"\u212aey\":\"v\"}", "key is capitalised otherwise in the body")
}

// TestScanIsLinear gives the scanner 2 MiB of each shape that a careless one would walk again and
// again; it would not end.
func TestScanIsLinear(t *testing.T) {
	const size = 2 << 20
	fill := func(part string) string { return strings.Repeat(part, size/len(part)) }
	f := func(name, body string, wantOK bool) {
		t.Helper()
		if _, err := scan([]byte(body), "signature", "timestamp"); (err == nil) != wantOK {
			t.Errorf("%s: %v, want ok = %v", name, err, wantOK)
		}
	}
	f("members", `{`+fill(`"signatur":1,`)+`"a":1}`, true)
	f("escaped names", `{`+fill(`"\u0073ignatur":"\\",`)+`"a":1}`, true)
	f("one long name", `{"`+fill(`\u0073`)+`":1}`, true)
	f("one long value", `{"signature":"`+fill(`\ud83d\ude00`)+`"}`, true)
	f("one long number", `{"a":`+fill(`9`)+`}`, true)
	f("quotes without an end", `{"a":"`+fill(`\"`), false)
	f("brackets", fill(`[`), false)
	f("siblings", `{"a":[`+fill(`[[]],`)+`0]}`, true)
	f("blanks", `{`+fill(" ")+`}`, true)
}

// TestScanAllocations holds the scanner to the same few allocations whatever the body's size.
func TestScanAllocations(t *testing.T) {
	of := func(filler string) float64 {
		body := []byte(`{"a":[` + filler + `0],"signature":"s","timestamp":"t"}`)
		return testing.AllocsPerRun(20, func() {
			s, err := scan(body, "signature", "timestamp")
			if err != nil || !s.found[0].stands() || !s.found[1].stands() {
				t.Fatal(err)
			}
		})
	}
	small, large := of(``), of(strings.Repeat(`{"signature":"\u0073","b":["x"]},`, 10_000))
	if small != large || small > 8 {
		t.Errorf("%v allocations for a small body, %v for a large one, want the same and at most 8", small, large)
	}
	keys := []byte(`{` + strings.Repeat(`"signatur\u0065x":1,"`+strings.Repeat("k", 300)+`":2,`, 10_000) + `"a":1}`)
	if got := testing.AllocsPerRun(5, func() { _, _ = scan(keys, "signature", "timestamp") }); got != small {
		t.Errorf("%v allocations for many names, want %v", got, small)
	}
}

func TestSetMember(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		in := []byte(body)
		got, err := setMember(in, "key", `a"<é`)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v; want %s", body, got, err, want)
		}
		if string(in) != body {
			t.Errorf("%s: the argument was changed to %s", body, in)
		}
	}
	const value = `"a\"\u003cé"`
	f(`{}`, `{"key":`+value+`}`)
	f(" { \n} ", ` {"key":`+value+" \n} ")
	f(`{"a":1}`, `{"a":1,"key":`+value+`}`)
	f("{\n  \"a\": [{\"key\":1}]\n}\n", "{\n  \"a\": [{\"key\":1}],\"key\":"+value+"\n}\n")
	f(`{"key":"old","b":2.50}`, `{"key":`+value+`,"b":2.50}`)
	f(`{"a":1, "key" : {"key":[]} ,"b":2}`, `{"a":1, "key" : `+value+` ,"b":2}`)
	f(`{"k\u0065y":null}`, `{"k\u0065y":`+value+`}`)
	f(`{"Key":1}`, "")
	f(`{"key":1,"key":1}`, "")
	f(`[]`, "")
	f(`{"a":1`, "")
	f(``, "")
}

func TestCheckMember(t *testing.T) {
	f := func(name string, wantOK bool) {
		t.Helper()
		if err := checkMember(name); (err == nil) != wantOK {
			t.Errorf("checkMember(%q) = %v, want ok = %v", name, err, wantOK)
		}
	}
	f("signature", true)
	f("x-sig_1.a b", true)
	f(strings.Repeat("x", maxMember), true)
	f(strings.Repeat("x", maxMember+1), false)
	for _, name := range []string{"", `"`, `\`, "\n", "é", "\x7f", "<"} {
		f(name, false)
	}
	long := strings.Repeat("k", maxMember)
	spelled := strings.Repeat(`\u212a`, maxMember)
	if _, err := scan([]byte(`{"`+long+`":1,"`+spelled+`":1}`), long); err == nil {
		t.Error("the longest spelling of the longest name is not recognised")
	}
}

// FuzzScan compares the scanner with encoding/json: what it accepts is valid and says the same;
// what it refuses is invalid or for a reason it names.
func FuzzScan(f *testing.F) {
	for _, v := range loadVectors(f) {
		if v.Provider == "smile_id" || v.Provider == "trulioo" {
			f.Add(v.Body)
		}
	}
	f.Add([]byte(`{"signature":"\ud83d\ude00","\u0054imestamp":[1,-2.5e3,{}],"a":{"b":null}}`))
	f.Add([]byte(`{"signature":"\ud83d","timestamp":"` + "\xff" + `","x":"\u2028"}`))
	names := []string{"signature", "timestamp"}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := scan(body, names...)
		if err == nil != oracle(body, names) {
			t.Fatalf("scan = %v, valid by encoding/json = %v: %q", err, json.Valid(body), body)
		}
		if err != nil {
			return
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(body, &all); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v: %q", err, body)
		}
		for i, name := range names {
			sameValue(t, s, i, all[name])
			sameRest(t, s, i, name)
		}
	})
}

// oracle reports whether the body is an object in which each name stands at most once and in its
// own spelling, and which is not too deep.
func oracle(body []byte, names []string) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if first, err := d.Token(); err != nil || first != json.Delim('{') || !json.Valid(body) {
		return false
	}
	seen, depth, isKey := map[string]bool{}, 1, true
	for {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if delim, ok := token.(json.Delim); ok {
			if delim == '{' || delim == '[' {
				depth++
			} else {
				depth--
			}
			if depth > maxDepth {
				return false
			}
			isKey = depth == 1
			continue
		}
		if depth > 1 {
			continue
		}
		if isKey {
			for _, name := range names {
				key, _ := token.(string)
				if !strings.EqualFold(key, name) {
					continue
				}
				if key != name || seen[name] {
					return false
				}
				seen[name] = true
			}
		}
		isKey = !isKey
	}
}

// sameValue wants the text that encoding/json reads, or a refusal of what it would have to replace.
func sameValue(t *testing.T, s *scanner, i int, raw json.RawMessage) {
	t.Helper()
	got, err := s.text(i)
	if (raw != nil) != s.found[i].stands() || raw != nil && string(raw) != string(s.body[s.found[i].from:s.found[i].to]) {
		t.Fatalf("found %v, encoding/json %q", s.found[i], raw)
	}
	var want *string
	ok := raw != nil && json.Unmarshal(raw, &want) == nil && want != nil && *want != "" && len(*want) <= maxHeader && len(raw) <= maxEscape*maxHeader
	if ok && strings.ContainsRune(*want, utf8.RuneError) && err != nil {
		return // a replacement, which is refused; one that was sent is not
	}
	if ok != (err == nil) || ok && got != *want {
		t.Fatalf("text = %q, %v; encoding/json reads %q", got, err, raw)
	}
}

// sameRest sets a member and wants everything else to stay.
func sameRest(t *testing.T, s *scanner, i int, name string) {
	t.Helper()
	const value = "a+/=\"\\\x01é"
	out, err := setMember(s.body, name, value)
	if err != nil {
		t.Fatalf("set %s: %v", name, err)
	}
	after, err := scan(out, name)
	if err != nil {
		t.Fatalf("set %s made %q: %v", name, out, err)
	}
	if got, err := after.text(0); err != nil || got != value {
		t.Fatalf("set %s and read %q, %v", name, got, err)
	}
	head, tail := s.body[:s.end], s.body[s.end:]
	if m := s.found[i]; m.stands() {
		head, tail = s.body[:m.from], s.body[m.to:]
	}
	if !strings.HasPrefix(string(out), string(head)) || !strings.HasSuffix(string(out), string(tail)) {
		t.Fatalf("set %s changed more than its value: %q, was %q", name, out, s.body)
	}
}
