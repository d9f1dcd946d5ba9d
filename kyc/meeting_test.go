package kyc

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// apart is what the clocks of two nodes may differ by (docs/CLUSTER.md, D11).
const apart = 10 * time.Second

// way is how the owner of a person's strand folds a bare word that its ref's owner has routed.
type way struct {
	name   string
	waited bool          // as one that had to wait
	raised bool          // with the strand's greatest instant, as a full word
	less   time.Duration // with its own instant less this
}

// TestTwoLogsMeet: the full words of a person come in one log and the bare ones through another, as
// late as can be (docs/CLUSTER.md, D1). Whatever the order in which the two meet, and
// whatever the clocks of the nodes that received them say, nobody is approved whom the order of
// receipt does not approve. Each of the two other ways must find somebody.
func TestTwoLogsMeet(t *testing.T) {
	t.Parallel()
	f := func(w way, holds bool) {
		t.Helper()
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			w.meet(t, holds)
		})
	}
	f(way{name: "routed", waited: true, less: apart}, true)
	f(way{name: "not known to have waited"}, false)
	f(way{name: "raised as the others", waited: true, raised: true}, false)
}

func (w way) meet(t *testing.T, holds bool) {
	t.Helper()
	met, approved, right, needless := 0, 0, 0, 0
	n := histories(8_000)
	for seed := range uint64(n) {
		r := rand.New(rand.NewPCG(seed, 41))
		m := newMeeting(r)
		q := truth.RandomPolicy(r)
		if !slices.Contains(m.bare, true) {
			continue
		}
		order, late := m.inOrder(), m.folded(r, w)
		now := late[len(late)-1].Received.Add(apart)
		want, _ := order.Tell(q, now)
		got, _ := late.Tell(q, now)
		s, p := &State{}, policyOf(q, m.lasts)
		for i := range late {
			s.Apply([]Update{record(&late[i])}, p)
		}
		state, _ := stands(s, p, now)
		met++
		if want == truth.Approved {
			right++
		}
		if want == truth.Approved && got >= truth.InReview {
			needless++
		}
		if got != truth.Approved && state != truth.Approved {
			continue
		}
		approved++
		switch {
		case want == truth.Approved:
		case !holds:
			t.Logf("as it must be, after %d histories: %v", seed, got)
			return
		default:
			t.Fatalf("seed %d: met: %v, the state: %v, in order of receipt: %v, policy %v%v\nin order%v", seed, got, state, want, q, late, order)
		}
	}
	if t.Log(met, "histories,", right, "approved in order of receipt, of them", needless, "in review or rejected as the logs met;", approved, "approved as they met"); !holds || approved < n/200 {
		t.Error("nothing is shown")
	}
}

// meeting is what was received of one person, in order.
type meeting struct {
	words truth.History
	bare  []bool
	stamp []time.Time // what the clock of the node said that received it
	lasts time.Duration
}

// newMeeting makes one of seconds where a random history has minutes, so that clocks matter.
func newMeeting(r *rand.Rand) (m meeting) {
	const pace = 12
	h, lasts := truth.Random(r)
	from, nodes := h[0].Received, [3]time.Duration{}
	for i := range nodes {
		nodes[i] = time.Duration(r.Int64N(int64(apart))) - apart/2
	}
	m.lasts = lasts / pace
	for _, x := range h {
		if x.Operator {
			continue // an operator has seen what he answers
		}
		for _, t := range []*time.Time{&x.At, &x.Received, &x.Expires, &x.AskedAt} {
			if !t.IsZero() {
				*t = from.Add(t.Sub(from) / pace)
			}
		}
		x.Taken, x.Received = time.Time{}, x.Received.Add(time.Duration(len(m.words))*time.Millisecond)
		if x.Confirms { // the question goes by a clock as well
			x.AskedAt = cmp.Or(x.AskedAt, x.Received).Add(nodes[r.IntN(len(nodes))] - apart)
		}
		m.words = append(m.words, x)
		m.bare = append(m.bare, !x.Submission && r.IntN(3) == 0)
		m.stamp = append(m.stamp, x.Received.Add(nodes[r.IntN(len(nodes))]))
	}
	m.keepApart()
	return m
}

