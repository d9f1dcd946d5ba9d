package manynodes

import (
	"maps"
	"slices"
)

// state is what folds from a strand's records.
type state struct {
	upto int // offset after the last record applied
	seen map[int]bool

	// a person's
	changes []change // by sequence, from 1 on
	folded  []record
	newest  int // provider's time
	timer   int // id of the update that it waits for; 0: none
	owed    []delivery
	claimed map[int]bool // refs that its owner has claimed
	high    map[int]int  // by ref: offset after that of the last bare record routed here

	// a ref's
	claims  []int // persons, in order
	decided int   // person + 1; 0: nobody has
	held    []record
}

func cloned[V any](m map[int]V) map[int]V {
	if m == nil {
		return map[int]V{}
	}
	return maps.Clone(m)
}

func (s state) clone() state {
	s.seen, s.claimed, s.high = cloned(s.seen), cloned(s.claimed), cloned(s.high)
	s.changes, s.folded, s.owed = slices.Clone(s.changes), slices.Clone(s.folded), slices.Clone(s.owed)
	s.claims, s.held = slices.Clone(s.claims), slices.Clone(s.held)
	return s
}

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

// folding is one record on its way into its strand.
type folding struct {
	*world
	state
	record
	offset, version int
	effects         []record
}

// fold is the whole protocol of a strand: its state after a record, and what has to be produced
// before that is saved.
func (w *world) fold(s state, x record, offset, version int) (after state, effects []record) {
	f := folding{world: w, state: s.clone(), record: x, offset: offset, version: version}
	f.upto = offset + 1
	switch x.kind {
	case full, submission, routed:
		f.takeUpdate()
	case timer:
		if f.timer != 0 && x.id == timerOf(f.timer) {
			f.timer = 0
			f.tell()
		}
	case bare:
		f.takeBare()
	case claim:
		f.takeClaim()
	case decide:
		if x.claims == len(f.state.claims) && f.decided == 0 || w.claimsApart() {
			f.decided = x.person + 1
			f.release()
		}
	case redelivery:
		f.oweAgain()
	case marker: // is of no strand
	}
	return f.state, f.effects
}

func (f *folding) tell() {
	f.changes = append(f.changes, change{f.id, f.version})
	for e := range endpoints {
		f.owe(number{f.strand, len(f.changes), e})
	}
}

func (f *folding) owe(n number) {
	f.owed = append(f.owed, delivery{n, f.changes[n.sequence-1], f.offset + 1})
}

// oweAgain does not ask how a delivery ended, which no log says at any one offset: it owes, or
// raises the order of what is owed.
func (f *folding) oweAgain() {
	if f.seen[f.id] || f.sequence > len(f.changes) {
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
	case submission:
		f.claimed[f.ref] = true // whoever produced it has produced the claim first
	default:
		f.apply()
		if f.ref != 0 && !f.claimed[f.ref] {
			f.claimed[f.ref] = true
			f.effects = append(f.effects, record{kind: claim, strand: f.ref, person: f.strand})
		}
	}
}

func (f *folding) apply() {
	f.folded = append(f.folded, f.record)
	if f.at > f.newest {
		f.newest, f.timer = f.at, f.id
		f.tell()
	}
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
