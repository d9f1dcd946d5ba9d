package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// asking is a policy that asks for an address too.
var asking = kyc.Policy{Required: []kyc.Check{kyc.IdentityVerification, kyc.AddressVerification}, ValidityMonths: 6}

// repolicied is a rig with n subjects of acme under a policy of before, two thirds of them
// approved, and one of globex; it runs under another policy.
func repolicied(t *testing.T, n int) *rig {
	t.Helper()
	g := start(t, acme(), Partner{ID: "globex"})
	var us []kyc.Update
	for i := range n {
		us = append(us, said(fmt.Sprintf("u%05d", i), 1, []kyc.Status{kyc.Approved, kyc.Pending, kyc.Approved}[i%3]))
	}
	other := said("gil", 1, kyc.Approved)
	other.Partner = "globex"
	for part := range slices.Chunk(append(us, named(other)), 1000) {
		g.tell(part...)
	}
	g.folded()
	g.close()
	g.partners = []Partner{{ID: "acme", Policy: asking}, {ID: "globex", Policy: asking}}
	g.open()
	g.run()
	eventually(t, "the policy is registered", func() bool { return knows(g.registry.Read(), "acme", 2) })
	return g
}

// planned checks what is said about acme's subjects.
func planned(t *testing.T, what string, plan PolicyPlan, err error, subjects, behind, moves int) {
	t.Helper()
	if err != nil || plan.Partner != "acme" || plan.Version != 2 || plan.Policy.ValidityMonths != 6 || plan.Subjects != subjects || plan.Behind != behind || plan.Moves != moves ||
		plan.Becomes[kyc.Pending] != moves || moves == 0 && len(plan.Becomes) > 0 {
		t.Errorf("%s: %+v, %v; want %d subjects, %d behind, %d moves", what, plan, err, subjects, behind, moves)
	}
}

// moved waits until the last of n subjects is under the new policy, and counts the records that
// have moved them.
func (g *rig) moved(n int) (records int) {
	g.t.Helper()
	eventually(g.t, "all subjects have been moved", func() bool { return g.view("acme", fmt.Sprintf("u%05d", n-1), true).Policy.Version == 2 })
	for i := range n {
		v := g.view("acme", fmt.Sprintf("u%05d", i), true)
		if v.Policy.Version != 2 {
			g.t.Errorf("subject %d is under version %d", i, v.Policy.Version)
		}
		for _, r := range v.Records {
			if r.Update.Kind == kyc.PolicyChange && r.Verdict == kyc.Applied {
				if records++; r.Update.Actor != "ops" || r.Update.PolicyVersion != 2 {
					g.t.Errorf("record %+v", r.Update)
				}
			}
		}
	}
	return records
}

// TestApplyPolicy: the plan says what will be, and applying it makes it so, by a record for each
// subject (I11); timers follow the new policy.
func TestApplyPolicy(t *testing.T) {
	t.Parallel()
	const n = 2*policyStep + 50
	g := repolicied(t, n)
	plan, err := g.relay.PlanPolicy(t.Context(), "acme")
	planned(t, "before", plan, err, n, n, 2*n/3)
	again, err := g.relay.PlanPolicy(t.Context(), "acme")
	planned(t, "a plan moves nobody", again, err, n, n, 2*n/3)
	before := loaded(t, g, "acme/u00000").Timer
	plan, err = g.relay.ApplyPolicy(t.Context(), "acme", "ops")
	planned(t, "applied", plan, err, n, n, 2*n/3)
	if records := g.moved(n); records != n {
		t.Errorf("%d records moved %d subjects", records, n)
	}
	v := g.view("acme", "u00000", true)
	same(t, "records", verdicts(v), []string{"applied[1 2]", "applied[3 4]"})
	if v.Status.Status != kyc.Pending || v.Changes[3].Type != "kyc.status.pending" || !v.Changes[2].ExpiresAt.Equal(at(1).AddDate(0, 6, 0)) {
		t.Errorf("%+v, %+v", v.Status, v.Changes)
	}
	if after := loaded(t, g, "acme/u00000").Timer; after != instant(v.Changes[2].ExpiresAt) || after >= before {
		t.Errorf("its timer went from %v to %v", time.UnixMicro(before), time.UnixMicro(after))
	}
	plan, err = g.relay.PlanPolicy(t.Context(), "acme")
	planned(t, "after", plan, err, n, 0, 0)
	plan, err = g.relay.ApplyPolicy(t.Context(), "acme", "ops")
	planned(t, "applied again", plan, err, n, 0, 0)
	if p := g.view("globex", "gil", true).Policy; p.Version != 1 {
		t.Errorf("globex's subject is under version %d", p.Version)
	}
}

