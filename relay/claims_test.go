package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// globex registers a ref of persona's as one of its own subjects'.
func globex(subject, ref string) Submission {
	return submits(subject, ref, func(s *Submission) { s.Partner, s.Actor = "globex", "globex-token" })
}

// claimed is a submission as it stands in the journal.
func claimed(s Submission) kyc.Update { return s.update(said("x", 1, kyc.Pending).ReceivedAt) }

// contestedOf is what a partner is told of a subject's refs.
func contestedOf(t *testing.T, g *rig, partner, id string) string {
	t.Helper()
	list, err := g.relay.ContestedOf(partner, id, true)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, c := range list {
		if c.Claims != nil {
			t.Errorf("%s/%s is told who else claims %s: %v", partner, id, c.ProviderRef, c.Claims)
		}
		parts = append(parts, c.State+" "+c.ProviderRef)
	}
	return strings.Join(parts, ", ")
}

// stands is where somebody stands, or nothing.
func stands(g *rig, partner, id string) kyc.Status {
	st, err := g.relay.SubjectStatus(partner, id, true)
	if err != nil {
		return ""
	}
	return st.Status
}

// TestContested is the life of a ref that two partners have registered before its first callback:
// nobody is moved by what comes for it, both are told, and an operator settles it.
func TestContested(t *testing.T) {
	f := func(what string, first, second Submission) {
		t.Helper()
		g := start(t, acme(), Partner{ID: "globex"})
		if _, err := g.submit(first); err != nil {
			t.Fatal(err)
		}
		if id, err := g.submit(second); !errors.Is(err, ErrContested) || !errors.Is(err, ErrConflict) || id == "" || strings.Contains(err.Error(), first.Partner) {
			t.Errorf("%s: the second: %q, %v", what, id, err)
		}
		at := g.position()
		for range 3 { // said again it writes nothing
			for _, s := range []Submission{first, second} {
				if _, err := g.relay.Submit(t.Context(), s); !errors.Is(err, ErrContested) {
					t.Errorf("%s: again: %v", what, err)
				}
			}
		}
		g.tell(unknown(2, kyc.Pending, "ref_1", "", ""), unknown(3, kyc.Approved, "", "", "ref_1"), unknown(4, kyc.Suspended, "ref_1", "", ""))
		g.folded()
		if n := g.position(); n != at+3 {
			t.Errorf("%s: %d records came after the claims, want 3", what, n-at)
		}
		g.restart()
		held(t, g, 3)
		if a, b := stands(g, "acme", "ann"), stands(g, "globex", "bob"); a != kyc.Pending || b != kyc.Pending {
			t.Errorf("%s: they are %q and %q", what, a, b)
		}
		if a, b := contestedOf(t, g, "acme", "ann"), contestedOf(t, g, "globex", "bob"); a != "contested ref_1" || b != a {
			t.Errorf("%s: they are told %q and %q", what, a, b)
		}
		list, more, err := g.relay.ContestedRefs("", 10)
		if err != nil || more || len(list) != 1 || len(list[0].Claims) != 2 || list[0].ID != "persona-eu/l/ref_1" || g.metric("relay_contested_refs") != 1 {
			t.Errorf("%s: %+v, %v, %v; %v in the metric", what, list, more, err, g.metric("relay_contested_refs"))
		}
		if open := g.relay.counts.of(openClaims+"acme") + g.relay.counts.of(openClaims+"globex"); open != 2 {
			t.Errorf("%s: %d claims are open", what, open)
		}
		if _, err := g.relay.SettleRef(t.Context(), Settlement{Submission: globex("bob", "ref_1"), Note: "the provider's dashboard says so"}); err != nil {
			t.Fatal(err)
		}
		g.appended++
		g.folded()
		held(t, g, 0)
		if a, b := stands(g, "acme", "ann"), stands(g, "globex", "bob"); a != kyc.Pending || b != kyc.Suspended {
			t.Errorf("%s: settled, they are %q and %q", what, a, b)
		}
		v := g.view("globex", "bob", true)
		var order []kyc.Status
		for _, c := range v.Changes {
			if isStatus(c.Type) {
				order = append(order, c.Status)
			}
		}
		if got := fmt.Sprint(order); got != "[pending approved suspended]" {
			t.Errorf("%s: what was held was told as %s", what, got)
		}
		if last := v.Records[len(v.Records)-1].Update; last.Actor != "globex-token" || last.Note == "" || last.Kind != kyc.Submission {
			t.Errorf("%s: the order stands in the history as %+v", what, last)
		}
		g.restart()
		if a, b := contestedOf(t, g, "acme", "ann"), contestedOf(t, g, "globex", "bob"); a != "" || b != "" || g.metric("relay_contested_refs") != 0 {
			t.Errorf("%s: settled, they are told %q and %q", what, a, b)
		}
		if n := g.relay.counts.of(openClaims+"acme") + g.relay.counts.of(openClaims+"globex"); n != 0 {
			t.Errorf("%s: settled, %d claims are open", what, n)
		}
		if _, err := g.submit(submits("ann", "ref_1")); !errors.Is(err, ErrConflict) || errors.Is(err, ErrContested) {
			t.Errorf("%s: the other, again: %v", what, err)
		}
		g.tell(unknown(5, kyc.Approved, "ref_1", "", ""))
		g.folded()
		held(t, g, 0)
	}
	f("one first", submits("ann", "ref_1"), globex("bob", "ref_1"))
	f("the other first", globex("bob", "ref_1"), submits("ann", "ref_1"))
}

