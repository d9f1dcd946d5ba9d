package provider

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestNamesKeyTwice(t *testing.T) {
	f := func(body string, want bool) {
		t.Helper()
		if got := namesKeyTwice([]byte(body)); got != want {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
	f(`{}`, false)
	f(`{"a":1,"b":1}`, false)
	f(`{"a":1,"a":1}`, true)
	f(`{"a":1,"A":1}`, true) // encoding/json takes either for a field called a
	f(`{"status":1,"\u017ftatus":1}`, true)
	f(`{"a":{"a":1},"b":{"a":1}}`, false)
	f(`{"a":[{"a":1},{"a":1}]}`, false)
	f(`{"a":[{"b":1,"c":{},"b" : 1}]}`, true)
	f(`{"a":"b","b":"a"}`, false)
	f(`{"a":"a\":","b":"a"}`, false)
	f(`{"a\"":1,"a\u0022":1}`, true)
	f(`["a","a"]`, false)
	f(`{"a":{"b":1,"c":1},"d":1,"b":1,"c":1,"a":1}`, true) // the outer keys survive the inner object
	f(`{"a":{"b":1,"c":1},"d":1,"b":1,"c":1}`, false)
	var many strings.Builder
	for i := range 2 * fewKeys {
		fmt.Fprintf(&many, `"k%d":0,`, i)
	}
	f(`{`+many.String()+`"x":0}`, false)
	f(`{`+many.String()+`"K3":0}`, true)
	f(`{`+many.String()+`"K95":0}`, true)
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
	f("\xef\xbb\xbf{}", "body is not one json document")
	f("null", "body is not a json object")
	f("[]", "body has an unexpected type")
	f("7", "body has an unexpected type")
	f(`{"a":7}`, "a has an unexpected type")
	f("{\"a\":\"\xff\"}", "body is not utf-8")
	f(`{"a":"","a":""}`, "body names a key twice")
	f(strings.Repeat(`{"a":`, 20000)+`1`+strings.Repeat(`}`, 20000), "body is not one json document") // deeper than anyone nests
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
		if got := fs.id("ref", id); got != want || (fs.err != nil) != wantErr {
			t.Errorf("id(%q) = %q, %v", id, got, fs.err)
		}
	}
	f("user-1", "user-1", false)
	f("Åse 7", "Åse 7", false)
	f("", "", false)
	f("  ", "", false)
	f("[redacted]", "", false)
	f(strings.Repeat("x", 255), strings.Repeat("x", 255), false)
	f(strings.Repeat("x", 256), "", true)
	f("a\x00b", "", true)
	f("a\u0085b", "", true)
	f("a\ufffdb", "", true)
}
