package kyc

import "slices"

// The rules say what a person's status is, given every word that has been said. kyc/truth is their
// definition, over everything that was ever said; docs/STATUS.md is the page for people. State
// keeps the words that can still matter and judges them here, so that there is one set of rules.
//
// In short: what takes away is a finding, and a finding stays until something answers it: a newer
// approval, the provider's answer to our question, an operator who knew of it. An attempt, a reset,
// an expiry, a milder word or the passing of time approves nobody.

// view is what is known of a subject at an instant.
type view struct {
	*State
	policy Policy
	now    moment
}

// scope is what is folded together: the overall checks of a type, or one check.
type scope struct {
	*view
	words     []*word
	approvals []*word // that can stand
	findings  []*word // that nothing but an approval can answer any more
	ever      bool    // something was approved once
	skewed    bool    // some words have a skew
	open      []*word // room for weigh
	standing  []*word // the same
	periods   []period
}

// period is one approval with what only repeats it: since when, and where it runs out; zero: never.
type period struct {
	of          *word
	from, until moment
}

// answers reports whether an approval answers a finding of the same scope.
func (sc *scope) answers(a, f *word) bool {
	source := !a.operator && a.source == f.source
	same := source && a.session == f.session
	switch {
	case !before(f, a):
		return false
	case a.operator: // what it knew of its own check is no finding any more
		return !f.serious() && (f.class <= soft || f.class == final && f.n < a.n)
	case f.class == claim:
		return source || !f.serious()
	case f.class == soft, f.class == final && !f.serious():
		return true
	case f.class == grave:
		return same || source && sc.anew(a, f)
	case f.class == final:
		return same && sc.resetBetween(f, a) || source && !same && sc.anew(a, f)
	case f.class == ban:
		return same
	default: // a hit, or an operator's no: an operator alone
		return false
	}
}

// first is the first strong word of the run of a word, and the first of those of which their place
// says nothing; nil: there is none.
func (v *view) first(w *word) (first, late *word, old bool) {
	r := v.run(w.source, w.session)
	if w.operator || r == nil || r.begun.n == 0 && r.late.n == 0 {
		return w, nil, false
	}
	if r.begun.n > 0 {
		first = &r.begun
	}
	if r.late.n > 0 {
		late = &r.late
	}
	return first, late, r.old
}

// anew reports whether the run of an approval was begun after a finding.
func (v *view) anew(a, f *word) bool {
	first, late, old := v.first(a)
	return !old && after(first, f) && after(late, f)
}

// after reports whether a word is newer than another, if there is one.
func after(b, a *word) bool { return b == nil || before(a, b) }

// anewAfter reports whether the run of a word was begun after the run of another.
func (v *view) anewAfter(a, other *word) bool {
	first, late, forgot := v.first(other)
	return !forgot && (first == nil || v.anew(a, first)) && (late == nil || v.anew(a, late))
}

// resetBetween reports whether the source has begun a run again between two of its words.
func (sc *scope) resetBetween(a, b *word) bool {
	return slices.ContainsFunc(sc.words, func(r *word) bool { return r.reset() && run(r, b) && before(a, r) && before(r, b) })
}

// ended reports a suspension that its own provider has lifted, in its run and after it.
func (v *view) ended(f *word) bool {
	return f.class == ban && slices.ContainsFunc(v.lifts, func(l word) bool { return l.check == f.check && run(&l, f) && before(f, &l) })
}

// outrun reports whether a rejection that may be tried again is moot: a run of its source that
// began after its own had been approved before it, and was the try.
func (sc *scope) outrun(f *word) bool {
	if f.rank != rankRejected || f.class != soft || f.session <= gone {
		return false
	}
	return slices.ContainsFunc(sc.approvals, func(a *word) bool {
		theirs := a.operator || a.source != f.source || a.session == f.session || a.session == 0
		older := !before(f, a)
		if doubted(f, a) {
			older = before(a, f)
		}
		return !theirs && older && sc.anewAfter(a, f) && !sc.undone(a)
	})
}

// undone reports whether the source has begun the run of its approval anew, by a word that is not
// known to be older.
func (sc *scope) undone(a *word) bool { return sc.resetOf(a, true) != nil }

