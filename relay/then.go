package relay

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// AtView says of what instant a subject is shown, and how that is known.
type AtView struct {
	At        time.Time `json:"at"`
	By        string    `json:"by"`                  // fold, change or nothing
	KnownFrom time.Time `json:"known_from,omitzero"` // what was before is not kept; zero: everything is
	Unproved  []uint64  `json:"unproved,omitempty"`  // changes that had been decided, and of which nobody can tell whether they were on stable storage by then
}

// How it is known where a subject stood.
const (
	ByFold   = "evaluation" // what had been folded by then was folded again: it is all there, which is proved
	ByChange = "change"     // by the last change of the status before, or what the first one after says was before it: there is no telling of checks
	ByNobody = "nothing"    // nothing of that time is kept
)

// Verdicts of a record as it stood at an instant before its fold.
const (
	WasUnfolded kyc.Verdict = "not_evaluated" // it had been taken in
)

var placeZero journal.Position

// past is what is kept of one subject, as of an instant.
type past struct {
	known
	turns map[string]turn // of records, by their keys in the history
	taken map[string]bool // orders to take something back that had been folded, by id
}

type turn struct {
	at     journal.Position
	taken  time.Time // when what set it free was taken in
	waited bool
}

// showThen shows a subject as it was known and told at an instant.
func (r *Relay) showThen(tx *store.Tx, v *SubjectView, lane string, s *subject, a Asked, from []byte) error {
	p := past{known: knownAt(tx, a.At), turns: map[string]turn{}, taken: map[string]bool{}}
	v.At = &AtView{At: a.At.UTC(), By: ByNobody}
	es, whole := livesOf(tx, lane)
	p.learn(tx, lane)
	version, proved := 0, false
	if s != nil && whole {
		version, proved = r.proved(r.o.Registry.Read(), es, s)
	}
	partner, _, _ := splitLane(lane)
	if proved {
		f := folder{r: r, now: r.o.Registry.Read(), partner: partner}
		state := f.fold(slices.DeleteFunc(es, func(e *lived) bool { return !p.has(e.key) }), version, nil)
		v.At.By = ByFold
		v.Policy = r.o.Registry.Read().Policy(partner, f.last)
		v.Status, v.Checks, v.Why = state.View(), state.Checks(), state.Why(v.Policy)
	} else {
		v.At.KnownFrom = keptFrom(tx)
		r.lastTold(tx, v, lane, s, &p)
	}
	v.Endpoints = r.toldThen(tx, lane, &p, v.At)
	v.page(tx, lane, from, a.Limit, p.then)
	return nil
}

// learn reads when the records of a lane had their turns.
func (p *past) learn(tx *store.Tx, lane string) {
	type order struct {
		id string
		turn
	}
	taken := map[journal.Position]time.Time{} // when records were taken in
	var orders []order
	recall(tx, lane, func(key []byte, kind byte, body []byte) bool {
		if kind != kindRecord {
			return true
		}
		t := turnOf(key, body)
		taken[placeOf(key)] = t.taken
		p.turns[string(key)] = t
		var u struct {
			Update struct {
				ID        string `json:"id"`
				TakenBack string `json:"taken_back"`
			} `json:"update"`
		}
		if json.Unmarshal(body, &u) == nil && u.Update.TakenBack != "" {
			orders = append(orders, order{u.Update.ID, t})
		}
		return true
	})
	for key, t := range p.turns {
		if at, ok := taken[t.at]; ok && t.waited {
			t.taken = at
			p.turns[key] = t
		}
	}
	for _, o := range orders {
		p.taken[o.id] = p.folded(o.at, o.taken)
	}
}

// turnOf is the turn of a record by its key and its entry.
func turnOf(key, body []byte) turn {
	at, _ := recordTime(key)
	t := turn{at: placeOf(key), taken: at}
	var e struct {
		After     int64 `json:"after"`
		Partition int32 `json:"after_partition"`
	}
	if json.Unmarshal(body, &e) == nil && e.After != 0 {
		t.at, t.waited = journal.Position{Partition: e.Partition, Offset: e.After}, true
	}
	return t
}

// has reports whether a record had been folded.
func (p *past) has(key []byte) bool {
	t, ok := p.turns[string(key)]
	return ok && p.folded(t.at, t.taken)
}

