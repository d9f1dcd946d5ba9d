package second

import (
	"maps"
	"slices"
	"time"
)

// matter is one type of check: its overall scope, which may be unknown, and its steps, which are
// all known.
type matter struct {
	typ      string
	required bool
	overall  *scope
	steps    []*scope
}

// Tell is the status of the subject at an instant and, if it is approved, until when (zero: for
// ever).
func (h History) Tell(p Policy, now time.Time) (Status, time.Time) {
	words, registered := h.hear()
	if len(words) == 0 && !registered {
		return NotStarted, time.Time{}
	}
	matters := split(words, p, now)
	var t tally
	for _, m := range matters {
		t.add(m)
	}
	return t.status(howFar(matters, registered))
}

// split weighs every scope and puts the scopes of one type together, in the order of the types'
// names.
func split(words []word, p Policy, now time.Time) []matter {
	first := begin(words)
	types := map[string]bool{} // whether it is required
	said := map[Key][]word{}
	for _, w := range words {
		key := w.Key
		if key.Overall {
			key = Key{Type: key.Type, Overall: true}
		}
		said[key] = append(said[key], w)
		types[key.Type] = false
	}
	for _, typ := range p.Required {
		types[typ] = true
	}
	var out []matter
	for _, typ := range slices.Sorted(maps.Keys(types)) {
		key := Key{Type: typ, Overall: true}
		m := matter{typ: typ, required: types[typ], overall: weigh(key, said[key], first, now)}
		for key, ws := range said {
			if key.Type == typ && !key.Overall {
				m.steps = append(m.steps, weigh(key, ws, first, now))
			}
		}
		out = append(out, m)
	}
	return out
}

// known tells whether anything was said in the scope.
func (s *scope) known() bool { return len(s.words) > 0 }

// decided is rule 10.
func (s *scope) decided() bool { return s.says >= Approved || len(s.open) > 0 || len(s.approvals) > 0 }

// counted is rule 10: the scopes of the type that count.
func (m matter) counted() []*scope {
	source, speaks := m.speaker()
	var out []*scope
	if m.overall.decided() || m.overall.known() && m.required && !speaks {
		out = append(out, m.overall)
	}
	for _, s := range m.steps {
		if m.alwaysCounts(s) || m.required && !m.overallOnly() && m.stepCounts(s, source, speaks) {
			out = append(out, s)
		}
	}
	return out
}

// alwaysCounts is rule 10: a step that counts whatever the policy.
func (m matter) alwaysCounts(s *scope) bool {
	return m.screening() && s.decided() || slices.ContainsFunc(s.open, func(f word) bool {
		c := f.class()
		return c == ban || c == hit || c == no || f.serious() && c != claim
	})
}

// stepCounts is rule 10 for a step of a required type that steps may decide.
func (m matter) stepCounts(s *scope, source string, speaks bool) bool {
	switch {
	case m.overall.decided():
		return slices.ContainsFunc(s.unsettled, func(f word) bool {
			return !slices.ContainsFunc(m.overall.approvals, func(a word) bool { return newer(a, f) })
		})
	case speaks:
		return s.key.Source == source || slices.ContainsFunc(s.unsettled, word.serious)
	}
	return true
}

// overallOnly tells whether only an overall check decides the type (rule 10).
func (m matter) overallOnly() bool {
	return m.typ == "identity_verification" || m.typ == "business_verification"
}

// screening tells whether the type is the one that rules 10 and 11 treat apart.
func (m matter) screening() bool { return m.typ == "screening" }

// unknown is rule 10: nothing is known that could decide the type.
func (m matter) unknown() bool {
	return !m.overall.known() && (m.overallOnly() || len(m.steps) == 0)
}

// speaker is rule 10: the source that speaks for the type, if any does.
func (m matter) speaker() (source string, speaks bool) {
	if m.overallOnly() || m.overall.decided() {
		return "", false
	}
	sources := map[string]bool{}
	for _, s := range m.steps {
		sources[s.key.Source] = true
	}
	var longest time.Time
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		until, ok := m.speaks(name)
		if ok && (!speaks || sooner(longest, until)) {
			source, longest, speaks = name, until, true
		}
	}
	return source, speaks
}

// speaks is rule 10: whether the source may speak for the type, and the first end of its steps'
// approvals.
func (m matter) speaks(source string) (until time.Time, ok bool) {
	if slices.ContainsFunc(m.overall.words, func(w word) bool {
		return w.source() == source && !w.Weak && !w.Mute
	}) {
		return until, false
	}
	for _, s := range m.steps {
		if s.key.Source != source {
			continue
		}
		if s.says != Approved || !m.afterOthers(s) {
			return until, false
		}
		until = earliest(s.until, until)
	}
	return until, true
}

// afterOthers is rule 10: the step's approval is newer than all that the steps of other sources
// hold open and that is not serious.
func (m matter) afterOthers(s *scope) bool {
	for _, other := range m.steps {
		if other.key.Source == s.key.Source {
			continue
		}
		for _, f := range other.unsettled {
			if f.serious() {
				continue
			}
			older := func(a word) bool { return !newer(a, f) }
			if !slices.ContainsFunc(s.shown, func(a word) bool { return newer(a, f) }) || slices.ContainsFunc(s.mayBeShown(), older) {
				return false
			}
		}
	}
	return true
}

// tally is what rule 11 asks of everything that counts.
type tally struct {
	more      bool   // something counts that is not screening, or is neither approved nor expired
	gravest   Status // InReview or more, else NotStarted
	undecided bool   // something says `pending` or `not_started`
	furthest  Status // of that
	expired   bool
	until     time.Time // the first end of what is approved
}

// add takes in what counts of one type (rule 10).
func (t *tally) add(m matter) {
	if m.required && m.unknown() {
		t.count(m, Pending, time.Time{})
	}
	for _, s := range m.counted() {
		t.count(m, s.says, s.until)
	}
}

// count takes in what one scope says.
func (t *tally) count(m matter, says Status, until time.Time) {
	t.more = t.more || !m.screening() || says != Approved && says != Expired
	switch {
	case says >= InReview:
		t.gravest = max(t.gravest, says)
	case says == Expired:
		t.expired = true
	case says == Approved:
		t.until = earliest(until, t.until)
	default:
		t.undecided = true
		t.furthest = max(t.furthest, says)
	}
}

// status is rule 11.
func (t *tally) status(far Status) (Status, time.Time) {
	switch {
	case !t.more:
		return far, time.Time{}
	case t.gravest > NotStarted:
		return t.gravest, time.Time{}
	case t.undecided:
		return max(t.furthest, far), time.Time{}
	case t.expired:
		return Expired, time.Time{}
	}
	return Approved, t.until
}

// howFar is how far things are (rule 11).
func howFar(matters []matter, registered bool) Status {
	pending, notStarted, known := registered, false, false
	for _, m := range matters {
		for _, s := range append([]*scope{m.overall}, m.steps...) {
			if s.known() {
				known = true
				pending = pending || s.says == Pending
				notStarted = notStarted || s.says == NotStarted
			}
		}
	}
	if !pending && (notStarted || !known) {
		return NotStarted
	}
	return Pending
}
