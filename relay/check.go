package relay

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"countersign/ingest/journal"
	"countersign/outbox/store"
)

// checker is the relay's store.Auditor. Sums of hashes compare what lies in two buckets in
// different orders, in memory that does not grow with them.
type checker struct {
	position, next   journal.Position // next: the zero one, if the log is not in this part
	waiting, held    int64            // records nobody is known for: as kept in meta, and as they are
	due, timed       uint64           // timers that states ask for, and those that are there
	waits, places    uint64           // records that wait, and the order of their arrival
	claims, listed   uint64           // refs that are contested, and those that are listed as such
	stands, stood    uint64           // places in the standings that states ask for, and those that are there
	counted, holds   [2]int64         // of them with a match, test and live: as kept in meta, and as they are
	entered, indexed uint64           // entries of the history, and outcomes, that the index should have, and has
	malformed        map[store.Name]int
}

// NewAuditor looks at what the relay keeps: its place is in the journal, states can be read, timers
// are where they ask for them, and the index finds what is in the history. Of a partition's part it
// does not know the log.
func NewAuditor(part uint8) store.Auditor {
	c := &checker{malformed: map[store.Name]int{}}
	if part == 0 {
		c.next = journal.At(1)
	}
	return c
}

// Record implements store.Auditor.
func (c *checker) Record(n store.Name, key, body []byte) {
	ok := true
	switch n {
	case store.Meta:
		c.meta(key, body)
	case store.Subjects:
		s := &subject{lane: string(key)}
		if ok = s.decode(body) == nil; !ok {
			break
		}
		if s.Timer != 0 {
			c.due += xxhash.Sum64(timerKey(s.Timer, s.lane))
		}
		if ok = s.Stands == standingOf(&s.State); ok {
			c.stands += xxhash.Sum64(standingKey(s.Stands, s.lane))
		}
	case store.Standings:
		c.standing(key)
	case store.Timers:
		c.timed += xxhash.Sum64(key)
	case store.History:
		_, _, readable := entry(body)
		ok = readable && len(key) >= historyHead
		c.list(n, key, body)
	case store.Outcomes:
		_, ok = readOutcome(key, body)
		c.list(n, key, body)
	case store.Index:
		if _, told := splitDelivered(key); told {
			d := &delivered{}
			ok = d.decode(body) == nil
			break
		}
		c.indexed += xxhash.Sum64(key)
	case store.Refs:
		ok = c.ref(key, body)
	default:
	}
	if !ok {
		c.malformed[n]++
	}
}

// ref counts what stands in the refs bucket, and reports whether it can be read.
func (c *checker) ref(key, body []byte) bool {
	ref, at, _ := waitsAt(key)
	switch {
	case bytes.HasPrefix(key, []byte("h\x00")) && len(body) > 0:
		c.held++
		c.waits += xxhash.Sum64(heldKey(ref, at))
	case bytes.HasPrefix(key, []byte("p\x00")):
		c.places += xxhash.Sum64(heldKey(string(body), at))
	case bytes.HasPrefix(key, contestKey("")):
		c.listed += xxhash.Sum64(key)
	case bytes.HasPrefix(key, []byte(strandPrefix)):
		var s refStrand
		if s.decode(body) != nil {
			return false
		}
		if len(s.contenders()) > 0 {
			c.claims += xxhash.Sum64(contestKey(string(key[len(strandPrefix):])))
		}
	}
	return true
}

// list counts what the index should have of a record.
func (c *checker) list(n store.Name, key, body []byte) {
	if at := placeInIndex(n, key, body); at != nil {
		c.entered += xxhash.Sum64(at)
	}
}

func (c *checker) meta(key, body []byte) {
	if next, ok := journal.NextOf(key, body); ok {
		c.next = next
	}
	if at, ok := journal.PositionOf(body); ok && string(key) == string(positionKey) {
		c.position = at
	}
	for name, to := range map[string]*int64{
		string(unroutedCountKey):        &c.waiting,
		string(countKey(heldIn(false))): &c.counted[0], string(countKey(heldIn(true))): &c.counted[1],
	} {
		if string(key) == name && len(body) == 8 {
			*to = int64(binary.BigEndian.Uint64(body)) //nolint:gosec // written by SetNumber
		}
	}
}

// Problems implements store.Auditor.
func (c *checker) Problems() (ps []string) {
	known := c.next.Offset > 0
	if known && c.position.Offset >= c.next.Offset {
		ps = append(ps, fmt.Sprintf("the relay has evaluated up to %d, and the journal's next offset is %d", c.position.Offset, c.next.Offset))
	}
	if known && c.position.Offset > 0 && c.position.Partition != c.next.Partition {
		ps = append(ps, fmt.Sprintf("the relay has evaluated log %d, and the journal is log %d", c.position.Partition, c.next.Partition))
	}
	if c.waiting != c.held {
		ps = append(ps, fmt.Sprintf("meta says that %d records are held, and there are %d", c.waiting, c.held))
	}
	if c.waits != c.places {
		ps = append(ps, "the records that are held and the order of their arrival differ")
	}
	if c.claims != c.listed {
		ps = append(ps, "the refs that are contested and the list of them differ")
	}
	if c.due != c.timed {
		ps = append(ps, "timers and what the states of subjects ask for differ")
	}
	if c.stands != c.stood {
		ps = append(ps, "the standings and what the states of subjects ask for differ")
	}
	if c.counted != c.holds {
		ps = append(ps, fmt.Sprintf("meta says that %d test and %d live subjects are held, and there are %d and %d", c.counted[0], c.counted[1], c.holds[0], c.holds[1]))
	}
	if c.entered != c.indexed {
		ps = append(ps, "the history and its index differ")
	}
	for n, count := range c.malformed {
		ps = append(ps, fmt.Sprintf("%d records of %s are not what they should be", count, n))
	}
	return ps
}
