package relay

import (
	"fmt"
	"testing"
	"time"

	"countersign/kyc"
)

// of gives an update of persona or another provider with these refs and no time between it and its
// like.
func of(u kyc.Update, providerName, subjectRef, sessionRef, parentRef string) kyc.Update {
	u.Provider, u.Source = providerName, providerName+"-eu"
	u.Subject.ProviderRef, u.Verification.Ref, u.Verification.ParentRef = subjectRef, sessionRef, parentRef
	return named(u)
}

// routed runs updates through a relay, all in one batch or one by one with restarts between, and
// hands the relay over.
func routed(t *testing.T, check func(*testing.T, *rig), us ...kyc.Update) {
	t.Helper()
	f := func(how string, restart, together bool) {
		t.Run(how, func(t *testing.T) {
			p := newPartner(t, ok)
			g := newRig(t, acme(p.endpoint("a", only("kyc.status.*"))), Partner{ID: "globex"})
			if together {
				g.tell(us...)
				g.run()
			} else {
				g.run()
				for _, u := range us {
					g.tell(u)
					g.folded()
					if restart {
						g.restart()
					}
				}
			}
			g.settled()
			check(t, g)
		})
	}
	f("one batch", false, true)
	f("one by one", false, false)
	f("with restarts", true, false)
}

// records checks what became of a subject's records.
func records(t *testing.T, g *rig, id string, want ...string) {
	t.Helper()
	same(t, "records of "+id, verdicts(g.view("acme", id, true)), want)
}

func held(t *testing.T, g *rig, want int64) {
	t.Helper()
	if g.relay.Unrouted() != want || g.metric("relay_unrouted_records") != float64(want) {
		t.Errorf("%d held, %v in the metric; want %d", g.relay.Unrouted(), g.metric("relay_unrouted_records"), want)
	}
}

func nobody(t *testing.T, g *rig, id string) {
	t.Helper()
	if v, err := g.relay.Subject("acme", id, true, Asked{}); err == nil {
		t.Errorf("%s has %d records", id, len(v.Records))
	}
}

func TestRouteByID(t *testing.T) {
	bob := said("bob", 2, kyc.Approved)
	bob.Subject.ProviderRef = "p-ann" // even against what its ref says
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "ann", "applied[1 2]")
		records(t, g, "bob", "applied[1 2]")
	}, said("ann", 1, kyc.Pending), named(bob))
}

func TestRouteByRef(t *testing.T) {
	base := said("ann", 1, kyc.Pending)
	// An inquiry knows our id; the report about it knows the inquiry only.
	inquiry := of(base, "persona", "act_1", "inq_1", "")
	report := byRef(of(said("ann", 2, kyc.Approved), "persona", "", "inq_1", ""))
	// A document knows the customer only.
	document := byRef(of(said("bea", 2, kyc.Rejected), "rebilly", "cus_1", "", ""))
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "ann", "applied[1 2]", "applied[3 4]")
		records(t, g, "bea", "applied[1 2]", "applied[3 4]")
		held(t, g, 0)
	}, inquiry, report, of(said("bea", 1, kyc.Pending), "rebilly", "cus_1", "req_1", ""), document)
}

func TestUnroutedWaits(t *testing.T) {
	early := byRef(of(said("ann", 2, kyc.Approved), "persona", "", "inq_1", ""))
	other := byRef(of(said("ann", 2, kyc.Approved), "persona", "", "inq_2", ""))
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "ann", "applied[1 2]", "stale[]", "stale[]") // by position; the last one taught the ref
		held(t, g, 1)
	}, early, other, byRef(of(said("ann", 1, kyc.InReview), "persona", "", "inq_1", "")), of(said("ann", 0, kyc.Pending), "persona", "act_1", "inq_1", ""))

	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a")))
	g.tell(early)
	g.folded()
	held(t, g, 1)
	nobody(t, g, "ann")
	if got := g.metric("relay_updates_total", "verdict", "unrouted"); got != 1 {
		t.Errorf("unrouted counted %v times", got)
	}
	g.crash()
	held(t, g, 1)
	g.tell(of(said("ann", 1, kyc.Pending), "persona", "", "inq_1", ""))
	g.settled()
	held(t, g, 0)
	if len(p.seen()) != 2 { // nobody is told that she is pending who has been approved
		t.Errorf("%d deliveries, want 2", len(p.seen()))
	}
}

