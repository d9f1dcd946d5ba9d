package truth

import (
	"cmp"
	"slices"
	"time"
)

// result is what a scope says.
type result struct {
	status Status
	until  time.Time
	hard   bool // by a finding that counts whatever the policy asks for
	open   bool // by a finding that nothing has answered, even where a new try is shown in its place
	ever   bool // it has been decided once, so it counts from then on
	known  bool
	by     said

	left, approvals []said // the findings that nothing has answered, and whatever approved
	rivals          []said // the approvals that may be the one that tells, where skews leave it in doubt
}

func (r result) decided() bool { return r.known && (r.status >= Approved || r.open || r.ever) }

func (v *view) fold(sc scope) (r result) {
	if !slices.ContainsFunc(v.keys, sc.has) {
		return r
	}
	us := v.of(sc)
	r.known = true
	var approvals []said
	ever := false
	for _, u := range us {
		if u.approval() {
			ever = true
			approvals = append(approvals, u)
		}
	}
	findings := merge(us, func(u said) bool {
		c := u.class()
		return !u.approval() && c != none && (c != claim || !confirmed(u, us)) && !v.lifted(u)
	})
	findings = slices.DeleteFunc(findings, func(f said) bool { return v.ended(f) || v.outrun(f, approvals, us) })
	var open, standing []said
	for _, f := range findings {
		if !slices.ContainsFunc(approvals, func(a said) bool { return v.answers(a, f, us) }) {
			open = append(open, f)
		}
	}
	for _, a := range approvals { // what a finding has superseded does not come back when another answers that
		if !slices.ContainsFunc(findings, func(f said) bool { return !before(f, a) && (!a.Operator || f.n >= a.n) }) {
			standing = append(standing, a)
		}
	}
	switch {
	case len(open) > 0:
		r = v.worst(open, us)
	case len(standing) == 0 && len(findings) > 0:
		r = result{status: InReview, known: true, open: true, left: findings, by: findings[len(findings)-1]} // nobody knows which was last
	}
	skewed := slices.ContainsFunc(us, func(u said) bool { return u.Skew > 0 })
	if r.open && len(standing) == 0 && skewed {
		r.left = findings // as if they were told by nobody's knowing
	}
	r.approvals = approvals
	if r.open {
		return r
	}
	standing = slices.DeleteFunc(standing, func(a said) bool { return undone(a, us) })
	newer := slices.Clone(standing)
	if skewed {
		newer = approvals // one that only doubt takes away hides what is older all the same
	}
	standing = slices.DeleteFunc(standing, func(a said) bool { // the newer of a run tells until when
		return slices.ContainsFunc(newer, func(o said) bool { return run(o, a) && before(a, o) })
	})
	for _, a := range standing {
		end, st := v.lasts(a, approvals, us), Approved
		if !end.IsZero() && !end.After(v.now) {
			st = Expired
		}
		if r.by.Update == nil || st < r.status || st == r.status && (sooner(r.until, end) || r.until.Equal(end) && before(r.by, a)) {
			r.status, r.until, r.by = st, end, a
		}
	}
	if r.status == Approved && skewed {
		r.rivals = v.rivals(r, standing, us)
	}
	if r.status == Approved {
		return r
	}
	p := v.progress(us, nil)
	p.ever, p.approvals = ever, approvals
	if r.status == Expired && (p.by.Update == nil || !p.by.when().After(r.until)) {
		return r // an attempt that began before the end does not hide it
	}
	return p
}

// rivals are the approvals that may be the one that lasts longest, or of those the newest, if what
// skews leave in doubt were known: by their own date they last longer, or as long and none of those
// that do is known to be newer.
func (v *view) rivals(r result, standing, us []said) (rs []said) {
	for _, a := range r.approvals {
		newer := slices.ContainsFunc(standing, func(o said) bool { return before(a, o) && v.lasts(o, r.approvals, us).Equal(r.until) })
		if !sooner(a.Expires, r.until) && (!a.Expires.Equal(r.until) || !newer) {
			rs = append(rs, a)
		}
	}
	return rs
}

