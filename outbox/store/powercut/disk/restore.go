package disk

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Style is which part of what was not flushed a cut leaves.
type Style string

// The styles.
const (
	Drop    Style = "drop"    // nothing
	Keep    Style = "keep"    // the first so many changes, in order, and of the next one some sectors
	Tear    Style = "tear"    // any sectors of any change, in any order, and any names
	Reorder Style = "reorder" // the last so many changes without those before them, and of the one before some sectors
)

// Styles are all of them.
var Styles = []Style{Drop, Keep, Tear, Reorder}

// Counts tell what a cut found and what it left.
type Counts struct {
	Unflushed int `json:"unflushed"` // sectors and names that were not flushed
	Left      int `json:"left"`      // of these, there now
}

// Restore is the disk as it is when the power is back: a new one, with nothing pending. The old one
// must have been cut.
func (d *Disk) Restore(style Style, seed uint64) (*Disk, Counts) {
	d.Cut()
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &restoring{to: New(d.tell), rng: rand.New(rand.NewPCG(seed, 5)), style: style, done: map[*Node]*Node{}} //nolint:gosec // to be repeatable
	if seqs := pending(d.root, map[*Node]bool{}, nil); len(seqs) > 0 {
		slices.Sort(seqs)
		r.edge = seqs[r.rng.IntN(len(seqs))]
	}
	r.share = 0.1 + 0.8*r.rng.Float64()
	r.to.root = r.node(d.root)
	return r.to, r.counts
}

type restoring struct {
	to     *Disk
	rng    *rand.Rand
	style  Style
	share  float64 // of what Tear leaves
	edge   uint64  // the change that Keep and Reorder tear
	done   map[*Node]*Node
	counts Counts
}

// pending lists the changes that were not flushed, of what can be there after a cut.
func pending(n *Node, seen map[*Node]bool, seqs []uint64) []uint64 {
	if seen[n] {
		return seqs
	}
	seen[n] = true
	for _, c := range n.pending {
		seqs = append(seqs, c.seq)
	}
	for _, m := range n.moves {
		seqs = append(seqs, m.seq)
		for _, child := range m.names {
			if child != nil {
				seqs = pending(child, seen, seqs)
			}
		}
	}
	for _, child := range n.kept {
		seqs = pending(child, seen, seqs)
	}
	return seqs
}

// stays decides about one sector or name.
func (r *restoring) stays(seq uint64) bool {
	r.counts.Unflushed++
	stays := false
	switch r.style {
	case Drop:
	case Tear:
		stays = r.rng.Float64() < r.share
	case Keep:
		stays = seq < r.edge || seq == r.edge && r.rng.IntN(2) == 0
	case Reorder:
		stays = seq > r.edge || seq == r.edge && r.rng.IntN(2) == 0
	}
	if stays {
		r.counts.Left++
	}
	return stays
}

// node makes the node's successor; one that had two names still is one.
func (r *restoring) node(n *Node) *Node {
	if r.done[n] != nil {
		return r.done[n]
	}
	left := r.to.node(n.Dir, n.mode)
	r.done[n] = left
	content := n.durable
	parts := sectors(n.pending)
	if r.style == Tear {
		r.rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	}
	for _, c := range parts {
		if r.stays(c.seq) {
			content = apply(content, c)
		}
	}
	left.durable = append([]byte(nil), content...)
	left.seen = append([]byte(nil), content...)
	if !n.Dir {
		return left
	}
	names := maps.Clone(n.kept)
	for _, m := range n.moves {
		if r.stays(m.seq) {
			m.on(names)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) { // in order, or a seed would not tell what comes of it
		left.names[name] = r.node(names[name])
		left.kept[name] = left.names[name]
	}
	return left
}

// sectors cuts changes into what a disk writes as a whole.
func sectors(changes []change) (parts []change) {
	for _, c := range changes {
		if c.data == nil {
			parts = append(parts, c)
			continue
		}
		for at := 0; at < len(c.data); {
			end := min(len(c.data), at+Sector-int((c.at+int64(at))%Sector))
			parts = append(parts, change{seq: c.seq, at: c.at + int64(at), data: c.data[at:end]})
			at = end
		}
	}
	return parts
}
