package outbox

import (
	"bytes"
	"time"

	"countersign/outbox/store"
)

// What an endpoint owes at most, and who gives way. When it owes max_owed, room is made for what
// comes, in this order:
//
//  1. by the same person: the oldest deliveries that a later decision about that person follows,
//     which may be the new one itself;
//  2. where the older ones are in flight or forced, by nobody: the new decision is owed beyond
//     max_owed, at most one for each such person;
//  3. for a rejection or suspension, by another person: a delivery that is neither, whose turn is
//     next. Of the lanes whose turn is next yieldLook are looked at, the next time those behind
//     them. If none of them gives way, the rejection is owed beyond max_owed, up to a tenth;
//  4. else by the new one.
//
// Who gives way is dead as an overflow, listed, and can be ordered again. If nothing later has been
// decided about that person it waits for room, and is owed again when there is some (Refill),
// rejections first. What is in flight, and what an operator forces, never gives way. So the newest
// decision about a person is never given up while an older one about the same person is owed, and
// nothing walks over what an endpoint owes.

const (
	yieldLook = 64 // heads looked at for one that gives way to another person's rejection
	laneLook  = 64 // deliveries of one lane looked at for its newest decision
	giveMost  = 2  // given up for one that comes: where more is owed than may be, it becomes less
)

// admit reports whether a delivery may be owed by an endpoint that owes as much as it may, and
// gives up what makes room for it.
func (b *Outbox) admit(tx *store.Tx, t *tally, l *lanes, d *Delivery, owed int64) (bool, error) {
	newest := b.newestDecision(tx, d)
	older := b.olderThan(tx, l, d, newest, owed-l.maxOwed.Load()+1)
	for i := range older {
		if err := b.giveUp(tx, t, &older[i], d.Owed); err != nil {
			return false, err
		}
	}
	if len(older) == 0 && newest > d.Sequence {
		return false, nil // its person has been decided about since
	}
	switch {
	case len(older) > 0:
		return true, nil
	case newest != d.Sequence:
		return false, await(tx, d) // it decides nothing
	case owesOlder(tx, d):
		return true, nil
	case !d.Restrictive:
		return false, await(tx, d)
	}
	yielded, err := b.yield(tx, t, l, d)
	if err != nil || yielded || owed < l.maxOwed.Load()+l.maxOwed.Load()/10 {
		return err == nil, err
	}
	return false, await(tx, d)
}

// owesOlder reports whether something older of the same person is owed.
func owesOlder(tx *store.Tx, d *Delivery) bool {
	prefix := laneKey(d.Endpoint, d.Lane)
	k, _ := tx.Bucket(store.Deliveries).From(prefix)
	return isOfLane(k, prefix) && sequence(k) < d.Sequence
}

// newestDecision is the sequence of the last decision about the person of d, among what is owed and
// d itself; 0: there is none.
func (b *Outbox) newestDecision(tx *store.Tx, d *Delivery) (newest uint64) {
	if b.o.Decides(d.Type) {
		newest = d.Sequence
	}
	prefix := laneKey(d.Endpoint, d.Lane)
	c := tx.Bucket(store.Deliveries).Cursor()
	back := c.Prev
	if k, _ := c.Seek(append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, 9)...)); k == nil { // behind the lane is nothing
		back = c.Last
	}
	k, v := back()
	for n := 0; isOfLane(k, prefix) && sequence(k) > newest && n < laneLook; n++ {
		var o Delivery
		if decodeDelivery(v, &o) == nil && b.o.Decides(o.Type) {
			return sequence(k)
		}
		k, v = c.Prev()
	}
	return newest
}

// olderThan are the oldest deliveries of the lane of d, at most n, that may be given up for a later
// decision: none that comes after d, unless d is not to be given up.
func (b *Outbox) olderThan(tx *store.Tx, l *lanes, d *Delivery, newest uint64, n int64) (older []Delivery) {
	flying := l.inFlight(d.Lane)
	prefix := laneKey(d.Endpoint, d.Lane)
	c := tx.Bucket(store.Deliveries).Cursor()
	for k, v := c.Seek(prefix); isOfLane(k, prefix) && sequence(k) < min(newest, d.Sequence) && int64(len(older)) < min(n, giveMost); k, v = c.Next() {
		o := Delivery{Endpoint: d.Endpoint, Lane: d.Lane, Sequence: sequence(k)}
		if o.Sequence != flying && decodeDelivery(v, &o) == nil && !o.Force {
			older = append(older, o)
		}
	}
	return older
}

