package kyc

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// apart is what the clocks of two nodes may differ by (docs/CLUSTER.md, D11): each is within half of
// it of the true time.
const apart = 10 * time.Second

// way is how the owner of a person's strand folds the words that the nodes have received.
type way struct {
	name     string
	bare     time.Duration // the skew of those that their ref's owner has routed
	full     time.Duration // and of the others
	waited   bool          // routed ones without a time, where they have no skew, as those that had to wait
	raised   bool          // all with the greatest instant so far, if theirs is less
	anyClock bool          // the order of receipt is not as the true time says it, but as a node's clock does
}

// world is what happens to the words of a person.
type world struct {
	name      string
	late      bool // full words are forwarded late, and not only routed ones
	refs      int  // that bare words have
	ahead     bool // providers' clocks may be ahead
	operators bool // operators speak, who have seen what stands before their word
}

// The worlds of TestTwoLogsMeet. In all of them full words have several nodes, whose clocks differ.
var (
	inTurn     = world{name: "full words in their turn", refs: 1}
	late       = world{name: "full words late", refs: 1, late: true}
	manyRefs   = world{name: "many refs", refs: 3}
	withPeople = world{name: "operators", refs: 1, operators: true}
	everyWorld = world{name: "all of it", refs: 3, late: true, ahead: true, operators: true}
)

// TestTwoLogsMeet: the full words of a person come in one log and the bare ones through others, as
// late as can be (docs/CLUSTER.md, D1). Whatever the order in which they meet, and whatever the clocks
// of the nodes that received them say, nobody is approved whom the order of receipt does not
// approve. Each of the ways that do not hold must find somebody.
func TestTwoLogsMeet(t *testing.T) {
	t.Parallel()
	f := func(in world, w way, holds bool) {
		t.Helper()
		t.Run(in.name+", "+w.name, func(t *testing.T) {
			t.Parallel()
			w.meet(t, in, holds)
		})
	}
	skewed := way{name: "skewed", bare: apart / 2, full: apart / 2}
	for _, in := range []world{inTurn, late, manyRefs, withPeople, everyWorld} {
		f(in, skewed, true)
	}
	f(everyWorld, way{name: "skewed for any clock", bare: apart, full: apart, anyClock: true}, true)
	f(inTurn, way{name: "not known to have waited"}, false)
	f(inTurn, way{name: "waited"}, false)
	f(inTurn, way{name: "skewed, raised as the others", bare: apart / 2, full: apart / 2, raised: true}, false)
	f(late, way{name: "only routed ones skewed", bare: apart}, false)
	f(manyRefs, way{name: "skewed by less", bare: apart / 8, full: apart / 8}, false)
}

func (w way) meet(t *testing.T, in world, holds bool) {
	t.Helper()
	met, approved, right, needless, undone, longer := 0, 0, 0, 0, 0, 0
	n := histories(5_000)
	if !holds {
		n = max(n, 8_000) // it ends with the first
	}
	for seed := range uint64(n) {
		r := rand.New(rand.NewPCG(seed, 41))
		m := newMeeting(r, in)
		q := truth.RandomPolicy(r)
		if !slices.Contains(m.bare, true) {
			continue
		}
		order, folded := m.inOrder(r, w), m.folded(r, in, w)
		now := m.words[len(m.words)-1].Received.Add(apart)
		want, end := order.Tell(q, now)
		got, until := folded.Tell(q, now)
		s, p := &State{}, policyOf(q, m.lasts)
		for i := range folded {
			s.Apply([]Update{record(&folded[i])}, p)
		}
		state, _ := stands(s, p, now)
		met++
		if want == truth.Approved {
			right++
			if got >= truth.InReview {
				needless++
			} else if got != want {
				undone++
			}
		}
		if got != truth.Approved && state != truth.Approved {
			continue
		}
		approved++
		switch {
		case want == truth.Approved:
			if !end.IsZero() && (until.IsZero() || until.After(end)) {
				longer++
			}
		case !holds:
			t.Logf("as it must be, after %d histories: %v", seed, want)
			return
		default:
			t.Fatalf("seed %d: met: %v, the state: %v, in order of receipt: %v, policy %v%v\nin order%v", seed, got, state, want, q, folded, order)
		}
	}
	t.Log(met, "histories,", right, "approved in order of receipt, of them", needless, "in review or worse as the logs met, and", undone, "reset or over;", approved, "approved as they met,", longer, "of them longer")
	if !holds || approved < n/100 {
		t.Error("nothing is shown")
	}
}