// TestChains: freeing one frees another.
func TestChains(t *testing.T) {
	last := byRef(of(said("ann", 4, kyc.Approved), "rebilly", "", "", "req_1"))
	middle := byRef(of(said("ann", 3, kyc.InReview), "rebilly", "", "doc_1", "req_1"))
	before := byRef(of(said("ann", 2, kyc.Pending), "rebilly", "cus_1", "doc_1", ""))
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		if v := g.view("acme", "ann", true); len(v.Records) != 4 || v.Status.Status != kyc.Approved {
			t.Errorf("%d records, %s", len(v.Records), v.Status.Status)
		}
		held(t, g, 0)
	}, last, middle, before, of(said("ann", 1, kyc.Pending), "rebilly", "cus_1", "", ""))
}

// TestAmbiguousRef: a ref taught for two people leads to nobody any more.
func TestAmbiguousRef(t *testing.T) {
	mine := of(said("ann", 1, kyc.Pending), "persona", "act_1", "inq_1", "")
	yours := of(said("bob", 1, kyc.Pending), "persona", "act_1", "inq_2", "")
	free := byRef(of(said("", 4, kyc.Approved), "persona", "act_1", "", ""))
	free.Partner = ""
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "ann", "applied[1 2]", "applied[3 4]")
		records(t, g, "bob", "applied[1 2]")
		held(t, g, 3)
		if !g.log.has("ref_ambiguous") {
			t.Error("nobody was told")
		}
	},
		mine, yours,
		byRef(of(said("", 2, kyc.Approved), "persona", "act_1", "", "")),      // leads to two
		byRef(of(said("", 2, kyc.Approved), "persona", "", "inq_1", "")),      // leads to ann still
		byRef(of(said("", 3, kyc.Approved), "persona", "act_1", "inq_2", "")), // half of it leads to two
		free,
	)
	g := start(t, acme())
	g.tell(mine, yours, byRef(of(said("", 2, kyc.Approved), "persona", "act_1", "", "")))
	g.folded()
	if a, b := g.metric("relay_ambiguous_refs_total"), g.metric("relay_updates_total", "verdict", "ambiguous"); a != 1 || b != 1 {
		t.Errorf("%v ambiguous refs and %v ambiguous updates counted, want 1 and 1", a, b)
	}
	g.tell(of(said("ann", 5, kyc.InReview), "persona", "act_1", "inq_1", "")) // taught again: still nobody's
	g.folded()
	held(t, g, 1)
}

// TestTwoRefsTwoPeople: refs that lead to different people lead to nobody.
func TestTwoRefsTwoPeople(t *testing.T) {
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "ann", "applied[1 2]")
		records(t, g, "bob", "applied[1 2]")
		held(t, g, 1)
	},
		of(said("ann", 1, kyc.Pending), "persona", "act_1", "inq_1", ""), of(said("bob", 1, kyc.Pending), "persona", "act_2", "inq_2", ""),
		byRef(of(said("", 2, kyc.Approved), "persona", "act_1", "inq_2", "")))
}

// TestWeakEvidenceTeachesNothing: whoever can merely reach us cannot claim another's ref.
func TestWeakEvidenceTeachesNothing(t *testing.T) {
	claim := weakly(of(said("eve", 1, kyc.Pending), "persona", "act_1", "inq_1", ""))
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "eve", "applied[1 2]")
		held(t, g, 1)
	}, claim, byRef(of(said("", 2, kyc.Approved), "persona", "", "inq_1", "")))
	half := of(said("ann", 1, kyc.Pending), "persona", "act_1", "inq_1", "")
	half.Authenticity = kyc.Authenticated
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "ann", "applied[1 2]", "applied[3 4]")
		held(t, g, 0)
	}, claim, named(half), byRef(of(said("", 2, kyc.Approved), "persona", "", "inq_1", "")))
}

