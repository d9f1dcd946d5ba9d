package kyc

import (
	"reflect"
	"testing"
	"time"
)

// Below the evidence asked for, what approves, suspends or rejects for good becomes a claim in review (I10); everything else only needs confirmation.
func TestGate(t *testing.T) {
	f := func(name string, got, need Authenticity, r, wantRank rank, claimed Status, waits bool) {
		t.Helper()
		x := timeless(request, "r", r, "x", FraudSuspected)
		x.Authenticity, x.Retryable = got, true
		u := x.Gate(need)
		if rankOf(u) != wantRank || u.ClaimedStatus != claimed || u.NeedsConfirmation != waits {
			t.Errorf("%s: %+v", name, u)
		}
		if lowered := claimed != ""; lowered != (len(u.Reasons) == 0) || lowered == u.Retryable || lowered && u.Terminal {
			t.Errorf("%s: reasons %v, retryable %v, terminal %v", name, u.Reasons, u.Retryable, u.Terminal)
		}
		if !reflect.DeepEqual(u.Gate(need), u) {
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
	f("rejected may be retried", Network, Signed, rankRejected, rankRejected, "", true)
	f("expired", Network, Signed, rankExpired, rankExpired, "", true)
	f("pending", Network, Signed, rankPending, rankPending, "", true)
	f("no level asked for: the strongest", Authenticated, "", rankApproved, rankInReview, Approved, true)
	f("unknown level asked for: the strongest", Authenticated, "rumour", rankApproved, rankInReview, Approved, true)
	f("unknown level", "rumour", Network, rankApproved, rankInReview, Approved, true)
	f("no level", "", Network, rankApproved, rankInReview, Approved, true)
}

// A record that claims although it needs confirmation is lowered by the fold too: no other door (I10).
func TestFoldGatesToo(t *testing.T) {
	x := obs(sumsub, "i", 3, rankApproved)
	x.NeedsConfirmation = true
	if got := apply(open, x).Status(); got != InReview {
		t.Errorf("an unconfirmed approval is %s", got)
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
	scenarios(t)("a clock far ahead", open, rankRejected, received(obs(sumsub, "i", 3, rankPending), 3), ahead, received(obs(sumsub, "i", 20, rankRejected), 20))
}

// What else unconfirmed evidence may try: evidence without times, matches, attempts, other sessions, other sources, kinds of subject. None of it lifts anything (I10).
func TestWeakScenarios(t *testing.T) {
	f := scenarios(t)
	noTime := func(session string, r rank, name string, reasons ...Reason) Update {
		return weak(timeless(request, session, r, name, reasons...))
	}
	f("timeless approval over a suspension", open, rankSuspended, obs(request, "r", 3, rankSuspended), noTime("r", rankApproved, "1"))
	f("timeless approval over a rejection", open, rankRejected, obs(request, "r", 3, rankRejected), noTime("r", rankApproved, "1"))
	f("timeless approval alone", open, rankInReview, noTime("r", rankApproved, "1"))
	f("timeless rejection takes an approval away", open, rankRejected, obs(request, "r", 3, rankApproved), noTime("r", rankRejected, "1"))
	f("a match beside a suspension", open, rankSuspended, obs(request, "r", 3, rankSuspended), weak(obs(request, "r", 5, rankRejected, SanctionsMatch)))
	f("a match beside a terminal rejection", open, rankTerminal, obs(request, "r", 3, rankTerminal, FraudSuspected), weak(obs(request, "r", 5, rankRejected, SanctionsMatch)))
	f("a match takes an approval away", open, rankRejected, obs(request, "r", 3, rankApproved), weak(obs(request, "r", 5, rankRejected, PEPMatch)))
	f("a match stays behind a later approval", open, rankRejected, weak(obs(request, "r", 5, rankRejected, PEPMatch)), obs(request, "s", 9, rankApproved))
	f("a match is released", open, rankApproved, obs(request, "r", 3, rankApproved), weak(obs(request, "r", 5, rankRejected, PEPMatch)), decide(request, 9, rankNotStarted))
	f("a match behind a terminal rejection, another source approved", open, rankTerminal,
		decide(sumsub, 2, rankApproved), obs(request, "a", 1, rankTerminal, DocumentUnreadable), weak(obs(request, "b", 17, rankRejected, SanctionsMatch)))
	f("an early time does not make a session old", open, rankRejected, obs(persona, "a", 5, rankApproved), obs(persona, "b", 7, rankRejected), weak(obs(persona, "b", 1, rankPending)))
	f("a rejection does not replace a terminal one", open, rankTerminal, obs(persona, "a", 3, rankTerminal, OtherReason), weak(obs(persona, "b", 20, rankRejected)))
	f("an attempt hides no rejection", open, rankRejected, obs(persona, "a", 3, rankRejected), weak(obs(persona, "b", 20, rankPending)))
	f("an attempt hides no tampered document", idv, rankRejected, obs(sumsub, "i", 3, rankApproved), obs(passprt, "", 5, rankRejected, FraudSuspected), weak(obs(passprt, "", 6, rankPending)))
	f("an attempt shows over a claim", open, rankPending, weak(obs(persona, "a", 3, rankRejected)), weak(obs(persona, "a", 5, rankPending)))
	f("a claim about a confirmed retry", open, rankRejected, obs(persona, "a", 3, rankRejected), obs(persona, "b", 5, rankPending), weak(obs(persona, "b", 9, rankRejected)))
	f("an attempt uncovers nothing milder than what is confirmed", open, rankRejected, obs(persona, "a", 3, rankInReview), weak(obs(persona, "a", 5, rankRejected)), weak(obs(persona, "a", 7, rankPending)))
	f("a claimed approval of a confirmed retry is still no better than the rejection", open, rankPending, obs(persona, "a", 3, rankRejected), obs(persona, "b", 5, rankPending), weak(obs(persona, "b", 9, rankApproved)))
	f("a claim hides no verdict of its own source", open, rankRejected,
		obs(sumsub, "s", 5, rankApproved), obs(persona, "a", 10, rankRejected), weak(obs(persona, "b", 3, rankRejected)), weak(obs(persona, "b", 20, rankExpired)))
	f("an overall claim hides no step", docs, rankRejected,
		obs(passprt, "", 3, rankRejected), weak(obs(key{"x", DocumentVerification, Overall, ""}, "r", 5, rankApproved)))
	f("a claim of what an operator has approved changes nothing", open, rankApproved, obs(request, "r", 3, rankRejected), decide(request, 9, rankApproved), weak(obs(request, "r", 12, rankApproved)))
	f("nor in another session, nor without a time", open, rankApproved,
		decide(request, 9, rankApproved), weak(obs(request, "s", 12, rankApproved)), noTime("t", rankApproved, "1"))
	f("what it claims to have rejected does", open, rankInReview, decide(request, 9, rankApproved), weak(obs(request, "r", 12, rankTerminal, FraudSuspected)))
	f("a claim under an attempt hides nothing", open, rankInReview,
		obs(request, "a", 3, rankInReview), weak(obs(persona, "b", 3, rankRejected)), obs(persona, "a", 7, rankPending))
	company := weak(obs(sumsub, "i", 5, rankPending))
	company.Subject.Kind = Company
	kyb := obs(key{"middesk", BusinessVerification, Overall, ""}, "b", 3, rankApproved)
	f("nobody becomes a company by an unsigned callback", Policy{}, rankPending, kyb, company)
	kyb.Subject.Kind = Company
	f("a company needs business verification only", Policy{}, rankApproved, kyb)
}

// Made-up sessions cannot push out what is confirmed (I10).
func TestWeakFloodDropsNothing(t *testing.T) {
	us := []Update{obs(persona, "approved", 1, rankApproved), obs(persona, "rejected", 5, rankRejected), obs(persona, "retry", 6, rankPending)}
	want := apply(open, us...)
	for i := range 100 {
		us = append(us, weak(obs(persona, string(rune('A'+i)), 7+i, []rank{rankPending, rankNotStarted, rankLapsed}[i%3])))
	}
	got := apply(open, us...)
	if got.Status() != want.Status() || len(got.checks[0].sessions) > maxSessions {
		t.Errorf("%s with %d sessions, want %s", got.Status(), len(got.checks[0].sessions), want.Status())
	}
	for _, name := range []string{"approved", "rejected", "retry"} {
		if got.checks[0].session(name).worth() == 0 {
			t.Errorf("session %s is forgotten", name)
		}
	}
}
