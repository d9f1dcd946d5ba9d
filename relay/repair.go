package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// repairStep is how many records of a bucket are looked at in one transaction.
const repairStep = 1000

// repair follows the mending of a file, before anything is folded: whoever a damaged record may
// have been about is set aside, and what follows from other records is made anew. Each step does
// nothing a second time, so a repair that is cut off is done again.
func (r *Relay) repair(ctx context.Context) error {
	if yes, err := r.o.Store.Unrepaired(); err != nil || !yes {
		return err
	}
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return r.eachDamaged(ctx, store.Subjects, r.damagedSubject) },
		func(ctx context.Context) error { return r.eachDamaged(ctx, store.Journal, r.damagedRecord) },
		func(ctx context.Context) error { return r.eachDamaged(ctx, store.Refs, r.damagedRef) },
		func(ctx context.Context) error { return r.eachDamaged(ctx, store.Forward, r.damagedChanges) },
		r.retimeAll, r.restandAll, r.reindexAll, r.redeliveredAll, r.reholdAll, r.recountUnrouted, r.recount, r.refind,
		func(ctx context.Context) error { return r.o.Outbox.Repair(ctx, r.restore) },
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
	}
	return r.o.Store.Update(ctx, func(tx *store.Tx) error { return tx.Repaired() })
}

