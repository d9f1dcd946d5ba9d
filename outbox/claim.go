package outbox

import (
	"bytes"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// Turn says what a claim may take.
type Turn struct {
	Max    int  // deliveries
	Failed int  // of them, at most so many that have failed before
	Urgent bool // of urgent lanes only
	Plain  bool // of others only
	Newest bool // what has become due last first, and nothing that has failed
}

// Claim leases due heads of the endpoint's lanes, those of urgent lanes before all others, and of
// each kind those that have been due for longest. next is when the earliest other one becomes due
// (zero: none is waiting, or only what the turn does not take); a lane that is leased, or settled
// and not yet committed, does not count. A delivery whose record is damaged is put down as dead and
// does not hold back its lane. It looks at what it takes and at what is leased, whatever is owed.
func (b *Outbox) Claim(endpoint string, t Turn) (ds []Delivery, next time.Time, err error) {
	l := b.of(endpoint)
	if l == nil {
		return nil, time.Time{}, fmt.Errorf("claim for %s: %w", endpoint, ErrNotFound)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var damaged []Delivery
	err = b.o.Store.View(func(tx *store.Tx) error {
		c := &claim{b: b, l: l, tx: tx, now: b.o.Now().UnixMilli(), turn: t}
		if t.Newest {
			c.turn.Failed = 0
		}
		if !t.Plain {
			c.take(urgentFresh, urgentFailed)
		}
		if !t.Urgent {
			c.take(plainFresh, plainFailed)
		}
		ds, damaged = c.taken, c.damaged
		if c.next != 0 {
			next = time.UnixMilli(c.next)
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	b.lease(l, ds, damaged)
	return ds, next, nil
}

// lease notes what is in flight, and puts down what is damaged. l.mu is held.
func (b *Outbox) lease(l *lanes, ds, damaged []Delivery) {
	for _, d := range append(ds, damaged...) {
		l.leased[d.Lane] = d.Sequence
	}
	b.hold(len(ds) + len(damaged))
	for _, d := range damaged {
		b.o.Logger.Error("delivery_damaged", "endpoint", d.Endpoint, "sequence", d.Sequence)
		b.Settle(Attempt{Delivery: d, Outcome: Died, Reason: Damaged, At: b.o.Now()})
	}
}

// claim is one look at the due index of an endpoint, whose l.mu is held.
type claim struct {
	b    *Outbox
	l    *lanes
	tx   *store.Tx
	now  int64
	turn Turn

	taken, damaged []Delivery
	failed         int   // of those taken
	next           int64 // when the earliest other one is due, in unix milliseconds; 0: none
}

// take takes what is due of two classes, in the order in which it became due.
func (c *claim) take(fresh, failed class) {
	a, z := c.walk(fresh), c.walk(failed)
	if c.turn.Newest {
		a = c.walkBack(fresh)
	}
	for {
		w := a
		if a.at == nil || z.at != nil && z.due < a.due && c.failed < c.turn.Failed {
			w = z
		}
		switch {
		case w.at == nil || w == z && c.failed >= c.turn.Failed:
			if z.at != nil && z.due > c.now { // else it waits for its turn, and not for time
				c.wait(z.due)
			}
			return
		case w.due > c.now || len(c.taken) >= c.turn.Max:
			c.wait(w.due)
			if w == a && z.at != nil && z.due > c.now {
				c.wait(z.due)
			}
			return
		}
		if d, sound := c.read(w); !sound {
			c.damaged = append(c.damaged, d)
		} else {
			c.taken = append(c.taken, d)
			if w == z {
				c.failed++
			}
		}
		w.step()
	}
}

func (c *claim) wait(due int64) {
	if c.next == 0 || due < c.next {
		c.next = due
	}
}

// read is the delivery that a head leads to. Not sound: it, or what it leads to, is damaged.
func (c *claim) read(w *walker) (d Delivery, sound bool) {
	d = Delivery{Endpoint: c.l.id, Lane: w.lane, from: c.b, class: w.class, due: w.due, Urgent: w.class.urgent()}
	h, ok := decodeHead(w.head)
	d.head = h.seq
	sound = ok && read(c.tx.Bucket(store.Deliveries), &d, &h) == nil
	d.Failures = h.failures
	if h.first != 0 {
		d.FirstFailure = time.UnixMilli(h.first).UTC()
	}
	return d, sound
}

// walker stands at the next head of a class that is not leased, in the order of due times.
type walker struct {
	c      *claim
	class  class
	prefix []byte
	cursor *store.Cursor
	next   func() (k, v []byte)

	at   []byte // its key; nil: there is none
	head []byte
	due  int64
	lane string
}

func (c *claim) walk(of class) *walker { return c.walkFrom(of, nil) }

// walkFrom begins with what stands at a key or behind it; nil: with the first of the class.
func (c *claim) walkFrom(of class, key []byte) *walker {
	w := &walker{c: c, class: of, prefix: append([]byte(c.l.id), 0, byte(of)), cursor: c.tx.Bucket(store.Due).Cursor()}
	w.next = w.cursor.Next
	if bytes.Compare(key, w.prefix) < 0 {
		key = w.prefix
	}
	w.settle(w.cursor.Seek(key))
	return w
}

// walkBack begins with the last of a class, and goes to the first.
func (c *claim) walkBack(of class) *walker {
	w := &walker{c: c, class: of, prefix: append([]byte(c.l.id), 0, byte(of)), cursor: c.tx.Bucket(store.Due).Cursor()}
	w.next = w.cursor.Prev
	if k, _ := w.cursor.Seek(append([]byte(c.l.id), 0, byte(of+1))); k == nil {
		w.settle(w.cursor.Last())
	} else {
		w.settle(w.cursor.Prev())
	}
	return w
}

func (w *walker) step() { w.settle(w.next()) }

func (w *walker) settle(k, v []byte) {
	for ; bytes.HasPrefix(k, w.prefix); k, v = w.next() {
		_, _, due, lane, ok := splitDue(k)
		if v == nil || !ok {
			w.c.b.astray.Store(true) // whose it is, nobody can say: Mend finds the lane
			continue
		}
		if _, leased := w.c.l.leased[lane]; !leased {
			w.at, w.head, w.due, w.lane = k, v, due, lane
			return
		}
	}
	w.at = nil
}

// Early leases a head that has failed, due or not: the first behind a place in the order of due
// times (nil: the first of all), of urgent lanes or of others. at is its place; nil: there is none.
// A failure of it may be left uncounted.
func (b *Outbox) Early(endpoint string, urgent bool, behind []byte) (d Delivery, at []byte, err error) {
	l := b.of(endpoint)
	if l == nil {
		return Delivery{}, nil, fmt.Errorf("claim for %s: %w", endpoint, ErrNotFound)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var damaged []Delivery
	err = b.o.Store.View(func(tx *store.Tx) error {
		c := &claim{b: b, l: l, tx: tx, now: b.o.Now().UnixMilli()}
		of := classOf(urgent, true)
		var from []byte
		if behind != nil {
			from = append(bytes.Clone(behind), 0)
		}
		for w := c.walkFrom(of, from); w.at != nil; w.step() {
			var sound bool
			if d, sound = c.read(w); sound {
				d.Early, at = true, bytes.Clone(w.at)
				return nil
			}
			damaged = append(damaged, d)
		}
		return nil
	})
	if err != nil {
		return Delivery{}, nil, err
	}
	if at == nil {
		b.lease(l, nil, damaged)
		return Delivery{}, nil, nil
	}
	b.lease(l, []Delivery{d}, damaged)
	return d, at, nil
}

// Overdue leases up to n heads whose time is over: ends says when that is, of one that became due
// then and has failed so often. next is the earliest end of those that are due and whose time is
// not over, and that it has met; zero: there is none. It looks at each due head that has failed.
func (b *Outbox) Overdue(endpoint string, n int, ends func(due time.Time, failures int) time.Time) (ds []Delivery, next time.Time, err error) {
	l := b.of(endpoint)
	if l == nil {
		return nil, time.Time{}, fmt.Errorf("claim for %s: %w", endpoint, ErrNotFound)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var damaged []Delivery
	err = b.o.Store.View(func(tx *store.Tx) error {
		c := &claim{b: b, l: l, tx: tx, now: b.o.Now().UnixMilli()}
		for of := range classes {
			for w := c.walk(of); w.at != nil && w.due <= c.now && len(ds) < n; w.step() {
				h, _ := decodeHead(w.head)
				if end := ends(time.UnixMilli(w.due), h.failures); end.UnixMilli() > c.now {
					if next.IsZero() || end.Before(next) {
						next = end
					}
					if !of.failed() {
						break // those behind it became due later
					}
					continue
				}
				if d, sound := c.read(w); sound {
					ds = append(ds, d)
				} else {
					damaged = append(damaged, d)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	b.lease(l, ds, damaged)
	return ds, next, nil
}

// Rush reports whether something urgent has come to stand in the endpoint's index since it was last
// asked: a claim may find it.
func (b *Outbox) Rush(endpoint string) bool {
	l := b.of(endpoint)
	return l != nil && l.rush.Swap(false)
}

// Release gives leases back without an attempt: pause, shutdown.
func (b *Outbox) Release(ds ...Delivery) {
	held := 0
	for _, d := range ds {
		if d.from == b {
			held++
		}
		b.show(d.Endpoint, func(l *lanes) {
			delete(l.leased, d.Lane)
			delete(l.undone, d.Lane)
		})
		if l := b.of(d.Endpoint); l != nil {
			l.signal()
		}
	}
	b.hold(-held)
}

// OldestDue is since when the endpoint's earliest due delivery has been due; zero: nothing is due.
// A look-up for each class, whatever is owed.
func (b *Outbox) OldestDue(endpoint string) (at time.Time) {
	now := b.o.Now()
	_ = b.o.Store.View(func(tx *store.Tx) error {
		for of := range classes {
			prefix := append([]byte(endpoint), 0, byte(of))
			c := tx.Bucket(store.Due).Cursor()
			k, v := c.Seek(prefix)
			for ; bytes.HasPrefix(k, prefix) && v == nil; k, v = c.Next() { // damaged: not to be believed
			}
			if !bytes.HasPrefix(k, prefix) {
				continue
			}
			if _, _, due, _, ok := splitDue(k); ok {
				if is := time.UnixMilli(due); !is.After(now) && (at.IsZero() || is.Before(at)) {
					at = is
				}
			}
		}
		return nil
	})
	return at
}

// Owes reports whether the endpoint owes a delivery in an urgent lane that is at the head of it,
// and whether one of those has never been tried and is not under way. Two look-ups.
func (b *Outbox) Owes(endpoint string) (urgent, fresh bool) {
	l := b.of(endpoint)
	if l == nil {
		return false, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = b.o.Store.View(func(tx *store.Tx) error {
		c := &claim{b: b, l: l, tx: tx}
		fresh = c.walk(urgentFresh).at != nil
		urgent = fresh || c.walk(urgentFailed).at != nil
		return nil
	})
	return urgent, fresh
}
