package manynodes

import (
	"maps"
	"slices"
)

const (
	repeatAsNews  check = "a repeated id has a new source offset"        // in the fold
	routedInOrder check = "routed updates of a ref come out of order"    // in the fold
	covered       check = "retention removed what no checkpoint covers"  // in a takeover
	notOvertaken  check = "retention overtook the owner"                 // in a step
	refInOrder    check = "the updates of a ref changed order"           // of a person
	counting      check = "numbers do not count up"                      // as its endpoints saw it
	toldInOrder   check = "an older time was told after a newer"         // the same
	toldAll       check = "not all deliveries arrived"                   // the same
	toldOnce      check = "one callback was told in several changes"     // of a person
	toldNewest    check = "the newest update was not the last told"      // the same
	oneVersion    check = "a record was folded under two versions"       // in the fold, or by whoever reads the whole log
	changesRise   check = "an older change was kept after a newer"       // when an operator is answered
	changesKept   check = "a change that was acknowledged is lost"       // of the registry
	newestMarked  check = "a partition does not have the newest version" // the same
	forgotten     check = "an erased life is known, or delivered"        // by an owner, or at the end by anybody
	atRest        check = "the logs do not come to rest"
	unguessed     check = "an update was routed although somebody else claimed a ref of it"
	knowsClaims   check = "a ref's owner knows other claims"  // than there are
	sameAsLog     check = "a strand is not what its log says" // to whoever reads all of it
	notEnded      check = "what had ended before a takeover was tried again"
	toldAgain     check = "what was ordered again did not arrive again"   // of each redelivery
	oneMeaning    check = "one sequence number has two meanings"          // in what was received
	fullOnce      check = "a full update is not in its person once"       // of what was acknowledged
	bareOnce      check = "a bare update is where it should not be"       // the same
	bareLost      check = "a bare update is lost"                         // the same
	heldInVain    check = "a bare update is held and its person is known" // the same
)

// check holds a history that has come to rest to everything promised.
func (h *history) check() {
	in := h.checkPersons()
	h.checkClaims()
	h.checkRegistry()
	for p := range h.brokers {
		h.checkLog(p)
		h.checkOrders(p)
	}
	h.checkReceived()
	h.checkGuesses()
	h.checkErased()
	for id := range len(h.acknowledged) {
		h.checkUpdate(h.acknowledged[id+1], in[id+1])
	}
}

func (h *history) strand(k int) state { return h.owners[partitionOf(k)].file.strands[k] }

// checkPersons returns by id whose histories an update is in.
func (h *history) checkPersons() map[int][]int {
	in := map[int][]int{}
	for p := range persons {
		s := h.strand(p)
		sources, newest := map[int]int{}, record{}
		for _, x := range s.folded {
			in[x.id] = append(in[x.id], p)
			if x.kind == routed {
				if o, ok := sources[x.ref]; ok && x.source <= o {
					h.fail(refInOrder, "ref %d at person %d", x.ref, p)
				}
				sources[x.ref] = x.source
			}
			if x.at > newest.at {
				newest = x
			}
		}
		h.checkGroups(p)
		for e := range endpoints {
			h.checkLane(lane{p, e}, s.floor, s.floor+len(s.changes), newest)
		}
	}
	return in
}

// checkLane is what a partner saw of one person, since they were erased last.
func (h *history) checkLane(l lane, floor, sequence int, newest record) {
	last, at := floor, 0
	for _, d := range h.first[l] {
		if d.sequence <= floor {
			continue // of an erased life
		}
		if d.sequence != last+1 {
			h.fail(counting, "person %d: %d after %d", l.person, d.sequence, last)
		}
		last = d.sequence
		if d.id < firstTimer {
			if h.acknowledged[d.id].at < at {
				h.fail(toldInOrder, "update %d of person %d", d.id, l.person)
			}
			at = h.acknowledged[d.id].at
		}
	}
	if last != sequence {
		h.fail(toldAll, "person %d: %d of %d", l.person, last, sequence)
	}
	if newest.at != at {
		h.fail(toldNewest, "update %d of person %d", newest.id, l.person)
	}
}

