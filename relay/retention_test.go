package relay

import (
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// stopped ends the relay, so that its own retention is not in the way; the store goes on.
func (g *rig) stopped() {
	g.t.Helper()
	if err := g.halt(); err != nil {
		g.t.Fatal(err)
	}
}

// retained drives the steps until none has more to do.
func (g *rig) retained() {
	g.t.Helper()
	for range 100 {
		more := false
		for _, step := range g.relay.retentions() {
			again, err := step(g.t.Context())
			if err != nil {
				g.t.Fatal(err)
			}
			more = more || again
		}
		if !more {
			return
		}
	}
	g.t.Fatal("retention never ends")
}

// entries counts what stands in a bucket.
func (g *rig) entries(bucket store.Name) (n int) {
	g.t.Helper()
	err := g.store.View(func(tx *store.Tx) error {
		return tx.Bucket(bucket).ForEach(func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// TestRetention: changes go first, then the rest of the history with its index; the state stays,
// and what is new is not touched.
func TestRetention(t *testing.T) {
	p := newPartner(t, always(500))
	g := newRig(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(2))))
	g.relay.Keep(Retention{Changes: 24 * time.Hour, History: 48 * time.Hour, Attempts: 24 * time.Hour})
	g.run()
	g.tell(said("ann", 1, kyc.Approved), said("bob", 1, kyc.Rejected))
	g.settled()
	g.stopped()
	f := func(when string, records, changes, outcomes, tries int) {
		t.Helper()
		g.retained()
		v := g.view("acme", "ann", true)
		if len(v.Records) != records || len(v.Changes) != changes || len(v.Deliveries) != outcomes || g.entries(store.Attempts) != 2*tries || v.Status.Status != kyc.Approved {
			t.Errorf("%s: %d records, %d changes, %d outcomes, %d tries, %s", when, len(v.Records), len(v.Changes), len(v.Deliveries), g.entries(store.Attempts), v.Status.Status)
		}
	}
	f("at once", 1, 2, 1, 2)
	g.clock.advance(25 * time.Hour)
	f("after a day", 1, 0, 1, 0)
	g.clock.advance(24 * time.Hour)
	f("after two days", 0, 0, 0, 0)
	if n := g.entries(store.History) + g.entries(store.Outcomes) + g.entries(store.Index); n != 0 {
		t.Errorf("%d entries are left", n)
	}
	if n := g.metric("relay_retention_removed_total"); n == 0 {
		t.Error("nothing was counted")
	}
}

// A damaged entry is never removed (I8), and does not hold up the rest.
func TestRetentionLeavesWhatIsDamaged(t *testing.T) {
	g := newRig(t, acme())
	g.relay.Keep(Retention{History: time.Hour})
	g.run()
	g.tell(said("ann", 1, kyc.Approved), said("bob", 1, kyc.Rejected))
	g.folded()
	g.stopped()
	g.tamper(func(tx *store.Tx) error {
		k, _ := tx.Bucket(store.History).Cursor().First()
		return spoil(tx, store.History, k)
	})
	g.clock.advance(2 * time.Hour)
	g.retained()
	if n := g.entries(store.History); n != 1 {
		t.Errorf("%d entries are left, want the damaged one", n)
	}
}

func TestRetentionForEver(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	g.stopped()
	g.clock.advance(100 * 365 * 24 * time.Hour)
	g.retained()
	if v := g.view("acme", "ann", true); len(v.Records) != 1 || len(v.Changes) != 2 {
		t.Errorf("%d records and %d changes are left", len(v.Records), len(v.Changes))
	}
}

// TestRetentionOfAnswers: nothing of what partners answered stays for ever, also of one whose
// endpoint has gone, and what was answered again yesterday has its time from then.
func TestRetentionOfAnswers(t *testing.T) {
	p := newPartner(t, func(hit) reply { return reply{code: 500, text: "the same page for everybody"} })
	g := newRig(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(2))))
	g.relay.Keep(Retention{Attempts: 24 * time.Hour})
	g.run()
	g.tell(said("ann", 1, kyc.Approved))
	g.settled()
	g.clock.advance(26 * time.Hour) // longer than AnswerRefresh
	g.tell(said("bob", 1, kyc.Approved))
	g.settled()
	g.stopped()
	g.outbox.Leave("a")
	f := func(when string, tries, answers int) {
		t.Helper()
		g.retained()
		if g.entries(store.Attempts) != tries || g.entries(store.Answers) != answers {
			t.Errorf("%s: %d tries, %d texts; want %d, %d", when, g.entries(store.Attempts), g.entries(store.Answers), tries, answers)
		}
	}
	f("at once", 2, 1)
	g.clock.advance(25 * time.Hour)
	f("when the tries have had their time", 0, 1)
	g.clock.advance(24 * time.Hour)
	f("a day later", 0, 0)
}
