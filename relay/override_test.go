package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

func (g *rig) items(after string, n int) (list []UnroutedView, more bool) {
	g.t.Helper()
	list, more, err := g.relay.UnroutedItems(after, n)
	if err != nil {
		g.t.Fatal(err)
	}
	return list, more
}

// ordered waits until an order about an unrouted record is folded.
func (g *rig) ordered(err error) error {
	g.t.Helper()
	if err == nil {
		g.appended++
		g.folded()
	}
	return err
}

func TestUnroutedItems(t *testing.T) {
	g := start(t, acme())
	if list, more := g.items("", 0); len(list) != 0 || list == nil || more {
		t.Errorf("%v, %v", list, more)
	}
	g.tell(unknown(1, kyc.Approved, "act_1", "inq_1", "cmp_1"))
	g.tell(of(said("ann", 1, kyc.Pending), "persona", "act_2", "", ""), of(said("bob", 1, kyc.Pending), "persona", "act_2", "", ""))
	g.tell(inTest(unknown(2, kyc.Rejected, "act_2", "", "")), unknown(2, kyc.Rejected, "act_2", "", ""))
	g.write(journal.Record{Kind: kyc.Observation, Appended: g.clock.now(), Body: []byte("not json")})
	g.folded()
	list, more := g.items("", 0)
	var lines []string
	for _, v := range list {
		if v.At.IsZero() {
			t.Errorf("%s has no time", v.ID)
		}
		lines = append(lines, fmt.Sprint(v.ID, " ", v.Reason, " ", v.Source, " ", v.Provider, " ", v.ProviderRef, " ", v.VerificationRef, " ", v.ParentRef, " ", v.Status, " ", v.Check, " ", v.Livemode))
	}
	same(t, "items", lines, []string{
		"unrouted_0000000000000001 unrouted persona-eu persona act_1 inq_1 cmp_1 approved identity_verification true",
		"unrouted_0000000000000004 unrouted persona-eu persona act_2   rejected identity_verification false",
		"unrouted_0000000000000005 ambiguous persona-eu persona act_2   rejected identity_verification true",
		"unrouted_0000000000000006 unreadable        false",
	})
	if more {
		t.Error("there are no more")
	}
	var ids []string
	for after, more := "", true; more; {
		list, more = g.items(after, 1)
		after = list[0].ID
		ids = append(ids, after)
	}
	same(t, "one by one", ids, []string{"unrouted_0000000000000001", "unrouted_0000000000000004", "unrouted_0000000000000005", "unrouted_0000000000000006"})
	if _, _, err := g.relay.UnroutedItems("unrouted_x", 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("a cursor that is none: %v", err)
	}
}

// TestReleaseUnrouted: an operator says whose a record is. It goes through the journal (I11), is
// applied once, teaches, and stays with its author in the history.
func TestReleaseUnrouted(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))), Partner{ID: "globex"})
	theirs := unknown(5, kyc.Approved, "act_3", "", "")
	theirs.Partner = "globex"
	g.tell(unknown(1, kyc.Approved, "act_1", "", ""), unknown(2, kyc.InReview, "act_1", "", ""))
	g.tell(of(said("bob", 1, kyc.Pending), "persona", "act_2", "", ""), of(said("cid", 1, kyc.Pending), "persona", "act_2", "", ""))
	g.tell(unknown(3, kyc.Rejected, "act_2", "", ""), unknown(4, kyc.Rejected, "act_2", "", ""), named(theirs))
	g.folded()
	held(t, g, 5)
	f := func(what, id, partner, subject string, want error) {
		t.Helper()
		if err := g.ordered(g.relay.ReleaseUnrouted(t.Context(), id, partner, subject, "ops")); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	f("nobody's partner", unroutedID(g.at(1)), "initech", "ann", outbox.ErrNotFound)
	f("no subject", unroutedID(g.at(1)), "acme", "", ErrInvalid)
	f("another partner's", unroutedID(g.at(7)), "acme", "ann", ErrInvalid)
	f("no such record", unroutedID(g.at(99)), "acme", "ann", outbox.ErrNotFound)
	f("no id", "1", "acme", "ann", outbox.ErrNotFound)
	if err := g.relay.ReleaseUnrouted(t.Context(), unroutedID(g.at(1)), "acme", "ann", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("nobody orders it: %v", err)
	}
	held(t, g, 5)

	f("unrouted", unroutedID(g.at(1)), "acme", "ann", nil)
	records(t, g, "ann", "applied[1 2]", "applied[3 4]", "applied[]") // the other one waited for the same ref
	if r := g.view("acme", "ann", true).Records[2].Update; r.Actor != "ops" || r.UnroutedID != unroutedID(g.at(1)) || !r.Release {
		t.Errorf("the order is kept as %+v", r)
	}
	f("released already", unroutedID(g.at(1)), "acme", "ann", outbox.ErrNotFound)
	f("ambiguous", unroutedID(g.at(5)), "acme", "bob", nil)
	records(t, g, "bob", "applied[1 2]", "applied[3 4]", "applied[]")
	records(t, g, "cid", "applied[1 2]")
	f("with a partner of its own", unroutedID(g.at(7)), "globex", "gil", nil)
	held(t, g, 1) // the other ambiguous one
	g.tell(unknown(6, kyc.Approved, "act_1", "", ""))
	g.settled()
	if s := g.view("acme", "ann", true).Status.Status; s != kyc.Approved {
		t.Errorf("ann is %s: the released record has not taught its ref", s)
	}
	g.restart()
	held(t, g, 1)
}

