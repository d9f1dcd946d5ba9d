package kyc

import (
	"strings"
	"testing"
)

func TestIDProblem(t *testing.T) {
	f := func(id, want string) {
		t.Helper()
		if got := IDProblem(id); got != want {
			t.Errorf("IDProblem(%q) = %q, want %q", id, got, want)
		}
	}
	for _, id := range []string{"a", ".", "..", "a/b", "%01", "ann\\x01t", "Zoë", "王", "a b", "a\u200db", "\U0001f600", strings.Repeat("x", MaxID)} {
		f(id, "")
	}
	f("", "is missing")
	f(strings.Repeat("x", MaxID+1), "is longer than 256 bytes")
	f(strings.Repeat("é", MaxID/2)+"x", "is longer than 256 bytes")
	for _, id := range []string{"ann\x01t", "\x00", "a\nb", "a\rb", "a\tb", "a\x1b[2J", "a\x7f", "a\u0085", "\xff", "a\xc3", "a\ufffd", "\xed\xa0\x80"} {
		f(id, "has characters that are no text")
	}
}
