package dispatch

import "countersign/relay/registry"

// leastRate is of a share: one attempt in ten seconds.
const leastRate = 0.1

// share is what a node that owns some of all partitions takes of each endpoint's rate and slots, so
// that all nodes together take what the endpoint is given.
type share struct {
	owned, of int // partitions; of 0: there is one node
}

// Share says how many of so many partitions are owned here: of each endpoint's rate that part is
// taken, but at least one attempt in ten seconds, or all of a smaller rate. Of its slots each
// partition has as many as each other, and of those that are left over some have one, once they have
// begun: so all nodes together have as many as the endpoint is given. A node has at least one slot;
// that is the only case in which they have more, at most one less than there are nodes. Before the
// first call everything is taken. owned is from 0 to of, which is at least 1.
func (d *Dispatcher) Share(owned, of int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.share = share{owned, of}
	d.divide()
}

// divide has each sender go by its endpoint's share, as of the partitions that have begun. mu is
// held.
func (d *Dispatcher) divide() {
	if d.share.of == 0 {
		return
	}
	now := d.o.Registry.Read()
	for _, p := range now.Receivers() {
		for i := range p.Endpoints {
			if s := d.senders[p.Endpoints[i].ID]; s != nil { // else it is about to come
				s.follow(&p.Endpoints[i])
			}
		}
	}
}

// shared is an endpoint as its sender goes by it. mu is held.
func (d *Dispatcher) shared(whole *registry.Endpoint) *registry.Endpoint {
	e := *whole // a copy: what is left out is completed
	e.Concurrency = max(1, e.Concurrency)
	if by := d.share; by.of > 0 {
		e.Rate, e.Concurrency = by.rate(e.Rate), by.slots(e.Concurrency, d.owed.parts())
	}
	return &e
}

func (s share) rate(all float64) float64 {
	return min(all, max(leastRate, all*float64(s.owned)/float64(s.of)))
}

func (s share) slots(all int, begun []*part) int {
	n, over := all/s.of*s.owned, all%s.of
	for _, p := range begun {
		if s.turn(p.number) < over {
			n++
		}
	}
	return min(all, max(1, n))
}

// turn is the how manieth a partition is of those that have one of what is left over, from 0; each
// has another one. The first is partition 0, and neighbours, or every second or third, which one node
// may well own together, come far from each other.
func (s share) turn(p int32) int {
	step := max(1, s.of*5/8) // about the golden section
	for gcd(step, s.of) > 1 {
		step--
	}
	return int(p) * step % s.of
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}
