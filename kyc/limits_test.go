package kyc

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// Whatever the limits, the state approves nobody whom the definition does not, and for no longer:
// what does not fit may cost somebody an approval, and never gives one.
func TestForgetsSafely(t *testing.T) {
	was := limits
	t.Cleanup(func() { limits = was })
	f := func(name string, checks, runs, kept, words, weak int) {
		t.Run(name, func(t *testing.T) {
			limits.checks, limits.runs, limits.kept, limits.words, limits.weak = checks, runs, kept, words, weak
			safely(t)
		})
	}
	f("as they are", was.checks, was.runs, was.kept, was.words, was.weak)
	f("all tiny", 4, 2, 1, 14, 1)
	f("little kept", 24, 100, 2, 1000, 100)
	f("one run", 24, 1, 100, 1000, 100)
	f("three runs", 24, 3, 100, 1000, 100)
	f("two runs, little kept", 24, 2, 1, 1000, 100)
	f("few words", 24, 100, 100, 8, 100)
	f("few checks", 2, 100, 100, 1000, 100)
	f("little of what is unsigned", 24, 100, 100, 1000, 1)
}

func safely(t *testing.T) {
	t.Helper()
	var tried, same, less, both atomic.Int64
	each(t, histories(3000), 44, func(r *rand.Rand, h truth.History, lasts time.Duration) error {
		q := truth.RandomPolicy(r)
		p, s := policyOf(q, lasts), &State{}
		for i := range h {
			s.Apply([]Update{record(&h[i])}, p)
			if r.IntN(3) > 0 && i < len(h)-1 {
				continue
			}
			now := s.last.time().Add(time.Duration(r.IntN(3)*r.IntN(30)) * time.Minute)
			want, until := h[:i+1].Tell(q, now)
			got, end := stands(s, p, now)
			switch tried.Add(1); {
			case got == truth.Approved && (want != truth.Approved || !until.IsZero() && (end.IsZero() || end.After(until))):
				return fmt.Errorf("after %d: %v until %v, at most %v until %v, policy %v, lasts %v%v", i, got, end, want, until, q, lasts, h[:i+1])
			case got == want:
				if same.Add(1); got == truth.Approved {
					both.Add(1)
				}
			case want == truth.Approved:
				less.Add(1)
			}
		}
		return nil
	})
	t.Logf("tried %d, the same %d, approved in both %d, approved no longer %d", tried.Load(), same.Load(), both.Load(), less.Load())
	if both.Load() == 0 {
		t.Error("nobody is approved at all")
	}
}
