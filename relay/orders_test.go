package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// failing answers 500 to the changes with these sequences.
func failing(sequences ...int) func(hit) reply {
	return func(h hit) reply {
		for _, n := range sequences {
			if strings.Contains(h.body, fmt.Sprintf(`"sequence":%d,`, n)) {
				return reply{code: 500}
			}
		}
		return ok(h)
	}
}

// oneDead is a rig whose subject ann has one dead delivery, the first of its lane.
func oneDead(t *testing.T) (*rig, *partner, outbox.DeadDelivery) {
	t.Helper()
	p := newPartner(t, failing(2))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(2))))
	g.tell(said("ann", 1, kyc.InReview))
	g.settled()
	d := g.dead("a")
	if len(d) != 1 {
		t.Fatalf("%d dead, want 1", len(d))
	}
	p.from(ok)
	return g, p, d[0]
}

func TestRedeliver(t *testing.T) {
	g, p, d := oneDead(t)
	for range 2 { // the order survives a restart, and so does the fold of it
		if err := g.redeliver(d.ID, false); err != nil && !errors.Is(err, outbox.ErrNotFound) {
			t.Fatal(err)
		}
		g.settled()
		g.restart()
	}
	hits := p.seen()
	if len(hits) != 3 || len(p.accepted()) != 1 || hits[2].id != hits[0].id || hits[2].body != hits[0].body {
		t.Errorf("%d requests; want a third with the id and body of the first", len(hits))
	}
	if n := len(g.dead("a")); n != 0 || g.outbox.Dead("a") != 0 {
		t.Errorf("%d dead are listed, %d counted", n, g.outbox.Dead("a"))
	}
	v := g.view("acme", "ann", true)
	order := v.Records[len(v.Records)-1]
	if u := order.Update; len(v.Records) != 2 || u.Kind != kyc.Redelivery || u.Actor != "ops" || u.ChangeID != hits[0].id || u.Endpoint != "a" || order.Verdict != kyc.Applied {
		t.Errorf("history: %+v", v.Records)
	}
	if o := v.Deliveries; len(o) != 2 || o[0].Outcome != outbox.Died || o[1].Outcome != outbox.Done || o[0].Sequence != o[1].Sequence {
		t.Errorf("outcomes: %+v", o)
	}
}

// TestOrderOf: a delivery names the record that owed it or, later, the one that ordered it again last,
// whether it was dead then or owed still.
func TestOrderOf(t *testing.T) {
	g, p, _ := oneDead(t)
	p.from(always(500))
	f := func(what string) {
		t.Helper()
		g.settled()
		if d := g.dead("a"); len(d) != 1 || d[0].Order != g.appended {
			t.Errorf("%s by record %d: %+v", what, g.appended, d)
		}
	}
	f("owed")
	if err := g.redeliver(g.dead("a")[0].ID, false); err != nil {
		t.Fatal(err)
	}
	f("ordered again")
	g.repeats(Repeat{Kind: ReplayRange, Endpoint: "a", Until: g.clock.now().Add(time.Hour)}, 10)
	f("repeated")
	id := g.dead("a")[0].ID
	if err := g.halt(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.relay.Redeliver(t.Context(), id, false, "ops"); err != nil {
			t.Fatal(err)
		}
		g.appended++
	}
	g.restart()
	f("ordered again twice")
}

// TestRepeatedOrder: the same order twice in the journal is carried out once.
func TestRepeatedOrder(t *testing.T) {
	g, p, d := oneDead(t)
	if err := g.halt(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := g.relay.Redeliver(t.Context(), d.ID, false, "ops"); err != nil {
			t.Fatal(err)
		}
		g.appended++
	}
	g.restart()
	g.settled()
	if n := len(p.accepted()); n != 1 || len(g.dead("a")) != 0 {
		t.Errorf("%d delivered and %d dead, want 1 and none", n, len(g.dead("a")))
	}
	f := func(id string) {
		t.Helper()
		if err := g.redeliver(id, true); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("Redeliver(%q) = %v", id, err)
		}
	}
	f(d.ID) // delivered by now
	f("evt_nobody@a")
	f(d.ID + "x")
	f("nonsense")
	f("")
}

func TestOvertaken(t *testing.T) {
	g, p, d := oneDead(t)
	g.tell(said("ann", 2, kyc.Approved))
	g.settled()
	err := g.redeliver(d.ID, false)
	if !errors.Is(err, ErrOvertaken) || g.position() != g.appended {
		t.Errorf("Redeliver = %v, want ErrOvertaken and no order", err)
	}
	other := said("bob", 1, kyc.Approved) // another subject's progress overtakes nobody
	g.tell(other)
	g.settled()
	before := len(p.seen())
	if err := g.redeliver(d.ID, true); err != nil {
		t.Fatal(err)
	}
	g.settled()
	hits := p.seen()
	if len(hits) != before+1 || hits[before].id != hits[0].id || hits[before].body != hits[0].body {
		t.Errorf("%d requests after a forced order, want one more with the first's id and body", len(hits)-before)
	}
}

