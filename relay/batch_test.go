package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// TestArena: what an arena has given stays as it is until it is reset, whatever is asked for after
// it, also what has grown beyond its room or is larger than any.
func TestArena(t *testing.T) {
	t.Parallel()
	var a arena
	for round := range 3 {
		var given, want [][]byte
		for i := range 3000 {
			size := (i * 37) % 900
			if i%500 == 7 {
				size = arenaChunk + i
			}
			text := bytes.Repeat([]byte{byte(i), byte(round)}, size/2+1) // mostly more than it asks for
			given, want = append(given, a.end(append(a.begin(size), text...))), append(want, text)
			if i%3 == 0 {
				given, want = append(given, a.text(strconv.Itoa(i))), append(want, []byte(strconv.Itoa(i)))
			}
		}
		for i := range given {
			if !bytes.Equal(given[i], want[i]) || cap(given[i]) != len(given[i]) {
				t.Fatalf("round %d: piece %d is %.20x…, want %.20x…", round, i, given[i], want[i])
			}
		}
		size := a.size()
		if a.reset(); round > 0 && a.size() != size {
			t.Errorf("it keeps %d bytes, and had %d", a.size(), size)
		}
	}
}

// TestSpareBatch: a batch is used again when its commit has ended, is empty then, and is not when
// nobody knows whether its commit will come.
func TestSpareBatch(t *testing.T) {
	g := newRig(t, acme())
	fold := func(minute int, ids ...string) *batch {
		t.Helper()
		var rs []journal.Record
		for _, id := range ids {
			r := g.record(said(id, minute, kyc.Approved))
			g.appended++
			r.Position = g.at(g.appended)
			rs = append(rs, r)
		}
		if done, err := g.relay.foldBatch(t.Context(), rs); err != nil || done != len(rs) {
			t.Fatal(done, err)
		}
		return g.relay.spare
	}
	first := fold(1, "ann", "bob", "cid")
	if first == nil || len(first.writes)+len(first.owed)+len(first.subjects)+len(first.refs)+len(first.partners)+len(first.tallies)+len(first.counted) != 0 || first.tx != nil || first.now != nil || first.last != nil || !first.taken.IsZero() || first.reads[0] != nil {
		t.Fatalf("it is kept as %+v", first)
	}
	if again := fold(2, "ann", "dan"); again != first {
		t.Error("another batch was made")
	}
	for _, id := range []string{"ann", "bob", "cid", "dan"} {
		if v := g.view("acme", id, true); v.Status.Status != kyc.Approved || len(v.Records) == 0 {
			t.Errorf("%s: %s, %d records", id, v.Status.Status, len(v.Records))
		}
	}
	g.haltStore()
	r := g.record(said("eve", 3, kyc.Approved))
	r.Position = g.at(g.appended + 1)
	if _, err := g.relay.foldBatch(t.Context(), []journal.Record{r}); !errors.Is(err, store.ErrClosed) {
		t.Fatal(err)
	}
	if g.relay.spare != nil {
		t.Error("a batch whose commit may still come is kept for the next")
	}
	g.shut()
}

// TestForwardedStays: what is kept in memory for Kafka is what was decided, although the batches
// after it were worked out in the same room.
func TestForwardedStays(t *testing.T) {
	g := newRig(t, acme())
	g.forward = true
	g.close()
	g.open()
	for n := range 4 {
		var rs []journal.Record
		for i := range 50 {
			r := g.record(said(fmt.Sprintf("user-%d-%d", n, i), 1, kyc.Approved))
			g.appended++
			r.Position = g.at(g.appended)
			rs = append(rs, r)
		}
		if _, err := g.relay.foldBatch(t.Context(), rs); err != nil {
			t.Fatal(err)
		}
	}
	entries, _, _ := g.relay.feed.known(journal.Position{})
	seen := map[string]bool{}
	for i := range entries {
		var c kyc.Change
		if err := json.Unmarshal(entries[i].Message.Value, &c); err != nil {
			t.Fatalf("%d: %v: %s", i, err, entries[i].Message.Value)
		}
		if seen[c.ID] {
			t.Fatalf("%s is there twice", c.ID)
		}
		seen[c.ID] = true
	}
	if len(seen) != 400 {
		t.Errorf("%d changes, want two of each person", len(seen))
	}
}