// giveUp puts down as dead what is owed, for want of room, at the instant from which what needs the
// room is owed. Its lane's head stays where it is: the
// claim finds what is first in the lane then.
func (b *Outbox) giveUp(tx *store.Tx, t *tally, d *Delivery, at time.Time) error {
	if err := pin(tx, d.Endpoint, d.Lane); err != nil {
		return err
	}
	a := Attempt{Delivery: *d, Outcome: Died, Reason: Overflow, At: at}
	a.Delivery.Body = nil
	return b.inter(tx, t, &a)
}

// yield gives up a head of a lane that is not urgent, of another lane than what comes, and reports
// whether there was one among those looked at. The next search begins where this one ended.
func (b *Outbox) yield(tx *store.Tx, t *tally, l *lanes, comes *Delivery) (bool, error) {
	begin, end := append([]byte(l.id), 0, byte(plainFresh)), append([]byte(l.id), 0, byte(classes))
	c := tx.Bucket(store.Due).Cursor()
	from, wrapped := l.search, len(l.search) == 0
	if wrapped {
		from = begin
	}
	k, v := c.Seek(from)
	for range yieldLook {
		if bytes.Compare(k, begin) < 0 || bytes.Compare(k, end) >= 0 { // at the end of the index it is nil
			if wrapped {
				break
			}
			wrapped = true
			k, v = c.Seek(begin)
			continue
		}
		if d, ok := yields(tx, l, k, v, comes.Lane); ok {
			l.search = bytes.Clone(k)
			return true, b.giveUpFirst(tx, t, &d, l.search, comes.Owed)
		}
		k, v = c.Next()
	}
	l.search = bytes.Clone(k)
	return false, nil
}

// yields is what is first in the lane of a head, if it may give way to a rejection about somebody
// else.
func yields(tx *store.Tx, l *lanes, k, v []byte, lane string) (d Delivery, ok bool) {
	h, sound := decodeHead(v)
	_, _, _, whose, ok := splitDue(k)
	if !ok || !sound || whose == lane || l.inFlight(whose) != 0 {
		return d, false
	}
	d = Delivery{Endpoint: l.id, Lane: whose, head: h.seq}
	prefix := laneKey(d.Endpoint, d.Lane)
	first, v := tx.Bucket(store.Deliveries).From(prefix)
	if !isOfLane(first, prefix) || decodeDelivery(v, &d) != nil {
		return d, false
	}
	d.Sequence = sequence(first)
	return d, !d.Restrictive && !d.Force
}

// giveUpFirst gives up what is first in a lane, whose head stands at due. The next of the lane
// takes the head's place if that was it.
func (b *Outbox) giveUpFirst(tx *store.Tx, t *tally, d *Delivery, due []byte, at time.Time) error {
	if err := b.giveUp(tx, t, d, at); err != nil {
		return err
	}
	if b.newestDecision(tx, d) <= d.Sequence {
		if err := await(tx, d); err != nil {
			return err
		}
	}
	if tx.Bucket(store.Deliveries).Raw(deliveryKey(d.Endpoint, d.Lane, d.head)) != nil {
		return nil
	}
	if err := unstand(tx, d.Endpoint, d.Lane, due); err != nil {
		return err
	}
	return b.advance(tx, t, d, told{})
}

// superseded reports whether an endpoint owes more than it may, and a later decision than d about
// the same person: then d is not tried again.
func (b *Outbox) superseded(tx *store.Tx, t *tally, d *Delivery) (bool, error) {
	l := b.of(d.Endpoint)
	if l == nil || l.maxOwed.Load() == 0 || d.Force {
		return false, nil
	}
	at, err := t.standing(tx, d.Endpoint)
	return err == nil && at.owed+t.owed[d.Endpoint] > l.maxOwed.Load() && b.newestDecision(tx, d) > d.Sequence, err
}

// read fills in what a head leads to: its delivery, or the first of the lane where that was given
// up for a later one. The head is then as of that one.
func read(waiting store.Bucket, d *Delivery, h *head) error {
	d.Sequence = h.seq
	k := deliveryKey(d.Endpoint, d.Lane, h.seq)
	prefix := k[:len(k)-8]
	if later, _ := waiting.From(k); !bytes.Equal(later, k) && isOfLane(later, prefix) {
		first, _ := waiting.From(prefix)
		d.Sequence = sequence(first)
		*h = head{seq: d.Sequence}
	}
	return readDelivery(waiting, d)
}

// inFlight is the sequence of what is in flight of a lane; 0: nothing is.
func (l *lanes) inFlight(lane string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leased[lane]
}
