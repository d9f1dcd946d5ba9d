package kyc

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"
)

// What became of the last record, for the history of the subject.
func TestVerdicts(t *testing.T) {
	f := func(name string, want Verdict, us ...Update) {
		t.Helper()
		s := &State{}
		var got Verdict
		for _, u := range arrive(us) {
			_, got = s.Apply(u, idv)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	i := func(minute int, r rank, reasons ...Reason) Update { return obs(sumsub, "i", minute, r, reasons...) }
	f("the first", Applied, i(3, rankApproved))
	f("the same id", Duplicate, i(3, rankApproved), i(3, rankApproved))
	f("a repeat under another id", Applied, i(3, rankApproved), i(5, rankApproved))
	f("an older verdict", Stale, i(5, rankApproved), i(3, rankRejected))
	f("an older attempt", Stale, i(5, rankPending), i(3, rankPending))
	f("an older attempt, nothing newer of its kind", Applied, i(5, rankApproved), i(3, rankPending))
	f("a verdict from before the reset", Stale, i(5, rankNotStarted), i(3, rankApproved))
	f("a suspension from before the reset", Applied, i(5, rankNotStarted), i(3, rankSuspended))
	f("an older terminal rejection holds all the same", Applied, i(5, rankApproved), i(3, rankTerminal, FraudSuspected))
	f("an approval behind a terminal rejection", Parked, i(3, rankTerminal, FraudSuspected), i(5, rankApproved))
	f("a timeless one", Parked, i(3, rankTerminal, FraudSuspected), timeless(sumsub, "i", rankApproved, "x"))
	f("an older approval behind a terminal rejection", Stale, i(3, rankTerminal, FraudSuspected), i(2, rankApproved))
	f("a rejection behind a terminal one", Applied, i(3, rankTerminal, FraudSuspected), i(5, rankRejected))
	f("after the reset", Applied, i(3, rankTerminal, FraudSuspected), i(5, rankNotStarted), i(6, rankApproved))
	f("the hit itself", Applied, i(3, rankRejected, SanctionsMatch))
	f("another hit", Applied, i(3, rankRejected, SanctionsMatch), i(5, rankTerminal, PEPMatch))
	f("an older hit", Applied, i(3, rankRejected, SanctionsMatch), i(2, rankTerminal, PEPMatch))
	f("an approval behind a hit", Held, i(3, rankRejected, SanctionsMatch), i(5, rankApproved))
	f("a reset behind a hit", Held, i(3, rankRejected, SanctionsMatch), i(5, rankNotStarted))
	f("behind a released hit", Applied, i(3, rankRejected, SanctionsMatch), decide(sumsub, 4, rankNotStarted), i(5, rankApproved))
	f("another session speaks", Superseded, obs(persona, "a", 1, rankPending), obs(persona, "b", 2, rankPending), obs(persona, "b", 3, rankApproved), obs(persona, "a", 5, rankRejected))
	f("a hit of another session", Superseded, i(3, rankRejected, SanctionsMatch), obs(sumsub, "j", 5, rankApproved))
	f("a re-verification begun elsewhere", Superseded, obs(persona, "a", 3, rankApproved), obs(persona, "b", 5, rankPending))
	f("another source speaks", Superseded, i(5, rankApproved), obs(persona, "a", 3, rankRejected))
	f("another source has decided, this one has begun", Superseded, i(5, rankApproved), obs(persona, "a", 7, rankPending))
	f("another type is nobody's business", Applied, i(5, rankApproved), obs(aml, "s", 3, rankApproved))
	f("an operator speaks", Superseded, decide(sumsub, 9, rankApproved), i(5, rankRejected))
	f("after the operator", Applied, decide(sumsub, 9, rankApproved), i(12, rankRejected))
	f("a claim", Applied, weak(i(5, rankApproved)))
	f("an older claim", Stale, weak(i(5, rankApproved)), weak(i(3, rankSuspended)))
	f("a claim that was answered before it came", Stale, received(confirms(i(5, rankApproved)), 90), received(weak(i(7, rankSuspended)), 80))
	f("a decision", Applied, decide(sumsub, 9, rankApproved))
	f("an older decision", Stale, decide(sumsub, 9, rankApproved), decide(sumsub, 7, rankSuspended))
	f("a release", Applied, decide(sumsub, 9, rankSuspended), decide(sumsub, 12, rankNotStarted))
	f("another kind", Applied, Update{ID: "x", Kind: Redelivery})
	f("another kind again", Duplicate, Update{ID: "x", Kind: Redelivery}, Update{ID: "x", Kind: Redelivery})
}

// What operators say that the scenarios do not: a decision that is none, and one without a time of its own.
func TestDecisions(t *testing.T) {
	f := scenarios(t)
	none := decide(sumsub, 9, rankPending)
	f("neither verdict nor release lifts nothing", open, rankTerminal, obs(sumsub, "i", 3, rankTerminal, SanctionsMatch), none)
	none.Status = ""
	f("no status lifts nothing", open, rankTerminal, obs(sumsub, "i", 3, rankTerminal, SanctionsMatch), none)
	byReceipt := func(minute int, r rank) Update {
		x := received(decide(sumsub, minute, r), minute)
		x.OccurredAt, x.OccurredAtOrigin, x.ID = time.Time{}, "", fmt.Sprint("d", minute)
		return x
	}
	f("without a time it counts from when it was received", open, rankApproved, obs(sumsub, "i", 3, rankRejected), byReceipt(9, rankApproved))
	f("and the later of two counts", open, rankApproved, byReceipt(12, rankApproved), byReceipt(9, rankSuspended))
	f("the provider is later", open, rankRejected, byReceipt(9, rankApproved), obs(sumsub, "i", 12, rankRejected))
	bare := decide(sumsub, 9, rankApproved)
	bare.Scope = ""
	f("the scope is overall unless it says otherwise", open, rankApproved, obs(sumsub, "i", 3, rankRejected), bare)
	step := decide(key{"sumsub", IdentityVerification, CheckScope, ""}, 9, rankApproved)
	f("a step's decision is not the whole's", open, rankRejected, obs(sumsub, "i", 3, rankRejected), step)
	for _, r := range []rank{rankInReview, rankRejected, rankTerminal, rankSuspended, rankExpired} {
		f(fmt.Sprintf("%s is no release: the match holds the approval after it", r.status()), open, rankTerminal,
			obs(sumsub, "i", 3, rankTerminal, SanctionsMatch), decide(sumsub, 5, r), obs(sumsub, "i", 7, rankApproved))
	}
	f("an approval is one", open, rankApproved, obs(sumsub, "i", 3, rankTerminal, SanctionsMatch), decide(sumsub, 5, rankApproved), obs(sumsub, "i", 7, rankApproved))
	weakHit := weak(obs(sumsub, "j", 5, rankRejected, PEPMatch))
	f("a release lifts every hit of every session", open, rankApproved,
		obs(sumsub, "i", 3, rankTerminal, SanctionsMatch), weakHit, obs(sumsub, "k", 7, rankApproved), decide(sumsub, 9, rankNotStarted))
}

// A confirmation voids the claims received before the question was asked, and no later ones.
func TestConfirmation(t *testing.T) {
	f := func(name string, want rank, asked, claimed int) {
		t.Helper()
		claim := received(weak(obs(request, "r", 6, rankTerminal, FraudSuspected)), claimed)
		c := received(confirms(obs(request, "r", 5, rankApproved)), 50)
		if asked >= 0 {
			c.AskedAt = at(asked)
		}
		for _, us := range [][]Update{{claim, c}, {c, claim}} {
			if got := apply(open, us...).stands(); got != standing(want) {
				t.Errorf("%s: %v, want %v", name, got, standing(want))
			}
		}
	}
	f("asked after the claim", rankApproved, 40, 30)
	f("asked at once", rankApproved, 30, 30)
	f("asked before the claim", rankInReview, 20, 30)
	f("nobody says when: when it came", rankApproved, -1, 50)
	f("a claim after it", rankInReview, -1, 51)
	two := received(named(confirms(obs(request, "r", 5, rankApproved)), "2"), 60)
	two.AskedAt = at(20)
	one := received(confirms(obs(request, "r", 5, rankApproved)), 50)
	one.AskedAt = at(40)
	late := received(weak(obs(request, "r", 6, rankSuspended)), 30)
	if got := apply(open, one, two, late).Status(); got != Approved {
		t.Errorf("an older question took an answer back: %s", got)
	}
	unproven := confirms(weak(obs(request, "r", 5, rankApproved)))
	if got := apply(open, weak(obs(request, "r", 6, rankSuspended)), unproven).Status(); got != InReview {
		t.Errorf("an unconfirmed confirmation answers nothing: %s", got)
	}
}

// A confirmation voids the claims of its source and session about other checks too, known by then or not; those of other sources, of other sessions and of none stay.
func TestConfirmationOfOtherChecks(t *testing.T) {
	f := func(name string, want Status, claim Update, confirmed string) {
		t.Helper()
		answer := received(confirms(obs(request, confirmed, 5, rankApproved)), 50)
		if answer.AskedAt = at(40); confirmed == "" {
			answer.Verification = Verification{}
		}
		for i, us := range [][]Update{{claim, answer}, {answer, claim}} {
			s := apply(open, us...)
			at := slices.IndexFunc(s.Checks(), func(c CheckState) bool { return c.Type == claim.Check })
			if got := s.Checks()[at]; got.Status != want {
				t.Errorf("%s, order %d: %s is %s, want %s", name, i, got.Type, got.Status, want)
			}
		}
	}
	claim := func(k key, session string, receivedAt int) Update {
		return received(weak(obs(k, session, 6, rankTerminal, FraudSuspected)), receivedAt)
	}
	f("received before", NotStarted, claim(passprt, "r", 30), "r")
	f("received after", InReview, claim(passprt, "r", 41), "r")
	f("of another session", InReview, claim(passprt, "q", 30), "r")
	f("of another source", InReview, claim(key{"persona", Liveness, CheckScope, ""}, "r", 30), "r")
	f("of no session", InReview, claim(passprt, "", 30), "")
	match := received(weak(obs(passprt, "r", 6, rankRejected, PEPMatch)), 30)
	f("a match is an operator's to lift", Rejected, match, "r")
}

// At most 16 sessions a check are kept; what holds something is never dropped, and what decides neither.
func TestSessionsAreBounded(t *testing.T) {
	s := &State{}
	feed := func(u Update) Verdict {
		t.Helper()
		_, v := s.Apply(received(u, 100), open)
		return v
	}
	holding := []Update{
		obs(persona, "hit", 1, rankRejected, SanctionsMatch), obs(persona, "terminal", 2, rankTerminal, OtherReason), obs(persona, "suspended", 3, rankSuspended),
		obs(persona, "approved", 4, rankApproved), obs(persona, "grave", 5, rankRejected, FraudSuspected),
	}
	for _, u := range holding {
		feed(u)
	}
	for n := range 100 {
		feed(obs(persona, fmt.Sprint("n", n), 10+n, []rank{rankPending, rankRejected, rankInReview}[n%3]))
	}
	c := s.checks[0]
	if len(c.sessions) != maxSessions {
		t.Errorf("%d sessions", len(c.sessions))
	}
	has := func(name string) bool {
		return slices.ContainsFunc(c.sessions, func(ss *session) bool { return ss.key == name })
	}
	for _, name := range []string{"hit", "terminal", "suspended", "approved", "grave", "n98"} {
		if !has(name) {
			t.Errorf("session %q is forgotten", name)
		}
	}
	if has("n0") || has("n1") {
		t.Error("the oldest are kept")
	}
	if v := feed(obs(persona, "ancient", 0, rankPending)); v != Stale || has("ancient") {
		t.Errorf("one older than all: %s", v)
	}
	for n := range 30 {
		feed(obs(persona, fmt.Sprint("a", n), 200+n, rankApproved))
	}
	if len(c.sessions) < 35 {
		t.Errorf("%d sessions, though 35 hold something", len(c.sessions))
	}
	if got := s.Status(); got != Suspended {
		t.Errorf("%s", got)
	}
}

// The session that decides stays, though it holds nothing and everything else does: else one rejection too many would leave an approval standing (I10).
func TestDecidingSessionStays(t *testing.T) {
	var us []Update
	for n := range maxSessions + 4 {
		us = append(us, obs(persona, fmt.Sprint("a", n), n, rankApproved))
	}
	s := apply(open, append(us, obs(persona, "last", 50, rankRejected, DocumentUnreadable))...)
	if got := s.Status(); got != Rejected {
		t.Errorf("%s", got)
	}
}

// Ids are known for 90 days after they were received, and for ever where the source gives no times.
func TestSeen(t *testing.T) {
	f := func(name string, u Update, days int, want Verdict) {
		t.Helper()
		s := &State{}
		u.ReceivedAt = t0
		s.Apply(u, open)
		s.Apply(Update{ID: "passing", Kind: Redelivery, ReceivedAt: t0.AddDate(0, 0, days)}, open)
		s = copyOf(t, s)
		u.ReceivedAt = t0.AddDate(0, 0, days)
		if _, got := s.Apply(u, open); got != want {
			t.Errorf("%s after %d days: %s, want %s", name, days, got, want)
		}
	}
	f("timed", obs(sumsub, "i", 3, rankApproved), 90, Duplicate)
	f("timed", obs(sumsub, "i", 3, rankApproved), 91, Stale) // and even so it is only its own equal
	f("timeless", timeless(sumsub, "i", rankApproved, "x"), 5000, Duplicate)
	f("confirmed without a time", confirms(timeless(sumsub, "i", rankApproved, "x")), 5000, Duplicate)
	f("order", Update{ID: "x", Kind: Redelivery}, 90, Duplicate)
	f("order", Update{ID: "x", Kind: Redelivery}, 91, Applied)
	s := &State{}
	for day := range 1000 {
		s.Apply(Update{ID: strconv.Itoa(day), Kind: Redelivery, ReceivedAt: t0.AddDate(0, 0, day)}, open)
	}
	if len(s.seen) != keepSeen+1 {
		t.Errorf("%d ids are kept", len(s.seen))
	}
}

// A hit that was released does not hold again when it is sent again after its id is forgotten; one never seen does.
func TestReleasedStaysReleased(t *testing.T) {
	hit := received(obs(sumsub, "i", 3, rankRejected, SanctionsMatch), 10)
	s := apply(open, hit, received(obs(sumsub, "j", 5, rankApproved), 11), received(decide(sumsub, 20, rankNotStarted), 20))
	hit.ReceivedAt = t0.AddDate(0, 6, 0)
	s.Apply(Update{ID: "passing", Kind: Redelivery, ReceivedAt: hit.ReceivedAt}, open)
	if _, v := s.Apply(hit, open); v == Duplicate || s.Status() != Approved || s.Checks()[0].HeldBy != nil {
		t.Errorf("%s: %s, held by %v", v, s.Status(), s.Checks()[0].HeldBy)
	}
	if s.Apply(received(obs(sumsub, "i", 4, rankRejected, SanctionsMatch), 30), open); s.Status() != Rejected || len(s.Checks()[0].HeldBy) != 1 {
		t.Errorf("%s, held by %v", s.Status(), s.Checks()[0].HeldBy)
	}
}
