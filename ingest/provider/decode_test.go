package provider

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// twiceBody stands for what an adapter reads: keys by name, every key of an object, a list, a value
// whose form is not known before, and an object of a customer's.
type twiceBody struct {
	Status string `json:"status"`
	Inner  struct {
		ID ident `json:"id"`
	} `json:"inner"`
	List []struct {
		ID ident `json:"id"`
	} `json:"list"`
	Every map[string]struct {
		ID ident `json:"id"`
	} `json:"every"`
	Raw  raw[twiceTree] `json:"raw"`
	Meta object         `json:"meta"`
	Old  string         `json:"Meta"` // a key that differs from another in case only
}

type twiceTree map[string]raw[twiceTree]

func TestKeysTwice(t *testing.T) {
	f := func(body string, want bool) {
		t.Helper()
		var b twiceBody
		err := decode([]byte(body), &b)
		if got := err != nil; got != want || got && err.Error() != ErrUnreadable.Error()+": body names a key twice" {
			t.Errorf("%s: %v, want refused %v", body, err, want)
		}
	}
	f(`{}`, false)
	f(`{"status":"1","other":1}`, false)
	f(`{"status":"1","status":"1"}`, true)
	f(`{"status":"1","Status":"1"}`, true)
	f(`{"STATUS":"1","status":"1"}`, true)
	f(`{"status":"1","\u017ftatus":1}`, true) // ſ is an s to whoever ignores case
	f(`{"\u0073tatus":"1","status":"1"}`, true)
	f(`{"STATUS":1,"Status":2}`, false) // neither is the key
	f(`{"Status":1}`, false)
	f(`{"other":1,"other":2,"Other":3}`, false)
	f(`{"other":{"status":1,"status":2,"id":{"id":1,"id":2}}}`, false)
	f(`{"other":[{"status":1,"status":2}],"status":"1"}`, false)
	f(`{"status":"{\"status\":1,\"status\":2}"}`, false)
	f(`{"inner":{"id":1},"list":[{"id":1},{"id":1}]}`, false)
	f(`{"inner":{"id":1,"id":1}}`, true)
	f(`{"inner":{"id":1,"x":1,"x":2}}`, false)
	f(`{"inner" : {"id" : 1 , "ID" : 1}}`, true)
	f(`{"list":[{"id":1},{"id":1,"Id":1}]}`, true)
	f(`{"list":[{"id":1,"status":1,"status":1},{"id":1}]}`, false)
	f(`{"every":{"a":{"id":1},"b":{"id":1}}}`, false)
	f(`{"every":{"a":{},"a":{}}}`, true)
	f(`{"every":{"a":{},"A":{}}}`, true)
	f(`{"every":{"a":{"id":1,"id":2}}}`, true)
	f(`{"every":{"a":{"x":1,"x":2}}}`, false)
	f(`{"raw":{"a":{"b":{"c":1,"d":1}}}}`, false)
	f(`{"raw":{"a":{"b":{"c":1,"c":1}}}}`, true)
	f(`{"raw":[{"a":1,"a":1}]}`, true)
	f(`{"raw":"a","raw":"b"}`, true)
	f(`{"meta":{"id":1,"ID":2,"id":3}}`, false) // which of its members counts, only the source's options say: TestChosen
	f(`{"meta":{},"inner":{"x":{"y":[{},[],"}"]}},"status":"1","meta":{}}`, true)
	f(`{"meta":{},"Meta":"1"}`, true)
	f(`{"Meta":"1","meta":{}}`, true)
	f(`{"Meta":"1","META":"1"}`, true)
	f(`{"META":"1","meta":{}}`, true)
	f(`{"META":"1","MeTA":"1"}`, false)
	f(`{"inner":{"x":"\\","y":"\""},"status":"1","STATUS":"1"}`, true)
	f(`{"x":[1,-2.5e3,true,false,null,[[]],{"a":{}}],"status":"1"}`, false)
}

