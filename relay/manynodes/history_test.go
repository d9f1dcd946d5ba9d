package manynodes

import "slices"

const (
	updates   = 70   // of each history, beside what is repeated
	mostFolds = 3000 // until a history has come to rest: several times what any needs
)

// history is a world on its way, and what is true of it.
type history struct {
	*world
	totals
	sent         []record
	acknowledged map[int]record       // by id
	groups       [][]record           // by callback: as they were appended, in each partition
	rest         []record             // groupCut: what is still to be appended
	claimants    map[int]map[int]bool // by ref: the persons who taught it itself
}

type totals struct{ Faults, ZombieSteps, Repeats, Held, Decided, Redeliveries int }

func (t *totals) add(o totals) {
	t.Faults, t.ZombieSteps, t.Repeats = t.Faults+o.Faults, t.ZombieSteps+o.ZombieSteps, t.Repeats+o.Repeats
	t.Held, t.Decided, t.Redeliveries = t.Held+o.Held, t.Decided+o.Decided, t.Redeliveries+o.Redeliveries
}

// belongsTo is whose a ref is: most are one person's, two are claimed by two, one by nobody.
func belongsTo(ref int) []int {
	switch i := ref - firstRef; {
	case i < 5 || i >= refs:
		return []int{(i + 1) % persons}
	case i < 7:
		return []int{(i + 1) % persons, (i + 3) % persons}
	}
	return nil
}

// live takes one history to its end and holds it to everything.
func live(seed uint64, c conditions) (*failure, totals) {
	h := &history{world: newWorld(seed, c), acknowledged: map[int]record{}, claimants: map[int]map[int]bool{}}
	zombies := 80 + 10*h.dice.IntN(40) // how many of 1,000 steps are theirs
	if h.haunted {
		zombies = 500
	}
	for len(h.acknowledged) < updates || !h.oneIn(200) {
		h.happen(zombies)
		if h.failure != nil {
			return h.failure, h.totals
		}
	}
	h.end()
	if h.failure == nil {
		h.check()
	}
	return h.failure, h.totals
}

// happen is one thing: something is said, something breaks, or somebody works.
func (h *history) happen(zombies int) {
	if h.erasing && h.oneIn(150) {
		h.eraseOne()
		return
	}
	if h.handed && h.oneIn(3) {
		h.happenRegistry()
		return
	}
	switch n := h.dice.IntN(1000); {
	case h.quiet && n >= 130 && n < 150: // no faults
	case n < 110 && len(h.acknowledged) < updates:
		if !h.grouped || !h.oneIn(3) {
			h.say()
		} else {
			h.sayGroup()
		}
	case n < 130 && len(h.sent) > 0: // a provider, or an ingest node, repeats itself
		h.repeat(h.sent[h.dice.IntN(len(h.sent))])
	case n < 140:
		h.Faults++
		p := h.dice.IntN(partitions)
		h.haunt(p)
		h.move(p)
	case n < 145:
		h.leave()
	case n < 150:
		h.lose()
	case n < 170:
		b := h.brokers[h.dice.IntN(partitions)]
		b.retain()
		b.compactClaims(h.makes(refsTopic))
	case n < 175 && h.registry < 6 && !h.handed:
		h.registry++
		for _, b := range h.brokers {
			b.markers = append(b.markers, record{kind: marker, strand: -1, version: h.registry})
		}
	case n < 190:
		h.mark()
	case n < 195:
		h.orderAgain()
	case n < 198:
		h.decideOne()
	case n < 200: // the group is made anew, with its commits
		h.brokers[h.dice.IntN(partitions)].assignments = 0
	case n < 200+zombies && len(h.zombies) > 0:
		h.stepZombie()
	default:
		h.stepOwner()
	}
}

func (h *history) append(x record) {
	b := h.brokers[partitionOf(x.strand)]
	b.updates = append(b.updates, x)
}