// then makes an entry of the history what it was: what was not folded yet had no verdict and no
// changes, and what was taken back later still counted.
func (p *past) then(key []byte, h *RecordView, changes []kyc.Change) []kyc.Change {
	t, ok := p.turns[string(key)]
	switch {
	case ok && p.folded(t.at, t.taken):
		if h.TakenBack != "" && !p.taken[h.TakenBack] {
			h.TakenBack = ""
		}
		return changes
	case ok && t.waited:
		h.Verdict = kyc.Unrouted
	default:
		h.Verdict = WasUnfolded
	}
	h.Changes, h.TakenBack = nil, ""
	return nil
}

// keptFrom is since when everything is kept.
func keptFrom(tx *store.Tx) (from time.Time) {
	if k, _ := tx.Bucket(store.History).Cursor().First(); len(k) >= 8 {
		from = time.UnixMicro(int64(binary.BigEndian.Uint64(k))).UTC() //nolint:gosec // written by historyKey
	}
	if gone, err := tx.Bucket(store.Meta).Get(changesGone); err == nil && len(gone) >= 8 {
		if until := time.UnixMicro(int64(binary.BigEndian.Uint64(gone))).UTC(); until.After(from) { //nolint:gosec // the same
			from = until
		}
	}
	return from
}

// lastTold says where a subject stood by the changes of its status that are kept.
func (r *Relay) lastTold(tx *store.Tx, v *SubjectView, lane string, s *subject, p *past) {
	var last, next *kyc.Change
	var beside []byte // the key of the record that stands before
	recall(tx, lane, func(key []byte, kind byte, body []byte) bool {
		var c kyc.Change
		switch {
		case kind == kindRecord:
			beside = bytes.Clone(key)
		case kind != kindChange || !readChange(body, &c) || !Decides(c.Type):
		case p.decided(beside, key):
			if last == nil || c.Sequence > last.Sequence {
				last = &c
			}
		case next == nil || c.Sequence < next.Sequence:
			next = &c
		}
		return true
	})
	switch {
	case last != nil:
		v.Status = statusOf(last)
	case v.At.At.Before(v.At.KnownFrom):
		return
	case next != nil:
		v.Status = kyc.View{Status: next.PreviousStatus, Sequence: next.Sequence - 1}
	case s != nil:
		v.Status = s.State.View()
	default:
		return
	}
	v.At.By = ByChange
}

// decided reports whether a change had been decided: that of the record before it, if it stands
// beside that.
func (p *past) decided(record, change []byte) bool {
	if len(record) >= historyHead && bytes.HasPrefix(change, record[:historyHead-1]) {
		return p.has(record)
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(change))) //nolint:gosec // written by changeKey
	return p.folded(placeOf(change), at)
}

// statusOf is where a change says that somebody stands.
func statusOf(c *kyc.Change) kyc.View {
	return kyc.View{
		Status: c.Status, PreviousStatus: c.PreviousStatus, Reasons: c.Reasons, Retryable: c.Retryable, Terminal: c.Terminal, NeedsConfirmation: c.NeedsConfirmation,
		ClaimedStatus: c.ClaimedStatus, ApprovedAt: c.ApprovedAt, ExpiresAt: c.ExpiresAt, OccurredAt: c.OccurredAt, DecidedBy: c.DecidedBy, Check: c.Check, Sequence: c.Sequence,
	}
}

// telling is one delivery, from when its change was decided.
type telling struct {
	endpoint  string // as it is called now
	sequence  uint64
	webhookID string
	kind      string        // type of the change
	since     time.Time     // when it came to be owed, of what is owed now; zero: it is not
	ends      []OutcomeView // how it ended, each time
}

// state says whether a delivery was owed at an instant, since when, and how it had ended before.
// When something came to be owed is kept to the millisecond.
func (t *telling) state(at time.Time) (end *OutcomeView, owed bool, since time.Time) {
	for i := range t.ends {
		o := &t.ends[i]
		if !o.At.After(at) {
			end = o
		} else if !o.Owed.After(at) {
			owed, since = true, o.Owed
		}
	}
	if !t.since.IsZero() && !t.since.After(at) {
		owed, since = true, t.since
	}
	return end, owed, since
}

