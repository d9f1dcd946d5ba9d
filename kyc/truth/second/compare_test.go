package second

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"countersign/kyc/truth"
)

func convert(h truth.History) (out History) {
	for _, x := range h {
		out = append(out, Update{
			ID: x.ID, Key: Key(x.Key), Session: x.Session, Ref: x.Ref, At: x.At, Received: x.Received, Taken: x.Taken, Skew: x.Skew, Revision: x.Revision, Status: Status(x.Status), Reasons: x.Reasons,
			Expires: x.Expires, Assumed: x.Assumed, Weak: x.Weak, Confirms: x.Confirms, AskedAt: x.AskedAt, Operator: x.Operator, Lifts: x.Lifts, Mute: x.Mute, Submission: x.Submission,
		})
	}
	return out
}

func TestScenarios(t *testing.T) {
	for _, s := range truth.Scenarios() {
		st, until := convert(s.History).Tell(Policy(s.Policy), s.Now)
		if (truth.Status(st) == s.Want) == s.Not || s.Dated && !until.Equal(s.Until) {
			t.Errorf("%s: %v until %v, want %v (not: %v) until %v%v", s.Name, truth.Status(st), until, s.Want, s.Not, s.Until, s.History)
		}
	}
}

// The page and the function say the same of every history.
func TestAgree(t *testing.T) {
	n := 4000
	if m, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		n = m
	}
	compared, differ := 0, 0
	for seed := range uint64(n) {
		r := rand.New(rand.NewPCG(seed, 99))
		h, lasts := truth.Random(r)
		if seed%3 == 0 { // several nodes have received it
			h = h.Skewed(rand.New(rand.NewPCG(seed, 98)), lasts)
		}
		q := truth.RandomPolicy(r)
		for i := 1; i <= len(h) && differ < 4; i++ {
			now := h[i-1].Received.Add(time.Duration(r.IntN(2)*r.IntN(100)) * time.Minute)
			want, until := h[:i].Tell(q, now)
			got, end := convert(h[:i]).Tell(Policy(q), now)
			if compared++; truth.Status(got) != want || !end.Equal(until) {
				differ++
				t.Errorf("seed %d at %v: the page %v until %v, the function %v until %v, policy %v%v", seed, now, truth.Status(got), end, want, until, q, h[:i])
				break
			}
		}
	}
	t.Log(compared, "compared")
}
