package relay

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
	"countersign/relay/registry"
)

// become is a start of the rig with its partner acme under another id.
func (g *rig) become(id, from string) {
	g.t.Helper()
	g.close()
	g.partners[0].ID, g.partners[0].RenamedFrom = id, from
	g.open()
	var plan registry.Plan
	err := g.store.View(func(tx *store.Tx) (err error) {
		plan, err = registry.PlanOf(tx, g.partners, nil)
		return err
	})
	if err = errors.Join(err, g.registry.RenamePartners(g.t.Context(), plan), g.registry.Own(g.t.Context(), plan), g.registry.Configure(g.partners)); err != nil || len(plan.Renames) != 1 || len(plan.Refused) > 0 {
		g.t.Fatalf("%+v: %v", plan, err)
	}
}

// toldAs are the webhooks that a partner accepted, in short, without the name that they call it by;
// and those names.
func toldAs(t *testing.T, p *partner) (lines, names []string) {
	t.Helper()
	for _, h := range p.accepted() {
		for _, name := range []string{"acme", "globex"} {
			if strings.Contains(h.body, `"partner":"`+name+`"`) {
				names = append(names, name)
			}
		}
	}
	return story(t, p.accepted()), names
}

// TestRenamedPartner: a partner that is renamed goes on as one that is not: every state, sequence
// and id is what it would have been, whichever id it is called by, with what was not folded, owed,
// held or due when it was renamed. What was owed before is told as it was, and what comes after
// says the new id.
func TestRenamedPartner(t *testing.T) {
	p, q := newPartner(t, always(503)), newPartner(t, always(503))
	g, twin := start(t, acme(p.endpoint("a", hourly))), start(t, acme(q.endpoint("a", hourly)))
	now := "acme" // what the one that is renamed is called by
	each := func(fn func(g *rig, name string)) {
		t.Helper()
		fn(g, now)
		fn(twin, "acme")
	}
	tell := func(us ...kyc.Update) {
		t.Helper()
		each(func(g *rig, name string) {
			for i := range us {
				if us[i].Partner != "" {
					us[i].Partner = name
				}
			}
			g.tell(us...)
		})
	}
	made := map[*rig]string{} // the decision, by its key
	call := func(by string) {
		t.Helper()
		each(func(g *rig, name string) {
			if name == now && g != twin {
				name = by
			}
			d := rejects(func(d *Decision) { d.Partner, d.Subject, d.IdempotencyKey = name, "eve", "k" })
			out, err := g.relay.Decide(t.Context(), d)
			if made[g] == "" {
				made[g] = out.ID
				g.appended++
			}
			if err != nil || out.ID != made[g] {
				t.Errorf("decided as %s: %+v, %v; want %s", name, out, err, made[g])
			}
			if _, err := g.submit(submits("eve", "registered", func(s *Submission) { s.Partner = name })); err != nil {
				t.Error(err)
			}
		})
	}
	approval := said("ann", 2, kyc.Approved)
	approval.ExpiresAt = g.clock.now().AddDate(0, 1, 0)
	tell(said("ann", 1, kyc.Rejected), named(approval), said("eve", 1, kyc.Approved), inTest(said("tia", 1, kyc.InReview)))
	tell(unknown(3, kyc.InReview, "nobodys", "", ""), byRef(of(said("", 3, kyc.InReview), "persona", "acmes", "", ""))) // both wait
	each(func(g *rig, _ string) { g.folded() })
	call("acme")
	each(func(g *rig, _ string) { g.stopped() })
	tell(said("bob", 1, kyc.Rejected)) // in the journal as it is renamed
	g.become("globex", "acme")
	twin.close()
	twin.open()
	now = "globex"
	each(func(g *rig, _ string) { g.run() })
	p.from(ok)
	q.from(ok)
	each(func(g *rig, _ string) {
		g.after(2 * time.Hour)
		g.settled()
	})
	for _, h := range p.accepted() {
		name := map[bool]string{true: "globex", false: "acme"}[read1(t, h).Data.Subject.ID == "bob"]
		if !strings.Contains(h.body, `"partner":"`+name+`"`) {
			t.Errorf("it says something else than %s: %s", name, h.body)
		}
	}
	call("acme")   // carried out before
	call("globex") // the same by the other id
	tell(said("ann", 4, kyc.InReview), said("bob", 2, kyc.Approved), said("cat", 1, kyc.Approved), inTest(said("tia", 2, kyc.Approved)))
	tell(byRef(said("ann", 5, kyc.Rejected)), byRef(of(said("", 6, kyc.InReview), "persona", "new", "", "")))
	each(func(g *rig, name string) {
		g.folded()
		for _, ref := range []string{"nobodys", "acmes", "new"} {
			if _, err := g.submit(submits("dan", ref, func(s *Submission) { s.Partner = name })); err != nil {
				t.Error(err)
			}
		}
		held(t, g, 0)
		g.after(40 * 24 * time.Hour) // the approval of ann has run out
		g.settled()
	})
	for _, lane := range []string{"acme/ann", "acme/bob", "acme/cat", "acme/tia\x01t"} {
		if got, want := g.stateOf(lane), twin.stateOf(lane); !bytes.Equal(got, want) || len(want) == 0 {
			t.Errorf("%q stands at\n%x\nwant\n%x", lane, got, want)
		}
	}
	for _, id := range []string{"ann", "bob", "cat", "eve", "dan"} {
		if got, want := g.numbered(id), twin.numbered(id); !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s is told\n%s\nwant\n%s", id, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	lines, names := toldAs(t, p)
	want, _ := toldAs(t, q)
	slices.Sort(lines)
	slices.Sort(want)
	same(t, "told", lines, want)
	if names[len(names)-1] != "globex" {
		t.Errorf("called %v", names)
	}
	if n := g.entries(store.Subjects); n != twin.entries(store.Subjects) {
		t.Errorf("%d people, want %d: somebody is two", n, twin.entries(store.Subjects))
	}
	if v := g.view("globex", "ann", true); v.Partner != "globex" || g.view("acme", "ann", true).Partner != "globex" || g.relay.ShownLane("acme/tia\x01t") != "globex/tia\x01t" {
		t.Errorf("shown as %s", v.Partner)
	}
	g.rebuiltAs("ann")
}

// rebuiltAs proves that the history of a subject still makes its state, whatever its partner was
// called: it is set aside, and rebuilt from that.
func (g *rig) rebuiltAs(id string) {
	g.t.Helper()
	want := g.stateOf("acme/" + id)
	g.wound(store.Subjects, []byte("acme/"+id))
	g.close()
	g.open()
	if err := g.registry.Configure(g.partners); err != nil {
		g.t.Fatal(err)
	}
	g.run()
	eventually(g.t, "the repair is over", func() bool { yes, err := g.store.Unrepaired(); return !yes && err == nil && len(g.relay.Aside()) == 1 })
	if a := g.relay.Aside(); a[0].Partner != "globex" {
		g.t.Errorf("set aside as %s", a[0].Partner)
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	if out, err := g.relay.Rebuild(ctx, Rebuild{Partner: "globex", Subject: id, Livemode: true, Actor: "ops"}); err != nil || !out.Folded {
		g.t.Fatalf("Rebuild = %+v, %v", out, err)
	}
	if got := g.stateOf("acme/" + id); !bytes.Equal(got, want) {
		g.t.Errorf("rebuilt\n%x\nwant\n%x", got, want)
	}
}