// meeting is what was received of one person, in the order of the true time, which is in Received.
type meeting struct {
	words truth.History
	bare  []bool
	ref   []int           // of a bare word
	node  []int           // which received it
	off   []time.Duration // what the clock of each node is wrong by
	lasts time.Duration
}

// newMeeting makes one of seconds where a random history has minutes, so that clocks matter; of two
// one is short and about one check.
func newMeeting(r *rand.Rand, in world) (m meeting) {
	pace := time.Duration(12 + r.IntN(40))
	h, lasts := truth.Random(r)
	from, short := h[0].Received, r.IntN(2) == 0
	for range 3 {
		m.off = append(m.off, min(max(time.Duration(r.Int64N(2*int64(apart)))-apart, -apart/2), apart/2))
	}
	m.lasts = lasts / pace
	timeless, friendly := r.IntN(3), r.IntN(3) > 0
	if short {
		h = h[:min(len(h), 2+r.IntN(8))]
	}
	for _, x := range h {
		if short && !x.Submission {
			x.Key = h[0].Key
		}
		if x.Operator && !in.operators {
			continue
		}
		if !x.Operator && !x.Submission && r.IntN(4) < timeless*2 {
			x.At = time.Time{}
		}
		if friendly && !x.Operator && !x.Submission && !x.Lifts {
			x = milder(r, x)
		}
		for _, t := range []*time.Time{&x.At, &x.Received, &x.Expires, &x.AskedAt} {
			if !t.IsZero() {
				*t = from.Add(t.Sub(from) / pace)
			}
		}
		x.Taken, x.Received = time.Time{}, x.Received.Add(time.Duration(len(m.words))*time.Millisecond)
		if x.Confirms {
			x.AskedAt = cmp.Or(x.AskedAt, x.Received)
		}
		node := r.IntN(len(m.off))
		switch {
		case x.Operator:
			x.At = x.Received
		case in.ahead && !x.At.IsZero() && r.IntN(4) == 0:
			x.At = x.At.Add(time.Duration(r.IntN(20)) * time.Second)
		}
		if x.Status == truth.Approved && (x.Assumed || x.Expires.IsZero()) && m.lasts > 0 {
			x.Assumed, x.Expires = true, cmp.Or(x.At, x.Received.Add(m.off[node])).Add(m.lasts)
		}
		m.words = append(m.words, x)
		m.bare = append(m.bare, !x.Submission && !x.Operator && r.IntN(3) == 0)
		m.ref, m.node = append(m.ref, r.IntN(in.refs)), append(m.node, node)
	}
	return m
}

// milder is a word with which somebody is more often approved, so that more is shown.
func milder(r *rand.Rand, x truth.Update) truth.Update {
	if r.IntN(4) > 0 {
		x.Reasons = nil
	}
	if r.IntN(3) == 0 && x.Status > truth.Approved {
		x.Status, x.Reasons = truth.Approved, nil
	}
	if x.Status == truth.Approved && x.Expires.IsZero() && r.IntN(2) == 0 {
		x.Expires = x.Received.Add(24 * time.Hour)
	}
	return x
}

