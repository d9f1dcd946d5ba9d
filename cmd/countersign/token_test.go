package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOperatorToken: a token is whole or refused with its path and the remedy, at the start and by
// the command line, and never replaced.
func TestOperatorToken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, tokenFile)
	var said bytes.Buffer
	made, err := operatorToken(dir, &said)
	if err != nil || !strings.Contains(said.String(), path) || strings.Contains(said.String(), made) {
		t.Fatalf("%v, said %q", err, said.String())
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	f := func(text string, ok bool) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := operatorToken(dir, &said)
		if ok && (err != nil || got != strings.TrimSpace(text)) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if !ok && (err == nil || got != "" || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove the file")) {
			t.Errorf("%q is taken as %q, or refused without path and remedy: %v", text, got, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%q was replaced: %v", text, err)
		}
	}
	f(made+"\n", true)
	f(made, true)
	f(made+"\r\n", true)
	for n := range made { // cut off, "cs_" alone, and empty
		f(made[:n], false)
		f(made[:n]+"\n", false)
	}
	for i := range made {
		for bit := range 8 {
			b := []byte(made)
			b[i] ^= 1 << bit
			if f(string(b), false); t.Failed() {
				return
			}
		}
	}
	f(made+"0", false)
	f(made+"\n"+made+"\n", false)
	f(made[:len(made)-8], false) // as earlier versions made it
	f("an operator's own token of thirty", false)
	f("own-token-of-thirty-two-letters", false)
	f("own-token-of-thirty-two-letters!", true)
	f(strings.Repeat("ü", 32), false)
	f(strings.Repeat("\x00", 64), false)
}
