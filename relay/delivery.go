package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"countersign/outbox"
	"countersign/outbox/store"
)

// DeliveryDetail is all that is kept of one delivery.
type DeliveryDetail struct {
	DeliveryView
	Body     []byte           // that was or will be sent; nil: it is not kept, and cannot be made again
	Rendered bool             // the body has been made again from its change
	Withheld *outbox.Withheld // a rejection or suspension that its endpoint has not been told of
	Looked   int              // records that were looked at for it
	Endings  []OutcomeView    // each time that it ended, the oldest first, as long as that is kept
}

const (
	// endingsLook is how many entries of the index of a person are looked at for how one delivery
	// ended, from its change on.
	endingsLook = 5000
	noticeLook  = 2000 // operational webhooks that an endpoint is owed, looked at for one
)

// ErrNotWholeYet says that something may be there and is not found: the finder is being made.
var ErrNotWholeYet = fmt.Errorf("what would find it is being made, and has not come to the end of the history: %w", outbox.ErrNotFound)

// Delivery shows one delivery, whatever its status, by the id that it has or had before its
// endpoint was renamed. outbox.ErrNotFound: there is none, or nothing of it is kept any more.
func (r *Relay) Delivery(id string) (d DeliveryDetail, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		d, err = r.deliveryOf(tx, id)
		if err != nil {
			return err
		}
		if w, ok := r.o.Outbox.WithheldOf(tx, d.Endpoint, webhookOf(d.ID)); ok {
			d.Withheld = &w
		}
		if d.Body == nil {
			if d.Body = r.remade(tx, &d.DeliveryView); d.Body != nil {
				d.Rendered = true
			}
		}
		d.Looked = tx.Looked()
		return nil
	})
	return d, err
}

func webhookOf(id string) string {
	webhookID, _, _ := outbox.SplitID(id)
	return webhookID
}

// deliveryOf finds one: among the dead by its id; else through its change, or the lanes of notices.
func (r *Relay) deliveryOf(tx *store.Tx, id string) (d DeliveryDetail, err error) {
	id = r.CurrentID(id)
	webhookID, endpoint, ok := outbox.SplitID(id)
	if !ok {
		return d, fmt.Errorf("delivery %s: %w", id, outbox.ErrNotFound)
	}
	if is, body, ok := r.o.Outbox.DeadByID(tx, id); ok {
		d = DeliveryDetail{DeliveryView: r.viewDead(tx, &is), Body: body}
		if is.Reason == outbox.Damaged {
			d.Body = nil // what is kept of it is no body
		}
		d.Endings = r.endings(tx, spot{lane: is.Subject, seq: is.Sequence, at: is.Received}, endpoint)
		return d, nil
	}
	spots, whole := r.spotsFor(tx, webhookID, endpoint)
	for _, s := range spots {
		if d, ok := r.standing(tx, s, webhookID, endpoint); ok {
			return d, nil
		}
	}
	if !whole {
		return d, fmt.Errorf("delivery %s: %w", id, ErrNotWholeYet)
	}
	return d, fmt.Errorf("delivery %s: %w", id, outbox.ErrNotFound)
}

// spotsFor are where a delivery may be: as the list of rejections withheld says, or the lanes of
// operational webhooks, or the finder.
func (r *Relay) spotsFor(tx *store.Tx, webhookID, endpoint string) (spots []spot, whole bool) {
	if w, ok := r.o.Outbox.WithheldOf(tx, endpoint, webhookID); ok && w.Dead == "" {
		return []spot{{lane: w.Subject, seq: w.Sequence, at: w.Since.Add(-clocksDiffer)}}, true
	}
	if strings.HasPrefix(webhookID, "ntc_") {
		return noticesOf(tx, endpoint), true
	}
	return r.spotsOf(tx, webhookID)
}

// noticesOf are the operational webhooks that an endpoint is owed.
func noticesOf(tx *store.Tx, endpoint string) (spots []spot) {
	outbox.EachOwed(tx, endpoint, "/", noticeLook, func(lane string, seq uint64) { spots = append(spots, spot{lane: lane, seq: seq}) })
	return spots
}

