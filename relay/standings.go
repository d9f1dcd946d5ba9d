package relay

import (
	"bytes"
	"context"
	"strings"

	"github.com/cespare/xxhash/v2"

	"countersign/kyc"
	"countersign/outbox/store"
)

// Who stands how is found by an index, so that a list of the few among many looks at those few:
//
//	standings  mode standing lane   without a body
//
// Each subject stands in it once, live ones and test ones apart. The fold moves the entry in the
// transaction that moves the subject, and only when its status, or whether a match holds it, has
// changed. How many are held is counted beside it (counts).

// standing is where a subject stands in the index: its status, and whether a sanctions or PEP match
// stands that nobody has released. 0: nowhere.
type standing byte

// heldStanding is the bit of a standing that a match holds.
const heldStanding standing = 0x20

// firstStanding is the standing of the first of kyc.Statuses, which only ever get longer.
const firstStanding standing = 'A'

// standingOf is how a state stands.
func standingOf(s *kyc.State) standing {
	status := s.Status()
	for i := range kyc.Statuses {
		if kyc.Statuses[i] == status {
			return standingAs(i, s.Held() > 0)
		}
	}
	return firstStanding
}

func standingAs(status int, held bool) standing {
	at := firstStanding + standing(status) //nolint:gosec // there are a few
	if held {
		at |= heldStanding
	}
	return at
}

func (s standing) held() bool { return s&heldStanding != 0 }

// status is of which status it is; "": it is none.
func (s standing) status() kyc.Status {
	if i := int(s&^heldStanding) - int(firstStanding); i >= 0 && i < len(kyc.Statuses) {
		return kyc.Statuses[i]
	}
	return ""
}

// standingsOf are those of a status ("": all), held or not where that is asked for.
func standingsOf(status kyc.Status, held bool) (all []standing) {
	for i := range kyc.Statuses {
		if status != "" && kyc.Statuses[i] != status {
			continue
		}
		if all = append(all, standingAs(i, true)); !held {
			all = append(all, standingAs(i, false))
		}
	}
	return all
}

// The modes, as keys begin with them.
const (
	standsLive = 'l'
	standsTest = 't'
)

// testSuffix ends the lanes of test subjects.
const testSuffix = "\x01t"

func standingMode(live bool) byte {
	if live {
		return standsLive
	}
	return standsTest
}

func standingKey(s standing, lane string) []byte {
	return appendStandingKey(make([]byte, 0, 2+len(lane)), s, lane)
}

func appendStandingKey(k []byte, s standing, lane string) []byte {
	return append(append(k, standingMode(!strings.HasSuffix(lane, testSuffix)), byte(s)), lane...)
}

// splitStanding undoes standingKey; a key that is damaged has no lane.
func splitStanding(k []byte) (live bool, s standing, lane string) {
	if len(k) < 3 {
		return false, 0, ""
	}
	return k[0] == standsLive, standing(k[1]), string(k[2:])
}

// heldIn names the count of those whom a match holds.
func heldIn(live bool) string { return "held/" + string(standingMode(live)) }

// Held is how many live persons, or test persons, a sanctions or PEP match holds that nobody has
// released.
func (r *Relay) Held(live bool) int64 { return r.counts.of(heldIn(live)) }

// setStanding moves the subject's entry to where its state has it.
func (b *batch) setStanding(s *subject) {
	is := standingOf(&s.State)
	if is == s.Stands {
		return
	}
	if s.Stands != 0 {
		b.put(store.Standings, b.standingKey(s), nil)
		b.countHeld(s, -1)
	}
	s.Stands = is
	b.put(store.Standings, b.standingKey(s), b.room.bare())
	b.countHeld(s, 1)
}

// standingKey is where the subject's entry stands.
func (b *batch) standingKey(s *subject) []byte {
	return b.room.end(appendStandingKey(b.room.begin(2+len(s.lane)), s.Stands, s.lane))
}

func (b *batch) countHeld(s *subject, by int64) {
	if s.Stands.held() {
		b.counted[heldIn(!strings.HasSuffix(s.lane, testSuffix))] += by
	}
}

// unstand takes away the entry of a subject whose state is lost: where it stands, only the index
// itself says.
func (b *batch) unstand(lane string) {
	for _, s := range standingsOf("", false) {
		if k := standingKey(s, lane); b.tx.Bucket(store.Standings).Has(k) {
			b.put(store.Standings, k, nil)
			b.countHeld(&subject{lane: lane, Stands: s}, -1)
		}
	}
}

// standings are the entries of a person: one, or none.
func (w *whereabouts) standings(tx *store.Tx) (keys [][]byte) {
	for _, s := range standingsOf("", false) {
		if k := standingKey(s, w.lane); tx.Bucket(store.Standings).Has(k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (w *whereabouts) showStanding(k, _ []byte) any {
	_, s, _ := splitStanding(k)
	return struct {
		Status kyc.Status `json:"status"`
		Held   bool       `json:"held"`
	}{s.status(), s.held()}
}

// restandAll makes the index right after a repair: what a state asks for is there, nothing else is,
// and those who are held are counted.
func (r *Relay) restandAll(ctx context.Context) error {
	put := func(tx *store.Tx, ks [][]byte) error {
		for _, k := range ks {
			if err := tx.Bucket(store.Standings).Put(k); err != nil {
				return err
			}
		}
		return nil
	}
	err := r.sweepBucket(ctx, store.Subjects, func(tx *store.Tx, k, v []byte) [][]byte {
		s := &subject{lane: string(k)}
		if s.decode(v) != nil || s.Stands == 0 || tx.Bucket(store.Standings).Has(standingKey(s.Stands, s.lane)) {
			return nil
		}
		return [][]byte{standingKey(s.Stands, s.lane)}
	}, put)
	if err != nil {
		return err
	}
	held := map[bool]int64{}
	err = r.sweepBucket(ctx, store.Standings, func(tx *store.Tx, k, _ []byte) [][]byte {
		live, is, lane := splitStanding(k)
		v, err := tx.Bucket(store.Subjects).Get([]byte(lane))
		if s := (&subject{lane: lane}); err == nil && v != nil && s.decode(v) == nil && bytes.Equal(standingKey(s.Stands, lane), k) {
			if is.held() {
				held[live]++
			}
			return nil
		}
		return [][]byte{bytes.Clone(k)}
	}, func(tx *store.Tx, ks [][]byte) error {
		for _, k := range ks {
			if err := tx.Bucket(store.Standings).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.o.Store.Update(ctx, func(tx *store.Tx) error {
		for _, live := range []bool{true, false} {
			tx.OnCommit(func() { r.counts.set(heldIn(live), held[live]) })
			if err := tx.SetNumber(countKey(heldIn(live)), held[live]); err != nil {
				return err
			}
		}
		return nil
	})
}

// standing counts an entry of the index, for the check.
func (c *checker) standing(key []byte) {
	c.stood += xxhash.Sum64(key)
	if live, s, _ := splitStanding(key); s.held() {
		c.holds[modeAt(live)]++
	}
}

func modeAt(live bool) int {
	if live {
		return 1
	}
	return 0
}
