package truth

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// histories is how many random histories a test tries; HISTORIES says otherwise.
func histories(n int) uint64 {
	if m, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		n = m
	}
	return uint64(n)
}

// TestLateApprovesNobody: what was applied late, because it had waited for its person, approves
// nobody whom it would not have approved in its turn. This is said without the rules: by moving words
// of a history. How often an approval lasts longer than in its turn is logged: where a repetition
// lies on the other side of a reset, it can. Three million histories: HISTORIES=3000000 go test ./kyc/truth
// -run TestLate -timeout 2h.
func TestLateApprovesNobody(t *testing.T) {
	t.Parallel()
	f := func(name string, n int, which func(x *Update) bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lateApproves(t, n, which)
		})
	}
	f("an approval", 1, func(x *Update) bool { return x.approval() && !x.Confirms })
	f("whatever it is", 1, func(*Update) bool { return true })
	f("two of them", 2, func(*Update) bool { return true })
}

func lateApproves(t *testing.T, n int, which func(x *Update) bool) {
	t.Helper()
	moved, approved, longer, failed := 0, 0, 0, 0
	for seed := range histories(30_000) {
		r := rand.New(rand.NewPCG(seed, 77))
		h, _ := Random(r)
		p := RandomPolicy(r)
		var places []int
		for i := range h {
			h[i].Taken = time.Time{}
			if x := &h[i]; x.At.IsZero() && !x.Operator && !x.Submission && which(x) && i+1 < len(h) {
				places = append(places, i)
			}
		}
		if len(places) < n {
			continue
		}
		r.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		late := h.late(r, places[:n])
		now := late[len(late)-1].Received.Add(time.Minute)
		moved++
		got, until := late.Tell(p, now)
		if got != Approved {
			continue
		}
		approved++
		want, end := h.Tell(p, now)
		if want == got && sooner(end, until) {
			longer++
		}
		if want != got {
			t.Errorf("seed %d: %v late: %v until %v, in order %v until %v, policy %v%v", seed, places[:n], got, until, want, end, p, h)
			if failed++; failed == 3 {
				break
			}
		}
	}
	if t.Log(moved, "moved,", approved, "approved,", longer, "longer"); approved < 50 {
		t.Errorf("only %d are approved: nothing is shown", approved)
	}
}

// late is a history in which some words have waited: each stands behind one that was received after
// it, in the order in which they were received.
func (h History) late(r *rand.Rand, waited []int) (late History) {
	slices.Sort(waited)
	order, last := make([]int, len(h)), 0 // behind which place each stands
	for i := range h {
		order[i] = i
		if slices.Contains(waited, i) {
			last = max(last, i+1) + r.IntN(len(h)-max(last, i+1))
			order[i] = last
		}
	}
	for i := range h {
		if !slices.Contains(waited, i) {
			late = append(late, h[i])
		}
		for _, w := range waited {
			if order[w] == i {
				x := h[w]
				x.Taken, x.Received = x.Received, h[i].Received
				late = append(late, x)
			}
		}
	}
	return late
}
