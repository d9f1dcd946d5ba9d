package kyc

import (
	"cmp"
	"slices"
)

// result is what a scope says.
type result struct {
	rank  rank
	until moment // while approved or expired
	from  moment
	known bool
	open  bool  // by a finding that nothing has answered, even where a new try shows in its place
	ever  bool  // it has been decided once, so it counts from then on
	hard  bool  // by a finding that counts whatever the policy asks for
	by    *word // what decides
	shown *word // what partners are shown: what decides, the try in its place, or the newest claim

	left      []*word // findings that nothing has answered
	perhaps   []*word // findings that may be left, too, where skews leave it in doubt
	approvals []*word // whatever approved
	rivals    []*word // approvals that may be the one that decides, where skews leave it in doubt
}

func (r *result) decided() bool { return r.known && (r.rank >= rankApproved || r.open || r.ever) }

// checkSet is a set of checks, by their place in the state.
type checkSet uint32

func (c checkSet) has(i int) bool { return c&(1<<i) != 0 }

// fold says what some checks say together.
func (v *view) fold(of checkSet) (r result) {
	if of == 0 {
		return r
	}
	return v.scope(of).fold()
}

func (sc *scope) fold() (r result) {
	open, standing := sc.weigh()
	switch {
	case len(open) > 0:
		r = sc.worst(open)
	case len(standing) == 0 && len(sc.findings) > 0: // nobody knows which was last
		last := sc.findings[len(sc.findings)-1]
		r = result{rank: rankInReview, known: true, open: true, left: sc.findings, by: last, shown: last}
	}
	if r.open && len(standing) == 0 && sc.skewed {
		r.perhaps = sc.findings
	}
	if r.approvals = sc.approvals; r.open {
		return r
	}
	sc.stand(&r, standing)
	if r.rank == rankApproved && sc.skewed {
		r.rivals = sc.rivals(&r, standing)
	}
	if r.rank == rankApproved {
		return r
	}
	p := sc.progress(nil)
	p.ever, p.approvals = sc.ever, sc.approvals
	if r.rank == rankExpired && (p.by == nil || p.by.when() <= r.until) {
		return r // an attempt that began before the end does not hide it
	}
	if p.open {
		p.by = p.shown // the claim decides, not the attempt that it is about
	}
	return p
}

// scope gathers the words of some checks.
func (v *view) scope(of checkSet) *scope {
	sc := &scope{view: v}
	sc.gather(of, make([]*word, scopeRoom*len(v.words)))
	return sc
}

// scopeRoom is how many lists a scope has of its words, at most all of them in each.
const scopeRoom = 5

// gather is scope, in room of the caller's, who gets back what is left of it. A subject is folded
// for every record, and each of its words is of one check: so one room is enough for the scopes of
// all checks (BenchmarkApply).
func (sc *scope) gather(of checkSet, room []*word) (rest []*word) {
	v, n := sc.view, 0
	for i := range v.words {
		if of.has(v.words[i].check) {
			n++
		}
	}
	part := func(i int) []*word { return room[i*n : i*n : (i+1)*n] }
	sc.words, sc.approvals, sc.findings, sc.open, sc.standing = part(0), part(1), part(2), part(3), part(4)
	for i := range v.words {
		w := &v.words[i]
		if !of.has(w.check) {
			continue
		}
		sc.words, sc.skewed = append(sc.words, w), sc.skewed || w.skew != 0
		switch {
		case w.approval():
			sc.approvals = append(sc.approvals, w)
		case w.class != none && !v.ended(w):
			sc.findings = append(sc.findings, w)
		}
	}
	sc.ever = len(sc.approvals) > 0 || slices.ContainsFunc(v.lost, func(l lost) bool { return of.has(l.check) })
	if len(sc.approvals) > 0 {
		sc.findings = slices.DeleteFunc(sc.findings, sc.outrun)
	}
	return room[scopeRoom*n:]
}

// weigh finds the findings that no approval answers, and the approvals that no finding has
// superseded. One that was superseded does not come back when another approval answers that
// finding.
func (sc *scope) weigh() (open, standing []*word) {
	open, standing = sc.open, sc.standing
	for _, f := range sc.findings {
		if !slices.ContainsFunc(sc.approvals, func(a *word) bool { return sc.answers(a, f) }) {
			open = append(open, f)
		}
	}
	for _, a := range sc.approvals {
		if sc.supersedes(a) == nil {
			standing = append(standing, a)
		}
	}
	return open, standing
}

// supersedes is a finding that an approval is not newer than; nil: there is none.
func (sc *scope) supersedes(a *word) *word {
	for _, f := range sc.findings {
		if !before(f, a) && (!a.operator || f.n >= a.n) {
			return f
		}
	}
	return nil
}

// stand finds the approval that lasts longest of those that stand, or the last that has ended.
func (sc *scope) stand(r *result, standing []*word) {
	for _, a := range standing {
		if sc.undone(a) || sc.followed(a, standing) {
			continue // of a run the newest tells until when
		}
		p, rank := sc.lasts(a), rankApproved
		if p.until != 0 && p.until <= sc.now {
			rank = rankExpired
		}
		if r.by == nil || rank < r.rank || rank == r.rank && (sooner(r.until, p.until) || r.until == p.until && before(r.by, a)) {
			r.rank, r.from, r.until, r.by, r.shown, r.known = rank, p.from, p.until, a, a, true
		}
	}
}

