package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
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

// A key file that is not what was written is refused by name and left as it is: every flipped bit,
// every cut, and the layout of earlier versions.
func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	mustSealer(t, dir)
	path := filepath.Join(dir, keyFile)
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 || fi.Size() != 1+keyBytes+4 {
		t.Fatalf("the key file: %v, %v", fi, err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, b []byte, want string) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenSealer(dir)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", what, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, b) {
			t.Errorf("%s: it was replaced: %v", what, err)
		}
	}
	for i := range 8 * len(good) {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		f("a flipped bit", b, "damaged")
	}
	for n := range good {
		want := "damaged"
		if n == keyBytes {
			want = "without a checksum"
		}
		f("cut off", good[:n], want)
	}
	f("longer", append(bytes.Clone(good), 0), "damaged")
	later := bytes.Clone(good[:1+keyBytes])
	later[0] = keyVersion + 1
	f("of a later version", binary.BigEndian.AppendUint32(later, crc32.Checksum(later, castagnoli)), "version 2")
	f("whole", good, "")
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
