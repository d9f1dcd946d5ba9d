package journal

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"countersign/outbox/store"
)

// checker is the journal's store.Auditor.
type checker struct {
	next, trimmed Position
	kept, items   int64
	ends          map[int32]int64 // by partition: the highest offset that there is
	malformed     int
}

// NewAuditor looks at what the journal keeps: all of it is of the log that the next record is of,
// offsets are below the next one, and the number of bodies in quarantine is right. It is in the
// node's own part of the file, and no other.
func NewAuditor(part uint8) store.Auditor {
	if part != 0 {
		return nil
	}
	return &checker{next: At(1), ends: map[int32]int64{}}
}

// Record implements store.Auditor.
func (c *checker) Record(n store.Name, key, body []byte) {
	switch n {
	case store.Meta:
		for name, to := range map[string]*Position{string(nextKey): &c.next, string(trimmedKey): &c.trimmed} {
			if at, ok := PositionOf(body); ok && string(key) == name {
				*to = at
			}
		}
		if string(key) == string(countKey) && len(body) == 8 {
			c.kept = int64(binary.BigEndian.Uint64(body)) //nolint:gosec // written by SetNumber
		}
	case store.Journal:
		at, ok := PositionOf(key)
		if _, err := decode(body); err != nil || !ok || len(key) != PositionSize {
			c.malformed++
			return
		}
		c.ends[at.Partition] = max(c.ends[at.Partition], at.Offset)
	case store.Quarantine:
		c.items++
	default:
	}
}

// Problems implements store.Auditor.
func (c *checker) Problems() (ps []string) {
	last := c.ends[c.next.Partition]
	if last >= c.next.Offset || c.trimmed.Offset >= c.next.Offset {
		ps = append(ps, fmt.Sprintf("the journal's next offset is %d, and it has %d and has forgotten %d", c.next.Offset, last, c.trimmed.Offset))
	}
	delete(c.ends, c.next.Partition)
	if others := slices.Sorted(maps.Keys(c.ends)); len(others) > 0 || c.trimmed.Offset > 0 && c.trimmed.Partition != c.next.Partition {
		ps = append(ps, fmt.Sprintf("the journal is log %d, and it has records of %v and has forgotten those of log %d", c.next.Partition, others, c.trimmed.Partition))
	}
	if c.items != c.kept {
		ps = append(ps, fmt.Sprintf("meta says that %d bodies are in quarantine, and there are %d", c.kept, c.items))
	}
	if c.malformed > 0 {
		ps = append(ps, fmt.Sprintf("%d records of the journal are not what they should be", c.malformed))
	}
	return ps
}

// NextOf is what meta's record of where the journal's next record goes says, for whoever has a
// place in it.
func NextOf(key, body []byte) (next Position, ok bool) {
	if string(key) != string(nextKey) {
		return next, false
	}
	return PositionOf(body)
}