func TestRefsOfModesAndSources(t *testing.T) {
	base := of(said("ann", 1, kyc.Pending), "persona", "act_1", "inq_1", "")
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "ann", "applied[1 2]")
		held(t, g, 3)
	}, base, inTest(byRef(base)), byRef(of(base, "sumsub", "act_1", "inq_1", "")), byRef(of(base, "unheard-of", "act_1", "inq_1", "")))
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		held(t, g, 0)
		if v := g.view("acme", "ann", false); len(v.Records) != 2 {
			t.Errorf("ann in test mode has %d records", len(v.Records))
		}
	}, base, inTest(of(said("ann", 1, kyc.Pending), "persona", "act_1", "inq_1", "")), inTest(byRef(of(said("", 2, kyc.Approved), "persona", "act_1", "", ""))))
}

// TestRefOfAnotherPartner: what a source said for one partner does not lead an update for another
// one there.
func TestRefOfAnotherPartner(t *testing.T) {
	theirs := of(said("gil", 1, kyc.Pending), "persona", "act_1", "inq_1", "")
	theirs.Partner = "globex"
	free := byRef(of(said("", 3, kyc.Approved), "persona", "act_1", "", ""))
	free.Partner = ""
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		same(t, "globex's", verdicts(g.view("globex", "gil", true)), []string{"applied[1 2]", "applied[3 4]"})
		held(t, g, 1)
	}, named(theirs), byRef(of(said("", 2, kyc.Approved), "persona", "act_1", "", "")), named(free))
}

// TestUnroutedCount follows the count over many records with two refs each, through restarts.
func TestUnroutedCount(t *testing.T) {
	t.Parallel()
	g := start(t, acme())
	for i := range 30 {
		g.tell(byRef(of(said("", i, kyc.Pending), "persona", fmt.Sprint("act_", i%3), fmt.Sprint("inq_", i), "")))
	}
	g.folded()
	held(t, g, 30)
	g.restart()
	held(t, g, 30)
	g.tell(of(said("ann", 40, kyc.Approved), "persona", "act_0", "inq_1", "")) // 10 by the first ref, one by the second, and that one's act_1 frees 9 more
	g.folded()
	held(t, g, 10)
	g.restart()
	held(t, g, 10)
	g.tell(of(said("bob", 41, kyc.Approved), "persona", "act_2", "", ""))
	g.folded()
	held(t, g, 0)
	if a, b := len(g.view("acme", "ann", true).Records), len(g.view("acme", "bob", true).Records); a != 21 || b != 11 {
		t.Errorf("ann has %d records, bob has %d; want 21 and 11", a, b)
	}
	eventually(t, "the journal is trimmed", func() bool { return g.journal.Backlog() == 0 })
}

// TestFetches: a question to a provider is kept with whoever it is about, and moves nobody; about
// nobody known it is passed over.
func TestFetches(t *testing.T) {
	asks := func(u kyc.Update) kyc.Update {
		u.Kind, u.Status = kyc.FetchRequest, ""
		return named(u)
	}
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		records(t, g, "ann", "applied[1 2]", "applied[]", "applied[]")
		records(t, g, "bob", "applied[]") // known by its id, and nothing else of it
		if v := g.view("acme", "ann", true); v.Status.Status != kyc.Pending || v.Records[1].Update.Kind != kyc.FetchRequest {
			t.Errorf("%+v", v.Status)
		}
		held(t, g, 0)
		if _, err := g.relay.SubjectStatus("acme", "bob", true); err == nil {
			t.Error("a question has made a subject")
		}
	},
		of(said("ann", 1, kyc.Pending), "persona", "act_1", "inq_1", ""), asks(byRef(of(said("", 2, ""), "persona", "", "inq_1", ""))),
		asks(of(said("ann", 3, ""), "persona", "", "inq_1", "")), asks(of(said("bob", 3, ""), "persona", "", "inq_2", "")),
		asks(byRef(of(said("", 2, ""), "persona", "act_2", "", ""))),
	)
}

