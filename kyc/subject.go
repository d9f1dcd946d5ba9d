package kyc

import "slices"

// whole types are decided by an overall check only, never by one of their steps.
func whole(t Check) bool { return t == IdentityVerification || t == BusinessVerification }

// folding is what all checks together say of the subject.
type folding struct {
	rank  rank
	until moment // while approved
	from  moment
	by    *result // what decides; nil: nothing does
	lacks Check   // the required type of which nothing is known

	scopes  []scope  // of every check by itself, by its place
	each    []result // what they say
	counted []result
	person  bool // somebody has been looked at, not only looked up in lists
}

// subject folds the types.
func (v *view) subject() (f folding) {
	if len(v.checks) == 0 && v.beyond == 0 && !v.submitted {
		return f // whatever is required: nobody has said anything
	}
	n := len(v.checks)
	results := make([]result, 2*n+1)
	f.each, f.counted = results[:n:n], results[n:n]
	f.scopes = make([]scope, n)
	room := make([]*word, scopeRoom*len(v.words))
	for i := range v.checks {
		f.scopes[i].view = v
		room = f.scopes[i].gather(1<<i, room)
		f.each[i] = f.scopes[i].fold()
	}
	for i := range v.checks {
		if t := v.checks[i].typ; v.firstOf(t) == i {
			v.count(&f, t)
		}
	}
	required := v.policy.For(v.kind)
	for _, t := range required {
		judged := func(c *check) bool { return c.typ == t && (c.overall() || !whole(t)) }
		if !slices.ContainsFunc(v.checks, func(c check) bool { return judged(&c) }) {
			f.add(t, result{rank: rankPending}) // nothing is known that it can be judged by
			if f.lacks == "" {
				f.lacks = t
			}
		}
	}
	if v.beyond > 0 {
		f.add("", result{rank: max(v.beyond, rankInReview)})
	}
	v.decide(&f)
	return f
}

func (f *folding) add(t Check, r result) {
	f.counted, f.person = append(f.counted, r), f.person || t != Screening
}

// firstOf is the place of the first check of a type.
func (v *view) firstOf(t Check) int {
	return slices.IndexFunc(v.checks, func(c check) bool { return c.typ == t })
}

// of are the checks of a type: its overall ones, or its steps.
func (v *view) of(t Check, overall bool) (c checkSet, n int) {
	for i := range v.checks {
		if k := &v.checks[i]; k.typ == t && k.overall() == overall {
			c, n = c|1<<i, n+1
		}
	}
	return c, n
}

// whole is what the overall checks of a type say together.
func (v *view) whole(f *folding, t Check) result {
	switch of, n := v.of(t, true); n {
	case 0:
		return result{}
	case 1:
		return f.each[slices.IndexFunc(v.checks, func(c check) bool { return c.typ == t && c.overall() })]
	default:
		return v.fold(of)
	}
}

// count adds what counts of a type.
func (v *view) count(f *folding, t Check) {
	overall, required := v.whole(f, t), slices.Contains(v.policy.For(v.kind), t)
	steps, _ := v.of(t, false)
	speaker := -1
	if !whole(t) && !overall.decided() {
		speaker = v.speaker(f, t, steps)
	}
	if overall.decided() || overall.known && required && speaker < 0 {
		f.add(t, overall)
	}
	for i := range v.checks {
		if !steps.has(i) {
			continue
		}
		s, asked := f.each[i], required && !whole(t)
		switch {
		case asked && overall.decided(): // the overall check decides, but for what a step has found since
			asked = s.open && !s.older(overall.approvals)
		case asked && speaker >= 0:
			asked = v.checks[i].source == speaker || s.stays()
		}
		if asked || s.hard || t == Screening && s.decided() {
			f.add(t, s)
		}
	}
}

// older reports whether all that is open of a step is older than an approval of another check.
func (r *result) older(approvals []*word) bool {
	stands := func(f *word) bool {
		return !slices.ContainsFunc(approvals, func(a *word) bool { return before(f, a) })
	}
	return !slices.ContainsFunc(r.left, stands) && !slices.ContainsFunc(r.perhaps, stands)
}

// olderThanAll reports whether all that is open of a step is older than each of these approvals.
func (r *result) olderThanAll(approvals []*word) bool {
	return !slices.ContainsFunc(approvals, func(a *word) bool { return !r.older([]*word{a}) })
}

// stays reports whether something is open of a step that no approval elsewhere answers.
func (r *result) stays() bool {
	return slices.ContainsFunc(r.left, (*word).serious) || slices.ContainsFunc(r.perhaps, (*word).serious)
}