// followed reports whether a newer approval of its run stands in the place of one. Where there are
// skews, one that only doubt takes away hides what is older all the same.
func (sc *scope) followed(a *word, standing []*word) bool {
	if sc.skewed {
		standing = sc.approvals
	}
	return slices.ContainsFunc(standing, func(o *word) bool { return run(o, a) && before(a, o) && (sc.skewed || !sc.undone(o)) })
}

// rivals are the approvals that may be the one that lasts longest, or of those the newest, if what
// skews leave in doubt were known: by their own end they last longer, or as long and none of those
// that do is known to be newer.
func (sc *scope) rivals(r *result, standing []*word) (rs []*word) {
	for _, a := range sc.approvals {
		newer := func(o *word) bool {
			return before(a, o) && !sc.undone(o) && !sc.followed(o, standing) && sc.lasts(o).until == r.until
		}
		if own := sc.own(a); !sooner(own, r.until) && (own != r.until || !slices.ContainsFunc(standing, newer)) {
			rs = append(rs, a)
		}
	}
	return rs
}

// worst shows the gravest of the open findings. What may be tried again shows the try, once the
// same source has begun one: that lifts nothing.
func (sc *scope) worst(open []*word) (best result) {
	hard := false
	for _, f := range open {
		r := result{rank: f.rank, known: true, open: true, by: f, shown: f, left: open}
		hard = hard || f.class >= ban || f.serious() && f.class > claim
		retry := f.class == soft || f.class == grave
		switch f.class {
		case claim:
			r.rank = rankInReview
		case hit:
			r.rank = rankTerminal
		case final:
			retry = slices.ContainsFunc(sc.words, func(w *word) bool { return w.reset() && run(w, f) && before(f, w) })
		default:
		}
		if retry || f.exhausted() {
			if p := sc.progress(f); p.by != nil && (retry || sc.anew(p.by, f)) {
				r.rank, r.shown = p.rank, p.by
			}
		}
		if best.by == nil || r.graver(&best) {
			best = r
		}
	}
	best.hard = hard
	return best
}

// graver prefers what takes more away, then what only an operator answers, then what is serious:
// its reasons are the ones that a partner must not overlook. Then the newest.
func (r *result) graver(o *result) bool {
	weight := func(r *result) int {
		switch {
		case r.by.class >= hit:
			return 2
		case r.by.serious():
			return 1
		default:
			return 0
		}
	}
	return cmp.Or(cmp.Compare(r.rank, o.rank), cmp.Compare(weight(r), weight(o)), newest(r.by, o.by)) > 0
}

// newest puts words in an order that does not depend on arrival, as far as that can be.
func newest(a, b *word) int {
	return cmp.Or(cmp.Compare(a.when(), b.when()), cmp.Compare(a.revision, b.revision), cmp.Compare(a.rank, b.rank), cmp.Compare(a.n, b.n))
}

// progress is how far things are: of every source the newest attempt that has not lapsed, and of
// those the furthest. With a finding, of its source and after it only.
func (sc *scope) progress(after *word) result {
	r := result{known: true}
	var best []*word // of each source
	for _, u := range sc.words {
		if !sc.tries(u, after) || u.lapsed(sc.now) {
			continue // a try that came to nothing does not count: what was before it shows again
		}
		if slices.ContainsFunc(sc.words, func(o *word) bool { return o != u && sc.tries(o, after) && run(o, u) && later(u, o) }) {
			continue // of a run the newest
		}
		i := slices.IndexFunc(best, func(b *word) bool { return b.source == u.source })
		if i < 0 {
			best = append(best, u)
		} else if b := best[i]; b.submission && !u.submission || b.submission == u.submission && cmp.Or(cmp.Compare(b.when(), u.when()), cmp.Compare(b.rank, u.rank), cmp.Compare(b.n, u.n)) < 0 {
			best[i] = u // a partner's word that it has begun counts where the provider has none
		}
	}
	for _, u := range best {
		if b := r.by; b == nil || cmp.Or(cmp.Compare(b.rank, u.rank), cmp.Compare(b.when(), u.when()), cmp.Compare(b.n, u.n)) < 0 {
			r.rank, r.by, r.shown = u.rank, u, u
		}
	}
	if after != nil {
		return r
	}
	for _, u := range sc.words {
		if u.claimsYes() && (!r.open || newest(r.shown, u) < 0) { // somebody claims an approval
			r.rank, r.open, r.shown = rankInReview, true, u
		}
	}
	return r
}

// tries reports a word that tells how far an attempt is.
func (sc *scope) tries(u, after *word) bool {
	switch {
	case !u.attempt() && (u.operator || u.rank != rankLapsed):
		return false
	case after == nil:
		return true
	default:
		return !u.weak && u.source == after.source && before(after, u)
	}
}
