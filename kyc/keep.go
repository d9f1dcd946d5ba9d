package kyc

import (
	"cmp"
	"slices"
)

// limits bound what is kept of one subject. Beyond them a state forgets in the direction that
// approves nobody. A variable for the tests.
var limits = struct {
	checks int
	runs   int // of a source
	kept   int // approvals, resets and attempts of one check and run, timed and timeless apart
	words  int // in all
	weak   int // checks of which nothing is said but by unsigned words, and what those of one check and run are about: what is made up takes no room from what is not
}{24, 16, 4, 128, 8}

// checkOf is the check that an update is about, without its source.
func (s *State) checkOf(u *Update) check {
	c := check{typ: u.Check, scope: u.Scope, part: u.Document.Type}
	switch {
	case u.Kind == Submission:
		if c = (check{typ: IdentityVerification, scope: Overall}); s.kind == Company {
			c.typ = BusinessVerification
		}
	case c.scope == "" && u.Kind == Decision:
		c.scope = Overall
	case c.scope == "":
		c.scope = CheckScope // a step approves nobody by itself
	}
	if c.scope == Overall {
		c.part = ""
	}
	return c
}

// find is the place of the check that an update is about; -1: it is not known.
func (s *State) find(u *Update) int {
	want := s.checkOf(u)
	return slices.IndexFunc(s.checks, func(c check) bool {
		return c.typ == want.typ && c.scope == want.scope && c.part == want.part && s.sources[c.source].name == u.Source
	})
}

// place is find, and makes a place where there is none; -1: there is no room for it.
func (s *State) place(u *Update) (at, by int) {
	if at = s.find(u); at >= 0 {
		by = s.checks[at].source
		s.sources[by].provider = cmp.Or(s.sources[by].provider, u.Provider)
		return at, by
	}
	if len(s.checks) >= limits.checks || u.NeedsConfirmation && s.unspoken() >= limits.weak {
		return -1, -1
	}
	if by = s.sourceOf(u); by < 0 {
		by = len(s.sources)
		s.sources = append(s.sources, source{name: u.Source, provider: u.Provider})
	}
	c := s.checkOf(u)
	c.source = by
	s.checks = append(s.checks, c)
	return len(s.checks) - 1, by
}

// unspoken is the number of checks of which nothing is said but by unsigned words.
func (s *State) unspoken() (n int) {
	for i := range s.checks {
		if !s.checks[i].spoke {
			n++
		}
	}
	return n
}

func (s *State) sourceOf(u *Update) int {
	return slices.IndexFunc(s.sources, func(x source) bool { return x.name == u.Source })
}

// known reports whether anything was said in the run that a submission names.
func (s *State) known(u *Update) bool {
	at := s.sourceOf(u)
	return at >= 0 && s.run(at, sessionNamed(u.Subject.ProviderRef)) != nil
}

// run is a run of a source; nil: it is not known.
func (s *State) run(source int, name session) *runOf {
	for i := range s.runs {
		if r := &s.runs[i]; r.source == source && r.name == name {
			return r
		}
	}
	return nil
}

// keep takes a word, and drops what it answers for good.
func (s *State) keep(u *Update, p Policy) word {
	s.n++
	w := wordOf(u)
	w.n = s.n
	if w.received != 0 && w.skew == 0 {
		w.received = max(w.received, s.last) // it never goes back
	}
	if w.check, w.source = s.place(u); w.check < 0 {
		if s.beyond = max(s.beyond, rankInReview); !w.weak { // somebody must look
			s.beyond = max(s.beyond, w.rank)
		}
		return w
	}
	s.checks[w.check].spoke = s.checks[w.check].spoke || !w.weak
	if !w.operator && !w.submission {
		s.begin(&w, p)
	}
	if w.submission {
		s.words = slices.DeleteFunc(s.words, func(o word) bool { return o.submission && o.check == w.check }) // the newest counts
	}
	if w.lifts() {
		s.words = slices.DeleteFunc(s.words, func(f word) bool { return f.check == w.check && (f.class != none || f.claimsYes()) })
	}
	if u.Kind == Confirmation && !w.weak {
		s.answer(&w, u)
	}
	switch {
	case w.approval(), w.reset(), w.rank == rankPending && !w.weak && !w.operator:
		s.keepNewest(w, p)
	case w.class != none, w.rank == rankExpired, w.claimsYes():
		if s.merge(w); w.weak {
			s.lump(&w)
		}
	case !w.operator && (w.attempt() || w.rank == rankLapsed):
		s.keepLast(w)
	}
	for len(s.words) > limits.words {
		if !s.forget(-1, p) {
			s.beyond = max(s.beyond, rankInReview)
			s.words = s.words[:limits.words]
		}
	}
	return w
}

// begin notes the run of a word.
func (s *State) begin(w *word, p Policy) {
	r := s.run(w.source, w.session)
	if r == nil {
		n := 0
		for i := range s.runs {
			if s.runs[i].source == w.source {
				n++
			}
		}
		if n >= limits.runs {
			s.forget(w.source, p)
		}
		s.runs = append(s.runs, runOf{source: w.source, name: w.session, old: s.sources[w.source].forgotten.has(w.session)})
		r = &s.runs[len(s.runs)-1]
	}
	if !w.weak {
		r.hear(w)
	}
}

// hear notes a strong word of the run, if it is the first.
func (r *runOf) hear(w *word) {
	bare := word{n: w.n, check: w.check, source: w.source, session: w.session, at: w.at, received: w.received, taken: w.taken, skew: w.skew, revision: w.revision}
	switch {
	case w.loose():
		skew := max(w.skew, r.late.skew)
		if r.late.n == 0 || w.arrived() < r.late.arrived() {
			r.late = bare
		}
		r.late.skew = skew
	case r.begun.n == 0 || before(w, &r.begun):
		r.begun = bare
	}
}

