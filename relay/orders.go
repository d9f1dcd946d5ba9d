package relay

import (
	"context"
	"errors"
	"fmt"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/format"
)

type journalRecord = journal.Record

// ErrOvertaken says that the lane has delivered a later change since: sending the old one now would turn the partner's picture back.
var ErrOvertaken = errors.New("a later change of this subject has been delivered since")

// Redeliver orders a dead delivery again, through the journal (I11): nil once the order is on stable storage. Without force, one that has been overtaken is
// refused with ErrOvertaken. actor is who ordered it.
func (r *Relay) Redeliver(ctx context.Context, id string, force bool, actor string) error {
	d, err := r.o.Outbox.FindDead(id)
	if err != nil {
		return err
	}
	late := false
	err = r.o.Store.View(func(tx *store.Tx) error {
		late = overtaken(tx, d.Subject, d.Sequence, d.Endpoint)
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

// append writes records of our own to the journal, all or none (I11): nil once they are on stable storage. They count as appended when they were received.
func (r *Relay) append(ctx context.Context, us ...kyc.Update) error {
	rs := make([]journal.Record, len(us))
	for i := range us {
		u := &us[i]
		rs[i] = journal.Record{Kind: u.Kind, Appended: u.ReceivedAt, Body: u.AppendJSON(make([]byte, 0, 512))}
	}
	return r.o.Journal.Append(ctx, rs...)
}

// revive carries an order out, in the fold's transaction.
func (r *Relay) revive(tx *store.Tx, o order) error {
	return r.o.Outbox.Revive(tx, o.id, func(d outbox.DeadDelivery) bool {
		return o.force || !overtaken(tx, d.Subject, d.Sequence, d.Endpoint)
	}, o.force, func(d outbox.DeadDelivery) ([]byte, error) { return r.renderDead(tx, d) })
}

// renderDead makes the body of a dead delivery that was put down without one; nil: it cannot be made any more, and stays dead.
func (r *Relay) renderDead(tx *store.Tx, d outbox.DeadDelivery) ([]byte, error) {
	e := r.endpoints[d.Endpoint]
	if e == nil {
		return nil, nil
	}
	c, ok := changeOf(tx, d.Subject, d.Sequence)
	if !ok {
		return nil, nil // its change is no longer kept
	}
	f, ok := r.formatOf(e, d.Format)
	if !ok {
		return nil, nil
	}
	return f.Render(c, d.Previous)
}

// current reports whether nothing later has been decided about the person of a dead delivery, and the endpoint has accepted nothing later.
func (r *Relay) current(tx *store.Tx, d outbox.DeadDelivery) bool {
	s, err := r.load(tx, d.Subject)
	if err != nil || s.Told != nil && s.Told.Sequence > d.Sequence {
		return false
	}
	return !overtaken(tx, d.Subject, d.Sequence, d.Endpoint)
}

// refill owes again what endpoints that owed max_owed had to give up, now that they have room.
func (r *Relay) refill(ctx context.Context) error {
	for id := range r.endpoints {
		_, err := r.o.Outbox.Refill(ctx, id, r.current, r.renderDead)
		if err != nil && ctx.Err() == nil && !isFull(err) {
			return err
		}
	}
	return nil
}

// formatOf is the format a delivery was made in, which need not be the one its endpoint has now (I5).
func (r *Relay) formatOf(e *Endpoint, name string) (format.Format, bool) {
	if e.Format.Name == name {
		return e.Format, true
	}
	return format.ByName(name)
}

// disable marks an endpoint as gone: what it owes dies, replayable, until somebody resumes it.
func (r *Relay) disable(ctx context.Context, s *sender, reason string) {
	if !s.disabled.CompareAndSwap(nil, &reason) {
		return
	}
	r.m.disabled.WithLabelValues(s.e.ID).Set(1)
	r.o.Logger.ErrorContext(ctx, "endpoint_disabled", "endpoint", s.e.ID, "reason", reason)
	mark := func(tx *store.Tx) error {
		if s.disabled.Load() != &reason {
			return nil // resumed before the mark was written
		}
		return outbox.Disable(tx, s.e.ID, reason)
	}
	r.o.Store.Later(mark, func(err error) {
		if err != nil {
			r.o.Logger.Error("endpoint_disable_not_written", "endpoint", s.e.ID, "error", err)
		}
	})
}

// Resume takes a disabled endpoint up again: nil once that is on stable storage.
func (r *Relay) Resume(ctx context.Context, endpoint string) error {
	s := r.senders[endpoint]
	if s == nil {
		return fmt.Errorf("endpoint %s: %w", endpoint, outbox.ErrNotFound)
	}
	why := s.disabled.Swap(nil)
	if err := r.o.Store.Update(ctx, func(tx *store.Tx) error { return outbox.Enable(tx, endpoint) }); err != nil {
		s.disabled.CompareAndSwap(nil, why)
		return fmt.Errorf("resume %s: %w", endpoint, err)
	}
	r.m.disabled.WithLabelValues(endpoint).Set(0)
	s.nudge()
	return nil
}

// EndpointView is what is shown of an endpoint.
type EndpointView struct {
	Object   string `json:"object"`
	ID       string `json:"id"`
	Partner  string `json:"partner"`
	URL      string `json:"url"`
	Format   string `json:"format"`
	Owed     int64  `json:"owed"`
	Dead     int64  `json:"dead"`
	Disabled string `json:"disabled,omitempty"` // why
}

// Endpoints lists every endpoint of the config, in its order.
func (r *Relay) Endpoints() []EndpointView {
	list := []EndpointView{} // never null
	for i := range r.o.Partners {
		p := &r.o.Partners[i]
		for j := range p.Endpoints {
			e := &p.Endpoints[j]
			v := EndpointView{Object: "endpoint", ID: e.ID, Partner: p.ID, URL: e.URL, Format: e.Format.Name, Owed: r.o.Outbox.Owed(e.ID), Dead: r.o.Outbox.Dead(e.ID)}
			if why := r.senders[e.ID].disabled.Load(); why != nil {
				v.Disabled = *why
			}
			list = append(list, v)
		}
	}
	return list
}
