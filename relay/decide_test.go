package relay

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
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
	out, err := g.relay.Decide(g.t.Context(), d)
	if err == nil {
		g.appended++
		g.folded()
	}
	return out.ID, err
}

// TestDecide: an operator's word goes through the journal (I11), holds against the provider's, and
// stays with its author in the history.
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
	f("seen by ourselves", rejects(func(d *Decision) { d.Source, d.Manual = "", true }), kyc.Rejected, true)
	g.settled()
	if got := story(t, p.seen()); got[1] != "status.rejected 2>4" {
		t.Errorf("the partner was told %q", got)
	}
}

// TestDecideTwice: a key makes two orders one (I4), and is refused for another; without one each
// counts.
func TestDecideTwice(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved), said("bob", 1, kyc.Approved))
	g.folded()
	f := func(d Decision) Decided {
		t.Helper()
		out, err := g.relay.Decide(t.Context(), d)
		if err != nil || !out.Folded {
			t.Fatal(out, err)
		}
		return out
	}
	keyed := func(d *Decision) { d.IdempotencyKey = "k1" }
	first := f(rejects(keyed))
	if first.Before != kyc.Approved || first.After != kyc.Rejected || len(first.Changes) != 2 {
		t.Errorf("the first came out as %+v", first)
	}
	g.clock.advance(1e9)
	same := func(when string) {
		t.Helper()
		if again := f(rejects(keyed, func(d *Decision) { d.Actor = "somebody else" })); !reflect.DeepEqual(again, first) {
			t.Errorf("%s: the same key gives %+v, then %+v", when, first, again)
		}
		for what, change := range map[string]func(*Decision){
			"status": func(d *Decision) { d.Status = kyc.Suspended }, "note": func(d *Decision) { d.Note = "changed my mind" },
			"reasons": func(d *Decision) { d.Reasons = nil }, "check": func(d *Decision) { d.Check = kyc.Screening },
			"release": func(d *Decision) { d.Release, d.Status, d.Reasons = true, "", nil }, "manual": func(d *Decision) { d.Source, d.Manual = "", true },
		} {
			if _, err := g.relay.Decide(t.Context(), rejects(keyed, change)); !errors.Is(err, ErrKeyUsed) {
				t.Errorf("%s: the key for another %s: %v", when, what, err)
			}
		}
	}
	same("at once")
	g.restart()
	same("after a restart")
	records(t, g, "ann", "applied[1 2]", "applied[3 4]")
	if other := f(rejects(keyed, func(d *Decision) { d.Subject = "bob" })); other.ID == first.ID {
		t.Error("the same key about somebody else is the same decision")
	}
	f(rejects(func(d *Decision) { d.Status, d.Reasons = kyc.Approved, nil }))
	same("when the person has moved on")
	if a, b := f(rejects()), f(rejects()); a.ID == b.ID || a.ID == first.ID {
		t.Errorf("orders without a key: %s, %s", a.ID, b.ID)
	}
	g.tamper(func(tx *store.Tx) error { return tx.Bucket(store.Orders).Delete([]byte(first.ID)) })
	if _, err := g.relay.Decide(t.Context(), rejects(keyed)); !errors.Is(err, ErrKeyUsed) { // nobody knows any more for what
		t.Errorf("a key that is known to the person only: %v", err)
	}
}

// TestDecideOnTheWay: a key is taken from the moment on at which its order may be in the journal,
// whoever has folded what.
func TestDecideOnTheWay(t *testing.T) {
	t.Parallel()
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	if err := g.halt(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second) // enough for the disk, and nothing is folded
	defer cancel()
	keyed := func(d *Decision) { d.IdempotencyKey = "k1" }
	first, err := g.relay.Decide(short, rejects(keyed))
	if err != nil || first.Folded || first.ID == "" {
		t.Fatalf("while nothing is folded: %+v, %v", first, err)
	}
	for range 2 {
		soon, cancel := context.WithTimeout(t.Context(), patience) // it is refused without waiting for the fold
		defer cancel()
		if _, err := g.relay.Decide(soon, rejects(keyed, func(d *Decision) { d.Status = kyc.Suspended })); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("the key for another: %v", err)
		}
		g.restart()
	}
	again, err := g.relay.Decide(t.Context(), rejects(keyed))
	if err != nil || again.ID != first.ID || !again.Folded || again.After != kyc.Rejected || len(again.Changes) != 2 {
		t.Errorf("again: %+v, %v", again, err)
	}

	g.wrap = func(b *journal.Bolt) readAndWritten { return refusing{b} }
	g.restart()
	lost := rejects(func(d *Decision) { d.IdempotencyKey = "k2" })
	if _, err := g.relay.Decide(t.Context(), lost); !errors.Is(err, journal.ErrFull) {
		t.Fatal(err)
	}
	g.wrap = nil
	g.restart()
	if _, err := g.relay.Decide(t.Context(), rejects(func(d *Decision) { d.IdempotencyKey, d.Status = "k2", kyc.Suspended })); !errors.Is(err, ErrKeyUsed) {
		t.Errorf("a key whose order may have been taken: %v", err)
	}
	if out, err := g.relay.Decide(t.Context(), lost); err != nil || !out.Folded {
		t.Errorf("the same again: %+v, %v", out, err)
	}
}

