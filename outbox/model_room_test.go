package outbox

import (
	"cmp"
	"slices"
)

// How the model makes room where an endpoint owes as much as it may, and revives.

// lane are the sequences that are owed of a lane and whole, in order.
func (m *model) lane(lane laneID) (seqs []uint64) {
	for id := range m.owed {
		if id.laneID == lane {
			seqs = append(seqs, id.seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

// newest is the last decision of a lane that can be read, d being one of it.
func (m *model) newest(d *Delivery) uint64 {
	newest := d.Sequence
	for _, seq := range m.lane(idOf(d).laneID) {
		if !m.damaged[deliveryID{idOf(d).laneID, seq}] {
			newest = max(newest, seq)
		}
	}
	return newest
}

// admit makes room for what comes, and reports whether it stays.
func (m *model) admit(d *Delivery, owed, limit int64) bool {
	lane, newest, gave := idOf(d).laneID, m.newest(d), int64(0)
	for _, seq := range m.lane(lane) {
		id := deliveryID{lane, seq}
		flying := m.leased[lane] && m.sent[lane] == seq
		if seq < d.Sequence && gave <= owed-limit && gave < giveMost && !flying && !m.damaged[id] && !m.owed[id].Force {
			m.give(m.owed[id], 0)
			gave++
		}
	}
	if m.resolve(lane); gave > 0 {
		return true
	}
	seqs := m.lane(lane)
	older := len(seqs) > 0 && seqs[0] < d.Sequence
	if newest != d.Sequence || older || !d.Restrictive {
		return newest == d.Sequence && older
	}
	return m.yield(lane) || owed < limit+limit/10
}

// give gives up what is owed. A head that was given up leads to the first of its lane.
func (m *model) give(d *Delivery, failures int) {
	id, bare := idOf(d), *d
	bare.Body = nil
	m.bury(bare, Overflow, failures)
	if h := m.heads[id.laneID]; h != nil && h.Sequence == id.seq {
		m.stale[id.laneID] = true
	}
}

// resolve looks for what a stale head leads to.
func (m *model) resolve(lane laneID) {
	if !m.stale[lane] || m.leased[lane] {
		return
	}
	if seqs := m.lane(lane); len(seqs) > 0 {
		c := *m.owed[deliveryID{lane, seqs[0]}]
		c.due, c.head, c.class, c.Urgent = m.heads[lane].due, m.heads[lane].head, m.heads[lane].class, m.heads[lane].Urgent
		m.heads[lane] = &c
	}
}

// before orders heads as the due index does.
func before(a, b *Delivery) int {
	return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.due, b.due), cmp.Compare(a.Lane, b.Lane))
}

// yield gives up the first of another lane, if it is neither a rejection nor in flight. An endpoint
// of the model has fewer lanes than are looked at.
func (m *model) yield(lane laneID) bool {
	var heads []*Delivery
	for l, h := range m.heads {
		if l.endpoint == lane.endpoint && !h.class.urgent() {
			heads = append(heads, h)
		}
	}
	slices.SortFunc(heads, before)
	from := 0
	if at := m.search[lane.endpoint]; at != nil {
		for from < len(heads) && before(heads[from], at) < 0 {
			from++
		}
	}
	for _, h := range slices.Concat(heads[from:], heads[:from]) {
		l := idOf(h).laneID
		seqs := m.lane(l)
		first := deliveryID{l, seqs[0]}
		if d := m.owed[first]; l == lane || m.leased[l] || m.damaged[first] || d.Restrictive || d.Force {
			continue
		}
		m.search[lane.endpoint] = &Delivery{class: h.class, due: h.due, Lane: h.Lane}
		was := h.head
		m.give(m.owed[first], 0)
		if _, ok := m.owed[deliveryID{l, was}]; !ok {
			m.head(l)
		}
		return true
	}
	m.search[lane.endpoint] = nil
	return false
}

func (m *model) revive(id string, force bool, order int64, body []byte) {
	g, ok := m.dead[id]
	d := g.Delivery
	for at, name := range m.put {
		if !ok && name == id {
			m.raise(at, order) // it is owed again already
		}
	}
	if !ok || g.reason == Damaged || !force && m.top[laneID{d.Endpoint, d.Lane}] > d.Sequence || d.Body == nil && body == nil {
		return
	}
	delete(m.dead, id)
	if d.Body == nil {
		d.Body = body
	}
	d.Force, d.Owed, d.Order = force, m.now, order
	m.owe(d)
}