// standing is a delivery by the place of its change; not ok: there is none with this id there.
func (r *Relay) standing(tx *store.Tx, s spot, webhookID, endpoint string) (d DeliveryDetail, ok bool) {
	if l, ok := r.o.Outbox.FindOwed(tx, endpoint, s.lane, s.seq); ok && l.WebhookID == webhookID {
		d.DeliveryView, d.Body = viewOwed(&l), l.Body
		d.Endings = r.endings(tx, s, endpoint)
		return d, true
	}
	if is, body, ok := r.o.Outbox.ReadDead(tx, endpoint, s.lane, s.seq); ok && webhookOf(is.ID) == webhookID {
		return DeliveryDetail{DeliveryView: r.viewDead(tx, &is), Body: body, Endings: r.endings(tx, s, endpoint)}, true
	}
	d.Endings = r.endings(tx, s, endpoint)
	for i := len(d.Endings) - 1; i >= 0; i-- {
		if v, ended := r.viewEnded(&d.Endings[i]); ended && d.Endings[i].WebhookID == webhookID {
			d.DeliveryView = v
			return d, true
		}
	}
	return d, false
}

// endings are how a change ended at an endpoint, by any name that it had, the oldest first.
func (r *Relay) endings(tx *store.Tx, s spot, endpoint string) (os []OutcomeView) {
	names := r.names(endpoint)
	eachEnding(tx, s, func(name string, place []byte) {
		if !slices.Contains(names, name) {
			return
		}
		if body, ok := indexed(tx, s.lane, place); ok {
			if o, ok := outcomeOf(place, kindOutcome, body); ok {
				o.Lane, o.Endpoint = s.lane, endpoint
				o.ID = (&outbox.Delivery{WebhookID: o.WebhookID, Endpoint: endpoint}).ID()
				os = append(os, o)
			}
		}
	})
	return os
}

// cancelled reports whether an operator has decided that a change is never told at an endpoint, and
// it was not on its way.
func (r *Relay) cancelled(tx *store.Tx, s spot, endpoint string) bool {
	os := r.endings(tx, s, endpoint)
	return len(os) > 0 && os[len(os)-1].Outcome == outbox.Cancelled
}

// eachEnding calls fn with the endpoints at which a change ended, and where that stands in the
// index of its lane: from when it was appended on.
func eachEnding(tx *store.Tx, s spot, fn func(endpoint string, place []byte)) {
	lists := indexPrefix(s.lane)
	from := lists
	if s.at.Unix() > 0 {
		from = binary.BigEndian.AppendUint64(bytes.Clone(lists), uint64(s.at.UnixMicro()))
	}
	c := tx.Bucket(store.Index).Cursor()
	n := 0
	for k, _ := c.Seek(from); bytes.HasPrefix(k, lists) && n < endingsLook; k, _ = c.Next() {
		n++
		place := k[len(lists):]
		if len(place) <= historyHead || place[0] == indexEnd || place[historyHead-1] != kindOutcome || uint64(placeOf(place).Offset) != s.seq { //nolint:gosec // written by outcomePlace
			continue
		}
		if endpoint, _, ok := splitPart(place[historyHead:]); ok {
			fn(endpoint, bytes.Clone(place))
		}
	}
}

// remade is the body of a delivery, made again from its change in the format that it had; nil: its
// change is not kept any more, or its endpoint has gone.
func (r *Relay) remade(tx *store.Tx, v *DeliveryView) []byte {
	if strings.HasPrefix(v.Lane, "/") || v.Reason == outbox.Damaged || v.Status == Cancelled {
		return nil
	}
	body, err := renderDead(tx, r.o.Registry.Read(), outbox.DeadDelivery{Endpoint: v.Endpoint, Subject: v.Lane, Sequence: v.Sequence, Previous: v.Previous, Format: v.Format, Received: v.Received})
	if err != nil {
		return nil
	}
	return body
}

