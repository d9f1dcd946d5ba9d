package manynodes

import "slices"

// whose is the one person that a ref leads to.
func (s *state) whose() (person int, known bool) {
	switch {
	case s.decided > 0:
		return s.decided - 1, true
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
	f.release()
}

func (f *folding) takeClaim() {
	s := &f.state
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

// release routes everything held, in order, once somebody is known to be meant.
func (f *folding) release() {
	person, known := f.whose()
	if !known {
		return
	}
	for _, h := range f.held {
		if f.makes(heldByOffset) && h.source < f.brokers[partitionOf(h.strand)].firstUpdate {
			continue
		}
		f.effects = append(f.effects, record{kind: routed, strand: person, id: h.id, ref: h.strand, at: h.at, source: h.source})
	}
	if f.makes(overtakeHeld) {
		slices.Reverse(f.effects)
	}
	f.held = nil
}