// speaker is the source that stands for a type that is judged by steps: it has approved every step
// that it has begun, after all that others found and that may be answered elsewhere, and owes no
// word on all of them. Of several, the one whose approval lasts longest; -1: none.
func (v *view) speaker(f *folding, t Check, steps checkSet) int {
	best, lasts := -1, moment(0)
	for i := range v.checks {
		source := v.checks[i].source
		if !steps.has(i) || source == best {
			continue
		}
		end, complete := v.complete(f, t, steps, source)
		if complete && (best < 0 || sooner(lasts, end) || lasts == end && v.sources[source].name < v.sources[best].name) {
			best, lasts = source, end
		}
	}
	return best
}

// complete reports whether a source has approved all steps of a type that it has begun, and until
// when.
func (v *view) complete(f *folding, t Check, steps checkSet, source int) (end moment, complete bool) {
	for i := range v.checks {
		c, r := &v.checks[i], &f.each[i]
		if c.typ == t && c.overall() && c.source == source && c.spoke {
			return 0, false
		}
		if !steps.has(i) || c.source != source {
			continue
		}
		forgot := v.lostOf(i, gone) != nil // the approval that lasts longest may be older than what is left
		for j := range v.checks {
			s := &f.each[j]
			if steps.has(j) && v.checks[j].source != source && !s.stays() && len(s.left) > 0 && (forgot || r.by == nil || !s.older([]*word{r.by}) || !s.olderThanAll(r.rivals)) {
				return 0, false
			}
		}
		if r.rank != rankApproved {
			return 0, false
		}
		if sooner(r.until, end) {
			end = r.until
		}
	}
	return end, true
}

// decide finds the status among what counts, and what decides it.
func (v *view) decide(f *folding) {
	undecided := func(r result) bool { return r.rank != rankApproved && r.rank != rankExpired }
	if !f.person && !slices.ContainsFunc(f.counted, undecided) { // screening alone approves nobody
		f.rank = v.begun(f)
		f.progress()
		return
	}
	f.rank = rankApproved
	for _, r := range f.counted {
		switch {
		case r.rank >= rankInReview:
			f.rank = max(f.rank, r.rank)
		case f.rank >= rankInReview:
		case r.rank < rankApproved && (f.rank >= rankApproved || r.rank > f.rank):
			f.rank = r.rank
		case f.rank < rankApproved:
		case r.rank == rankExpired:
			f.rank = rankExpired
		}
	}
	switch {
	case f.rank < rankApproved:
		f.rank = max(f.rank, v.begun(f))
		f.progress()
	case f.rank == rankApproved:
		f.approved()
	default:
		f.pick(f.counted, f.rank, (*result).graver)
	}
}

// approved finds the newest approval of somebody's own, and the first end of all that count.
func (f *folding) approved() {
	f.pick(f.counted, rankApproved, func(r, o *result) bool { return newest(r.by, o.by) > 0 })
	for i := range f.counted {
		if r := &f.counted[i]; sooner(r.until, f.until) {
			f.until = r.until
		}
	}
	if f.by != nil {
		f.from = f.by.from
	}
}

// progress finds what shows of a subject who is not decided.
func (f *folding) progress() {
	further := func(r, o *result) bool { return newest(r.shown, o.shown) > 0 }
	if f.pick(f.counted, f.rank, further); f.by == nil {
		f.pick(f.each, f.rank, further)
	}
}

// pick finds what decides among the results of a rank.
func (f *folding) pick(of []result, rank rank, better func(r, o *result) bool) {
	for i := range of {
		if r := &of[i]; r.rank == rank && r.shown != nil && r.by != nil && (f.by == nil || better(r, f.by)) {
			f.by = r
		}
	}
}

// begun is pending while anything is under way, or when all there is has been decided and more is
// asked for.
func (v *view) begun(f *folding) rank {
	if v.submitted {
		return rankPending
	}
	undecided := false
	for i := range v.checks {
		k := &v.checks[i]
		if k.overall() && v.firstOverall(k.typ) != i {
			continue // they are one scope
		}
		r := f.each[i]
		if k.overall() {
			r = v.whole(f, k.typ)
		}
		switch {
		case r.rank == rankPending:
			return rankPending
		case r.rank < rankPending:
			undecided = true
		}
	}
	if undecided {
		return rankNotStarted
	}
	return rankPending
}

func (v *view) firstOverall(t Check) int {
	return slices.IndexFunc(v.checks, func(c check) bool { return c.typ == t && c.overall() })
}