// deliveriesOf are the deliveries of a change, at whichever endpoint of its partner.
func (r *Relay) deliveriesOf(tx *store.Tx, s spot, webhookID string) (list []DeliveryView) {
	now := r.o.Registry.Read()
	partner, _, _ := splitLane(s.lane)
	var endpoints []string
	if p := now.Partner(partner); p != nil {
		for i := range p.Endpoints {
			endpoints = append(endpoints, p.Endpoints[i].ID)
		}
	}
	for _, o := range now.Orphans() {
		if now.Shown(o.Partner) == now.Shown(partner) {
			endpoints = append(endpoints, o.Endpoint)
		}
	}
	eachEnding(tx, s, func(name string, _ []byte) { endpoints = append(endpoints, now.Current(name)) })
	slices.Sort(endpoints)
	for _, e := range slices.Compact(endpoints) {
		if d, ok := r.standing(tx, s, webhookID, e); ok {
			list = append(list, d.DeliveryView)
		}
	}
	return list
}

// steered is the place of a delivery that somebody wants to steer.
func (r *Relay) steered(id string) (d DeliveryDetail, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		d, err = r.deliveryOf(tx, id)
		return err
	})
	return d, err
}

// looksAgain is how often steer finds a delivery anew that has moved since it was found.
const looksAgain = 3

// steer finds a delivery and does something with it. Between the two it may have moved: what was
// pending is dead-lettered or delivered by now, what was dead-lettered is pending again. Then the
// outbox has no such delivery in that place, and it is found anew, so that what is answered is what
// is true of it now. outbox.ErrNotFound: there is none, wherever one looks.
func (r *Relay) steer(id string, do func(*DeliveryDetail) error) (d DeliveryDetail, err error) {
	for range looksAgain {
		if d, err = r.steered(id); err != nil {
			return d, err
		}
		if err = do(&d); !errors.Is(err, outbox.ErrNotFound) {
			break
		}
	}
	return d, ofDelivery(id, err)
}

// Whose is of whom a delivery is, whatever its status; not ok: there is none.
func (r *Relay) Whose(id string) (lane string, ok bool) {
	d, err := r.steered(id)
	return d.Lane, err == nil
}

// steerable is why a delivery of a status cannot be steered as if it were owed; nil: it can.
func steerable(s Status) error {
	switch s {
	case Dead:
		return outbox.ErrDead
	case Delivered:
		return outbox.ErrDelivered
	case Cancelled:
		return outbox.ErrCancelled
	case Pending, Retrying:
	}
	return nil
}

// RetryNow has the head of a delivery's lane tried now, whatever its schedule says. A delivery that
// is not owed is refused with outbox.ErrDead, ErrDelivered or ErrCancelled.
func (r *Relay) RetryNow(ctx context.Context, id string) (d DeliveryDetail, h outbox.Hurried, err error) {
	d, err = r.steer(id, func(d *DeliveryDetail) error {
		err := steerable(d.Status)
		if err == nil {
			h, err = r.o.Outbox.RetryNow(ctx, d.Endpoint, d.Lane, d.Sequence)
		}
		return err
	})
	return d, h, err
}

// Skip puts the delivery down as dead that holds its person's lane up. known: it had been skipped
// before.
func (r *Relay) Skip(ctx context.Context, id string) (d DeliveryDetail, known bool, err error) {
	d, err = r.steer(id, func(d *DeliveryDetail) (err error) {
		if d.Status != Dead || d.Reason != outbox.ReasonSkipped {
			err = steerable(d.Status)
		}
		if err == nil {
			known, err = r.o.Outbox.Skip(ctx, d.Endpoint, d.Lane, d.Sequence)
		}
		return err
	})
	return d, known, err
}

// Cancel takes a delivery out for good that is owed, or dead. known: it had been cancelled before.
func (r *Relay) Cancel(ctx context.Context, id string, c outbox.Cancel) (d DeliveryDetail, known bool, err error) {
	d, err = r.steer(id, func(d *DeliveryDetail) error {
		switch d.Status {
		case Cancelled:
			known = true
			return nil
		case Delivered:
			return outbox.ErrDelivered
		case Pending, Retrying, Dead:
		}
		return r.o.Outbox.Cancel(ctx, d.Endpoint, d.Lane, d.Sequence, c)
	})
	return d, known, err
}

func ofDelivery(id string, err error) error {
	if err != nil {
		return fmt.Errorf("delivery %s: %w", id, err)
	}
	return nil
}
