package truth

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// random makes a history of up to nine updates. Those of operators carry the time at which they
// enter the journal, which is later than every provider's.
func random(r *rand.Rand, operators bool) []Update {
	reasons := [][]string{nil, {"document_unreadable"}, {"fraud_suspected"}, {"sanctions_match"}}
	var us []Update
	for i := range 1 + r.IntN(9) {
		x := u(allKeys[r.IntN(len(allKeys))], []string{"a", "b"}[r.IntN(2)], r.IntN(8), anyStatus(r))
		if x.Status == Rejected || x.Status == RejectedTerminal {
			x.Reasons = reasons[r.IntN(len(reasons))]
		}
		if x.Status == Approved && r.IntN(3) == 0 {
			x.Expires = at(200 + r.IntN(600))
		}
		x.Weak = r.IntN(6) == 0
		if operators && r.IntN(7) == 0 {
			x.Operator, x.Weak, x.Session, x.Reasons, x.At = true, false, "", nil, at(100+i)
		}
		x.ID = strconv.Itoa(i)
		us = append(us, x)
	}
	return us
}

func tell(p Policy, us []Update, now int) Status {
	st, _ := received(us).Tell(p, at(now))
	return st
}

func each(t *testing.T, n uint64, operators bool, fn func(seed uint64, r *rand.Rand, p Policy, us []Update)) {
	t.Helper()
	for seed := range n {
		r := rand.New(rand.NewPCG(seed, 11))
		us := random(r, operators)
		fn(seed, r, policies[r.IntN(len(policies))], us)
		if t.Failed() {
			return
		}
	}
}

func TestArrivalDoesNotMatter(t *testing.T) {
	seen := map[Status]int{}
	each(t, 40000, false, func(seed uint64, r *rand.Rand, p Policy, us []Update) {
		want := tell(p, us, 500)
		seen[want]++
		for range 4 {
			o := slices.Clone(us)
			r.Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] })
			if got := tell(p, o, 500); got != want {
				t.Errorf("seed %d: %v then %v\n%v\n%v", seed, want, got, us, o)
			}
		}
	})
	t.Log(seen)
}

// Whoever is not approved is made so by an approval, an operator, an answer, or nothing. Not by an
// attempt, a reset, an expiry, a milder word, or time.
func TestOnlyApprovalsApprove(t *testing.T) {
	tried := 0
	each(t, 60000, true, func(seed uint64, r *rand.Rand, p Policy, us []Update) {
		if tell(p, us, 500) == Approved {
			return
		}
		if now := 501 + r.IntN(500); tell(p, us, now) == Approved {
			t.Errorf("seed %d: time approves %v", seed, us)
		}
		for range 6 {
			e := random(r, false)[0]
			if e.ID, e.At = "e", at(20); e.Status == Approved && !e.Weak {
				continue
			}
			tried++
			if tell(p, append(slices.Clone(us), e), 500) == Approved {
				t.Errorf("seed %d: %v approves\n%v", seed, e, us)
			}
		}
	})
	t.Log(tried)
}

// Whatever takes away and is newer than all before it takes away.
func TestTheNewestNegativeTakesAway(t *testing.T) {
	each(t, 60000, true, func(seed uint64, r *rand.Rand, p Policy, us []Update) {
		e := u([]Key{sumsub, persona, screening, aml}[r.IntN(4)], []string{"a", "b", "c"}[r.IntN(3)], 300, []Status{InReview, Rejected, RejectedTerminal, Suspended}[r.IntN(4)])
		e.ID = "e"
		if e.Status == Rejected && !fresh(us, e) {
			return // of a run that another has outrun
		}
		if tell(p, append(slices.Clone(us), e), 500) == Approved {
			t.Errorf("seed %d: approved after %v\n%v", seed, e, us)
		}
	})
}

func fresh(us []Update, e Update) bool {
	return !slices.ContainsFunc(us, func(x Update) bool { return x.Key.Source == e.Key.Source && x.Session == e.Session })
}

// A weak update approves nobody and lifts nothing.
func TestWeakLiftsNothing(t *testing.T) {
	each(t, 60000, true, func(seed uint64, r *rand.Rand, p Policy, us []Update) {
		was := tell(p, us, 500)
		e := random(r, false)[0]
		e.ID, e.Weak = "e", true
		if now := tell(p, append(slices.Clone(us), e), 500); now < was && was >= InReview || now == Approved && was != Approved {
			t.Errorf("seed %d: %v to %v by %v\n%v", seed, was, now, e, us)
		}
	})
}

// Of what stands against somebody, a hit is lifted by an operator alone, and nothing approved goes
// without an approval that is newer than every verdict of its type.
func TestApprovedMeansApproved(t *testing.T) {
	n := 0
	each(t, 120000, true, func(seed uint64, r *rand.Rand, p Policy, us []Update) {
		if tell(p, us, 500) != Approved {
			return
		}
		n++
		for _, q := range p.Required {
			if !slices.ContainsFunc(us, func(x Update) bool {
				return x.Key.Type == q && x.approval() && (x.Expires.IsZero() || x.Expires.After(at(500)))
			}) {
				t.Errorf("seed %d: approved without %s: %v", seed, q, us)
			}
		}
		for i, f := range us {
			if f.class() != hit {
				continue
			}
			if !slices.ContainsFunc(us[i:], func(d Update) bool { return d.Operator && d.Key == f.Key && d.Status <= Approved }) {
				t.Errorf("seed %d: approved beside a hit: %v", seed, us)
			}
		}
	})
	t.Log(n)
}
