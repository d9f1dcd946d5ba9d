package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// repeats carries a replay out, in steps of about n deliveries, and returns what was passed over.
func (g *rig) repeats(p Repeat, n int) (ordered int, skipped map[string]int64) {
	g.t.Helper()
	p.ID, p.Actor = "rpl_1", "ops"
	if p.To == "" {
		p.To = p.Endpoint
	}
	skipped = map[string]int64{}
	for cursor, steps := []byte(nil), 0; ; steps++ {
		s, err := g.relay.Repeats(&p, cursor, n)
		if err != nil || steps > 1000 {
			g.t.Fatal(steps, err)
		}
		for why, n := range s.Skipped {
			skipped[why] += n
		}
		if len(s.Orders) > 0 {
			noted := false
			last, err := g.relay.Order(g.t.Context(), s.Orders, func(*store.Tx) error { noted = true; return nil })
			if err != nil || !noted {
				g.t.Fatal(noted, err)
			}
			g.appended += int64(len(s.Orders))
			eventually(g.t, "the orders are folded", func() bool { return g.relay.Folded(last) })
		}
		ordered += len(s.Orders)
		if cursor = s.Cursor; cursor == nil {
			return ordered, skipped
		}
	}
}

// words are what was told, in order, as person and sequence.
func words(t *testing.T, hs []hit) (told []string) {
	t.Helper()
	for _, h := range hs {
		var b struct {
			Data struct {
				Sequence uint64
				Subject  struct{ ID string }
			}
		}
		if err := json.Unmarshal([]byte(h.body), &b); err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprint(b.Data.Subject.ID, b.Data.Sequence))
	}
	return told
}

// byPerson is the part of what was told that is about one person.
func byPerson(told []string, person string) []string {
	return slices.DeleteFunc(slices.Clone(told), func(s string) bool { return !strings.HasPrefix(s, person) })
}

var persons = []string{"ann", "bob", "cid", "dan", "eve"}

// lives tells three statuses of each person.
func (g *rig) lives() {
	g.t.Helper()
	for i, s := range []kyc.Status{kyc.InReview, kyc.Rejected, kyc.Approved} {
		for _, id := range persons {
			g.tell(said(id, i+1, s))
		}
		g.settled()
	}
}

// TestRepeatDead: what died in an outage is told, each once, in the order of each person's changes,
// however it is cut into steps; and the history says that it was replayed.
func TestRepeatDead(t *testing.T) {
	for _, n := range []int{1, 2, 1000} {
		p := newPartner(t, always(500))
		g := start(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(1))))
		g.lives()
		want := words(t, p.seen())
		p.from(ok)
		if ordered, skipped := g.repeats(Repeat{Kind: ReplayDead, Endpoint: "a"}, n); ordered != 15 || len(skipped) != 0 {
			t.Errorf("by %d: %d ordered, %v passed over", n, ordered, skipped)
		}
		g.settled()
		told := words(t, p.accepted())
		for _, id := range persons {
			same(t, fmt.Sprintf("by %d, %s is told", n, id), byPerson(told, id), byPerson(want, id))
		}
		if g.outbox.Dead("a") != 0 || len(told) != len(want) {
			t.Errorf("%d dead, %d told of %d", g.outbox.Dead("a"), len(told), len(want))
		}
		last := g.view("acme", "ann", true).Deliveries
		if o := last[len(last)-1]; !o.Replayed || strings.Contains(p.accepted()[0].body, "replay") {
			t.Errorf("its history says %+v, and the body %s", o, p.accepted()[0].body)
		}
		if records := g.view("acme", "ann", true).Records; records[len(records)-1].Update.Replay.ID != "rpl_1" || records[len(records)-1].Update.Actor != "ops" {
			t.Errorf("its records: %+v", records[len(records)-1])
		}
	}
}

// TestRepeatDeadOvertaken: who has accepted a later change is not turned back, unless somebody
// insists; and what died after the replay was asked for is another matter.
func TestRepeatDeadOvertaken(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"), attempts(1))))
	g.tell(said("ann", 1, kyc.Rejected), said("bob", 1, kyc.Rejected))
	g.settled()
	p.from(ok)
	g.tell(said("ann", 2, kyc.Approved))
	g.settled()
	if ordered, skipped := g.repeats(Repeat{Kind: ReplayDead, Endpoint: "a", Before: g.clock.now().Add(-time.Hour)}, 9); ordered != 0 || len(skipped) != 0 {
		t.Errorf("what died later: %d ordered, %v", ordered, skipped)
	}
	if ordered, skipped := g.repeats(Repeat{Kind: ReplayDead, Endpoint: "a"}, 9); ordered != 1 || skipped[SkippedOvertaken] != 1 {
		t.Errorf("%d ordered, %v", ordered, skipped)
	}
	if ordered, _ := g.repeats(Repeat{Kind: ReplayDead, Endpoint: "a", Force: true}, 9); ordered != 1 {
		t.Errorf("forced: %d ordered", ordered)
	}
	g.settled()
	same(t, "told", words(t, p.accepted()), []string{"ann4", "bob2", "ann2"})
}

