package store

import "testing"

// TestDigest: the same parts give the same digest, also after a restart; other parts, another name
// or another key file give another, and no part can pass for a part of another.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	seen := map[[32]byte]string{}
	f := func(what string, s *Sealer, name string, parts ...string) {
		t.Helper()
		d, err := s.Digest(name, parts...)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := mustSealer(t, dir).Digest(name, parts...)
		if other, taken := seen[d]; taken || what != "another key file" && again != d {
			t.Errorf("%s: as %s, and again %x", what, other, again)
		}
		seen[d] = what
	}
	s := mustSealer(t, dir)
	f("two parts", s, "person", "acme", "ann")
	f("cut elsewhere", s, "person", "acmea", "nn")
	f("one part", s, "person", "acmeann")
	f("a part more", s, "person", "acme", "ann", "")
	f("another name", s, "ref", "acme", "ann")
	f("another key file", mustSealer(t, t.TempDir()), "person", "acme", "ann")
}
