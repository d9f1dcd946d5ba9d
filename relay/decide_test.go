package relay

import (
	"context"
	"errors"
	"strings"
	"testing"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
)

// rejects is an operator's terminal rejection of ann.
func rejects(change ...func(*Decision)) Decision {
	d := Decision{
		Partner: "acme", Subject: "ann", Livemode: true, Source: "sumsub-eu", Check: kyc.IdentityVerification, Status: kyc.Rejected,
		Reasons: []kyc.Reason{kyc.HighRisk, kyc.FraudSuspected}, Note: "seen twice", Actor: "ops",
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

// decide orders a decision and waits until it is folded.
func (g *rig) decide(d Decision) (id string, err error) {
	g.t.Helper()
	if id, err = g.relay.Decide(g.t.Context(), d); err == nil {
		g.appended++
		g.folded()
	}
	return id, err
}

// TestDecide: an operator's word goes through the journal (I11), holds against the provider's, and stays with its author in the history.
func TestDecide(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	f := func(what string, d Decision, want kyc.Status, terminal bool) {
		t.Helper()
		id, err := g.decide(d)
		v := g.view("acme", "ann", true)
		last := v.Records[len(v.Records)-1]
		if err != nil || v.Status.Status != want || v.Status.Terminal != terminal {
			t.Errorf("%s: %s, terminal %v, %v; want %s, %v", what, v.Status.Status, v.Status.Terminal, err, want, terminal)
		}
		if last.Update.ID != id || last.Update.Actor != "ops" || last.Update.Note != d.Note || last.Verdict != kyc.Applied {
			t.Errorf("%s: record %+v", what, last)
		}
	}
	f("a rejection is terminal", rejects(), kyc.Rejected, true)
	if r := g.view("acme", "ann", true).Status.Reasons; len(r) != 2 || r[0].Code != kyc.FraudSuspected || r[1].Code != kyc.HighRisk {
		t.Errorf("reasons %v: the gravest is the primary one", r)
	}
	g.tell(said("ann", 5, kyc.Approved))
	g.folded()
	release := func(d *Decision) { d.Release, d.Status, d.Reasons = true, "", nil }
	f("a release gives the provider back its word", rejects(release), kyc.Approved, false)
	f("unless it may be tried again", rejects(func(d *Decision) { d.Retryable = true }), kyc.Rejected, false)
	f("suspended", rejects(func(d *Decision) { d.Status = kyc.Suspended }), kyc.Suspended, false)
	f("approved", rejects(func(d *Decision) { d.Status, d.Reasons = kyc.Approved, nil }), kyc.Approved, false)
	f("expired", rejects(func(d *Decision) { d.Status, d.Reasons = kyc.Expired, nil }), kyc.Expired, false)
	f("a source nobody has heard of", rejects(func(d *Decision) { d.Source = "branch-office" }), kyc.Rejected, true)
	g.settled()
	if got := story(t, p.seen()); got[1] != "status.rejected 2>4" {
		t.Errorf("the partner was told %q", got)
	}
}

// TestDecideTwice: a key makes two orders one, whatever else they say; without one each counts (I4).
func TestDecideTwice(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved), said("bob", 1, kyc.Approved))
	g.folded()
	f := func(d Decision) string {
		t.Helper()
		id, err := g.decide(d)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	keyed := func(d *Decision) { d.IdempotencyKey = "k1" }
	first := f(rejects(keyed))
	g.clock.advance(1e9)
	if again := f(rejects(keyed, func(d *Decision) { d.Status, d.Note = kyc.Suspended, "changed my mind" })); again != first {
		t.Errorf("the same key gives %s, then %s", first, again)
	}
	records(t, g, "ann", "applied[1 2]", "applied[3 4]", "duplicate[]")
	if other := f(rejects(keyed, func(d *Decision) { d.Subject = "bob" })); other == first {
		t.Error("the same key about somebody else is the same decision")
	}
	if a, b := f(rejects()), f(rejects()); a == b || a == first {
		t.Errorf("orders without a key: %s, %s", a, b)
	}
}

// TestDecideRefuses: what no subject could be told, and what there is nobody to tell it of. Nothing is appended.
func TestDecideRefuses(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	f := func(field string, change func(*Decision)) {
		t.Helper()
		_, err := g.decide(rejects(change))
		var wrong *FieldError
		if field == "" {
			if !errors.Is(err, outbox.ErrNotFound) || errors.Is(err, ErrInvalid) {
				t.Errorf("Decide = %v, want not found", err)
			}
		} else if !errors.Is(err, ErrInvalid) || !errors.As(err, &wrong) || wrong.Field != field || !strings.Contains(err.Error(), field) {
			t.Errorf("Decide = %v, want one about %s", err, field)
		}
	}
	f("partner", func(d *Decision) { d.Partner = "" })
	f("", func(d *Decision) { d.Partner = "globex" })
	f("subject", func(d *Decision) { d.Subject = "an\x01n" })
	f("", func(d *Decision) { d.Subject = "bob" })
	f("", func(d *Decision) { d.Livemode = false })
	f("source", func(d *Decision) { d.Source = "" })
	f("actor", func(d *Decision) { d.Actor = "" })
	f("check", func(d *Decision) { d.Check = "" })
	f("check", func(d *Decision) { d.Check = "palmistry" })
	f("scope", func(d *Decision) { d.Scope = "most" })
	f("document_type", func(d *Decision) { d.DocumentType = "passport" })
	f("document_type", func(d *Decision) { d.Scope, d.DocumentType = kyc.DocumentScope, "\xff" })
	f("status", func(d *Decision) { d.Status = kyc.Pending })
	f("status", func(d *Decision) { d.Status = "" })
	f("status", func(d *Decision) { d.Release = true })
	f("status", func(d *Decision) { d.Status, d.Terminal = kyc.Suspended, true })
	f("status", func(d *Decision) { d.Status, d.Retryable = kyc.InReview, true })
	f("retryable", func(d *Decision) { d.Terminal, d.Retryable = true, true })
	f("reasons", func(d *Decision) { d.Status = kyc.Approved })
	f("reasons", func(d *Decision) { d.Reasons = []kyc.Reason{"bad_vibes"} })
	f("note", func(d *Decision) { d.Note = strings.Repeat("x", 501) })
	f("note", func(d *Decision) { d.Note = "\xff" })
	f("idempotency_key", func(d *Decision) { d.IdempotencyKey = strings.Repeat("x", 257) })
	release := func(d *Decision) { d.Release, d.Status, d.Reasons = true, "", nil }
	f("", func(d *Decision) { release(d); d.Source = "sumsub-us" })
	f("", func(d *Decision) { release(d); d.Check = kyc.Screening })
	f("", func(d *Decision) { release(d); d.Scope = kyc.CheckScope })
	if _, err := g.decide(rejects(func(d *Decision) { d.Note = strings.Repeat("x", 500) })); err != nil {
		t.Errorf("a note of 500 bytes: %v", err)
	}
	records(t, g, "ann", "applied[1 2]", "applied[3 4]")
}

// refusing is a journal that takes nothing.
type refusing struct{ *journal.Bolt }

func (refusing) Append(context.Context, ...journal.Record) error { return journal.ErrFull }

// TestOrdersAreDurable: no order is acknowledged that the journal has not taken (I1, I11).
func TestOrdersAreDurable(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved), byRef(of(said("", 2, kyc.Approved), "persona", "act_1", "", "")))
	g.folded()
	g.wrap = func(b *journal.Bolt) journal.Journal { return refusing{b} }
	g.partners[0].Policy = kyc.Policy{ValidityMonths: 6}
	g.restart()
	g.tell() // its policy is registered by now
	eventually(t, "the policy is registered", func() bool { return len(versions(t, g)) == 2 })
	held := heldID(2)
	f := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, journal.ErrFull) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := g.relay.Decide(t.Context(), rejects())
	f("decision", err)
	_, err = g.relay.Submit(t.Context(), submits("ann", "act_9"))
	f("submission", err)
	f("release", g.relay.ReleaseHeld(t.Context(), held, "acme", "ann", "ops"))
	f("discard", g.relay.DiscardHeld(t.Context(), held, "ops"))
	eventually(t, "the policy is known", func() bool { _, err = g.relay.ApplyPolicy(t.Context(), "acme", "ops"); return err != nil })
	f("policy", err)
}