// say is a new update, acknowledged to whoever sent it.
func (h *history) say() {
	x := h.draw()
	h.acknowledged[x.id] = x
	if x.kind == submission && (!h.erasing || h.makes(apiClaims)) { // the API's node: first the claim, then the record, then its answer
		h.produce(record{kind: claim, strand: x.ref, person: x.strand})
		if h.oneIn(8) {
			return // it died: there was no answer, and the claim stands
		}
	}
	h.sent = append(h.sent, x)
	h.append(x)
}

func (h *history) draw() record {
	id := len(h.acknowledged) + 1
	x := record{kind: kind(h.dice.IntN(3)), id: id, at: h.timeOf(id)}
	ref := firstRef + h.dice.IntN(h.refs())
	if x.kind == submission && h.oneIn(2) {
		x.kind = bare
	}
	switch whose := belongsTo(ref); {
	case x.kind == bare:
		x.strand = ref
	case len(whose) == 0 || x.kind == full && h.dice.IntN(3) > 0:
		x.kind, x.strand = full, h.dice.IntN(persons)
	default:
		x.strand, x.ref = whose[h.dice.IntN(len(whose))], ref
		h.teaches(ref, x.strand)
	}
	if h.linked && x.kind != submission {
		h.drawOthers(&x)
	}
	return x
}

func (h *history) timeOf(id int) int { return (id+h.dice.IntN(12))*1000 + id }

func (h *history) teaches(ref, person int) {
	if h.claimants[ref] == nil {
		h.claimants[ref] = map[int]bool{}
	}
	h.claimants[ref][person] = true
}

// mark is the registry's writer: who crashes after a marker says it again.
func (h *history) mark() {
	b := h.brokers[h.dice.IntN(partitions)]
	if len(b.markers) == 0 {
		return
	}
	b.updates = append(b.updates, b.markers[0])
	if h.dice.IntN(4) > 0 {
		b.markers = b.markers[1:]
	}
}

// decideOne is an operator who looks at one partition, and sees what its owner knows.
func (h *history) decideOne() {
	f := h.owners[h.dice.IntN(partitions)].file
	ref, ok := h.pick(f, func(s state) bool { return (len(s.claims) > 1 || s.disputed && len(s.claims) > 0) && s.decided == 0 })
	if ok {
		h.Decided++
		s := f.strands[ref]
		persons := belongsTo(ref)
		if h.linked || h.erasing {
			persons = s.claims
		}
		h.append(record{kind: decide, strand: ref, person: persons[h.dice.IntN(min(2, len(persons)))], claims: s.words()})
	}
}

// orderAgain is an operator who sees that an endpoint was told of a change, and wants it told again.
func (h *history) orderAgain() {
	f := h.owners[h.dice.IntN(partitions)].file
	person, ok := h.pick(f, func(s state) bool { return len(s.changes) > 0 })
	if !ok {
		return
	}
	s := f.strands[person]
	n := number{person, 1 + h.dice.IntN(len(s.changes)), h.dice.IntN(endpoints)}
	if slices.ContainsFunc(s.owed, func(d delivery) bool { return d.number == n }) {
		return
	}
	h.Redeliveries++
	x := record{kind: redelivery, strand: person, id: firstOrder + h.Redeliveries, sequence: n.sequence, endpoint: n.endpoint}
	h.sent = append(h.sent, x)
	h.append(x)
}

// end lets everything come to rest: what is in the logs is folded, what is contested is decided,
// what is owed is delivered.
func (h *history) end() {
	h.appendRest()
	if h.handed {
		h.settleRegistry()
	}
	for range 3 {
		h.foldAll()
		h.decideOne()
	}
	h.foldAll()
	for p, o := range h.owners {
		h.follow(o.file, h.brokers[p])
		for person := range persons {
			for _, d := range o.file.strands[person].owed {
				h.receive(d)
			}
		}
	}
}

func (h *history) foldAll() {
	folds := 0
	for busy := true; busy; {
		busy = false
		for p, o := range h.owners {
			for o.file.updates < len(h.brokers[p].updates) {
				if folds++; folds > mostFolds {
					h.fail(atRest, "%d records folded", folds)
					return
				}
				h.foldNext(o, func() bool { return false })
				busy = true
			}
			for h.claimsApart() && h.readClaim(o) {
				busy = true
			}
		}
	}
}
