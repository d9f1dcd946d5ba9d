package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"countersign/outbox/store"
)

// What is kept of one person can be given away, and taken elsewhere: what is owed with its head and
// its schedule, what is dead, what is withheld, and the row of what waits for room. It goes as it
// stands in the file:
//
//	format, then for each record: bucket, key, body; key and body with their lengths before them
//
// What went wrong with each try stays behind, and so do texts of answers: what a try needs to know
// of those before it is in the head.

// givenFormat is raised with any change of the records that are given away.
const givenFormat = 1

var givenBuckets = []store.Name{store.Deliveries, store.Due, store.Withheld, store.Dead}

// ErrInFlight says that something of a lane is being tried.
var ErrInFlight = errors.New("something of the lane is in flight")

// Give is everything that is kept of a lane at these endpoints, served or not, for Take. They are
// the ids under which it is kept: of whoever was renamed the one of today, and until Rename has
// ended the one before as well. It looks at what it gives, and a few times at each of the endpoints.
// What is in flight is given as it is owed. store.ErrBadRecord: some of it is damaged, or a lane has
// lost its head; a claim, Mend and Repair see to that.
func Give(tx *store.Tx, lane string, endpoints ...string) ([]byte, error) {
	endpoints = slices.Compact(slices.Sorted(slices.Values(endpoints)))
	b := []byte{givenFormat}
	for _, n := range givenBuckets {
		for _, e := range endpoints {
			for _, k := range whereaboutsAt(tx, n, lane, e) {
				v, err := tx.Bucket(n).Get(k)
				if err != nil {
					return nil, fmt.Errorf("give a lane of %s: %w", e, err)
				}
				b = appendGiven(b, given{n, k, v})
			}
		}
	}
	for _, e := range endpoints {
		if _, head := locate(tx, e, lane); laneHasMore(tx, e, lane) != (head != nil) {
			return nil, fmt.Errorf("give a lane of %s, which has no head: %w", e, store.ErrBadRecord)
		}
	}
	return b, nil
}

// Take puts what Give gave in the place of whatever is kept of the lane, in the caller's
// transaction. endpoints are all at which either has anything. Nothing of the lane may be claimed
// meanwhile, and ErrInFlight refuses where something is in flight: the attempt would settle what it
// was not made for. store.ErrBadRecord: it is no lane of these endpoints, or of another format.
// After an error the transaction has to end without a commit.
func (b *Outbox) Take(tx *store.Tx, lane string, is []byte, endpoints ...string) error {
	endpoints = slices.Compact(slices.Sorted(slices.Values(endpoints)))
	for _, e := range endpoints {
		if l := b.of(e); l != nil && l.inFlight(lane) != 0 {
			return fmt.Errorf("take a lane of %s: %w", e, ErrInFlight)
		}
	}
	records, ok := readGiven(is)
	if !ok {
		return fmt.Errorf("take a lane: %w", store.ErrBadRecord)
	}
	t := b.tally()
	if err := b.leaveAll(tx, t, lane, endpoints); err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		if err := errors.Join(t.count(tx, r, 1), tx.Bucket(r.bucket).Put(r.key, r.body)); err != nil {
			return err
		}
	}
	if now, err := Give(tx, lane, endpoints...); err != nil || !bytes.Equal(now, is) { // so nothing of anybody else was touched
		return errors.Join(err, fmt.Errorf("take a lane: it is not what it says: %w", store.ErrBadRecord))
	}
	for _, e := range endpoints {
		if l := b.of(e); l != nil {
			tx.OnCommit(func() {
				l.pending.forget(lane)
				l.rush.Store(true)
				l.signal()
			})
		}
	}
	return t.write(tx)
}

// leaveAll takes away what is kept of a lane at some endpoints.
func (b *Outbox) leaveAll(tx *store.Tx, t *tally, lane string, endpoints []string) (err error) {
	var was []given
	for _, n := range givenBuckets {
		for _, e := range endpoints {
			for _, k := range whereaboutsAt(tx, n, lane, e) {
				v, _ := tx.Bucket(n).Get(k) // a damaged one goes like any other
				was = append(was, given{n, k, v})
			}
		}
	}
	for i := range was { // when all are found: some are found by others
		err = errors.Join(err, t.count(tx, &was[i], -1), tx.Bucket(was[i].bucket).Delete(was[i].key))
	}
	return err
}

// given is one record that is given away.
type given struct {
	bucket    store.Name
	key, body []byte
}

func appendGiven(b []byte, g given) []byte {
	b = append(b, byte(g.bucket)) //nolint:gosec // buckets are few, and of no part
	for _, s := range [][]byte{g.key, g.body} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// readGiven undoes appendGiven; not ok: it is something else. The records are parts of b.
func readGiven(b []byte) (records []given, ok bool) {
	r := &reader{b: b}
	if r.byte() != givenFormat {
		return nil, false
	}
	for len(r.b) > 0 && !r.failed {
		g := given{bucket: store.Name(r.byte())}
		g.key = r.take(int(r.number()))  //nolint:gosec // what is no length is none of what is left
		g.body = r.take(int(r.number())) //nolint:gosec // the same
		if len(g.key) == 0 || !slices.Contains(givenBuckets, g.bucket) {
			return nil, false
		}
		records = append(records, g)
	}
	return records, !r.failed
}

// count moves what is counted of an endpoint by a record that comes, or goes.
func (t *tally) count(tx *store.Tx, g *given, by int64) error {
	d, _ := splitDelivery(g.key)
	switch w := (&withheldRecord{}); {
	case g.bucket == store.Deliveries:
		t.owed[d.Endpoint] += by
	case g.bucket == store.Dead && isDead(g.key):
		t.dead[d.Endpoint] += by
	case g.bucket != store.Withheld:
	case g.key[0] == byLane && d.Endpoint != "" && w.decode(g.body) && w.Dead == "":
		return add(tx, string(rejectionsKey(d.Endpoint[1:])), by)
	case g.key[0] > lastMark:
		endpoint, _, _ := bytes.Cut(g.key, []byte{0})
		return add(tx, string(withheldCountKey(string(endpoint))), by)
	}
	return nil
}
