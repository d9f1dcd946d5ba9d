package manynodes

// sayGroup is a callback of several updates: some of one strand, some of others.
func (h *history) sayGroup() {
	var said [partitions][]record
	x := h.draw()
	for left := 1 + h.dice.IntN(3); ; left-- {
		if x.kind == submission {
			x.kind = full
		}
		p := partitionOf(x.strand)
		x.callback, x.index = len(h.groups)+1, len(said[p])
		h.acknowledged[x.id] = x
		h.sent = append(h.sent, x)
		said[p] = append(said[p], x)
		if left == 0 {
			break
		}
		x = h.another(x)
	}
	all := []record{}
	for _, xs := range said {
		h.appendGroup(xs)
		all = append(all, xs...)
	}
	h.groups = append(h.groups, all)
}

// another is a further update of a callback, twice of three times of the same strand.
func (h *history) another(x record) record {
	if h.oneIn(3) {
		return h.draw()
	}
	id := len(h.acknowledged) + 1
	return record{kind: x.kind, strand: x.strand, id: id, at: h.timeOf(id)}
}

// appendGroup is the forwarder: a group stands together in each partition.
func (h *history) appendGroup(xs []record) {
	for i, x := range xs {
		if i > 0 && h.makes(groupCut) {
			h.rest = append(h.rest, xs[i:]...)
			return
		}
		h.append(x)
	}
}

// appendRest appends what a forwarder has cut off.
func (h *history) appendRest() {
	for _, x := range h.rest {
		h.append(x)
	}
	h.rest = nil
}

// repeat is a provider, or an ingest node, that repeats itself: a callback as a whole.
func (h *history) repeat(x record) {
	h.appendRest()
	if x.callback == 0 {
		h.append(x)
		return
	}
	for _, y := range h.groups[x.callback-1] {
		h.append(y)
	}
}

// checkGroups: what one callback brought of a person was told once. What came by a ref is another
// strand's, and told by itself.
func (h *history) checkGroups(person int) {
	told := map[int]int{}
	for _, c := range h.strand(person).changes {
		x := h.acknowledged[c.id]
		if x.callback == 0 || x.kind != full {
			continue
		}
		if id, ok := told[x.callback]; ok {
			h.fail(toldOnce, "person %d: updates %d and %d", person, id, c.id)
		}
		told[x.callback] = c.id
	}
}
