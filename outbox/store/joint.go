package store

import (
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// joint is one write transaction of the file: what it writes in each part is a Tx of its own, and
// all of it is committed together.
type joint struct {
	bolt   *bolt.Tx
	was    partSums      // of each part, as it began
	of     map[uint8]*Tx // by part: those that somebody has asked for
	noting bool          // see Tx

	watches *[256]atomic.Pointer[func(n Name, key []byte)] // by part: see Store.Watch; nil: there are none
	raw     bool                                           // see Tx
}

// partSums are the sums of each part of a file.
type partSums map[uint8][buckets + 1]sum

func newJoint(bare *bolt.Tx, was partSums) *joint {
	return &joint{bolt: bare, was: was, of: map[uint8]*Tx{}}
}

// tx is the transaction in a part.
func (j *joint) tx(part uint8) *Tx {
	tx := j.of[part]
	if tx == nil {
		tx = &Tx{bolt: j.bolt, part: part, sums: &sums{of: j.was[part]}, all: j, noting: j.noting, raw: j.raw}
		if j.watches != nil {
			tx.watch = j.watches[part].Load()
		}
		j.of[part] = tx
	}
	return tx
}

// run runs a function in its part.
func (j *joint) run(o *op) error {
	tx := j.tx(o.part)
	if tx.presence() == dropping {
		return errDropping
	}
	return protect(o.fn, tx)
}

// keep writes what is written last, in each part.
func (j *joint) keep() error {
	for _, part := range slices.Sorted(maps.Keys(j.of)) {
		if err := j.of[part].sums.keep(j.of[part]); err != nil {
			return err
		}
	}
	return nil
}

// into says what the sums of the parts are once it is committed.
func (j *joint) into(s partSums) {
	for part, tx := range j.of {
		switch tx.is {
		case unknown: // nobody has looked into it
		case absent:
			delete(s, part)
		default:
			s[part] = tx.sums.of
		}
	}
}

// looked is how many records it has looked at.
func (j *joint) looked() (n int) {
	for _, tx := range j.of {
		n += tx.looked
	}
	return n
}

// readSums are the sums as the file says.
func readSums(bare *bolt.Tx) (partSums, error) {
	all := partSums{}
	for _, part := range every(partsOf(bare)) {
		b, err := (&Tx{bolt: bare, part: part, raw: true}).Bucket(Meta).Get(sumsKey)
		if err != nil {
			return nil, err
		}
		var s sums
		if err := s.decode(b); err != nil {
			return nil, err
		}
		all[part] = s.of
	}
	return all, nil
}

// presence is whether a part is there for a transaction.
type presence byte

const (
	unknown presence = iota
	absent
	present
	dropping // some of it may be there, and nobody may have it
)

// presence finds out, once.
func (tx *Tx) presence() presence {
	if tx.is != unknown {
		return tx.is
	}
	tx.is = present
	if tx.part != 0 {
		switch meta := tx.bolt.Bucket(Meta.of(tx.part).inFile()); {
		case meta == nil:
			tx.is = absent
		case !tx.raw && meta.Get(droppedKey) != nil:
			tx.is = dropping
		}
	}
	return tx.is
}

// errDropping is what whoever wants a part meets while it is dropped.
var errDropping = errors.New("the part is being dropped")

// begin makes the buckets of a part that has none.
func (tx *Tx) begin() error {
	if tx.presence() == present {
		return nil
	}
	for _, n := range namesOf(tx.part) {
		if _, err := tx.bolt.CreateBucket(n.inFile()); err != nil {
			return err
		}
	}
	tx.is, tx.sums.moved = present, true
	return nil
}