func TestManyKeys(t *testing.T) {
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, `"k%d":{},`, i)
	}
	f := func(more string, want bool) {
		t.Helper()
		var b twiceBody
		if err := decode([]byte(`{"every":{`+many.String()+more+`}}`), &b); (err != nil) != want {
			t.Errorf("%s: %v, want refused %v", more, err, want)
		}
	}
	f(`"x":{}`, false)
	f(`"K3":{}`, true)
	f(`"k999":{}`, true)
}

// TestCase: a key in another case than documented is another key.
func TestCase(t *testing.T) {
	var b twiceBody
	if err := decode([]byte(`{"Status":"no","STATUS":7,"Inner":{"id":1},"list":[{"ID":"no"},{"id":"yes"}]}`), &b); err != nil {
		t.Fatal(err)
	}
	if b.Status != "" || b.Inner.ID != "" || len(b.List) != 2 || b.List[0].ID != "" || b.List[1].ID != "yes" {
		t.Errorf("%+v", b)
	}
}

func TestIdent(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		var b struct {
			ID ident `json:"id"`
		}
		err := decode([]byte(`{"id":`+text+`}`), &b)
		if want == "error" && (err == nil || err.Error() != ErrUnreadable.Error()+": id has an unexpected type") {
			t.Errorf("%s = %q, %v; want an error", text, b.ID, err)
		}
		if want != "error" && (err != nil || string(b.ID) != want) {
			t.Errorf("%s = %q, %v; want %q", text, b.ID, err, want)
		}
	}
	f(`"user-1"`, "user-1")
	f(`"\u00e5se \"7\""`, `åse "7"`)
	f(`""`, "")
	f(`null`, "")
	f(`7`, "7")
	f(`0`, "0")
	f(`12345678901234567890123456789`, "12345678901234567890123456789") // more than any number of a machine
	f(`"007"`, "007")
	f(`-7`, "-7")
	f(`7.0`, "error")
	f(`7e3`, "error")
	f(`7E3`, "error")
	f(`true`, "error")
	f(`[7]`, "error")
	f(`{"id":7}`, "error")
}

func TestChosen(t *testing.T) {
	f := func(text, want string, names ...string) {
		t.Helper()
		var fs fields
		got := fs.chosen("metadata", object{jsontext.Value(text)}, names...)
		switch {
		case fs.err == nil && got != want:
			t.Errorf("%s%v = %q, want %q", text, names, got, want)
		case fs.err != nil && fs.err.Error() != ErrUnreadable.Error()+": metadata "+want:
			t.Errorf("%s%v: %v, want %s", text, names, fs.err, want)
		}
	}
	f(`{"id":"u"}`, "u", "id")
	f(`{"id":7}`, "7", "id")
	f(`{"a/b":{"~":{"id":"u"}}}`, "u", "a/b", "~", "id")
	f(`{"ID":"u"}`, "", "id")
	f(`{"id":null}`, "", "id")
	f(`{}`, "", "id")
	f(`[]`, "", "id")
	f(`"id"`, "", "id")
	f(``, "", "id")
	f(`{"a":7}`, "", "a", "id")
	f(`{"id":"u","x":1,"x":2,"X":3}`, "u", "id")
	f(`{"id":"u","id":"v"}`, "names a key twice", "id")
	f(`{"id":"u","Id":"v"}`, "names a key twice", "id")
	f(`{"a":{"id":"u"},"A":{"id":"v"}}`, "names a key twice", "a", "id")
	f(`{"a":{"id":"u","ID":"v"}}`, "names a key twice", "a", "id")
	f(`{"id":true}`, "has an unexpected type", "id")
	f(`{"id":7.5}`, "has an unexpected type", "id")
	f(`{"id":{}}`, "has an unexpected type", "id")
	f(`{"id":"a\u0007"}`, "holds a control character", "id")
}

