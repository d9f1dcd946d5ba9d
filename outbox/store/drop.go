package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// What one step of a drop takes away, at most: everybody waits for the writer meanwhile.
const (
	dropRecords = 4000
	dropBytes   = 4 << 20
)

// droppedKey stands in the meta of a part from the first step of its end to the last. Such a part
// cannot be read, and its sums are kept to the end, so that a mark that has come back by a page as
// it once was takes nothing away: then they do not fit, and the file is refused.
var droppedKey = []byte("store/dropped")

// Part is the store of a part of the same file, with a set of buckets of its own: the same writer,
// the same commits, the same room, the same end. They are made when somebody writes to them first;
// until then there is nothing to read. Part 0 is the node's own, which is what Open returns.
func (s *Store) Part(n uint8) *Store { return &Store{s.writer, n} }

// Parts lists the parts that there are beside the node's own, in the order of their numbers: those
// that somebody has written to and nobody has begun to drop. When the file is closed there are none.
func (s *Store) Parts() []uint8 {
	parts, _ := s.partsThat(present) // it is closed, then
	return parts
}

func (s *Store) partsThat(is presence) (parts []uint8, err error) {
	err = s.read(func(bare *bolt.Tx) error {
		for _, n := range partsOf(bare) {
			if (&Tx{bolt: bare, part: n}).presence() == is {
				parts = append(parts, n)
			}
		}
		return nil
	})
	return parts, err
}

// Drop takes a part away with everything in it, and not the node's own. Nil means that it has gone
// from stable storage, and the part is as if nobody had ever written to it: whoever used it has
// ended before. It does so in steps, so that nobody waits long for the writer. From the first one on
// who reads the part or writes to it gets an error; whatever ends the steps, another Drop goes on with them,
// and so does the next opening. Drop is refused while the file is copied, by a backup or a
// compaction, and they are while it runs.
func (s *Store) Drop(ctx context.Context, n uint8) error {
	if n == 0 {
		return errors.New("drop part 0: that is the node's own")
	}
	if err := s.turn(ctx, s.beginDrop); err != nil {
		return fmt.Errorf("drop part %d: %w", n, err)
	}
	defer s.endDrop()
	for done := false; !done; {
		began := time.Now()
		err := ctx.Err()
		if err == nil { // a step that has begun ends, before a copy may begin
			err = s.Part(0).Update(Without(context.WithoutCancel(ctx)), func(tx *Tx) (err error) {
				done, err = tx.all.tx(n).drop()
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("drop part %d: %w", n, err)
		}
		pause(ctx, min(time.Since(began), longestRest))
	}
	return nil
}

// beginDrop is done by the writer, as the beginning of a copy is: only one of the two can be first.
func (s *Store) beginDrop() error {
	if len(s.copies) > 0 {
		return errors.New("the file is being copied")
	}
	s.state.Lock()
	s.drops++
	s.state.Unlock()
	return nil
}

func (s *Store) endDrop() {
	s.state.Lock()
	s.drops--
	s.state.Unlock()
}

// finishDrops goes on with what an earlier process had begun. Nobody runs the store yet. A disk
// without room for it is no reason not to start: what is left is nobody's.
func (s *Store) finishDrops() error {
	begun, err := s.partsThat(dropping)
	if err != nil {
		return err
	}
	for _, part := range begun {
		switch err := s.finishDrop(part); {
		case errors.Is(err, ErrFull):
			s.o.Logger.Warn("part_not_dropped", "part", part, "error", err)
		case err != nil:
			return fmt.Errorf("drop part %d: %w", part, err)
		}
	}
	return nil
}

func (s *Store) finishDrop(part uint8) error {
	for done := false; !done; {
		o := &op{done: make(chan struct{}), fn: func(tx *Tx) (err error) {
			done, err = tx.all.tx(part).drop()
			return err
		}}
		if err := s.o.Context.Err(); err != nil {
			return err
		}
		if err := s.commit([]*op{o}); err != nil {
			return err
		}
		if o.err != nil {
			return o.err
		}
	}
	return nil
}

// drop takes one step in dropping a part, the first of which marks it. What the transaction of that
// one has written to it goes with the rest.
func (tx *Tx) drop() (done bool, err error) {
	switch tx.presence() {
	case absent:
		return true, nil
	case present:
		return false, tx.Bucket(Meta).Put(droppedKey)
	default:
	}
	own := &Tx{bolt: tx.bolt, part: tx.part, sums: tx.sums, raw: true}
	more, err := own.empty()
	tx.deletes += own.deletes
	if more && err == nil {
		err = own.sums.keep(own)
		tx.sums.moved = false
	}
	if more || err != nil {
		return false, err
	}
	for _, n := range namesOf(tx.part) {
		if err := tx.bolt.DeleteBucket(n.inFile()); err != nil {
			return false, err
		}
	}
	tx.is, *tx.sums = absent, sums{}
	return true, nil
}

// empty deletes what one step may from all buckets but meta, which says until the end what there
// should be.
func (tx *Tx) empty() (more bool, err error) {
	records, size := 0, 0
	for _, n := range namesOf(tx.part)[1:] {
		b := tx.Bucket(n)
		var keys [][]byte
		c := b.bolt.Cursor()
		for k, v := c.First(); k != nil && !more; k, v = c.Next() {
			keys, records, size = append(keys, bytes.Clone(k)), records+1, size+len(v)
			more = records >= dropRecords || size >= dropBytes
		}
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
				return false, err
			}
		}
		if more {
			return true, nil
		}
	}
	return false, nil
}