// keepApart leaves out what does not hold (TestTwoLogsUnsolved): no provider's time is between the
// instant as of which a bare word without one is folded and the one at which one log has it.
func (m *meeting) keepApart() {
	for again := true; again; {
		again = false
		latest := time.Time{}
		for i, x := range m.words {
			if latest.Before(m.stamp[i]) {
				latest = m.stamp[i]
			}
			if !m.bare[i] || !x.At.IsZero() {
				continue
			}
			least := m.stamp[i].Add(-apart)
			for j := range m.words {
				if at := &m.words[j].At; !at.Before(least) && !at.After(latest) {
					*at, again = least.Add(-time.Millisecond), true
				}
			}
		}
	}
}

// TestTwoLogsUnsolved: two meetings that approve somebody whom the order of receipt does not, as
// docs/CLUSTER.md (D1, D11) says. Whoever changes a rule so that one of them no longer does changes
// that page, and takes it out of here.
func TestTwoLogsUnsolved(t *testing.T) {
	second := func(n int) time.Time { return at(100).Add(time.Duration(n) * time.Second) }
	k := truth.Key{Source: "dojah", Type: "identity_verification", Overall: true}
	f := func(name string, order, met truth.History) {
		t.Helper()
		want, _ := order.Tell(truth.Policy{}, second(200))
		got, _ := met.Tell(truth.Policy{}, second(200))
		if want != truth.Rejected || got != truth.Approved {
			t.Errorf("%s: %v in order of receipt, %v as they met", name, want, got)
		}
	}
	no := truth.Update{ID: "no", Key: k, Session: "a", Status: truth.Rejected, Received: second(105)}
	routed := no
	routed.Taken = second(105).Add(-apart)
	routed.Received = routed.Taken

	yes := truth.Update{ID: "yes", Key: k, Session: "a", Status: truth.Approved, At: second(99), Received: second(106)}
	f("the provider's time of a full approval is in the ten seconds before a bare rejection without one", truth.History{no, yes}, truth.History{routed, yes})
	yes = truth.Update{ID: "yes", Key: k, Session: "a", Status: truth.Approved, Received: second(100)}
	f("a full approval without a time that its node forwards late", truth.History{yes, no}, truth.History{routed, yes})
}

// inOrder is the history as one log has it.
func (m *meeting) inOrder() (h truth.History) {
	for i, x := range m.words {
		x.Received = m.stamp[i]
		h = m.add(h, x)
	}
	return h
}

// folded is the history as the person's owner folds it: a bare word at any time after it was
// received, and after the bare ones before it.
func (m *meeting) folded(r *rand.Rand, w way) (h truth.History) {
	free := 0 // the bare words before this one are folded
	route := func(upTo int) {
		for ; free < upTo; free++ {
			if !m.bare[free] {
				continue
			}
			x := m.words[free]
			x.Received = m.stamp[free]
			if w.waited && x.At.IsZero() {
				x.Taken = x.Received.Add(-w.less)
				x.Received = x.Taken
			}
			if h = m.add(h, x); w.raised && x.At.IsZero() {
				h[len(h)-1].Taken = h[len(h)-1].Received
				m.last(&h[len(h)-1])
			}
		}
	}
	for i, x := range m.words {
		if !m.bare[i] {
			x.Received = m.stamp[i]
			h = m.add(h, x)
		}
		if r.IntN(4) == 0 {
			route(free + r.IntN(i+2-free))
		}
	}
	route(len(m.words))
	return h
}

// add is the next record of a log: when it was received never goes back.
func (m *meeting) add(h truth.History, x truth.Update) truth.History {
	if n := len(h); n > 0 && h[n-1].Received.After(x.Received) {
		x.Received = h[n-1].Received
	}
	m.last(&x)
	return append(h, x)
}

// last gives an approval without a date of the provider's its end.
func (m *meeting) last(x *truth.Update) {
	if x.Status == truth.Approved && x.Assumed {
		from := x.At
		for _, t := range []time.Time{x.Taken, x.Received} {
			if from.IsZero() {
				from = t
			}
		}
		x.Expires = from.Add(m.lasts)
	}
}