// TestClaimsFoldAlike: what comes of claims is a fold of the records (I11). Two claims give the
// same whichever comes first, at the door or in the fold, and however the records are cut into
// batches.
func TestClaimsFoldAlike(t *testing.T) {
	a, b := claimed(submits("ann", "ref_1")), claimed(globex("bob", "ref_1"))
	word := unknown(3, kyc.Approved, "ref_1", "", "")
	own := of(said("ann", 2, kyc.Pending), "persona", "ref_1", "", "")
	f := func(what, want string, us ...kyc.Update) {
		t.Helper()
		for _, together := range []bool{true, false} {
			g := start(t, acme(), Partner{ID: "globex"})
			if together {
				g.tell(us...)
			} else {
				for _, u := range us {
					g.tell(u)
					g.folded()
					g.restart()
				}
			}
			g.folded()
			got := fmt.Sprintf("ann %s [%s], bob %s [%s], %d held, %d contested, %d open", stands(g, "acme", "ann"), contestedOf(t, g, "acme", "ann"), stands(g, "globex", "bob"),
				contestedOf(t, g, "globex", "bob"), g.relay.Unrouted(), g.relay.counts.of(contestedRefs), g.relay.counts.of(openClaims+"acme")+g.relay.counts.of(openClaims+"globex"))
			if got != want {
				t.Errorf("%s, together %v: %s\nwant %s", what, together, got, want)
			}
			var want [2]int64
			want[0], want[1] = g.relay.counts.of(openClaims+"acme"), g.relay.counts.of(openClaims+"globex")
			if err := g.relay.recount(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := [2]int64{g.relay.counts.of(openClaims + "acme"), g.relay.counts.of(openClaims + "globex")}; n != want {
				t.Errorf("%s: counted anew, %v claims are open, and %v were kept", what, n, want)
			}
		}
	}
	contested := "ann pending [contested ref_1], bob pending [contested ref_1], 1 held, 1 contested, 2 open"
	f("two claims, a word", contested, a, b, word)
	f("two claims the other way round, a word", contested, b, a, word)
	served := "ann approved [], bob pending [refused ref_1], 0 held, 0 contested, 0 open"
	f("a claim that has served", served, a, word, b)
	f("a word, a claim, another", served, word, a, b)
	f("a claim that the provider bears out", served, a, own, word, b)
	f("a claim before the provider says whose it is", served, b, own, word)
	f("the provider first", served, own, b, word)
	f("two claims, and the provider says whose", "ann pending [contested ref_1], bob pending [contested ref_1], 1 held, 1 contested, 2 open", a, b, own, word)
}

// TestSquatterFreezesNobody: whoever registers refs of a person who is served moves and freezes
// nobody, however often.
func TestSquatterFreezesNobody(t *testing.T) {
	g := start(t, acme(), Partner{ID: "globex"})
	if _, err := g.submit(submits("ann", "ref_1")); err != nil {
		t.Fatal(err)
	}
	g.tell(unknown(2, kyc.Approved, "", "", "ref_1")) // served by a ref of the kind that is not given to one person only
	g.folded()
	at := g.position()
	for i := range 50 {
		if _, err := g.submit(globex(fmt.Sprint("mallory", i), "ref_1")); !errors.Is(err, ErrConflict) || errors.Is(err, ErrContested) {
			t.Fatalf("claim %d: %v", i, err)
		}
	}
	if n := g.position() - at; n != 0 {
		t.Errorf("refused claims have left %d records", n)
	}
	if n := g.metric("relay_submissions_total", "outcome", refusedClaim); n != 50 {
		t.Errorf("%v are counted", n)
	}
	g.tell(unknown(3, kyc.Suspended, "ref_1", "", ""))
	g.folded()
	held(t, g, 0)
	if s := stands(g, "acme", "ann"); s != kyc.Suspended {
		t.Errorf("ann is %s", s)
	}
}

// TestSettleRefuses: an operator settles refs that somebody was known by, with a reason.
func TestSettleRefuses(t *testing.T) {
	g := start(t, acme(), Partner{ID: "globex"})
	f := func(what string, s Settlement, want error) {
		t.Helper()
		if _, err := g.relay.SettleRef(t.Context(), s); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	f("nobody's", Settlement{submits("ann", "ref_1"), "because"}, outbox.ErrNotFound)
	f("without a reason", Settlement{submits("ann", "ref_1"), ""}, ErrInvalid)
	f("a long reason", Settlement{submits("ann", "ref_1"), strings.Repeat("x", maxNote+1)}, ErrInvalid)
	f("of an unknown partner", Settlement{submits("ann", "ref_1", func(s *Submission) { s.Partner = "x" }), "because"}, outbox.ErrNotFound)
	f("of nobody", Settlement{submits("ann\x01t", "ref_1"), "because"}, ErrInvalid)
	if _, err := g.submit(globex("mallory", "ref_1")); err != nil {
		t.Fatal(err)
	}
	g.tell(unknown(2, kyc.Pending, "ref_1", "", ""))
	g.folded()
	f("that served somebody else", Settlement{submits("ann", "ref_1"), "it was never mallory's"}, nil)
	g.appended++
	g.tell(unknown(3, kyc.Approved, "ref_1", "", ""))
	g.folded()
	if a, m := stands(g, "acme", "ann"), stands(g, "globex", "mallory"); a != kyc.Approved || m != kyc.Pending {
		t.Errorf("they are %q and %q", a, m)
	}
}

// TestGuestsAreBounded: what a partner's own token may leave in the file is bounded, and a callback
// makes room again.
func TestGuestsAreBounded(t *testing.T) {
	p := acme()
	p.MaxOpen = 5
	g := start(t, p, Partner{ID: "globex"})
	guest := func(s *Submission) { s.Guest = true }
	for i := range 5 {
		if _, err := g.submit(submits(fmt.Sprint("s", i), fmt.Sprint("ref_", i), guest)); err != nil {
			t.Fatal(err)
		}
	}
	f := func(what string, s Submission, want error) {
		t.Helper()
		if _, err := g.submit(s); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	f("one more", submits("s5", "ref_5", guest), ErrTooMany)
	f("one of before", submits("s1", "ref_1", guest), nil)
	f("an operator's", submits("s6", "ref_6"), nil)
	f("another partner's", globex("s7", "ref_7"), nil)
	g.restart()
	f("after a restart", submits("s5", "ref_5", guest), ErrTooMany)
	g.tell(unknown(2, kyc.Approved, "ref_1", "", ""), unknown(2, kyc.Approved, "ref_2", "", ""))
	g.folded()
	f("when two were served", submits("s5", "ref_5", guest), nil)
	f("and one more", submits("s8", "ref_8", guest), ErrTooMany)
	if n := g.metric("relay_submissions_total", "outcome", tooManyClaims); n == 0 {
		t.Error("none is counted")
	}
}

// TestSubjectHasSoManyRefs: one subject cannot be registered without end.
func TestSubjectHasSoManyRefs(t *testing.T) {
	g := start(t, acme())
	for i := range maxRefs + 1 {
		_, err := g.submit(submits("ann", fmt.Sprint("ref_", i), func(s *Submission) { s.Guest = true }))
		if want := i == maxRefs; errors.Is(err, ErrTooMany) != want {
			t.Fatalf("ref %d: %v", i, err)
		}
	}
}

// TestSandboxIsBounded: what a partner's own token may leave of the sandbox is bounded, and time
// makes room for new keys.
func TestSandboxIsBounded(t *testing.T) {
	g := start(t, acme())
	drive := func(subject, key string, guest bool) error {
		t.Helper()
		_, err := g.relay.Simulate(t.Context(), Simulation{Partner: "acme", Subject: subject, Kind: kyc.Individual, Status: kyc.Pending, Key: key, Guest: guest})
		return err
	}
	registered := func() {
		t.Helper()
		eventually(t, "the policies are registered", func() bool { _, err := g.relay.newest("acme"); return err == nil })
	}
	registered()
	for i := range 3 {
		if err := errors.Join(drive(fmt.Sprint("s", i), "", true), drive(fmt.Sprint("s", i), fmt.Sprint("k", i), true), drive(fmt.Sprint("s", i), fmt.Sprint("k", i), true)); err != nil {
			t.Fatal(err)
		}
	}
	if subjects, keys := g.relay.counts.of(drivenSubjects+"acme"), g.relay.counts.of(usedKeys+"acme"); subjects != 3 || keys != 3 {
		t.Errorf("%d subjects and %d keys are counted", subjects, keys)
	}
	g.appended = g.position()
	g.restart()
	if subjects, keys := g.relay.counts.of(drivenSubjects+"acme"), g.relay.counts.of(usedKeys+"acme"); subjects != 3 || keys != 3 {
		t.Errorf("after a restart %d subjects and %d keys are counted", subjects, keys)
	}
	registered()
	g.relay.counts.set(drivenSubjects+"acme", maxDriven)
	if err := drive("s9", "", true); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more subject: %v", err)
	}
	if err := errors.Join(drive("s1", "", true), drive("s9", "", false)); err != nil {
		t.Errorf("one that is there, and an operator's: %v", err)
	}
	g.relay.counts.set(usedKeys+"acme", maxKeys)
	if err := drive("s1", "k9", true); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more key: %v", err)
	}
	if err := errors.Join(drive("s1", "k1", true), drive("s1", "k9", false)); err != nil {
		t.Errorf("one that is there, and an operator's: %v", err)
	}
	g.relay.counts.set(usedKeys+"acme", 3)
	g.appended = g.position()
	g.stopped()
	g.clock.advance(91 * 24 * time.Hour)
	g.retained()
	if n := g.relay.counts.of(usedKeys + "acme"); n != 0 {
		t.Errorf("90 days later %d keys are counted", n)
	}
	g.run()
}

// TestGuestsLeaveTheSetAsideAlone: what is said of somebody who is set aside is kept until she is
// rebuilt, so a partner's own token says nothing of her.
func TestGuestsLeaveTheSetAsideAlone(t *testing.T) {
	g := start(t, acme())
	test := said("tess", 1, kyc.Approved)
	test.Livemode = false
	g.tell(of(said("ann", 1, kyc.Approved), "persona", "act_ann", "", ""), named(test))
	g.folded()
	g.wound(store.Subjects, []byte("acme/ann"))
	g.wound(store.Subjects, []byte("acme/tess\x01t"))
	g.restart()
	eventually(t, "both are set aside", func() bool { return len(g.relay.Aside()) == 2 })
	eventually(t, "the policies are registered", func() bool { _, err := g.relay.newest("acme"); return err == nil })
	at := g.position()
	if _, err := g.submit(submits("ann", "ref_9", func(s *Submission) { s.Guest = true })); !errors.Is(err, ErrAside) {
		t.Errorf("a submission: %v", err)
	}
	if _, err := g.relay.Simulate(t.Context(), Simulation{Partner: "acme", Subject: "tess", Kind: kyc.Individual, Status: kyc.Pending, Guest: true}); !errors.Is(err, ErrAside) {
		t.Errorf("a simulation: %v", err)
	}
	if _, err := g.submit(submits("ann", "ref_9")); err != nil || g.position() != at+1 {
		t.Errorf("an operator's: %v, %d records", err, g.position()-at)
	}
}

// TestDamagedRefIsSettled: a ref of which the disk has lost whose it is leads to nobody, until an
// operator says whose.
func TestDamagedRefIsSettled(t *testing.T) {
	g := start(t, acme())
	g.tell(of(said("ann", 1, kyc.Pending), "persona", "act_ann", "", ""))
	g.folded()
	g.tamper(func(tx *store.Tx) error {
		return spoil(tx, store.Refs, strandKey(refKey("persona-eu", "act_ann", true)))
	})
	g.restart()
	g.tell(unknown(2, kyc.Approved, "act_ann", "", ""))
	g.folded()
	held(t, g, 1)
	if _, err := g.relay.SettleRef(t.Context(), Settlement{submits("ann", "act_ann"), "the provider says so"}); err != nil {
		t.Fatal(err)
	}
	g.appended++
	g.folded()
	held(t, g, 0)
	if s := stands(g, "acme", "ann"); s != kyc.Approved {
		t.Errorf("ann is %s", s)
	}
}
