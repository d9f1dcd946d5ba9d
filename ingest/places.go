package ingest

import (
	"net/netip"
	"sync"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// places divide the asking among the addresses from which callbacks come that prove nothing: each
// address is given a place a second, so that whoever posts many stands behind everybody who posts
// few. They are places and no times: while nobody else waits, all are asked as fast as the source
// may ask.
type places struct {
	mu   sync.Mutex // guards last
	last map[netip.Addr]time.Time
}

const (
	placeApart = time.Second
	// headStart is how much earlier the place of a question about a known ref is. It is no class of
	// its own: whoever is being verified knows a ref of a person, his own, and could have it asked
	// about for ever, before everybody else's.
	headStart = 10 * time.Minute
	maxPlaces = 4096 // addresses that are remembered
)

// take returns the next place of an address.
func (p *places) take(client netip.Addr, now time.Time) time.Time {
	who := block(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now
	if last, ok := p.last[who]; ok {
		if next := last.Add(placeApart); next.After(at) {
			at = next
		}
	} else if len(p.last) >= maxPlaces {
		p.room(now)
	}
	if p.last == nil {
		p.last = map[netip.Addr]time.Time{}
	}
	p.last[who] = at
	return at
}

// room forgets the addresses whose places have passed, or, where none has, any one.
func (p *places) room(now time.Time) {
	for who, at := range p.last {
		if at.Before(now) {
			delete(p.last, who)
		}
	}
	for who := range p.last {
		if len(p.last) < maxPlaces {
			return
		}
		delete(p.last, who)
	}
}

// stand says where a question stands among those of its source.
func (in *Ingress) stand(m *message, u *kyc.Update, q *journal.Question) {
	if m.src.proves.AtLeast(kyc.Authenticated) {
		return
	}
	q.Weak = true
	q.Known = in.o.Knows != nil && in.o.Knows(u)
	if q.Place = m.src.tally.places.take(m.client, q.Since); q.Known {
		q.Place = q.Place.Add(-headStart)
	}
}
