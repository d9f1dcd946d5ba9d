package relay

import (
	"errors"
	"strings"
	"testing"

	"countersign/kyc"
	"countersign/outbox"
)

// submits registers a ref of persona's as one of acme's subjects'.
func submits(subject, ref string, change ...func(*Submission)) Submission {
	s := Submission{Partner: "acme", Subject: subject, Source: "persona-eu", ProviderRef: ref, Livemode: true, Actor: "acme-token"}
	for _, c := range change {
		c(&s)
	}
	return s
}

// submit orders a submission and waits until it is folded.
func (g *rig) submit(s Submission) (id string, err error) {
	g.t.Helper()
	out, err := g.relay.Submit(g.t.Context(), s)
	if err == nil && !out.Known || errors.Is(err, ErrContested) && out.ID != "" {
		g.appended++
		g.folded()
	}
	return out.ID, err
}

// unknown is what a callback says that knows a provider's refs only, and no partner either.
func unknown(minute int, s kyc.Status, subjectRef, sessionRef, parentRef string) kyc.Update {
	u := byRef(of(said("", minute, s), "persona", subjectRef, sessionRef, parentRef))
	u.Partner = ""
	return named(u)
}

// TestSubmit: whose a ref is may be registered before its first callback, whichever kind of ref
// callbacks carry it as.
func TestSubmit(t *testing.T) {
	f := func(what string, u kyc.Update) {
		t.Helper()
		g := start(t, acme())
		id, err := g.submit(submits("ann", "ref_1", func(s *Submission) { s.Kind = kyc.Company }))
		if err != nil {
			t.Fatal(err)
		}
		v := g.view("acme", "ann", true)
		if v.Status.Status != kyc.Pending || v.Status.Sequence != 1 || len(v.Changes) != 1 || len(v.Records) != 1 || len(v.Checks) != 0 {
			t.Errorf("%s: registered, it is %+v with %d changes", what, v.Status, len(v.Changes))
		}
		if r := v.Records[0].Update; r.ID != id || r.Actor != "acme-token" || r.Kind != kyc.Submission {
			t.Errorf("%s: record %+v", what, r)
		}
		g.restart()
		g.tell(u)
		g.folded()
		records(t, g, "ann", "applied[1]", "applied[2]")
		if c := g.view("acme", "ann", true).Changes[0]; c.Subject.Kind != kyc.Company {
			t.Errorf("%s: %+v", what, c.Subject)
		}
		held(t, g, 0)
	}
	f("the person's", unknown(1, kyc.Pending, "ref_1", "", ""))
	f("the session's", unknown(1, kyc.Pending, "", "ref_1", ""))
	f("its parent's, which persona does not give to one person only", unknown(1, kyc.Pending, "", "", "ref_1"))
	f("beside refs nobody knows", unknown(1, kyc.Pending, "act_1", "inq_1", "ref_1"))
	f("of a provider this program has no refs of", func() kyc.Update {
		u := unknown(1, kyc.Pending, "", "ref_1", "")
		u.Provider = "unheard-of"
		return named(u)
	}())
}

// TestSubmitSetsFree: what waited for a ref is applied in order of arrival.
func TestSubmitSetsFree(t *testing.T) {
	f := func(what string, first, second, other kyc.Update) {
		t.Helper()
		g := start(t, acme())
		g.tell(first, second, other)
		g.folded()
		held(t, g, 3)
		if _, err := g.submit(submits("ann", "ref_1")); err != nil {
			t.Fatal(err)
		}
		records(t, g, "ann", "applied[2]", "applied[3 4]", "applied[1]")
		if s := g.view("acme", "ann", true).Status.Status; s != kyc.Approved {
			t.Errorf("%s: %s", what, s)
		}
		held(t, g, 1)
	}
	f("the person's", unknown(1, kyc.Pending, "ref_1", "", ""), unknown(2, kyc.Approved, "ref_1", "", ""), unknown(2, kyc.Approved, "ref_2", "", ""))
	f("of any kind", unknown(1, kyc.Pending, "", "", "ref_1"), unknown(2, kyc.Approved, "", "ref_1", ""), unknown(2, kyc.Approved, "", "", "ref_2"))
}