// pausing is a journal that takes policies only so often, and tells how many of them waited for the
// fold at once.
type pausing struct {
	*journal.Bolt
	g             *rig
	left, largest *int
}

func (j *pausing) Append(ctx context.Context, rs ...journal.Record) error {
	if rs[0].Kind == kyc.PolicyChange {
		if *j.left--; *j.left < 0 {
			return journal.ErrBacklog
		}
		var folded journal.Position
		err := j.g.store.View(func(tx *store.Tx) (err error) {
			folded, err = journal.ReadPosition(tx, positionKey)
			return err
		})
		if err != nil {
			return err
		}
		j.g.appended += int64(len(rs))
		*j.largest = max(*j.largest, int(j.g.appended-j.g.nth(folded)))
	}
	return j.Bolt.Append(ctx, rs...)
}

// TestApplyPolicyResumes: an order that was cut off, by a journal that refuses or by a restart, is
// given again; who has been moved is not moved twice.
func TestApplyPolicyResumes(t *testing.T) {
	t.Parallel()
	const n = 3*policyStep - 7
	g := repolicied(t, n)
	left, largest := 2, 0
	g.wrap = func(b *journal.Bolt) readAndWritten { return &pausing{b, g, &left, &largest} }
	g.restart()
	eventually(t, "the policy is registered", func() bool { return knows(g.registry.Read(), "acme", 2) })
	plan, err := g.relay.ApplyPolicy(t.Context(), "acme", "ops")
	if !errors.Is(err, journal.ErrBacklog) || plan.Behind != n {
		t.Errorf("cut off: %+v, %v", plan, err)
	}
	g.restart()
	left = 100
	if plan, err = g.relay.ApplyPolicy(t.Context(), "acme", "ops"); err != nil || plan.Behind < policyStep-7 || plan.Behind > 2*policyStep-7 {
		t.Errorf("given again: %+v, %v", plan, err)
	}
	if records := g.moved(n); records != n {
		t.Errorf("%d records moved %d subjects", records, n)
	}
	if largest > policyStep {
		t.Errorf("%d records waited at once", largest)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.relay.PlanPolicy(ctx, "acme"); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more: %v", err)
	}
}

// TestPolicyRecords: an order of before goes not back, a version nobody has registered waits for a
// program that knows it (I8), and nobody is made by a policy.
func TestPolicyRecords(t *testing.T) {
	g := repolicied(t, 1)
	order := func(subject string, version int) kyc.Update {
		return named(kyc.Update{SchemaVersion: 1, Kind: kyc.PolicyChange, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: subject}, PolicyVersion: version, Actor: "ops"})
	}
	f := func(what string, u kyc.Update, version int, waiting int64) {
		t.Helper()
		g.tell(u)
		g.folded()
		if v := g.view("acme", "u00000", true); v.Policy.Version != version {
			t.Errorf("%s: version %d, want %d", what, v.Policy.Version, version)
		}
		held(t, g, waiting)
	}
	f("not registered", order("u00000", 3), 1, 1)
	f("the newest", order("u00000", 2), 2, 1)
	f("of before", order("u00000", 1), 2, 1)
	f("nobody", order("nobody", 2), 2, 1)
	nobody(t, g, "nobody")
	for _, partner := range []string{"", "acm", "initech"} {
		if _, err := g.relay.PlanPolicy(t.Context(), partner); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("PlanPolicy(%q) = %v", partner, err)
		}
	}
	if _, err := g.relay.ApplyPolicy(t.Context(), "acme", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("nobody orders it: %v", err)
	}
}
