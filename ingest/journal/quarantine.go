package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// Item is the body of a genuine callback, event or answer that is kept, sealed, because it could
// not be understood in full, or may not be applied (I8).
type Item struct {
	ID       string // names it; the same callback gives the same id, so that a provider's retry is kept once
	Source   string
	Provider string
	Reason   Reason
	Detail   string // fixed words and field names, never text of the body
	At       time.Time
	Headers  map[string][]string
	Body     []byte
	Answer   *Answer // what it answers; nil: the provider said it unasked
}

// Reason is why a body is in quarantine.
type Reason string

// The reasons.
const (
	Unreadable    Reason = "unreadable"    // the adapter could not translate it
	WrongMode     Reason = "livemode"      // test where live is configured, or the other way round
	UnknownWord   Reason = "unknown_word"  // applied as in_review; the body is kept too
	UnknownEvent  Reason = "unknown_event" // an event that the adapter does not know, whose body carries a decision: nothing is applied
	OtherAccount  Reason = "account"       // of another account at the provider than the source is for: nothing is applied
	OtherWorkflow Reason = "workflow"      // an approval in a workflow that may not approve: the approval is not applied, whatever else it says is
	NoPartner     Reason = "no_partner"    // the subject's prefix names no partner
	Oversized     Reason = "too_large"     // not a callback but a record that was applied, and is larger than Kafka takes
)

// Reasons lists every Reason.
var Reasons = []Reason{Unreadable, WrongMode, UnknownWord, UnknownEvent, OtherAccount, OtherWorkflow, NoPartner, Oversized}

// ItemView is what is shown of an item without unsealing it.
type ItemView struct {
	ID       string    `json:"id"`
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	Reason   Reason    `json:"reason"`
	Detail   string    `json:"detail,omitempty"`
	At       time.Time `json:"at"`
	Bytes    int       `json:"bytes"`               // of the body
	BodyGone bool      `json:"body_gone,omitempty"` // removed by retention
}

type sealedPart struct {
	Headers map[string][]string `json:"headers,omitempty"`
	Body    []byte              `json:"body"`
	Answer  *Answer             `json:"answer,omitempty"`
}

// Hold keeps an item, and the records that came of it if any, all or none: nil means on stable
// storage.
func (j *Bolt) Hold(ctx context.Context, item Item, rs ...Record) error {
	return j.hold(ctx, item, rs, nil)
}

func (j *Bolt) hold(ctx context.Context, item Item, rs []Record, first *Position) error {
	keep, err := j.keeping(&item)
	if err != nil {
		return err
	}
	return j.append(ctx, rs, first, keep)
}

// keeping seals an item, and returns what writes it in a transaction. Of no item that is nothing.
func (j *Bolt) keeping(item *Item) (func(tx *store.Tx) error, error) {
	if item == nil {
		return func(*store.Tx) error { return nil }, nil
	}
	id, reason := item.ID, item.Reason // the caller's may change once its ctx has ended
	sealed, err := j.seal(item)
	if err != nil {
		return nil, err
	}
	return func(tx *store.Tx) error {
		b := tx.Bucket(store.Quarantine)
		if !b.Has([]byte(id)) { // else it has been told of already
			if err := j.addCount(tx, 1); err != nil {
				return err
			}
			tx.OnCommit(func() { j.m.quarantined.WithLabelValues(string(reason)).Inc() })
		}
		return b.PutRecord([]byte(id), sealed)
	}, nil
}

// takeOut removes an item in a transaction, and reports whether there was one.
func (j *Bolt) takeOut(tx *store.Tx, id string) (bool, error) {
	b := tx.Bucket(store.Quarantine)
	if !b.Has([]byte(id)) {
		return false, nil
	}
	if err := errors.Join(j.addCount(tx, -1), b.Delete([]byte(id))); err != nil {
		return false, err
	}
	return true, nil
}

func (j *Bolt) seal(item *Item) ([]byte, error) {
	view, err := json.Marshal(ItemView{
		ID: item.ID, Source: item.Source, Provider: item.Provider, Reason: item.Reason,
		Detail: item.Detail, At: item.At.UTC(), Bytes: len(item.Body),
	})
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	part, err := json.Marshal(sealedPart{item.Headers, item.Body, item.Answer})
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	sealed, err := j.o.Sealer.Seal("quarantine/"+item.ID, part)
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	return store.NewRecord(binary.BigEndian.AppendUint32(nil, uint32(len(view))), view, sealed), nil //nolint:gosec // a view is small
}

var countKey = []byte("quarantine/count")

// addCount moves the number of items, and has it told when the transaction is on disk.
func (j *Bolt) addCount(tx *store.Tx, n int64) error {
	was, err := tx.Number(countKey)
	if err != nil {
		return err
	}
	tx.OnCommit(func() { j.quarantined.Store(was + n) })
	return tx.SetNumber(countKey, was+n)
}

