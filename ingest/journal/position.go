package journal

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"

	"countersign/outbox/store"
)

// Position is a place in a log. The zero value is before the first record of any.
type Position struct {
	Partition int32 // of the Kafka topic; 0 in the embedded log
	Offset    int64 // of the record; from 1 on
}

// Unneeded is what a follower passes that needs nothing at all: it is behind every record of every
// log.
var Unneeded = Position{Partition: math.MaxInt32, Offset: math.MaxInt64}

// PositionSize is how many bytes a position takes in a key: four of the partition, eight of the
// offset. This is the one place that knows: whoever keeps something by a record's position keeps it
// by this.
const PositionSize = 12

// At is a place in the embedded log.
func At(offset int64) Position { return Position{Offset: offset} }

// Plus is so many offsets further on in the same log; before it, if n is negative.
func (p Position) Plus(n int64) Position { return Position{p.Partition, p.Offset + n} }

// Reaches reports whether a reader that is here has passed a record: of the same log, and no later.
// The zero value reaches none.
func (p Position) Reaches(at Position) bool {
	return p.Offset > 0 && p.Partition == at.Partition && p.Offset >= at.Offset
}

// AppendTo appends a position to a key. Keys of one partition stand in the order of its offsets.
func (p Position) AppendTo(key []byte) []byte {
	key = binary.BigEndian.AppendUint32(key, uint32(p.Partition)) //nolint:gosec // partitions are positive
	return binary.BigEndian.AppendUint64(key, uint64(max(0, p.Offset)))
}

// PositionOf reads the position that a key begins with; not ok: the key is too short for one.
func PositionOf(key []byte) (p Position, ok bool) {
	if len(key) < PositionSize {
		return p, false
	}
	p.Partition = int32(binary.BigEndian.Uint32(key))  //nolint:gosec // written by AppendTo
	p.Offset = int64(binary.BigEndian.Uint64(key[4:])) //nolint:gosec // written by AppendTo
	return p, true
}

// Compare orders positions as their keys are: by partition, then by offset.
func (p Position) Compare(o Position) int {
	return cmp.Or(cmp.Compare(p.Partition, o.Partition), cmp.Compare(p.Offset, o.Offset))
}

// Later is the later of two positions.
func Later(a, b Position) Position {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// ReadPosition reads a position that WritePosition keeps; zero: there is none. One that is damaged
// is an error.
func ReadPosition(tx *store.Tx, key []byte) (p Position, err error) {
	v, err := tx.Bucket(store.Meta).Get(key)
	if err != nil || v == nil {
		return p, err
	}
	p, ok := PositionOf(v)
	if !ok || len(v) != PositionSize {
		return Position{}, fmt.Errorf("meta %s: %w", key, store.ErrBadRecord)
	}
	return p, nil
}

// WritePosition keeps a position in meta, under a key of the caller's.
func WritePosition(tx *store.Tx, key []byte, p Position) error {
	return tx.Bucket(store.Meta).Put(key, p.AppendTo(make([]byte, 0, PositionSize)))
}
