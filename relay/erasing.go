package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// An erasure goes through the table of whereabouts, bucket by bucket, a bounded part in each
// transaction. The order is such that whatever finds something goes after it: a process that ends
// in the middle finds the rest. What is owed goes first, so that nobody is told of a person of whom
// half is gone; the state last, so that nothing is taken for a new life before. The journal has no
// part in it: a record that named the person would have to be erased itself.

// eraseOrder is the order of the buckets, or of parts of them. What the outbox keeps goes before all
// of them.
var eraseOrder = append([]string{
	store.Orders.String(), store.Questions.String(), store.Quarantine.String(), waitingPart, store.Forward.String(), store.Receipts.String(), store.Journal.String(), store.Damaged.String(), strandsPart,
}, namesOf(store.Index, store.History, store.Outcomes, store.Timers, store.Standings, store.Aside, store.Subjects)...)

func namesOf(list ...store.Name) (names []string) {
	for _, n := range list {
		names = append(names, n.String())
	}
	return names
}

// outboxErases are the buckets that EraseLane and EraseTries see to.
var outboxErases = []store.Name{store.Deliveries, store.Due, store.Dead, store.Withheld, store.Attempts, store.Answers}

// atOnce go in one transaction, for each says what the other should be.
var atOnce = []store.Name{store.Timers, store.Standings, store.Aside, store.Subjects}

// ours are the kinds of records that were made because of what was known of somebody, and not
// because somebody said something.
var ours = map[kyc.Kind]bool{kyc.Timer: true, kyc.PolicyChange: true, kyc.Redelivery: true}

// erasers are the rows of the table that an erasure goes through.
func (w *whereabouts) erasers() (list []keeper) {
	all := keepers()
	for _, n := range slices.Concat(namesOf(outboxErases...), eraseOrder) {
		k := all[slices.IndexFunc(all, func(k keeper) bool { return k.name() == n })]
		if k.bucket == store.Journal {
			is := k.is
			k.is = func(w *whereabouts, tx *store.Tx, k, v []byte) bool { return w.passed(k, v) && is(w, tx, k, v) }
		}
		list = append(list, k)
	}
	return list
}

// keepOwn leaves of the refs those that lead to nobody else: what others claim too is theirs.
func (w *whereabouts) keepOwn() error {
	return w.r.o.Store.View(func(tx *store.Tx) error {
		for ref := range w.refs {
			s := strandIn(tx, ref)
			if list := s.contenders(); s.leads().lane != w.lane && !claimsAlone(list, w.lane) {
				delete(w.refs, ref)
			}
		}
		return nil
	})
}

// claimsAlone reports whether somebody claims a ref, and nobody else does.
func claimsAlone(list []claim, lane string) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(c claim) bool { return c.Lane != lane })
}

// words are what the person is called: by the partner, and by providers.
func (w *whereabouts) words() (list []string) {
	for _, word := range append([]string{w.id}, w.plainRefs()...) {
		if len(word) > 3 { // shorter ones stand in everything
			list = append(list, word)
		}
	}
	return list
}

func (w *whereabouts) plainRefs() (list []string) {
	for key := range w.refs {
		_, ref, _ := splitRef(key)
		list = append(list, ref)
	}
	return list
}

// upTo is the number up to which anybody may have been told of the person, raised so that a life
// that is folded again finds it out by its first change.
func (w *whereabouts) upTo(ctx context.Context) (uint64, error) {
	t, err := w.tomb()
	if err != nil {
		return 0, err
	}
	last := w.r.floor
	if t != nil {
		last = max(last, t.Floor)
	}
	if s := w.subject; s != nil {
		last = max(last, s.Floor, s.State.Sequence())
		for _, seq := range s.Owed.all() {
			last = max(last, seq)
		}
	}
	history := keeper{bucket: store.History, indexed: (*whereabouts).ofHistory}
	err = w.each(ctx, &history, func(k, _ []byte) error {
		if len(k) == historyHead+8 && k[historyHead-1] == kindChange {
			last = max(last, binary.BigEndian.Uint64(k[historyHead:]))
		}
		return nil
	}, nil)
	return last/floorStep*floorStep + floorStep, err
}

