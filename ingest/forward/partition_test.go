package forward

import "testing"

// TestPartitionOf: the hash is Java's, by the vectors of Kafka's own UtilsTest, and so is what is
// made of it.
func TestPartitionOf(t *testing.T) {
	f := func(key string, hash int32) {
		t.Helper()
		if got := int32(murmur2([]byte(key))); got != hash {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, hash)
		}
		for _, n := range []int{1, 7, 12, 100} {
			if got, want := PartitionOf([]byte(key), n), (hash&0x7fffffff)%int32(n); got != want {
				t.Errorf("PartitionOf(%q, %d) = %d, want %d", key, n, got, want)
			}
		}
	}
	f("21", -973932308)
	f("foobar", -790332482)
	f("a-little-bit-long-string", -985981536)
	f("a-little-bit-longer-string", -1486304829)
	f("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)
	f("abc", 479470107)
	key := []byte("acme/user-0001")
	if n := testing.AllocsPerRun(100, func() { PartitionOf(key, 12) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if p := PartitionOf(nil, 12); p < 0 || p > 11 {
		t.Errorf("a record without a key goes to %d", p)
	}
}