// Drop takes an item out of quarantine, and writes what came of it if anything did, all or none:
// nil means on stable storage. What is appended has the item's own dedupe keys, so that doing it
// twice does it once; a body that has to be kept on takes the item's place.
func (j *Bolt) Drop(ctx context.Context, id string, t Intake) error {
	keep, err := j.keeping(t.Keep)
	if err != nil {
		return err
	}
	drop := func(tx *store.Tx) error {
		was, err := j.takeOut(tx, id)
		if err != nil {
			return err
		}
		if !was {
			return fmt.Errorf("quarantine %s: %w", id, ErrNotFound)
		}
		return keep(tx)
	}
	if t.Keep == nil && len(t.Records) == 0 {
		return j.free(ctx, drop)
	}
	return j.append(ctx, t.Records, nil, drop)
}

// Quarantined is how many bodies are kept.
func (j *Bolt) Quarantined() int64 { return j.quarantined.Load() }

// Items lists up to n items with ids after the one given, in order of id.
func (j *Bolt) Items(after string, n int) (items []ItemView, more bool, err error) {
	err = j.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Quarantine).Cursor()
		k, v := c.Seek([]byte(after))
		if k != nil && string(k) == after {
			k, v = c.Next()
		}
		for ; k != nil; k, v = c.Next() {
			if len(items) == n {
				more = true
				return nil
			}
			view, _, err := split(v)
			if err != nil {
				items = append(items, ItemView{ID: string(k), Detail: err.Error()})
				continue
			}
			items = append(items, view)
		}
		return nil
	})
	return items, more, err
}

// Unseal returns an item in clear, for whoever is allowed to see a body.
func (j *Bolt) Unseal(id string) (item Item, err error) {
	var raw []byte
	err = j.o.Store.View(func(tx *store.Tx) error {
		v, err := tx.Bucket(store.Quarantine).Get([]byte(id))
		raw = bytes.Clone(v)
		return err
	})
	if err != nil || raw == nil {
		return Item{}, fmt.Errorf("quarantine %s: %w", id, orNotFound(err))
	}
	view, sealed, err := split(raw)
	if err != nil {
		return Item{}, fmt.Errorf("quarantine %s: %w", id, err)
	}
	if view.BodyGone {
		return Item{}, fmt.Errorf("quarantine %s: its body was removed by retention: %w", id, ErrNotFound)
	}
	plain, err := j.o.Sealer.Unseal("quarantine/"+id, sealed)
	if err != nil {
		return Item{}, fmt.Errorf("quarantine %s: %w", id, err)
	}
	var part sealedPart
	if err := json.Unmarshal(plain, &part); err != nil {
		return Item{}, fmt.Errorf("quarantine %s: %w", id, err)
	}
	return Item{
		ID: view.ID, Source: view.Source, Provider: view.Provider, Reason: view.Reason, Detail: view.Detail, At: view.At,
		Headers: part.Headers, Body: part.Body, Answer: part.Answer,
	}, nil
}

// Retain removes the bodies of items older than keep says (0: never), which is asked each time, a
// few at a time, until ctx ends. The items themselves stay listed.
func (j *Bolt) Retain(ctx context.Context, keep func() time.Duration) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if keep := keep(); keep > 0 {
			if err := j.removeBodies(ctx, j.o.Now().Add(-keep)); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFull) {
				return fmt.Errorf("quarantine retention: %w", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

const removeChunk = 500

func (j *Bolt) removeBodies(ctx context.Context, before time.Time) error {
	for {
		stripped := map[string][]byte{}
		err := j.o.Store.View(func(tx *store.Tx) error {
			c := tx.Bucket(store.Quarantine).Cursor()
			for k, v := c.First(); k != nil && len(stripped) < removeChunk; k, v = c.Next() {
				view, sealed, err := split(v)
				if err != nil || len(sealed) == 0 || !view.At.Before(before) {
					continue
				}
				view.BodyGone = true
				text, err := json.Marshal(view)
				if err != nil {
					return err
				}
				stripped[string(k)] = store.NewRecord(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text) //nolint:gosec // a view is small
			}
			return nil
		})
		if err != nil || len(stripped) == 0 {
			return err
		}
		err = j.o.Store.Update(ctx, func(tx *store.Tx) error {
			for k, v := range stripped {
				if err := tx.Bucket(store.Quarantine).PutRecord([]byte(k), v); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

func split(b []byte) (view ItemView, sealed []byte, err error) {
	if len(b) < 4 || len(b)-4 < int(binary.BigEndian.Uint32(b)) {
		return view, nil, store.ErrBadRecord
	}
	n := int(binary.BigEndian.Uint32(b))
	if err := json.Unmarshal(b[4:4+n], &view); err != nil {
		return view, nil, store.ErrBadRecord
	}
	return view, b[4+n:], nil
}

func orNotFound(err error) error {
	if err != nil {
		return err
	}
	return ErrNotFound
}
