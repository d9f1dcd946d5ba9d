package kyc

import (
	"cmp"
	"slices"
)

// A state that is full forgets runs. What takes away is kept as of nobody knows which run; what
// helps is dropped, and ends what may have been approved before it.

// bequeath lets the approvals that repeat one that is dropped end with it.
func (s *State) bequeath(at int, p Policy) {
	x := &s.words[at]
	sc := s.at(p, s.last).scope(1 << x.check)
	given := sc.given(x)
	for _, o := range sc.approvals {
		if o == x || !run(o, x) || before(o, x) {
			continue
		}
		tie := !before(x, o)
		repeats := !o.operator && !o.dated && sooner(o.least(), given.until) && sc.repeats(x, o)
		if !tie && !repeats {
			continue
		}
		if tie && !x.dated {
			o.dated = false // what still comes late may shorten it
		}
		if !x.dated && sooner(given.until, sc.own(o)) {
			o.since = given.from
		}
		if sooner(x.expires, o.expires) {
			o.expires = x.expires
		}
	}
}

// lost is what is left of approvals of a check and run that are no longer kept.
type lost struct {
	check   int
	session session
	start   moment // since when the oldest holds that the provider gave no date
	end     moment // the least date of the provider's
	late    bool   // a repetition may be one of them, and so lasts no longer than any
}

// until is when a repetition of the least of them ends.
func (l *lost) until(v *view) moment {
	end := l.end
	if l.start != 0 {
		if e := v.policy.validity(v.checks[l.check].typ, l.start); sooner(e, end) {
			end = e
		}
	}
	return end
}

func (l *lost) add(o *word) {
	if o.dated || o.expires != 0 {
		if sooner(o.expires, l.end) {
			l.end = o.expires
		}
	}
	if !o.dated && sooner(o.start(), l.start) {
		l.start = o.start()
	}
}

// lostOf is what is lost of a check and run; nil: nothing.
func (s *State) lostOf(check int, name session) *lost {
	for i := range s.lost {
		if l := &s.lost[i]; l.check == check && l.session == name {
			return l
		}
	}
	return nil
}

// lose notes that approvals of a run have been dropped. One that comes after that and is not the
// newest may belong anywhere among them: then no repetition in this run lasts longer than any
// approval so far.
func (s *State) lose(w *word, over bool) {
	l := s.lostOf(w.check, w.session)
	if l == nil {
		if !over {
			return
		}
		s.lost = append(s.lost, lost{check: w.check, session: w.session})
		l = &s.lost[len(s.lost)-1]
	}
	for i := range s.words {
		o := &s.words[i]
		if !o.approval() || o.operator || o.check != w.check || o.session != w.session {
			continue
		}
		l.late = l.late || o.n != w.n && !before(o, w) || (o.at == 0) != (w.at == 0)
		l.add(o)
	}
}

// forget drops a run of a source (-1: of any), the one that matters least, and reports whether
// there was one.
func (s *State) forget(source int, p Policy) bool {
	v := s.at(p, s.last)
	best, least := -1, [2]int64{}
	for i := range s.runs {
		if r := &s.runs[i]; source < 0 || r.source == source {
			if worth := [2]int64{v.worth(r), int64(r.since())}; best < 0 || cmp.Or(cmp.Compare(worth[0], least[0]), cmp.Compare(worth[1], least[1])) < 0 {
				best, least = i, worth
			}
		}
	}
	if best < 0 {
		return false
	}
	r := s.runs[best]
	s.runs = append(s.runs[:best], s.runs[best+1:]...)
	s.sources[r.source].forgotten = s.sources[r.source].forgotten.with(r.name)
	in := func(w *word) bool { return w.source == r.source && w.session == r.name && !w.operator }
	var pool, kept []word
	for _, w := range s.words {
		if in(&w) {
			pool = append(pool, w)
		} else {
			kept = append(kept, w)
		}
	}
	s.words = kept
	for i := range pool {
		s.bury(&pool[i])
	}
	s.buryLost(&r)
	s.lifts = slices.DeleteFunc(s.lifts, func(l word) bool { return in(&l) })
	return true
}

// since is when a run began, as far as that is known.
func (r *runOf) since() moment { return cmp.Or(r.begun.when(), r.late.when()) }

// bury keeps of a word of a forgotten run what takes away.
func (s *State) bury(w *word) {
	if w.approval() {
		s.lostFrom(w.check).add(w)
	}
	w.session, w.ref, w.try = gone, 0, 0
	switch {
	case w.approval(), w.reset():
		w.rank, w.expires, w.since, w.dated = rankExpired, 0, 0, false
		s.merge(*w)
	case w.class != none, w.rank == rankExpired, w.claimsYes():
		s.merge(*w)
	}
}

// lostFrom is what is lost of a check in runs that were forgotten.
func (s *State) lostFrom(check int) *lost {
	if s.lostOf(check, gone) == nil {
		s.lost = append(s.lost, lost{check: check, session: gone, late: true})
	}
	return s.lostOf(check, gone)
}

// buryLost moves what was lost of a run to what is lost of all that were forgotten.
func (s *State) buryLost(r *runOf) {
	all := s.lost
	s.lost = nil
	var mine []lost
	for _, l := range all {
		if s.checks[l.check].source == r.source && l.session == r.name {
			mine = append(mine, l)
		} else {
			s.lost = append(s.lost, l)
		}
	}
	for _, l := range mine {
		into := s.lostFrom(l.check)
		if sooner(l.start, into.start) {
			into.start = l.start
		}
		if sooner(l.end, into.end) {
			into.end = l.end
		}
	}
}

// worth is what a run would be missed for: least if only unsigned words were said in it, most if
// nothing else approves as long as it does.
func (v *view) worth(r *runOf) (n int64) {
	for i := range v.words {
		w := &v.words[i]
		switch {
		case w.source != r.source || w.session != r.name || w.operator:
		case w.approval() && !v.outlasted(w):
			n = max(n, 6)
		case w.approval() && v.lostOf(w.check, gone) == nil: // the first to be lost costs all that look like it their renewal
			n = max(n, 5)
		case w.approval():
			n = max(n, 4)
		case w.class > claim:
			n = max(n, 3)
		case !w.weak:
			n = max(n, 2)
		case w.class == claim, w.claimsYes():
			n = max(n, 1)
		}
	}
	return n
}

// outlasted reports whether a newer approval of the same check in another run lasts as long as this
// one, as far as that is known of a run that may be a forgotten one.
func (v *view) outlasted(w *word) bool {
	_, _, mine := v.first(w)
	for i := range v.words {
		o := &v.words[i]
		if !o.approval() || o.operator || o.check != w.check || o.session == w.session || !before(w, o) || sooner(v.own(o), v.own(w)) {
			continue
		}
		if _, _, old := v.first(o); mine || !old {
			return true
		}
	}
	return false
}

// sieve tells runs that were forgotten from runs that are new: each has a place, and what finds its
// place taken may be one of them. It never says no of one that is. With a run a day it says yes of
// one new run in six after a year, and of two in three after six: a run of which it says so is only
// trusted less.
type sieve [256]byte

func (f *sieve) has(name session) bool { return f != nil && f[name>>3&0xff]&(1<<(name&7)) != 0 }

func (f *sieve) with(name session) *sieve {
	if f == nil {
		f = new(sieve)
	}
	f[name>>3&0xff] |= 1 << (name & 7)
	return f
}