// TestTwoLogsUnsolved: meetings that approve somebody whom the order of receipt does not, as
// docs/CLUSTER.md (D1) says. Whoever changes a rule so that one of them no longer does changes that
// page, and takes it out of here.
func TestTwoLogsUnsolved(t *testing.T) {
	t.Parallel()
	second := func(n int) time.Time { return at(100).Add(time.Duration(n) * time.Second) }
	k := truth.Key{Source: "dojah", Type: "identity_verification", Overall: true}
	skewed := func(us ...truth.Update) (h truth.History) {
		for _, x := range us {
			if !x.Operator {
				x.Skew = apart / 2
			}
			h = append(h, x)
		}
		return h
	}
	f := func(name string, want truth.Status, order, met truth.History) {
		t.Helper()
		was, _ := order.Tell(truth.Policy{}, second(300))
		got, _ := met.Tell(truth.Policy{}, second(300))
		if was != want || got != truth.Approved {
			t.Errorf("%s: %v in order of receipt, %v as they met", name, was, got)
		}
	}
	no := truth.Update{ID: "no", Key: k, Session: "a", Status: truth.Rejected, Received: second(105)}
	decided := truth.Update{ID: "decided", Key: k, Status: truth.Approved, At: second(50), Received: second(50), Operator: true}
	f("a decision that stands behind what was received after it", truth.Rejected, truth.History{decided, no}, skewed(no, decided))

	claim := func(id string, min, received int) truth.Update {
		return truth.Update{ID: id, Key: k, Session: "a", Status: truth.Rejected, At: second(min), Received: second(received), Weak: true}
	}
	first, between := claim("first", 90, 100), claim("between", 60, 130)
	answer := truth.Update{ID: "answer", Key: k, Session: "a", Status: truth.Pending, At: second(149), Received: second(150), Confirms: true, AskedAt: second(120)}
	yes := truth.Update{ID: "yes", Key: k, Session: "b", Status: truth.Approved, At: second(75), Received: second(160)}
	f("a claim of between the question and its answer, with an earlier time than the one that was asked about", truth.InReview,
		truth.History{first, between, answer, yes}, skewed(first, answer, yes, between))
}

// inOrder is the history as one node has it.
func (m *meeting) inOrder(r *rand.Rand, w way) (h truth.History) {
	off := time.Duration(0)
	if w.anyClock {
		off = m.off[r.IntN(len(m.off))]
	}
	for _, x := range m.words {
		x.Received = x.Received.Add(off)
		if !x.AskedAt.IsZero() {
			x.AskedAt = x.AskedAt.Add(off)
		}
		h = append(h, x)
	}
	return h
}

// folded is the history as the person's owner folds it: a word of a ref at any time after it was
// received, and after those of its ref before it; one that is forwarded late as well, and after those
// of its node before it.
func (m *meeting) folded(r *rand.Rand, in world, w way) (h truth.History) {
	end := m.words[len(m.words)-1].Received
	logs, turn := map[int]time.Time{}, make([]time.Time, len(m.words))
	order := make([]int, len(m.words))
	for i := range m.words {
		x := &m.words[i]
		order[i], turn[i] = i, x.Received
		ahead := x.Operator || x.Submission || !m.bare[i] && !in.late
		log := m.node[i]
		if m.bare[i] {
			log = -1 - m.ref[i]
		}
		if !ahead && r.IntN(2) == 0 {
			turn[i] = turn[i].Add(time.Duration(r.Int64N(int64(end.Sub(x.Received)) + int64(time.Second))))
		}
		if !ahead {
			if turn[i].Before(logs[log]) {
				turn[i] = logs[log]
			}
			logs[log] = turn[i]
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return turn[a].Compare(turn[b]) })
	for _, i := range order {
		h = append(h, m.said(i, w))
		if n := len(h); w.raised && n > 1 && h[n-1].Received.Before(h[n-2].Received) {
			h[n-1].Received = h[n-2].Received
		}
	}
	return h
}

// said is a word as its record says it.
func (m *meeting) said(i int, w way) truth.Update {
	x := m.words[i]
	off := m.off[m.node[i]]
	x.Received = x.Received.Add(off)
	if !x.AskedAt.IsZero() {
		x.AskedAt = x.AskedAt.Add(off)
	}
	switch {
	case x.Operator, x.Submission:
	case m.bare[i]:
		x.Skew = w.bare
	default:
		x.Skew = w.full
	}
	if w.waited && m.bare[i] && x.At.IsZero() && x.Skew == 0 {
		x.Taken = x.Received
	}
	return x
}