// TestDecideAtOnce: of orders that come under one key at the same moment, one is carried out, and
// every other that is not the same is refused.
func TestDecideAtOnce(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	statuses := []kyc.Status{kyc.Rejected, kyc.Suspended, kyc.InReview, kyc.Approved}
	var mu sync.Mutex
	var wg sync.WaitGroup
	done := map[kyc.Status]int{}
	for i := range 40 {
		d := rejects(func(d *Decision) {
			d.IdempotencyKey, d.Status, d.Reasons = "k1", statuses[i%len(statuses)], []kyc.Reason{}
		})
		wg.Go(func() {
			out, err := g.relay.Decide(t.Context(), d)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && out.Folded && out.After == d.Status:
				done[d.Status]++
			case !errors.Is(err, ErrKeyUsed):
				t.Errorf("%s: %+v, %v", d.Status, out, err)
			}
		})
	}
	wg.Wait()
	if len(done) != 1 || done[g.view("acme", "ann", true).Status.Status] != 10 {
		t.Errorf("carried out: %v", done)
	}
}

// TestDecideForgets: what a key was used for is forgotten after 90 days; somebody who still knows
// the decision then refuses the key.
func TestDecideForgets(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	keyed := rejects(func(d *Decision) { d.IdempotencyKey = "k1" })
	first, err := g.relay.Decide(t.Context(), keyed)
	if err != nil {
		t.Fatal(err)
	}
	f := func(days, left int, want error) {
		t.Helper()
		g.stopped()
		g.clock.advance(time.Duration(days) * 24 * time.Hour)
		g.retained()
		g.run()
		again, err := g.relay.Decide(t.Context(), keyed)
		if !errors.Is(err, want) || want == nil && !reflect.DeepEqual(first, again) || g.count(store.Orders) != left {
			t.Errorf("%d days later: %+v, %v, %d orders", days, again, err, g.count(store.Orders))
		}
	}
	f(89, 1, nil)
	f(2, 0, ErrKeyUsed)
}

// TestDecideForeseen: what is foreseen is what comes, and names who is told.
func TestDecideForeseen(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(
		p.endpoint("all"), p.endpoint("blend", only("kyc.status.*"), func(e *Endpoint) { e.Format = blendfi }), p.endpoint("docs", only("kyc.document.*")),
	))
	g.tell(said("ann", 1, kyc.InReview))
	g.folded()
	f := func(what string, d Decision, before, after kyc.Status, lifts int, effects ...string) {
		t.Helper()
		foreseen, err := g.relay.ForeseeDecision(d)
		if err != nil {
			t.Fatal(err)
		}
		stands := g.view("acme", d.Subject, true).Status
		out, err := g.relay.Decide(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		g.appended++
		if stands.Status != before || foreseen.ID != "" || foreseen.Folded || !out.Folded {
			t.Errorf("%s: foreseen %+v, came %+v, when %s stood", what, foreseen, out, stands.Status)
		}
		foreseen.ID, foreseen.Folded = out.ID, true
		if !reflect.DeepEqual(foreseen, out) {
			t.Errorf("%s: foreseen\n%+v, and came\n%+v", what, foreseen, out)
		}
		var got []string
		for _, e := range out.Changes {
			got = append(got, fmt.Sprint(e.Type, " ", e.PreviousStatus, ">", e.Status, " ", e.Endpoints))
		}
		if out.Before != before || out.After != after || out.Lifts != lifts || !slices.Equal(got, effects) {
			t.Errorf("%s: %+v", what, out)
		}
	}
	release := func(d *Decision) { d.Release, d.Status, d.Reasons = true, "", nil }
	approves := func(d *Decision) { d.Status, d.Reasons = kyc.Approved, nil }
	f("approved", rejects(approves), kyc.InReview, kyc.Approved, 0, "kyc.check.clear in_review>approved [all]", "kyc.status.approved in_review>approved [all blend]")
	f("rejected", rejects(), kyc.Approved, kyc.Rejected, 0, "kyc.check.failed approved>rejected [all]", "kyc.status.rejected approved>rejected [all blend]")
	f("released", rejects(release), kyc.Rejected, kyc.Approved, 1, "kyc.check.clear rejected>approved [all]", "kyc.status.approved rejected>approved [all blend]")
	f("released, of nothing", rejects(release), kyc.Approved, kyc.Approved, 0)
	g.tell(because(said("bob", 9, kyc.InReview), kyc.FraudSuspected), said("bob", 10, kyc.Pending))
	g.folded()
	f("released, of what a new try hides", rejects(release, func(d *Decision) { d.Subject = "bob" }), kyc.Pending, kyc.Pending, 1)
	if n := len(p.seen()); n == 0 {
		t.Error("nobody was told")
	}
}

// TestDecideRefuses: what no subject could be told, and what there is nobody to tell it of. Nothing
// is appended.
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
	f("source", func(d *Decision) { d.Source = "manual" })
	f("source", func(d *Decision) { d.Manual = true })
	f("", func(d *Decision) { d.Source = "branch-office" })
	f("", func(d *Decision) { d.Check = kyc.Screening })
	f("", func(d *Decision) { d.Scope = kyc.CheckScope })
	f("", func(d *Decision) { d.Release, d.Status, d.Reasons, d.Source, d.Manual = true, "", nil, "", true })
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
	g.wrap = func(b *journal.Bolt) readAndWritten { return refusing{b} }
	g.partners[0].Policy = kyc.Policy{ValidityMonths: 6}
	g.restart()
	g.tell() // its policy is registered by now
	eventually(t, "the policy is registered", func() bool { return len(versions(t, g)) == 2 })
	held := unroutedID(g.at(2))
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
	f("release", g.relay.ReleaseUnrouted(t.Context(), held, "acme", "ann", "ops"))
	f("discard", g.relay.DiscardUnrouted(t.Context(), held, "ops"))
	eventually(t, "the policy is known", func() bool { _, err = g.relay.ApplyPolicy(t.Context(), "acme", "ops"); return err != nil })
	f("policy", err)
}
