package send

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestText: what a partner answers, as people may read it: never what a terminal obeys, never what
// is not UTF-8, and never more than was asked for.
func TestText(t *testing.T) {
	f := func(contentType, body, want string, wantCut bool) {
		t.Helper()
		c := client(t, Options{})
		a, err := post(t, c, serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte(body))
		}), soon)
		if err != nil || a.Size != int64(len(body)) {
			t.Fatalf("%q: %+v, %v", body, a, err)
		}
		if text, cut := a.Text(32); string(text) != want || cut != wantCut || !utf8.Valid(text) || len(text) > 32 {
			t.Errorf("%q is shown as %q, cut %v; want %q, %v", body, text, cut, want, wantCut)
		}
	}
	f("text/plain", "", "", false)
	f("application/json", `{"ok":true}`, `{"ok":true}`, false)
	f("text/plain", "no\r\nsuch\tname\n", "no\nsuch\tname\n", false)
	f("text/plain", "\x1b[2J\x1b]0;pwned\a", `\x1b[2J\x1b]0;pwned\a`, false)
	f("text/plain", "a\u202eb\u2066c\u200bd", `a\u202eb\u2066c\u200bd`, false)
	f("text/plain", "over\rwritten", `over\rwritten`, false)
	f("text/html; charset=utf-8", "Zürich, 東京 \U0001f642", "Zürich, 東京 \U0001f642", false)
	f("text/html", "caf\xe9 na\xefve", `caf\xe9 na\xefve`, false)
	f("text/html; charset=ISO-8859-1", "caf\xe9 na\xefve\x9b2J", `café naïve\u009b2J`, false)
	f("text/plain", strings.Repeat("x", 40), strings.Repeat("x", 32), true)
	f("text/plain", strings.Repeat("x", 31)+"é", strings.Repeat("x", 31), true)
	f("text/plain", strings.Repeat("\x1b", 20), strings.Repeat(`\x1b`, 8), true)
	f("text/plain", strings.Repeat("x", 100<<10)[:70<<10], strings.Repeat("x", 32), true)
	f("image/png", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "", false)
	f("application/octet-stream", "\xff\xfe\xfd\xfc\xfb\xfa", "", false)
	f("text/html; charset=utf-16", "\xfe\xff\x00<\x00h", "", false)
}

// TestTypeText: a header is somebody else's text too.
func TestTypeText(t *testing.T) {
	f := func(is, want string) {
		t.Helper()
		if got := (&Answer{Type: is}).TypeText(); got != want {
			t.Errorf("%q is shown as %q, want %q", is, got, want)
		}
	}
	f("", "")
	f("text/html; charset=utf-8", "text/html; charset=utf-8")
	f("text/\x1b[31mred\u202e", `text/\x1b[31mred\u202e`)
	f(strings.Repeat("a", 500), strings.Repeat("a", maxType))
}

func FuzzText(f *testing.F) {
	f.Add([]byte("caf\xe9\x1b\u202e"), "text/html; charset=latin1", 7)
	f.Fuzz(func(t *testing.T, body []byte, contentType string, most int) {
		a := Answer{Body: body, Size: int64(len(body)), Type: contentType}
		most = max(0, min(most, 5000))
		text, _ := a.Text(most)
		if len(text) > most || !utf8.Valid(text) {
			t.Errorf("%q", text)
		}
		for _, r := range string(text) + a.TypeText() {
			if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				t.Errorf("%q shows %U", body, r)
			}
		}
	})
}
