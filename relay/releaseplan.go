package relay

import (
	"errors"

	"countersign/kyc"
	"countersign/outbox/store"
)

// PersonPlan is what would come of somebody.
type PersonPlan struct {
	Partner  string
	Subject  string
	Livemode bool
	Aside    bool // a record of theirs is damaged: what is said of them is kept until they are rebuilt
	Decided
}

// ForeseeUpdates says what would come of updates that one callback brings, and does nothing: it
// applies them to copies. unrouted is how many of them would wait, for nobody knows yet whose they
// are.
func (r *Relay) ForeseeUpdates(us []kyc.Update) (plans []PersonPlan, unrouted int, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		b := &batch{r: r, tx: tx, refs: map[string]*refStrand{}, partners: map[string]*partnerNow{}}
		whose, lanes := map[string][]kyc.Update{}, []string{}
		for _, u := range us {
			lane, verdict := b.owner(&u)
			if verdict != "" {
				unrouted++
				continue
			}
			if whose[lane] == nil {
				lanes = append(lanes, lane)
			}
			whose[lane] = append(whose[lane], u)
		}
		for _, lane := range lanes {
			p, err := r.foreseen(tx, lane, whose[lane])
			if err != nil {
				return err
			}
			plans = append(plans, p)
		}
		return nil
	})
	return plans, unrouted, err
}

// ForeseeUnrouted says what ReleaseUnrouted would do to the person. It refuses what that refuses.
func (r *Relay) ForeseeUnrouted(id, partner, subject, actor string) (p PersonPlan, err error) {
	u, err := r.releasable(id, partner, subject, actor)
	if err != nil {
		return p, err
	}
	u.Partner, u.Subject.ID, u.Waited = r.kept(partner), subject, true
	err = r.o.Store.View(func(tx *store.Tx) error {
		p, err = r.foreseen(tx, r.laneOf(u.Partner, subject, u.Livemode), []kyc.Update{u})
		return err
	})
	return p, err
}

// foreseen applies updates to a copy of a subject.
func (r *Relay) foreseen(tx *store.Tx, lane string, us []kyc.Update) (p PersonPlan, err error) {
	p.Partner, p.Subject, p.Livemode = r.shownOf(lane)
	kept, _, _ := splitLane(lane)
	s, err := r.load(tx, lane)
	if errors.Is(err, ErrAside) {
		p.Aside, p.Changes = true, []Effect{}
		return p, nil
	}
	if err != nil {
		return p, err
	}
	if s.Policy == 0 {
		s.Policy = r.o.Registry.Read().NewestPolicy(kept)
	}
	p.Before = s.State.Status()
	owed := s.State.After(r.floorFor(s), func() []kyc.Change {
		owed, _ := s.State.Apply(us, r.policyOf(s))
		return owed
	})
	p.After = s.State.Status()
	p.Changes, err = r.effects(s, kept, owed, us[0].ReceivedAt)
	return p, err
}