// TestRepeatRange: what was told in a span of time is told again, byte for byte, and what of the
// same persons followed: the last word is the one that it was. Nobody else is told anything.
func TestRepeatRange(t *testing.T) {
	for _, n := range []int{1, 1000} {
		p := newPartner(t, ok)
		g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
		g.tell(said("ann", 1, kyc.InReview), said("bob", 1, kyc.InReview))
		g.settled()
		g.clock.advance(time.Hour)
		since := g.clock.now()
		g.tell(said("ann", 2, kyc.Rejected), said("cid", 1, kyc.InReview))
		g.settled()
		g.tell(said("cid", 2, kyc.Approved))
		g.settled()
		until := g.clock.now().Add(time.Millisecond)
		g.clock.advance(time.Hour)
		g.tell(said("ann", 3, kyc.Approved), said("bob", 2, kyc.Approved))
		g.settled()
		before := p.accepted()
		if ordered, skipped := g.repeats(Repeat{Kind: ReplayRange, Endpoint: "a", Since: since, Until: until}, n); ordered != 4 || len(skipped) != 0 {
			t.Errorf("by %d: %d ordered, %v passed over", n, ordered, skipped)
		}
		g.settled()
		again := p.accepted()[len(before):]
		same(t, "ann is told", byPerson(words(t, again), "ann"), []string{"ann4", "ann6"})
		same(t, "cid is told", byPerson(words(t, again), "cid"), []string{"cid2", "cid4"})
		if len(again) != 4 {
			t.Errorf("%v", words(t, again))
		}
		for _, h := range again {
			i := slices.IndexFunc(before, func(b hit) bool { return b.id == h.id })
			if i < 0 || before[i].body != h.body {
				t.Errorf("%s is told as %s, and was told as %s", h.id, h.body, before[max(i, 0)].body)
			}
		}
		if w := g.metric("outbox_oldest_withheld_timestamp_seconds", "endpoint", "a"); w > 0 {
			t.Errorf("a rejection is withheld since %v, of which it was told before", w)
		}
	}
}

// TestRepeatWhileSent: a change that is under way when a replay comes to stand before it is told
// once more behind it, so that the last word is today's.
func TestRepeatWhileSent(t *testing.T) {
	held := make(chan struct{})
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
	since := g.clock.now()
	g.tell(said("ann", 1, kyc.InReview))
	g.settled()
	g.tell(said("ann", 2, kyc.Rejected))
	g.settled()
	until := g.clock.now().Add(time.Millisecond)
	p.from(func(h hit) reply {
		if h.try == 1 {
			<-held
		}
		return ok(h)
	})
	g.tell(said("ann", 3, kyc.Approved))
	g.folded()
	p.until(t, 3)
	g.repeats(Repeat{Kind: ReplayRange, Endpoint: "a", Since: since, Until: until}, 9)
	close(held)
	g.settled()
	same(t, "told", words(t, p.accepted()), []string{"ann2", "ann4", "ann6", "ann2", "ann4", "ann6"})
}

// TestRepeatElsewhere: another endpoint of the partner is told what it wants of what this one was
// told, in its own format, and is told the end of what it now believes; another replay tells it
// nothing twice that it is not asked to.
func TestRepeatElsewhere(t *testing.T) {
	p, q := newPartner(t, ok), newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*")), q.endpoint("b", only("kyc.status.approved"), func(e *Endpoint) { e.Since = time.Now().Add(24 * time.Hour) })))
	since := g.clock.now().Add(-time.Minute)
	g.lives()
	if n := len(q.seen()); n != 0 {
		t.Fatalf("%d were told before", n)
	}
	ordered, skipped := g.repeats(Repeat{Kind: ReplayRange, Endpoint: "a", To: "b", Since: since, Until: g.clock.now().Add(time.Minute)}, 2)
	if ordered != 5 || skipped[SkippedNotWanted] != 10 {
		t.Errorf("%d ordered, %v", ordered, skipped)
	}
	g.settled()
	if told := words(t, q.accepted()); len(told) != 5 || len(p.accepted()) != 15 {
		t.Errorf("told %v, and the first endpoint %d", told, len(p.accepted()))
	}
	g.tell(said("ann", 4, kyc.Suspended))
	g.settled()
	same(t, "ann's end is told", byPerson(words(t, q.accepted()), "ann"), []string{"ann6", "ann8"})
}

