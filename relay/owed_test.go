package relay

import (
	"errors"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
)

// TestMaxOwedKeepsTheRejection: a partner that is down, at its bound, is told in the end how each
// person stands, and never of an approval after a rejection.
func TestMaxOwedKeepsTheRejection(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), hourly, func(e *Endpoint) { e.MaxOwed = 2 })))
	g.tell(said("ann", 1, kyc.InReview), said("bob", 1, kyc.InReview))
	eventually(t, "both have been tried in vain", func() bool { return g.metric("relay_attempts_total", "endpoint", "a", "outcome", "retry") == 2 })
	eventually(t, "that is settled", func() bool { return len(p.seen()) == 2 && g.outbox.OldestDue("a").IsZero() })
	g.tell(said("ann", 2, kyc.Approved))
	g.folded()
	g.tell(said("ann", 3, kyc.Rejected), said("bob", 3, kyc.Rejected))
	g.folded()
	g.restart()
	if n := g.outbox.Owed("a"); n > 4 {
		t.Errorf("%d are owed, want the bound and no more than one for each in flight beyond it", n)
	}
	p.from(ok)
	for range 5 {
		g.after(2 * time.Hour)
		g.settled()
	}
	last := map[string]told{}
	for _, h := range p.accepted() {
		b := read1(t, h)
		who := b.Data.Subject.ID
		if b.Data.Sequence < last[who].Data.Sequence {
			t.Errorf("%s is told %d after %d", who, b.Data.Sequence, last[who].Data.Sequence)
		}
		last[who] = b
	}
	for _, who := range []string{"ann", "bob"} {
		if b := last[who]; b.Type != "kyc.status.rejected" {
			t.Errorf("%s: told %q last, want the rejection", who, b.Type)
		}
	}
	dead := g.dead("a")
	if len(dead) == 0 {
		t.Fatal("nothing was given up")
	}
	for _, d := range dead {
		if d.Reason != outbox.Overflow || d.Restrictive {
			t.Errorf("%+v is dead, want older ones that were given up", d)
		}
		if err := g.redeliver(d.ID, false); !errors.Is(err, ErrOvertaken) {
			t.Errorf("%s ordered again: %v, want that it is overtaken", d.ID, err)
		}
	}
	if list, _, err := g.outbox.ListWithheld("", "", 9, false); len(list) != 0 || err != nil {
		t.Errorf("withheld: %+v, %v; want nothing, all have been told", list, err)
	}
}

// TestRoomIsForTheNewest: of a person for whom there was no room at all the newest decision is told
// when there is some, and none before it.
func TestRoomIsForTheNewest(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), hourly, func(e *Endpoint) { e.MaxOwed = 1 })))
	g.tell(said("bob", 1, kyc.InReview))
	p.until(t, 1)
	eventually(t, "that is settled", func() bool { return g.outbox.OldestDue("a").IsZero() })
	g.tell(said("ann", 1, kyc.InReview), said("cat", 1, kyc.InReview))
	g.folded()
	g.tell(said("ann", 2, kyc.Approved))
	g.folded()
	if owed, dead := g.outbox.Owed("a"), g.outbox.Dead("a"); owed != 1 || dead != 3 {
		t.Fatalf("%d owed, %d dead; want 1 and 3", owed, dead)
	}
	g.restart()
	p.from(ok)
	g.after(2 * time.Hour)
	eventually(t, "each has been told of the newest", func() bool { return len(p.accepted()) == 3 && g.outbox.Owed("a") == 0 })
	told := map[string]string{}
	for _, h := range p.accepted() {
		b := read1(t, h)
		told[b.Data.Subject.ID] += b.Type
	}
	if told["ann"] != "kyc.status.approved" || told["bob"] != "kyc.status.in_review" || told["cat"] != "kyc.status.in_review" {
		t.Errorf("told %v", told)
	}
	if dead := g.dead("a"); len(dead) != 1 || dead[0].Subject != "acme/ann" || dead[0].Type != "kyc.status.in_review" {
		t.Errorf("dead: %+v, want what came before the approval of ann", dead)
	}
}
