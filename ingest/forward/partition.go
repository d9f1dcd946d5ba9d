package forward

import "encoding/binary"

// PartitionOf is the partition of a key among n, n > 0: the one that Java's producer chooses, so
// that whoever else writes to a topic keeps a person's records together. It is the same for ever.
func PartitionOf(key []byte, n int) int32 {
	return int32(int(murmur2(key)&0x7fffffff) % n) //nolint:gosec // below n, which Kafka counts in 32 bits
}

// murmur2 is org.apache.kafka.common.utils.Utils.murmur2.
func murmur2(b []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := seed ^ uint32(len(b)) //nolint:gosec // as Java has it; keys are short
	for ; len(b) >= 4; b = b[4:] {
		k := binary.LittleEndian.Uint32(b) * m
		k ^= k >> r
		h = h*m ^ k*m
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
