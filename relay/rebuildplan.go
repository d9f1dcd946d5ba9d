package relay

import (
	"encoding/json"
	"fmt"
	"slices"

	"countersign/kyc"
	"countersign/outbox/store"
)

// RebuildPlan is what a rebuild would come to.
type RebuildPlan struct {
	Decided
	Waiting int // records that came in while the person was set aside, and would be applied
}

// ForeseeRebuild says what Rebuild would do now, and does nothing: it makes the state anew in a
// copy, and applies to it the decision, if there is one, and what was kept meanwhile. What comes in
// meanwhile may make it come out otherwise. It refuses what Rebuild refuses.
func (r *Relay) ForeseeRebuild(o Rebuild) (out RebuildPlan, err error) {
	lane, u, err := r.rebuilding(&o)
	if err != nil {
		return out, err
	}
	err = r.o.Store.View(func(tx *store.Tx) error {
		var s *subject
		var owed []kyc.Change
		apply := func(us []kyc.Update) {
			owed = append(owed, s.State.After(r.floorFor(s), func() []kyc.Change {
				of, _ := s.State.Apply(us, r.policyOf(s))
				return of
			})...)
		}
		if u.Rebuild == fromHistory {
			if s, err = r.relife(tx, r.o.Registry.Read(), lane); err != nil {
				return needsDecision(err)
			}
			out.Before = s.State.Status()
		} else {
			s = r.rest(tx, r.o.Registry.Read(), lane)
			apply([]kyc.Update{u})
		}
		batches, err := keptMeanwhile(tx, lane)
		if err != nil {
			return err
		}
		for _, us := range batches {
			apply(us)
			out.Waiting += len(us)
		}
		for i := range owed {
			if isStatus(owed[i].Type) && owed[i].Type != noticeType && out.Before == "" {
				out.Before = owed[i].PreviousStatus
			}
		}
		if out.After = s.State.Status(); out.Before == "" {
			out.Before = out.After
		}
		out.Changes, err = r.effects(s, o.Partner, owed, u.ReceivedAt)
		return err
	})
	return out, err
}

// keptMeanwhile is what was said of a person while they were set aside, in the order of its arrival:
// what one callback brought is applied at once.
func keptMeanwhile(tx *store.Tx, lane string) (batches [][]kyc.Update, err error) {
	hs, err := waitingIn(tx, asideRef(lane))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(hs, func(x, y unroutedRecord) int { return x.Position.Compare(y.Position) })
	last := ""
	for i := range hs {
		var u kyc.Update
		if err := json.Unmarshal(hs[i].Body, &u); err != nil {
			return nil, fmt.Errorf("a record that was kept: %w", err)
		}
		u.Partner, u.Subject.ID, u.Livemode = splitLane(lane)
		u.Waited = true
		if id := u.Callback.ID; id != "" && id == last {
			batches[len(batches)-1] = append(batches[len(batches)-1], u)
		} else {
			last, batches = id, append(batches, []kyc.Update{u})
		}
	}
	return batches, nil
}
