package cluster

import (
	"maps"
	"slices"
	"sync"

	"countersign/outbox/store"
	"countersign/relay"
)

// dirty are the strands of which what was published last may be older than what the file has. It is
// in memory: a restart is a takeover, which compares everything.
type dirty struct {
	mu      sync.Mutex
	strands map[relay.Strand]bool
}

// add marks a strand.
func (d *dirty) add(s relay.Strand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.strands == nil {
		d.strands = map[relay.Strand]bool{}
	}
	d.strands[s] = true
}

// clean takes a mark away, before the strand is read: what is written from then on marks it again.
func (d *dirty) clean(s relay.Strand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.strands, s)
}

// all are those that are marked, in order.
func (d *dirty) all() []relay.Strand {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.strands))
}

// Wrote notes that a record of the file has changed, on stable storage. It is for store.Watch: so
// nobody who writes has to know which strands there are.
func (p *Partition) Wrote(n store.Name, key []byte) {
	if s, ok := relay.StrandOf(n, key); ok {
		p.dirty.add(s)
	}
}

// Dirty is how many strands wait for a round.
func (p *Partition) Dirty() int { return len(p.dirty.all()) }
