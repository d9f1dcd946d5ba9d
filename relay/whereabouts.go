package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"countersign/ingest/journal"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// keeper says where one bucket keeps what there is of one person: how its keys are found, one way
// or another, and what a record of it says. This is the one place that knows, for every bucket:
// whoever exports a person, or erases one, goes through the table. A bucket that keeps nothing of
// anybody says why, and one that nobody here can read says who has to.
type keeper struct {
	bucket  store.Name
	section string // what it is called in an export
	nobody  string // why it keeps nothing of anybody
	owner   string // who has to look into it: not this table
	part    string // the part of the bucket that it is about; "": all of it
	from    string // where the part begins
	until   string // and what is behind it; "": nothing
	shared  bool   // a record of it may hold others too: it can be shown in part, and not be deleted

	keys    func(w *whereabouts, tx *store.Tx) [][]byte               // all keys at once: they are few
	indexed func(w *whereabouts, tx *store.Tx, place []byte) [][]byte // of what stands at a place of the person's index
	is      func(w *whereabouts, tx *store.Tx, k, v []byte) bool      // whether a record is the person's: all of the bucket are looked at
	show    func(w *whereabouts, k, v []byte) any                     // nil: it says no more than others do
}

// The refs bucket in two: what is known of refs, and what stands beside that.
const (
	strandsPart = "refs"
	waitingPart = "unrouted"
)

// name is what a row is called.
func (k *keeper) name() string {
	if k.part != "" {
		return k.part
	}
	return k.bucket.String()
}

// keepers is the table, in the order of an export.
func keepers() []keeper {
	return append([]keeper{
		{bucket: store.Subjects, section: "state", keys: (*whereabouts).own, show: (*whereabouts).showState},
		{bucket: store.Aside, section: "set_aside", keys: (*whereabouts).own, show: asJSON},
		{bucket: store.Refs, part: strandsPart, from: strandPrefix, section: "refs", is: (*whereabouts).isRef, show: (*whereabouts).showRef, shared: true},
		{bucket: store.Index, section: "told", indexed: (*whereabouts).ofIndex, show: (*whereabouts).showTold},
		{bucket: store.History, section: "history", indexed: (*whereabouts).ofHistory, show: (*whereabouts).showHistory},
		{bucket: store.Outcomes, section: "outcomes", indexed: (*whereabouts).ofOutcomes, show: (*whereabouts).showOutcome},
		{bucket: store.Timers, section: "timers", is: (*whereabouts).isTimer, show: (*whereabouts).showTimer},
		{bucket: store.Standings, section: "standings", keys: (*whereabouts).standings, show: (*whereabouts).showStanding},
		{bucket: store.Refs, part: waitingPart, until: strandPrefix, section: "unrouted", is: (*whereabouts).isUnrouted, show: (*whereabouts).showUnrouted, shared: true},
		{bucket: store.Orders, section: "orders", is: (*whereabouts).isOrder, show: asJSON},
		{bucket: store.Forward, section: "kafka", is: (*whereabouts).isForward, show: (*whereabouts).showForward, shared: true},
		{bucket: store.Receipts, section: "receipts", is: (*whereabouts).isReceipt, show: asJSON},
		{bucket: store.Journal, section: "journal", is: (*whereabouts).isRecord, show: (*whereabouts).showRecord},
		{bucket: store.Questions, section: "questions", is: (*whereabouts).isQuestion, show: (*whereabouts).showQuestion},
		{bucket: store.Quarantine, section: "quarantine", keys: (*whereabouts).items, show: (*whereabouts).showItem},
		{bucket: store.Damaged, section: "damaged", is: (*whereabouts).isDamaged, show: (*whereabouts).showDamaged},
		{bucket: store.Meta, nobody: "positions, and counts by endpoint and partner"},
		{bucket: store.Jobs, owner: "replays: GET /v1/replays lists them; one of a single delivery names it"},
		{bucket: store.Folds, nobody: "when which positions of the journal were evaluated"},
		{bucket: store.Finder, nobody: "digests of the ids of records and changes, and when they stand in the history"},
		{bucket: store.Erased, nobody: "digests of who was erased, and up to which number they were told; of an erasure that is under way also whose it is"},
		{bucket: registry.Bucket, nobody: "partners, endpoints, policies, keys and tokens"},
		{bucket: store.Audit, owner: "the audit trail: GET /v1/audit lists who called what about the person"},
	}, outboxKeepers()...)
}

