package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// ErrOwed says that a delivery is owed: it is sent without any order.
var ErrOwed = errors.New("it is pending, and will be sent; retry-now tries it now")

// Retell orders one delivery again, to its own endpoint or to another of its partner; "": its own. A
// dead one goes to its own endpoint as it is (Redeliver). Any other is rendered anew from its
// change, under the same webhook-id, and its history says that it is replayed. Without force, where
// the endpoint has accepted a later change, ErrOvertaken. outbox.ErrNotFound: there is none of that
// id, or its change is not kept any more.
func (r *Relay) Retell(ctx context.Context, id, to string, force bool, actor string) error {
	id = r.CurrentID(id)
	if _, err := r.o.Outbox.FindDead(id); err == nil && to == "" {
		return r.Redeliver(ctx, id, force, actor)
	}
	d, err := r.steered(id)
	if err != nil {
		return err
	}
	now := r.o.Registry.Read()
	to = now.Current(cmp.Or(to, d.Endpoint))
	e := now.Endpoint(to)
	switch partner, _, _ := splitLane(d.Lane); {
	case partner == "": // an operational webhook, which tells of nobody: only its own endpoint is told, while it is dead
		return fmt.Errorf("delivery %s: %w", id, outbox.ErrNotFound)
	case e == nil || now.Owner(to) != now.Owner(d.Endpoint):
		return &FieldError{Field: "to", Problem: "is no endpoint of the same partner that is served"}
	case d.Status == Cancelled:
		return fmt.Errorf("delivery %s: %w", id, outbox.ErrCancelled)
	case to == d.Endpoint && (d.Status == Pending || d.Status == Retrying):
		return fmt.Errorf("delivery %s: %w", id, ErrOwed)
	}
	p := &Repeat{Kind: ReplayRange, Endpoint: d.Endpoint, To: to, Force: force, Actor: actor}
	var u kyc.Update
	err = r.o.Store.View(func(tx *store.Tx) error {
		c, ok := changeOf(tx, d.Lane, d.Sequence, d.Received)
		switch {
		case !ok:
			return fmt.Errorf("the change of delivery %s: %w", id, outbox.ErrNotFound)
		case !force && overtaken(tx, d.Lane, d.Sequence, r.names(to)):
			return fmt.Errorf("delivery %s: %w", id, ErrOvertaken)
		}
		w := &repeater{r: r, p: p, to: e, tx: tx, names: r.names(to), same: to == d.Endpoint}
		previous := d.Previous
		if !w.same {
			previous = before(w.told(d.Lane), d.Sequence)
		}
		u = w.update(d.Lane, c.ID, kyc.Replay{Sequence: d.Sequence, At: d.Received, Previous: previous})
		return nil
	})
	if err != nil {
		return err
	}
	return r.append(ctx, u)
}
