package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"countersign/ingest/journal"
	"countersign/kyc"
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
	shared  bool   // a record of it may hold others too: it can be shown in part, and not be deleted

	keys    func(w *whereabouts, tx *store.Tx) [][]byte               // all keys at once: they are few
	indexed func(w *whereabouts, tx *store.Tx, place []byte) [][]byte // of what stands at a place of the person's index
	is      func(w *whereabouts, tx *store.Tx, k, v []byte) bool      // whether a record is the person's: all of the bucket are looked at
	show    func(w *whereabouts, k, v []byte) any                     // nil: it says no more than others do
}

// keepers is the table, in the order of an export.
func keepers() []keeper {
	return append([]keeper{
		{bucket: store.Subjects, section: "state", keys: (*whereabouts).own, show: (*whereabouts).showState},
		{bucket: store.Aside, section: "set_aside", keys: (*whereabouts).own, show: asJSON},
		{bucket: store.Refs, section: "refs", is: (*whereabouts).isRef, show: (*whereabouts).showRef},
		{bucket: store.Index, section: "told", indexed: (*whereabouts).ofIndex, show: (*whereabouts).showTold},
		{bucket: store.History, section: "history", indexed: (*whereabouts).ofHistory, show: (*whereabouts).showHistory},
		{bucket: store.Outcomes, section: "outcomes", indexed: (*whereabouts).ofOutcomes, show: (*whereabouts).showOutcome},
		{bucket: store.Timers, section: "timers", is: (*whereabouts).isTimer, show: (*whereabouts).showTimer},
		{bucket: store.Unrouted, section: "unrouted", is: (*whereabouts).isUnrouted, show: (*whereabouts).showUnrouted, shared: true},
		{bucket: store.Orders, section: "orders", is: (*whereabouts).isOrder, show: asJSON},
		{bucket: store.Forward, section: "kafka", is: (*whereabouts).isForward, show: (*whereabouts).showForward, shared: true},
		{bucket: store.Journal, section: "journal", is: (*whereabouts).isRecord, show: (*whereabouts).showRecord},
		{bucket: store.Questions, section: "questions", is: (*whereabouts).isQuestion, show: (*whereabouts).showQuestion},
		{bucket: store.Quarantine, section: "quarantine", keys: (*whereabouts).items, show: (*whereabouts).showItem},
		{bucket: store.Damaged, section: "damaged", is: (*whereabouts).isDamaged, show: (*whereabouts).showDamaged},
		{bucket: store.Meta, nobody: "positions, and counts by endpoint and partner"},
		{bucket: store.Folds, nobody: "when which positions of the journal were folded"},
		{bucket: registry.Bucket, nobody: "partners, endpoints, policies, keys and tokens"},
		{bucket: store.Audit, owner: "the audit trail: GET /v1/audit lists who called what about the person"},
	}, outboxKeepers()...)
}

