package relay

import (
	"slices"
	"testing"

	"countersign/kyc"
)

// TestForeseeUpdates: what is foreseen of updates is what comes of them, and nothing is changed by
// it; nor is it where nobody knows whose they are.
func TestForeseeUpdates(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*")), p.endpoint("b", only("kyc.status.rejected"))))
	g.tell(of(said("ann", 1, kyc.Approved), "persona", "act_ann", "", ""))
	g.settled()
	before := g.stateOf("acme/ann")
	next := said("ann", 2, kyc.Rejected)
	byRef, lost := unknown(3, kyc.Approved, "act_ann", "", ""), unknown(4, kyc.Approved, "act_nobody", "", "")
	f := func(us []kyc.Update, persons, unrouted int) (plan PersonPlan) {
		t.Helper()
		plans, n, err := g.relay.ForeseeUpdates(us)
		if err != nil || len(plans) != persons || n != unrouted {
			t.Fatalf("%d persons, %d unrouted, %v; want %d and %d", len(plans), n, err, persons, unrouted)
		}
		if persons > 0 {
			plan = plans[0]
		}
		return plan
	}
	f([]kyc.Update{lost}, 0, 1)
	if plan := f([]kyc.Update{byRef}, 1, 0); plan.Subject != "ann" || plan.Partner != "acme" || !plan.Livemode {
		t.Errorf("by its ref it is of %+v", plan)
	}
	plan := f([]kyc.Update{next}, 1, 0)
	if !slices.Equal(before, g.stateOf("acme/ann")) {
		t.Error("what was only foreseen has changed the state")
	}
	if plan.Before != kyc.Approved || plan.After != kyc.Rejected || len(plan.Changes) == 0 {
		t.Fatalf("foreseen: %+v", plan)
	}
	last := plan.Changes[len(plan.Changes)-1]
	if !slices.Equal(last.Endpoints, []string{"a", "b"}) {
		t.Errorf("told would be %v", last.Endpoints)
	}
	g.tell(next)
	g.settled()
	v := g.view("acme", "ann", true)
	if came := v.Changes[len(v.Changes)-1]; v.Status.Status != plan.After || came.Sequence != last.Sequence {
		t.Errorf("%s under #%d, foreseen was %s under #%d", v.Status.Status, came.Sequence, plan.After, last.Sequence)
	}
	g.tell(lost)
	g.folded()
	items, _, err := g.relay.UnroutedItems("", 0)
	if err != nil || len(items) != 1 {
		t.Fatalf("%v, %v", items, err)
	}
	plan, err = g.relay.ForeseeUnrouted(items[0].ID, "acme", "bob", "otto")
	if err != nil || plan.Subject != "bob" || plan.Before != kyc.NotStarted || plan.After != kyc.Approved {
		t.Errorf("ForeseeUnrouted = %+v, %v", plan, err)
	}
	if _, err := g.relay.ForeseeUnrouted(items[0].ID, "nobody", "bob", "otto"); err == nil {
		t.Error("a record is given to a partner that is not there")
	}
}
