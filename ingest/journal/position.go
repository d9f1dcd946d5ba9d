package journal

import (
	"cmp"
	"encoding/binary"
)

// Position is a place in the log. The zero value is before its first record.
type Position struct {
	Partition int32 // of the Kafka topic; 0 in the embedded log
	Offset    int64 // of the record; the first is 1
}

// PositionSize is how many bytes a position takes in a key: four of the partition, eight of the
// offset. This is the one place that knows: whoever keeps something by a record's position keeps it
// by this.
const PositionSize = 12

// At is a place in the embedded log.
func At(offset int64) Position { return Position{Offset: offset} }

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
