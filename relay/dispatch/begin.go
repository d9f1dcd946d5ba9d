package dispatch

import (
	"context"
	"fmt"
	"slices"

	"countersign/outbox"
	"countersign/relay/registry"
)

// Begin has what a partition owes delivered from now on, as soon as Run runs: its outbox is one of
// those that senders claim from. Until then its owner says to the outbox which endpoints there are,
// and claims nothing; from then on the dispatcher says it. It fails where the outbox cannot be read, and
// of a partition that has begun already. One call at a time is made about a partition.
func (d *Dispatcher) Begin(p int32, o *outbox.Outbox) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(d.owed.parts(), func(is *part) bool { return is.number == p }) {
		return fmt.Errorf("begin partition %d: it has begun", p)
	}
	if err := o.Serve(append(endpointsOf(d.o.Registry.Read()), d.soon...)...); err != nil {
		return fmt.Errorf("begin partition %d: %w", p, err)
	}
	d.owed.add(newPart(p, o))
	d.divide()
	for _, s := range d.senders {
		s.nudge()
	}
	return nil
}

// End has nothing of a partition claimed any more, gives back what waits, and waits for what is in
// flight. Nil: all of that has ended, and what was settled is in the file. When ctx ends before, what
// is in flight is cut off and given back, for whoever delivers next to repeat under the same id; then
// nothing is in flight either, but what was settled may not be in the file, and is repeated as well.
// So End returns soon after ctx has ended. A partition that has not begun has ended.
func (d *Dispatcher) End(ctx context.Context, p int32) error {
	is, lines := d.leave(p)
	if is == nil {
		return nil
	}
	for _, l := range lines {
		l.leave()
	}
	err := is.outbox.Returned(ctx)
	is.cut()
	if err == nil {
		err = is.outbox.Flush(ctx)
	} else {
		_ = is.outbox.Returned(context.WithoutCancel(ctx)) // it has been cut off, and so returns
	}
	if err != nil {
		return fmt.Errorf("end partition %d: %w", p, err)
	}
	return nil
}

// leave takes a partition out of those that are claimed from, and returns who may still have
// something of it.
func (d *Dispatcher) leave(p int32) (is *part, lines []*line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if is = d.owed.remove(p); is == nil {
		return nil, nil
	}
	close(is.ended)
	d.divide()
	for l := range d.lines {
		lines = append(lines, l)
	}
	return is, lines
}

// claims notes that a line claims, and that it does no more.
func (d *Dispatcher) claims(l *line, yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if yes {
		d.lines[l] = struct{}{}
	} else {
		delete(d.lines, l)
	}
}

func endpointsOf(s *registry.Snapshot) (all []outbox.Endpoint) {
	for _, p := range s.Receivers() {
		for i := range p.Endpoints {
			all = append(all, outbox.Endpoint{ID: p.Endpoints[i].ID, MaxOwed: p.Endpoints[i].MaxOwed})
		}
	}
	return all
}
