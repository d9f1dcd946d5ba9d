package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/outbox/trace"
	"countersign/relay/registry"
)

type journalRecord = journal.Record

// ErrOvertaken says that the lane has delivered a later change since: sending the old one now would
// turn the partner's picture back.
var ErrOvertaken = errors.New("a later change of this subject has been delivered since")

// Redeliver orders a dead delivery again, through the journal (I11): nil once the order is on
// stable storage. Without force, one that has been overtaken is refused with ErrOvertaken. actor is
// who ordered it. An operational webhook is in no journal: it is owed again at once.
func (r *Relay) Redeliver(ctx context.Context, id string, force bool, actor string) error {
	id = r.CurrentID(id)
	d, err := r.o.Outbox.FindDead(id)
	if err != nil {
		return err
	}
	if partner, _, _ := splitLane(d.Subject); partner == "" { // it tells of nobody, and no later one takes its place
		return r.o.Store.Update(ctx, func(tx *store.Tx) error {
			like := outbox.Delivery{Lane: d.Subject, Owed: r.o.Now(), Force: force}
			like.WebhookID, like.Endpoint, _ = outbox.SplitID(id)
			return r.o.Outbox.Revive(tx, like, func(outbox.DeadDelivery) bool { return true }, func(outbox.DeadDelivery) ([]byte, error) { return nil, nil })
		})
	}
	late := false
	err = r.o.Store.View(func(tx *store.Tx) error {
		late = overtaken(tx, d.Subject, d.Sequence, r.names(d.Endpoint))
		return nil
	})
	if err != nil {
		return err
	}
	if late && !force {
		return fmt.Errorf("delivery %s: %w", id, ErrOvertaken)
	}
	webhookID, endpoint, _ := outbox.SplitID(id)
	now := r.o.Now().UTC()
	u := kyc.Update{SchemaVersion: 1, Kind: kyc.Redelivery, ChangeID: webhookID, Endpoint: endpoint, Force: force, Actor: actor, ReceivedAt: now}
	u.Partner, u.Subject.ID, u.Livemode = splitLane(d.Subject)
	u.ID = kyc.UpdateID("", []string{id, now.String()}, u.Kind, "", "", "", 0, now)
	return r.append(ctx, u)
}

// names are the id of an endpoint and those that it had before: what the history says of it stands
// under the one it had then.
func (r *Relay) names(endpoint string) []string { return idsOf(r.o.Registry.Read(), endpoint) }

func idsOf(now *registry.Snapshot, endpoint string) []string {
	return append([]string{endpoint}, now.Formerly(endpoint)...)
}

// CurrentID is what a delivery is called now, which was named when its endpoint had perhaps another
// id.
func (r *Relay) CurrentID(id string) string { return currentID(r.o.Registry.Read(), id) }

func currentID(now *registry.Snapshot, id string) string {
	webhookID, endpoint, ok := outbox.SplitID(id)
	if !ok {
		return id
	}
	d := outbox.Delivery{WebhookID: webhookID, Endpoint: now.Current(endpoint)}
	return d.ID()
}

// append writes records of our own to the journal, all or none (I11): nil once they are on stable
// storage. They count as appended when they were received.
func (r *Relay) append(ctx context.Context, us ...kyc.Update) error {
	rs, began, spans := make([]journal.Record, len(us)), time.Now(), make(map[int]*trace.Span)
	for i := range us {
		u := us[i]
		u.Partner = r.shown(u.Partner)
		span, traceparent := r.o.Tracer.Own(ctx, string(u.Kind))
		if u.Traceparent = traceparent; span != nil {
			spans[i] = span
		}
		rs[i] = journal.Record{Kind: u.Kind, Appended: u.ReceivedAt, Body: u.AppendJSON(make([]byte, 0, 512))}
	}
	err := r.o.Journal.Append(ctx, rs...)
	for i := range us {
		if s := spans[i]; s != nil {
			traceOwn(s, &us[i], r.shown(us[i].Partner), began, err)
		}
	}
	return err
}

// revive carries an order out, in the fold's transaction, by the snapshot that it is folded by.
func (r *Relay) revive(tx *store.Tx, now *registry.Snapshot, o order) error {
	like := outbox.Delivery{Lane: o.lane, Order: o.offset, Owed: o.at, Force: o.force, Replayed: o.replayed}
	like.WebhookID, like.Endpoint, _ = outbox.SplitID(currentID(now, o.id))
	return r.o.Outbox.Revive(tx, like, func(d outbox.DeadDelivery) bool {
		return o.force || !overtaken(tx, d.Subject, d.Sequence, idsOf(now, d.Endpoint))
	}, func(d outbox.DeadDelivery) ([]byte, error) { return renderDead(tx, now, d) })
}

// renderDead makes the body of a dead delivery that was put down without one; nil: it cannot be
// made any more, and stays dead.
func renderDead(tx *store.Tx, now *registry.Snapshot, d outbox.DeadDelivery) ([]byte, error) {
	e := now.Endpoint(d.Endpoint)
	if e == nil {
		return nil, nil
	}
	c, ok := changeOf(tx, d.Subject, d.Sequence, d.Received)
	if !ok {
		return nil, nil // its change is no longer kept: it stays dead
	}
	f, ok := e.FormatOf(d.Format)
	if !ok {
		f = e.Format // which it will be said to be in when it is found that it cannot be signed
	}
	return f.Render(c, d.Previous)
}

// current reports whether nothing later has been decided about the person of a dead delivery, and
// the endpoint has accepted nothing later.
func (r *Relay) current(tx *store.Tx, d outbox.DeadDelivery) bool {
	s, err := r.load(tx, d.Subject)
	if err != nil || s.Told.Sequence > d.Sequence {
		return false
	}
	return !overtaken(tx, d.Subject, d.Sequence, r.names(d.Endpoint))
}

// refill owes again, a step at a time, what endpoints that owed max_owed had to give up, when they
// have room.
func (r *Relay) refill(ctx context.Context) error {
	render := func(tx *store.Tx, d outbox.DeadDelivery) ([]byte, error) {
		return renderDead(tx, r.o.Registry.Read(), d)
	}
	for {
		waiting, err := r.o.Outbox.Waiting()
		if err != nil {
			return err
		}
		for _, id := range waiting {
			if _, err := r.o.Outbox.Refill(ctx, id, r.current, render); err != nil && ctx.Err() == nil && !isFull(err) {
				return err
			}
		}
		if !pause(ctx, time.Second) {
			return nil
		}
	}
}

// Anew makes a delivery again from its change, in its endpoint's format of today, with the same
// webhook-id. Its body is nil where that format has no word for it. outbox.ErrNotFound: its change
// is not kept any more, or its endpoint has gone.
func (r *Relay) Anew(d outbox.Delivery) (outbox.Delivery, error) {
	e := r.o.Registry.Read().Endpoint(d.Endpoint)
	var c kyc.Change
	err := r.o.Store.View(func(tx *store.Tx) error {
		var ok bool
		if c, ok = changeOf(tx, d.Lane, d.Sequence, d.Received); !ok || e == nil {
			return fmt.Errorf("the change of delivery %s: %w", d.ID(), outbox.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	d.Format, d.Anew = e.Format.Name, true
	d.Body, err = e.Format.Render(c, d.PreviousSequence)
	return d, err
}
