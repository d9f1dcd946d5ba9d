package second

import (
	"cmp"
	"slices"
	"time"
)

// scope is what is weighed together (rule 5): the overall checks of one type, or one step.
type scope struct {
	key   Key    // of an overall scope: without a source
	words []word // everything said in it; it is known if there is any
	first begun  // over all scopes

	findings  []word // alike as one, neither answered for good nor outrun
	open      []word // those of them that no approval answers
	unsettled []word // what rule 10 compares with approvals elsewhere
	approvals []word
	standing  []word // those that count
	tries     []word // attempts and lapses
	resets    []word
	endings   []word
	ends      map[int]time.Time // of the approvals, by arrival; zero: never

	says  Status
	until time.Time // of Approved and Expired; zero: never
	shown []word    // of Approved and Expired: the standing approvals that last longest
}

// weigh is rules 3 to 9 for one scope.
func weigh(key Key, words []word, first begun, now time.Time) *scope {
	s := &scope{key: key, words: words, first: first}
	s.sort()
	s.find()
	s.stand()
	s.end()
	s.say(now)
	return s
}

// sort picks out, by class, all but the findings.
func (s *scope) sort() {
	for _, w := range s.words {
		switch w.class() {
		case approval:
			s.approvals = append(s.approvals, w)
		case attempt, lapse:
			s.tries = append(s.tries, w)
			if w.reset() {
				s.resets = append(s.resets, w)
			}
		case ending:
			s.endings = append(s.endings, w)
		default:
		}
	}
	s.endings = merge(s.endings)
}

// find is rules 3 to 6: which findings there are, and which of them are open.
func (s *scope) find() {
	var left []word
	for _, w := range s.words {
		if w.finding() && !answeredForGood(w, s.words) {
			left = append(left, w)
		}
	}
	for _, f := range merge(left) {
		if lifted(f, s.words) || s.outrun(f) {
			continue
		}
		s.findings = append(s.findings, f)
		if !s.answered(f) {
			s.open = append(s.open, f)
		}
	}
}

// answered tells whether an approval answers the finding (rule 5).
func (s *scope) answered(f word) bool {
	return slices.ContainsFunc(s.approvals, func(a word) bool { return s.answers(a, f) })
}

// outrun is rule 6.
func (s *scope) outrun(f word) bool {
	if f.class() != soft || f.Status != Rejected || f.Session == "" {
		return false
	}
	return slices.ContainsFunc(s.approvals, func(a word) bool {
		return !a.Operator && a.source() == f.source() && a.Session != "" && a.Session != f.Session &&
			s.first.afterRun(a.run(), f.run()) && notNewer(a, f) && !s.undone(a)
	})
}

// notNewer is rule 6: the finding is not older than the approval, or known to be newer if one of the
// two is without a time and receipt is by several clocks.
func notNewer(a, f word) bool {
	if (a.several() || f.several()) && (!a.timed() || !f.timed()) {
		return newer(f, a)
	}
	return !newer(a, f)
}

// undone is rule 7: the approval's run was reset after it, or may have been.
func (s *scope) undone(a word) bool { return s.reset(a, true) }

// replaced is rule 8: the same, but it must be known if one of the two had to wait.
func (s *scope) replaced(a word) bool { return s.reset(a, false) }

func (s *scope) reset(a word, doubt bool) bool {
	return slices.ContainsFunc(s.resets, func(r word) bool {
		unsure := r.timed() != a.timed()
		if r.unplaced() || a.unplaced() {
			unsure = doubt
		}
		return r.run() == a.run() && (newer(r, a) || unsure && !newer(a, r))
	})
}

// superseded is rule 7.
func (s *scope) superseded(a word) bool {
	return slices.ContainsFunc(s.findings, func(f word) bool {
		return !newer(a, f) && (!a.Operator || f.n >= a.n)
	})
}

// stand is rule 7: which approvals stand and, of their run, count.
func (s *scope) stand() {
	var all []word
	for _, a := range s.approvals {
		if !s.superseded(a) && !s.undone(a) {
			all = append(all, a)
		}
	}
	by := all
	if s.several() {
		by = s.approvals
	}
	for _, a := range all {
		if !slices.ContainsFunc(by, func(b word) bool { return b.run() == a.run() && newer(b, a) }) {
			s.standing = append(s.standing, a)
		}
	}
}