// toldThen is how far each endpoint had been told of a lane. What an endpoint was owed is known of
// what is owed, and of everything that has ended, as long as that is kept.
func (r *Relay) toldThen(tx *store.Tx, lane string, p *past, at *AtView) []ToldView {
	now := r.o.Registry.Read()
	all := r.tellings(tx, lane, p, at)
	partner, _, _ := splitLane(lane)
	views := map[string]*ToldView{}
	for _, id := range r.receivers(now, partner) {
		views[id] = &ToldView{Endpoint: id, Owed: []OwedView{}, Dead: []DeadView{}}
	}
	for _, t := range all {
		v := views[t.endpoint]
		if v == nil {
			v = &ToldView{Endpoint: t.endpoint, Owed: []OwedView{}, Dead: []DeadView{}}
			views[t.endpoint] = v
		}
		for i := range t.ends {
			if o := &t.ends[i]; o.Outcome == outbox.Done && !o.At.After(p.at) {
				if v.Accepted = max(v.Accepted, t.sequence); o.At.After(v.AcceptedAt) {
					v.AcceptedAt = o.At
				}
			}
		}
		id := (&outbox.Delivery{WebhookID: t.webhookID, Endpoint: t.endpoint}).ID()
		switch end, owed, since := t.state(p.at); {
		case owed && len(v.Owed) == maxTold, !owed && end != nil && end.Outcome == outbox.Died && len(v.Dead) == maxTold:
			v.More = true
		case owed:
			w := OwedView{ID: id, Sequence: t.sequence, Type: t.kind, Since: since, Waits: WaitsForTry}
			if len(v.Owed) > 0 {
				w.Waits, w.Behind = WaitsBehind, v.Owed[0].Sequence
			}
			v.Owed = append(v.Owed, w)
		case end != nil && end.Outcome == outbox.Died:
			v.Dead = append(v.Dead, DeadView{ID: id, Sequence: t.sequence, Type: t.kind, Reason: end.Reason, At: end.At})
		}
	}
	list := []ToldView{} // never null
	for _, id := range slices.Sorted(maps.Keys(views)) {
		list = append(list, *views[id])
	}
	return list
}

// tellings are the deliveries of a lane whose changes had been decided, in the order of their
// sequences.
func (r *Relay) tellings(tx *store.Tx, lane string, p *past, at *AtView) []*telling {
	now := r.o.Registry.Read()
	type change struct{ id, kind string }
	changes := map[uint64]change{}
	type key struct {
		endpoint string
		sequence uint64
	}
	found := map[key]*telling{}
	of := func(endpoint string, sequence uint64) *telling {
		k := key{now.Current(endpoint), sequence}
		if found[k] == nil {
			found[k] = &telling{endpoint: k.endpoint, sequence: sequence}
		}
		return found[k]
	}
	var beside []byte
	recall(tx, lane, func(k []byte, kind byte, body []byte) bool {
		switch kind {
		case kindRecord:
			beside = bytes.Clone(k)
		case kindChange:
			var c kyc.Change
			if p.decided(beside, k) && readChange(body, &c) {
				changes[c.Sequence] = change{c.ID, c.Type}
				if t, ok := p.turns[string(beside)]; ok && bytes.HasPrefix(k, beside[:historyHead-1]) && !p.proved(t.at) {
					at.Unproved = append(at.Unproved, c.Sequence)
				}
			}
		case kindOutcome:
			if o, ok := outcomeOf(k, kind, body); ok {
				t := of(o.Endpoint, o.Sequence)
				t.ends = append(t.ends, o)
			}
		}
		return true
	})
	partner, _, _ := splitLane(lane)
	for _, id := range r.receivers(now, partner) {
		owed, _ := r.o.Outbox.OwedIn(tx, id, lane, -1)
		for i := range owed {
			of(id, owed[i].Sequence).since = owed[i].Since
		}
	}
	var list []*telling
	for _, t := range found {
		c, ok := changes[t.sequence]
		if !ok {
			continue // it had not been decided, or nobody can tell
		}
		t.webhookID, t.kind = c.id, c.kind
		slices.SortStableFunc(t.ends, func(a, b OutcomeView) int { return a.At.Compare(b.At) })
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *telling) int {
		return cmp.Or(cmp.Compare(a.sequence, b.sequence), strings.Compare(a.endpoint, b.endpoint))
	})
	slices.Sort(at.Unproved)
	return list
}
