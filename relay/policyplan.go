package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// PolicyPlan is what a partner's newest policy means, or has meant, for the subjects that are
// folded under an older one.
type PolicyPlan struct {
	Partner  string
	Version  int // the newest
	Policy   kyc.Policy
	Subjects int                // the partner has, in test and live mode
	Behind   int                // of them, folded under an older version
	Moves    int                // of those, whose status changes
	Becomes  map[kyc.Status]int // to what
	Tells    map[string]int     // changes owed, by type: an approval that lasts longer or shorter is told too, and so is a notice that is due at once
	Sends    map[string]int     // webhooks owed for them, by endpoint
}

// policyStep is how many subjects are looked at in one read transaction, and moved by one append.
const policyStep = 500

// newest is the newest version of a partner's policy.
func (r *Relay) newest(partner string) (kyc.Policy, error) {
	s := r.o.Registry.Read()
	version := s.NewestPolicy(partner) // one that is damaged leaves a gap: they cannot be counted
	if version == 0 {
		return kyc.Policy{}, outbox.ErrNotFound
	}
	return s.Policy(partner, version), nil
}

// knows reports whether a version of a partner's policy is registered.
func knows(now *registry.Snapshot, partner string, version int) bool {
	_, ok := now.Policies(partner)[version]
	return ok
}

// PlanPolicy says what ApplyPolicy would do, and does nothing. It looks at every subject of the
// partner, some at a time; what is folded meanwhile may or may not count. outbox.ErrNotFound: no
// such partner, or none of its policies is registered yet.
func (r *Relay) PlanPolicy(ctx context.Context, partner string) (PolicyPlan, error) {
	return r.plan(ctx, partner, func([]kyc.Update) error { return nil })
}

// ApplyPolicy folds every subject of the partner that is under an older version of its policy
// again, under the newest. Each is moved by a record of its own (I11) and keeps its version until
// that is folded. Nil: every record is on stable storage, though the last of them may still wait
// for the fold. An order that was cut off is given again: who has been moved stays, and a record
// that is there already does nothing. At most 500 records wait for the fold at once. actor is who
// ordered it.
func (r *Relay) ApplyPolicy(ctx context.Context, partner, actor string) (PolicyPlan, error) {
	if err := name("actor", actor); err != nil {
		return PolicyPlan{}, err
	}
	var last *kyc.Update // of the step before
	return r.plan(ctx, partner, func(us []kyc.Update) error {
		if last != nil {
			if err := r.awaitPolicy(ctx, last); err != nil {
				return err
			}
		}
		now := r.o.Now().Round(0).UTC()
		for i := range us {
			us[i].Actor, us[i].ReceivedAt = actor, now
		}
		last = &us[len(us)-1]
		return r.append(ctx, us...)
	})
}

// plan goes through the subjects of a partner and hands the records that move them to apply, a step
// at a time.
func (r *Relay) plan(ctx context.Context, partner string, apply func([]kyc.Update) error) (PolicyPlan, error) {
	partner = r.kept(partner)
	p, err := r.newest(partner)
	plan := PolicyPlan{Partner: partner, Version: p.Version, Policy: p, Becomes: map[kyc.Status]int{}, Tells: map[string]int{}, Sends: map[string]int{}}
	for after := []byte(partner + "/"); err == nil && after != nil; {
		var us []kyc.Update
		if us, after, err = r.planSome(&plan, after); err == nil && len(us) > 0 {
			err = apply(us)
		}
		if err == nil {
			err = ctx.Err()
		}
	}
	plan.Partner = r.shown(partner)
	if err != nil {
		return plan, fmt.Errorf("policy of partner %s: %w", plan.Partner, err)
	}
	return plan, nil
}

// planSome looks at some subjects after a lane. Each is a copy of its own, so that it can be folded
// to see what becomes of it.
func (r *Relay) planSome(plan *PolicyPlan, after []byte) (us []kyc.Update, next []byte, err error) {
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Subjects).Cursor()
		k, _ := c.Seek(append(bytes.Clone(after), 0))
		for n := 0; bytes.HasPrefix(k, []byte(plan.Partner+"/")); k, _ = c.Next() {
			if n++; n > policyStep {
				return nil
			}
			next = bytes.Clone(k)
			s, err := r.load(tx, string(k))
			if errors.Is(err, ErrAside) {
				continue // nobody knows what would become of it: it moves when it has been rebuilt
			}
			if err != nil {
				return err
			}
			if plan.Subjects++; s.Policy < plan.Version {
				u, err := r.move(plan, s, r.o.Now().Round(0).UTC())
				if err != nil {
					return err
				}
				us = append(us, u)
			}
		}
		next = nil // that was the last
		return nil
	})
	return us, next, err
}

// move counts what becomes of a subject, and is the record that does it.
func (r *Relay) move(p *PolicyPlan, s *subject, now time.Time) (kyc.Update, error) {
	u := kyc.Update{SchemaVersion: 1, Kind: kyc.PolicyChange, PolicyVersion: p.Version, ReceivedAt: now}
	u.Partner, u.Subject.ID, u.Livemode = splitLane(s.lane)
	dedupe := []string{u.Partner, u.Subject.ID, strconv.FormatBool(u.Livemode), strconv.Itoa(p.Version)}
	u.ID = kyc.UpdateID("", dedupe, u.Kind, "", "", "", 0, time.Time{})
	p.Behind++
	was := s.State.Status()
	for _, c := range foresee(&s.State, u, p.Policy) {
		p.Tells[c.Type]++
		endpoints, err := r.recipients(s, p.Partner, &c, now)
		if err != nil {
			return u, err
		}
		for _, e := range endpoints {
			p.Sends[e]++
		}
	}
	if s.State.Status() != was {
		p.Moves++
		p.Becomes[s.State.Status()]++
	}
	return u, nil
}

// maxForeseen is how many timers foresee follows. They come to an end by themselves, for each is
// told once; a bound costs nothing.
const maxForeseen = 100

// foresee folds a record into a state, which has to be a copy, and returns the changes owed for it,
// and for the timers that are due as soon as it has been folded.
func foresee(s *kyc.State, u kyc.Update, p kyc.Policy) []kyc.Change {
	owed, _ := s.Apply([]kyc.Update{u}, p)
	for range maxForeseen {
		due, ok := s.Next(p)
		if !ok || due.At.After(u.ReceivedAt) {
			break
		}
		t := due.Update()
		t.ReceivedAt = u.ReceivedAt
		then, _ := s.Apply([]kyc.Update{t}, p)
		owed = append(owed, then...)
	}
	return owed
}

// awaitPolicy returns when a record that moves a subject has been folded, so that an order for a
// million subjects leaves the journal to the providers.
func (r *Relay) awaitPolicy(ctx context.Context, u *kyc.Update) error {
	for {
		var s *subject
		err := r.o.Store.View(func(tx *store.Tx) (err error) {
			s, err = r.load(tx, r.laneOf(u.Partner, u.Subject.ID, u.Livemode))
			return err
		})
		if err != nil || !s.known || s.Policy >= u.PolicyVersion {
			return err
		}
		if !pause(ctx, 5*time.Millisecond) {
			return ctx.Err()
		}
	}
}
