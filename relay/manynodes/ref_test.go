package manynodes

import "slices"

// whose is the one person that a ref leads to.
func (s *state) whose() (person int, known bool) {
	switch {
	case s.decided > 0:
		return s.decided - 1, true
	case s.disputed:
	case len(s.claims) == 1:
		return s.claims[0], true
	}
	return 0, false
}

func (f *folding) takeBare() {
	if f.seen[f.id] {
		return
	}
	f.seen[f.id] = !f.makes(refForgetsIDs)
	x := f.record
	x.source = f.offset
	f.held = append(f.held, x)
	f.ask()
	f.release()
}

// ask wants to hear of the further refs of an update. It waits until each has answered, for one of
// them may be somebody else's.
func (f *folding) ask() {
	for _, ref := range f.others {
		if _, ok := f.asked[ref]; ref != 0 && !ok {
			f.asked[ref] = f.makes(routesUnanswered)
			f.effects = append(f.effects, record{kind: link, strand: ref, ref: f.strand})
		}
	}
}

// takeLink answers with all who claim this ref itself. What it was answered itself it passes on to
// nobody, so that no answer goes round.
func (f *folding) takeLink() {
	if slices.Contains(f.links, f.ref) {
		return
	}
	if !f.makes(answersOnce) {
		f.links = append(f.links, f.ref)
	}
	if !f.makes(answersLaterOnly) {
		for _, person := range f.own {
			f.answer(f.ref, person)
		}
	}
	f.effects = append(f.effects, record{kind: answered, strand: f.ref, by: f.strand})
}

func (f *folding) answer(to, person int) {
	f.effects = append(f.effects, record{kind: claim, strand: to, person: person, by: f.strand, source: f.sources[person]})
}

func (f *folding) takeClaim() {
	s := &f.state
	if f.source <= s.gone[f.person] && f.source > 0 && !f.makes(claimsUnordered) {
		return // a late copy of what was claimed before an erasure
	}
	s.sources[f.person] = max(s.sources[f.person], f.source)
	if passed := f.makes(answersPassedOn); f.by == 0 && !slices.Contains(s.own, f.person) || passed && f.by != 0 {
		for _, to := range s.links {
			f.answer(to, f.person)
		}
	}
	if f.by == 0 && !slices.Contains(s.own, f.person) {
		s.own = append(s.own, f.person)
	}
	if slices.Contains(s.claims, f.person) || slices.Contains(s.claims, ambiguous) {
		return
	}
	if f.makes(claimLastWins) {
		s.claims = nil
	}
	s.claims = append(s.claims, f.person)
	if !f.claimsApart() {
		s.decided = 0 // a new claimant opens the question again
	}
	f.release()
}

// release routes what is held, in order, once somebody is known to be meant and all have answered.
func (f *folding) release() {
	person, known := f.whose()
	if !known {
		return
	}
	first := len(f.effects)
	for len(f.held) > 0 && f.heard(f.held[0]) {
		h := f.held[0]
		f.held = f.held[1:]
		if f.makes(heldByOffset) && h.source < f.brokers[partitionOf(h.strand)].firstUpdate {
			continue
		}
		f.effects = append(f.effects, record{kind: routed, strand: person, id: h.id, ref: h.strand, others: h.others, at: h.at, source: h.source})
	}
	if f.makes(overtakeHeld) {
		slices.Reverse(f.effects[first:])
	}
}

// heard says whether all further refs of an update have answered.
func (f *folding) heard(x record) bool {
	return !slices.ContainsFunc(x.others[:], func(ref int) bool { return ref != 0 && !f.asked[ref] })
}
