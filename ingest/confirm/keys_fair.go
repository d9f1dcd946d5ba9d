package confirm

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// How often ids are looked up that nothing is known of. Each address has a little of its own of
// what all have together; those from which something genuine came have a budget that no stranger
// touches; and what was put off waits its turn, an id of each address at a time.
const (
	knownLookUps  = 2 // a second: of ids that had a key
	provedLookUps = 2 // a second: named from addresses of genuine callbacks
	allLookUps    = 2 // a second: named by anybody
	callerLookUps = 1 // a second: of those, by one address
	lateLookUps   = 1 // a second: of what was put off
	lookBurst     = 10
	callerBurst   = 5
	maxCallers    = 4096
	maxPutOff     = 8 // ids of one address that wait
	provedHolds   = 30 * 24 * time.Hour
)

// fairness divides the look-ups among the addresses that callbacks come from. Whoever uses it holds
// the lock of Keys.
type fairness struct {
	all, ofProved, late *rate.Limiter
	callers             map[netip.Prefix]*caller
	genuine             map[netip.Prefix]time.Time // addresses of genuine callbacks, and when the last came
	turns               []netip.Prefix             // of the callers whose ids wait
}

type caller struct {
	limit  *rate.Limiter
	putOff []string
}

func newFairness() fairness {
	return fairness{
		all: rate.NewLimiter(allLookUps, lookBurst), ofProved: rate.NewLimiter(provedLookUps, lookBurst), late: rate.NewLimiter(lateLookUps, 1),
		callers: map[netip.Prefix]*caller{}, genuine: map[netip.Prefix]time.Time{},
	}
}

// network is whom an address belongs to: one of IPv6 belongs to somebody who has 2^64 of them.
func network(a netip.Addr) netip.Prefix {
	bits := 64
	if a = a.Unmap(); a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // the zero address: the zero network
	return p
}

// allow reports whether an id may be looked up at once. One that may not waits for its turn.
func (f *fairness) allow(client netip.Addr, kid string, now time.Time) bool {
	who := network(client)
	if last, ok := f.genuine[who]; ok && now.Sub(last) < provedHolds && f.ofProved.AllowN(now, 1) {
		return true
	}
	c := f.caller(who)
	if c.limit.TokensAt(now) >= 1 && f.all.AllowN(now, 1) {
		c.limit.AllowN(now, 1)
		return true
	}
	if len(c.putOff) < maxPutOff && !slices.Contains(c.putOff, kid) {
		if len(c.putOff) == 0 {
			f.turns = append(f.turns, who)
		}
		c.putOff = append(c.putOff, kid)
	}
	return false
}

// caller returns what is known of an address, in the place of somebody else's if there are too
// many: of those for whom nothing waits, if there is one.
func (f *fairness) caller(who netip.Prefix) *caller {
	if c := f.callers[who]; c != nil {
		return c
	}
	if len(f.callers) >= maxCallers {
		var victim netip.Prefix
		for p, c := range f.callers {
			if victim = p; len(c.putOff) == 0 {
				break
			}
		}
		f.turns = slices.DeleteFunc(f.turns, func(p netip.Prefix) bool { return p == victim })
		delete(f.callers, victim)
	}
	c := &caller{limit: rate.NewLimiter(callerLookUps, callerBurst)}
	f.callers[who] = c
	return c
}

// next takes out the id whose turn it is; "": none waits. Each address has one turn in each round.
func (f *fairness) next() string {
	if len(f.turns) == 0 {
		return ""
	}
	who := f.turns[0]
	f.turns = f.turns[1:]
	c := f.callers[who]
	kid := c.putOff[0]
	if c.putOff = c.putOff[1:]; len(c.putOff) > 0 {
		f.turns = append(f.turns, who)
	}
	return kid
}

// proved notes an address of a genuine callback. Only the provider can add one, so there are few;
// the oldest makes room.
func (f *fairness) proved(client netip.Addr, now time.Time) {
	who := network(client)
	if _, known := f.genuine[who]; !known && len(f.genuine) >= maxKeys {
		oldest := who
		for p, at := range f.genuine {
			if oldest == who || at.Before(f.genuine[oldest]) {
				oldest = p
			}
		}
		delete(f.genuine, oldest)
	}
	f.genuine[who] = now
}
