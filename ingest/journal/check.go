package journal

import (
	"encoding/binary"
	"fmt"

	"countersign/outbox/store"
)

// checker is the journal's store.Auditor.
type checker struct {
	next, trimmed, kept, items int64
	last                       int64
	malformed                  int
}

// NewAuditor looks at what the journal keeps: offsets are below the next one, and the number of
// bodies in quarantine is right.
func NewAuditor() store.Auditor { return &checker{next: 1} }

// Record implements store.Auditor.
func (c *checker) Record(n store.Name, key, body []byte) {
	switch n {
	case store.Meta:
		for name, to := range map[string]*int64{string(nextKey): &c.next, string(trimmedKey): &c.trimmed, string(countKey): &c.kept} {
			if string(key) == name && len(body) == 8 {
				*to = int64(binary.BigEndian.Uint64(body)) //nolint:gosec // written by SetNumber
			}
		}
	case store.Journal:
		at, ok := PositionOf(key)
		if _, err := decode(body); err != nil || !ok || len(key) != PositionSize || at.Partition != 0 {
			c.malformed++
			return
		}
		c.last = max(c.last, at.Offset)
	case store.Quarantine:
		c.items++
	default:
	}
}

// Problems implements store.Auditor.
func (c *checker) Problems() (ps []string) {
	if c.last >= c.next || c.trimmed >= c.next {
		ps = append(ps, fmt.Sprintf("the journal's next offset is %d, and it has %d and has forgotten %d", c.next, c.last, c.trimmed))
	}
	if c.items != c.kept {
		ps = append(ps, fmt.Sprintf("meta says that %d bodies are in quarantine, and there are %d", c.kept, c.items))
	}
	if c.malformed > 0 {
		ps = append(ps, fmt.Sprintf("%d records of the journal are not what they should be", c.malformed))
	}
	return ps
}

// NextOffset is what meta's record of the journal's next offset says, for whoever has a place in
// it.
func NextOffset(key, body []byte) (next int64, ok bool) {
	if string(key) != string(nextKey) || len(body) != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(body)), true //nolint:gosec // written by SetNumber
}
