package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"countersign/ingest/forward"
	"countersign/relay"
)

// A checkpoint in the topic countersign.subjects. Its key is that of its strand and its owner's
// generation, so that nobody takes the place of another owner's:
//
//	strand 0x00 generation             part 0: it counts once it is there
//	STRAND 0x00 generation sum part    a further part, which is there before part 0 is: the byte for the
//	                                   kind of strand is upper case, and the XXH64 of its piece of the body
//	                                   is in the key, so that it takes the place of no part that is another
//
// Its value, of part 0:
//
//	format, upto, number of further parts, XXH64 of each of their pieces, XXH64 of the key and all of
//	this but itself, the body or the first of it
//
// and of a further part its format, XXH64 of the key and of what follows, and what follows.

const (
	subjectsFormat = 1
	partSize       = 700 << 10 // bytes of a body in one record, at most: brokers take 1 MiB by default
	generationSize = 8
	partTail       = 1 + generationSize + 8 + 2 // of a further part's key
	headTail       = 1 + generationSize
)

// ErrCheckpoint says that a checkpoint is damaged, or not all of it is there. Nobody may go on from
// what is left: a watermark rests on it.
var ErrCheckpoint = errors.New("a checkpoint is damaged")

// checkpointKey is a record's place in the topic, taken apart.
type checkpointKey struct {
	strand     relay.Strand
	generation uint64
	sum        uint64 // of a further part: of its piece
	part       int    // 0, or which further part
}

func (k *checkpointKey) encode() []byte {
	b := append([]byte(k.strand), 0)
	b = binary.BigEndian.AppendUint64(b, k.generation)
	if k.part == 0 {
		return b
	}
	b[0] -= 'a' - 'A'
	b = binary.BigEndian.AppendUint64(b, k.sum)
	return binary.BigEndian.AppendUint16(b, uint16(k.part)) //nolint:gosec // encode cuts no more
}

// readCheckpointKey undoes encode; not ok: it is no key of ours.
func readCheckpointKey(b []byte) (k checkpointKey, ok bool) {
	if len(b) < 1+headTail {
		return k, false
	}
	tail := headTail
	if b[0] >= 'A' && b[0] <= 'Z' {
		tail = partTail
	}
	n := len(b) - tail
	if n < 1 || b[n] != 0 {
		return k, false
	}
	k.strand, k.generation = relay.Strand(b[:n]), binary.BigEndian.Uint64(b[n+1:])
	if tail == partTail {
		k.strand = relay.Strand(b[0]+'a'-'A') + k.strand[1:]
		k.sum, k.part = binary.BigEndian.Uint64(b[n+9:]), int(binary.BigEndian.Uint16(b[n+17:]))
		return k, k.part > 0
	}
	return k, true
}

// encodeCheckpoint is a checkpoint as records of the topic: the further parts, which are to be
// acknowledged before the last, which is part 0. No piece of the body is larger than size.
func encodeCheckpoint(c *relay.Checkpoint, generation uint64, size int, at time.Time) []*forward.Message {
	key := checkpointKey{strand: c.Strand, generation: generation}
	first, rest := c.Body[:min(len(c.Body), size)], c.Body[min(len(c.Body), size):]
	var ms []*forward.Message
	var sums []uint64
	for len(rest) > 0 {
		key.part++
		n := min(len(rest), size)
		key.sum = xxhash.Sum64(rest[:n])
		m := &forward.Message{Key: key.encode(), Time: at}
		m.Value = sealed(m.Key, []byte{subjectsFormat}, rest[:n])
		sums = append(sums, key.sum)
		ms, rest = append(ms, m), rest[n:]
	}
	key.part = 0
	head := binary.BigEndian.AppendUint64([]byte{subjectsFormat}, uint64(c.Upto)) //nolint:gosec // offsets are positive
	head = binary.BigEndian.AppendUint16(head, uint16(len(sums)))                 //nolint:gosec // 65,535 parts are 45 GB
	for _, sum := range sums {
		head = binary.BigEndian.AppendUint64(head, sum)
	}
	m := &forward.Message{Key: key.encode(), Time: at}
	m.Value = sealed(m.Key, head, first)
	return append(ms, m)
}

// sealed is a head, the sum of the key, the head and the body, and the body.
func sealed(key, head, body []byte) []byte {
	b := append(make([]byte, 0, len(head)+8+len(body)), head...)
	b = binary.BigEndian.AppendUint64(b, sumOf(key, head, body))
	return append(b, body...)
}

func sumOf(key, head, body []byte) uint64 {
	h := xxhash.New()
	for _, b := range [][]byte{key, head, body} {
		_, _ = h.Write(b) // it never fails
	}
	return h.Sum64()
}

// part is a record of the topic, taken apart.
type part struct {
	upto int64    // of part 0
	sums []uint64 // of part 0: of the pieces of its further parts
	body []byte
}

func readPart(k *checkpointKey, key, value []byte) (p part, err error) {
	bad := fmt.Errorf("of owner %d, part %d: %w", k.generation, k.part, ErrCheckpoint)
	n := 1
	if k.part == 0 {
		if n = 1 + 8 + 2; len(value) < n {
			return p, bad
		}
		p.upto = int64(binary.BigEndian.Uint64(value[1:])) //nolint:gosec // the sum holds it
		further := int(binary.BigEndian.Uint16(value[9:]))
		if len(value) < n+8*further+8 {
			return p, bad
		}
		for i := range further {
			p.sums = append(p.sums, binary.BigEndian.Uint64(value[n+8*i:]))
		}
		n += 8 * further
	}
	if len(value) < n+8 || value[0] != subjectsFormat || binary.BigEndian.Uint64(value[n:]) != sumOf(key, value[:n], value[n+8:]) {
		return p, bad
	}
	p.body = value[n+8:]
	return p, nil
}