// worst shows the gravest of the open findings. What may be tried again shows the try, once the
// same source has begun one: that lifts nothing.
func (v *view) worst(open, us []said) result {
	best := result{}
	for _, f := range open {
		r := result{status: f.Status, known: true, open: true, by: f, left: open, hard: f.class() >= ban || f.serious() && f.class() > claim}
		switch f.class() {
		case claim:
			r.status = InReview
		case hit:
			r.status = RejectedTerminal
		case soft, grave:
			if p := v.progress(us, &f); p.by.Update != nil {
				r.status = p.status
			}
		case final:
			reset := slices.ContainsFunc(us, func(x said) bool { return x.reset() && run(x, f) && before(f, x) })
			if p := v.progress(us, &f); p.by.Update != nil && (reset || f.exhausted() && v.anew(p.by, f)) {
				r.status = p.status
			}
		default:
		}
		if best.by.Update == nil || r.status > best.status || r.status == best.status && before(best.by, f) {
			hard := best.hard || r.hard
			best = r
			best.hard = hard
		}
		best.hard = best.hard || r.hard
	}
	return best
}

// progress is how far things are: of every source the newest attempt that has not lapsed, and of
// those the furthest. With a finding, of its source and after it only.
func (v *view) progress(us []said, after *said) result {
	runs, sources := map[runID]said{}, map[string]said{}
	for _, u := range us {
		if u.Operator || u.Weak && after != nil || !u.attempt() && u.Status != Lapsed {
			continue
		}
		if after != nil && (u.Key.Source != after.Key.Source || !before(*after, u)) {
			continue
		}
		id := runID{u.Key.Source, u.Session}
		if b := runs[id]; b.Update == nil || later(b, u) {
			runs[id] = u
		}
	}
	for id, u := range runs {
		b := sources[id.source]
		newer := b.Update == nil || cmp.Or(b.when().Compare(u.when()), cmp.Compare(b.Status, u.Status), cmp.Compare(b.n, u.n)) < 0
		if b.Update != nil && b.Submission != u.Submission {
			newer = b.Submission // a partner's word that it has begun counts where the provider has none
		}
		if !u.lapsed(v.now) && newer {
			sources[id.source] = u // a try that came to nothing does not count: what was before it shows again
		}
	}
	r := result{known: true}
	for _, u := range sources {
		if b := r.by; b.Update == nil || cmp.Or(cmp.Compare(b.Status, u.Status), b.when().Compare(u.when()), cmp.Compare(b.n, u.n)) < 0 {
			r.status, r.by = u.Status, u
		}
	}
	if after == nil && slices.ContainsFunc(us, func(u said) bool { return u.Weak && u.Status == Approved && !confirmed(u, us) && !v.lifted(u) }) {
		r.status, r.open = InReview, true // somebody claims an approval
	}
	return r
}

// later puts the attempts of one run in order: by time, then by revision and how far they are, or
// by arrival. A partner's word that it has begun comes before all.
func later(a, b said) bool {
	if a.Submission != b.Submission {
		return a.Submission
	}
	timeless := func(s said) int {
		if s.At.IsZero() {
			return s.n
		}
		return 0
	}
	return cmp.Or(a.when().Compare(b.when()), cmp.Compare(timeless(a), timeless(b)), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Status, b.Status), cmp.Compare(a.n, b.n)) < 0
}

// whole types are decided by an overall check only, never by one of their steps.
func whole(t string) bool { return t == "identity_verification" || t == "business_verification" }

