package kyc

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"
)

// Below the evidence asked for, whatever approves or takes away becomes a claim in review with its
// reasons (I10); everything else only needs confirmation.
func TestGate(t *testing.T) {
	f := func(name string, got, need Authenticity, r, wantRank rank, claimed Status, waits bool) {
		t.Helper()
		x := timeless(request, "r", r, "x", FraudSuspected)
		x.Authenticity, x.Retryable, x.Release = got, true, true
		u := x.Gate(need)
		shown := u
		shown.ClaimedStatus = ""
		if rankOf(&shown) != wantRank || u.ClaimedStatus != claimed || u.NeedsConfirmation != waits {
			t.Errorf("%s: %+v", name, u)
		}
		lowered := claimed != ""
		if !slices.Equal(u.Reasons, x.Reasons) || lowered == u.Retryable || lowered == u.Release || lowered && u.Terminal {
			t.Errorf("%s: reasons %v, retryable %v, terminal %v, release %v", name, u.Reasons, u.Retryable, u.Terminal, u.Release)
		}
		if !reflect.DeepEqual(u.Gate(need), u) || !reflect.DeepEqual(u.lowered(), u) {
			t.Errorf("%s: gated twice it is %+v", name, u.Gate(need))
		}
		if x.Status != r.status() || len(x.Reasons) != 1 {
			t.Errorf("%s: the update given was changed", name)
		}
	}
	f("signed", Signed, Signed, rankApproved, rankApproved, "", false)
	f("approved", Network, Signed, rankApproved, rankInReview, Approved, true)
	f("approved by its sender", Authenticated, Signed, rankApproved, rankInReview, Approved, true)
	f("good enough here", Authenticated, Authenticated, rankApproved, rankApproved, "", false)
	f("better than asked", Signed, Network, rankTerminal, rankTerminal, "", false)
	f("terminal", Network, Signed, rankTerminal, rankInReview, Rejected, true)
	f("suspended", Network, Authenticated, rankSuspended, rankInReview, Suspended, true)
	f("rejected", Network, Signed, rankRejected, rankInReview, Rejected, true)
	f("expired", Network, Signed, rankExpired, rankInReview, Expired, true)
	f("a link that lapsed", Network, Signed, rankLapsed, rankLapsed, "", true)
	f("in review", Network, Signed, rankInReview, rankInReview, "", true)
	f("pending", Network, Signed, rankPending, rankPending, "", true)
	f("created", Network, Signed, rankNotStarted, rankNotStarted, "", true)
	f("no level asked for: the strongest", Authenticated, "", rankApproved, rankInReview, Approved, true)
	f("unknown level asked for: the strongest", Authenticated, "rumour", rankApproved, rankInReview, Approved, true)
	f("unknown level", "rumour", Network, rankApproved, rankInReview, Approved, true)
	f("no level", "", Network, rankApproved, rankInReview, Approved, true)
}

// A record that claims although it needs confirmation is lowered by the state too: no other door
// (I10).
func TestStateGatesToo(t *testing.T) {
	for _, r := range []rank{rankApproved, rankExpired, rankRejected, rankTerminal, rankSuspended} {
		x := obs(sumsub, "i", 3, r, SanctionsMatch)
		x.NeedsConfirmation = true
		if v := apply(open, x).View(); v.Status != InReview || v.ClaimedStatus != r.status() || !v.NeedsConfirmation || v.Terminal {
			t.Errorf("unconfirmed %s is %+v", r.status(), v)
		}
	}
	x := obs(sumsub, "i", 5, rankNotStarted)
	x.NeedsConfirmation, x.Release = true, true
	if got := apply(open, obs(sumsub, "i", 1, rankApproved), obs(sumsub, "i", 3, rankSuspended), x).Status(); got != Suspended {
		t.Errorf("an unconfirmed activation: %s", got)
	}
}

