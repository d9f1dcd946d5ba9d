package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"time"

	"countersign/outbox/store"
)

// How the model is given away, and hears of endings.

// settled counts what the history is told, once it is on disk.
func (h *history) settled(tx *store.Tx, a Attempt) error {
	tx.OnCommit(func() { h.told[fmt.Sprint(a.Delivery.ID(), a.Delivery.Lane, " ", a.Outcome)]++ })
	return nil
}

// settleGone is an attempt of what has ended, or was ordered again behind another head, since it
// was claimed.
func (m *model) settleGone(a *Attempt) {
	d := &a.Delivery
	id := idOf(d)
	undone := m.undone[id.laneID] == id.seq
	delete(m.leased, id.laneID)
	delete(m.undone, id.laneID)
	if g, dead := m.dead[d.ID()]; m.owed[id] != nil || a.Outcome != Done || !undone && (!dead || g.Sequence != id.seq || g.Lane != id.lane) {
		m.resolve(id.laneID)
		return
	}
	delete(m.dead, d.ID())
	m.tell(d, Done)
	m.done[id] = true
	m.top[id.laneID] = max(m.top[id.laneID], id.seq)
	m.moveOn(d, id.seq, math.MaxInt64)
}

// moveOn is what follows for a lane from an ending anywhere in it, after which it has been told up to
// a sequence, of what was not ordered after an order.
func (m *model) moveOn(d *Delivery, seq uint64, order int64) {
	lane := idOf(d).laneID
	m.straighten(lane)
	at := m.heads[lane]
	for w := range m.withheld {
		if o := m.owed[w]; w.laneID == lane && w.seq <= seq && (o == nil || m.damaged[w] || !o.Force && o.Order <= order) {
			delete(m.withheld, w)
		}
	}
	for id, o := range m.owed {
		if id.laneID == lane && id.seq <= seq && !o.Force && o.Order <= order && !m.damaged[id] {
			m.bury(*o, Overtaken, 0)
		}
	}
	if at == nil {
		return
	}
	if m.owed[idOf(at)] == nil {
		m.head(lane)
		return
	}
	at.head = at.Sequence
	at.class = classOf(m.urgent(lane), at.Failures > 0)
	at.Urgent = at.class.urgent()
}

// straighten makes what a stale head leads to the head, in flight or not.
func (m *model) straighten(lane laneID) {
	if seqs := m.lane(lane); m.stale[lane] && len(seqs) > 0 {
		c := *m.owed[deliveryID{lane, seqs[0]}]
		c.due, c.class, c.Urgent = m.heads[lane].due, m.heads[lane].class, m.heads[lane].Urgent
		c.head = c.Sequence
		m.heads[lane] = &c
	}
	delete(m.stale, lane)
}

func (m *model) receive(r *Receipt) {
	d := Delivery{Endpoint: r.Endpoint, WebhookID: r.WebhookID, Lane: r.Lane, Sequence: r.Sequence}
	id := idOf(&d)
	o, g := m.owed[id], m.dead[d.ID()]
	switch {
	case o != nil && (m.damaged[id] || o.Order > r.Order || o.WebhookID != r.WebhookID):
		return
	case o == nil && (g.Lane != r.Lane || g.Sequence != r.Sequence || g.Order > r.Order || r.Outcome == Died):
		return
	}
	m.straighten(id.laneID)
	if r.Outcome == Died {
		body, failures := *o, 0
		if h := m.heads[id.laneID]; h.Sequence == id.seq {
			failures = h.Failures
		}
		if r.Reason == Overflow {
			body.Body = nil
		}
		m.bury(body, r.Reason, failures)
		m.moveOn(&d, 0, 0)
		return
	}
	delete(m.owed, id)
	delete(m.dead, d.ID())
	m.done[id] = true
	m.tell(&d, r.Outcome)
	if r.Outcome == Done {
		m.moveOn(&d, r.Sequence, r.Order)
		return
	}
	if m.leased[id.laneID] && m.sent[id.laneID] == id.seq {
		m.undone[id.laneID] = id.seq
	}
	m.moveOn(&d, 0, 0)
}

