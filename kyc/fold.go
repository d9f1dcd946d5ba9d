package kyc

import (
	"slices"
	"time"
)

// folding is what all checks together say of the subject.
type folding struct {
	results []result
	status  told
	by      int   // the result that decides the status; -1: none does
	missing Check // the required type nothing is known of
}

// told is what partners know of one object: the last change owed for it.
type told struct {
	entry  *entry // what decided it; nil: nothing known
	rank   rank
	period period
}

func (r result) told() told {
	t := told{entry: r.shown, rank: r.rank}
	if r.rank.dated() {
		t.period = r.period
	}
	return t
}

// same reports whether telling b after t would be no news. What has run out runs out once, whether the provider or our timer says so first.
func (t told) same(b told) bool {
	if t.rank != b.rank || !t.period.until.Equal(b.period.until) {
		return false
	}
	return t.rank == rankExpired || t.retryable() == b.retryable() && t.terminal() == b.terminal() && slices.Equal(t.reasons(), b.reasons())
}

// ranOut is when what was told ran out without a word of the provider: an approval's validity, or an attempt's deadline.
func (t told) ranOut() (time.Time, bool) {
	switch {
	case t.entry == nil || t.rank == t.entry.rank:
		return time.Time{}, false
	case t.rank == rankLapsed:
		return t.entry.expires, true
	default:
		return t.period.until, true
	}
}

func (t told) retryable() bool { return t.entry != nil && t.entry.retryable }

func (t told) terminal() bool {
	return t.rank == rankTerminal || t.entry != nil && t.entry.terminal
}

func (t told) reasons() []ReasonPair {
	if t.entry == nil {
		return nil
	}
	return t.entry.reasons
}

// fold reduces the checks to the subject's status.
func (s *State) fold(p Policy) folding {
	f := folding{results: make([]result, len(s.checks)), by: -1}
	for i, c := range s.checks {
		f.results[i] = c.effective(p)
	}
	f.count()
	for _, t := range p.For(s.kind) {
		f.require(t)
	}
	f.decide()
	return f
}

// count marks what counts whatever the policy, and of each overall check type the source that speaks.
func (f *folding) count() {
	for i := range f.results {
		switch r := &f.results[i]; {
		case r.negative(), r.check.key.check == Screening && r.decided():
			r.counts = true
		case r.overall() && r.decided():
			by, _ := f.speaker(r.check.key.check)
			r.counts = by == i
		}
	}
}

// whole types are decided by an overall check only, never by one of their steps.
func whole(t Check) bool { return t == IdentityVerification || t == BusinessVerification }

// require marks what stands for a type the policy asks for: its overall check, even while that is open; without one that is confirmed its steps.
func (f *folding) require(t Check) {
	by, confirmed := f.speaker(t)
	if by >= 0 && (confirmed || whole(t)) {
		return
	}
	found := by >= 0
	for i := range f.results {
		r := &f.results[i]
		if r.check.key.check == t && (r.overall() && by < 0 || !r.overall() && !whole(t)) {
			r.counts, found = true, true
		}
	}
	if !found && f.missing == "" {
		f.missing = t
	}
}

// speaker is the result that speaks for an overall check type, and whether anything confirmed does: the source with the newest verdict, where one that has run out
// yields to an approval that stands; then the newest unconfirmed claim, where it is newer and stricter (I10).
func (f *folding) speaker(t Check) (by int, confirmed bool) {
	best, standing, claim := -1, -1, -1
	for i, r := range f.results {
		if r.check.key.check != t || !r.overall() {
			continue
		}
		if r.said != nil && (best < 0 || f.after(i, best)) {
			best = i
		}
		if r.said != nil && r.saidRank == rankApproved && (standing < 0 || f.after(i, standing)) {
			standing = i
		}
	}
	if best >= 0 && f.results[best].saidRank == rankExpired && standing >= 0 {
		best = standing
	}
	for i, r := range f.results {
		if r.check.key.check != t || !r.overall() || r.claim == nil {
			continue
		}
		if best >= 0 {
			if b := f.results[best]; r.shown != r.claim || r.claim.rank <= b.saidRank || !later(r.claim, r.claim.rank, b.said, b.saidRank) {
				continue
			}
		}
		if claim < 0 || later(r.claim, r.claim.rank, f.results[claim].claim, f.results[claim].claim.rank) {
			claim = i
		}
	}
	if claim >= 0 {
		return claim, best >= 0
	}
	return best, best >= 0
}

