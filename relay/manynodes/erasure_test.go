package manynodes

import (
	"maps"
	"slices"
)

// An erasure takes away all that was received of a person before. Who is erased may come again, and
// begins anew.

// erase leaves of a person's strand what keeps the erased life from coming back: from when on
// updates count, and from which number on changes do.
func (f *folding) erase() {
	if f.instant <= f.erased {
		return
	}
	for _, ref := range slices.Sorted(maps.Keys(f.claimed)) {
		f.effects = append(f.effects, record{kind: forget, strand: ref, person: f.strand, source: f.offset + 1, instant: f.instant})
	}
	floor := f.floor + len(f.changes)
	if f.makes(numbersFromOne) {
		floor = 0
	}
	f.state = state{upto: f.offset + 1, erased: f.instant, floor: floor}.clone()
}

// blank says that nothing is left of a person.
func (s *state) blank() bool { return s.erased != 0 && len(s.seen) == 0 }

// marked says that a strand forgot something. Each owner writes it again, for it clears only what it
// has a checkpoint of its own of, and a zombie's late one may know what is forgotten.
func (s *state) marked() bool { return s.erased != 0 || len(s.gone) > 0 }

// takeForget takes a claim away. What is held goes with it where nobody else claims the ref; else it
// may be theirs, or not: an operator has to say.
func (f *folding) takeForget() {
	s := &f.state
	if f.source <= s.gone[f.person] {
		return
	}
	s.gone[f.person] = f.source
	for _, to := range s.links {
		f.effects = append(f.effects, record{kind: forget, strand: to, person: f.person, by: f.strand, source: f.source, instant: f.instant})
	}
	if !slices.Contains(s.claims, f.person) || s.sources[f.person] > f.source {
		return
	}
	is := func(person int) bool { return person == f.person }
	s.claims, s.own = slices.DeleteFunc(s.claims, is), slices.DeleteFunc(s.own, is)
	delete(s.sources, f.person)
	s.forgets++
	if s.decided == f.person+1 {
		s.decided = 0
	}
	if len(s.claims) == 0 {
		s.held = slices.DeleteFunc(s.held, func(h record) bool { return h.id <= f.instant })
		s.disputed, s.decided = s.disputed && len(s.held) > 0, 0
		return
	}
	s.disputed = s.decided == 0 && !f.makes(freesOthers)
	f.release()
}

// words is how many claims were made and taken away: it never falls, so no decision that is late
// counts.
func (s *state) words() int { return len(s.claims) + 2*s.forgets }

// erased is what was erased of a person last.
type erased struct{ instant, order int } // order: offset + 1

// eraseOne is whoever answers for erasures.
func (h *history) eraseOne() {
	person := h.dice.IntN(persons)
	x := record{kind: erasure, strand: person, instant: len(h.acknowledged)}
	if x.instant == h.erasures[person].instant {
		return
	}
	h.erasures[person] = erased{x.instant, len(h.brokers[partitionOf(person)].updates) + 1}
	for _, who := range h.claimants {
		delete(who, person)
	}
	h.sent = append(h.sent, x)
	h.append(x)
}

// owesNobodyErased: an owner that has folded an erasure delivers nothing of that life.
func (w *world) owesNobodyErased(f *file) {
	for person, e := range w.erasures {
		for _, d := range f.strands[person].owed {
			if f.updates >= e.order && d.order <= e.order {
				w.fail(forgotten, "person %d, erased at %d, is owed %+v", person, e.order, d)
			}
		}
	}
}

// settleErasures lets rounds, retention and compaction do what they do in time.
func (h *history) settleErasures() {
	for p, o := range h.owners {
		b := h.brokers[p]
		o.round = round{}
		for rounds := 0; rounds < 2; {
			h.checkpoint(o)
			if !o.round.begun {
				rounds++
			}
		}
		b.retain()
		for i := range relays {
			if f := h.files[i][p]; i != h.holders[p] && f.trimmed(b) && !h.makes(filesStay) {
				h.files[i][p] = newFile()
			}
		}
	}
}

// checkErased: nothing that anybody keeps knows an erased life.
func (h *history) checkErased() {
	if !h.erasing {
		return
	}
	h.settleErasures()
	for p, b := range h.brokers {
		for k, s := range b.checkpoints {
			h.knowsNone("a checkpoint", k.strand, s)
		}
		for i := range relays {
			for k, s := range h.files[i][p].strands {
				h.knowsNone("a file", k, s)
			}
		}
	}
}

func (h *history) knowsNone(where string, strand int, s state) {
	for person, e := range h.erasures {
		if strand >= firstRef {
			if source, ok := s.sources[person]; ok && source <= e.order {
				h.fail(forgotten, "%s of ref %d has a claim of person %d", where, strand, person)
			}
			continue
		}
		if strand != person {
			continue
		}
		for _, x := range s.folded {
			if x.id <= e.instant {
				h.fail(forgotten, "%s of person %d has update %d", where, person, x.id)
			}
		}
		for id := range s.seen {
			if id <= e.instant {
				h.fail(forgotten, "%s of person %d knows update %d", where, person, id)
			}
		}
	}
}

// onItsWay says that an update came after an erasure, and its ref led to that person until the ref's
// owner had heard of it.
func (h *history) onItsWay(x record, person int) bool {
	return h.erasures[person].instant != 0 && x.id > h.erasures[person].instant && h.logged(x.strand, func(y record) bool {
		return y.kind == claim && y.person == person
	})
}

// mayBeGone says that an update was routed to somebody who was erased after it came, or held where
// only they claimed the ref.
func (h *history) mayBeGone(x record) bool {
	for person, e := range h.erasures {
		if x.id <= e.instant && h.logged(person, func(y record) bool { return y.kind == routed && y.id == x.id }) {
			return true
		}
	}
	return h.logged(x.strand, func(y record) bool { return y.kind == forget && x.id <= y.instant })
}

// logged says whether a strand's log has such a record.
func (h *history) logged(strand int, is func(record) bool) bool {
	return slices.ContainsFunc(h.brokers[partitionOf(strand)].updates, func(y record) bool { return y.strand == strand && is(y) })
}
