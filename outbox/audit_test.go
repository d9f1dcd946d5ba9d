package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"

	"countersign/outbox/store"
)

type laneID struct{ endpoint, lane string }

type deliveryID struct {
	laneID
	seq uint64
}

// audit walks the buckets and compares what must agree whatever has happened: lanes and their
// heads, the index of rejections, and the counts.
func audit(tx *store.Tx, b *Outbox) error {
	a := inspect(tx, b, nil)
	for _, id := range a.headless {
		a.problem("lane %s of %s is leased and has no head", id.lane, id.endpoint)
	}
	return a.err()
}

type deadItem struct {
	DeadDelivery
	body []byte
}

type auditor struct {
	owed     map[deliveryID]*Delivery // nil: damaged
	raw      map[deliveryID]string
	lanes    map[laneID]int
	heads    map[laneID]head
	due      map[laneID]int64
	class    map[laneID]class
	dead     map[string]deadItem
	withheld map[deliveryID]*withheldRecord
	headless []laneID            // that are leased
	decoded  map[string]deadItem // what was read before, by its bytes: decoding is most of the cost
	problems []error
}

func inspect(tx *store.Tx, b *Outbox, decoded map[string]deadItem) *auditor {
	a := &auditor{
		owed: map[deliveryID]*Delivery{}, raw: map[deliveryID]string{}, lanes: map[laneID]int{}, heads: map[laneID]head{}, due: map[laneID]int64{}, class: map[laneID]class{}, dead: map[string]deadItem{}, withheld: map[deliveryID]*withheldRecord{}, decoded: decoded,
	}
	a.deliveries(tx)
	a.dues(tx)
	a.rejections(tx)
	a.ended(tx)
	a.counts(tx, b)
	for endpoint, l := range *b.lanes.Load() {
		l.mu.Lock()
		for lane := range l.leased {
			if _, ok := a.heads[laneID{endpoint, lane}]; !ok {
				a.headless = append(a.headless, laneID{endpoint, lane})
			}
		}
		l.mu.Unlock()
	}
	return a
}

func (a *auditor) err() error { return errors.Join(a.problems...) }

func (a *auditor) problem(format string, args ...any) {
	a.problems = append(a.problems, fmt.Errorf(format, args...))
}

func (a *auditor) deliveries(tx *store.Tx) {
	tx.Bucket(store.Deliveries).ForEach(func(k, v []byte) error {
		parts := bytes.SplitN(k[:len(k)-8], []byte{0}, 3)
		if len(parts) != 3 || len(parts[2]) != 0 {
			a.problem("key %q of deliveries is malformed", k)
			return nil
		}
		id := deliveryID{laneID{string(parts[0]), string(parts[1])}, sequence(k)}
		d := &Delivery{Endpoint: id.endpoint, Lane: id.lane, Sequence: id.seq}
		if decodeDelivery(v, d) != nil {
			d = nil
		}
		a.owed[id], a.raw[id] = d, string(v)
		a.lanes[id.laneID]++
		return nil
	})
}

func (a *auditor) dues(tx *store.Tx) {
	places := 0
	tx.Bucket(store.Due).ForEach(func(k, v []byte) error {
		if isPlace(k) {
			places++
			return nil
		}
		endpoint, c, due, lane, ok := splitDue(k)
		id := laneID{endpoint, lane}
		if !ok {
			a.problem("key %q of due is malformed", k)
			return nil
		}
		if at, _ := locate(tx, endpoint, lane); !bytes.Equal(at, k) {
			a.problem("the head of %v stands at %q, and is looked for at %q", id, k, at)
		}
		if owesRestrictive(tx, endpoint, lane) && !c.urgent() {
			a.problem("%v owes a rejection, and is not urgent", id)
		}
		if tx.Bucket(store.Due).Has(placeKey(endpoint, lane)) {
			places--
		}
		h, ok := decodeHead(v)
		if !ok {
			a.problem("the head of %v is malformed", id)
		}
		if old, twice := a.heads[id]; twice {
			a.problem("%v has two heads, %d and %d", id, old.seq, h.seq)
		}
		a.heads[id], a.due[id], a.class[id] = h, due, c
		if _, ok := a.owed[deliveryID{id, h.seq}]; !ok && h.seq >= a.last(id) { // one that was given up for a later one leads to the first of its lane
			a.problem("the head of %v is %d, which is not owed", id, h.seq)
		}
		return nil
	})
	if places != 0 {
		a.problem("%d places lead to no head", places)
	}
	for id, n := range a.lanes {
		if _, ok := a.heads[id]; !ok {
			a.problem("%v owes %d and has no head", id, n)
		}
	}
}