// receive hears how something ended that was once owed: of the order that it has, of a later one, or
// of one before, and twice.
func (h *history) receive() error {
	ids := slices.SortedFunc(maps.Keys(h.m.put), func(a, b deliveryID) int {
		return slices.Compare([]string{a.endpoint, a.lane, fmt.Sprintf("%09d", a.seq)}, []string{b.endpoint, b.lane, fmt.Sprintf("%09d", b.seq)})
	})
	if len(ids) == 0 {
		return nil
	}
	var rs []Receipt
	for range 1 + h.r.IntN(2) {
		id := pick(h, ids)
		if owed := h.owedIDs(); len(owed) > 0 && h.r.IntN(4) > 0 {
			id = pick(h, owed)
		}
		if len(h.flying) > 0 && h.r.IntN(3) == 0 {
			id = idOf(new(pick(h, h.flying)))
		}
		name, _, _ := SplitID(h.m.put[id])
		r := Receipt{Endpoint: id.endpoint, Lane: id.lane, WebhookID: name, Sequence: id.seq, Outcome: Done, Reason: "ok", At: h.m.now, Order: h.offset}
		if o := h.m.owed[id]; o != nil {
			r.Order = o.Order - 1 + h.r.Int64N(3)
		}
		switch h.r.IntN(5) {
		case 0:
			r.Outcome, r.Reason = Died, pick(h, []string{"exhausted", Overflow})
		case 1:
			r.Outcome, r.Reason = Cancelled, ReasonCancelled
		}
		h.m.receive(&r)
		if h.wrong.anyOrder {
			r.Order = math.MaxInt64
		}
		rs = append(rs, r, r)
	}
	return h.update(func(tx *store.Tx) error { return h.b.Receive(tx, rs...) })
}

// keptLane is a lane as it once was.
type keptLane struct {
	bytes []byte
	m     *model
}

// part is what a model keeps of a person, copied.
func (m *model) part(lane string) *model {
	p := newModel()
	for id, d := range m.owed {
		if id.lane == lane {
			p.owed[id] = new(*d)
		}
	}
	for id, d := range m.heads {
		if id.lane == lane {
			p.heads[id] = new(*d)
		}
	}
	for id, g := range m.dead {
		if g.Lane == lane {
			p.dead[id] = g
		}
	}
	maps.Copy(p.stale, m.stale)
	maps.Copy(p.withheld, m.withheld)
	maps.Copy(p.done, m.done)
	maps.Copy(p.top, m.top)
	maps.Copy(p.put, m.put)
	other := func(id laneID) bool { return id.lane != lane }
	maps.DeleteFunc(p.stale, func(id laneID, _ bool) bool { return other(id) })
	maps.DeleteFunc(p.top, func(id laneID, _ uint64) bool { return other(id) })
	maps.DeleteFunc(p.withheld, func(id deliveryID, _ time.Time) bool { return other(id.laneID) })
	maps.DeleteFunc(p.done, func(id deliveryID, _ bool) bool { return other(id.laneID) })
	maps.DeleteFunc(p.put, func(id deliveryID, _ string) bool { return other(id.laneID) })
	return p
}

// become puts a part in the place of what there is of a person.
func (m *model) become(lane string, p *model) {
	mine := func(id laneID) bool { return id.lane == lane }
	maps.DeleteFunc(m.owed, func(id deliveryID, _ *Delivery) bool { return mine(id.laneID) })
	maps.DeleteFunc(m.damaged, func(id deliveryID, _ bool) bool { return mine(id.laneID) })
	maps.DeleteFunc(m.heads, func(id laneID, _ *Delivery) bool { return mine(id) })
	maps.DeleteFunc(m.stale, func(id laneID, _ bool) bool { return mine(id) })
	maps.DeleteFunc(m.top, func(id laneID, _ uint64) bool { return mine(id) })
	maps.DeleteFunc(m.dead, func(_ string, g buried) bool { return g.Lane == lane })
	maps.DeleteFunc(m.withheld, func(id deliveryID, _ time.Time) bool { return mine(id.laneID) })
	maps.DeleteFunc(m.done, func(id deliveryID, _ bool) bool { return mine(id.laneID) })
	maps.DeleteFunc(m.put, func(id deliveryID, _ string) bool { return mine(id.laneID) })
	maps.Copy(m.owed, p.owed)
	maps.Copy(m.heads, p.heads)
	maps.Copy(m.stale, p.stale)
	maps.Copy(m.top, p.top)
	maps.Copy(m.dead, p.dead)
	maps.Copy(m.withheld, p.withheld)
	maps.Copy(m.done, p.done)
	maps.Copy(m.put, p.put)
}