func TestClamp(t *testing.T) {
	f := func(name string, ahead time.Duration, origin Origin, clamped bool) {
		t.Helper()
		x := Update{OccurredAt: t0.Add(ahead), OccurredAtOrigin: origin, ReceivedAt: t0}
		u, got := x.Clamp()
		want := x
		if clamped {
			want.OccurredAt, want.OccurredAtOrigin = t0, OriginReceived
		}
		if got != clamped || !reflect.DeepEqual(u, want) {
			t.Errorf("%s: %v, %v", name, u, got)
		}
	}
	f("past", -time.Hour, OriginProvider, false)
	f("clocks differ", 5*time.Minute, OriginProvider, false)
	f("ahead", 5*time.Minute+1, OriginProvider, true)
	f("ahead by signature", time.Hour, OriginSignature, true)
	f("our own", time.Hour, OriginReceived, false)
	if _, ok := (Update{ReceivedAt: t0}).Clamp(); ok {
		t.Error("no time at all was clamped")
	}
}

// A clamped time orders nothing: a later word of the provider beats it, however far ahead it was.
func TestClampedOrdersNothing(t *testing.T) {
	ahead, ok := received(obs(sumsub, "i", 9999, rankApproved), 10).Clamp()
	if !ok {
		t.Fatal("not clamped")
	}
	if got := apply(open, received(obs(sumsub, "i", 3, rankPending), 3), ahead, received(obs(sumsub, "i", 20, rankRejected), 20)).Status(); got != Rejected {
		t.Errorf("a clock far ahead: %s", got)
	}
}