// TestTaughtParentIsNobodys: a ref that a provider does not give to one person only leads nowhere
// unless it was registered. Nobody is ever guessed.
func TestTaughtParentIsNobodys(t *testing.T) {
	g := start(t, acme())
	g.tell(of(said("ann", 1, kyc.Pending), "persona", "ref_1", "inq_1", "cmp_1"), unknown(2, kyc.Approved, "", "", "ref_1"), unknown(2, kyc.Approved, "", "", "cmp_1"))
	g.folded()
	records(t, g, "ann", "applied[1 2]")
	held(t, g, 2)
	if _, err := g.submit(submits("ann", "ref_1")); err != nil { // known as hers already, now as whatever
		t.Fatal(err)
	}
	records(t, g, "ann", "applied[1 2]", "applied[3 4]", "applied[]")
	held(t, g, 1)
	g.tell(of(said("bob", 3, kyc.Pending), "persona", "", "inq_2", "ref_1")) // his own ref counts first
	g.tell(unknown(4, kyc.Approved, "", "inq_2", "ref_1"))
	g.folded()
	records(t, g, "bob", "applied[1 2]", "applied[3 4]")
}

// TestSubmitConflicts: a ref that serves somebody else is refused, at the door and in the fold; one
// that somebody else has only registered becomes contested.
func TestSubmitConflicts(t *testing.T) {
	g := start(t, acme(), Partner{ID: "globex"})
	g.tell(of(said("ann", 1, kyc.Pending), "persona", "ref_1", "", ""))
	g.folded()
	f := func(what string, s Submission, want error) {
		t.Helper()
		if _, err := g.submit(s); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	f("taught as another's", submits("bob", "ref_1"), ErrConflict)
	f("her own", submits("ann", "ref_1"), nil)
	f("registered as another's, and serving", submits("bob", "ref_1"), ErrConflict)
	f("another partner's", submits("ann", "ref_1", func(s *Submission) { s.Partner = "globex" }), ErrConflict)
	f("in test mode", submits("bob", "ref_1", func(s *Submission) { s.Livemode = false }), nil)
	f("at another source", submits("bob", "ref_1", func(s *Submission) { s.Source = "sumsub-eu" }), nil)
	f("again", submits("ann", "ref_1"), nil)
	records(t, g, "ann", "applied[1 2]", "applied[]") // and again wrote nothing

	racing := kyc.Update{SchemaVersion: 1, Kind: kyc.Submission, Source: "persona-eu", Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "bob", ProviderRef: "ref_1"}}
	g.tell(named(racing), unknown(5, kyc.Approved, "ref_1", "", ""), unknown(6, kyc.Approved, "", "", "ref_1"))
	g.folded()
	held(t, g, 0) // it serves ann, whatever bob's partner says
	records(t, g, "ann", "applied[1 2]", "applied[]", "applied[3 4]", "applied[5 6]")
	if n := g.metric("relay_ambiguous_refs_total"); n != 0 {
		t.Errorf("%v refs are ambiguous", n)
	}
	g.tell(of(said("cid", 1, kyc.Pending), "persona", "ref_2", "", ""))
	g.folded()
	f("to be taught as another's", submits("dan", "ref_3"), nil)
	g.tell(of(said("cid", 2, kyc.Pending), "persona", "ref_3", "", ""), unknown(5, kyc.Approved, "ref_3", "", ""))
	g.folded()
	held(t, g, 0) // its provider knows whose it is
	f("which a provider said is another's", submits("dan", "ref_3"), ErrConflict)
	if refs := contestedOf(t, g, "acme", "dan"); refs != "refused ref_3" {
		t.Errorf("dan's partner is told %q", refs)
	}
}

func TestSubmitRefuses(t *testing.T) {
	g := start(t, acme())
	f := func(field string, change func(*Submission)) {
		t.Helper()
		_, err := g.submit(submits("ann", "ref_1", change))
		var wrong *FieldError
		if field == "" {
			if !errors.Is(err, outbox.ErrNotFound) {
				t.Errorf("Submit = %v, want not found", err)
			}
		} else if !errors.Is(err, ErrInvalid) || !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("Submit = %v, want one about %s", err, field)
		}
	}
	f("partner", func(s *Submission) { s.Partner = "" })
	f("", func(s *Submission) { s.Partner = "globex" })
	f("subject", func(s *Submission) { s.Subject = "" })
	f("subject", func(s *Submission) { s.Subject = "ann\x01t" }) // would be ann in test mode
	f("subject", func(s *Submission) { s.Subject = strings.Repeat("x", 257) })
	f("source", func(s *Submission) { s.Source = "" })
	f("source", func(s *Submission) { s.Source = "persona-eu\x00l" })
	f("provider_ref", func(s *Submission) { s.ProviderRef = "" })
	f("provider_ref", func(s *Submission) { s.ProviderRef = "\xff" })
	f("kind", func(s *Submission) { s.Kind = "cat" })
	f("actor", func(s *Submission) { s.Actor = "" })
	nobody(t, g, "ann")
}