// TestConfirmationsRoute: what the provider's API said finds its subject as a callback does,
// teaches as one does, and answers the claims made before (I10).
func TestConfirmationsRoute(t *testing.T) {
	claim := weakly(of(said("ann", 1, kyc.Approved), "persona", "act_1", "inq_1", ""))
	answer := of(said("ann", 1, kyc.Approved), "persona", "act_1", "inq_1", "")
	answer.Kind, answer.AskedAt = kyc.Confirmation, at(5)
	late := byRef(of(said("", 6, kyc.Rejected), "persona", "", "inq_1", ""))
	late.Kind, late.AskedAt = kyc.Confirmation, at(7)
	early := byRef(of(said("", 0, kyc.Pending), "persona", "act_1", "", ""))
	early.Kind = kyc.Confirmation
	routed(t, func(t *testing.T, g *rig) {
		t.Helper()
		v := g.view("acme", "ann", true)
		same(t, "records", verdicts(v), []string{"superseded[]", "applied[1 2]", "applied[3 4]", "applied[5 6]"})
		if v.Status.Status != kyc.Rejected {
			t.Errorf("%s", v.Status.Status)
		}
		held(t, g, 0)
	}, named(early), claim, named(answer), named(late))
}

// timeless is an update whose provider gives no time.
func timeless(u kyc.Update) kyc.Update {
	u.OccurredAt, u.OccurredAtOrigin = time.Time{}, kyc.OriginReceived
	return named(u)
}

// status checks where a subject stands, and that its history makes the same state again.
func status(want kyc.Status, changes ...string) func(*testing.T, *rig) {
	return func(t *testing.T, g *rig) {
		t.Helper()
		if v := g.view("acme", "ann", true); v.Status.Status != want {
			t.Errorf("ann is %s, want %s", v.Status.Status, want)
		}
		records(t, g, "ann", changes...)
		g.whole(0)
	}
}

// TestTakenFirst: what waited for its person was received before the word that said whose it is, so
// it counts as said before it, also where its provider gives no times.
func TestTakenFirst(t *testing.T) {
	yes := byRef(timeless(of(said("ann", 1, kyc.Approved), "persona", "", "inq_1", "")))
	no := byRef(timeless(of(said("ann", 2, kyc.Rejected), "persona", "", "inq_1", "")))
	last := func(s kyc.Status) kyc.Update { return timeless(of(said("ann", 9, s), "persona", "act_1", "inq_1", "")) }
	routed(t, status(kyc.Rejected, "applied[1 2]", "applied[3 4]"), yes, last(kyc.Rejected))
	routed(t, status(kyc.Approved, "applied[1 2]", "applied[3 4]"), no, last(kyc.Approved))
	routed(t, status(kyc.Approved, "applied[1 2]", "applied[3 4]", "applied[5 6]"), yes, no, last(kyc.Approved))
}

// TestTakenBefore: an approval that waited for its person is not newer than what was received after
// it and was said first, by another ref.
func TestTakenBefore(t *testing.T) {
	yes := byRef(timeless(of(said("ann", 2, kyc.Approved), "persona", "", "inq_2", "")))
	no := timeless(of(said("ann", 5, kyc.Rejected), "persona", "act_1", "inq_1", ""))
	teaches := said("ann", 9, kyc.Approved)
	teaches.Check = kyc.Screening
	routed(t, status(kyc.Rejected, "superseded[]", "applied[1 2]", "applied[3]"), yes, no, timeless(of(teaches, "persona", "act_1", "inq_2", "")))
}