// sooner tells whether one end comes before the other; zero is never.
func sooner(a, b time.Time) bool { return !a.IsZero() && (b.IsZero() || a.Before(b)) }

// earliest is the first of two ends; zero is never.
func earliest(a, b time.Time) time.Time {
	if sooner(a, b) {
		return a
	}
	return b
}

// over tells whether an end or a deadline has come (rule 8).
func over(end, now time.Time) bool { return !end.IsZero() && !end.After(now) }

// end is rule 8: first what each approval's date and repeating give, then the words that end it,
// then its equals.
func (s *scope) end() {
	dated, ended := map[int]time.Time{}, map[int]time.Time{}
	for _, a := range s.approvals {
		ended[a.n] = s.ended(a, s.dated(a, dated))
	}
	s.ends = map[int]time.Time{}
	for _, a := range s.approvals {
		end := ended[a.n]
		for _, b := range s.equals(a) {
			end = earliest(ended[b.n], end)
		}
		s.ends[a.n] = end
	}
}

// equals is rule 8: whose ends count for an approval, too.
func (s *scope) equals(a word) (out []word) {
	equal := func(x, y word) bool { return x.run() == y.run() && !newer(x, y) && !newer(y, x) }
	for _, b := range s.approvals {
		byLate := slices.ContainsFunc(s.approvals, func(w word) bool {
			return w.unplaced() && w.run() == a.run() && !newer(a, w) && equal(w, b)
		})
		if (equal(a, b) || byLate) && !s.replaced(b) {
			out = append(out, b)
		}
	}
	return out
}

// dated is the end of an approval by its date and by what it repeats (rule 8). Those worked out are
// kept in known.
func (s *scope) dated(a word, known map[int]time.Time) time.Time {
	if end, ok := known[a.n]; ok {
		return end
	}
	end := a.Expires
	for _, old := range s.approvals {
		if !s.repeats(a, old) {
			continue
		}
		if e := s.dated(old, known); !over(e, a.least()) {
			end = earliest(e, end)
		}
	}
	known[a.n] = end
	return end
}

// least is the word's time, else the first instant at which it may have been received.
func (w word) least() time.Time {
	if w.timed() {
		return w.At
	}
	from, _ := w.span()
	return from
}

// repeats is rule 8: an approval without a provider's date repeats an older one of its run.
func (s *scope) repeats(a, old word) bool {
	if a.Operator || !a.Assumed && !a.Expires.IsZero() || a.run() != old.run() || !newer(a, old) {
		return false
	}
	between := func(w word) bool {
		return w.class() != lapse && !w.Weak && w.run() == a.run() && newer(w, old) && newer(a, w)
	}
	return !slices.ContainsFunc(s.approvals, between) && !slices.ContainsFunc(s.tries, between) &&
		!slices.ContainsFunc(s.endings, between)
}

// ended is rule 8: the end of an approval after the words `expired` by validity.
func (s *scope) ended(a word, end time.Time) time.Time {
	for _, x := range s.endings {
		if x.source() == a.source() && !newer(a, x) && s.mayEnd(x, a) {
			end = earliest(x.when(), end)
		}
	}
	return end
}

// mayEnd is rule 8: whose `expired` ends whose approval.
func (s *scope) mayEnd(x, a word) bool {
	if x.Operator || a.Operator {
		return x.Operator
	}
	_, mine := s.first.late[a.run()]
	_, other := s.first.late[x.run()]
	return x.run() == a.run() || mine || other || s.first.afterRun(x.run(), a.run())
}

// say is rule 9.
func (s *scope) say(now time.Time) {
	switch {
	case len(s.open) > 0:
		s.unsettled = s.open
		if s.several() && !slices.ContainsFunc(s.approvals, func(a word) bool { return !s.superseded(a) }) {
			s.unsettled = s.findings
		}
		for _, f := range s.open {
			s.says = max(s.says, s.shows(f, now))
		}
	case len(s.findings) > 0 && !slices.ContainsFunc(s.approvals, func(a word) bool { return !s.superseded(a) }):
		s.says, s.unsettled = InReview, s.findings
	case len(s.standing) > 0:
		s.sayStanding(now)
	default:
		s.says = s.howFar(now)
	}
}

