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
	erased  int // the instant of the last erasure: what was received up to then does not count
	floor   int // up to which number anybody may have been told before that
	untold  int // id of what the group that is being folded has to tell; 0: nothing
	owed    []delivery
	claimed map[int]bool // refs that its owner has claimed
	high    map[int]int  // by ref: offset after that of the last bare record routed here

	// a ref's
	claims   []int        // persons, in order
	own      []int        // of them who claimed it itself, and not another ref of an update
	links    []int        // refs that wait to hear of it
	asked    map[int]bool // refs that it waits to hear of: whether they have answered
	sources  map[int]int  // by person: what made its claim, an offset + 1 of its log
	gone     map[int]int  // by person, whose name it does not say: the same of the last erasure
	disputed bool         // somebody who has been erased claimed it, too
	forgets  int
	decided  int // person + 1; 0: nobody has
	held     []record
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
	s.own, s.links, s.asked = slices.Clone(s.own), slices.Clone(s.links), cloned(s.asked)
	s.sources, s.gone = cloned(s.sources), cloned(s.gone)
	return s
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
// before that is saved. more: another record of the strand is folded with it.
func (w *world) fold(s state, x record, offset, version int, more bool) (after state, effects []record) {
	f := folding{world: w, state: s.clone(), record: x, offset: offset, version: version}
	f.upto = offset + 1
	switch x.kind {
	case full, submission, routed:
		f.takeUpdate()
	case timer:
		if f.timer != 0 && x.id == timerOf(f.timer) {
			f.timer, f.untold = 0, f.id
		}
	case bare:
		f.takeBare()
	case claim:
		f.takeClaim()
	case link:
		f.takeLink()
	case answered:
		f.asked[f.by] = true
		f.release()
	case decide:
		if x.claims == f.words() && f.decided == 0 || w.claimsApart() {
			f.decided, f.disputed = x.person+1, false
			f.release()
		}
	case erasure:
		f.erase()
	case forget:
		f.takeForget()
	case redelivery:
		f.oweAgain()
	case marker: // is of no strand
	}
	if f.untold != 0 && !more {
		f.tell()
	}
	return f.state, f.effects
}
