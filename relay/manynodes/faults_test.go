package manynodes

import "slices"

// move gives a partition to a relay, perhaps to the same.
func (w *world) move(p int) {
	w.holders[p] = w.dice.IntN(relays)
	f := w.files[w.holders[p]][p]
	w.exorcise(f)
	w.owners[p] = w.take(p, f)
	w.owners[p].relay = w.holders[p]
}

// exorcise ends the zombies with a file: their process has noticed, or died.
func (w *world) exorcise(f *file) {
	w.zombies = slices.DeleteFunc(w.zombies, func(z *owner) bool { return z.file == f })
}

// haunt lets an owner that is about to be replaced go on, with its file or, as one that was revived
// from a snapshot, with a copy.
func (w *world) haunt(p int) {
	if !w.haunted && w.dice.IntN(2) != 0 {
		return
	}
	z := *w.owners[p]
	z.round.strands = slices.Clone(z.round.strands)
	if w.oneIn(4) {
		z.file = z.file.clone()
	}
	w.zombies = append(w.zombies, &z)
}

// leave is a relay that goes, or is thought to have gone.
func (h *history) leave() {
	h.Faults++
	i := h.dice.IntN(relays)
	for p := range partitions {
		if h.holders[p] == i {
			h.haunt(p)
			h.move(p)
		}
	}
}

// lose is a relay that is lost with its disk.
func (h *history) lose() {
	h.Faults++
	i := h.dice.IntN(relays)
	h.copies[i] = newCopy()
	for p := range partitions {
		h.files[i][p] = newFile()
		if h.holders[p] == i {
			h.move(p)
		}
	}
}

func (h *history) stepZombie() {
	h.ZombieSteps++
	i := h.dice.IntN(len(h.zombies))
	if h.step(h.zombies[i], true) || h.oneIn(80) {
		h.zombies = slices.Delete(h.zombies, i, i+1)
	}
}

// stepOwner lets an owner work; if it dies, so does its process, with all its partitions, and in
// one case of three the disk goes too.
func (h *history) stepOwner() {
	p := h.dice.IntN(partitions)
	if !h.step(h.owners[p], !h.quiet) {
		return
	}
	h.Faults++
	i, lost := h.holders[p], h.oneIn(3)
	if lost {
		h.copies[i] = newCopy()
	}
	for q := range partitions {
		h.exorcise(h.files[i][q])
		if lost {
			h.files[i][q] = newFile()
		}
		if h.holders[q] == i {
			h.move(q)
		}
	}
}