// TestField: a complaint names our own words, never one of the body's.
func TestField(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		var b struct {
			twiceBody

			Words map[string]string `json:"words"`
			Text  veriffText        `json:"text"`
			Flag  *bool             `json:"flag"`
		}
		if err := decode([]byte(body), &b); err == nil || err.Error() != ErrUnreadable.Error()+": "+want+" has an unexpected type" {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	f(`{"status":7}`, "status")
	f(`{"inner":{"id":[]}}`, "inner.id")
	f(`{"list":[{"id":1},{"id":false}]}`, "list.id")
	f(`{"list":{}}`, "list")
	f(`{"every":{"Anna":{"id":false}}}`, "every")
	f(`{"every":{"7":{"id":false}}}`, "every")
	f(`{"words":{"Anna":7}}`, "words")
	f(`{"text":{"value":7}}`, "text.value")
	f(`{"text":true}`, "text")
	f(`{"flag":"Anna"}`, "flag")
	f(`[{"status":"Anna"}]`, "body")
}

func TestDecodeRefusals(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		var v struct {
			A string `json:"a"`
		}
		if err := decode([]byte(body), &v); !errors.Is(err, ErrUnreadable) || err.Error() != ErrUnreadable.Error()+": "+want {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
	f("", "body is not one json document")
	f(" ", "body is not one json document")
	f("{", "body is not one json document")
	f("{}{}", "body is not one json document")
	f("{} x", "body is not one json document")
	f("{}\xef\xbb\xbf", "body is not one json document")
	f("\xef\xbb\xbf", "body is not one json document")
	f("\xef\xbb\xbf\xef\xbb\xbf{}", "body is not one json document")
	f(`{"a":7`, "body is not one json document")
	f(`{"a":7} x`, "body is not one json document")
	f(`{"b":01}`, "body is not one json document")
	f(`{"b":"\x01"}`, "body is not one json document")
	f("null", "body is not a json object")
	f("[]", "body has an unexpected type")
	f("7", "body has an unexpected type")
	f(`{"a":7}`, "a has an unexpected type")
	f("{\"a\":\"\xff\"}", "body is not utf-8")
	f("{\"b\":\"\xff\"}", "body is not utf-8")
	f("{\"\xc3\":1}", "body is not utf-8")
	f(`{"a":"","a":""}`, "body names a key twice")
	f(strings.Repeat(`{"a":`, 20000)+`1`+strings.Repeat(`}`, 20000), "body is not one json document") // deeper than anyone nests
}

// TestDecodeReads: what is no reason to refuse a body.
func TestDecodeReads(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		var v struct {
			A string `json:"a"`
		}
		if err := decode([]byte(body), &v); err != nil || v.A != want {
			t.Errorf("%q = %q, %v; want %q", body, v.A, err, want)
		}
	}
	f(" \t\r\n{} ", "")
	f("\xef\xbb\xbf{\"a\":\"x\"}", "x")
	f("\xef\xbb\xbf \n{\"a\":\"x\"}", "x")
	f(`{"a":null}`, "")
	f(`{"a":"x","b":"\ud83d"}`, "x") // cut in the middle of a character, elsewhere
	f(`{"a":"\ud83d"}`, "\ufffd")
	f(`{"b":1e999,"a":"x"}`, "x")
	f(`{"a":"x","b":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`}`, "x")
}

func TestTimes(t *testing.T) {
	f := func(text string, unit time.Duration, want string) {
		t.Helper()
		var fs fields
		got := fs.time("at", text, unit, "2006-01-02 15:04:05", "2006-01-02 15:04:05Z0700", time.RFC3339)
		switch {
		case want == "error" && fs.err == nil:
			t.Errorf("%q = %v, want an error", text, got)
		case want == "" && (!got.IsZero() || fs.err != nil):
			t.Errorf("%q = %v, %v; want none", text, got, fs.err)
		case want != "" && want != "error" && got.Format(time.RFC3339Nano) != want:
			t.Errorf("%q = %v, want %s", text, got.Format(time.RFC3339Nano), want)
		}
	}
	f("2026-03-14 09:04:12.550", time.Millisecond, "2026-03-14T09:04:12.55Z")
	f("2026-03-14 09:04:12+0000", time.Millisecond, "2026-03-14T09:04:12Z")
	f("2026-03-14 09:04:12+0200", time.Millisecond, "2026-03-14T07:04:12Z")
	f("2026-03-14T09:04:12.123456Z", time.Millisecond, "2026-03-14T09:04:12.123Z")
	f("2026-03-14T09:04:12.999999+01:00", time.Second, "2026-03-14T08:04:12Z")
	f("", time.Second, "")
	f("[redacted]", time.Second, "")
	f("1773478920", time.Second, "error")
	f("2026-02-30T00:00:00Z", time.Second, "error")
	f("0001-01-01T00:00:00Z", time.Second, "error") // what an empty time looks like in Go
	f("1970-01-01T00:00:00Z", time.Second, "error")
	f("9999-12-31T23:59:59Z", time.Second, "error")
}

func TestIDs(t *testing.T) {
	f := func(id, want string, wantErr bool) {
		t.Helper()
		var fs fields
		if got := fs.id("ref", ident(id)); got != want || (fs.err != nil) != wantErr {
			t.Errorf("id(%q) = %q, %v", id, got, fs.err)
		}
	}
	f("user-1", "user-1", false)
	f("Åse 7", "Åse 7", false)
	f("", "", false)
	f("  ", "", false)
	f("[redacted]", "", false)
	f("null", "", false)
	f("undefined", "", false) // what a program writes that had no id
	f("[object Object]", "", false)
	f("00000000-0000-0000-0000-000000000000", "", false)
	f("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001", false)
	f("Null", "Null", false)
	f("0", "0", false)
	f(strings.Repeat("x", 255), strings.Repeat("x", 255), false)
	f(strings.Repeat("x", 256), "", true)
	f("a\x00b", "", true)
	f("a\u0085b", "", true)
	f("a\ufffdb", "", true)
}

func TestClock(t *testing.T) {
	f := func(v ident, want string) {
		t.Helper()
		var fs fields
		got := fs.clock("at", v, time.RFC3339)
		switch {
		case want == "error" && fs.err == nil:
			t.Errorf("%q = %v, want an error", v, got)
		case want == "" && (!got.IsZero() || fs.err != nil):
			t.Errorf("%q = %v, %v; want none", v, got, fs.err)
		case want != "" && want != "error" && got.Format(time.RFC3339Nano) != want:
			t.Errorf("%q = %v, %v, want %s", v, got.Format(time.RFC3339Nano), fs.err, want)
		}
	}
	f("2026-03-14T09:25:00.829Z", "2026-03-14T09:25:00.829Z")
	f("1773480300", "2026-03-14T09:25:00Z")
	f("1773480300829", "2026-03-14T09:25:00.829Z")
	f("", "")
	f("0", "error")
	f("-1773480300", "error")
	f("1773480300.5", "error")
	f("17734803008290", "error")
	f("99999999999999999999", "error")
}

func TestMarked(t *testing.T) {
	yes, no := new(true), new(false)
	f := func(want *bool, live ...*bool) {
		t.Helper()
		if got := marked(live...); asJSON(t, got) != asJSON(t, want) {
			t.Errorf("%s: %s, want %s", asJSON(t, live), asJSON(t, got), asJSON(t, want))
		}
	}
	f(nil)
	f(nil, nil, nil)
	f(yes, nil, yes)
	f(no, yes, no)
	f(no, no, yes, nil)
	f(yes, mode("Production"))
	f(no, mode("SANDBOX"), mode("live"))
	f(nil, mode("staging"), mode(""))
}
