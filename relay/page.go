package relay

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// RecordView is one record of a subject's history.
type RecordView struct {
	At      time.Time   `json:"at"`
	Verdict kyc.Verdict `json:"verdict"`
	Changes []uint64    `json:"changes,omitempty"`
	Update  kyc.Update  `json:"update"`

	TakenBack string `json:"taken_back,omitempty"` // id of the order that took it back: it was never about this subject, and counts for nothing here
}

// SubjectView is who told us what, what we made of it, and whom we told: where somebody stands, and
// a page of the history, the newest first. A record that had to wait stands where it arrived, and
// what it owed with it, though that came later.
type SubjectView struct {
	Object     string           `json:"object"`
	Partner    string           `json:"partner"`
	ID         string           `json:"id"`
	Livemode   bool             `json:"livemode"`
	Policy     kyc.Policy       `json:"policy"`
	Status     kyc.View         `json:"status"`
	Checks     []kyc.CheckState `json:"checks"`
	Why        []kyc.Standing   `json:"why"`       // each finding and approval that still matters, and what became or would become of it
	Endpoints  []ToldView       `json:"endpoints"` // how far each endpoint has been told, what it is owed, and what is dead
	Records    []RecordView     `json:"records"`
	Changes    []kyc.Change     `json:"changes"`
	Deliveries []OutcomeView    `json:"deliveries"`
	SetAside   bool             `json:"set_aside,omitempty"` // something of it is damaged: nobody knows where it stands, and nothing new is told of it until it is rebuilt
	At         *AtView          `json:"at,omitempty"`        // all of it as it was then; nil: as it is
	HasMore    bool             `json:"has_more"`
	Next       string           `json:"next,omitempty"` // of the page behind this one
}

// Asked says what of a subject is asked for.
type Asked struct {
	At    time.Time // as it was then; zero: as it is
	After string    // the Next of the page before; "": the newest
	Limit int       // records and ends of deliveries on a page, at most 1,000; 0: 100
}

// ErrCursor says that a page is asked for by something that is no Next.
var ErrCursor = errors.New("it is no cursor of a subject's history")

const maxPage = 1000 // entries of a page

// before is the key of the history before which a page begins; nil: at its end.
func (a *Asked) before() (key []byte, err error) {
	if a.After != "" {
		key, err = base64.RawURLEncoding.DecodeString(a.After)
		if err != nil || len(key) < historyHead || key[0] == indexEnd {
			return nil, ErrCursor
		}
	}
	if !a.At.IsZero() {
		then := historyKey(a.At.Add(time.Microsecond), placeZero, 0)[:8]
		if key == nil || bytes.Compare(then, key) < 0 {
			key = then
		}
	}
	return key, nil
}

// Subject shows one subject, and a page of its history; outbox.ErrNotFound if nobody has said
// anything, ErrCursor if there is no such page.
func (r *Relay) Subject(partner, id string, livemode bool, a Asked) (v SubjectView, err error) {
	lane := r.laneOf(partner, id, livemode)
	v = SubjectView{
		Object: "subject", Partner: r.shown(partner), ID: id, Livemode: livemode,
		Checks: []kyc.CheckState{}, Why: []kyc.Standing{}, Endpoints: []ToldView{}, Records: []RecordView{}, Changes: []kyc.Change{}, Deliveries: []OutcomeView{},
	}
	from, err := a.before()
	if err != nil {
		return v, err
	}
	if !a.At.IsZero() { // a whole life is folded for it: one at a time
		r.looking.Lock()
		defer r.looking.Unlock()
	}
	err = r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.load(tx, lane)
		aside := errors.Is(err, ErrAside)
		switch {
		case err != nil && !aside:
			return err
		case !aside && !s.known && !noted(tx, lane):
			return fmt.Errorf("subject %s of partner %s: %w", id, partner, outbox.ErrNotFound)
		case !a.At.IsZero():
			return r.showThen(tx, &v, lane, s, a, from)
		}
		if v.SetAside = aside; !aside { // else nobody knows where it stands
			v.Policy = r.o.Registry.Read().Policy(partner, s.Policy)
			v.Status, v.Checks, v.Why = s.State.View(), s.State.Checks(), s.State.Why(v.Policy)
		}
		v.Endpoints = r.told(tx, lane)
		v.page(tx, lane, from, a.Limit, nil)
		return nil
	})
	return v, err
}

// noted reports whether anything is kept of a lane.
func noted(tx *store.Tx, lane string) bool {
	prefix := indexPrefix(lane)
	k, _ := tx.Bucket(store.Index).Cursor().Seek(prefix)
	return bytes.HasPrefix(k, prefix)
}

// page fills in a page of the history, by the index and backwards: it looks at as many entries as
// it shows, with a look for each and one for each of its changes. One that cannot be read is left
// out, and stays in the file. then, unless it is nil, says of an entry how it was at an instant,
// and whether it was there.
func (v *SubjectView) page(tx *store.Tx, lane string, from []byte, limit int, then func(key []byte, h *RecordView, changes []kyc.Change) []kyc.Change) {
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, maxPage)
	history := tx.Bucket(store.History)
	seen := 0
	var last []byte
	recallBack(tx, lane, from, func(key []byte) bool {
		if v.HasMore = seen == limit; v.HasMore {
			v.Next = base64.RawURLEncoding.EncodeToString(last)
			return false
		}
		seen++
		last = bytes.Clone(key)
		body, ok := indexed(tx, lane, key)
		switch key[historyHead-1] {
		case kindRecord:
			changes := v.changesOf(history, key)
			var h RecordView
			if ok = ok && json.Unmarshal(body, &h) == nil; then != nil {
				changes = then(key, &h, changes)
			}
			if ok {
				v.Records = append(v.Records, h)
			}
			v.Changes = append(v.Changes, changes...)
		case kindOutcome:
			if o, sound := outcomeOf(key, kindOutcome, body); ok && sound {
				v.Deliveries = append(v.Deliveries, o)
			}
		}
		return true
	})
	slices.SortStableFunc(v.Changes, func(a, b kyc.Change) int { return cmp.Compare(b.Sequence, a.Sequence) })
}

// changesOf are the changes beside a record.
func (v *SubjectView) changesOf(history store.Bucket, record []byte) (list []kyc.Change) {
	changesOf(history, record, func(_ []byte, _ byte, body []byte) bool {
		var c kyc.Change
		if readChange(body, &c) {
			list = append(list, c)
		}
		return true
	})
	return list
}

// recallBack calls fn with the keys of the history that the index lists of a lane, the newest
// first, from before a key on (nil: from the newest), until fn says no.
func recallBack(tx *store.Tx, lane string, before []byte, fn func(key []byte) bool) {
	if before == nil {
		before = []byte{indexEnd}
	}
	prefix := indexPrefix(lane)
	c := tx.Bucket(store.Index).Cursor()
	back := c.Prev
	if k, _ := c.Seek(indexKey(lane, before)); k == nil {
		back = c.Last
	}
	for k, v := back(); k != nil && bytes.Compare(k, prefix) >= 0; k, v = c.Prev() {
		if !bytes.HasPrefix(k, prefix) {
			continue // its key is damaged
		}
		if key := k[len(prefix):]; v != nil && len(key) >= historyHead && key[0] != indexEnd && !fn(key) {
			return
		}
	}
}
