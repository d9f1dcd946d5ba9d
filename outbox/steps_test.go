package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	"countersign/outbox/store"
)

var discard = slog.New(slog.DiscardHandler)

var endpoints, subjects = []string{"a", "b", "c"}, []string{"p/s1", "p/s1@example.com", "p/s\x01t"}

func pick[T any](h *history, of []T) T { return of[h.r.IntN(len(of))] }

// step does one random thing to both.
func (h *history) step() (what string, err error) {
	h.offset++
	switch n := h.r.IntN(100); {
	case n < 25:
		return "put", h.owe()
	case n < 46:
		return "claim", h.claim()
	case n < 63:
		return "settle", h.settle()
	case n < 66:
		return "release", h.release()
	case n < 74:
		h.clock.add(time.Duration(h.r.IntN(4000)) * time.Millisecond)
		h.m.now = h.clock.now()
		return "time", nil
	case n < 85:
		return "revive", h.revive()
	case n < 92:
		return "receive", h.receive()
	case n < 97:
		return h.giveAway()
	default:
		return "damage", h.damage()
	}
}

func (h *history) update(fn func(*store.Tx) error) error { return h.s.Update(context.Background(), fn) }

// owe owes a change or two of a subject to some endpoints, as a fold does, sometimes with something
// that is owed already.
func (h *history) owe() error {
	var ds []Delivery
	lane := pick(h, h.subjects)
	for range 1 + h.r.IntN(3) {
		h.seqs[lane] += 1 + uint64(h.r.IntN(3))
		for _, e := range append(slices.Clone(h.endpoints), "gone") {
			if h.r.IntN(3) > 0 && (e != "gone" || h.r.IntN(10) == 0) {
				d := change(e, lane, h.seqs[lane])
				d.Owed, d.Order = h.m.now, h.offset
				ds = append(ds, d)
			}
		}
	}
	if ids := h.owedIDs(); len(ids) > 0 && h.r.IntN(4) == 0 {
		if id := pick(h, ids); !h.m.damaged[id] {
			d := *h.m.owed[id]
			d.Order = h.offset - h.r.Int64N(20)
			ds = append(ds, d)
		}
	}
	for _, d := range ds {
		h.m.owe(d)
	}
	return h.update(func(tx *store.Tx) error { return h.b.Put(tx, ds...) })
}

func (h *history) owedIDs() []deliveryID {
	return slices.SortedFunc(maps.Keys(h.m.owed), func(a, b deliveryID) int {
		return slices.Compare([]string{a.endpoint, a.lane, fmt.Sprintf("%09d", a.seq)}, []string{b.endpoint, b.lane, fmt.Sprintf("%09d", b.seq)})
	})
}

func (h *history) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return h.b.Flush(ctx)
}

func (h *history) claim() error {
	e, n := pick(h, h.endpoints), h.r.IntN(5)
	turn := Turn{Max: n, Failed: h.r.IntN(5)}
	want, wantNext := h.m.claim(e, turn)
	got, next, err := h.b.Claim(e, turn)
	if err = errors.Join(err, h.flush()); err != nil { // a damaged one that was met is settled behind the back
		return err
	}
	for i := range want {
		want[i].from = h.b
	}
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) || !next.Equal(wantNext) {
		return fmt.Errorf("claimed %+v of %s: %+v, next at %v; want %+v, %v", turn, e, got, next, want, wantNext)
	}
	for i := range got {
		d := &got[i]
		lane := idOf(d).laneID
		if d.due > h.m.now.UnixMilli() || !d.Force && d.Sequence < h.last[lane] && h.m.top[lane] >= d.Sequence {
			return fmt.Errorf("%+v is claimed after %d of its lane was delivered, or too early", d, h.m.top[lane])
		}
		for _, o := range h.flying {
			if idOf(&o).laneID == lane {
				return fmt.Errorf("%+v is claimed while %+v is in flight", d, o)
			}
		}
		h.last[lane] = d.Sequence
		h.flying = append(h.flying, *d)
	}
	if n := h.b.held(); n != len(h.flying) {
		return fmt.Errorf("%d are claimed, want %d", n, len(h.flying))
	}
	return nil
}

// held is how many deliveries are with whoever claimed them.
func (b *Outbox) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.claimed
}

func (h *history) settle() error {
	var as []Attempt
	for range min(len(h.flying), 1+h.r.IntN(3)) {
		i := h.r.IntN(len(h.flying))
		a := Attempt{Delivery: h.flying[i], At: h.m.now, Took: time.Duration(h.r.IntN(2)) * time.Millisecond}
		h.flying = slices.Delete(h.flying, i, i+1)
		switch h.r.IntN(5) {
		case 0, 1:
			a.Outcome, a.Code = Done, 200
		case 2:
			a.Outcome, a.Reason, a.Code, a.Retry = Retry, "busy", 503, h.m.now.Add(time.Duration(1+h.r.IntN(5000))*time.Millisecond)
		default:
			a.Outcome, a.Reason = Died, "exhausted"
		}
		as = append(as, a)
		h.m.settle(a)
	}
	h.b.Settle(as...)
	return h.flush()
}

func (h *history) release() error {
	if len(h.flying) == 0 {
		return nil
	}
	i := h.r.IntN(len(h.flying))
	d := h.flying[i]
	h.flying = slices.Delete(h.flying, i, i+1)
	delete(h.m.leased, idOf(&d).laneID)
	delete(h.m.undone, idOf(&d).laneID)
	h.m.resolve(idOf(&d).laneID)
	h.b.Release(d)
	return nil
}

func (h *history) revive() error {
	ids := slices.Sorted(maps.Keys(h.m.dead))
	var d Delivery
	if len(ids) > 0 { // several of one lane, now and then one that is in flight
		d = h.m.dead[pick(h, ids)].Delivery
		if len(h.flying) > 0 && h.r.IntN(2) == 0 {
			d = pick(h, h.flying)
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return idOf(new(h.m.dead[id].Delivery)).laneID != idOf(&d).laneID })
	}
	for range min(len(ids), 4) {
		id, force := pick(h, ids), h.r.IntN(3) == 0
		body := []byte("rendered again")
		if h.r.IntN(4) == 0 {
			body = nil // its change is no longer kept
		}
		like := revived(id, force, h.b.o.Now())
		like.Lane, like.Order = d.Lane, h.offset
		h.m.revive(id, force, h.offset, body)
		err := h.update(func(tx *store.Tx) error {
			return h.b.Revive(tx, like, func(d DeadDelivery) bool {
				return force || h.m.top[laneID{d.Endpoint, d.Subject}] <= d.Sequence
			}, func(DeadDelivery) ([]byte, error) { return body, nil })
		})
		if err != nil {
			return err
		}
	}
	return h.update(func(tx *store.Tx) error { // never dead
		return h.b.Revive(tx, revived("evt_none@a", true, h.b.o.Now()), func(DeadDelivery) bool { return true }, nil)
	})
}

// damage flips a bit of a delivery that is not in flight.
func (h *history) damage() error {
	ids := slices.DeleteFunc(h.owedIDs(), func(id deliveryID) bool { return h.m.leased[id.laneID] || h.m.damaged[id] })
	if len(ids) == 0 {
		return nil
	}
	id := pick(h, ids)
	h.m.damaged[id] = true
	return h.update(func(tx *store.Tx) error {
		k := deliveryKey(id.endpoint, id.lane, id.seq)
		_, err := spoil(tx, store.Deliveries, k, func(v []byte) { v[h.r.IntN(len(v))] ^= 1 << h.r.IntN(8) })
		return err
	})
}
