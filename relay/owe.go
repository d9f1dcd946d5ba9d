package relay

import (
	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// changeRoom is what a change takes in the history, and in a body, but for long names.
const changeRoom = 1 << 10 // bytes

// owe keeps a change and owes it to every endpoint of the partner that wants it.
func (b *batch) owe(rec *journal.Record, s *subject, p *partnerNow, c *kyc.Change) error {
	c.Partner = b.partner(c.Partner).shown
	key := b.room.end(appendChangeKey(b.room.begin(historyHead+8), rec.Appended, rec.Position, c.Sequence))
	e := appendEntry(b.room.begin(len(s.lane)+changeRoom), s.lane)
	b.put(store.History, key, b.room.end(appendChange(e, c)))
	if b.r.o.Forward { // its JSON is kept in memory for a forwarder that keeps up
		b.decided = append(b.decided, decided{change: *c, json: c.AppendJSON(make([]byte, 0, changeRoom)), taken: rec.Appended})
	}
	restrictive := isStatus(c.Type) && (c.Status == kyc.Rejected || c.Status == kyc.Suspended)
	if isStatus(c.Type) {
		b.statuses[c.Status]++
		if c.Type != noticeType {
			s.Told = place{rec.Appended.UnixMicro(), rec.Position.Partition, rec.Position.Offset, c.Sequence}
		}
	}
	var last rendered
	for i := range p.endpoints {
		e := &p.endpoints[i]
		owed, err := wants(e.Endpoint, c, rec.Appended, s.trusts(e.ID, e.names))
		if err != nil {
			b.filterFailed(e.Endpoint, err)
		}
		if !owed {
			continue
		}
		previous := s.Owed.of(e.ID)
		for _, id := range e.names {
			previous = max(previous, s.Owed.of(id))
		}
		body, err := last.body(e.Endpoint, c, previous)
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		b.owed = append(b.owed, outbox.Delivery{
			Endpoint: e.ID, Lane: s.lane, Sequence: c.Sequence, PreviousSequence: previous, Order: b.at.Offset, WebhookID: c.ID, Type: c.Type,
			Format: e.Format.Name, Traceparent: c.Traceparent, Restrictive: restrictive, Owed: b.taken, Received: rec.Appended, Body: body,
		})
		s.Owed.set(e.ID, c.Sequence)
		s.tell(e.ID, e.names, c)
	}
	return nil
}

// rendered is a body that more than one endpoint may be owed: most partners' endpoints have the same
// format, and know as much of a person. Nobody changes it.
type rendered struct {
	format   string // "": there is none
	previous uint64
	bytes    []byte
}

// body is what an endpoint is owed for a change.
func (r *rendered) body(e *registry.Endpoint, c *kyc.Change, previous uint64) ([]byte, error) {
	if r.format == e.Format.Name && r.previous == previous {
		return r.bytes, nil
	}
	body, err := bodyFor(e, c, previous)
	if err == nil {
		*r = rendered{e.Format.Name, previous, body}
	}
	return body, err
}
