package relay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// A subject's state is a fold of its records (I11), and the history keeps them. So where a subject
// would stand without some of them can be worked out: by folding the others again, in the order in
// which they were folded. Whether they are all there is proved first: folded with all of them, the
// state is the one that stands, byte for byte.

// maxRelived is how many records are folded again, for the fold waits meanwhile.
const maxRelived = 20000

// lived is a record in the history of a subject.
type lived struct {
	At        time.Time       `json:"at"`
	Verdict   kyc.Verdict     `json:"verdict"`
	Changes   []uint64        `json:"changes"`
	After     int64           `json:"after"`
	Partition int32           `json:"after_partition"`
	Nth       int             `json:"nth"`
	TakenBack string          `json:"taken_back"`
	Update    json.RawMessage `json:"update"`

	lane  string
	said  kyc.Update // Update, as it came: whose it is stands in it only if it said so itself
	key   []byte
	place journal.Position
}

// turn is when it was folded: with the record at this position.
func (e *lived) turn() journal.Position { return cmp.Or(e.after(), e.place) }

// after is the position of the record that set it free; zero: it had not waited.
func (e *lived) after() journal.Position {
	return journal.Position{Partition: e.Partition, Offset: e.After}
}

// relived is what follows when a record is taken back from a subject.
type relived struct {
	without *kyc.State // where it stands without what is taken back
	taken   []*lived   // what is: the record, and what came only by the refs that it had taught
	unlearn []string   // refs that nothing else has taught
}

// relive works out what follows when a record is taken back. ErrNotWhole: that cannot be known.
func (r *Relay) relive(tx *store.Tx, now *registry.Snapshot, g *given) (l relived, err error) {
	s, err := r.loadBy(tx, now, g.Lane)
	if errors.Is(err, ErrAside) {
		return l, ErrNotWhole
	}
	if err != nil {
		return l, err
	}
	es, whole := livesOf(tx, g.Lane)
	seed := slices.IndexFunc(es, func(e *lived) bool { return bytes.Equal(e.key, g.Key) && e.TakenBack == "" })
	if !whole || !s.known || seed < 0 {
		return l, ErrNotWhole
	}
	l.taken, l.unlearn = r.astray(es, es[seed])
	version, ok := r.proved(now, es, s)
	if !ok {
		return l, ErrNotWhole
	}
	partner, _, _ := splitLane(g.Lane)
	state := r.foldAgain(now, partner, es, version, func(e *lived) bool { return e.TakenBack != "" || slices.Contains(l.taken, e) })
	l.without = &state
	return l, nil
}

// livesOf is everything that was said of a lane, in the order in which it was folded; not whole:
// too much, or something cannot be read.
func livesOf(tx *store.Tx, lane string) (es []*lived, whole bool) {
	prefix := indexPrefix(lane)
	history := tx.Bucket(store.History)
	c := tx.Bucket(store.Index).Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if v == nil {
			return nil, false // damaged: nobody knows what it was of
		}
		key := k[len(prefix):]
		if len(key) < historyHead || key[0] == indexEnd || key[historyHead-1] != kindRecord {
			continue
		}
		e := &lived{lane: lane, key: bytes.Clone(key), place: placeOf(key)}
		body, ok := entryAt(history, key)
		if !ok || json.Unmarshal(body, e) != nil || json.Unmarshal(e.Update, &e.said) != nil || len(es) >= maxRelived {
			return nil, false
		}
		es = append(es, e)
	}
	slices.SortStableFunc(es, func(a, b *lived) int {
		return cmp.Or(a.turn().Compare(b.turn()), cmp.Compare(a.Nth, b.Nth), a.place.Compare(b.place))
	})
	return es, true
}

// proved finds the version of the policy under which all that is kept makes the state that stands:
// then it is all there is. Where it is not written down which one a subject began under, each is
// tried.
func (r *Relay) proved(now *registry.Snapshot, es []*lived, s *subject) (version int, ok bool) {
	want, err := s.State.MarshalBinary()
	if err != nil {
		return 0, false
	}
	partner, _, _ := splitLane(s.lane)
	moved := 0 // to the newest that an order moved it to
	for _, e := range es {
		moved = max(moved, e.said.PolicyVersion)
	}
	for first := s.Policy; first >= 0; first-- {
		if max(first, moved) != s.Policy {
			break
		}
		if s.First != 0 && s.First != first {
			continue
		}
		state := r.foldAgain(now, partner, es, first, nil)
		if got, err := state.MarshalBinary(); err == nil && bytes.Equal(got, want) {
			return first, true
		}
	}
	return 0, false
}

// foldAgain folds records again, under a first version of the policy: without some of them, as if
// they had never been; or with nil all of them, with what was taken back at its time.
func (r *Relay) foldAgain(now *registry.Snapshot, partner string, es []*lived, version int, without func(*lived) bool) kyc.State {
	f := folder{r: r, now: now, partner: partner}
	return f.fold(es, version, without)
}

// folder folds the records of one subject again.
type folder struct {
	r       *Relay
	now     *registry.Snapshot // has the policies
	partner string
	last    int  // version of the policy that the last record was folded under
	differs bool // other changes were owed than are noted, or something was done that cannot be done again
}

