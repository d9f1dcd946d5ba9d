package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// UnroutedView is what is shown of a record that waits for its subject to be known. It holds no
// body.
type UnroutedView struct {
	ID              string     `json:"id"`
	Kind            kyc.Kind   `json:"kind,omitempty"`
	Source          string     `json:"source,omitempty"`
	Provider        string     `json:"provider,omitempty"`
	Reason          string     `json:"reason"` // unrouted, ambiguous, or unreadable: this program cannot apply it to anybody
	At              time.Time  `json:"at,omitzero"`
	Livemode        bool       `json:"livemode"`
	ProviderRef     string     `json:"provider_ref,omitempty"`
	VerificationRef string     `json:"verification_ref,omitempty"`
	ParentRef       string     `json:"parent_ref,omitempty"`
	Check           kyc.Check  `json:"check,omitempty"`
	Status          kyc.Status `json:"status,omitempty"`
}

const (
	unroutedPrefix = "unrouted_"
	unreadable     = "unreadable"
	maxUnrouted    = 1000 // shown at once
)

// unroutedID names an unrouted record: by where it stood in the journal, so that ids sort as
// records arrived.
func unroutedID(at journal.Position) string {
	if at.Partition == 0 {
		return fmt.Sprintf("%s%016x", unroutedPrefix, at.Offset)
	}
	return fmt.Sprintf("%s%x_%016x", unroutedPrefix, at.Partition, at.Offset)
}

// unroutedPosition undoes unroutedID.
func unroutedPosition(id string) (at journal.Position, ok bool) {
	partition, offset, parted := strings.Cut(strings.TrimPrefix(id, unroutedPrefix), "_")
	if !parted {
		partition, offset = "0", partition
	}
	p, err := strconv.ParseInt(partition, 16, 32)
	n, err2 := strconv.ParseInt(offset, 16, 64)
	at = journal.Position{Partition: int32(p), Offset: n}
	if err != nil || err2 != nil || n <= 0 || p < 0 || unroutedID(at) != id {
		return journal.Position{}, false
	}
	return at, true
}

// UnroutedItems lists up to n records (at most 1,000; 0: 100) that wait for their subject, in order
// of arrival, from after the id given; "" is before the first. It reports whether there are more.
func (r *Relay) UnroutedItems(after string, n int) (list []UnroutedView, more bool, err error) {
	var at journal.Position
	if after != "" {
		var ok bool
		if at, ok = unroutedPosition(after); !ok {
			return nil, false, invalid("after", "is no id of an unrouted record")
		}
	}
	if n <= 0 {
		n = 100
	}
	n = min(n, maxUnrouted)
	list = []UnroutedView{} // never null
	err = r.o.Store.View(func(tx *store.Tx) error {
		refs := tx.Bucket(store.Refs)
		c := refs.Cursor()
		for k, v := c.Seek(append(placeKey(at), 0)); bytes.HasPrefix(k, []byte("p\x00")); k, v = c.Next() {
			if len(list) == n {
				more = true
				return nil
			}
			_, at, _ := waitsAt(k)
			body, _ := refs.Get(heldKey(string(v), at)) // a damaged one is shown as such
			list = append(list, readUnrouted(at, body).view())
		}
		return nil
	})
	return list, more, err
}

func (h *unroutedRecord) view() UnroutedView {
	v := UnroutedView{ID: unroutedID(h.Position), Kind: h.Kind, Reason: string(h.Reason), At: h.Appended}
	var u kyc.Update
	if v.Reason == "" || json.Unmarshal(h.Body, &u) != nil {
		v.Reason = unreadable
		return v
	}
	v.Source, v.Provider, v.Livemode, v.Check, v.Status = u.Source, u.Provider, u.Livemode, u.Check, u.Status
	v.ProviderRef, v.VerificationRef, v.ParentRef = u.Subject.ProviderRef, u.Verification.Ref, u.Verification.ParentRef
	return v
}

// ReleaseUnrouted orders that an unrouted record be applied to this subject, through the journal
// (I11): nil once the order is on stable storage. What the record teaches then sets free whatever
// else waits for the same ref, unless that ref is ambiguous. A record that says itself whose it is
// goes to nobody else. actor is who ordered it; the order stays in the subject's history.
func (r *Relay) ReleaseUnrouted(ctx context.Context, id, partner, subject, actor string) error {
	u, err := r.releasable(id, partner, subject, actor)
	if err != nil {
		return err
	}
	return r.order(ctx, kyc.Update{UnroutedID: id, Release: true, Partner: partner, Subject: kyc.Subject{ID: subject}, Livemode: u.Livemode, Actor: actor})
}

// releasable is the update of an unrouted record, if it may be given to this subject.
func (r *Relay) releasable(id, partner, subject, actor string) (u kyc.Update, err error) {
	u, h, err := r.unroutedUpdate(id, actor)
	if err != nil {
		return u, err
	}
	if r.partner(partner) == nil {
		return u, fmt.Errorf("partner %s: %w", partner, outbox.ErrNotFound)
	}
	if err := name("subject", subject); err != nil {
		return u, err
	}
	switch {
	case h.view().Reason == unreadable:
		return u, invalid("id", "is of a record that this program cannot read")
	case u.Partner != "" && r.kept(u.Partner) != r.kept(partner):
		return u, invalid("partner", "is not the one the record is for")
	case u.Subject.ID != "" && u.Subject.ID != subject:
		return u, invalid("subject", "is not the one the record is about")
	}
	return u, nil
}

// DiscardUnrouted orders that an unrouted record be applied to nobody, ever: nil once the order is
// on stable storage. The record is kept where it is, with who discarded it and when; it no longer
// counts as held and nothing sets it free.
func (r *Relay) DiscardUnrouted(ctx context.Context, id, actor string) error {
	if _, _, err := r.unroutedUpdate(id, actor); err != nil {
		return err
	}
	return r.order(ctx, kyc.Update{UnroutedID: id, Actor: actor})
}

// unroutedUpdate is the update that is held under an id, and what holds it.
func (r *Relay) unroutedUpdate(id, actor string) (u kyc.Update, h *unroutedRecord, err error) {
	if err := name("actor", actor); err != nil {
		return u, nil, err
	}
	at, ok := unroutedPosition(id)
	err = r.o.Store.View(func(tx *store.Tx) error {
		if h = unroutedIn(tx, at); h == nil || !ok {
			return fmt.Errorf("unrouted record %s: %w", id, outbox.ErrNotFound)
		}
		return nil
	})
	if err == nil && h.view().Reason != unreadable {
		err = json.Unmarshal(h.Body, &u)
	}
	return u, h, err
}

// order appends an operator's word about an unrouted record.
func (r *Relay) order(ctx context.Context, u kyc.Update) error {
	u.SchemaVersion, u.Kind, u.ReceivedAt, u.Partner = 1, kyc.Decision, r.o.Now().Round(0).UTC(), r.kept(u.Partner)
	u.ID = kyc.UpdateID("", []string{u.UnroutedID, strconv.FormatBool(u.Release), u.Partner, u.Subject.ID}, u.Kind, "", "", "", 0, time.Time{})
	return r.append(ctx, u)
}
