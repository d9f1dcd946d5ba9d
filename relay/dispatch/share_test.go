package dispatch

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"countersign/relay/registry"
)

// nodes are as many shares of so many partitions, of which each is begun at one of them.
func nodes(of int, where func(p int) int, n int) (shares []share, begun [][]*part) {
	shares, begun = make([]share, n), make([][]*part, n)
	for p := range of {
		i := where(p)
		shares[i].owned++
		begun[i] = append(begun[i], newPart(int32(p), nil))
	}
	for i := range shares {
		shares[i].of = of
	}
	return shares, begun
}

// TestShareOfSlots: all nodes together have as many slots as the endpoint is given, wherever its
// partitions are; more only where a node would have none, at most one less than there are nodes.
func TestShareOfSlots(t *testing.T) {
	sum := func(of int, where func(int) int, n, slots int) (each []int, all int) {
		shares, begun := nodes(of, where, n)
		for i := range shares {
			if shares[i].owned > 0 {
				each = append(each, shares[i].slots(slots, begun[i]))
				all += each[len(each)-1]
			}
		}
		return each, all
	}
	f := func(what string, where func(int) int, slots int, want ...int) {
		t.Helper()
		each, _ := sum(12, where, 3, slots)
		for i := range want {
			if each[i] != want[i] {
				t.Errorf("%d slots of 12 partitions, %s: %v, want %v", slots, what, each, want)
				return
			}
		}
	}
	row := func(p int) int { return p / 4 }
	turns := func(p int) int { return p % 3 }
	for what, where := range map[string]func(int) int{"four in a row": row, "by turns": turns} {
		f(what, where, 16, 6, 5, 5)
		f(what, where, 12, 4, 4, 4)
		f(what, where, 1, 1, 1, 1) // three in flight, of one
		f(what, where, 2, 1, 1, 1)
		f(what, where, 13, 5, 4, 4)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		of, n, slots := 1+r.IntN(32), 1+r.IntN(8), 1+r.IntN(70)
		at := make([]int, of)
		for p := range at {
			at[p] = r.IntN(n)
		}
		each, all := sum(of, func(p int) int { return at[p] }, n, slots)
		none := 0
		for _, is := range each {
			if is == 1 {
				none++
			}
		}
		if over := all - slots; over < 0 || over > max(0, len(each)-1) || over > none {
			t.Fatalf("%d slots of %d partitions at %v: %v", slots, of, at, each)
		}
	}
}

// TestShareWhileTakingOver: a partition that is owned and has not begun brings its part, but none of
// what is left over; and one node that was never told takes everything.
func TestShareWhileTakingOver(t *testing.T) {
	f := func(s share, slots, want int, begun ...*part) {
		t.Helper()
		if n := s.slots(slots, begun); n != want {
			t.Errorf("%+v of %d with %d begun: %d, want %d", s, slots, len(begun), n, want)
		}
	}
	f(share{4, 12}, 16, 4)
	f(share{4, 12}, 16, 5, newPart(0, nil))
	f(share{0, 12}, 16, 1)
	f(share{12, 12}, 16, 12)
	f(share{1, 1}, 16, 16, newPart(0, nil))
}

// TestShareOfRate counts what a node lets through by an injected clock.
func TestShareOfRate(t *testing.T) {
	const over = 1000 // seconds
	g := newRigIn(t, 4, func(*rig, http.ResponseWriter, *http.Request) {}, func(e *registry.Endpoint) { e.Concurrency, e.Rate = 16, 5 })
	s := g.dispatcher.senders["a"]
	now := time.Now().Add(time.Hour)
	f := func(owned, of, want, slots int) {
		t.Helper()
		g.dispatcher.Share(owned, of)
		now = now.Add(time.Hour)
		for s.limit.AllowN(now, 1) { // what had gathered
		}
		n := 0
		for range over * 100 {
			now = now.Add(time.Second / 100)
			for s.limit.AllowN(now, 1) {
				n++
			}
		}
		if n < want-want/100-1 || n > want { // an interval may end between two looks
			t.Errorf("%d of %d partitions: %d attempts in %d s, want %d", owned, of, n, over, want)
		}
		if is := s.setup.Load(); is.Concurrency != slots || is.whole.Concurrency != 16 {
			t.Errorf("%d of %d partitions: %d slots of %d, want %d", owned, of, is.Concurrency, is.whole.Concurrency, slots)
		}
	}
	f(4, 4, 5*over, 16)
	f(4, 12, 5*over/3, 6) // partitions 0 to 3 are begun
	f(4, 20, over, 4)
	f(1, 4, 5*over/4, 4)
	f(4, 256, over/10, 1) // not 0.078
	f(4, 12, 5*over/3, 6)
	e := *g.registry.Read().Endpoint("a")
	e.Rate = 0.05
	g.configure(e)
	f(4, 12, over/20, 6) // its own is less than one in ten seconds
	e.Rate = 0
	g.configure(e)
	if g.dispatcher.Share(4, 12); s.setup.Load().Rate != 0 {
		t.Error("one without a rate has one")
	}
}

// TestShareOfSlotsTaken: a sender has as many attempts under way as its share, which changes with
// the partitions that come and go, and its connections are not made anew.
func TestShareOfSlotsTaken(t *testing.T) {
	t.Parallel()
	p := newDoor()
	g := manyParts(t, p, func(e *registry.Endpoint) { e.Concurrency = 18 })
	s := g.dispatcher.senders["a"]
	pool := s.setup.Load().pool
	g.dispatcher.Share(4, 12)
	for of := range 4 {
		g.oweIn(of, 0, 30, false)
	}
	g.run()
	flying := func(n int) {
		t.Helper()
		eventually(t, "as many are under way as there are slots", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.turns.inFlight == n && s.slots() == n
		})
		if s.setup.Load().pool != pool {
			t.Error("its connections are others")
		}
	}
	flying(6)
	g.dispatcher.Share(8, 12)
	flying(10)
	g.dispatcher.Share(4, 4)
	flying(18)
	close(p.in)
	eventually(t, "all is told", func() bool { return g.outbox.Owed("a") == 0 })
	if n := p.count(-1); n != 120 {
		t.Errorf("%d requests of 120", n)
	}
}
