package truth

import (
	"slices"
	"time"
)

// scope is what is folded together: the overall checks of a type, or the steps of a type of one
// source and part.
type scope struct {
	typ  string
	step *Key
}

func (sc scope) has(k Key) bool {
	return k.Type == sc.typ && (sc.step == nil && k.Overall || sc.step != nil && k == *sc.step)
}

func (v *view) of(sc scope) (us []said) {
	for _, u := range v.all {
		if sc.has(u.Key) {
			us = append(us, u)
		}
	}
	return us
}

// lifted reports whether an operator has approved or released the check knowing of the finding.
func (v *view) lifted(f said) bool {
	return slices.ContainsFunc(v.all, func(d said) bool {
		return d.Operator && d.Key == f.Key && (d.Status == Approved || d.Status == NotStarted) && f.n < d.n
	})
}

// answers reports whether an approval answers a finding of the same scope.
func (v *view) answers(a, f said, us []said) bool {
	source := !a.Operator && a.Key.Source == f.Key.Source
	same := source && a.Session == f.Session
	switch c := f.class(); {
	case !before(f, a):
		return false
	case a.Operator: // what it knew of its own check, lifted says
		return !f.serious() && (c <= soft || c == final && f.n < a.n)
	case c == claim:
		return source || !f.serious()
	case c == soft, c == final && !f.serious():
		return true
	case c == grave:
		return same || source && v.anew(a, f)
	case c == final:
		return same && resetBetween(f, a, us) || source && !same && v.anew(a, f)
	case c == ban:
		return same
	default: // a hit, or an operator's no: an operator alone
		return false
	}
}

// first is with what the run of a word began.
func (v *view) first(u said) begun {
	if b, ok := v.begun[runID{u.Key.Source, u.Session}]; ok && !u.Operator {
		return b
	}
	return begun{u}
}

// anew reports whether the run of a word was begun after others.
func (v *view) anew(a said, others ...said) bool {
	return !slices.ContainsFunc(v.first(a), func(b said) bool {
		return slices.ContainsFunc(others, func(o said) bool { return !before(o, b) })
	})
}

// resetBetween reports whether the source has begun a run again between two of its words.
func resetBetween(a, b said, us []said) bool {
	return slices.ContainsFunc(us, func(r said) bool { return r.reset() && run(r, b) && before(a, r) && before(r, b) })
}

// ended reports a suspension that its own provider has lifted, in its run and after it.
func (v *view) ended(f said) bool {
	return f.class() == ban && slices.ContainsFunc(v.lifts, func(l said) bool { return l.Key == f.Key && run(l, f) && before(f, l) })
}

// outrun reports whether a rejection that may be tried again is moot: a run of its source that
// began after its own had been approved before it, and was the try.
func (v *view) outrun(f said, approvals, us []said) bool {
	return f.Status == Rejected && f.class() == soft && f.Session != "" && slices.ContainsFunc(approvals, func(a said) bool {
		older := !before(f, a)
		if doubted(f, a) {
			older = before(a, f)
		}
		return !a.Operator && a.Key.Source == f.Key.Source && a.Session != f.Session && a.Session != "" && older && v.anew(a, v.first(f)...) && !undone(a, us)
	})
}

// undone reports whether the source has begun the run of its approval anew, by a word that is not
// known to be older.
func undone(a said, us []said) bool { return begunAnew(a, us, true) }

// replaced is undone, but where the place of one of the two says nothing: then it must be known.
func replaced(a said, us []said) bool { return begunAnew(a, us, false) }

func begunAnew(a said, us []said, doubt bool) bool {
	return slices.ContainsFunc(us, func(r said) bool {
		unknown := r.At.IsZero() != a.At.IsZero()
		if r.loose() || a.loose() {
			unknown = doubt
		}
		return r.reset() && run(r, a) && (before(a, r) || unknown && !before(r, a))
	})
}

// confirmed reports whether the provider has answered a claim for us: its answer is what counts,
// whatever it is. Claims of one slot are answered together: if one of them came after the question,
// it is asked again.
func confirmed(f said, us []said) bool {
	return slices.ContainsFunc(us, func(c said) bool {
		if !c.Confirms || c.Weak || c.Key != f.Key || c.Session != f.Session || c.Ref != f.Ref || c.n < f.n {
			return false
		}
		asked := cmpTime(c.AskedAt, c.arrived()).Add(-c.Skew)
		return !slices.ContainsFunc(us, func(g said) bool {
			return g.Weak && g.n < c.n && g.slot() == f.slot() && asked.Before(g.Received.Add(g.Skew))
		})
	})
}

func cmpTime(t, instead time.Time) time.Time {
	if t.IsZero() {
		return instead
	}
	return t
}

// until is when an approval ends: what it says, or when its source, of this run or a newer one, or
// an operator last said that it had ended.
func (v *view) until(a said, approvals, us []said) time.Time {
	end := v.given(a, approvals, us)
	for _, e := range merge(us, said.ended) {
		unknown := slices.ContainsFunc(slices.Concat(v.first(a), v.first(e)), said.loose)
		ends := e.Operator || !a.Operator && (run(e, a) || v.anew(e, v.first(a)...) || unknown)
		if ends && e.Key.Source == a.Key.Source && !before(e, a) && sooner(e.when(), end) {
			end = e.when()
		}
	}
	return end
}

// sooner compares ends, of which zero is never.
func sooner(a, b time.Time) bool { return !a.IsZero() && (b.IsZero() || a.Before(b)) }

// given is the date of an approval. One that only repeats the approval before it, whose date has
// not passed and whose run has not been tried again, begun again or ended between them, extends
// nothing but by a date of the provider's. An attempt between them makes it a renewal.
func (v *view) given(a said, approvals, us []said) time.Time {
	given, ok := v.dates[a.n]
	if ok {
		return given
	}
	given = a.Expires
	if !a.Operator && (a.Expires.IsZero() || a.Assumed) {
		for _, p := range approvals {
			if !repeats(p, a, approvals, us) {
				continue
			}
			if end := v.given(p, approvals, us); sooner(a.least(), end) && sooner(end, given) {
				given = end
			}
		}
	}
	v.dates[a.n] = given
	return given
}

// repeats reports whether nothing lies between an approval and an older one of its run.
func repeats(p, a said, approvals, us []said) bool {
	between := func(u said) bool { return run(u, a) && before(p, u) && before(u, a) }
	return run(p, a) && before(p, a) && !slices.ContainsFunc(approvals, between) && !slices.ContainsFunc(us, func(u said) bool { return (u.reset() || u.tried()) && between(u) }) &&
		!slices.ContainsFunc(merge(us, said.ended), between)
}

// lasts is until when an approval lasts: where nobody knows which of two of its run is the newer,
// the one that ends sooner tells. One of which its place says nothing, and may be the newer, brings its
// own twins.
func (v *view) lasts(a said, approvals, us []said) time.Time {
	end := v.until(a, approvals, us)
	for _, o := range approvals {
		late := slices.ContainsFunc(approvals, func(w said) bool { return w.loose() && run(w, a) && !before(w, a) && twins(w, o) })
		if (late || twins(o, a)) && !replaced(o, us) {
			if e := v.until(o, approvals, us); sooner(e, end) {
				end = e
			}
		}
	}
	return end
}

// twins are two approvals of a run of which nobody knows which is the newer.
func twins(a, b said) bool { return run(a, b) && !before(a, b) && !before(b, a) }
