package relay

import (
	"bytes"
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

// standing is where somebody stands, without what depends on what was told when.
func (g *rig) standing(id string) string {
	g.t.Helper()
	st, err := g.relay.SubjectStatus("acme", id, true)
	if errors.Is(err, outbox.ErrNotFound) {
		return "nobody"
	}
	if err != nil {
		g.t.Fatal(err)
	}
	lines := []string{fmt.Sprint(st.Status, st.Reasons, st.Retryable, st.Terminal, st.NeedsConfirmation, st.ClaimedStatus, st.ApprovedAt, st.ExpiresAt, st.DecidedBy)}
	for _, c := range st.Checks {
		if c.Status != kyc.NotStarted { // one that was told as begun is not told as never heard of
			lines = append(lines, fmt.Sprintf("%+v", c))
		}
	}
	return strings.Join(lines, "\n")
}

func (g *rig) takeBack(id string) TakenBack {
	g.t.Helper()
	out, err := g.relay.TakeBack(g.t.Context(), id, "it is bob's", "ops")
	if err != nil {
		g.t.Fatal(err)
	}
	g.appended++
	g.folded()
	return out
}

func (g *rig) release(id, subject string) {
	g.t.Helper()
	if err := g.ordered(g.relay.ReleaseUnrouted(g.t.Context(), id, "acme", subject, "ops")); err != nil {
		g.t.Fatal(err)
	}
}

// TestTakeBack: a record that was given to the wrong person is taken back from her, with all that
// came by its ref: she stands where she would stand, and her partner is told; what was taken back
// waits again, and makes of the right person what it would have made at once.
func TestTakeBack(t *testing.T) {
	p := newPartner(t, ok)
	g, never, rightly := start(t, acme(p.endpoint("a"))), start(t, acme()), start(t, acme())
	hers := []kyc.Update{said("ann", 1, kyc.Pending), because(said("ann", 2, kyc.InReview), kyc.HighRisk)}
	his := []kyc.Update{unknown(3, kyc.Approved, "act_1", "", ""), unknown(4, kyc.Approved, "act_1", "inq_1", "")}
	late := unknown(6, kyc.Approved, "act_1", "inq_2", "")
	more := said("ann", 7, kyc.Pending)
	for _, r := range []*rig{g, never, rightly} {
		r.tell(append(hers, his...)...)
		r.folded()
	}
	wrong := unroutedID(g.at(3))
	g.release(wrong, "ann")
	rightly.release(wrong, "bob")
	for _, r := range []*rig{g, never, rightly} {
		r.tell(late, more)
		r.folded()
	}
	g.settled()
	if len(g.view("acme", "ann", true).Checks) != 2 || g.relay.Unrouted() != 0 {
		t.Fatalf("before: %s", g.standing("ann"))
	}
	told := len(p.seen())
	out := g.takeBack(wrong)
	g.settled()
	if out.Subject != "ann" || out.Partner != "acme" || !out.Livemode || out.Unrouted != 3 || !out.Folded || len(out.Changes) == 0 {
		t.Errorf("came of it: %+v", out)
	}
	if got, want := g.standing("ann"), never.standing("ann"); got != want {
		t.Errorf("ann stands at\n%s\nand would stand at\n%s", got, want)
	}
	same(t, "her partner was told", story(t, p.seen()[told:]), []string{"check.pending 11>12", "status.pending 12>13"})
	held(t, g, 3)
	list, _ := g.items("", 0)
	for i, id := range []string{unroutedID(g.at(3)), unroutedID(g.at(4)), unroutedID(g.at(6))} {
		if list[i].ID != id || list[i].Reason != string(kyc.Unrouted) {
			t.Errorf("held: %+v, want %s", list[i], id)
		}
	}
	var marked []string
	for _, r := range g.view("acme", "ann", true).Records {
		marked = append(marked, fmt.Sprint(r.Verdict, " ", r.TakenBack == out.ID, " ", r.Update.TakenBack != ""))
	}
	want := []string{"applied false false", "applied false false", "applied true false", "applied true false", "applied false false", "applied true false", "stale false false", "applied false true"}
	if want[6] = marked[min(6, len(marked)-1)]; !slices.Equal(marked, want) {
		t.Errorf("her history: %q", marked)
	}
	if _, err := g.relay.TakeBack(t.Context(), wrong, "", "ops"); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	g.restart()
	belongs(t, g, never, rightly, wrong, len(marked))
}

// belongs goes on where TestTakeBack has taken a record back from ann: to whom it is given then,
// and from whom it is taken back again.
func belongs(t *testing.T, g, never, rightly *rig, wrong string, records int) {
	t.Helper()
	g.release(wrong, "bob")
	held(t, g, 0)
	if got, want := g.standing("bob"), rightly.standing("bob"); got != want || got == "nobody" {
		t.Errorf("bob stands at\n%s\nand would stand at\n%s", got, want)
	}
	if got, want := g.standing("ann"), never.standing("ann"); got != want {
		t.Errorf("then ann stands at\n%s\nand would stand at\n%s", got, want)
	}
	if n := len(g.view("acme", "ann", true).Changes); n != 13 {
		t.Errorf("ann has %d changes", n)
	}
	for i, c := range g.view("acme", "bob", true).Changes {
		if c.Sequence != uint64(i+1) || c.Subject.ID != "bob" {
			t.Errorf("bob's change %d: %+v", i, c)
		}
	}
	g.tell(unknown(9, kyc.Rejected, "act_1", "inq_3", "")) // the ref is his now
	g.folded()
	if len(g.view("acme", "ann", true).Records) != records {
		t.Error("ann still gets what is bob's")
	}
	g.takeBack(wrong) // and from him, too: it is nobody's after all
	if got := g.standing("bob"); strings.Contains(got, "approved") {
		t.Errorf("bob stands at %s", got)
	}
	g.release(wrong, "ann") // or hers, at last
	g.takeBack(wrong)       // or not
	if got, want := g.standing("ann"), never.standing("ann"); got != want {
		t.Errorf("in the end ann stands at\n%s\nand would stand at\n%s", got, want)
	}
}

// TestTakeBackKeeps: what came to somebody by another way stays hers: her own id, a submission,
// another record that taught the ref, another release.
func TestTakeBackKeeps(t *testing.T) {
	f := func(what string, left int64, reviewed bool, also func(g *rig)) {
		t.Helper()
		g := start(t, acme())
		g.tell(unknown(1, kyc.Approved, "act_1", "", ""), unknown(2, kyc.Pending, "act_2", "", ""))
		g.folded()
		g.release(unroutedID(g.at(1)), "ann")
		also(g)
		g.tell(unknown(5, kyc.InReview, "act_1", "", ""))
		g.folded()
		g.takeBack(unroutedID(g.at(1)))
		if held(t, g, left); strings.Contains(g.standing("ann"), "in_review") != reviewed {
			t.Errorf("%s: ann stands at %s", what, g.standing("ann"))
		}
	}
	f("nothing", 3, false, func(*rig) {})
	f("her own id", 2, true, func(g *rig) { g.tell(of(said("ann", 3, kyc.Pending), "persona", "act_1", "", "")) })
	f("a submission", 2, true, func(g *rig) {
		if _, err := g.submit(submits("ann", "act_1", func(s *Submission) { s.Source = "persona-eu" })); err != nil {
			t.Fatal(err)
		}
	})
	f("another release", 2, false, func(g *rig) { g.release(unroutedID(g.at(2)), "ann") }) // of a ref of its own: the other two wait
	f("of a network address", 3, false, func(g *rig) { g.tell(weakly(of(said("ann", 3, kyc.Pending), "persona", "act_1", "", ""))) })
}

// TestTakeBackRefuses: nothing is taken back that was not given, and nothing is worked out from
// half a history.
func TestTakeBackRefuses(t *testing.T) {
	g := start(t, acme())
	g.tell(unknown(1, kyc.Approved, "act_1", "", ""), said("ann", 2, kyc.InReview), unknown(3, kyc.Approved, "act_3", "", ""))
	g.folded()
	f := func(what, id string, want error) {
		t.Helper()
		if _, err := g.relay.TakeBack(t.Context(), id, "", "ops"); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	f("held", unroutedID(g.at(1)), outbox.ErrNotFound)
	f("never held", unroutedID(g.at(2)), outbox.ErrNotFound)
	f("no id", "x", outbox.ErrNotFound)
	g.release(unroutedID(g.at(1)), "ann")
	if _, err := g.relay.TakeBack(t.Context(), unroutedID(g.at(1)), "", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("by nobody: %v", err)
	}
	before := g.standing("ann")
	g.tamper(func(tx *store.Tx) error { // as retention does
		index := tx.Bucket(store.Index)
		c := index.Cursor()
		for k, _ := c.Seek(indexPrefix("acme/ann")); k != nil; k, _ = c.Next() {
			key := k[len(indexPrefix("acme/ann")):]
			if body, ok := entryAt(tx.Bucket(store.History), key); ok && strings.Contains(string(body), "sumsub") {
				return index.Delete(bytes.Clone(k))
			}
		}
		return nil
	})
	f("half a history", unroutedID(g.at(1)), ErrNotWhole)
	order := kyc.Update{SchemaVersion: 1, ID: "order", Kind: kyc.Decision, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "ann"}, UnroutedID: unroutedID(g.at(1)), Actor: "ops"}
	err := g.store.View(func(tx *store.Tx) error {
		order.TakenBack = readGiven(tx, unroutedID(g.at(1))).Update
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g.tell(order) // it came to that after the order was given
	g.folded()
	if v := g.view("acme", "ann", true); v.Records[len(v.Records)-1].Verdict != kyc.Stale || g.standing("ann") != before || g.relay.Unrouted() != 1 {
		t.Errorf("folded all the same: %q, ann stands at %s", verdicts(v), g.standing("ann"))
	}
}

// TestHistoriesAreWhole: from what is kept of a subject its state can be made again, whatever has
// happened: records that waited, releases, decisions, submissions, repeats, callbacks with several
// records, timers, other policies, restarts, and what was taken back.
func TestHistoriesAreWhole(t *testing.T) {
	t.Parallel()
	lanes, tookBack, fired := 0, 0, 0
	for seed := range uint64(6) {
		g := start(t, acme(), Partner{ID: "globex"})
		us := randomUpdates(seed, 300)
		for i, part := 0, us; len(part) > 0; i++ {
			n := min(len(part), 1+int(seed+uint64(i))%7)
			group := slices.Clone(part[:n])
			if i%3 == 0 { // one callback brought them
				for j := range group {
					group[j].Callback = kyc.Callback{ID: group[0].ID, Index: j, Count: n}
				}
			}
			g.tell(group...)
			part = part[n:]
			if g.happens(i) {
				tookBack++
			}
		}
		g.folded()
		eventually(t, "nothing is due", func() bool { return g.journal.Backlog() == 0 && !g.due() })
		n, timers := g.whole(seed)
		lanes, fired = lanes+n, fired+timers
	}
	if lanes < 30 || tookBack < 6 || fired < 6 {
		t.Errorf("%d histories, %d taken back, %d ended: too little was tried", lanes, tookBack, fired)
	}
}

// happens is what happens besides, now and then: time, releases, which may be taken back,
// submissions, decisions, other policies, restarts.
func (g *rig) happens(i int) (tookBack bool) {
	g.t.Helper()
	switch i % 10 {
	case 1: // approvals end, and in the end ids are forgotten
		if g.folded(); i > 30 {
			g.after(40 * 24 * time.Hour)
			eventually(g.t, "nothing is due", func() bool { return g.journal.Backlog() == 0 && !g.due() })
			g.appended = g.position()
		}
	case 3:
		g.folded()
		if list, _ := g.items("", 0); len(list) > 0 && list[0].Reason != unreadable {
			id := list[i%len(list)].ID
			if err := g.relay.ReleaseUnrouted(g.t.Context(), id, "acme", fmt.Sprint("user-", i%5), "ops"); err == nil {
				g.appended++
				if g.folded(); i%20 == 3 {
					g.takeBack(id)
					tookBack = true
				}
			}
		}
	case 5:
		if _, err := g.submit(submits(fmt.Sprint("user-", i%5), fmt.Sprint("p-user-", i%5))); err != nil && !errors.Is(err, ErrConflict) {
			g.t.Fatal(err)
		}
	case 7:
		g.folded()
		d := rejects(func(d *Decision) { d.Subject, d.Source, d.Manual = fmt.Sprint("user-", i%5), "", true })
		if out, err := g.relay.Decide(g.t.Context(), d); err == nil && out.Folded {
			g.appended++
		}
	case 9:
		if g.folded(); i%20 == 9 {
			g.partners[0].Policy = kyc.Policy{ValidityMonths: i%3 + 1, Required: []kyc.Check{kyc.Checks[i%3]}}
		}
		g.restart()
		eventually(g.t, "the policy is registered", func() bool { return len(g.registry.Read().Policies("acme")) > 0 })
		if _, err := g.relay.ApplyPolicy(g.t.Context(), "acme", "ops"); err != nil {
			g.t.Fatal(err)
		}
		eventually(g.t, "everything is folded", func() bool { return g.journal.Backlog() == 0 })
		g.appended = g.position()
	}
	return tookBack
}

// whole checks that the history of every subject makes its state, and counts them, and their
// timers.
func (g *rig) whole(seed uint64) (lanes, timers int) {
	g.t.Helper()
	err := g.store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Subjects).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			s, err := loadSubject(tx, string(k))
			if err != nil {
				return err
			}
			es, whole := livesOf(tx, s.lane)
			if _, ok := g.relay.proved(g.registry.Read(), es, s); !whole || !ok {
				g.t.Errorf("seed %d: the history of %q, %d records, does not make its state", seed, s.lane, len(es))
			}
			for _, e := range es {
				if e.said.Kind == kyc.Timer {
					timers++
				}
			}
			lanes++
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return lanes, timers
}
