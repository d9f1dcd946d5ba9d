package signing

import (
	"bytes"
	"testing"
)

// TestDigestSuffixDoesNotAllocate: like BodyHMAC it costs what the header costs.
func TestDigestSuffixDoesNotAllocate(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1500)
	for _, plain := range []bool{true, false} {
		s := DigestSuffix{Header: "x-sig", Plain: plain}
		keys := Keyring{mustKey(t, secretA), mustKey(t, secretB)}
		var h Header = lower(mustSign(t, s, Message{Body: body}, keys))
		got := testing.AllocsPerRun(200, func() {
			if err := s.Verify(h, body, keys, now); err != nil {
				t.Fatal(err)
			}
		})
		if got > 0 && !raceEnabled {
			t.Errorf("plain %v: %v allocations per call", plain, got)
		}
	}
}