// What else unconfirmed evidence may try, as it stands in records: evidence without times, kinds of
// subject. None of it lifts anything (I10).
func TestWeak(t *testing.T) {
	f := func(name string, p Policy, want Status, us ...Update) {
		t.Helper()
		if got := apply(p, us...).Status(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	noTime := func(session string, r rank, name string, reasons ...Reason) Update {
		return weak(timeless(request, session, r, name, reasons...))
	}
	f("a timeless approval over a suspension", open, Suspended, obs(request, "r", 3, rankSuspended), noTime("r", rankApproved, "1"))
	f("over a rejection", open, Rejected, obs(request, "r", 3, rankRejected), noTime("r", rankApproved, "1"))
	f("alone", open, InReview, noTime("r", rankApproved, "1"))
	f("a timeless rejection of an approval", open, InReview, obs(request, "r", 3, rankApproved), noTime("r", rankRejected, "1"))
	f("a match beside a suspension", open, Suspended, obs(request, "r", 3, rankSuspended), weak(obs(request, "r", 5, rankRejected, SanctionsMatch)))
	f("a match beside a terminal rejection", open, Rejected, obs(request, "r", 3, rankTerminal, FraudSuspected), weak(obs(request, "r", 5, rankRejected, SanctionsMatch)))
	f("a match is looked into", open, InReview, obs(request, "r", 3, rankApproved), weak(obs(request, "r", 5, rankRejected, PEPMatch)))
	f("a match that its provider has cleared since", open, Approved, weak(obs(request, "r", 5, rankRejected, PEPMatch)), obs(request, "s", 9, rankApproved))
	f("a match that another has", open, InReview, weak(obs(request, "r", 5, rankRejected, PEPMatch)), obs(sumsub, "s", 9, rankApproved))
	f("a match is released", open, Approved, obs(request, "r", 3, rankApproved), weak(obs(request, "r", 5, rankRejected, PEPMatch)), decide(request, 9, rankNotStarted))
	f("a rejection does not replace a terminal one", open, Rejected, obs(persona, "a", 3, rankTerminal, OtherReason), weak(obs(persona, "b", 20, rankRejected)))
	f("an attempt hides no rejection", open, Rejected, obs(persona, "a", 3, rankRejected), weak(obs(persona, "b", 20, rankPending)))
	f("an attempt hides no tampered document", idv, Rejected, obs(sumsub, "i", 3, rankApproved), obs(passprt, "", 5, rankRejected, FraudSuspected), weak(obs(passprt, "", 6, rankPending)))
	f("an attempt shows where nothing is decided", open, Pending, weak(obs(persona, "a", 5, rankPending)))
	f("but not over a claim", open, InReview, weak(obs(persona, "a", 3, rankRejected)), weak(obs(persona, "a", 5, rankPending)))
	f("a claim of what an operator has approved is looked into", open, Approved, obs(request, "r", 3, rankRejected), decide(request, 9, rankApproved), weak(obs(request, "r", 12, rankApproved)))
	f("what it claims to have rejected too", open, InReview, decide(request, 9, rankApproved), weak(obs(request, "r", 12, rankTerminal, FraudSuspected)))
	company := weak(obs(sumsub, "i", 5, rankPending))
	company.Subject.Kind = Company
	kyb := obs(of{"middesk", BusinessVerification, Overall, ""}, "b", 3, rankApproved)
	f("nobody becomes a company by an unsigned callback", Policy{}, Pending, kyb, company)
	kyb.Subject.Kind = Company
	f("a company needs business verification only", Policy{}, Approved, kyb)
	later := obs(sumsub, "i", 5, rankPending)
	later.Subject.Kind = Individual
	f("and stays one", Policy{}, Approved, kyb, later)
}

// Made-up runs, documents and checks cannot push out what is confirmed (I10): whatever floods in,
// the confirmed words are all still there.
func TestWeakFloodDropsNothing(t *testing.T) {
	confirmed := []Update{obs(persona, "approved", 1, rankApproved), obs(persona, "rejected", 5, rankRejected, DocumentUnreadable), obs(persona, "retry", 6, rankPending), obs(aml, "s", 2, rankApproved)}
	kept := apply(open, confirmed...)
	f := func(name string, made func(i int) Update) {
		t.Helper()
		us := slices.Clone(confirmed)
		for i := range 400 {
			us = append(us, weak(named(made(i), strconv.Itoa(i))))
		}
		s := apply(open, us...)
		for _, w := range kept.words {
			if !slices.ContainsFunc(s.words, func(o word) bool { return o.id == w.id && o.session == w.session && o.rank == w.rank }) {
				t.Errorf("%s: %s of %s is dropped", name, w.rank.status(), w.name)
			}
		}
		if got := s.Status(); got != InReview && got != kept.Status() {
			t.Errorf("%s: %s", name, got)
		}
		more := append(us, obs(of{"sumsub", Liveness, CheckScope, ""}, "l", 900, rankTerminal, FraudSuspected)) // and what is confirmed after it finds room
		if v := apply(open, more...).View(); v.Status != Rejected || len(v.Reasons) != 1 || v.Reasons[0].Code != FraudSuspected {
			t.Errorf("%s, then fraud: %+v", name, v)
		}
		if n := len(bytesOf(t, s)) - 19*len(s.seen); n > 6000 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
	run := func(i int) string { return fmt.Sprint("run", i) }
	f("attempts in made-up runs", func(i int) Update {
		return obs(persona, run(i), 7+i, []rank{rankPending, rankNotStarted, rankLapsed}[i%3])
	})
	f("claims in made-up runs", func(i int) Update {
		return obs(persona, run(i), 7+i, []rank{rankRejected, rankApproved, rankExpired}[i%3])
	})
	f("claims about made-up documents of a run", func(i int) Update {
		x := obs(persona, "approved", 7+i, rankRejected)
		x.Verification.Ref, x.Verification.ParentRef = run(i), "approved"
		return x
	})
	f("claims about made-up documents of made-up runs", func(i int) Update {
		x := obs(persona, "approved", 7+i, rankRejected)
		x.Verification.Ref, x.Verification.ParentRef = run(i), run(i%40)
		return x
	})
	f("made-up checks", func(i int) Update {
		return obs(of{"persona", DocumentVerification, DocumentScope, run(i)}, "approved", 7+i, []rank{rankRejected, rankPending, rankTerminal}[i%3])
	})
	f("made-up checks in made-up runs", func(i int) Update {
		return obs(of{"persona", DocumentVerification, DocumentScope, run(i)}, run(i), 7+i, rankTerminal, SanctionsMatch)
	})
}
