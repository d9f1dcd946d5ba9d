package store

import (
	"bytes"
	"errors"
	"testing"
)

// whole is a record as it stands in the file.
func whole(n Name, key string, body ...[]byte) []byte {
	r := NewRecord(body...)
	finish(n, []byte(key), r)
	return r
}

// One bit of a record, of its key or of its bucket's number, and it is another's, or nobody's.
func TestRecord(t *testing.T) {
	f := func(n Name, key string, parts ...string) {
		t.Helper()
		var raw [][]byte
		var want []byte
		for _, p := range parts {
			raw, want = append(raw, []byte(p)), append(want, p...)
		}
		b := whole(n, key, raw...)
		body, err := unwrap(n, []byte(key), b)
		if err != nil || body == nil || !bytes.Equal(body, want) || !bytes.Equal(RecordBody(b), want) {
			t.Fatalf("unwrap = %q, %v; want %q", body, err, want)
		}
		bad := func(what string, n Name, key, b []byte) {
			t.Helper()
			if _, err := unwrap(n, key, b); !errors.Is(err, ErrBadRecord) {
				t.Errorf("%s of %q is not noticed: %v", what, key, err)
			}
		}
		for i := range b {
			for bit := range 8 {
				b[i] ^= 1 << bit
				bad("a flipped bit", n, []byte(key), b)
				b[i] ^= 1 << bit
			}
		}
		k := []byte(key)
		for i := range k {
			for bit := range 8 {
				k[i] ^= 1 << bit
				bad("a flipped bit of the key", n, k, b)
				k[i] ^= 1 << bit
			}
		}
		for i := range len(b) {
			bad("a cut", n, k, b[:i])
		}
		bad("another bucket", n+1, k, b)
		bad("a longer key", n, append(bytes.Clone(k), 0), b)
		if len(k) > 0 {
			bad("a byte that moved from the key to the body", n, k[:len(k)-1], whole(n, key, append([][]byte{k[len(k)-1:]}, raw...)...))
		}
	}
	f(Meta, "")
	f(Subjects, "acme/user-001", "")
	f(Refs, "sumsub|act_1", "a")
	f(Orders, "k", "two", "parts")
	f(Journal, "\x00\x00\x00\x01", string(bytes.Repeat([]byte{0}, 300)))
	if _, err := unwrap(Meta, nil, nil); !errors.Is(err, ErrBadRecord) {
		t.Errorf("unwrap of nothing = %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("k"), whole(Journal, "k", []byte("body")))
	f.Add([]byte{}, []byte{recordVersion, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte("k"), []byte{})
	f.Fuzz(func(t *testing.T, key, b []byte) {
		body, err := unwrap(Journal, key, b)
		if err != nil {
			if body != nil {
				t.Errorf("a body beside %v", err)
			}
			return
		}
		if !bytes.Equal(whole(Journal, string(key), body), b) {
			t.Errorf("%x is not what its body is written as", b)
		}
	})
}