// TestUnroutedOrdersRace: of two orders about one record, both on their way to the fold, the first
// counts.
func TestUnroutedOrdersRace(t *testing.T) {
	g := newRig(t, acme())
	g.tell(unknown(1, kyc.Approved, "act_1", "", ""))
	order := func(release bool, subject string) kyc.Update {
		return named(kyc.Update{SchemaVersion: 1, Kind: kyc.Decision, UnroutedID: unroutedID(g.at(1)), Release: release, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: subject}, Actor: "ops"})
	}
	g.tell(order(true, "ann"), order(true, "bob"), order(false, ""))
	g.run()
	g.folded()
	records(t, g, "ann", "applied[1 2]", "applied[]")
	records(t, g, "bob", "stale[]")
	held(t, g, 0)
}

// TestDiscardUnrouted: a discarded record is kept with who, when and what, counts no longer, and
// nothing sets it free (I8).
func TestDiscardUnrouted(t *testing.T) {
	g := start(t, acme())
	g.tell(unknown(1, kyc.Approved, "act_1", "", ""), unknown(2, kyc.Approved, "act_1", "", ""))
	g.write(journal.Record{Kind: kyc.Observation, Appended: g.clock.now(), Body: []byte("not json")}, journal.Record{Kind: kyc.Observation, Appended: g.clock.now(), Body: []byte(`{"kind":"prophecy"}`)})
	g.folded()
	g.tamper(func(tx *store.Tx) error { return spoil(tx, store.Refs, heldKey("", g.at(4))) })
	f := func(id string, want error) {
		t.Helper()
		if err := g.ordered(g.relay.DiscardUnrouted(t.Context(), id, "ops")); !errors.Is(err, want) {
			t.Errorf("DiscardUnrouted(%s) = %v, want %v", id, err, want)
		}
	}
	f(unroutedID(g.at(9)), outbox.ErrNotFound)
	if err := g.relay.DiscardUnrouted(t.Context(), unroutedID(g.at(1)), ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("nobody orders it: %v", err)
	}
	if err := g.relay.ReleaseUnrouted(t.Context(), unroutedID(g.at(3)), "acme", "ann", "ops"); !errors.Is(err, ErrInvalid) {
		t.Errorf("unreadable, and released: %v", err)
	}
	held(t, g, 4)
	f(unroutedID(g.at(1)), nil)
	f(unroutedID(g.at(3)), nil)
	f(unroutedID(g.at(4)), nil)
	f(unroutedID(g.at(1)), outbox.ErrNotFound)
	held(t, g, 1)
	g.tell(of(said("ann", 0, kyc.Pending), "persona", "act_1", "", ""))
	g.folded()
	records(t, g, "ann", "applied[1 2]", "stale[]") // what was not discarded, and what set it free
	held(t, g, 0)
	kept := func(offset int64) (h unroutedRecord) {
		t.Helper()
		g.tamper(func(tx *store.Tx) error {
			body, err := tx.Bucket(store.Refs).Get(discardedKey(g.at(offset)))
			if err == nil {
				err = json.Unmarshal(body, &h)
			}
			return err
		})
		if h.By != "ops" || h.Discarded.IsZero() || h.Position != g.at(offset) {
			t.Errorf("record %d is kept as %+v", offset, h)
		}
		return h
	}
	if h := kept(1); len(h.Body) < 100 || h.Reason != kyc.Unrouted {
		t.Errorf("kept as %s", h.Body)
	}
	if h := kept(3); string(h.Raw) != "not json" {
		t.Errorf("kept as %q", h.Raw)
	}
	if h := kept(4); !strings.Contains(string(h.Raw), "prophecy") {
		t.Errorf("kept as %q", h.Raw)
	}
}
