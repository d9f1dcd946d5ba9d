package manynodes

import "slices"

func (f *folding) tell() {
	f.changes = append(f.changes, change{f.untold, f.version})
	f.untold = 0
	for e := range endpoints {
		f.owe(number{f.strand, f.floor + len(f.changes), e})
	}
}

func (f *folding) owe(n number) {
	f.owed = append(f.owed, delivery{n, f.changes[n.sequence-1-f.floor], f.offset + 1})
}

// oweAgain does not ask how a delivery ended, which no log says at any one offset: it owes, or
// raises the order of what is owed.
func (f *folding) oweAgain() {
	if f.seen[f.id] || f.sequence <= f.floor || f.sequence > f.floor+len(f.changes) {
		return
	}
	f.seen[f.id] = true
	n := number{f.strand, f.sequence, f.endpoint}
	i := slices.IndexFunc(f.owed, func(d delivery) bool { return d.number == n })
	if i < 0 {
		f.owe(n)
		return
	}
	f.owed[i].order = f.offset + 1
}

func (f *folding) takeUpdate() {
	if f.id <= f.erased && !f.makes(lateCounts) {
		return
	}
	if f.seen[f.id] && !f.makes(personForgetsIDs) {
		if f.kind == routed && f.source >= f.high[f.ref] {
			f.fail(repeatAsNews, "update %d of ref %d", f.id, f.ref)
		}
		return
	}
	f.seen[f.id] = true
	switch f.kind {
	case routed:
		if f.source < f.high[f.ref] && !f.makes(personForgetsIDs) {
			f.fail(routedInOrder, "update %d of ref %d", f.id, f.ref)
		}
		f.high[f.ref] = f.source + 1
		f.apply()
		if f.others != [2]int{} && !f.makes(routedTeachesNothing) {
			f.teach()
		}
	case submission:
		if f.erasing {
			f.teach()
		}
		f.claimed[f.ref] = true // else whoever produced it has produced the claim first
	default:
		f.apply()
		f.teach()
	}
}

// teach claims the refs of an update for its person.
func (f *folding) teach() {
	for _, ref := range []int{f.ref, f.others[0], f.others[1]} {
		if ref != 0 && !f.claimed[ref] {
			f.claimed[ref] = true
			f.effects = append(f.effects, record{kind: claim, strand: ref, person: f.strand, source: f.offset + 1})
		}
	}
}

func (f *folding) apply() {
	f.folded = append(f.folded, f.record)
	if f.at > f.newest {
		f.newest, f.timer, f.untold = f.at, f.id, f.id
	}
}