// eachDamaged calls fn with each damaged record of a bucket.
func (r *Relay) eachDamaged(ctx context.Context, n store.Name, fn func(*store.Tx, *store.DamagedRecord) error) error {
	for {
		seen := 0
		err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
			list := tx.Damaged(n, nil, repairStep)
			seen = len(list)
			for i := range list {
				if err := errors.Join(fn(tx, &list[i]), tx.SeenTo(&list[i])); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || seen < repairStep {
			return err
		}
	}
}

// damagedSubject sets aside whoever a damaged state may have been of: the subject whose key it has,
// and the one that it names itself, should that be another.
func (r *Relay) damagedSubject(tx *store.Tx, d *store.DamagedRecord) error {
	lanes := []string{string(d.Key)}
	if len(d.Record) > 9 {
		s := &subject{}
		if _ = s.decode(d.Record[9:]); s.Lane != "" {
			lanes = append(lanes, s.Lane)
		}
	}
	for _, lane := range lanes {
		if partner, id, _ := splitLane(lane); partner == "" || id == "" || tx.Bucket(store.Subjects).Has([]byte(lane)) {
			continue // of nobody, or of somebody whose state is whole: it was the other's
		}
		if err := r.putAside(tx, lane, store.Subjects); err != nil {
			return err
		}
	}
	return nil
}

// damagedRecord sets aside whoever a damaged record of the journal seems to be about, if it had not
// been folded yet. What it says counts for nothing.
func (r *Relay) damagedRecord(tx *store.Tx, d *store.DamagedRecord) error {
	at := bytes.Index(d.Record, []byte(`{"`))
	if at < 0 {
		return nil
	}
	return r.suspect(tx, d.Record[at:], store.Journal)
}

// damagedUnrouted does the same for a record that waited.
func (r *Relay) damagedUnrouted(tx *store.Tx, d *store.DamagedRecord) error {
	var h unroutedRecord
	if at := bytes.Index(d.Record, []byte(`{"`)); at >= 0 && json.Unmarshal(d.Record[at:], &h) == nil {
		return r.suspect(tx, h.Body, store.Refs)
	}
	return nil
}

// suspect sets aside whom a text that may be damaged names.
func (r *Relay) suspect(tx *store.Tx, text []byte, n store.Name) error {
	var u kyc.Update
	if json.NewDecoder(bytes.NewReader(text)).Decode(&u) != nil {
		return nil //nolint:nilerr // whom it was about, nobody can say: it is counted
	}
	u.Partner = r.kept(u.Partner)
	b := &batch{r: r, tx: tx, refs: map[string]*refStrand{}}
	lane, verdict := b.owner(&u)
	if verdict != "" || !tx.Bucket(store.Subjects).Has([]byte(lane)) && r.partner(u.Partner) == nil {
		return nil
	}
	return r.putAside(tx, lane, n)
}

// damagedRef makes a ref lead to nobody until an operator has decided: whose it was, nobody can say.
// What waited behind it is as what has not been folded.
func (r *Relay) damagedRef(tx *store.Tx, d *store.DamagedRecord) error {
	if bytes.HasPrefix(d.Key, []byte("h\x00")) {
		return r.damagedUnrouted(tx, d)
	}
	if !bytes.HasPrefix(d.Key, []byte(strandPrefix)) || tx.Bucket(store.Refs).Has(d.Key) {
		return nil // it has been taught again, or it is the other one that was damaged
	}
	s := refStrand{partial: true}
	return tx.Bucket(store.Refs).Put(d.Key, s.appendTo(nil))
}

// damagedChanges counts a batch of changes that Kafka will not have.
func (r *Relay) damagedChanges(tx *store.Tx, d *store.DamagedRecord) error {
	last, n, _ := splitForwardKey(d.Key)
	tx.OnCommit(func() {
		r.m.damaged.Inc()
		r.o.Logger.Error("changes_damaged", "offset", last.Offset, "changes", n)
	})
	return nil
}

// sweepBucket calls look with the records of a bucket, some at a time, and write with what it
// returned of them.
func (r *Relay) sweepBucket(ctx context.Context, n store.Name, look func(tx *store.Tx, k, v []byte) [][]byte, write func(tx *store.Tx, ks [][]byte) error) error {
	var after []byte
	for more := true; more; {
		var found [][]byte
		err := r.o.Store.View(func(tx *store.Tx) error {
			c := tx.Bucket(n).Cursor()
			seen := 0
			k, v := c.Seek(after)
			for ; k != nil && seen < repairStep; k, v = c.Next() {
				if seen++; v != nil {
					found = append(found, look(tx, k, v)...)
				}
			}
			after, more = bytes.Clone(k), k != nil
			return nil
		})
		if err == nil && len(found) > 0 {
			err = r.o.Store.Update(ctx, func(tx *store.Tx) error { return write(tx, found) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// retimeAll gives subjects the timers back that their states ask for.
func (r *Relay) retimeAll(ctx context.Context) error {
	return r.sweepBucket(ctx, store.Subjects, func(tx *store.Tx, k, v []byte) [][]byte {
		s := &subject{lane: string(k)}
		if s.decode(v) != nil || s.Timer == 0 || tx.Bucket(store.Timers).Has(timerKey(s.Timer, s.lane)) {
			return nil
		}
		return [][]byte{timerKey(s.Timer, s.lane)}
	}, func(tx *store.Tx, ks [][]byte) error {
		for _, k := range ks {
			if err := tx.Bucket(store.Timers).Put(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// reindexAll gives entries of the history, and outcomes, their places in the index back.
func (r *Relay) reindexAll(ctx context.Context) error {
	for _, n := range []store.Name{store.History, store.Outcomes} {
		err := r.sweepBucket(ctx, n, func(tx *store.Tx, k, v []byte) [][]byte {
			if at := placeInIndex(n, k, v); at != nil && !tx.Bucket(store.Index).Has(at) {
				return [][]byte{at}
			}
			return nil
		}, func(tx *store.Tx, ks [][]byte) error {
			for _, k := range ks {
				if err := tx.Bucket(store.Index).Put(k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// placeInIndex is the key of the index that leads to a record of the history or of the outcomes;
// nil: none does, or it is damaged.
func placeInIndex(n store.Name, k, v []byte) []byte {
	if n == store.Outcomes {
		o, ok := splitOutcome(k)
		if !ok || v == nil {
			return nil
		}
		return indexKey(o.lane, o.place())
	}
	lane, _, ok := entry(v)
	if !ok || len(k) < historyHead || k[historyHead-1] == kindChange {
		return nil
	}
	return indexKey(lane, k)
}

// reholdAll makes anew what follows from strands and from what waits: the order of arrival, and
// which refs are contested and by whom.
func (r *Relay) reholdAll(ctx context.Context) error {
	return r.sweepBucket(ctx, store.Refs, func(tx *store.Tx, k, v []byte) (missing [][]byte) {
		refs := tx.Bucket(store.Refs)
		ref, at, _ := waitsAt(k)
		switch {
		case bytes.HasPrefix(k, []byte("h\x00")) && len(v) > 0:
			if place, _ := refs.Get(placeKey(at)); place == nil || string(place) != ref {
				return [][]byte{bytes.Clone(k)}
			}
		case bytes.HasPrefix(k, []byte("p\x00")):
			if !refs.Has(heldKey(string(v), at)) {
				return [][]byte{bytes.Clone(k)}
			}
		case bytes.HasPrefix(k, []byte(strandPrefix)):
			key, s := string(k[len(strandPrefix):]), readStrand(v, nil)
			for i, c := range s.contenders() {
				for _, beside := range [][]byte{contestKey(key), contestMark(c.Lane, key)} {
					if !refs.Has(beside) && (i == 0 || beside[0] != 'c') {
						missing = append(missing, beside)
					}
				}
			}
		}
		return missing
	}, func(tx *store.Tx, ks [][]byte) error {
		refs := tx.Bucket(store.Refs)
		for _, k := range ks {
			var err error
			switch ref, at, _ := waitsAt(k); k[0] {
			case 'h':
				err = refs.Put(placeKey(at), []byte(ref))
			case 'p':
				err = refs.Delete(k) // what waited there is lost
			default:
				err = refs.Put(k)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// recountUnrouted makes the number of unrouted records right.
func (r *Relay) recountUnrouted(ctx context.Context) error {
	return r.o.Store.Update(ctx, func(tx *store.Tx) error {
		n, prefix := int64(0), []byte("p\x00")
		c := tx.Bucket(store.Refs).Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if v != nil {
				n++
			}
		}
		tx.OnCommit(func() { r.unrouted.Store(n) })
		return tx.SetNumber(unroutedCountKey, n)
	})
}

// restore makes a delivery anew from its change, as long as that is kept.
func (r *Relay) restore(tx *store.Tx, d *outbox.Delivery) (bool, error) {
	e := r.o.Registry.Read().Endpoint(d.Endpoint)
	if e == nil {
		return false, nil
	}
	c, ok := changeOf(tx, d.Lane, d.Sequence, d.Received)
	if !ok {
		return false, nil
	}
	appended, names := c.ReceivedAt, r.names(d.Endpoint)
	before := func(endpoint string, seq uint64) {
		if slices.Contains(names, endpoint) && seq < d.Sequence {
			d.PreviousSequence = max(d.PreviousSequence, seq)
		}
	}
	recall(tx, d.Lane, func(key []byte, kind byte, body []byte) bool {
		if o, ok := outcomeOf(key, kind, body); ok {
			before(o.Endpoint, o.Sequence)
		}
		return true
	})
	outbox.OwedOf(tx, d.Lane, before)
	body, err := bodyFor(e, &c, d.PreviousSequence) // it was owed: what its endpoint wants today does not matter
	if err != nil || body == nil {
		return false, err
	}
	d.WebhookID, d.Type, d.Format, d.Traceparent, d.Body = c.ID, c.Type, e.Format.Name, c.Traceparent, body
	d.Restrictive = isStatus(c.Type) && (c.Status == kyc.Rejected || c.Status == kyc.Suspended)
	d.Owed, d.Received = r.o.Now(), appended
	d.Order = r.Position().Offset // which it had, nobody knows: as if it were ordered again now
	return true, nil
}
