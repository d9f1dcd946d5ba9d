package kyc

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// histories is how many random histories a test tries; HISTORIES says otherwise.
func histories(n int) int {
	if m, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		return m
	}
	if raceEnabled {
		return n / 10
	}
	return n
}

// each calls fn with random histories until some have failed. Every third of them several nodes have
// received.
func each(t *testing.T, n int, salt uint64, fn func(r *rand.Rand, h truth.History, lasts time.Duration) error) {
	t.Helper()
	var failed atomic.Int64
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for seed := next.Add(1); seed <= uint64(n) && failed.Load() < 3; seed = next.Add(1) {
				r := rand.New(rand.NewPCG(seed, salt))
				h, lasts := truth.Random(r)
				if seed%3 == 0 {
					h = h.Skewed(rand.New(rand.NewPCG(seed, ^salt)), lasts)
				}
				if err := fn(r, h, lasts); err != nil {
					failed.Add(1)
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	wg.Wait()
}

// unbounded lifts what no history of 40 records needs, so that nothing is forgotten.
func unbounded(t *testing.T) {
	t.Helper()
	was := limits
	limits.kept = 100
	t.Cleanup(func() { limits = was })
}

// The state says what the definition says, after every record and at every instant, whatever comes
// together, also after it has been written and read. A million histories: HISTORIES=1000000 go test
// ./kyc -run TestOracle -timeout 2h.
func TestOracle(t *testing.T) {
	unbounded(t)
	var compared [9]atomic.Int64
	each(t, histories(20_000), 31, func(r *rand.Rand, h truth.History, lasts time.Duration) error {
		q := truth.RandomPolicy(r)
		p, s := policyOf(q, lasts), &State{}
		for i := 0; i < len(h); {
			n := min(len(h), i+1+r.IntN(2)*r.IntN(4))
			var us []Update
			for ; i < n; i++ {
				us = append(us, record(&h[i]))
			}
			s.Apply(us, p)
			if r.IntN(8) == 0 {
				s = reread(s)
			}
			for _, d := range []int{0, 1, r.IntN(20), r.IntN(60), r.IntN(400)} {
				now := s.last.time().Add(time.Duration(d) * time.Minute)
				want, until := h[:n].Tell(q, now)
				got, end := stands(s, p, now)
				compared[want].Add(1)
				if got != want || !end.Equal(until) {
					return fmt.Errorf("after %d records, %d minutes later: %v until %v, want %v until %v, policy %v, lasts %v%v", n, d, got, end, want, until, q, lasts, h[:n])
				}
			}
		}
		return nil
	})
	for i := range compared {
		t.Log(truth.Status(i), compared[i].Load())
	}
}

func reread(s *State) *State {
	b, _ := s.MarshalBinary()
	n := &State{}
	if err := n.UnmarshalBinary(b); err != nil {
		panic(err)
	}
	return n
}
