package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"countersign/relay/registry"
	"countersign/relay/send"
)

// TestNothingIsLeftWaiting: a worker that takes what waits for its slot, and run, which listens to
// the outbox only where there is a slot, leave nothing to each other: whatever comes while slots are
// full, or as they become free, is told, and long before run would look by itself, after a minute.
func TestNothingIsLeftWaiting(t *testing.T) {
	t.Parallel()
	f := func(t *testing.T, concurrency int, answer func(n int64) send.Answer) {
		t.Helper()
		t.Parallel()
		var asked, flying, most atomic.Int64
		g := newRigOf(t, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency, e.Retry = concurrency, always })
		g.answered(func(ctx context.Context) send.Answer {
			now := flying.Add(1)
			defer flying.Add(-1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			select {
			case <-time.After(rand.N(time.Millisecond)):
			case <-ctx.Done():
			}
			return answer(asked.Add(1))
		})
		g.run()
		owed := 0
		for burst := range 40 {
			n := 1 + burst*7%(3*concurrency)
			g.oweBatch(owed, n)
			owed += n
			if burst%3 > 0 { // else it comes on top of what waits
				eventually(t, fmt.Sprint("burst ", burst, " is told"), func() bool { return g.outbox.Owed("a") == 0 })
			}
		}
		eventually(t, "all is told", func() bool { return g.outbox.Owed("a") == 0 })
		if most.Load() > int64(concurrency) {
			t.Errorf("%d at once, of %d slots", most.Load(), concurrency)
		}
	}
	ok := func(int64) send.Answer { return send.Answer{Code: 200, Reused: true} }
	t.Run("one slot", func(t *testing.T) { f(t, 1, ok) })
	t.Run("two slots", func(t *testing.T) { f(t, 2, ok) })
	t.Run("many slots", func(t *testing.T) { f(t, 24, ok) })
	t.Run("slots that shrink and grow", func(t *testing.T) {
		f(t, 16, func(n int64) send.Answer {
			if n%5 == 0 {
				return send.Answer{Code: 503, Reused: true}
			}
			return send.Answer{Code: 200, Reused: true}
		})
	})
}

// TestSlotsComeBack: an endpoint that has asked for less is given more again with each success, while
// a worker takes no more than one delivery for the one that it has ended.
func TestSlotsComeBack(t *testing.T) {
	t.Parallel()
	const together = 8
	var refusing atomic.Bool
	var took, flying, successes atomic.Int64
	refusing.Store(true)
	all := make(chan struct{})
	g := newRigOf(t, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency, e.Retry = 16, always })
	s := g.answered(func(ctx context.Context) send.Answer {
		took.Add(1)
		if refusing.Load() {
			return send.Answer{Code: 503, Reused: true}
		}
		if successes.Add(1) > 2*together { // by then there are as many slots, if somebody begins to use them
			if flying.Add(1) == together {
				close(all)
			}
			select {
			case <-all:
			case <-ctx.Done():
			}
		}
		return send.Answer{Code: 200, Reused: true}
	})
	g.run()
	g.oweBatch(0, 200)
	eventually(t, "it is down to one slot", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.allowed == 1 && took.Load() > 16
	})
	refusing.Store(false)
	eventually(t, "all is told", func() bool { return g.outbox.Owed("a") == 0 })
}