// last is the last delivery of a lane that is owed; 0: none is.
func (a *auditor) last(lane laneID) (seq uint64) {
	for id := range a.owed {
		if id.laneID == lane {
			seq = max(seq, id.seq)
		}
	}
	return seq
}

// rejections proves that each rejection owed is listed as such, that none is listed as owed that is
// not, and that the indexes agree.
func (a *auditor) rejections(tx *store.Tx) {
	want := map[string]bool{} // keys of both indexes
	tx.Bucket(store.Withheld).ForEach(func(k, _ []byte) error {
		if k[0] != byLane {
			return nil
		}
		d, _ := splitDelivery(k[1:])
		id, w := idOf(&d), readWithheld(tx, k)
		owed, ok := a.owed[id]
		if w == nil || w.Dead == "" && !ok || w.Dead != "" && owed != nil || owed != nil && !owed.Restrictive {
			a.problem("%v is listed as %+v, and owed is %+v", id, w, owed)
			return nil
		}
		a.withheld[id] = w
		want[string(w.idKey(d.Endpoint))] = true
		if w.Acknowledged == nil {
			want[string(w.ageKey(d.Endpoint, d.Lane, d.Sequence))] = true
		}
		return nil
	})
	for id, d := range a.owed {
		if d != nil && d.Restrictive && a.withheld[id] == nil {
			a.problem("the rejection %v is owed and not listed", id)
		}
	}
	tx.Bucket(store.Withheld).ForEach(func(k, _ []byte) error {
		if k[0] != byLane && k[0] != byRoom && !want[string(k)] {
			a.problem("the index of rejections has %q, which leads to nothing", k)
		}
		delete(want, string(k))
		return nil
	})
	for k := range want {
		a.problem("the index of rejections lacks %q", k)
	}
}

func (a *auditor) ended(tx *store.Tx) {
	leads := map[string]bool{}
	tx.Bucket(store.Dead).ForEach(func(k, v []byte) error {
		if !isDead(k) {
			leads[string(k)] = true
			return nil
		}
		it, ok := a.decoded[string(k)+string(v)]
		if !ok {
			var err error
			if it.DeadDelivery, it.body, err = readDead(k, v); err != nil {
				a.problem("dead %q: %v", k, err)
			}
			if a.decoded != nil {
				a.decoded[string(k)+string(v)] = it
			}
		}
		a.dead[it.ID] = it
		return nil
	})
	for _, it := range a.dead {
		if v, err := tx.Bucket(store.Dead).Get(it.idKey()); err != nil || !bytes.Equal(v, it.place()) || !leads[string(it.timeKey())] {
			a.problem("dead %s is not found by its id, or by when it died", it.ID)
		}
	}
	if len(leads) != 2*len(a.dead) {
		a.problem("%d keys lead to %d dead deliveries", len(leads), len(a.dead))
	}
}

func count(tx *store.Tx, key []byte) int64 {
	n, err := tx.Number(key)
	if err != nil {
		return -1
	}
	return n
}

func (a *auditor) counts(tx *store.Tx, b *Outbox) {
	owed, dead := map[string]int64{}, map[string]int64{}
	for id := range a.owed {
		owed[id.endpoint]++
	}
	for _, it := range a.dead {
		dead[it.Endpoint]++
	}
	for e := range *b.lanes.Load() {
		if n := count(tx, owedKey(e)); n != owed[e] || b.Owed(e) != n {
			a.problem("%s owes %d, counted are %d, shown are %d", e, owed[e], n, b.Owed(e))
		}
		if n := count(tx, deadKey(e)); n != dead[e] || b.Dead(e) != n {
			a.problem("%s has %d dead, counted are %d, shown are %d", e, dead[e], n, b.Dead(e))
		}
	}
	for e := range maps.Keys(owed) {
		if b.of(e) == nil && count(tx, owedKey(e)) != owed[e] {
			a.problem("%s, which is not in the config, owes %d, counted are %d", e, owed[e], count(tx, owedKey(e)))
		}
	}
}

