package manynodes

import "slices"

// round writes checkpoints of all strands that were dirty when it began, then one watermark.
type round struct {
	begun   bool
	strands []int
	mark    watermark
	marked  bool // some round of this generation has been
}

// checkpoint takes a round one step on.
func (w *world) checkpoint(o *owner) {
	f, b, r := o.file, w.brokers[o.partition], &o.round
	if !r.begun {
		r.begun, r.strands = true, nil
		r.mark = watermark{o.generation, o.generation, f.updates, f.receipts, f.version}
		for k := range f.dirty {
			r.strands = append(r.strands, k)
		}
		slices.Sort(r.strands)
		return
	}
	for range min(3, len(r.strands)) {
		k := r.strands[0]
		r.strands = r.strands[1:]
		s := f.strands[k].clone()
		if w.makes(heldNotInCheckpoints) {
			s.held = nil
		}
		if w.makes(linksNotInCheckpoints) {
			s.links = nil
		}
		b.checkpoints[checkpointKey{k, o.generation}] = s
		delete(f.dirty, k)
		if w.makes(earlyTombstones) {
			b.clear(o.generation)
		}
	}
	if len(r.strands) > 0 {
		return
	}
	r.begun = false
	if b.commit(o.member, r.mark, w.makes(unfencedMark)) {
		r.marked = true
	}
	if r.marked {
		b.clear(o.generation)
	}
}
