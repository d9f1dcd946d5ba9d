package relay

import (
	"errors"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
)

// TestMaxOwedKeepsTheRejection: a partner that is down, at its bound, is told in the end how each person stands, and never of an approval after a rejection.
func TestMaxOwedKeepsTheRejection(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), hourly, func(e *Endpoint) { e.MaxOwed = 2 })))
	g.tell(said("ann", 1, kyc.InReview), said("bob", 1, kyc.InReview))
	eventually(t, "both have been tried in vain", func() bool { return g.metric("relay_attempts_total", "endpoint", "a", "reason", reasonServer) == 2 })
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
		if d.Reason != outbox.Overflow || d.Grave {
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
