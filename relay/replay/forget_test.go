package replay

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"countersign/outbox/store"
	"countersign/relay"
)

func testStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestForget: who is erased stands in no job any more, neither as its place nor in its reason; what
// names somebody else stays as it is.
func TestForget(t *testing.T) {
	s := testStore(t)
	jobs := []Job{
		{ID: "rpl_1", Kind: relay.ReplayDead, Endpoint: "a", State: Running, Cursor: []byte("acme/rosalind")},
		{ID: "rpl_2", Kind: relay.ReplayCurrent, Endpoint: "a", State: Paused, Cursor: []byte("acme/rosalind"), Because: "asked for by bob"},
		{ID: "rpl_3", Kind: relay.ReplayDead, Endpoint: "a", State: Done, Because: "for rosalind"},
		{ID: "rpl_4", Kind: relay.ReplayDead, Endpoint: "a", State: Running, Cursor: []byte("acme/bob"), Because: "an outage"},
	}
	var n int
	err := s.Update(t.Context(), func(tx *store.Tx) (err error) {
		for i := range jobs {
			if err := put(tx, &jobs[i]); err != nil {
				return err
			}
		}
		n, err = Forget(tx, "acme/rosalind", func(text []byte) bool { return bytes.Contains(text, []byte("rosalind")) })
		return err
	})
	if err != nil || n != 3 {
		t.Fatalf("%d jobs, %v", n, err)
	}
	r := &Replays{o: Options{Store: s}}
	list, more, err := r.List("", 10)
	if err != nil || more || len(list) != 4 {
		t.Fatalf("%d jobs, %v, %v", len(list), more, err)
	}
	for _, j := range list {
		if bytes.Contains(j.Cursor, []byte("rosalind")) || bytes.Contains([]byte(j.Because), []byte("rosalind")) {
			t.Errorf("%+v", j)
		}
	}
	if j := list[0]; string(j.Cursor) != "acme/bob" || j.Because != "an outage" {
		t.Errorf("another's: %+v", j)
	}
}

// TestIDs: ids come in the order of their times, and are as long as any.
func TestIDs(t *testing.T) {
	var ids []string
	for i := range 50 {
		ids = append(ids, newID(time.UnixMilli(1_700_000_000_000+int64(i)*977)))
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 50 || len(ids[0]) != len("rpl_01M8NRGZ34S6PSEYYCKTVRG0YD") {
		t.Error(ids)
	}
}

// TestPrune: so many jobs may be there that have not ended, and the oldest that have ended go.
func TestPrune(t *testing.T) {
	s := testStore(t)
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i := range keepEnded + 20 {
			if err := put(tx, &Job{ID: newID(time.UnixMilli(int64(i))), State: Done}); err != nil {
				return err
			}
		}
		if err := prune(tx); err != nil {
			t.Error(err)
		}
		left := 0
		c := tx.Bucket(store.Jobs).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			left++
		}
		if left != keepEnded {
			t.Errorf("%d are left", left)
		}
		for i := range maxOpen {
			if err := put(tx, &Job{ID: newID(time.UnixMilli(int64(1_000_000 + i))), State: Paused}); err != nil {
				return err
			}
		}
		if prune(tx) == nil {
			t.Error("one more is taken")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
