package kyc

import "slices"

// judge says what became of a word, in the light of all of them.
func (v *view) judge(w *word, f *folding) Verdict {
	if w.check < 0 {
		return Applied // there was no room: somebody must look
	}
	sc, r := &f.scopes[w.check], &f.each[w.check]
	switch {
	case w.operator, w.submission:
		return Applied
	case w.class != none:
		return v.judgeFinding(w, f, r)
	case w.approval():
		return v.judgeApproval(w, sc, r, f)
	case w.claimsYes():
		if r.shown != nil && r.shown.n == w.n {
			return Applied
		}
		return Superseded
	default:
		return sc.judgeAttempt(w, r)
	}
}

// judgeFinding: what takes away stands until it is answered.
func (v *view) judgeFinding(w *word, f *folding, r *result) Verdict {
	stands := func(r *result) bool { return slices.ContainsFunc(r.left, func(l *word) bool { return l.n == w.n }) }
	if stands(r) {
		if whole := v.whole(f, v.checks[w.check].typ); v.checks[w.check].overall() && !stands(&whole) {
			return v.answered(w, v.scopeOf(v.checks[w.check].typ))
		}
		return Applied
	}
	return v.answered(w, &f.scopes[w.check])
}

func (v *view) scopeOf(t Check) *scope {
	of, _ := v.of(t, true)
	return v.scope(of)
}

// answered tells a finding that an operator's approval answers from one that is merely old.
func (v *view) answered(w *word, sc *scope) Verdict {
	for _, f := range sc.findings {
		if f.n == w.n && slices.ContainsFunc(sc.approvals, func(a *word) bool { return a.operator && sc.answers(a, f) }) {
			return Overruled
		}
	}
	return Stale
}

// judgeApproval: what approves counts, waits behind a finding that it does not answer, or comes too
// late.
func (v *view) judgeApproval(w *word, sc *scope, r *result, f *folding) Verdict {
	waits := func(by func(class) bool) bool {
		return slices.ContainsFunc(r.left, func(l *word) bool { return by(l.class) && before(l, w) })
	}
	i := slices.IndexFunc(sc.approvals, func(a *word) bool { return a.n == w.n })
	switch {
	case waits(func(c class) bool { return c == hit }):
		return Held
	case waits(func(c class) bool { return c > soft }):
		return Parked
	case i < 0, sc.undone(sc.approvals[i]), slices.ContainsFunc(sc.approvals, func(o *word) bool { return run(o, w) && before(w, o) }):
		return Stale
	}
	if by := sc.supersedes(sc.approvals[i]); by != nil && run(by, w) {
		return Stale
	} else if by != nil {
		return Superseded
	}
	whole := r
	if c := &v.checks[w.check]; c.overall() {
		all := v.whole(f, c.typ)
		whole = &all
	}
	if whole.by != nil && !run(whole.by, w) {
		return Superseded
	}
	return Applied
}

// judgeAttempt: how far an attempt is matters while nothing newer was said in its run.
func (sc *scope) judgeAttempt(w *word, r *result) Verdict {
	newer := func(o *word) bool {
		return o.n != w.n && !o.weak && run(o, w) && (before(w, o) && (!w.ends() || o.approval()) || sc.tries(o, nil) && later(w, o) && sc.tries(w, nil))
	}
	switch {
	case slices.ContainsFunc(sc.words, newer):
		return Stale
	case r.open && r.by != nil && r.by.class == hit:
		return Held
	case w.ends(), r.shown != nil && run(r.shown, w):
		return Applied
	default:
		return Superseded
	}
}
