package manynodes

import (
	"maps"
	"slices"
)

// refs is how many there are: those beyond the first eight belong to one person each.
func (w *world) refs() int {
	if w.linked {
		return linkedRefs
	}
	return refs
}

// drawOthers gives an update further refs: nearly always its person's.
func (h *history) drawOthers(x *record) {
	person := x.strand
	if x.kind == bare {
		person = 3 // of whom nobody claims, too
		if whose := belongsTo(x.strand); whose != nil {
			person = whose[h.dice.IntN(len(whose))]
		}
	}
	for i := range h.dice.IntN(3) {
		ref := firstRef + h.dice.IntN(linkedRefs)
		if !slices.Contains(belongsTo(ref), person) && !h.oneIn(30) || ref == x.strand || ref == x.ref || slices.Contains(x.others[:], ref) {
			continue
		}
		x.others[i] = ref
		if x.kind == full {
			h.teaches(ref, person)
		}
	}
}

// itself are the persons of whom a ref is said to be by what they were told.
func (h *history) itself(ref int) map[int]bool {
	if ref == 0 {
		return nil
	}
	who := cloned(h.claimants[ref])
	for person := range persons {
		for _, x := range h.strand(person).folded {
			if x.kind == routed && x.others != [2]int{} && (x.ref == ref || slices.Contains(x.others[:], ref)) {
				who[person] = true
			}
		}
	}
	return who
}

// known are the persons whom a ref's owner has to know: who taught it, and who taught the further
// refs of the updates that it routes.
func (h *history) known(ref int) map[int]bool {
	if !h.linked {
		return h.claimants[ref]
	}
	who := h.itself(ref)
	for _, x := range h.acknowledged {
		if x.kind == bare && x.strand == ref {
			maps.Copy(who, h.itself(x.others[0]))
			maps.Copy(who, h.itself(x.others[1]))
		}
	}
	return who
}

func sameSet(list []int, set map[int]bool) bool {
	return len(list) == len(set) && !slices.ContainsFunc(list, func(k int) bool { return !set[k] })
}

// checkGuesses: nobody has what a ref led to somebody else by, unless an operator decided so.
func (h *history) checkGuesses() {
	if !h.linked && !h.erasing {
		return
	}
	for person := range persons {
		for _, x := range h.strand(person).folded {
			if x.kind != routed || h.decidedFor(x.ref, person) {
				continue
			}
			for _, ref := range append(x.others[:], x.ref) {
				if ref != 0 && h.elses(ref, x, person) {
					h.fail(unguessed, "update %d of ref %d is person %d's, ref %d is not", x.id, x.ref, person, ref)
				}
			}
		}
	}
}

func (h *history) decidedFor(ref, person int) bool {
	return slices.ContainsFunc(h.brokers[partitionOf(ref)].updates, func(x record) bool {
		return x.kind == decide && x.strand == ref && x.person == person
	})
}

// elses says whether somebody else claimed a ref when it was asked about: the routing ref, when the
// update came.
func (h *history) elses(ref int, u record, person int) bool {
	claimed, gone := map[int]int{}, map[int]int{} // by person: the latest of what made the claim, or took it away
	for at, x := range h.brokers[partitionOf(ref)].updates {
		switch {
		case x.strand != ref || x.person == person:
		case x.kind == claim && (x.by == 0 || ref == u.ref) && (x.source == 0 || x.source > gone[x.person]) && !h.voided(x, u):
			claimed[x.person] = max(claimed[x.person], x.source)
		case x.kind == forget:
			gone[x.person] = max(gone[x.person], x.source)
			if claimed[x.person] <= x.source {
				delete(claimed, x.person)
			}
		}
		if ref == u.ref && at+1 >= u.source || ref != u.ref && x.kind == link && x.strand == ref && x.ref == u.ref {
			break
		}
	}
	return len(claimed) > 0
}

// voided says that a claim was made before an erasure, and an update came after it.
func (h *history) voided(x, u record) bool {
	return h.logged(x.strand, func(y record) bool {
		return y.kind == forget && y.person == x.person && y.source >= x.source && y.instant < u.id
	})
}