// after compares two confirmed verdicts of different sources.
func (f *folding) after(i, j int) bool {
	a, b := f.results[i], f.results[j]
	return later(a.said, a.saidRank, b.said, b.saidRank)
}

// decide finds the status and the check that decides it.
func (f *folding) decide() {
	counted := func(want rank) func(result) bool {
		return func(r result) bool { return r.counts && r.rank == want }
	}
	for _, want := range []rank{rankSuspended, rankTerminal, rankRejected, rankInReview} {
		if by := f.gravest(counted(want)); by >= 0 {
			f.settle(by, want)
			return
		}
	}
	open := slices.ContainsFunc(f.results, func(r result) bool { return r.counts && !r.rank.verdict() })
	if open || f.missing != "" || !slices.ContainsFunc(f.results, func(r result) bool { return r.counts }) {
		f.progress()
		return
	}
	if by := f.soonest(counted(rankExpired)); by >= 0 {
		f.settle(by, rankExpired)
		return
	}
	identity := func(r result) bool { return r.rank == rankApproved && r.check.key.check != Screening }
	by := f.newest(func(r result) bool { return r.counts && identity(r) })
	if by < 0 {
		by = f.newest(identity)
	}
	if by < 0 {
		f.progress() // screening alone approves nobody
		return
	}
	f.settle(by, rankApproved)
	if first := f.soonest(counted(rankApproved)); first >= 0 {
		f.status.period.until = f.results[first].period.until
	}
}

func (f *folding) settle(by int, as rank) {
	f.by, f.status = by, f.results[by].told()
	f.status.rank = as
}

// progress is the status of a subject who is not decided: pending while anything is under way, else not started.
func (f *folding) progress() {
	underWay := func(r result) bool { return !r.decided() && r.rank == rankPending }
	undecided := func(r result) bool { return !r.decided() }
	as := rankPending
	if !slices.ContainsFunc(f.results, underWay) && (len(f.results) == 0 || slices.ContainsFunc(f.results, undecided)) {
		as = rankNotStarted
	}
	for _, of := range []func(result) bool{
		func(r result) bool { return r.counts && r.rank == as },
		func(r result) bool { return !r.decided() && r.rank == as },
		func(r result) bool { return f.missing == "" && (r.counts && !r.rank.verdict() || !r.decided()) },
	} {
		if by := f.newest(of); by >= 0 {
			f.settle(by, as)
			return
		}
	}
	f.status = told{rank: as}
}

// newest is the last of the results that has something to show and is one of those wanted; -1: none.
func (f *folding) newest(want func(result) bool) int {
	return f.pick(want, func(a, b result) bool { return later(a.shown, a.rank, b.shown, b.rank) })
}

// gravest prefers what only an operator lifts, then what counts whatever the policy, then the newest: its reasons are the ones a partner must not overlook.
func (f *folding) gravest(want func(result) bool) int {
	weight := func(e *entry) int {
		switch {
		case e.hit():
			return 2
		case e.haunts():
			return 1
		default:
			return 0
		}
	}
	return f.pick(want, func(a, b result) bool {
		if x, y := weight(a.shown), weight(b.shown); x != y {
			return x > y
		}
		return later(a.shown, a.rank, b.shown, b.rank)
	})
}

// soonest is the one that runs out first.
func (f *folding) soonest(want func(result) bool) int {
	return f.pick(want, func(a, b result) bool { return a.period.until.Before(b.period.until) })
}

func (f *folding) pick(want func(result) bool, better func(a, b result) bool) int {
	by := -1
	for i, r := range f.results {
		if r.shown != nil && want(r) && (by < 0 || better(r, f.results[by])) {
			by = i
		}
	}
	return by
}

// occurred is when what decides a result happened: it ran out, or its record says.
func (r result) occurred() time.Time {
	if ran, ok := r.told().ranOut(); ok {
		return ran
	}
	return r.when()
}