// TestRepeatCurrent: a new endpoint is told where everybody stands, once, and who it was told of is
// passed over.
func TestRepeatCurrent(t *testing.T) {
	p, q := newPartner(t, ok), newPartner(t, ok)
	g := start(t, acme(p.endpoint("a"), q.endpoint("b", only("kyc.status.*"), func(e *Endpoint) { e.Since = time.Now().Add(24 * time.Hour) })), Partner{ID: "other", Endpoints: []Endpoint{p.endpoint("o")}})
	g.lives()
	u := said("zoe", 1, kyc.Approved)
	u.Partner = "other"
	g.tell(named(u))
	g.settled()
	for round, want := range []int{5, 0} {
		ordered, skipped := g.repeats(Repeat{Kind: ReplayCurrent, Endpoint: "b", To: "b"}, 2)
		g.settled()
		if ordered != want || skipped[SkippedTold] != int64(5-want) {
			t.Errorf("round %d: %d ordered, %v", round, ordered, skipped)
		}
	}
	told := words(t, q.accepted())
	slices.Sort(told)
	same(t, "told", told, []string{"ann6", "bob6", "cid6", "dan6", "eve6"})
	if got := g.view("acme", "ann", true); got.Deliveries[len(got.Deliveries)-1].Previous != 0 {
		t.Errorf("said to follow %d", got.Deliveries[len(got.Deliveries)-1].Previous)
	}
}

// TestRepeatNotKept: what is not kept is passed over, and with it the person, where it would have
// been the last word.
func TestRepeatNotKept(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
	since := g.clock.now()
	g.lives()
	until := g.clock.now().Add(time.Minute)
	lost := ""
	g.tamper(func(tx *store.Tx) error {
		var gone []byte
		err := tx.Bucket(store.History).ForEach(func(k, v []byte) error {
			if lane, body, ok := entry(v); ok && k[historyHead-1] == kindChange && strings.Contains(string(body), "kyc.status.approved") && gone == nil {
				gone, lost = slices.Clone(k), lane
			}
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Bucket(store.History).Delete(gone)
	})
	ordered, skipped := g.repeats(Repeat{Kind: ReplayRange, Endpoint: "a", Since: since, Until: until}, 100)
	g.settled()
	if ordered != 12 || skipped[SkippedNotKept] != 3 || lost == "" {
		t.Errorf("%d ordered, %v, of %s a change is lost", ordered, skipped, lost)
	}
	if told := words(t, p.accepted()[15:]); len(byPerson(told, strings.TrimPrefix(lost, "acme/"))) != 0 {
		t.Errorf("told %v", told)
	}
}

// TestRetell: one delivery is told again that was accepted, as it was; or to another endpoint. Who
// has accepted a later change is only told with force.
func TestRetell(t *testing.T) {
	p, q := newPartner(t, ok), newPartner(t, ok)
	g := start(t, acme(p.endpoint("a", only("kyc.status.*")), q.endpoint("b", only("none.*"))), Partner{ID: "other", Endpoints: []Endpoint{q.endpoint("o", only("none.*"))}})
	g.tell(said("ann", 1, kyc.Rejected))
	g.settled()
	g.tell(said("bob", 1, kyc.InReview), said("bob", 2, kyc.Approved))
	g.settled()
	id := func(told string) string {
		at := slices.Index(words(t, p.accepted()), told)
		return p.accepted()[at].id + "@a"
	}
	retell := func(id, to string, force bool, want error) {
		t.Helper()
		err := g.relay.Retell(t.Context(), id, to, force, "ops")
		if !errors.Is(err, want) {
			t.Errorf("%s to %q: %v, want %v", id, to, err, want)
		}
		if err == nil {
			g.appended++
			g.settled()
		}
	}
	before := len(p.accepted())
	retell(id("ann2"), "", false, nil)
	retell(id("bob2"), "", false, ErrOvertaken)
	retell(id("bob2"), "", true, nil)
	retell(id("bob4"), "b", false, nil)
	retell(id("bob4"), "o", false, ErrInvalid)
	retell("evt_none@a", "", false, outbox.ErrNotFound)
	same(t, "told again", words(t, p.accepted()[before:]), []string{"ann2", "bob2"})
	same(t, "told elsewhere", words(t, q.accepted()), []string{"bob4"})
	if first := p.accepted()[0]; p.accepted()[before].body != first.body || p.accepted()[before].id != first.id {
		t.Errorf("told again as %s, and was told as %s", p.accepted()[before].body, first.body)
	}
	ends := g.view("acme", "ann", true).Deliveries
	if !slices.ContainsFunc(ends, func(o OutcomeView) bool { return o.Replayed }) {
		t.Errorf("its history says %+v", ends)
	}
}

// TestRetellOwed: what is owed is not owed twice.
func TestRetellOwed(t *testing.T) {
	p := newPartner(t, always(500))
	g := start(t, acme(p.endpoint("a", only("kyc.status.*"))))
	g.tell(said("ann", 1, kyc.Rejected))
	g.folded()
	id := p.until(t, 1)[0].id
	if err := g.relay.Retell(t.Context(), id+"@a", "", false, "ops"); !errors.Is(err, ErrOwed) {
		t.Error(err)
	}
	p.from(ok)
	g.settled()
}