// TestOvertakenMeanwhile: what was allowed when it was ordered may be overtaken before it goes out;
// without force it does not turn the picture back.
func TestOvertakenMeanwhile(t *testing.T) {
	f := func(force bool, want ...string) {
		t.Helper()
		p := newPartner(t, failing(2))
		g := start(t, acme(p.endpoint("a", only("kyc.status.*"), func(e *Endpoint) {
			e.Retry = Schedule{First: time.Hour, Factor: 1, Max: time.Hour, Attempts: 2}
		})))
		g.tell(said("ann", 1, kyc.InReview), said("ann", 2, kyc.Approved))
		p.until(t, 1)
		eventually(t, "the first try is settled", func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 2); return len(tries) == 1 })
		p.from(failing(2, 4))
		g.after(61 * time.Minute) // the first dies, the second fails once
		p.until(t, 3)
		eventually(t, "the second waits for its next try", func() bool { tries, _ := g.outbox.Tries("a", "acme/ann", 4); return len(tries) == 1 })
		p.from(ok)
		if err := g.redeliver(g.dead("a")[0].ID, force); err != nil {
			t.Fatal(err)
		}
		g.after(61 * time.Minute)
		g.settled()
		same(t, fmt.Sprintf("delivered with force %v", force), story(t, p.accepted()), want)
		dead := g.dead("a")
		if force && len(dead) != 0 || !force && (len(dead) != 1 || dead[0].Reason != outbox.Overtaken || dead[0].Sequence != 2) {
			t.Errorf("dead with force %v: %+v", force, dead)
		}
	}
	f(false, "status.approved 2>4")
	f(true, "status.approved 2>4", "status.in_review 0>2")
}

// TestOrderIsJudgedAgain: an order that was let through, but is overtaken when it is folded,
// changes nothing.
func TestOrderIsJudgedAgain(t *testing.T) {
	g, p, d := oneDead(t)
	webhookID, endpoint, _ := outbox.SplitID(d.ID)
	order := kyc.Update{SchemaVersion: 1, ID: "order", Kind: kyc.Redelivery, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "ann"}, ChangeID: webhookID, Endpoint: endpoint}
	g.tell(said("ann", 2, kyc.Approved))
	g.settled()
	g.tell(order)
	g.settled()
	if n := len(p.accepted()); n != 1 || len(g.dead("a")) != 1 {
		t.Errorf("%d delivered and %d dead, want 1 and 1", n, len(g.dead("a")))
	}
}

// TestMaxOwed: an endpoint at its bound costs nobody anything; what it could not be owed is made
// again from its change when there is room (I6).
func TestMaxOwed(t *testing.T) {
	full, fine := newPartner(t, always(500)), newPartner(t, ok)
	g := start(t, acme(
		full.endpoint("full", only("kyc.status.*"), hourly, func(e *Endpoint) { e.MaxOwed = 3 }),
		fine.endpoint("fine", only("kyc.status.*")),
	))
	us := flurry(10, 1)
	g.tell(us...)
	g.folded()
	eventually(t, "the other endpoint has everything", func() bool { return len(fine.accepted()) == 10 })
	dead := g.dead("full")
	if owed := g.outbox.Owed("full"); owed != 3 || len(dead) != 7 || g.metric("outbox_dead_lettered_total", "reason", outbox.Overflow) != 7 {
		t.Fatalf("%d owed and %d dead, want 3 and 7", owed, len(dead))
	}
	for _, d := range dead {
		if d.Reason != outbox.Overflow || d.HasBody || d.Type != "kyc.status.in_review" || d.Sequence != 2 {
			t.Errorf("%+v", d)
		}
	}
	eventually(t, "the first tries are settled", func() bool { return g.metric("relay_attempts_total", "endpoint", "full", "outcome", "retry") == 3 })
	full.from(ok)
	g.after(2 * time.Hour)
	eventually(t, "there is room, so that nobody need order them again", func() bool { return len(full.accepted()) == 10 })
	g.settled()
	bodies := map[string]string{}
	for _, h := range fine.seen() {
		bodies[h.id] = h.body
	}
	if n := len(full.accepted()); n != 10 || len(g.dead("full")) != 0 {
		t.Errorf("%d delivered and %d dead in the end, want 10 and none", n, len(g.dead("full")))
	}
	for _, h := range full.accepted() {
		if bodies[h.id] != h.body {
			t.Errorf("%s is told as %s, to the other endpoint as %s", h.id, h.body, bodies[h.id])
		}
	}
}

// TestOrphaned: what an endpoint owes that is gone from the config stays owed, costs the one that
// stays nothing, and goes out once it is back.
func TestOrphaned(t *testing.T) {
	p, fine := newPartner(t, always(500)), newPartner(t, ok)
	gone, stays := p.endpoint("gone", only("kyc.status.*"), hourly), fine.endpoint("stays", only("kyc.status.*"))
	g := start(t, acme(gone, stays))
	g.tell(flurry(4, 2)...)
	g.folded()
	g.close()
	g.partners = []Partner{acme(stays)}
	g.open()
	g.run()
	g.settled()
	if n := len(fine.accepted()); n != 8 {
		t.Errorf("%d delivered to the one that stays, want 8", n)
	}
	if k, err := kept(g, "gone"); err != nil || k.Owed != 8 || k.Dead != 0 || k.Lane == "" {
		t.Errorf("kept of the one that is gone: %+v, %v", k, err)
	}
	if v := g.sends.Endpoints(); len(v) != 1 || v[0].ID != "stays" {
		t.Errorf("endpoints: %+v", v)
	}
	g.close()
	g.partners = []Partner{acme(stays, gone)}
	p.from(ok)
	g.clock.advance(2 * time.Hour)
	g.open()
	g.run()
	g.settled()
	if n := len(p.accepted()); n != 8 || len(g.dead("gone")) != 0 {
		t.Errorf("%d delivered and %d dead in the end, want 8 and none", n, len(g.dead("gone")))
	}
}

// kept is what the file keeps of an endpoint.
func kept(g *rig, endpoint string) (k outbox.Kept, err error) {
	err = g.store.View(func(tx *store.Tx) (err error) {
		k, err = outbox.KeptOf(tx, endpoint)
		return err
	})
	return k, err
}
