package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"countersign/outbox/store"
)

const (
	renameChunk = 500     // records moved in one transaction
	renameBytes = 4 << 20 // of bodies moved in one transaction, about
	renameLook  = 20_000  // records looked at in one transaction for those that are the endpoint's
)

// Rename gives what is kept of an endpoint to another id: what is owed, with its place in its lane,
// its due time and its tries, what is dead, and what is listed of rejections. It moves a bounded
// part in each transaction, so whoever calls it after a crash, or an error, moves the rest: nil
// once all of it is on stable storage under the new id. Nothing of either may be owed, claimed or
// settled meanwhile, and the new id may have nothing of its own. What is damaged stays as it is.
func Rename(ctx context.Context, s *store.Store, from, to string) error {
	m := &renaming{store: s, from: from, to: to, chunk: renameChunk}
	if err := m.run(ctx); err != nil {
		return fmt.Errorf("rename endpoint %s to %s: %w", from, to, err)
	}
	return nil
}

type renaming struct {
	store    *store.Store
	from, to string
	chunk    int
}

func (m *renaming) run(ctx context.Context) error {
	for _, b := range []struct {
		name   store.Name
		marks  []string // what stands before the endpoint in a key
		counts *counted // which count in meta the records are; nil: none
	}{
		{store.Attempts, []string{""}, nil},
		{store.Answers, []string{""}, nil},
		{store.Deliveries, []string{""}, &counted{key: owedKey}},
		{store.Due, []string{""}, nil}, // after what they lead to: a lane without a head is seen to, a head without a lane is not
		{store.Withheld, []string{""}, &counted{key: withheldCountKey}},
		{store.Withheld, []string{"\x01"}, &counted{rejectionsKey, func(body []byte) bool { w := &withheldRecord{}; return w.decode(body) && w.Dead == "" }}},
		{store.Withheld, []string{"\x02", "\x03", "\x04"}, nil},
		{store.Dead, []string{""}, &counted{key: deadKey}},
		{store.Dead, []string{"\x01"}, nil},
	} {
		for _, mark := range b.marks {
			if err := m.leading(ctx, b.name, mark, b.counts); err != nil {
				return err
			}
		}
	}
	return m.trailing(ctx, store.Dead, []byte{2})
}

// counted is a count in meta, and which records it counts; of nil all.
type counted struct {
	key func(endpoint string) []byte
	is  func(body []byte) bool
}

func (c *counted) of(records []moved) (n int64) {
	for i := range records {
		if c.is == nil || c.is(records[i].body) {
			n++
		}
	}
	return n
}

// moved is one record under its new key.
type moved struct{ was, is, body []byte }

// step moves what find finds, in one transaction, and reports whether there may be more. Of find's
// records the bodies are copies; it may be called again.
func (m *renaming) step(ctx context.Context, n store.Name, counts *counted, find func(*store.Tx, int) ([]moved, bool)) (more bool, err error) {
	for {
		rest := false
		err := m.store.Update(ctx, func(tx *store.Tx) (err error) { // its own err: it may still run when ctx has ended Update
			var records []moved
			if records, rest = find(tx, m.chunk); len(records) == 0 {
				return nil
			}
			for _, r := range records {
				if err := errors.Join(tx.Bucket(n).Delete(r.was), tx.Bucket(n).Put(r.is, r.body)); err != nil {
					return err
				}
			}
			if counts == nil {
				return nil
			}
			of := counts.of(records)
			return errors.Join(add(tx, string(counts.key(m.from)), -of), add(tx, string(counts.key(m.to)), of))
		})
		switch {
		case err == nil:
			return rest, nil
		case !errors.Is(err, store.ErrFull) || m.chunk == 1:
			return false, err
		}
		m.chunk /= 2 // fewer may fit
	}
}

func add(tx *store.Tx, key string, n int64) error {
	was, err := tx.Number([]byte(key))
	if err != nil {
		return err
	}
	return tx.SetNumber([]byte(key), was+n)
}

// leading moves the records whose keys begin with a mark and the endpoint.
func (m *renaming) leading(ctx context.Context, n store.Name, mark string, counts *counted) error {
	prefix, instead := append([]byte(mark+m.from), 0), append([]byte(mark+m.to), 0)
	for more := true; more; {
		var err error
		more, err = m.step(ctx, n, counts, func(tx *store.Tx, chunk int) (records []moved, more bool) {
			size := 0
			c := tx.Bucket(n).Cursor()
			for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
				if v == nil {
					continue // damaged
				}
				if len(records) == chunk || size > renameBytes {
					return records, true
				}
				records = append(records, moved{bytes.Clone(k), append(bytes.Clone(instead), k[len(prefix):]...), bytes.Clone(v)})
				size += len(v)
			}
			return records, false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trailing moves the records whose keys begin with a mark and end with the endpoint. They stand
// among those of others, so all are looked at.
func (m *renaming) trailing(ctx context.Context, n store.Name, mark []byte) error {
	suffix := append([]byte{0}, m.from...)
	after := mark
	for more := true; more; {
		var next []byte
		full, err := m.step(ctx, n, nil, func(tx *store.Tx, chunk int) (records []moved, more bool) {
			size, looked := 0, 0
			next = nil
			c := tx.Bucket(n).Cursor()
			for k, v := c.Seek(after); bytes.HasPrefix(k, mark) && k != nil; k, v = c.Next() {
				if looked++; looked > renameLook || len(records) == chunk || size > renameBytes {
					next = bytes.Clone(k)
					return records, true
				}
				if v == nil || !bytes.HasSuffix(k, suffix) {
					continue
				}
				is := append(append(bytes.Clone(k[:len(k)-len(suffix)]), 0), m.to...)
				records = append(records, moved{bytes.Clone(k), is, bytes.Clone(v)})
				size += len(v)
			}
			return records, false
		})
		if err != nil {
			return err
		}
		if more = full; next != nil {
			after = next
		}
	}
	return nil
}
