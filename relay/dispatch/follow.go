package dispatch

import (
	"maps"

	"countersign/relay/registry"
)

// follow makes the senders those of the endpoints there are now: new ones begin, those that stay go
// by what their endpoint is now, those whose endpoint is no more end. What is under way at one of
// these ends as it would have, and is settled; what was claimed for it is given back, and stays
// owed.
func (d *Dispatcher) follow(now *registry.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gone := maps.Clone(d.senders)
	for _, p := range now.Receivers() {
		for i := range p.Endpoints {
			e := &p.Endpoints[i]
			s := gone[e.ID]
			delete(gone, e.ID)
			if s == nil {
				s = newSender(d, e)
				d.senders[e.ID] = s
				if d.begin != nil {
					d.begin(s)
				}
			} else {
				s.follow(e)
			}
			d.m.begin(s, d.o.Now(), now)
			d.m.describe(e, now.Shown(p.ID))
		}
	}
	for id, s := range gone {
		delete(d.senders, id)
		s.end()
		d.m.end(id)
		d.owed.leave(id)
	}
}

// known makes endpoints known to the outboxes before anything can be owed to them.
func (d *Dispatcher) known(soon *registry.Snapshot) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.soon = endpointsOf(soon)
	return d.owed.serve(d.soon...)
}

// each has run called with each sender, and with each that begins from now on; nil: with none any
// more.
func (d *Dispatcher) each(run func(*sender)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begin = run; run == nil {
		return
	}
	for _, s := range d.senders {
		run(s)
	}
}

// sender is the sender of an endpoint; nil: there is none.
func (d *Dispatcher) sender(endpoint string) *sender {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.senders[endpoint]
}

// certificates says when client certificates end.
func (d *Dispatcher) certificates() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.senders {
		d.m.certificate(s)
	}
}

// end has run return, also one that has not begun.
func (s *sender) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.cease()
	s.setup.Load().pool.End()
}
