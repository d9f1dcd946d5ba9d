package outbox

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"countersign/outbox/store"
)

// What does not fit is settled in halves, and nothing of it is forgotten; after an error that is no
// full disk it stays as it was.
func TestSettleInHalves(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"})
	f := func(err error, want ...int) {
		t.Helper()
		var all []Attempt
		for i := range 5 {
			all = append(all, Attempt{Delivery: change("a", fmt.Sprint("lane", i), 1)})
		}
		r.mu.Lock()
		r.running, r.pending, r.scheduled = all[:4:4], all[4:], true
		r.mu.Unlock()
		for _, n := range want {
			r.retrySettle(err)
			r.mu.Lock()
			seen := map[string]bool{}
			for _, a := range append(append([]Attempt(nil), r.running...), r.pending...) {
				seen[a.Delivery.Lane] = true
			}
			if len(r.running) != n || len(seen) != 5 || len(r.running)+len(r.pending) != 5 {
				t.Errorf("%v: %d are tried again, %d wait, %d in all; want %d of 5", err, len(r.running), len(r.pending), len(seen), n)
			}
			r.mu.Unlock()
		}
	}
	f(fmt.Errorf("commit: %w", store.ErrFull), 2, 1, 1)
	f(errors.New("odd"), 4)
}

// Room is kept for how the deliveries will end that are owed.
func TestOwedNeedRoom(t *testing.T) {
	r := startRig(t, store.Options{}, Options{}, Endpoint{ID: "a"}, Endpoint{ID: "b"})
	r.put(t, change("a", "x", 1), change("a", "x", 2), change("b", "y", 1))
	if got := r.s.Account().Owed; got != 3*settleCost {
		t.Errorf("%d bytes are expected for three deliveries, want %d", got, 3*settleCost)
	}
	ds := r.claim(t, "a", 9)
	r.end(t, ds[0], Done, "")
	r.flush(t)
	if got := r.s.Account().Owed; got != 2*settleCost {
		t.Errorf("%d bytes are expected for two deliveries, want %d", got, 2*settleCost)
	}
}

// When only what is kept for settling is left, failed tries are not noted: they would fill what
// deliveries make room with. They are tried again all the same.
func TestTriesAreNotNotedWhenRoomIsLow(t *testing.T) {
	c := newClock()
	r := startRig(t, store.Options{MaxSize: 8 << 20}, Options{Now: c.now}, Endpoint{ID: "a"})
	r.put(t, change("a", "x", 1))
	f := func(want int) {
		t.Helper()
		ds := r.claim(t, "a", 9)
		if len(ds) != 1 {
			t.Fatalf("claimed %v, want one", sequences(ds))
		}
		r.settle(t, Attempt{Delivery: ds[0], Outcome: Retry, Reason: "http_5xx", At: c.now(), Retry: c.now()})
		if tries, err := r.Tries("a", "x", 1); err != nil || len(tries) != want {
			t.Errorf("%d tries are noted, want %d: %v", len(tries), want, err)
		}
		c.add(time.Second)
	}
	f(1)
	var stuff int
	for ; !r.s.Low(); stuff++ {
		r.update(t, func(tx *store.Tx) error {
			return tx.Bucket(store.Refs).Put(fmt.Appendf(nil, "stuff %d", stuff), make([]byte, 3000))
		})
	}
	f(1)
	f(1)
	for r.s.Low() {
		stuff--
		r.update(t, func(tx *store.Tx) error { return tx.Bucket(store.Refs).Delete(fmt.Appendf(nil, "stuff %d", stuff)) })
	}
	f(2)
}
