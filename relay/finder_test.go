package relay

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// segments has the finder make segments of a few entries, until there is nothing to be made.
func (g *rig) segments(size int64) {
	g.t.Helper()
	g.relay.segment.Store(size)
	for range 1000 {
		g.relay.unfound.Store(-1)
		made, err := g.relay.findSome(g.t.Context())
		if err != nil {
			g.t.Fatal(err)
		}
		if !made {
			return
		}
	}
	g.t.Fatal("segments are made for ever")
}

// ids are all that stand in the history, each with its lane, and whether it is a change's.
func (g *rig) ids() (of map[string]string, changes map[string]bool) {
	g.t.Helper()
	of, changes = map[string]string{}, map[string]bool{}
	err := g.store.View(func(tx *store.Tx) error {
		return tx.Bucket(store.History).ForEach(func(k, v []byte) error {
			lane, body, _ := entry(v)
			id := string(entryID(k, body))
			if id == "" {
				g.t.Errorf("%x has no id: %s", k, body)
			}
			of[id], changes[id] = lane, k[historyHead-1] == kindChange
			return nil
		})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return of, changes
}

// finds holds that every id of the history is found, where it stands, and that nothing else is.
func (g *rig) finds(when string) {
	g.t.Helper()
	of, changes := g.ids()
	err := g.store.View(func(tx *store.Tx) error {
		for id, lane := range of {
			if changes[id] {
				if spots, whole := g.relay.spotsOf(tx, id); len(spots) != 1 || spots[0].lane != lane || !whole {
					g.t.Errorf("%s: %s is at %+v, want one of %s", when, id, spots, lane)
				}
				continue
			}
			if is, h, ok, whole := g.relay.recordsOf(tx, id); !ok || is != lane || h.Update.ID != id || !whole {
				g.t.Errorf("%s: %s is %q of %q, want of %q", when, id, h.Update.ID, is, lane)
			}
		}
		for _, id := range []string{"evt_00000000000000000000000000", "00000000000000000000000000", "ann"} {
			spots, whole := g.relay.spotsOf(tx, id)
			if _, _, ok, _ := g.relay.recordsOf(tx, id); ok || len(spots) > 0 || !whole {
				g.t.Errorf("%s: %s is found at %+v", when, id, spots)
			}
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// TestFinder: every id of the history is found, whether a segment has it, none has, or it came to
// stand where one had been; and after the finder has been made again.
func TestFinder(t *testing.T) {
	g := start(t, acme())
	for i := range 25 {
		g.tell(said(fmt.Sprint("ann-", i), 1, kyc.Approved), byRef(said(fmt.Sprint("late-", i), 2, kyc.Rejected)))
	}
	g.tell(said("ann-1", 1, kyc.Approved), said("ann-1", 1, kyc.Approved)) // again: of the same id
	g.folded()
	g.finds("none has a segment")
	g.segments(7)
	g.finds("most have a segment")
	if n := g.entries(store.Finder); n < 2*50/7 {
		t.Fatalf("%d records of the finder", n)
	}
	for i := range 25 { // what waited is put where it arrived
		u := said(fmt.Sprint("late-", i), 3, kyc.Pending)
		g.tell(u)
	}
	g.folded()
	g.finds("what had waited is there")
	before := g.entries(store.Finder)
	g.segments(7)
	g.finds("more have a segment")
	if err := g.relay.refind(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := g.entries(store.Finder); n != 0 {
		t.Errorf("%d records of the finder are left of %d", n, before)
	}
	g.finds("the finder has been emptied")
	g.segments(7)
	g.finds("it has been made again")
	g.restart()
	g.finds("after a restart")
}

// TestFinderForgets: segments, and what came late, go with the history.
func TestFinderForgets(t *testing.T) {
	g := newRig(t, acme())
	g.relay.Keep(Retention{History: time.Hour})
	g.run()
	for i := range 10 {
		g.tell(said(fmt.Sprint("ann-", i), 1, kyc.Approved), byRef(said(fmt.Sprint("late-", i), 2, kyc.Rejected)))
	}
	g.folded()
	g.segments(4)
	for i := range 10 {
		g.tell(said(fmt.Sprint("late-", i), 3, kyc.Pending))
	}
	g.folded()
	g.segments(4)
	g.stopped()
	g.clock.advance(2 * time.Hour)
	g.retained()
	for more := true; more; {
		var err error
		if more, err = g.relay.retainFinder(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := g.entries(store.Finder); n != 0 {
		t.Errorf("%d records of the finder are left", n)
	}
}

// TestDeliveryWhateverItsStatus: a delivery is found by its id as it comes to be owed, fails, dies,
// is ordered again, arrives, or is cancelled; with its body, also when its change has had its time.
func TestDeliveryWhateverItsStatus(t *testing.T) {
	p := newPartner(t, always(500))
	g := newRig(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(2))))
	g.relay.Keep(Retention{Changes: 24 * time.Hour})
	g.run()
	g.tell(said("ann", 1, kyc.Approved))
	g.settled()
	id := g.dead("a")[0].ID
	f := func(when string, want Status, body, rendered bool, endings int) {
		t.Helper()
		d, err := g.relay.Delivery(id)
		if err != nil || d.ID != id || d.Status != want || (d.Body != nil) != body || d.Rendered != rendered || len(d.Endings) != endings || d.Lane != "acme/ann" {
			t.Errorf("%s: %+v, %v", when, d, err)
		}
	}
	f("it died", Dead, true, false, 1)
	p.from(func(hit) reply { return reply{code: 200} })
	if err := g.redeliver(id, false); err != nil {
		t.Fatal(err)
	}
	g.settled()
	f("it arrived", Delivered, true, true, 2)
	g.segments(1)
	f("by a segment", Delivered, true, true, 2)
	g.stopped()
	g.clock.advance(25 * time.Hour)
	g.retained()
	f("its change is not kept any more", Delivered, false, false, 2)
	for _, wrong := range []string{"evt_00000000000000000000000000@a", webhookOf(id) + "@b", webhookOf(id), ""} {
		if d, err := g.relay.Delivery(wrong); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("%q is %+v, %v", wrong, d, err)
		}
	}
}

// TestCancelledIsNeverSent: neither owed nor dead does a cancelled delivery come back, and its
// person's history says who cancelled it and why.
func TestCancelledIsNeverSent(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(1))))
	g.tell(said("ann", 1, kyc.Approved), said("bob", 1, kyc.Rejected))
	g.settled()
	p.from(func(hit) reply { return reply{code: 200} })
	for _, dead := range g.dead("a") {
		order := outbox.Cancel{By: "otto", Because: "a test person"}
		if dead.Restrictive {
			if _, _, err := g.relay.Cancel(t.Context(), dead.ID, order); !errors.Is(err, outbox.ErrRestrictive) {
				t.Errorf("%s: %v", dead.ID, err)
			}
			order.Force = true
		}
		for again := range 2 {
			if _, known, err := g.relay.Cancel(t.Context(), dead.ID, order); err != nil || known != (again == 1) {
				t.Fatalf("%s: %v, %v", dead.ID, known, err)
			}
		}
		if err := g.redeliver(dead.ID, true); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("%s is ordered again: %v", dead.ID, err)
		}
		if _, _, err := g.relay.RetryNow(t.Context(), dead.ID); !errors.Is(err, outbox.ErrCancelled) {
			t.Errorf("%s is tried again: %v", dead.ID, err)
		}
		partner, person, live := splitLane(dead.Subject)
		list := g.view(partner, person, live).Deliveries
		if last := list[len(list)-1]; last.Outcome != outbox.Cancelled || last.By != "otto" || last.Because != "a test person" {
			t.Errorf("the history says %+v", last)
		}
	}
	if n := len(p.accepted()); n != 0 {
		t.Errorf("%d webhooks were accepted", n)
	}
	if list, _, err := g.outbox.ListWithheld("a", "", 9, false); err != nil || len(list) != 1 || list[0].Dead != outbox.ReasonCancelled {
		t.Errorf("withheld: %+v, %v", list, err)
	}
}

// TestRepeatLeavesCancelled: what was cancelled is told by no replay, whether it was found before or
// after that.
func TestRepeatLeavesCancelled(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(1))))
	g.tell(said("ann", 1, kyc.Approved))
	g.settled()
	id := g.dead("a")[0].ID
	whole := Repeat{Kind: ReplayRange, Endpoint: "a", To: "a", Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), ID: "rpl_1", Actor: "ops"}
	found, err := g.relay.Repeats(&whole, nil, 100)
	if err != nil || len(found.Orders) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	p.from(func(hit) reply { return reply{code: 200} })
	if _, _, err := g.relay.Cancel(t.Context(), id, outbox.Cancel{By: "otto", Because: "a test person"}); err != nil {
		t.Fatal(err)
	}
	last, err := g.relay.Order(t.Context(), found.Orders, func(*store.Tx) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the order is folded", func() bool { return g.relay.Folded(last) })
	g.appended++
	whole.Until = time.Now().Add(time.Hour)
	for _, kind := range []string{ReplayRange, ReplayCurrent, ReplayDead} {
		whole.Kind = kind
		if n, skipped := g.repeats(whole, 100); n != 0 || kind == ReplayCurrent && skipped[SkippedCancelled] != 1 {
			t.Errorf("%s orders %d, and passes over %v", kind, n, skipped)
		}
	}
	g.settled()
	if n := len(p.accepted()); n != 0 {
		t.Errorf("%d webhooks were accepted", n)
	}
}
