package relay

import (
	"bytes"
	"testing"
	"time"

	"countersign/ingest/journal"
)

// TestKeysOfPartitions: what is kept by a record's position is another record's in another
// partition, and says which.
func TestKeysOfPartitions(t *testing.T) {
	one, other := journal.Position{Partition: 0, Offset: 7}, journal.Position{Partition: 3, Offset: 7}
	at := time.UnixMicro(1_800_000_000_000_000)
	for name, key := range map[string]func(journal.Position) []byte{
		"held":      func(p journal.Position) []byte { return heldKey("a|b", p) },
		"place":     placeKey,
		"discarded": discardedKey,
		"given":     givenKey,
		"record":    func(p journal.Position) []byte { return recordKey(at, p) },
		"change":    func(p journal.Position) []byte { return changeKey(at, p, 1) },
		"id":        func(p journal.Position) []byte { return []byte(unroutedID(p)) },
		"told":      func(p journal.Position) []byte { return (&place{at.UnixMicro(), p.Partition, p.Offset, 1}).key() },
	} {
		if bytes.Equal(key(one), key(other)) {
			t.Errorf("%s: one key for two records", name)
		}
	}
	for _, p := range []journal.Position{one, other} {
		if got := placeOf(changeKey(at, p, 9)); got != p {
			t.Errorf("a change of %+v is at %+v", p, got)
		}
		for _, ref := range []string{"", "a|b", "a\x00b\x00"} {
			if is, got, ok := waitsAt(heldKey(ref, p)); got != p || is != ref || !ok {
				t.Errorf("what waits behind %q at %+v is at %q, %+v", ref, p, is, got)
			}
		}
		if _, got, ok := waitsAt(discardedKey(p)); got != p || !ok {
			t.Errorf("a discarded record of %+v is at %+v", p, got)
		}
		if got, ok := unroutedPosition(unroutedID(p)); !ok || got != p {
			t.Errorf("%s leads to %+v, %v", unroutedID(p), got, ok)
		}
	}
	if unroutedID(one) != "unrouted_0000000000000007" {
		t.Errorf("an id of the embedded log is %s", unroutedID(one))
	}
	for _, id := range []string{"unrouted_0_0000000000000007", "unrouted_-1_0000000000000007", "unrouted_100000000_0000000000000007", "unrouted_3_7", "unrouted__7"} {
		if got, ok := unroutedPosition(id); ok {
			t.Errorf("%s leads to %+v", id, got)
		}
	}
}
