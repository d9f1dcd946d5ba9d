package ingest

import (
	"errors"
	"io"
	"math/bits"
	"net/netip"
	"sync"
)

// bodies is the one budget of memory for all bodies that are on their way, with a share for each
// source and each address. What counts is the room that was made for what has come, not what was
// promised. When it is used up, who is slow gives way to who is not.
type bodies struct {
	cut func() // is told of each body that gave way

	mu sync.Mutex // guards the fields below, what each source holds, and what each flight says it guards

	limit, perSource, perAddress int64

	held      int64
	addresses map[netip.Addr]int64 // what each holds
	head      flight               // of the ring of flights that are being read
}

func newBodies() *bodies {
	b := &bodies{cut: func() {}, addresses: map[netip.Addr]int64{}}
	b.head.next, b.head.prev = &b.head, &b.head
	return b
}

// bound sets how much may be held. Who holds more already keeps it.
func (b *bodies) bound(limit, perSource, perAddress int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit, b.perSource, b.perAddress = limit, perSource, perAddress
}

// most is how much may be held in all.
func (b *bodies) most() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return float64(b.limit)
}

// flight is one body on its way, from its first byte to the answer.
type flight struct {
	src  *source
	from netip.Addr
	conn *conn
	room *room // what has come

	header header

	// Guarded by the lock of bodies.
	held       int64
	gone       bool    // it gave way
	next, prev *flight // nil: it is read to its end
}

var flights = sync.Pool{New: func() any { return new(flight) }}

// start begins a flight. It is counted once it holds something: as long as it does not, nobody can
// gain by its giving way.
func (b *bodies) start(src *source, from netip.Addr, c *conn) *flight {
	f := flights.Get().(*flight) //nolint:forcetypeassert // the pool holds nothing else
	*f = flight{src: src, from: block(from), conn: c}
	return f
}

// fly puts a flight into the ring. It is called with the lock held.
func (b *bodies) fly(f *flight) {
	f.next, f.prev = b.head.next, &b.head
	f.next.prev, f.prev.next = f, f
}

// end gives back what a body held.
func (b *bodies) end(f *flight) {
	b.mu.Lock()
	b.land(f)
	b.release(f)
	b.mu.Unlock()
	f.room.free()
	*f = flight{}
	flights.Put(f)
}

// whole says that a body is read to its end, and is false if it gave way before.
func (b *bodies) whole(f *flight) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.land(f)
	return !f.gone
}

func (b *bodies) gave(f *flight) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return f.gone
}

// land takes a flight out of the ring. It is called with the lock held.
func (b *bodies) land(f *flight) {
	if f.next != nil {
		f.next.prev, f.prev.next = f.prev, f.next
		f.next, f.prev = nil, nil
	}
}

// release is called with the lock held.
func (b *bodies) release(f *flight) {
	b.held -= f.held
	f.src.tally.held -= f.held
	if n := b.addresses[f.from] - f.held; n > 0 {
		b.addresses[f.from] = n
	} else {
		delete(b.addresses, f.from)
	}
	f.held = 0
}

// take counts n bytes more for a body. Where they are not to be had, others give way; false: none
// did, or it gave way itself.
func (b *bodies) take(f *flight, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !f.gone {
		var among func(*flight) bool
		switch {
		case credulous:
			return true
		case b.held+n > b.limit:
			among = func(*flight) bool { return true }
		case f.src.tally.held+n > b.perSource:
			among = func(o *flight) bool { return o.src.tally == f.src.tally }
		case b.addresses[f.from]+n > b.perAddress:
			among = func(o *flight) bool { return o.from == f.from }
		default:
			if f.held == 0 {
				b.fly(f)
			}
			f.held += n
			b.held += n
			f.src.tally.held += n
			b.addresses[f.from] += n
			return true
		}
		slow := b.slowest(f, n, among)
		if slow == nil {
			return false
		}
		b.giveWay(slow)
	}
	return false
}

// little is what nearly every callback is content with. Who needs no more is not refused while
// there is anybody with more.
const little = 64 << 10

// slowest is who has fallen behind the most among those that share a limit; for who needs little,
// else one with more that has not fallen behind. nil: nobody.
func (b *bodies) slowest(f *flight, n int64, among func(*flight) bool) (slow *flight) {
	modest := f.held+n <= little
	now, least := elapsed(), int64(0)
	for o := b.head.next; o != &b.head; o = o.next {
		due := o.conn.due.Load()
		switch {
		case o == f || o.held == 0 || !among(o):
		case due >= now && (!modest || o.held <= little):
		case slow == nil || due < least:
			slow, least = o, due
		}
	}
	return slow
}