// outboxKeepers are the buckets of the outbox, which knows its keys itself.
func outboxKeepers() (list []keeper) {
	for _, b := range []struct {
		name    store.Name
		section string
	}{{store.Deliveries, "pending"}, {store.Due, "due"}, {store.Dead, "dead_lettered"}, {store.Withheld, "withheld"}, {store.Attempts, "attempts"}, {store.Answers, "answers"}} {
		list = append(list, keeper{
			bucket: b.name, section: b.section, shared: b.name == store.Answers,
			keys: func(w *whereabouts, tx *store.Tx) [][]byte { return outbox.Whereabouts(tx, b.name, w.lane) },
			show: func(_ *whereabouts, k, v []byte) any {
				if s := outbox.Show(b.name, k, v); s != nil {
					return s
				}
				return nil
			},
		})
	}
	return list
}

// whereabouts is what has to be known of a person to find everything that is kept of them.
type whereabouts struct {
	r       *Relay
	lane    string
	partner string // the id that the partner is kept under
	id      string
	live    bool

	subject  *subject            // nil: it is set aside
	refs     map[string]bool     // that lead to the person, or that several claim and the person is one of them
	contests map[string]*contest // the latter, with the person's own claims: who the others are is theirs
	ids      map[string]bool     // of records and changes in the history
	bodies   []string            // ids of what may be kept in quarantine of the bodies that those came from
	open     func(id string) (journal.Item, error)
}