// The negative control: an auditor that cannot fail proves nothing. Each of these is what a
// forgotten line would leave behind.
func TestAuditFindsWhatIsBroken(t *testing.T) {
	f := func(name string, sabotage func(tx *store.Tx, b *Outbox) error) {
		t.Helper()
		r := startRig(t, store.Options{}, Options{Now: newClock().now}, Endpoint{ID: "a"}, Endpoint{ID: "b"})
		for seq := uint64(1); seq <= 4; seq++ {
			r.put(t, change("a", "x", seq), change("a", "y", seq), change("b", "x", seq))
		}
		r.settle(t, Attempt{Delivery: r.claim(t, "b", 1)[0], Outcome: Died, Reason: "refused", At: base})
		r.audit(t)
		r.update(t, func(tx *store.Tx) error { return sabotage(tx, r.Outbox) })
		if err := r.s.View(func(tx *store.Tx) error { return audit(tx, r.Outbox) }); err == nil {
			t.Errorf("%s: nothing found", name)
		}
	}
	due := base.UnixMilli()
	f("the next head is not put in", func(tx *store.Tx, _ *Outbox) error {
		return tx.Bucket(store.Due).Delete(dueKey("a", urgentFresh, due, "x"))
	})
	f("the old head is not taken out", func(tx *store.Tx, _ *Outbox) error {
		return tx.Bucket(store.Due).Put(dueKey("a", urgentFresh, due-5, "x"), head{seq: 1}.encode())
	})
	f("a head of nothing", func(tx *store.Tx, _ *Outbox) error {
		return tx.Bucket(store.Due).Put(dueKey("a", urgentFresh, due, "z"), head{seq: 1}.encode())
	})
	f("a head that is delivered", func(tx *store.Tx, _ *Outbox) error {
		return tx.Bucket(store.Due).Put(dueKey("a", urgentFresh, due, "x"), head{seq: 9}.encode())
	})
	f("a delivery lost", func(tx *store.Tx, _ *Outbox) error {
		return tx.Bucket(store.Deliveries).Delete(deliveryKey("a", "x", 2))
	})
	f("a count forgotten", func(tx *store.Tx, b *Outbox) error {
		x := b.tally()
		x.owed["a"]++
		return x.write(tx)
	})
	f("a dead count forgotten", func(tx *store.Tx, b *Outbox) error {
		x := b.tally()
		x.dead["b"]--
		return x.write(tx)
	})
	f("a count not shown", func(_ *store.Tx, b *Outbox) error { b.show("a", func(l *lanes) { l.owed-- }); return nil })
	f("a rejection not listed", func(tx *store.Tx, _ *Outbox) error {
		d := change("a", "x", 3)
		return tx.Bucket(store.Withheld).Delete(withheldAgeKey(&d))
	})
	f("a rejection listed for ever", func(tx *store.Tx, _ *Outbox) error {
		d := change("a", "x", 9)
		return withhold(tx, &d)
	})
	f("a rejection in the index of nobody", func(tx *store.Tx, _ *Outbox) error {
		d := change("a", "x", 9)
		return tx.Bucket(store.Withheld).Put(withheldAgeKey(&d))
	})
	f("a rejection that died and is listed as owed", func(tx *store.Tx, _ *Outbox) error {
		d := change("a", "x", 3)
		return lapse(tx, &d, Overflow)
	})
	f("a lease of nothing", func(_ *store.Tx, b *Outbox) error {
		b.show("a", func(l *lanes) { l.leased["z"] = 1 })
		return nil
	})
	f("a dead one dug up", func(tx *store.Tx, _ *Outbox) error { return tx.Bucket(store.Dead).Delete(deliveryKey("b", "x", 1)) })
	f("a dead one that is not listed", func(tx *store.Tx, _ *Outbox) error {
		return tx.Bucket(store.Dead).Delete((&DeadDelivery{Endpoint: "b", Subject: "x", Sequence: 1, At: base}).timeKey())
	})
	f("a dead one that has no id", func(tx *store.Tx, _ *Outbox) error {
		return tx.Bucket(store.Dead).Delete((&DeadDelivery{Endpoint: "b", ID: "evt_x-1@b"}).idKey())
	})
}