// giveWay frees what a body holds and wakes its reader. It is called with the lock held.
func (b *bodies) giveWay(f *flight) {
	f.gone = true
	b.land(f)
	b.release(f)
	b.cut()
	f.conn.wake()
}

func (b *bodies) holds() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return float64(b.held)
}

// Errors of read, beside those of the connection.
var (
	errNoRoom   = errors.New("the memory for bodies is used up")
	errTooLong  = errors.New("longer than max_body")
	errEndEarly = errors.New("the body ended early")
)

// read reads a body to its end, at most limit bytes of it; length is what was announced, -1: it
// comes in chunks.
func (b *bodies) read(f *flight, r io.Reader, length, limit int64) ([]byte, error) {
	most := length
	if length < 0 {
		most = limit
		defer f.conn.unbounded()
	}
	for started, ended := f.conn.received, false; !ended && f.room.len() != length; {
		if f.room.full(most) && f.room.len() < most && !b.grow(f, min(2*f.room.len(), most), limit) {
			return nil, errNoRoom
		}
		if length < 0 {
			f.conn.allowed = started + overhead + overheadShare*f.room.len()
		}
		err := f.room.readFrom(r, most)
		switch {
		case err == io.EOF && f.room.len() == length, err == io.EOF && length < 0 && !f.conn.ended: //nolint:errorlint // a reader's word for its end
			ended = true
		case err == io.EOF: //nolint:errorlint // a reader's word for its end
			return nil, errEndEarly
		case err != nil && b.gave(f):
			return nil, errNoRoom
		case err != nil:
			return nil, err
		}
	}
	if !b.whole(f) {
		return nil, errNoRoom
	}
	return f.room.bytes(), nil
}

// What may stand around the chunks of a body: sizes, extensions. A sender of single bytes needs
// five times as much as it says.
const (
	overhead      = 64 << 10
	overheadShare = 8
)

// grow makes room for want bytes. Twice what has come is the most that is made, so memory follows
// the bytes received, not those promised.
func (b *bodies) grow(f *flight, want, limit int64) bool {
	next := newRoom(want, limit)
	if !b.take(f, next.cap()-f.room.cap()) {
		next.free()
		return false
	}
	if f.room != nil {
		next.b = append(next.b, f.room.b...)
		f.room.free()
	}
	f.room = next
	return true
}

// room is memory for one body. Those up to a size are used again.
type room struct{ b []byte }

const (
	leastRoom = 4 << 10
	reused    = 9 // sizes, each twice the last
)

var rooms [reused]sync.Pool

// sizeOf is which of the sizes that are used again holds so many bytes; -1: none.
func sizeOf(n int64) int {
	i := max(0, bits.Len64(uint64(max(0, n-1)))-bits.Len64(leastRoom-1))
	if i >= reused {
		return -1
	}
	return i
}

// newRoom makes room for so many bytes: some more, unless that is more than a body may have.
func newRoom(want, limit int64) *room {
	i := sizeOf(want)
	if i < 0 || i > 0 && leastRoom<<i > limit {
		return &room{make([]byte, 0, want)}
	}
	if r, ok := rooms[i].Get().(*room); ok {
		return r
	}
	return &room{make([]byte, 0, leastRoom<<i)}
}

// free gives it back.
func (r *room) free() {
	if r == nil {
		return
	}
	if i := sizeOf(r.cap()); i >= 0 && leastRoom<<i == r.cap() {
		r.b = r.b[:0]
		rooms[i].Put(r)
	}
}

func (r *room) bytes() []byte {
	if r == nil {
		return nil
	}
	return r.b
}

func (r *room) len() int64 { return int64(len(r.bytes())) }
func (r *room) cap() int64 { return int64(cap(r.bytes())) }

// full reports whether nothing more fits, of a body that has so many bytes at most.
func (r *room) full(most int64) bool { return r.len() >= min(r.cap(), most) }

// readFrom reads what comes next, up to most bytes in all. A byte beyond them is too long.
func (r *room) readFrom(from io.Reader, most int64) error {
	if r.len() == most {
		var beyond [1]byte
		n, err := from.Read(beyond[:])
		if n > 0 {
			return errTooLong
		}
		return err //nolint:wrapcheck // io.EOF is asked for
	}
	n, err := from.Read(r.b[len(r.b):min(r.cap(), most)])
	r.b = r.b[:len(r.b)+n]
	return err //nolint:wrapcheck // io.EOF is asked for
}
