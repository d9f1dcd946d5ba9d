package audit

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"countersign/outbox/store"
)

// Reduce takes from a step of the entries above a number what they said, if they are of kind
// Refused and older than before: the hash of it stays, so that the chain is whole. It reports up to
// where there is nothing left to reduce, and whether there is more to look at.
func Reduce(ctx context.Context, s *store.Store, after uint64, before time.Time) (upTo uint64, more bool, err error) {
	var found []uint64
	upTo = after
	err = s.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Audit).Cursor()
		k, v := c.Seek(entryKey(after + 1))
		for range step {
			n, ok := numbered(k)
			r, readable := parse(v)
			if !ok || readable && !time.UnixMicro(r.at).Before(before) {
				return nil
			}
			if upTo = n; readable && r.kind == Refused && !r.reduced {
				found = append(found, n)
			}
			k, v = c.Next()
		}
		more = true
		return nil
	})
	if err != nil || len(found) == 0 {
		return upTo, more, err
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		b := tx.Bucket(store.Audit)
		for _, n := range found {
			v, err := b.Get(entryKey(n))
			r, ok := parse(v)
			if err != nil || !ok || r.reduced { // damaged meanwhile: it stays as it is (I8)
				continue
			}
			text := textSum(r.text)
			if err := forget(b, &r, false); err != nil {
				return err
			}
			r.reduced, r.text = true, text[:]
			if err := b.Put(entryKey(n), r.bytes()); err != nil {
				return err
			}
		}
		return nil
	})
	return upTo, more, err
}

// Leave takes a step of the front of the trail away, as far as it is older than before, and keeps
// the anchor that the rest holds on to. The last entry stays, and so does what is damaged (I8). It
// reports whether there is more.
func Leave(ctx context.Context, s *store.Store, before, now time.Time) (more bool, err error) {
	any := false
	err = s.View(func(tx *store.Tx) error {
		any = len(front(tx, before)) > 0
		return nil
	})
	if err != nil || !any {
		return false, err
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		b := tx.Bucket(store.Audit)
		gone := front(tx, before)
		more = len(gone) == step
		for i := range gone {
			r := &gone[i]
			if err := errors.Join(forget(b, r, true), b.Delete(entryKey(r.number))); err != nil {
				return err
			}
		}
		if len(gone) == 0 {
			return nil
		}
		a := Anchor{gone[len(gone)-1].head(), now}
		return b.PutTwice(anchorKey, a.bytes())
	})
	return more, err
}

// front are the first entries that can be read and are older than before, without the last of all.
func front(tx *store.Tx, before time.Time) (list []record) {
	b := tx.Bucket(store.Audit)
	k, _ := lastEntry(b.Cursor())
	last := bytes.Clone(k)
	c := b.Cursor()
	k, v := c.Seek(entryKey(anchorOf(b).Number + 1))
	for range step {
		n, ok := numbered(k)
		if !ok || bytes.Equal(k, last) {
			break
		}
		if r, readable := parse(v); readable && r.number == n {
			if !time.UnixMicro(r.at).Before(before) {
				break
			}
			r.text = slices.Clone(r.text)
			list = append(list, r)
		}
		k, v = c.Next()
	}
	return list
}

// forget takes away what leads to an entry; leaves: and that another is completed by it.
func forget(b store.Bucket, r *record, leaves bool) error {
	e, err := r.entry()
	if err != nil {
		return nil //nolint:nilerr // nothing is known to lead to it
	}
	if e.Begun != 0 && leaves {
		err = b.Delete(completedKey(e.Begun))
	}
	for _, p := range e.about() {
		err = errors.Join(err, b.Delete(personKey(p, r.number)))
	}
	return err
}