// carryOut takes everything away that is left of somebody. folding is held.
func (r *Relay) carryOut(ctx context.Context, m *mark) (counts map[string]int, err error) {
	partner, id, live := splitLane(m.Lane)
	w, err := r.locate(ctx, partner, id, live)
	if err != nil && !errors.Is(err, outbox.ErrNotFound) {
		return nil, err
	}
	if err := w.keepOwn(); err != nil {
		return nil, err
	}
	for _, ref := range m.Refs {
		w.refs[ref] = true
	}
	counts = map[string]int{}
	gone, err := r.o.Outbox.EraseLane(ctx, m.Lane)
	for n, of := range gone {
		counts[n.String()] = of
	}
	if err != nil {
		return counts, err
	}
	if err := r.erased.goOn(); err != nil {
		return counts, err
	}
	tries, err := r.o.Outbox.EraseTries(ctx, m.Lane, w.words()...)
	counts[store.Attempts.String()], counts[store.Answers.String()] = tries.Tries, tries.Answers
	if err != nil {
		return counts, err
	}
	if err := r.erased.goOn(); err != nil {
		return counts, err
	}
	var last []found
	for _, k := range w.erasers() {
		if slices.Contains(outboxErases, k.bucket) || leftOut(k.name()) {
			continue
		}
		if err := w.eraseBucket(ctx, &k, &last, counts); err != nil {
			return counts, err
		}
	}
	return counts, w.eraseLast(ctx, last, counts)
}

// found is a record that is to go.
type found struct {
	bucket store.Name
	key    []byte
}

// eraseBucket takes away what one bucket keeps. What goes at once with others is put to last.
func (w *whereabouts) eraseBucket(ctx context.Context, at *keeper, last *[]found, counts map[string]int) error {
	var some []found
	return w.each(ctx, at, func(k, _ []byte) error {
		some = append(some, found{at.bucket, bytes.Clone(k)})
		return nil
	}, func() error {
		step := some
		some = nil
		counts[at.name()] += len(step)
		if slices.Contains(atOnce, at.bucket) {
			*last = append(*last, step...)
			return nil
		}
		if len(step) == 0 {
			return nil
		}
		also := map[store.Name]int{}
		err := w.r.o.Store.Update(ctx, func(tx *store.Tx) error { return w.eraseStep(tx, step, also) })
		for n, of := range also {
			counts[n.String()] += of
		}
		if err == nil {
			err = w.r.erased.goOn()
		}
		return err
	})
}

// eraseStep takes some records away, in a transaction that may run more than once. also is how many
// went with them, of other buckets.
func (w *whereabouts) eraseStep(tx *store.Tx, step []found, also map[store.Name]int) error {
	clear(also)
	moved := erasing{w: w, tx: tx, counted: map[string]int64{}, also: also}
	for _, f := range step {
		if err := moved.erase(f); err != nil {
			return err
		}
	}
	return moved.count()
}

// eraseLast takes the state away with what goes by it, and the mark: then it is done.
func (w *whereabouts) eraseLast(ctx context.Context, last []found, counts map[string]int) error {
	r := w.r
	key := r.tombKey(w.lane)
	end, err := r.o.Log.End(ctx)
	if err != nil {
		return err
	}
	var jobs int
	err = r.o.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if err := w.eraseStep(tx, last, map[store.Name]int{}); err != nil {
			return err
		}
		if r.o.Jobs != nil {
			if jobs, err = r.o.Jobs(tx, w.lane, func(text []byte) bool { return reads(text, w.words()) }); err != nil {
				return err
			}
		}
		t, err := r.tombOf(tx, w.lane)
		if err != nil {
			return err
		}
		if t == nil || leftOut(store.Erased.String()) {
			t = &tombstone{}
		}
		t.At = r.o.Now().UTC()
		t.Until = end
		return errors.Join(putErased(tx, tombPrefix+key, t), tx.Bucket(store.Erased).DeleteBoth([]byte(markPrefix+key)))
	})
	if counts[store.Jobs.String()] = jobs; err != nil {
		return err
	}
	r.o.Logger.Info("subject_erased", "subject", key)
	return nil
}

// erasing is one transaction of an erasure.
type erasing struct {
	w       *whereabouts
	tx      *store.Tx
	held    int64 // by which what waits for somebody to be known has moved
	counted map[string]int64
	also    map[store.Name]int
}

// erase takes one record away, with what counts it.
func (e *erasing) erase(f found) error {
	r, b := e.w.r, e.tx.Bucket(f.bucket)
	switch f.bucket {
	case store.Journal, store.Quarantine, store.Questions:
		return r.o.Journaled.TakeAway(e.tx, f.bucket, f.key)
	case store.Forward:
		return e.forward(f.key)
	case store.Index:
		return e.indexed(f.key)
	case store.Refs:
		if ref, ok := strings.CutPrefix(string(f.key), strandPrefix); ok {
			return e.ref(ref)
		}
		return e.unrouted(f.key)
	case store.Timers:
		e.tx.OnCommit(func() { r.timers.forget(string(f.key)); r.timers.wake() })
	case store.Standings:
		if _, stands, _ := splitStanding(f.key); stands.held() {
			e.counted[heldIn(e.w.live)]--
		}
	case store.Aside:
		e.tx.OnCommit(func() { r.aside.end(e.w.lane) })
	default:
	}
	return b.Delete(f.key)
}