// subject folds the types.
func (v *view) subject(p Policy) (Status, time.Time) {
	var counted []result
	person := false // somebody has been looked at, not only looked up in lists
	count := func(t string, r result) { counted, person = append(counted, r), person || t != "screening" }
	for _, t := range v.types() {
		overall, required := v.fold(scope{typ: t}), slices.Contains(p.Required, t)
		steps := map[Key]result{}
		for _, k := range v.steps(t) {
			steps[k] = v.fold(scope{typ: t, step: &k})
		}
		speaker := ""
		if !whole(t) && !overall.decided() {
			speaker = v.speaker(t, steps)
		}
		if overall.decided() || overall.known && required && speaker == "" {
			count(t, overall)
		}
		for k, s := range steps {
			asked := required && !whole(t)
			switch {
			case asked && overall.decided(): // the overall check decides, but for what a step has found since
				asked = s.open && !s.older(overall.approvals)
			case asked && speaker != "":
				asked = k.Source == speaker || s.stays()
			}
			if asked || s.hard || t == "screening" && s.decided() {
				count(t, s)
			}
		}
	}
	for _, t := range p.Required {
		if !slices.ContainsFunc(v.keys, func(k Key) bool { return k.Type == t && (k.Overall || !whole(t)) }) {
			count(t, result{status: Pending}) // nothing is known that it can be judged by
		}
	}
	if !person && !slices.ContainsFunc(counted, func(r result) bool { return r.status != Approved && r.status != Expired }) {
		return v.begunAtAll(), time.Time{}
	}
	status, end := Approved, time.Time{}
	for _, r := range counted {
		switch {
		case r.status >= InReview && (status < InReview || r.status > status):
			status = r.status
		case status >= InReview:
		case r.status < Approved && (status >= Approved || r.status > status):
			status = r.status
		case status < Approved:
		case r.status == Expired:
			status = Expired
		}
		if r.status == Approved && !r.until.IsZero() && (end.IsZero() || r.until.Before(end)) {
			end = r.until
		}
	}
	if status < Approved {
		status = max(status, v.begunAtAll())
	}
	if status != Approved {
		end = time.Time{}
	}
	return status, end
}

// older reports whether all that is open of a step is older than an approval of another check.
func (r result) older(approvals []said) bool {
	return !slices.ContainsFunc(r.left, func(f said) bool {
		return !slices.ContainsFunc(approvals, func(a said) bool { return before(f, a) })
	})
}

// olderThanAll reports whether all that is open of a step is older than each of these approvals.
func (r result) olderThanAll(approvals []said) bool {
	return !slices.ContainsFunc(approvals, func(a said) bool { return !r.older([]said{a}) })
}

// stays reports whether something is open of a step that no approval elsewhere answers.
func (r result) stays() bool {
	return slices.ContainsFunc(r.left, func(f said) bool { return f.serious() })
}

// speaker is the source that stands for a type that is judged by steps: it has approved every step
// that it has begun, after all that others found and that may be answered elsewhere. Of several,
// the one whose approval lasts longest.
func (v *view) speaker(t string, steps map[Key]result) (best string) {
	var lasts time.Time
	for k := range steps {
		complete, end := true, time.Time{}
		for o, r := range steps {
			if o.Source != k.Source {
				continue
			}
			for x, s := range steps {
				complete = complete && (x.Source == o.Source || s.stays() || r.by.Update != nil && s.older([]said{r.by}) && s.olderThanAll(r.rivals))
			}
			if complete = complete && r.status == Approved; sooner(r.until, end) {
				end = r.until
			}
		}
		complete = complete && !slices.ContainsFunc(v.keys, func(o Key) bool {
			return o.Type == t && o.Overall && o.Source == k.Source && v.spoke[o] // and has no word on all of them outstanding
		})
		if complete && (best == "" || sooner(lasts, end) || lasts.Equal(end) && k.Source < best) {
			best, lasts = k.Source, end
		}
	}
	return best
}

func (v *view) steps(t string) (ks []Key) {
	for _, k := range v.keys {
		if k.Type == t && !k.Overall {
			ks = append(ks, k)
		}
	}
	return ks
}

func (v *view) types() (ts []string) {
	for _, k := range v.keys {
		if !slices.Contains(ts, k.Type) {
			ts = append(ts, k.Type)
		}
	}
	return ts
}

// begunAtAll is pending while anything is under way, or when all there is has been decided and more
// is asked for.
func (v *view) begunAtAll() Status {
	if v.submitted {
		return Pending
	}
	open, any := false, false
	for _, t := range v.types() {
		scopes := []scope{{typ: t}}
		for _, k := range v.steps(t) {
			scopes = append(scopes, scope{typ: t, step: &k})
		}
		for _, sc := range scopes {
			switch r := v.fold(sc); {
			case !r.known:
				continue
			case r.status == Pending:
				return Pending
			case r.status < Pending:
				open = true
			}
			any = true
		}
	}
	if open || !any {
		return NotStarted
	}
	return Pending
}