func (f *folder) fold(es []*lived, version int, without func(*lived) bool) (state kyc.State) {
	f.last = version
	for i := 0; i < len(es); {
		group := groupOf(es[i:])
		i += len(group)
		var us []kyc.Update
		var owed []kyc.Change
		for _, e := range group {
			u := e.said
			switch {
			case e.Verdict == kyc.Duplicate, u.Kind == kyc.Redelivery, u.Kind == kyc.FetchRequest, without != nil && without(e):
				continue
			case u.Rebuild != "":
				f.differs = f.differs || u.Rebuild != fromHistory && e.Verdict != kyc.Stale
				continue
			case u.Kind == kyc.Decision && u.UnroutedID != "":
				if without == nil && u.TakenBack != "" && e.Verdict == kyc.Applied {
					before := f.r.foldAgain(f.now, f.partner, es[:i-1], version, func(o *lived) bool {
						return o.TakenBack != "" && (o.TakenBack == u.ID || ordered(es[:i-1], o.TakenBack))
					})
					owed = state.After(floorOf(group), func() []kyc.Change {
						return state.TakeBack(&before, u, f.now.Policy(f.partner, f.last))
					})
				}
				continue
			case u.Kind == kyc.PolicyChange:
				f.last = max(f.last, u.PolicyVersion)
			}
			u.Partner, u.Subject.ID, u.Livemode = splitLane(e.lane)
			u.Waited = e.After != 0
			us = append(us, u)
		}
		if len(us) > 0 {
			owed = state.After(floorOf(group), func() []kyc.Change {
				owed, _ := state.Apply(us, f.now.Policy(f.partner, f.last))
				return owed
			})
		}
		f.compare(group, owed)
	}
	return state
}

// compare finds out whether the changes that a group of records owes are those that are noted with
// it.
func (f *folder) compare(group []*lived, owed []kyc.Change) {
	var noted []uint64
	for _, e := range group {
		noted = append(noted, e.Changes...)
	}
	slices.Sort(noted)
	f.differs = f.differs || !slices.EqualFunc(noted, owed, func(n uint64, c kyc.Change) bool { return n == c.Sequence })
}

// floorStep is by how much a floor is raised: more changes of one subject than there ever are
// between two backups.
const floorStep = 1 << 20

// floorOf is the floor that stood when a group was folded: its first change tells.
func floorOf(group []*lived) uint64 {
	for _, e := range group {
		if len(e.Changes) > 0 {
			return (e.Changes[0] - 1) &^ (floorStep - 1)
		}
	}
	return 0
}

// ordered reports whether an order stands among records.
func ordered(es []*lived, id string) bool {
	return slices.ContainsFunc(es, func(e *lived) bool { return e.said.ID == id })
}

// groupOf takes off the records that were folded together: what one callback brought. Sent again,
// it is another callback with the same name.
func groupOf(es []*lived) []*lived {
	first, n := es[0], 1
	for n < len(es) && first.said.Callback.ID != "" && es[n].with(first) {
		n++
	}
	if slices.ContainsFunc(es[:n], func(e *lived) bool { return e.said.Kind != kyc.Observation && e.said.Kind != kyc.Confirmation }) {
		return es[:1]
	}
	return es[:n]
}

// with reports whether a record was folded together with another: of the same sending of the same
// callback, and at the same time.
func (e *lived) with(o *lived) bool {
	sent := func(e *lived) journal.Position {
		return journal.Position{Partition: e.place.Partition, Offset: e.place.Offset - int64(e.said.Callback.Index)}
	}
	return e.said.Callback.ID == o.said.Callback.ID && e.after() == o.after() && e.Nth == o.Nth && (e.After != 0 || sent(e) == sent(o))
}

// astray is what came to a subject by a record that was never about it: the record, and what says
// of no subject whose it is and is led here by no ref that anything else has taught. With it go the
// refs that nothing else has taught.
func (r *Relay) astray(es []*lived, seed *lived) (taken []*lived, unlearn []string) {
	b := &batch{r: r}
	refs := map[string]bool{} // taught by what stays; true: by a submission
	stays := map[*lived]bool{}
	for more := true; more; {
		more = false
		for _, e := range es {
			if stays[e] || e == seed || e.TakenBack != "" || !e.own() && !givenHere(es, e) && !led(b, refs, &e.said) {
				continue
			}
			stays[e], more = true, true
			for _, key := range b.teaches(&e.said) {
				refs[key] = refs[key] || e.said.Kind == kyc.Submission
			}
		}
	}
	for _, e := range es {
		if stays[e] || e.TakenBack != "" {
			continue
		}
		if k := e.said.Kind; k == kyc.Observation || k == kyc.Confirmation {
			taken = append(taken, e)
		}
		for _, key := range b.teaches(&e.said) {
			if _, other := refs[key]; !other && !slices.Contains(unlearn, key) {
				unlearn = append(unlearn, key)
			}
		}
	}
	return taken, unlearn
}

// own reports whether a record says itself whose it is. What is no provider's does.
func (e *lived) own() bool {
	k := e.said.Kind
	return k != kyc.Observation && k != kyc.Confirmation && k != kyc.FetchRequest || e.said.Subject.ID != "" && e.said.Partner != ""
}

// givenHere reports whether an operator gave a record to this subject by itself.
func givenHere(es []*lived, e *lived) bool {
	return e.After != 0 && slices.ContainsFunc(es, func(o *lived) bool {
		return o.place == e.after() && o.said.Kind == kyc.Decision && o.said.Release && o.said.UnroutedID == unroutedID(e.place) && o.Verdict == kyc.Applied
	})
}

// led reports whether refs that were taught lead an update here.
func led(b *batch, refs map[string]bool, u *kyc.Update) bool {
	personal := b.refKeys(u)
	for i, key := range b.allRefs(u) {
		if submitted, known := refs[key]; known && (submitted || i < len(personal)) {
			return true
		}
	}
	return false
}
