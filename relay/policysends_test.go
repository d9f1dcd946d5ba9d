package relay

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// people makes random histories of n people, over the last fourteen months: approvals of many ages,
// with and without a date, reviews, rejections, hits, claims, steps.
func people(seed uint64, n int) (us []kyc.Update) {
	h := &history{Rand: rand.New(rand.NewPCG(seed, 2))}
	now := time.Now().UTC().Truncate(time.Second)
	for i := range n {
		for range 1 + h.IntN(1+i%6) {
			u := said(fmt.Sprint("p", i), 0, pick(h, append(kyc.Statuses, kyc.Approved, kyc.Approved, kyc.Approved, kyc.Approved, kyc.Approved)...))
			u.Check = pick(h, kyc.IdentityVerification, kyc.IdentityVerification, kyc.IdentityVerification, kyc.AddressVerification, kyc.DocumentVerification, kyc.Screening)
			u.OccurredAt = now.Add(-time.Duration(h.IntN(14*30*24*60)) * time.Minute)
			u.ReceivedAt = u.OccurredAt.Add(time.Second)
			if h.vary(&u); u.Status == kyc.Approved && h.chance(30) {
				u.ExpiresAt = now.Add(time.Duration(1+h.IntN(90*24)) * time.Hour)
			}
			if h.chance(10) {
				u = weakly(u)
			}
			us = append(us, named(u))
		}
	}
	return us
}

// due reports whether any subject of the file has a timer that is due.
func (g *rig) due() (yes bool) {
	g.t.Helper()
	err := g.store.View(func(tx *store.Tx) error {
		k, _ := tx.Bucket(store.Timers).Cursor().First()
		if k != nil {
			at, _ := splitTimer(k)
			yes = at <= g.clock.now().UnixMicro()
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return yes
}

// still waits until everything is folded, nothing is due and nothing is owed.
func (g *rig) still() {
	g.t.Helper()
	eventually(g.t, "nothing happens any more", func() bool { return g.journal.Backlog() == 0 && !g.due() && g.journal.Backlog() == 0 })
	g.settled()
}

// TestPolicyPredicts: what a plan says of a policy is what its order sends: every change by its
// type, every webhook by its endpoint, the notices that are due at once among them; and the order
// itself says the same.
func TestPolicyPredicts(t *testing.T) {
	t.Parallel()
	moved, noticed := 0, 0
	for i, policy := range []kyc.Policy{
		asking,
		{ValidityMonths: 1, NoticeDays: 60},
		{Required: []kyc.Check{kyc.IdentityVerification, kyc.Screening}, Validity: map[kyc.Check]int{kyc.Screening: 2}, NoticeDays: 365},
		{Required: []kyc.Check{kyc.DocumentVerification}, ValidityMonths: 60},
		{ValidityMonths: 14, NoticeDays: 300},
	} {
		all, some, checks, none := newPartner(t, ok), newPartner(t, ok), newPartner(t, ok), newPartner(t, ok)
		g := start(t, acme(
			all.endpoint("all", only("kyc.*")), some.endpoint("some", only("kyc.status.*"), func(e *Endpoint) { e.Format = blendfi }),
			checks.endpoint("checks", only("kyc.check.*"), func(e *Endpoint) { e.Format = formatNamed("bluum") }),
			none.endpoint("none", only("kyc.*"), func(e *Endpoint) { e.Since = time.Now().AddDate(1, 0, 0) }),
		))
		g.tell(people(uint64(i), 150)...)
		g.folded()
		g.still()
		g.partners[0].Policy = policy
		g.restart()
		eventually(t, "the policy is registered", func() bool { return knows(g.registry.Read(), "acme", 2) })
		g.still()
		plan, err := g.relay.PlanPolicy(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		before := map[*partner]int{all: len(all.seen()), some: len(some.seen()), checks: len(checks.seen()), none: len(none.seen())}
		order, err := g.relay.ApplyPolicy(t.Context(), "acme", "ops")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "everybody is moved", func() bool {
			left, err := g.relay.PlanPolicy(t.Context(), "acme")
			return err == nil && left.Behind == 0
		})
		g.still()
		tells, sends := map[string]int{}, map[string]int{}
		for _, h := range all.seen()[before[all]:] {
			tells[read1(t, h).Type]++
		}
		for name, p := range map[string]*partner{"all": all, "some": some, "checks": checks, "none": none} {
			if n := len(p.seen()) - before[p]; n > 0 {
				sends[name] = n
			}
		}
		if !maps.Equal(plan.Tells, tells) || !maps.Equal(plan.Sends, sends) {
			t.Errorf("policy %d: the plan says\n%v\n%v\nand what went out was\n%v\n%v", i, plan.Tells, plan.Sends, tells, sends)
		}
		if !maps.Equal(order.Tells, plan.Tells) || !maps.Equal(order.Sends, plan.Sends) || order.Moves != plan.Moves {
			t.Errorf("policy %d: the plan says %+v, the order %+v", i, plan, order)
		}
		moved, noticed = moved+plan.Moves, noticed+plan.Tells[noticeType]
	}
	if moved < 50 || noticed < 20 {
		t.Errorf("%d moved, %d noticed: too little was tried", moved, noticed)
	}
}
