package manynodes

import "slices"

// foldNext folds the next record, or group. Its effects are produced and acknowledged, then states
// and position are saved together; died says that the owner did not come so far.
func (w *world) foldNext(o *owner, dies func() bool) (died bool) {
	f, b := o.file, w.brokers[o.partition]
	x := b.updates[f.updates]
	if w.handed && !w.mayFold(o, &x) {
		return false
	}
	if x.kind == marker {
		f.version = max(f.version, x.version)
		f.updates++
		return false
	}
	version := f.version
	if w.makes(policyFromRegistry) {
		version = w.registry
	}
	n, after, effects := w.foldGroup(b, f.updates, version, f.strands)
	early := len(effects) > 0 && w.savesFirst(effects[0].kind)
	if early {
		f.save(n, after, w.makes(erasedRemoved))
		if dies() {
			return true
		}
	}
	for _, e := range effects {
		w.produce(e)
		if dies() {
			return true
		}
	}
	if !early {
		f.save(n, after, w.makes(erasedRemoved))
	}
	return false
}

// save writes states and position in one transaction.
func (f *file) save(n int, after map[int]state, removed bool) {
	f.updates += n
	for k, s := range after {
		f.set(k, s)
		if s.erased != 0 && s.blank() && removed {
			delete(f.strands, k)
			delete(f.dirty, k)
		}
	}
}

// foldGroup folds the record at an offset, with those that the same callback brought and that stand
// with it: what is of one strand is told once. What a strand has seen it passes over.
func (w *world) foldGroup(b *broker, at, version int, strands map[int]state) (n int, after map[int]state, effects []record) {
	after = map[int]state{}
	n = b.group(at)
	for i, x := range b.updates[at : at+n] {
		s, known := after[x.strand]
		if !known {
			s, known = strands[x.strand]
		}
		if known && at+i < s.upto {
			continue
		}
		more := slices.ContainsFunc(b.updates[at+i+1:at+n], func(y record) bool { return y.strand == x.strand })
		s, es := w.fold(s, x, at+i, version, more && !w.makes(eachByItself))
		after[x.strand] = s
		effects = append(effects, es...)
	}
	return n, after, effects
}

// mayFold says whether an owner has what it needs of the registry: a marker's version is waited for.
func (w *world) mayFold(o *owner, x *record) bool {
	f, c := o.file, w.copies[o.relay]
	if x.kind == marker && w.makes(marksPassedOver) && !c.bodies[x.version] && c.later(x.version) {
		x.version = 0
	}
	needed := f.version
	if x.kind == marker {
		needed = max(needed, x.version)
	} else {
		w.foldedUnder(place{o.partition, f.updates}, f.version)
	}
	return needed == 0 || c.bodies[needed]
}

// foldedUnder: every owner folds a record under the same version.
func (w *world) foldedUnder(at place, version int) {
	if v, ok := w.versions[at]; ok && v != version {
		w.fail(oneVersion, "partition %d, offset %d: %d and %d", at.partition, at.offset, v, version)
	}
	w.versions[at] = version
}

// savesFirst: a mistake produces effects of a kind after the position is saved.
func (w *world) savesFirst(k kind) bool {
	return w.makes(claimAfterPosition) && k == claim || w.makes(routeAfterPosition) && k == routed || w.makes(linkAfterPosition) && k == link
}

// step lets an owner, or whoever thinks that it is one, do one thing.
func (w *world) step(o *owner, mayDie bool) (died bool) {
	f, b := o.file, w.brokers[o.partition]
	dies := func() bool { return mayDie && w.oneIn(12) }
	if f.updates < b.firstUpdate {
		if o == w.owners[o.partition] {
			w.fail(notOvertaken, "partition %d begins at %d, its owner is at %d", o.partition, b.firstUpdate, f.updates)
		}
		return true // a zombie finds nothing there
	}
	if o.behind > 0 {
		if f.updates < o.behind {
			return w.foldNext(o, dies)
		}
		if w.catchUp(o); o.behind > 0 {
			return false
		}
	}
	switch w.dice.IntN(8) {
	case 0, 1:
		if f.updates < len(b.updates) {
			return w.foldNext(o, dies)
		}
	case 2:
		if o == w.owners[o.partition] {
			w.owesNobodyErased(f)
		}
		return w.deliver(o, dies)
	case 3:
		return f.sendReceipt(b, dies)
	case 4, 5:
		w.checkpoint(o)
	case 6:
		if f.receipts < b.firstReceipt {
			return true
		}
		w.follow(f, b)
		if w.claimsApart() {
			w.readClaim(o)
		}
	case 7:
		w.fire(f)
	}
	return false
}

// deliver takes the head of a lane to its endpoint; who dies after that has not settled it.
func (w *world) deliver(o *owner, dies func() bool) (died bool) {
	f := o.file
	person, ok := w.pick(f, func(s state) bool { return len(s.owed) > 0 })
	if !ok {
		return false
	}
	endpoint := w.dice.IntN(endpoints)
	i := slices.IndexFunc(f.strands[person].owed, func(d delivery) bool { return d.endpoint == endpoint })
	if i < 0 {
		return false
	}
	d := f.strands[person].owed[i]
	for _, r := range w.brokers[o.partition].receipts[:o.told] {
		if r.ends(d, false) {
			w.fail(notEnded, "person %d, %d of order %d: it had ended before generation %d took over", person, d.sequence, d.order, o.generation)
		}
	}
	w.receive(d)
	if dies() {
		return true
	}
	w.settle(f, d)
	f.unsent = append(f.unsent, d)
	return false
}

func (f *file) sendReceipt(b *broker, dies func() bool) (died bool) {
	if len(f.unsent) == 0 {
		return false
	}
	b.receipts = append(b.receipts, f.unsent[0])
	if dies() {
		return true
	}
	f.unsent = f.unsent[1:]
	return false
}

// fire produces a person's timer, which counts when it is read.
func (w *world) fire(f *file) {
	person, ok := w.pick(f, func(s state) bool { return s.timer != 0 })
	if !ok || !w.oneIn(3) {
		return
	}
	s := f.strands[person]
	x := record{kind: timer, strand: person, id: timerOf(s.timer)}
	if w.makes(timerIntoState) {
		s, _ = w.fold(s, x, s.upto-1, f.version, false)
		f.set(person, s)
		return
	}
	w.produce(x)
}
