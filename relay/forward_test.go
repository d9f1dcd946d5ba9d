package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"countersign/ingest/forward"
	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// queuedAfter reads the feed until nothing more waits.
func (g *rig) queuedAfter(after journal.Position) (es []forward.Entry) {
	g.t.Helper()
	f := g.relay.Changes()
	for {
		ctx, cancel := context.WithCancel(g.t.Context())
		if n, _ := f.Waiting(after); n == 0 {
			cancel()
		}
		more, last, err := f.Next(ctx, after)
		cancel()
		if err != nil {
			g.t.Fatal(err)
		}
		if last == after {
			return es
		}
		es, after = append(es, more...), last
	}
}

// pass takes out what stands up to a place, as the forwarder does.
func (g *rig) pass(upTo journal.Position) {
	g.t.Helper()
	f := g.relay.Changes()
	if err := g.store.Update(g.t.Context(), func(tx *store.Tx) error { return f.Pass(tx, upTo) }); err != nil {
		g.t.Fatal(err)
	}
}

func header(m *forward.Message, name string) string {
	for _, h := range m.Headers {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}

// forwards starts a rig that queues its changes.
func forwards(t *testing.T, partners ...Partner) *rig {
	t.Helper()
	g := newRig(t, partners...)
	g.close()
	g.forward = true
	g.open()
	g.run()
	return g
}

// What is queued is what partners are told: the same ids, in sequence, as the history keeps it.
func TestChangesAreQueued(t *testing.T) {
	p := newPartner(t, ok)
	g := forwards(t, acme(p.endpoint("a")))
	review := said("ann", 1, kyc.InReview)
	g.tell(review, said("ann", 3, kyc.Approved), review, said("bob", 2, kyc.Rejected))
	g.settled()
	es := g.queuedAfter(journal.Position{})
	var ids, told []string
	for _, e := range es {
		var c kyc.Change
		if err := json.Unmarshal(e.Message.Value, &c); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.ID)
		want := map[string]string{
			"ce_id": c.ID, "ce_type": c.Type, "ce_source": "/sources/sumsub-eu", "ce_subject": "acme/" + c.Subject.ID, "ce_specversion": "1.0", "content-type": "application/json",
		}
		for name, v := range want {
			if got := header(e.Message, name); got != v {
				t.Errorf("%s: %s is %q, want %q", c.Type, name, got, v)
			}
		}
		if string(e.Message.Key) != "acme/"+c.Subject.ID || header(e.Message, "ce_time") == "" {
			t.Errorf("key %s, %v", e.Message.Key, e.Message.Headers)
		}
	}
	for _, h := range p.seen() {
		told = append(told, h.id)
	}
	slices.Sort(ids)
	slices.Sort(told)
	if len(ids) != 6 || !slices.Equal(ids, told) {
		t.Errorf("queued %q, told %q", ids, told)
	}
	last := es[len(es)-1].Place
	if at := g.relay.Undecided(last.Plus(-1)); at != last.Plus(-1) {
		t.Errorf("with something waiting the journal may forget up to %v, want %v", at, last.Plus(-1))
	}
	g.pass(last)
	if n, since := g.relay.Changes().Waiting(last); n != 0 || !since.IsZero() || g.relay.Undecided(last) != journal.Unneeded {
		t.Errorf("%d wait since %v", n, since)
	}
	if g.count(store.Forward) != 0 {
		t.Error("what was passed is still in the file")
	}
}

// (I2) Crashes and restarts neither lose a change for Kafka nor queue one twice, whether it is read
// from memory or from the file.
func TestChangesSurviveCrashes(t *testing.T) {
	p := newPartner(t, ok)
	g := forwards(t, acme(p.endpoint("a")))
	rng := rand.New(rand.NewPCG(3, 3))
	got := map[string][]string{}
	var place journal.Position
	read := func() {
		t.Helper()
		es := g.queuedAfter(place)
		if len(es) == 0 {
			return
		}
		for _, e := range es {
			got[string(e.Message.Key)] = append(got[string(e.Message.Key)], header(e.Message, "ce_id"))
		}
		if place = es[len(es)-1].Place; rng.IntN(2) == 0 {
			g.pass(place)
		}
	}
	statuses := []kyc.Status{kyc.Pending, kyc.InReview, kyc.Approved, kyc.Rejected}
	for n := range 40 {
		for person := range 5 {
			g.tell(said(fmt.Sprint("p", person), n+1, statuses[rng.IntN(len(statuses))]))
		}
		switch rng.IntN(6) {
		case 0:
			g.settled()
			g.crash()
		case 1:
			g.settled()
			g.restart()
		case 2:
			g.settled()
			read()
		}
	}
	g.settled()
	read()
	for person := range 5 {
		id := fmt.Sprint("p", person)
		var want []string
		for _, c := range g.view("acme", id, true).Changes {
			want = append(want, c.ID)
		}
		if !slices.Equal(got["acme/"+id], want) {
			t.Errorf("%s: forwarded %d, decided %d", id, len(got["acme/"+id]), len(want))
		}
	}
}

