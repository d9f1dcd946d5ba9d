package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// Decided is what comes, or has come, of an operator's word.
type Decided struct {
	ID      string     `json:"id,omitempty"` // of its record; none: it was only foreseen
	Folded  bool       `json:"evaluated"`    // false: it is on stable storage, or foreseen, and what comes of it is not known yet
	Before  kyc.Status `json:"before,omitempty"`
	After   kyc.Status `json:"after,omitempty"`
	Changes []Effect   `json:"changes"`
	Lifts   int        `json:"lifts"` // of a release: how many findings of the check stood open
}

// Nothing reports that a release has released nothing: no finding of its check stood open, and
// nothing has changed.
func (d *Decided) Nothing() bool { return d.Lifts == 0 && len(d.Changes) == 0 }

// Effect is one change, and who is told of it.
type Effect struct {
	Type           string     `json:"type"`
	Sequence       uint64     `json:"sequence"`
	Status         kyc.Status `json:"status"`
	PreviousStatus kyc.Status `json:"previous_status"`
	Endpoints      []string   `json:"endpoints"` // that are told of it; what is owed to one that is disabled waits, or dies
}

// ForeseeDecision says what Decide would do now, and does nothing: it folds the decision into a
// copy. What is folded meanwhile may make it come out otherwise.
func (r *Relay) ForeseeDecision(d Decision) (out Decided, err error) {
	if err := d.check(); err != nil {
		return out, fmt.Errorf("decide: %w", err)
	}
	now := r.o.Now().Round(0).UTC()
	err = r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.decides(tx, &d)
		if err != nil {
			return err
		}
		p := r.policyOf(s)
		if d.Release {
			out.Lifts = d.open(s, p)
		}
		out.Before = s.State.Status()
		owed := s.State.After(r.floorFor(s), func() []kyc.Change {
			owed, _ := s.State.Apply([]kyc.Update{d.update(now)}, p)
			return owed
		})
		out.After = s.State.Status()
		out.Changes, err = r.effects(s, d.Partner, owed, now)
		return err
	})
	if err != nil {
		return out, fmt.Errorf("decide: %w", err)
	}
	return out, nil
}

// effects are changes of a subject, which has to be a copy, with who is told of each.
func (r *Relay) effects(s *subject, partner string, owed []kyc.Change, appended time.Time) ([]Effect, error) {
	es := make([]Effect, len(owed))
	for i := range owed {
		c := &owed[i]
		told, err := r.recipients(s, partner, c, appended)
		if err != nil {
			return nil, err
		}
		if told == nil {
			told = []string{}
		}
		es[i] = Effect{c.Type, c.Sequence, c.Status, c.PreviousStatus, told}
	}
	return es, nil
}

// outcome waits until a record about somebody has been folded, and says what came of it. If ctx
// ends before, Folded is false.
func (r *Relay) outcome(ctx context.Context, u *kyc.Update, lifts int) (out Decided, err error) {
	out = Decided{ID: u.ID, Changes: []Effect{}, Lifts: lifts}
	if err := r.awaitFold(ctx, u); err != nil {
		if ctx.Err() != nil {
			return out, nil //nolint:nilerr // it is on stable storage, and will be folded
		}
		return out, err
	}
	lane := r.laneOf(u.Partner, u.Subject.ID, u.Livemode)
	err = r.o.Store.View(func(tx *store.Tx) error {
		s, err := r.load(tx, lane)
		if err != nil {
			return err
		}
		owed, at := owedFor(tx, lane, u.ID)
		out.Folded, out.Before, out.After = true, s.State.Status(), s.State.Status()
		for i := range owed {
			if c := &owed[i]; isStatus(c.Type) && c.Type != noticeType {
				out.Before, out.After = c.PreviousStatus, c.Status
			}
		}
		out.Changes, err = r.effects(s, u.Partner, owed, at)
		return err
	})
	return out, err
}

// owedFor finds the changes that a record of a lane owed, and when it was appended, by its id. It
// looks at the newest records first.
func owedFor(tx *store.Tx, lane, id string) (owed []kyc.Change, at time.Time) {
	history := tx.Bucket(store.History)
	eachRecord(tx, lane, func(key []byte, h *RecordView) bool {
		if h.Update.ID != id || h.Verdict == kyc.Duplicate {
			return true
		}
		at = h.At
		changesOf(history, key, func(_ []byte, _ byte, body []byte) bool {
			var c kyc.Change
			if readChange(body, &c) && c.CauseID == id {
				owed = append(owed, c)
			}
			return true
		})
		return false
	})
	return owed, at
}

// eachRecord calls fn with the records of a lane and their keys in the history, the newest first,
// until fn says no.
func eachRecord(tx *store.Tx, lane string, fn func(key []byte, h *RecordView) bool) {
	prefix := indexPrefix(lane)
	history := tx.Bucket(store.History)
	c := tx.Bucket(store.Index).Cursor()
	k, v := c.Seek(append(indexPrefix(lane), indexEnd))
	if k == nil {
		k, v = c.Last()
	}
	for ; k != nil; k, v = c.Prev() {
		if !bytes.HasPrefix(k, prefix) {
			if strings.Compare(string(k), string(prefix)) < 0 {
				return
			}
			continue // it stands after the lane
		}
		key := k[len(prefix):]
		if v == nil || len(key) < historyHead || key[historyHead-1] != kindRecord {
			continue
		}
		var h RecordView
		if body, ok := entryAt(history, key); ok && json.Unmarshal(body, &h) == nil && !fn(bytes.Clone(key), &h) {
			return
		}
	}
}
