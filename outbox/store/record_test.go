package store

import (
	"bytes"
	"errors"
	"testing"
)

func TestRecord(t *testing.T) {
	f := func(keyID byte, parts ...string) {
		t.Helper()
		var raw [][]byte
		var want []byte
		for _, p := range parts {
			raw, want = append(raw, []byte(p)), append(want, p...)
		}
		before := []byte("before")
		b := AppendRecord(before, keyID, raw...)
		if !bytes.HasPrefix(b, before) {
			t.Fatalf("AppendRecord lost what was there: %q", b)
		}
		b = b[len(before):]
		body, id, err := Record(b)
		if err != nil || id != keyID || !bytes.Equal(body, want) {
			t.Fatalf("Record = %q, %d, %v; want %q, %d", body, id, err, want, keyID)
		}
		for i := range b {
			for bit := range 8 {
				b[i] ^= 1 << bit
				if _, _, err := Record(b); !errors.Is(err, ErrBadRecord) {
					t.Errorf("bit %d of byte %d of %d flipped and not noticed: %v", bit, i, len(b), err)
				}
				b[i] ^= 1 << bit
			}
		}
		for n := range b {
			if _, _, err := Record(b[:n]); !errors.Is(err, ErrBadRecord) {
				t.Errorf("cut to %d of %d bytes and not noticed", n, len(b))
			}
		}
	}
	f(0)
	f(0, "")
	f(1, "a")
	f(255, "two", "parts")
	f(7, string(bytes.Repeat([]byte{0}, 300)))
	if _, _, err := Record(nil); !errors.Is(err, ErrBadRecord) {
		t.Errorf("Record(nil) = %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(AppendRecord(nil, 1, []byte("body")))
	f.Add([]byte{recordVersion, 0, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		body, id, err := Record(b)
		if err != nil {
			if body != nil {
				t.Errorf("a body beside %v", err)
			}
			return
		}
		if !bytes.Equal(AppendRecord(nil, id, body), b) {
			t.Errorf("%x is not what its body and key id are written as", b)
		}
	})
}