// indexed takes an entry of the index away with what it leads to.
func (e *erasing) indexed(k []byte) error {
	place := k[len(indexPrefix(e.w.lane)):]
	for _, key := range e.w.ofHistory(e.tx, place) {
		e.also[store.History]++
		if leftOut(store.History.String()) {
			break
		}
		if err := e.tx.Bucket(store.History).Delete(key); err != nil {
			return err
		}
	}
	for _, key := range e.w.ofOutcomes(e.tx, place) {
		e.also[store.Outcomes]++
		if leftOut(store.Outcomes.String()) {
			break
		}
		if err := e.tx.Bucket(store.Outcomes).Delete(key); err != nil {
			return err
		}
	}
	return e.tx.Bucket(store.Index).Delete(k)
}

// ref takes the person out of what is known of a ref. One that leads to them goes, and one that is
// contested with the last name that claims it. Else only the name does: it leads where it led.
func (e *erasing) ref(ref string) error {
	refs, lane, k := e.tx.Bucket(store.Refs), e.w.lane, strandKey(ref)
	v, err := refs.Get(k)
	if err != nil {
		return refs.Delete(k) // damaged: nobody can say whom else it names
	}
	s := readStrand(v, nil)
	if !s.names(lane) {
		return nil
	}
	s.count(e.counted, -1)
	leads, contested := s.leads().lane == lane, len(s.contenders()) > 0
	s.forget(lane)
	if !leads && (!contested || len(s.contenders()) > 0) {
		s.count(e.counted, 1)
		return refs.Put(k, s.appendTo(nil))
	}
	if contested {
		e.counted[contestedRefs]--
		err = refs.Delete(contestKey(ref))
	}
	return errors.Join(err, refs.Delete(k))
}

// unrouted takes away what waits, wherever it does. A contested ref that nobody else claims goes with
// what is known of it.
func (e *erasing) unrouted(k []byte) error {
	b := e.tx.Bucket(store.Refs)
	if ref, ok := bytes.CutPrefix(k, contestKey("")); ok {
		return e.ref(string(ref))
	}
	if _, at, _ := waitsAt(k); k[0] == 'h' || k[0] == 'p' {
		if h := unroutedIn(e.tx, at); h != nil {
			e.held--
			var u kyc.Update
			_ = json.Unmarshal(h.Body, &u) // what cannot be read waits for one ref only
			for _, ref := range append((&batch{r: e.w.r}).allRefs(&u), h.behind) {
				if err := b.Delete(heldKey(ref, at)); err != nil {
					return err
				}
			}
			if err := b.Delete(placeKey(at)); err != nil {
				return err
			}
		}
	}
	return b.Delete(k)
}

// forward takes the person's changes out of a batch that Kafka has not acknowledged. The batch
// stays, empty if need be: its place is passed like any other.
func (e *erasing) forward(k []byte) error {
	b, f := e.tx.Bucket(store.Forward), e.w.r.feed
	v, err := b.Get(k)
	at, n, ok := splitForwardKey(k)
	if v == nil || err != nil || !ok {
		return nil //nolint:nilerr // acknowledged meanwhile
	}
	ts, _ := decodeDecided(v)
	left := slices.DeleteFunc(ts, func(t decided) bool { return e.w.isOf(&t.change) })
	e.tx.OnCommit(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.waiting -= n - int64(len(left))
		f.drop(at)
	})
	return errors.Join(b.Delete(k), b.PutRecord(forwardKey(at, len(left)), encodeDecided(left)))
}

// count writes what has moved of what is counted.
func (e *erasing) count() error {
	for name, by := range e.counted {
		if err := e.w.r.bump(e.tx, name, by); err != nil {
			return err
		}
	}
	if e.held == 0 {
		return nil
	}
	n, err := e.tx.Number(unroutedCountKey)
	if err != nil {
		return err
	}
	n += e.held
	e.tx.OnCommit(func() { e.w.r.unrouted.Store(n) })
	return e.tx.SetNumber(unroutedCountKey, n)
}
