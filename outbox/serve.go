package outbox

import (
	"fmt"
	"maps"

	"countersign/outbox/store"
)

// Serve makes endpoints known, or changes what they may owe at most: from now on what they owe can
// be claimed. One that left is known again, with whatever was owed meanwhile.
func (b *Outbox) Serve(endpoints ...Endpoint) error {
	b.serving.Lock()
	defer b.serving.Unlock()
	all := maps.Clone(*b.lanes.Load())
	err := b.o.Store.View(func(tx *store.Tx) error {
		for _, e := range endpoints {
			l := all[e.ID]
			if l == nil {
				var err error
				if l, err = newLanes(tx, e.ID); err != nil {
					return err
				}
				all[e.ID] = l
			}
			l.maxOwed.Store(e.MaxOwed)
			l.served.Store(true)
			l.signal() // look once at what was owed before
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read pending deliveries: %w", err)
	}
	b.lanes.Store(&all)
	return nil
}

// Leave is for endpoints that are not in the config any more: what they owe stays owed, and what
// comes for them yet, decided before that, is owed too.
func (b *Outbox) Leave(endpoints ...string) {
	for _, id := range endpoints {
		if l := b.of(id); l != nil {
			l.served.Store(false)
		}
	}
}

func newLanes(tx *store.Tx, endpoint string) (l *lanes, err error) {
	l = &lanes{id: endpoint, wake: make(chan struct{}, 1), leased: map[string]uint64{}, undone: map[string]uint64{}}
	if l.owed, err = tx.Number(owedKey(endpoint)); err != nil {
		return nil, err
	}
	l.dead, err = tx.Number(deadKey(endpoint))
	return l, err
}

// of is what is in memory of an endpoint; nil: it is not known.
func (b *Outbox) of(endpoint string) *lanes { return (*b.lanes.Load())[endpoint] }

// serves reports whether what an endpoint owes is claimed here.
func (b *Outbox) serves(endpoint string) bool {
	l := b.of(endpoint)
	return l != nil && l.served.Load()
}
