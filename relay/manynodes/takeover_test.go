package manynodes

// owner is a relay in its part as owner of one partition.
type owner struct {
	partition  int
	relay      int
	member     int // of the group
	generation int
	file       *file
	behind     int // fold to here before anything else; 0: done
	told       int // the end of the receipts when it took the partition
	round      round
	late       map[int]state // routeBeforeCaughtUp: refs that are put in when it has caught up
}

// take is what a relay does when it is given a partition. Its generation is what it has committed
// first, for the group's own number may come again.
func (w *world) take(p int, f *file) *owner {
	b := w.brokers[p]
	o := &owner{partition: p, member: b.assign(), file: f, behind: len(b.updates), told: len(b.receipts), late: map[int]state{}}
	mark := b.mark
	mark.taken++
	b.commit(o.member, mark, false)
	o.generation = mark.taken
	if w.makes(generationOfGroup) {
		o.generation = b.assignments
	}
	if !f.warm(b) {
		w.restore(o)
	}
	if f.trimmed(b) {
		w.fail(covered, "partition %d begins at %d and %d, its watermark is %+v", p, b.firstUpdate, b.firstReceipt, b.mark)
		return o
	}
	w.republish(o)
	if w.claimsApart() && !w.makes(routeBeforeCaughtUp) {
		for w.readClaim(o) {
		}
	}
	return o
}

// restore is a cold takeover: the best checkpoint of each strand, and the watermark's positions.
func (w *world) restore(o *owner) {
	b, f := w.brokers[o.partition], o.file
	unsent := f.unsent // a receipt that is not sent yet still tells the truth
	*f = *newFile()
	f.updates, f.receipts, f.version, f.unsent = b.mark.updates, b.mark.receipts, b.mark.version, unsent
	for k, s := range b.best() {
		if w.claimsApart() {
			s.claims = nil
		}
		if w.makes(routeBeforeCaughtUp) && k >= firstRef {
			o.late[k] = s
			continue
		}
		f.set(k, s)
	}
	for _, d := range unsent {
		w.settle(f, d)
	}
}

// best is the checkpoint of each strand with the greatest offset, then the greatest generation, of
// those that are of the watermark's owner, or of a later one: whoever came before may know less than
// the watermark says.
func (b *broker) best() map[int]state {
	best, of := map[int]state{}, map[int]int{}
	for k, s := range b.checkpoints {
		if k.generation < b.mark.generation {
			continue
		}
		if o, ok := best[k.strand]; !ok || s.upto > o.upto || s.upto == o.upto && k.generation > of[k.strand] {
			best[k.strand], of[k.strand] = s.clone(), k.generation
		}
	}
	return best
}

// republish makes every strand dirty: a watermark of this owner rests on what it publishes, and on
// nothing else.
func (w *world) republish(o *owner) {
	for k, s := range o.file.strands {
		if !w.makes(warmKeepsClean) && (!s.marked() || !w.makes(markStaysClean)) {
			o.file.dirty[k] = true
		}
	}
}

// catchUp ends a takeover: what was the end of the log is folded, and nothing is delivered before
// the receipts are read.
func (w *world) catchUp(o *owner) {
	if f, b := o.file, w.brokers[o.partition]; !w.makes(receivesEarly) {
		w.follow(f, b)
		if f.receipts < len(b.receipts) {
			o.behind = b.receipts[f.receipts].order // there is more to fold first
			return
		}
	}
	o.behind = 0
	for k, s := range o.late {
		if _, ok := o.file.strands[k]; !ok {
			o.file.set(k, s)
		}
	}
	w.follow(o.file, w.brokers[o.partition])
}
