package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustSealer(t *testing.T, dir string) *Sealer {
	t.Helper()
	s, err := OpenSealer(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustSealer(t, dir)
	other := mustSealer(t, t.TempDir())
	f := func(name, plain string) {
		t.Helper()
		sealed, err := s.Seal(name, []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if plain != "" && bytes.Contains(sealed, []byte(plain)) {
			t.Errorf("the sealed bytes show %q", plain)
		}
		if again, _ := s.Seal(name, []byte(plain)); bytes.Equal(again, sealed) {
			t.Error("sealing twice gave the same bytes: the nonce is not fresh")
		}
		for _, opener := range []*Sealer{s, mustSealer(t, dir)} { // the second has read the key file
			if got, err := opener.Unseal(name, sealed); err != nil || string(got) != plain {
				t.Errorf("Unseal = %q, %v; want %q", got, err, plain)
			}
		}
		refused := func(why string, s *Sealer, name string, sealed []byte) {
			t.Helper()
			if got, err := s.Unseal(name, sealed); !errors.Is(err, ErrBadRecord) || got != nil {
				t.Errorf("%s: Unseal = %q, %v; want ErrBadRecord", why, got, err)
			}
		}
		refused("another name", s, name+"x", sealed)
		refused("another key file", other, name, sealed)
		for i := range sealed {
			sealed[i] ^= 1
			refused("a flipped bit", s, name, sealed)
			sealed[i] ^= 1
			refused("cut off", s, name, sealed[:i])
		}
	}
	f("quarantine/1", "the body of a callback")
	f("quarantine/2", "")
	f("", "no name")
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	mustSealer(t, dir)
	path := filepath.Join(dir, keyFile)
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 || fi.Size() != keyBytes {
		t.Fatalf("the key file: %v, %v", fi, err)
	}
	f := func(n int) {
		t.Helper()
		if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenSealer(dir)
		if ok := n == keyBytes; ok != (err == nil) || !ok && !strings.Contains(err.Error(), path) {
			t.Errorf("a key file of %d bytes: %v", n, err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Size() != int64(n) {
			t.Errorf("a key file of %d bytes was replaced: %v, %v", n, fi, err)
		}
	}
	f(0)
	f(keyBytes - 1)
	f(keyBytes + 1)
	f(keyBytes)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSealer(dir); err == nil {
		t.Error("a directory was taken for a key file")
	}
}
