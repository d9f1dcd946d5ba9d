package journal

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// What a follower needs: offsets of what is appended, what stands after an offset and since when,
// and that nothing it has not passed is forgotten.
func TestFollow(t *testing.T) {
	r := startRig(t, store.Options{}, Options{})
	var passed atomic.Pointer[Position]
	passed.Store(&Position{})
	r.Follow(func() Position { return *passed.Load() })
	at := func(got Position, err error, want int64) {
		t.Helper()
		if got != At(want) || err != nil {
			t.Errorf("it stands at %v, %v; want %d", got, err, want)
		}
	}
	first, err := r.AppendAt(t.Context(), record(0), record(1))
	at(first, err, 1)
	first, err = r.HoldAt(t.Context(), Item{ID: "x", Source: "s", Reason: UnknownWord, At: someTime, Body: []byte("{}")}, record(2))
	at(first, err, 3)
	first, err = r.HoldAt(t.Context(), Item{ID: "y", Source: "s", Reason: Unreadable, At: someTime, Body: []byte("{}")})
	at(first, err, 0)
	if first, err = r.AppendAt(t.Context(), Record{Kind: "nonsense"}); err == nil || first.Offset != 0 {
		t.Errorf("a record of no kind stands at %v", first)
	}
	if n, since := r.Waiting(At(1)); n != 2 || !since.Equal(record(1).Appended) {
		t.Errorf("%d wait since %v", n, since)
	}
	if n, since := r.Waiting(At(3)); n != 0 || !since.IsZero() {
		t.Errorf("%d wait since %v", n, since)
	}

	first, err = r.AppendAt(t.Context(), record(3))
	at(first, err, 4)
	passed.Store(new(At(2)))
	if err := r.Passed(t.Context(), Position{Offset: 4}); err != nil {
		t.Fatal(err)
	}
	at(r.Forgotten(), nil, 2)
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	batch, last, err := r.Read(soon, At(2))
	at(last, err, 4)
	if len(batch) != 2 {
		t.Fatalf("%d records are left of what has not been passed, want 2", len(batch))
	}
	same(t, batch[0], 3, record(2))
	passed.Store(&Unneeded)
	if err := r.Passed(t.Context(), Position{Offset: 4}); err != nil {
		t.Fatal(err)
	}
	at(r.Forgotten(), nil, 4)

	cancel()
	if batch, last, err := r.Read(soon, At(4)); len(batch) != 0 || last != At(4) || err != nil {
		t.Errorf("%d records, up to %v, %v, after the end", len(batch), last, err)
	}
	r.PassOver(At(4))
	if n := r.metric(t, "journal_damaged_records_total"); n != 1 {
		t.Errorf("%v records are counted as passed over", n)
	}
}

// Whoever waits after the last record is woken by the next.
func TestReadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRig(t, store.Options{}, Options{})
		mustAppend(t, r, record(0))
		got := make(chan int64, 1)
		go func() {
			_, last, err := r.Read(t.Context(), At(1))
			if err != nil {
				last.Offset = -1
			}
			got <- last.Offset
		}()
		synctest.Wait() // it has found nothing
		mustAppend(t, r, record(1))
		select {
		case last := <-got:
			if last != 2 {
				t.Errorf("it has read up to %d, want 2", last)
			}
		case <-time.After(20 * time.Second):
			t.Error("nobody has woken it")
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// After an error nobody is told an offset: the store may still be writing.
func TestAppendAtGivesUp(t *testing.T) {
	r := startRig(t, store.Options{}, Options{Backlog: 1})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if first, err := r.AppendAt(ended, Record{Kind: kyc.Observation, Body: []byte("{}")}); first.Offset != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("it stands at %v, %v", first, err)
	}
	if first, err := r.AppendAt(t.Context(), record(0), record(1)); first.Offset != 0 || !errors.Is(err, ErrBacklog) {
		t.Errorf("it stands at %v, %v", first, err)
	}
}
