package relay

import (
	"testing"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// TestRenamed: an endpoint that was renamed is told what it was owed under its old id, remembers
// what it has accepted under that, and orders that name it go where it is now.
func TestRenamed(t *testing.T) {
	p := newPartner(t, always(410))
	e := p.endpoint("old", only("kyc.status.*"), hourly)
	g := start(t, acme(e))
	g.tell(flurry(1, 2)...)
	g.folded()
	eventually(t, "the first is dead, and the endpoint disabled", func() bool { return len(g.dead("old")) == 1 && g.registry.Read().Disabled("old") != "" })
	first := g.dead("old")[0]
	g.close()

	e.ID, e.RenamedFrom = "new", "old"
	p.from(ok)
	g.partners = []Partner{acme(e)}
	g.clock.advance(2 * time.Hour)
	g.open()
	g.rename()
	g.close()
	g.open()
	g.run()
	if len(p.accepted()) != 0 || g.outbox.Owed("new") != 1 || g.outbox.Dead("new") != 1 || g.registry.Read().Disabled("new") == "" {
		t.Fatalf("%d accepted, %d owed, %d dead, disabled for %q; want 0, 1, 1 and a reason", len(p.accepted()), g.outbox.Owed("new"), g.outbox.Dead("new"), g.registry.Read().Disabled("new"))
	}
	if err := g.sends.Resume(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was owed is accepted", func() bool { return len(p.accepted()) == 1 && g.outbox.Owed("new") == 0 })
	g.settled()

	e.ID, e.RenamedFrom = "newest", "new" // what "new" has accepted counts for it
	g.close()
	g.partners = []Partner{acme(e)}
	g.open()
	g.rename()
	g.close()
	g.open()
	g.run()
	if err := g.redeliver(first.ID, false); err == nil { // by the id that it had first
		t.Error("an order for what was overtaken under another id is taken")
	}
	if err := g.redeliver(first.ID, true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what is forced is told", func() bool { return len(p.accepted()) == 2 && g.outbox.Dead("newest") == 0 })
}

// rename is what a start does before anything is claimed. Nothing else runs but the store.
func (g *rig) rename() {
	g.t.Helper()
	var plan registry.Plan
	err := g.store.View(func(tx *store.Tx) (err error) {
		plan, err = registry.PlanOf(tx, g.partners, map[string]string{"old": "acme"})
		return err
	})
	if err == nil {
		err = g.registry.Own(g.t.Context(), plan)
	}
	for _, m := range plan.Moves {
		if err == nil {
			err = g.registry.Begin(g.t.Context(), m)
		}
		if err == nil {
			err = outbox.Rename(g.t.Context(), g.store, m.From, m.To)
		}
		if err == nil {
			err = g.registry.Finish(g.t.Context(), m)
		}
	}
	if err != nil || len(plan.Moves) != 1 || len(plan.Refused) > 0 {
		g.t.Fatalf("%+v: %v", plan, err)
	}
}
