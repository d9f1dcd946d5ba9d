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

// Restore is the disk as it is when the power is back: a new one, with nothing pending. The old one must have been cut.
func (d *Disk) Restore(style Style, seed uint64) (*Disk, Counts) {
	d.Cut()
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &restoring{to: New(d.tell), rng: rand.New(rand.NewPCG(seed, 5)), style: style, done: map[*Node]*Node{}} //nolint:gosec // to be repeatable
	r.bounds(d.root, map[*Node]bool{})
	if r.last > r.first {
		r.edge = r.first + r.rng.Uint64N(r.last-r.first+1)
	}
	r.share = 0.1 + 0.8*r.rng.Float64()
	r.to.root = r.node(d.root)
	return r.to, r.counts
}

type restoring struct {
	to          *Disk
	rng         *rand.Rand
	style       Style
	share       float64 // of what Tear leaves
	first, last uint64  // changes that were not flushed
	edge        uint64  // the one that Keep and Reorder tear
	done        map[*Node]*Node
	counts      Counts
}

// bounds finds the first and last change that was not flushed.
func (r *restoring) bounds(n *Node, seen map[*Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	note := func(seq uint64) {
		if r.first == 0 || seq < r.first {
			r.first = seq
		}
		r.last = max(r.last, seq)
	}
	for _, c := range n.pending {
		note(c.seq)
	}
	for _, m := range n.moves {
		note(m.seq)
		for _, child := range m.names {
			if child != nil {
				r.bounds(child, seen)
			}
		}
	}
	for _, child := range n.kept {
		r.bounds(child, seen)
	}
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