// elsewhere is another outbox, on a file of its own.
type elsewhere struct {
	*Outbox
	s    *store.Store
	stop func() error
}

func (h *history) away() (*elsewhere, error) {
	if h.other != nil {
		return h.other, nil
	}
	o := &history{m: h.m, clock: h.clock, dir: filepath.Join(h.dir, "elsewhere"), told: map[string]int{}}
	err := o.open()
	h.other = &elsewhere{o.b, o.s, o.stop}
	return h.other, err
}

func (e *elsewhere) close() error {
	if e == nil {
		return nil
	}
	return e.stop()
}

var everywhere = []string{"c", "gone", "a", "b", "a"} // in any order

func give(s *store.Store, lane string) (is []byte, err error) {
	err = s.View(func(tx *store.Tx) error {
		is, err = Give(tx, lane, everywhere...)
		return err
	})
	return is, err
}

// giveAway gives a person to another outbox and takes it back, or puts a person back who was given
// before.
func (h *history) giveAway() (what string, err error) {
	lane := pick(h, h.subjects)
	is, err := give(h.s, lane)
	for id := range h.m.damaged {
		if id.lane == lane {
			if !errors.Is(err, store.ErrBadRecord) {
				return "give", fmt.Errorf("something is damaged, and it was given: %w", err)
			}
			return "give", nil
		}
	}
	if err != nil {
		return "give", err
	}
	take := func(is []byte) error {
		return h.update(func(tx *store.Tx) error {
			was, _ := tx.Number(owedKey("a"))
			err := h.b.Take(tx, lane, is, everywhere...)
			if h.wrong.uncounted {
				return errors.Join(err, tx.SetNumber(owedKey("a"), was))
			}
			return err
		})
	}
	for id := range h.m.leased {
		if id.lane == lane {
			if err := take(is); !errors.Is(err, ErrInFlight) {
				return "take", fmt.Errorf("taken while something is in flight: %w", err)
			}
			return "take", nil
		}
	}
	if was := h.kept[lane]; was != nil && h.r.IntN(2) == 0 {
		delete(h.kept, lane)
		h.m.become(lane, was.m)
		maps.DeleteFunc(h.last, func(id laneID, _ uint64) bool { return id.lane == lane })
		return "take what once was", take(was.bytes)
	}
	if h.r.IntN(2) == 0 {
		h.kept[lane] = &keptLane{bytes: is, m: h.m.part(lane)}
	}
	return "give and take", errors.Join(h.moved(lane, is), take(is))
}

// moved holds what was given to what another outbox has of it, in the place of what it had before,
// and takes it away here.
func (h *history) moved(lane string, is []byte) error {
	o, err := h.away()
	if err != nil {
		return err
	}
	err = o.s.Update(context.Background(), func(tx *store.Tx) error { return o.Take(tx, lane, is, everywhere...) })
	if err != nil {
		return err
	}
	again, err := give(o.s, lane)
	if err != nil || !bytes.Equal(again, is) {
		return errors.Join(err, errors.New("it was given otherwise elsewhere"))
	}
	if _, err := h.b.EraseLane(context.Background(), lane); err != nil {
		return err
	}
	return errors.Join(
		o.s.View(func(tx *store.Tx) error { return audit(tx, o.Outbox) }),
		h.s.View(func(tx *store.Tx) error { return inspect(tx, h.b, h.decoded).err() }),
	)
}