// answer drops the claims that the provider's own word answers: those about the same thing that
// were there when it was asked.
func (s *State) answer(w *word, u *Update) {
	asked, about := s.last, sessionNamed(u.Verification.Ref)
	switch {
	case !u.AskedAt.IsZero():
		asked = momentOf(u.AskedAt)
	case w.taken != 0:
		asked = w.taken
	case w.skew != 0:
		asked = w.received
	}
	asked -= w.skew
	s.words = slices.DeleteFunc(s.words, func(f word) bool {
		return (f.class == claim || f.claimsYes()) && f.check == w.check && f.session == w.session && f.ref == about && f.received+f.skew <= asked
	})
}

// lift notes that a provider has ended its own suspension: of each run the newest.
func (s *State) lift(u *Update) {
	w := wordOf(u)
	s.n++
	w.n = s.n
	if w.check, w.source = s.place(u); w.check < 0 {
		s.beyond = max(s.beyond, rankInReview) // somebody must look
		return
	}
	l := word{n: w.n, check: w.check, source: w.source, session: w.session, at: w.at, received: w.received, taken: w.taken, skew: w.skew, revision: w.revision, id: w.id}
	for i := range s.lifts {
		if o := &s.lifts[i]; o.check == l.check && o.session == l.session && (o.at == 0) == (l.at == 0) && o.taken == 0 && l.taken == 0 && o.skew == 0 && l.skew == 0 {
			*o = both(*o, l)
			return
		}
	}
	if s.lifts = append(s.lifts, l); len(s.lifts) > limits.runs {
		s.lifts = s.lifts[1:]
	}
}

// merge puts a word with those that are alike.
func (s *State) merge(w word) {
	for i := range s.words {
		o := &s.words[i]
		if !alike(o, &w) {
			continue
		}
		*o = both(*o, w)
		return
	}
	s.words = append(s.words, w)
}

// lump puts together unsigned words of one check and run that are about too many things: no answer
// ends those any more, only what ends them all.
func (s *State) lump(w *word) {
	n, old := 0, -1
	for i := range s.words {
		if o := &s.words[i]; o.weak && o.class == w.class && (o.class == claim || o.claimsYes()) && fellows(o, w) && o.ref != gone {
			if n++; old < 0 || o.n < s.words[old].n {
				old = i
			}
		}
	}
	if n <= limits.weak {
		return
	}
	x := s.words[old]
	x.ref, s.words = gone, slices.Delete(s.words, old, old+1)
	s.merge(x)
}

// keepLast keeps of the lapses of a check and run, and of its weak attempts, the newest, timed and
// timeless apart.
func (s *State) keepLast(w word) {
	for i := range s.words {
		o := &s.words[i]
		if (o.rank == rankPending || o.rank == rankLapsed) && (o.weak || o.rank == w.rank) && o.weak == w.weak && fellows(o, &w) && (w.skew == 0 || later(o, &w) == (o.received <= w.received)) {
			if later(o, &w) {
				*o = w
			}
			return
		}
	}
	s.words = append(s.words, w)
}

// fellows are words of one check and run that order each other.
func fellows(a, b *word) bool {
	return a.check == b.check && run(a, b) && sameClock(a, b)
}

// keepNewest keeps the newest few approvals, resets or attempts of a check and run. What one that
// is dropped had to say goes to its neighbour.
func (s *State) keepNewest(w word, p Policy) {
	s.words = append(s.words, w)
	n, old := 0, -1
	for i := range s.words {
		o := &s.words[i]
		if o.weak || o.rank != w.rank || !fellows(o, &w) {
			continue
		}
		if n++; old < 0 || s.spare(o, &s.words[old]) {
			old = i
		}
	}
	if w.approval() && !w.operator {
		s.lose(&w, n > limits.kept)
	}
	if n <= limits.kept {
		return
	}
	switch x := s.words[old]; {
	case x.reset():
		s.succeed(&x, old)
	case x.approval():
		s.bequeath(old, p)
	}
	s.words = slices.Delete(s.words, old, old+1)
}

// spare reports whether a is sooner dropped than b: an attempt that another follows before the next
// approval, else what is older.
func (s *State) spare(a, b *word) bool {
	if a.rank == rankPending {
		if x, y := s.followed(a), s.followed(b); x != y {
			return x
		}
	}
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order(), b.order()), cmp.Compare(a.n, b.n)) < 0
}

// order is the revision of what has a time. Without one arrival tells.
func (w *word) order() int64 {
	if w.at == 0 {
		return 0
	}
	return w.revision
}

// followed reports whether a newer attempt of the run stands between an attempt and the approvals
// after it.
func (s *State) followed(a *word) bool {
	return slices.ContainsFunc(s.words, func(o word) bool {
		follows := o.rank == rankPending && !o.weak && fellows(&o, a) && before(a, &o)
		return follows && !slices.ContainsFunc(s.words, func(y word) bool {
			return y.approval() && y.check == a.check && run(&y, a) && !before(&y, a) && !before(&o, &y)
		})
	})
}

// succeed lets the next reset stand for one that is dropped: what came after that by arrival came
// after a reset.
func (s *State) succeed(x *word, at int) {
	var next *word
	for i := range s.words {
		if o := &s.words[i]; i != at && o.reset() && fellows(o, x) && (next == nil || before(o, next)) {
			next = o
		}
	}
	next.n, next.taken = max(next.n, x.n), max(next.taken, x.taken)
	if next.skew != 0 {
		next.received, next.skew = max(next.received, x.received), max(next.skew, x.skew)
	}
}
