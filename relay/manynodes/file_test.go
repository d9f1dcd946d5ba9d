package manynodes

import "slices"

// file is what a relay keeps of one partition.
type file struct {
	updates, receipts, claims int // positions: the next to read
	version                   int
	strands                   map[int]state
	dirty                     map[int]bool
	unsent                    []delivery // receipts that are not produced yet
}

func newFile() *file { return &file{strands: map[int]state{}, dirty: map[int]bool{}} }

func (f *file) clone() *file {
	c := *f
	c.strands, c.dirty, c.unsent = map[int]state{}, cloned(f.dirty), slices.Clone(f.unsent)
	for k, s := range f.strands {
		c.strands[k] = s.clone()
	}
	return &c
}

func (f *file) set(strand int, s state) { f.strands[strand], f.dirty[strand] = s, true }

// settle ends what a receipt, or an answer, is about.
func (w *world) settle(f *file, d delivery) {
	if s, ok := f.strands[d.person]; ok {
		s = s.clone()
		s.owed = slices.DeleteFunc(s.owed, func(o delivery) bool { return d.ends(o, w.makes(receiptEndsAnyOrder)) })
		f.set(d.person, s)
	}
}

// follow reads the receipts to their end, a zombie's among them. One of a record that is not folded
// here yet waits: whoever has sent it was ahead, and what it ends would be owed after it.
func (w *world) follow(f *file, b *broker) {
	for ; f.receipts < len(b.receipts); f.receipts++ {
		d := b.receipts[f.receipts]
		if d.order > f.updates && !w.makes(receivesEarly) {
			return
		}
		w.settle(f, d)
	}
}

// trimmed says that retention has passed a file's positions.
func (f *file) trimmed(b *broker) bool {
	return f.updates < b.firstUpdate || f.receipts < b.firstReceipt
}

func (f *file) warm(b *broker) bool {
	return f.updates >= b.mark.updates && f.receipts >= b.mark.receipts && !f.trimmed(b)
}
