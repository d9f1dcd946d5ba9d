package store

import (
	"bytes"
	"fmt"
	"testing"
)

// A bucket that is so small that it stands inside the root is no other kind of page, whatever one
// bit says: bbolt would go down in it for ever.
func TestInlineBuckets(t *testing.T) {
	whole, ledger := sample(t)
	found := 0
	for _, n := range Names() {
		at := bytes.LastIndex(whole, append([]byte(n.String()), make([]byte, 24)...)) // no page of its own, no sequence, and the page inside has no number
		if at < 0 {
			continue
		}
		found++
		for bit := range 16 {
			bad := append([]byte(nil), whole...)
			bad[at+len(n.String())+24+bit/8] ^= 1 << (bit % 8)
			if got := tryCorrupt(t, fmt.Sprintf("bit %d of the kind of page in %s", bit, n), bad, ledger); got != "mended" {
				t.Errorf("%s, bit %d: %s", n, bit, got)
			}
		}
	}
	if found == 0 {
		t.Error("no bucket stands inside the root")
	}
}
