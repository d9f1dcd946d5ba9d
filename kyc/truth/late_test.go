package truth

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestLateApprovesNobody: an approval without a time that was applied late, because it had waited for
// its person, approves nobody whom it would not have approved in its turn. This is said without the
// rules: by moving one word of a history.
func TestLateApprovesNobody(t *testing.T) {
	t.Parallel()
	moved, approved := 0, 0
	for seed := range uint64(60_000) {
		r := rand.New(rand.NewPCG(seed, 77))
		h, _ := Random(r)
		p := RandomPolicy(r)
		var places []int
		for i := range h {
			if h[i].Operator || !h[i].Taken.IsZero() {
				places = nil // an operator has seen what he answers, and what waits already is another matter
				break
			}
			if x := &h[i]; x.At.IsZero() && x.Taken.IsZero() && x.approval() && !x.Operator && !x.Confirms && i+1 < len(h) {
				places = append(places, i)
			}
		}
		if len(places) == 0 {
			continue
		}
		from := places[r.IntN(len(places))]
		to := from + 1 + r.IntN(len(h)-from-1)
		x := h[from]
		late := slices.Insert(slices.Delete(slices.Clone(h), from, from+1), to, x)
		late[to].Taken, late[to].Received = x.Received, late[to-1].Received
		now := late[len(late)-1].Received.Add(time.Minute)
		moved++
		got, _ := late.Tell(p, now)
		if got != Approved {
			continue
		}
		approved++
		if want, _ := h.Tell(p, now); want != Approved {
			t.Errorf("seed %d: word %d, applied after %d, approves somebody who is %v%v", seed, from, to, want, h)
		}
	}
	if t.Log(moved, "moved,", approved, "approved"); approved < 50 {
		t.Errorf("only %d are approved: nothing is shown", approved)
	}
}