func (h *history) checkClaims() {
	for ref := firstRef; ref < firstRef+h.refs(); ref++ {
		s, known := h.strand(ref), h.known(ref)
		if min(2, len(s.claims)) != min(2, len(known)) || (h.linked || h.erasing) && !sameSet(s.claims, known) {
			h.fail(knowsClaims, "ref %d is claimed by %v, known are %v", ref, slices.Sorted(maps.Keys(known)), s.claims)
		}
	}
}

// checkLog holds what the owner of a partition knows to what anybody would who read the whole log.
func (h *history) checkLog(p int) {
	if h.claimsApart() {
		return // the log alone says nothing then
	}
	read, version := map[int]state{}, 0
	for at := 0; at < len(h.brokers[p].updates); {
		if x := h.brokers[p].updates[at]; x.kind == marker {
			version = max(version, x.version)
			at++
			continue
		}
		if h.handed {
			h.foldedUnder(place{p, at}, version)
		}
		n, after, _ := h.foldGroup(h.brokers[p], at, version, read)
		maps.Copy(read, after)
		at += n
	}
	for _, k := range slices.Sorted(maps.Keys(read)) {
		if a, b := read[k], h.strand(k); !a.agrees(&b) {
			h.fail(sameAsLog, "strand %d", k)
		}
	}
}

// agrees leaves out what is owed, which settling changes too.
func (s *state) agrees(o *state) bool {
	return s.decided == o.decided && s.timer == o.timer && len(s.changes) == len(o.changes) && slices.Equal(s.claims, o.claims) &&
		slices.Equal(s.folded, o.folded) && slices.Equal(s.held, o.held) &&
		s.erased == o.erased && s.floor == o.floor && s.disputed == o.disputed && maps.Equal(s.gone, o.gone) &&
		slices.Equal(s.own, o.own) && slices.Equal(s.links, o.links) && maps.Equal(s.asked, o.asked)
}

// checkOrders: the partner received what was ordered again once more, because of that order or of a
// later one.
func (h *history) checkOrders(p int) {
	latest := map[number]int{}
	for d := range h.received {
		latest[d.number] = max(latest[d.number], d.order)
	}
	ordered := map[int]bool{}
	for at, x := range h.brokers[p].updates {
		if x.kind != redelivery || ordered[x.id] || x.sequence <= h.strand(x.strand).floor {
			continue
		}
		ordered[x.id] = true
		n := number{x.strand, x.sequence, x.endpoint}
		if latest[n] <= at {
			h.fail(toldAgain, "change %d of person %d, ordered at %d", x.sequence, x.strand, at)
		}
	}
}

func (h *history) checkReceived() {
	said := map[number]change{}
	for d, n := range h.received {
		h.Repeats += n - 1
		if c, ok := said[d.number]; ok && c != d.change {
			h.fail(oneMeaning, "person %d, number %d", d.person, d.sequence)
		}
		said[d.number] = d.change
	}
}

// checkUpdate finds an acknowledged update once at the right person, or held, whole, for a reason.
func (h *history) checkUpdate(x record, in []int) {
	if x.kind == submission {
		return
	}
	if x.kind == full && x.id <= h.erasures[x.strand].instant {
		if len(in) > 0 {
			h.fail(forgotten, "update %d of person %d is in %v", x.id, x.strand, in)
		}
		return
	}
	if x.kind == full {
		if len(in) != 1 || in[0] != x.strand {
			h.fail(fullOnce, "update %d of person %d is in %v", x.id, x.strand, in)
		}
		return
	}
	s, who := h.strand(x.strand), h.known(x.strand)
	held := slices.ContainsFunc(s.held, func(r record) bool { return r.id == x.id })
	switch {
	case len(in) > 1 || len(in) == 1 && (held || !who[in[0]] && !h.onItsWay(x, in[0])):
		h.fail(bareOnce, "update %d of ref %d is in %v, held: %v", x.id, x.strand, in, held)
	case len(in) == 0 && !held && h.mayBeGone(x): // it was of somebody who was erased
	case len(in) == 0 && !held:
		h.fail(bareLost, "update %d of ref %d", x.id, x.strand)
	case held && (len(who) == 1 && !s.disputed || s.decided > 0):
		h.fail(heldInVain, "update %d of ref %d", x.id, x.strand)
	case held:
		h.Held++
	}
}