// What is folded while Kafka is not configured is a gap, and said to be one.
func TestChangesNotQueued(t *testing.T) {
	p := newPartner(t, ok)
	g := forwards(t, acme(p.endpoint("a")))
	g.tell(said("ann", 1, kyc.InReview))
	g.settled()
	g.close()
	g.forward = false
	g.open()
	g.run()
	if !g.log.has("changes_wait_for_kafka") || g.relay.Changes() != nil {
		t.Error("nobody is told that changes wait")
	}
	g.tell(said("ann", 2, kyc.Approved), said("ann", 3, kyc.Rejected))
	g.settled()
	g.close()
	g.forward = true
	g.open()
	g.run()
	if g.relay.Unqueued() != 2 || !g.log.has("changes_not_forwarded") {
		t.Errorf("a gap of %d", g.relay.Unqueued())
	}
	g.tell(said("ann", 4, kyc.Approved))
	g.settled()
	if n := len(g.queuedAfter(journal.Position{})); n != 4 {
		t.Errorf("%d changes are queued, want 2 of before and 2 of after", n)
	}
}

// (I8) A damaged batch is passed over, named, counted, and stays.
func TestDamagedChanges(t *testing.T) {
	p := newPartner(t, ok)
	g := forwards(t, acme(p.endpoint("a")))
	g.tell(said("ann", 1, kyc.InReview))
	g.settled()
	first := g.queuedAfter(journal.Position{})[0].Place
	g.tell(said("ann", 2, kyc.Approved))
	g.settled()
	err := g.store.Update(t.Context(), func(tx *store.Tx) error {
		k, _ := tx.Bucket(store.Forward).Cursor().First()
		return spoil(tx, store.Forward, k)
	})
	if err != nil {
		t.Fatal(err)
	}
	g.restart()
	es := g.queuedAfter(journal.Position{})
	eventually(t, "the damaged batch is counted", func() bool { return g.metric("relay_damaged_changes_total") == 1 })
	if len(es) != 2 || es[0].Place == first {
		t.Errorf("%d entries, %g damaged", len(es), g.metric("relay_damaged_changes_total"))
	}
	g.pass(es[1].Place)
	if g.count(store.Forward) != 0 || g.count(store.Damaged) != 1 {
		t.Error("the damaged batch is gone")
	}
}

// A person's changes have one key for good: also those that were queued before the partner was
// renamed and read after, and whichever id the partner has by now.
func TestChangesOfARenamedPartner(t *testing.T) {
	p := newPartner(t, ok)
	g := forwards(t, acme(p.endpoint("a")))
	g.tell(said("ann", 1, kyc.InReview))
	g.settled()
	g.become("acme-ltd", "acme")
	g.run()
	u := said("ann", 3, kyc.Approved)
	u.Partner = "acme-ltd"
	g.tell(u)
	g.settled()
	es := g.queuedAfter(journal.Position{})
	if len(es) < 2 {
		t.Fatalf("%d changes", len(es))
	}
	subjects := map[string]int{}
	for _, e := range es {
		if string(e.Message.Key) != "acme/ann" {
			t.Errorf("key %q of %s", e.Message.Key, e.Message.Value)
		}
		subjects[header(e.Message, "ce_subject")]++
	}
	if len(subjects) != 2 || subjects["acme/ann"] == 0 || subjects["acme-ltd/ann"] == 0 {
		t.Errorf("about %v", subjects)
	}
}

// RoutingRef is the ref under which an update waits: the same as for everything else that the same
// person will be known by.
func TestRoutingRef(t *testing.T) {
	u := said("", 1, kyc.Approved)
	u.Subject.ProviderRef, u.Verification.Ref, u.Verification.ParentRef = "entity", "evaluation", "application"
	f := func(want string, personal ...RefKind) {
		t.Helper()
		if got := RoutingRef(&u, personal); got != want {
			t.Errorf("%v: %q, want %q", personal, got, want)
		}
	}
	f("entity", SubjectRef)
	f("evaluation", SessionRef, SubjectRef)
	f("application", ParentRef)
	f("entity")
	u.Subject.ProviderRef = ""
	f("evaluation", SubjectRef) // none that is a person's: any is better than the record's own id
	u.Verification = kyc.Verification{}
	f("", SubjectRef)
}