// sayStanding is rule 9 for a scope in which an approval stands.
func (s *scope) sayStanding(now time.Time) {
	s.shown = unbeaten(s.standing, func(b, a word) bool {
		return sooner(s.ends[a.n], s.ends[b.n]) || s.ends[a.n].Equal(s.ends[b.n]) && newer(b, a)
	})
	s.until = s.ends[s.shown[0].n]
	later := func(w word) bool { return w.when().After(s.until) }
	switch {
	case !over(s.until, now):
		s.says = Approved
	case slices.ContainsFunc(showing(s.tries, now), later):
		s.says = s.howFar(now)
	default:
		s.says = Expired
	}
}

// several tells whether a word of the scope has a skew.
func (s *scope) several() bool { return slices.ContainsFunc(s.words, word.several) }

// mayBeShown are, where a word of the scope has a skew, the approvals that rule 10 asks of besides
// those that last longest.
func (s *scope) mayBeShown() (out []word) {
	for _, a := range s.approvals {
		behind := slices.ContainsFunc(s.shown, func(w word) bool { return newer(w, a) })
		if s.several() && (sooner(s.until, a.Expires) || s.until.Equal(a.Expires) && !behind) {
			out = append(out, a)
		}
	}
	return out
}

// shows is the status that an open finding has or shows instead (rule 9).
func (s *scope) shows(f word, now time.Time) Status {
	switch f.class() {
	case claim:
		return InReview
	case hit:
		return RejectedTerminal
	default:
	}
	if !s.givesWay(f) && !f.exhausted() {
		return f.Status
	}
	var after []word
	for _, w := range s.tries {
		if !w.Weak && w.source() == f.source() && newer(w, f) {
			after = append(after, w)
		}
	}
	if shown := showing(after, now); len(shown) > 0 && (s.givesWay(f) || s.first.after(shown[0].run(), f)) {
		return shown[0].Status
	}
	return f.Status
}

// givesWay tells whether an open finding may show the attempts after it (rule 9).
func (s *scope) givesWay(f word) bool {
	c := f.class()
	return c == soft || c == grave || c == final && slices.ContainsFunc(s.resets, func(r word) bool {
		return r.run() == f.run() && newer(r, f)
	})
}

// howFar is rule 9 for a scope without open findings and without an approval to tell.
func (s *scope) howFar(now time.Time) Status {
	for _, c := range s.words {
		if c.class() == claimed && !answeredForGood(c, s.words) {
			return InReview
		}
	}
	if shown := showing(s.tries, now); len(shown) > 0 {
		return shown[0].Status
	}
	return NotStarted
}

// showing is how far attempts are (rule 9): those that show. There are several only if they are of
// several sources and equally far.
func showing(tries []word, now time.Time) []word {
	ofRun := unbeaten(tries, func(b, a word) bool { return b.run() == a.run() && laterInRun(b, a) })
	live := slices.DeleteFunc(ofRun, func(w word) bool { return w.class() == lapse || over(w.Expires, now) })
	ofSource := unbeaten(live, func(b, a word) bool { return b.source() == a.source() && laterRun(b, a) })
	return unbeaten(ofSource, func(b, a word) bool { return b.Status > a.Status })
}

// laterInRun is the order of the attempts and lapses of one run (rule 9).
func laterInRun(b, a word) bool {
	return cmp.Or(said(b, a), b.when().Compare(a.when()), cmp.Compare(b.untimed(), a.untimed()), cmp.Compare(b.Revision, a.Revision),
		cmp.Compare(b.Status, a.Status), cmp.Compare(b.n, a.n)) > 0
}

// untimed is the arrival of a word without a time, and 0 of one with a time.
func (w word) untimed() int {
	if w.At.IsZero() {
		return w.n + 1
	}
	return 0
}

// laterRun is the order of the runs of one source, by the attempt of each that counts (rule 9).
func laterRun(b, a word) bool {
	return cmp.Or(said(b, a), b.when().Compare(a.when()), cmp.Compare(b.Status, a.Status), cmp.Compare(b.n, a.n)) > 0
}

// said puts a submission before what a provider said (rule 9).
func said(b, a word) int {
	switch {
	case b.Submission == a.Submission:
		return 0
	case a.Submission:
		return 1
	}
	return -1
}
