package relay

import (
	"context"
	"errors"
	"slices"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// repeat owes what a replay orders, worked out against the read transaction.
func (b *batch) repeat(u *kyc.Update) error {
	lane := b.laneOf(u.Partner, u.Subject.ID, u.Livemode)
	now := b.registry()
	e := now.Endpoint(now.Current(u.Endpoint))
	s, err := b.subject(lane)
	if errors.Is(err, ErrAside) || e == nil {
		return nil // nothing new is told of them, or nobody is there to be told
	}
	if err != nil {
		return err
	}
	if b.r.cancelled(b.tx, spot{lane, u.Replay.Sequence, u.Replay.At}, e.ID) {
		return nil // since it was ordered
	}
	c, ok := changeOf(b.tx, lane, u.Replay.Sequence, u.Replay.At)
	if !ok || c.ID != u.ChangeID {
		b.r.o.Logger.Warn("replay_change_not_stored", "endpoint", e.ID, "replay", u.Replay.ID, "webhook_id", u.ChangeID)
		return nil
	}
	names := idsOf(now, e.ID)
	if !u.Force && overtaken(b.tx, lane, c.Sequence, names) {
		return nil // since it was ordered
	}
	body, err := bodyFor(e, &c, u.Replay.Previous)
	if err != nil || body == nil {
		return err
	}
	again := slices.ContainsFunc(names, func(name string) bool {
		d, err := deliveredTo(b.tx, lane, name)
		return err == nil && d.sequence >= c.Sequence
	})
	b.repeated = append(b.repeated, outbox.Delivery{
		Endpoint: e.ID, Lane: lane, Sequence: c.Sequence, PreviousSequence: u.Replay.Previous, Order: b.at.Offset, WebhookID: c.ID, Type: c.Type, Format: e.Format.Name,
		Traceparent: c.Traceparent,
		Restrictive: !again && isStatus(c.Type) && (c.Status == kyc.Rejected || c.Status == kyc.Suspended), Owed: b.taken, Received: u.Replay.At, Body: body,
	})
	s.Owed.set(e.ID, max(s.Owed.of(e.ID), c.Sequence))
	s.tell(e.ID, names[1:], &c)
	b.touch(s)
	return nil
}

// Order appends what a replay orders to the journal together with also, in one transaction: nil
// once both are on stable storage. Errors are those of the journal. It returns the position of
// the last order.
func (r *Relay) Order(ctx context.Context, orders []kyc.Update, also func(*store.Tx) error) (last journal.Position, err error) {
	rs := make([]journal.Record, len(orders))
	for i := range orders {
		rs[i] = journal.Record{Kind: orders[i].Kind, Appended: orders[i].ReceivedAt, Body: orders[i].AppendJSON(make([]byte, 0, 512))}
	}
	first, err := r.o.Journal.AppendWith(ctx, also, rs...)
	return first.Plus(int64(len(rs)) - 1), err
}
