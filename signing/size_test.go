package signing

import "testing"

func TestSecretSize(t *testing.T) {
	f := func(s Scheme, key string, want int) {
		t.Helper()
		k, err := ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if got := SecretSize(s, k); got != want {
			t.Errorf("%T: %d, want %d", s, got, want)
		}
	}
	f(Static{Scheme: Basic}, "user:1234", 4)
	f(Static{Scheme: Basic}, "user:12:34", 5)
	f(Static{Scheme: Bearer}, "user:1234", 9)
	f(Static{}, "12345678", 8)
	f(BodyProof{}, "partner:123456", 6)
	f(Timestamped{}, "a:b", 3)
	if n := SecretSize(Static{}, Key{}); n != 0 {
		t.Errorf("no key has %d", n)
	}
}