// outboxKeepers are the buckets of the outbox, which knows its keys itself.
func outboxKeepers() (list []keeper) {
	for _, b := range []struct {
		name    store.Name
		section string
	}{{store.Deliveries, "owed"}, {store.Due, "due"}, {store.Dead, "dead"}, {store.Withheld, "withheld"}, {store.Attempts, "attempts"}} {
		list = append(list, keeper{
			bucket: b.name, section: b.section,
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

	subject *subject        // nil: it is set aside
	refs    map[string]bool // that lead to the person, or that several claim and the person is one of them
	ids     map[string]bool // of records and changes in the history
	bodies  []string        // ids of what may be kept in quarantine of the bodies that those came from
	open    func(id string) (journal.Item, error)
}

// locate finds out who somebody is; outbox.ErrNotFound: nothing is kept of them. It walks over the
// refs of all, for nothing leads from a person to them.
func (r *Relay) locate(ctx context.Context, partner, id string, livemode bool) (*whereabouts, error) {
	w := &whereabouts{r: r, partner: r.kept(partner), id: id, live: livemode, refs: map[string]bool{}, ids: map[string]bool{}}
	w.lane = laneOf(w.partner, id, livemode)
	known := false
	err := r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.load(tx, w.lane)
		if err != nil && !errors.Is(err, ErrAside) {
			return err
		}
		w.subject, known = s, err != nil || s.known || noted(tx, w.lane)
		held := tx.Bucket(store.Unrouted)
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
	refs := keeper{bucket: store.Refs, is: (*whereabouts).isRef}
	history := keeper{bucket: store.History, indexed: (*whereabouts).ofHistory}
	err = errors.Join(
		w.each(ctx, &refs, func(k, _ []byte) error { w.refs[string(k)] = true; return nil }, nil),
		w.each(ctx, &history, w.learn, nil),
	)
	if err == nil && !known && len(w.refs) == 0 {
		err = fmt.Errorf("subject %s of partner %s: %w", id, partner, outbox.ErrNotFound)
	}
	return w, err
}

// learn notes the ids that an entry of the history has.
func (w *whereabouts) learn(k, v []byte) error {
	_, body, ok := entry(v)
	var e struct {
		ID     string `json:"id"`
		Update struct {
			ID     string `json:"id"`
			Source string `json:"source"`
			Body   string `json:"body_sha256"`
		} `json:"update"`
	}
	switch sound := ok && json.Unmarshal(body, &e) == nil; {
	case !sound:
	case k[historyHead-1] == kindChange:
		w.ids[e.ID] = true
	default:
		w.ids[e.Update.ID] = true
		if e.Update.Body != "" {
			w.bodies = append(w.bodies, journal.BodyItemID(e.Update.Source, e.Update.Body))
		}
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
	for k, v := c.Seek(from); k != nil; k, v = c.Next() {
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

func (w *whereabouts) own(*store.Tx) [][]byte { return [][]byte{[]byte(w.lane)} }

// about reports whether an update is about the person: it says so itself, or one of its refs leads
// there, or may.
func (w *whereabouts) about(u *kyc.Update) bool {
	if u.Subject.ID != "" && u.Partner != "" {
		return u.Subject.ID == w.id && u.Livemode == w.live && w.r.kept(u.Partner) == w.partner
	}
	b := &batch{r: w.r}
	for _, key := range b.allRefs(u) {
		if w.refs[key] {
			return u.Subject.ID == "" || u.Subject.ID == w.id
		}
	}
	return false
}

func (w *whereabouts) isRef(_ *store.Tx, k, v []byte) bool {
	lane, _, _ := readRef(string(v))
	return lane == w.lane || w.refs[string(k)]
}

func (w *whereabouts) ofIndex(_ *store.Tx, place []byte) [][]byte {
	return [][]byte{indexKey(w.lane, place)}
}

func (w *whereabouts) ofHistory(tx *store.Tx, place []byte) (keys [][]byte) {
	if len(place) != historyHead || place[0] == indexEnd || place[historyHead-1] != kindRecord {
		return nil
	}
	keys = append(keys, bytes.Clone(place))
	prefix := append(bytes.Clone(place[:historyHead-1]), kindChange)
	c := tx.Bucket(store.History).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}

func (w *whereabouts) ofOutcomes(_ *store.Tx, place []byte) [][]byte {
	if len(place) <= historyHead || place[0] == indexEnd || place[historyHead-1] != kindOutcome {
		return nil
	}
	return [][]byte{outcomeKeyAt(w.lane, place)}
}

func (w *whereabouts) isTimer(_ *store.Tx, k, _ []byte) bool {
	return len(k) > 8 && string(k[8:]) == w.lane
}

func (w *whereabouts) isOrder(_ *store.Tx, k, v []byte) bool {
	var o keyed
	switch {
	case json.Unmarshal(v, &o) != nil:
		return false
	case o.Lane != "":
		return o.Lane == w.lane
	}
	return w.ids[o.Record] || w.ids[string(k)] || w.subject != nil && w.subject.State.Knows(o.Record)
}

func (w *whereabouts) isForward(_ *store.Tx, _, v []byte) bool { return len(w.changes(v)) > 0 }

// changes are the person's of a batch of changes.
func (w *whereabouts) changes(v []byte) (list []json.RawMessage) {
	ts, _ := decodeDecided(v)
	for i := range ts {
		if c := &ts[i].change; c.Subject.ID == w.id && c.Livemode == w.live && w.r.kept(c.Partner) == w.partner {
			list = append(list, ts[i].json)
		}
	}
	return list
}

func (w *whereabouts) isRecord(_ *store.Tx, k, v []byte) bool {
	rec, ok := journal.ReadRecord(k, v)
	var u kyc.Update
	if !ok || json.Unmarshal(rec.Body, &u) != nil {
		return w.mentioned(v)
	}
	return w.about(&u)
}

func (w *whereabouts) isQuestion(tx *store.Tx, k, _ []byte) bool {
	q, _, ok := journal.ReadQuestion(k)
	if !ok {
		return false
	}
	if w.refs[refKey(q.Source, q.Ref, w.live)] {
		return true
	}
	found, err := journal.QuestionAt(tx, &q)
	return err == nil && found != nil && w.ids[found.Claim]
}

// items are the ids of bodies in quarantine that are known to be of the person, without opening
// any: the record says which body it came from.
func (w *whereabouts) items(tx *store.Tx) (keys [][]byte) {
	held := tx.Bucket(store.Quarantine)
	seen := map[string]bool{}
	add := func(id string) {
		if !seen[id] && held.Has([]byte(id)) {
			seen[id] = true
			keys = append(keys, []byte(id))
		}
	}
	for _, id := range w.bodies {
		add(id)
	}
	for id := range w.ids {
		for _, large := range journal.TooLargeIDs(id) {
			add(large)
		}
	}
	c := tx.Bucket(store.Questions).Cursor()
	prefix := []byte("q\x00")
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if q, _, ok := journal.ReadQuestion(k); ok && w.isQuestion(tx, k, v) {
			add(q.ItemID())
		}
	}
	return keys
}

// isDamaged reports whether a damaged record may be of the person: it names the lane, or what only
// they are called.
func (w *whereabouts) isDamaged(_ *store.Tx, k, v []byte) bool {
	return w.mentioned(k) || w.mentioned(v)
}

// mentioned reports whether bytes that nobody can read name the person.
func (w *whereabouts) mentioned(b []byte) bool {
	for rest := b; ; {
		at := bytes.Index(rest, []byte(w.lane))
		if at < 0 {
			break
		}
		end := at + len(w.lane)
		if end == len(rest) || rest[end] == 0 || rest[end] == '"' || len(rest)-end == 8 {
			return true
		}
		rest = rest[at+1:]
	}
	if id, err := json.Marshal(w.id); err == nil && bytes.Contains(b, id) {
		return true
	}
	for key := range w.refs {
		_, ref, _ := splitRef(key)
		if bytes.Contains(b, []byte(`"`+ref+`"`)) || bytes.Contains(b, []byte(key)) {
			return true
		}
	}
	return false
}

// isUnrouted reports whether something that waits is of the person, or leads to what is.
func (w *whereabouts) isUnrouted(tx *store.Tx, k, v []byte) bool {
	mark, rest, ok := strings.Cut(string(k), "\x00")
	if !ok {
		return false
	}
	switch mark {
	case "r", "d":
		return w.isHeld(k, v)
	case "i":
		if len(rest) <= journal.PositionSize {
			return false
		}
		key := []byte("r\x00" + rest[len(rest)-journal.PositionSize:])
		body, err := tx.Bucket(store.Unrouted).Get(key)
		ref := rest[:len(rest)-journal.PositionSize-1]
		return w.refs[ref] || ref == asideRef(w.lane) || err == nil && body != nil && w.isHeld(key, body)
	case "g":
		var g given
		return json.Unmarshal(v, &g) == nil && g.Lane == w.lane
	case "c":
		c, err := readContest(v, nil)
		return c != nil && err == nil && c.names(w.lane)
	case "l", "x":
		return strings.HasPrefix(rest, w.lane+"\x00")
	}
	return false
}

// isHeld reports whether a record that waits, or that was put away, is of the person.
func (w *whereabouts) isHeld(k, v []byte) bool {
	if v == nil || len(k) != 2+journal.PositionSize {
		return false
	}
	h := readUnrouted(unroutedAt(k), v)
	var u kyc.Update
	if json.Unmarshal(h.Body, &u) != nil {
		return w.mentioned(h.Raw) || w.mentioned(h.Body)
	}
	return w.about(&u)
}