// locate finds out who somebody is; outbox.ErrNotFound: nothing is kept of them. It walks over the
// refs of all, for nothing leads from a person to them.
func (r *Relay) locate(ctx context.Context, partner, id string, livemode bool) (*whereabouts, error) {
	w := &whereabouts{r: r, partner: r.kept(partner), id: id, live: livemode, refs: map[string]bool{}, contests: map[string]*contest{}, ids: map[string]bool{}}
	w.lane = laneOf(w.partner, id, livemode)
	known := false
	err := r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.load(tx, w.lane)
		if err != nil && !errors.Is(err, ErrAside) {
			return err
		}
		w.subject, known = s, err != nil || s.known || noted(tx, w.lane)
		held := tx.Bucket(store.Refs)
		for _, prefix := range [][]byte{contestMark(w.lane, ""), refusedMark(w.lane, "")} {
			c := held.Cursor()
			for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
				known = true
				if ref := string(k[len(prefix):]); prefix[0] == contestMark("", "")[0] {
					w.refs[ref] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	refs := keeper{bucket: store.Refs, from: strandPrefix, is: (*whereabouts).isRef}
	history := keeper{bucket: store.History, indexed: (*whereabouts).ofHistory}
	err = errors.Join(
		w.each(ctx, &refs, w.learnRef, nil),
		w.each(ctx, &history, w.learn, nil),
	)
	if err == nil && !known && len(w.refs) == 0 {
		err = fmt.Errorf("subject %s of partner %s: %w", id, partner, outbox.ErrNotFound)
	}
	return w, err
}

// learnRef notes a ref that leads to the person, or that they and others claim.
func (w *whereabouts) learnRef(k, v []byte) error {
	s, key := readStrand(v, nil), string(k[len(strandPrefix):])
	c := s.contest(key)
	switch {
	case c != nil && claimedBy(c.Claims, w.lane):
		c.Claims = slices.DeleteFunc(c.Claims, func(c claim) bool { return c.Lane != w.lane })
		w.contests[key] = c
	case s.leads().lane != w.lane:
		return nil // they have claimed it, and it is somebody else's
	}
	w.refs[key] = true
	return nil
}

// learn notes the ids that an entry of the history has.
func (w *whereabouts) learn(k, v []byte) error {
	_, body, ok := entry(v)
	if k[historyHead-1] == kindChange {
		if id := changeID(body); ok && id != nil {
			w.ids[string(id)] = true
		}
		return nil
	}
	var e struct {
		Update struct {
			ID     string `json:"id"`
			Source string `json:"source"`
			Body   string `json:"body_sha256"`
		} `json:"update"`
	}
	if !ok || json.Unmarshal(body, &e) != nil {
		return nil //nolint:nilerr // it is damaged
	}
	w.ids[e.Update.ID] = true
	if e.Update.Body != "" {
		w.bodies = append(w.bodies, journal.BodyItemID(e.Update.Source, e.Update.Body))
	}
	return nil
}

// How much is looked at, and found, in one transaction: a reader that lasts keeps the file from
// using its pages again, and what is found is held in memory.
const (
	lookStep = 5000
	findStep = 200
)

// each calls fn with every record of the person in a bucket, a damaged one with the body nil, in
// transactions that are bounded; and then, if it is not nil, between them.
func (w *whereabouts) each(ctx context.Context, at *keeper, fn func(k, v []byte) error, then func() error) error {
	var keys [][]byte // of those that are found all at once
	if at.keys != nil {
		err := w.r.o.Store.View(func(tx *store.Tx) error {
			keys = at.keys(w, tx)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for from, more := []byte(nil), true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := w.r.o.Store.View(func(tx *store.Tx) (err error) {
			switch {
			case at.keys != nil:
				n := min(len(keys), findStep)
				err = visit(tx, at.bucket, keys[:n], fn)
				keys, more = keys[n:], len(keys) > n
			case at.indexed != nil:
				from, more, err = w.stepIndex(tx, at, from, fn)
			default:
				from, more, err = w.stepAll(tx, at, from, fn)
			}
			return err
		})
		if err == nil && then != nil {
			err = then()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// visit calls fn with what stands under keys.
func visit(tx *store.Tx, n store.Name, keys [][]byte, fn func(k, v []byte) error) error {
	for _, k := range keys {
		v, err := tx.Bucket(n).Get(k)
		if v == nil && err == nil {
			continue // it has gone
		}
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

// stepIndex is one transaction of each, by the person's index.
func (w *whereabouts) stepIndex(tx *store.Tx, at *keeper, from []byte, fn func(k, v []byte) error) (next []byte, more bool, err error) {
	prefix := indexPrefix(w.lane)
	seen := 0
	c := tx.Bucket(store.Index).Cursor()
	for k, _ := c.Seek(append(bytes.Clone(prefix), from...)); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		if seen++; seen > findStep {
			return bytes.Clone(k[len(prefix):]), true, nil
		}
		if err := visit(tx, at.bucket, at.indexed(w, tx, k[len(prefix):]), fn); err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

// stepAll is one transaction of each, over all that the bucket has.
func (w *whereabouts) stepAll(tx *store.Tx, at *keeper, from []byte, fn func(k, v []byte) error) (next []byte, more bool, err error) {
	seen, found := 0, 0
	c := tx.Bucket(at.bucket).Cursor()
	for k, v := c.Seek([]byte(max(string(from), at.from))); k != nil && (at.until == "" || string(k) < at.until); k, v = c.Next() {
		if seen++; seen > lookStep || found == findStep {
			return bytes.Clone(k), true, nil
		}
		if at.is(w, tx, k, v) {
			found++
			if err := fn(k, v); err != nil {
				return nil, false, err
			}
		}
	}
	return nil, false, nil
}