// replaced is undone, but where the place of one of the two says nothing: then it must be known.
func (sc *scope) replaced(a *word) bool { return sc.resetOf(a, false) != nil }

// resetOf is that word; nil: there is none.
func (sc *scope) resetOf(a *word, doubt bool) *word {
	i := slices.IndexFunc(sc.words, func(r *word) bool {
		unknown := (r.at == 0) != (a.at == 0)
		if r.loose() || a.loose() {
			unknown = doubt
		}
		return r.reset() && run(r, a) && (before(a, r) || unknown && !before(r, a))
	})
	if i < 0 {
		return nil
	}
	return sc.words[i]
}

// until is when an approval ends: what it says, or when its source, of this run or a newer one, or
// an operator last said that it had ended.
func (sc *scope) until(a *word) period {
	p := sc.given(a)
	first, late, old := sc.first(a)
	for _, e := range sc.words {
		if !e.ends() || e.source != a.source || before(e, a) {
			continue
		}
		ends := e.operator || e.session == gone
		if !ends && !a.operator {
			other, unknown, _ := sc.first(e)
			ends = run(e, a) || old || late != nil || unknown != nil || before(first, other)
		}
		if ends && sooner(e.when(), p.until) {
			p.until = e.when()
		}
	}
	return p
}

// own is the end of an approval by itself: the provider's date, or the validity that the policy
// gives its type.
func (v *view) own(a *word) moment {
	if a.dated {
		return a.expires
	}
	end := v.policy.validity(v.checks[a.check].typ, a.start())
	if sooner(a.expires, end) { // it repeats one that is no longer kept
		end = a.expires
	}
	return end
}

// given is since when an approval holds, and until when by its own word. One that only repeats the
// approval before it, whose date has not passed and whose run has not been tried, begun again or
// ended between them, extends nothing but by a date of the provider's.
func (sc *scope) given(a *word) period {
	for i := range sc.periods {
		if sc.periods[i].of == a {
			return sc.periods[i]
		}
	}
	p := period{a, a.start(), sc.own(a)}
	if !a.operator && !a.dated {
		for _, o := range sc.approvals {
			if o == a || !sc.repeats(o, a) {
				continue
			}
			if earlier := sc.given(o); sooner(a.least(), earlier.until) && sooner(earlier.until, p.until) {
				p.from, p.until = earlier.from, earlier.until
			} else if earlier.until == 0 && p.until == 0 {
				p.from = min(p.from, earlier.from)
			}
		}
		_, _, old := sc.first(a)
		for i := range sc.lost {
			l := &sc.lost[i]
			if l.late && l.check == a.check && (l.session == a.session || old && l.session == gone) && sooner(l.until(sc.view), p.until) {
				p.until = l.until(sc.view)
			}
		}
	}
	sc.periods = append(sc.periods, p)
	return p
}

// repeats reports whether nothing lies between an approval and an older one of its run.
func (sc *scope) repeats(o, a *word) bool {
	return run(o, a) && before(o, a) && !slices.ContainsFunc(sc.words, func(w *word) bool {
		between := w.approval() || w.attempt() && !w.weak || w.reset() || w.ends()
		return between && run(w, a) && before(o, w) && before(w, a)
	})
}

// lasts is until when an approval lasts: where nobody knows which of two of its run is the newer,
// the one that ends sooner tells. One of which its place says nothing, and may be the newer, brings its
// own twins.
func (sc *scope) lasts(a *word) period {
	p := sc.until(a)
	for _, o := range sc.approvals {
		if (twins(o, a) || sc.late(a, o)) && !sc.replaced(o) {
			if e := sc.until(o); sooner(e.until, p.until) {
				p.until = e.until
			}
		}
	}
	return p
}

// twins are two approvals of a run of which nobody knows which is the newer.
func twins(a, b *word) bool { return run(a, b) && !before(a, b) && !before(b, a) }

// late reports whether one is the twin of an approval of which its place says nothing and that may be
// newer than another.
func (sc *scope) late(a, o *word) bool {
	return slices.ContainsFunc(sc.approvals, func(w *word) bool { return w.loose() && run(w, a) && !before(w, a) && twins(w, o) })
}
