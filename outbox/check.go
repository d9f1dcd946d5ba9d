package outbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"

	"countersign/outbox/store"
)

// checker is the outbox's store.Auditor. Sums of hashes compare what lies in two buckets in
// different orders, in memory that does not grow with them.
type checker struct {
	counted, found map[string]int64 // owed and dead of each endpoint: as kept in meta, and as they are
	lanes, heads   uint64           // lanes that owe something, and lanes that have a head
	owed, listed   uint64           // rejections that are owed, and those that are listed as owed
	named, naming  uint64           // rejections, and those that stand in the index by id
	open, aged     uint64           // rejections that nobody has acknowledged, and those that stand in the index by age
	led, leading   uint64           // what should lead to dead deliveries, and what does
	lane           []byte
	malformed      map[store.Name]int
}

// NewAuditor looks at what an outbox keeps, in whichever part of the file: each lane that owes something has one head, each
// rejection owed is listed and stands in the index by age, and the counts kept are right.
func NewAuditor(uint8) store.Auditor {
	return &checker{counted: map[string]int64{}, found: map[string]int64{}, malformed: map[store.Name]int{}}
}

// Record implements store.Auditor.
func (c *checker) Record(n store.Name, key, body []byte) {
	ok := true
	switch n {
	case store.Meta:
		if name := string(key); strings.HasPrefix(name, "outbox/") && len(body) == 8 {
			c.counted[name] = int64(binary.BigEndian.Uint64(body)) //nolint:gosec // written by tally
		}
	case store.Deliveries:
		ok = c.delivery(key, body)
	case store.Due:
		ok = c.head(key, body)
	case store.Withheld:
		ok = c.withheld(key, body)
	case store.Attempts:
		_, named := splitDelivery(key[:max(0, len(key)-2)])
		_, _, _, ok = decodeTry(body)
		ok = ok && named
	case store.Answers:
		place, named := placeOf(key)
		s, d, sound := decodeSaid(body)
		ok = named && sound && byte(s.number%answerPlaces) == place && d == digest(s.text)
	case store.Dead:
		ok = c.dead(key, body)
	default:
	}
	if !ok {
		c.malformed[n]++
	}
}

// head looks at a head, or at what says where one stands.
func (c *checker) head(key, body []byte) bool {
	if isPlace(key) {
		return len(body) == 9 && class(body[0]) < classes
	}
	endpoint, _, _, lane, ok := splitDue(key)
	_, readable := decodeHead(body)
	if !ok || !readable {
		return false
	}
	c.heads += laneHash(endpoint, lane)
	return true
}

func (c *checker) delivery(key, body []byte) bool {
	d, ok := splitDelivery(key)
	if !ok || decodeDelivery(body, &d) != nil {
		return false
	}
	c.found[string(owedKey(d.Endpoint))]++
	if !bytes.Equal(c.lane, key[:len(key)-8]) {
		c.lane = append(c.lane[:0], key[:len(key)-8]...)
		c.lanes += laneHash(d.Endpoint, d.Lane)
	}
	if d.Restrictive {
		c.owed += xxhash.Sum64(key)
	}
	return true
}

// dead looks at a dead delivery, or at what leads to one.
func (c *checker) dead(key, body []byte) bool {
	if !isDead(key) {
		c.leading += xxhash.Sum64(key)
		return true
	}
	d, _, err := readDead(key, body)
	if err != nil {
		return false
	}
	c.found[string(deadKey(d.Endpoint))]++
	c.led += xxhash.Sum64(d.timeKey()) + xxhash.Sum64(d.idKey())
	return true
}

func (c *checker) withheld(key, body []byte) bool {
	switch {
	case len(key) < 2:
		return false
	case key[0] == byID, key[0] == byDone:
		c.naming += xxhash.Sum64(key)
		return len(body) > 8
	case key[0] == byRoom:
		return len(body) == 0
	case key[0] != byLane:
		c.aged += xxhash.Sum64(key)
		endpoint, _, _ := bytes.Cut(key, []byte{0})
		c.found[string(withheldCountKey(string(endpoint)))]++
		return true
	}
	d, ok := splitDelivery(key[1:])
	w := &withheldRecord{}
	if !ok || !w.decode(body) {
		return false
	}
	c.named += xxhash.Sum64(w.idKey(d.Endpoint))
	if w.Dead == "" {
		c.listed += xxhash.Sum64(key[1:])
		c.found[string(rejectionsKey(d.Endpoint))]++
	}
	if w.Acknowledged == nil {
		c.open += xxhash.Sum64(w.ageKey(d.Endpoint, d.Lane, d.Sequence))
	}
	return true
}

// Problems implements store.Auditor.
func (c *checker) Problems() (ps []string) {
	if c.lanes != c.heads {
		ps = append(ps, "lanes in deliveries and their heads in due differ")
	}
	if c.owed != c.listed {
		ps = append(ps, "rejections in deliveries and those listed in withheld differ")
	}
	if c.open != c.aged {
		ps = append(ps, "rejections in withheld and their index by age differ")
	}
	if c.named != c.naming {
		ps = append(ps, "rejections in withheld and their index by id differ")
	}
	if c.led != c.leading {
		ps = append(ps, "dead-lettered deliveries and their index differ")
	}
	for name, n := range c.found {
		if c.counted[name] != n {
			ps = append(ps, fmt.Sprintf("meta says that %s is %d, and it is %d", name, c.counted[name], n))
		}
	}
	for name, n := range c.counted {
		if _, ok := c.found[name]; !ok && n != 0 {
			ps = append(ps, fmt.Sprintf("meta says that %s is %d, and it is 0", name, n))
		}
	}
	for n, count := range c.malformed {
		ps = append(ps, fmt.Sprintf("%d records of %s are not what they should be", count, n))
	}
	return ps
}

// splitDelivery undoes deliveryKey.
func splitDelivery(key []byte) (d Delivery, ok bool) {
	if len(key) < 11 {
		return d, false
	}
	endpoint, rest, ok := bytes.Cut(key[:len(key)-8], []byte{0})
	lane, ended := bytes.CutSuffix(rest, []byte{0})
	return Delivery{Endpoint: string(endpoint), Lane: string(lane), Sequence: sequence(key)}, ok && ended
}
