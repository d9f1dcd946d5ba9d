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
		var got []Verdict
		for _, u := range arrive(us) {
			_, got = s.Apply([]Update{u}, idv)
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	i := func(minute int, r rank, reasons ...Reason) Update { return obs(sumsub, "i", minute, r, reasons...) }

	// Approvals count, wait behind a finding that they do not answer, or come too late.
	f("the first", Applied, i(3, rankApproved))
	f("the same id", Duplicate, i(3, rankApproved), i(3, rankApproved))
	f("a repetition under another id", Applied, i(3, rankApproved), i(5, rankApproved))
	f("an older one of the run", Stale, i(5, rankApproved), i(3, rankApproved))
	f("one from before the reset", Stale, i(5, rankNotStarted), i(3, rankApproved))
	f("one that has been superseded", Stale, i(5, rankRejected), i(3, rankApproved))
	f("one that answers", Applied, i(3, rankRejected, DocumentUnreadable), i(5, rankApproved))
	f("behind a terminal rejection", Parked, i(3, rankTerminal, FraudSuspected), i(5, rankApproved))
	f("behind fraud, in a run begun before it", Parked, obs(persona, "b", 1, rankPending), obs(persona, "a", 3, rankRejected, FraudSuspected), obs(persona, "b", 5, rankApproved))
	f("behind a suspension of another run", Parked, obs(persona, "a", 3, rankSuspended), obs(persona, "b", 5, rankApproved))
	f("behind an operator's no", Parked, decide(sumsub, 3, rankRejected), i(5, rankApproved))
	f("a timeless one", Parked, i(3, rankTerminal, FraudSuspected), timeless(sumsub, "i", rankApproved, "x"))
	f("one that is older than the terminal rejection", Stale, i(3, rankTerminal, FraudSuspected), i(2, rankApproved))
	f("behind a hit", Held, i(3, rankRejected, SanctionsMatch), i(5, rankApproved))
	f("behind a hit of another run", Held, i(3, rankRejected, SanctionsMatch), obs(sumsub, "j", 5, rankApproved))
	f("behind a released hit", Applied, i(3, rankRejected, SanctionsMatch), decide(sumsub, 4, rankNotStarted), i(5, rankApproved))
	f("after the reset", Applied, i(3, rankTerminal, FraudSuspected), i(5, rankNotStarted), i(6, rankApproved))
	f("in a new run", Applied, obs(persona, "a", 3, rankTerminal, FraudSuspected), obs(persona, "b", 4, rankPending), obs(persona, "b", 5, rankApproved))
	f("beside another that lasts longer", Superseded, until(i(3, rankApproved), at(90000)), until(obs(persona, "a", 5, rankApproved), at(80000)))
	f("beside another that does not", Applied, until(i(3, rankApproved), at(80000)), until(obs(persona, "a", 5, rankApproved), at(90000)))
	f("what another source has found speaks", Superseded, i(3, rankTerminal, FraudSuspected), obs(persona, "a", 5, rankApproved))
	f("findings of its run and of another are newer", Superseded, obs(persona, "b", 6, rankRejected), obs(persona, "a", 5, rankRejected, FraudSuspected), obs(persona, "a", 3, rankApproved))
	f("another type is nobody's business", Applied, i(5, rankApproved), obs(aml, "s", 3, rankApproved))
	f("one that has run out already", Applied, until(i(3, rankApproved), at(50)))

	// Findings stand until they are answered.
	f("a rejection", Applied, i(3, rankRejected))
	f("after an approval", Applied, i(3, rankApproved), i(5, rankRejected))
	f("an older one", Stale, i(5, rankApproved), i(3, rankRejected))
	f("an older terminal one for fraud is answered too", Stale, i(5, rankApproved), i(2, rankNotStarted), i(1, rankTerminal, FraudSuspected))
	f("but not if nothing lies between", Applied, i(5, rankApproved), i(3, rankTerminal, FraudSuspected))
	f("a suspension from before the reset", Applied, i(5, rankNotStarted), i(3, rankSuspended))
	f("behind a terminal one", Applied, i(3, rankTerminal, FraudSuspected), i(5, rankRejected))
	f("the hit itself", Applied, i(3, rankRejected, SanctionsMatch))
	f("another hit", Applied, i(3, rankRejected, SanctionsMatch), i(5, rankTerminal, PEPMatch))
	f("an older hit", Applied, i(3, rankRejected, SanctionsMatch), i(2, rankTerminal, PEPMatch))
	f("of a run that another has outrun", Stale, obs(persona, "a", 1, rankPending), obs(persona, "b", 2, rankPending), obs(persona, "b", 3, rankApproved), obs(persona, "a", 5, rankRejected))
	f("another source has approved since", Stale, i(5, rankApproved), obs(persona, "a", 3, rankRejected))
	f("another source has approved since, but this is fraud", Applied, i(5, rankApproved), obs(persona, "a", 3, rankRejected, FraudSuspected))
	f("an operator's approval answers it", Overruled, decide(sumsub, 9, rankApproved), i(5, rankRejected))
	f("an operator's approval elsewhere answers it", Overruled, decide(persona, 9, rankApproved), i(5, rankRejected))
	f("what the operator could not know stands", Applied, decide(sumsub, 9, rankApproved), i(5, rankTerminal, FraudSuspected))
	f("after the operator", Applied, decide(sumsub, 9, rankApproved), i(12, rankRejected))
	f("a suspension that its provider has lifted", Stale, func() Update { x := i(5, rankNotStarted); x.Release, x.Status = true, ""; return x }(), i(3, rankSuspended))

	// Attempts, resets and ends.
	f("an attempt", Applied, i(3, rankPending))
	f("an older attempt", Stale, i(5, rankPending), i(3, rankPending))
	f("an attempt of before the approval", Stale, i(5, rankApproved), i(3, rankPending))
	f("a new attempt in an approved run", Applied, i(3, rankApproved), i(5, rankPending))
	f("begun elsewhere beside an approval", Superseded, obs(persona, "a", 3, rankApproved), obs(persona, "b", 5, rankPending))
	f("another source has decided, this one has begun", Superseded, i(5, rankApproved), obs(sumsub, "j", 7, rankPending))
	f("a retry", Applied, i(3, rankRejected), i(5, rankPending))
	f("a retry behind fraud in another run", Applied, obs(persona, "a", 3, rankRejected, FraudSuspected), obs(persona, "b", 5, rankPending))
	f("an attempt behind a hit", Held, i(3, rankRejected, SanctionsMatch), i(5, rankPending))
	f("a reset behind a hit", Held, i(3, rankRejected, SanctionsMatch), i(5, rankNotStarted))
	f("created elsewhere beside an approval", Superseded, obs(persona, "a", 3, rankApproved), obs(persona, "b", 5, rankNotStarted))
	f("a reset", Applied, i(3, rankApproved), i(5, rankNotStarted))
	f("a reset of before the approval", Stale, i(5, rankApproved), i(3, rankNotStarted))
	f("a reset behind a terminal rejection", Applied, i(3, rankTerminal, OtherReason), i(5, rankNotStarted))
	f("a lapse", Stale, i(5, rankPending), i(3, rankLapsed))
	f("an end", Applied, i(3, rankApproved), i(5, rankExpired))
	f("an end of before the renewal", Stale, i(3, rankApproved), i(9, rankApproved), i(5, rankExpired))
	f("an end of before a new attempt", Applied, i(3, rankApproved), i(9, rankPending), i(5, rankExpired))
	f("an end beside another approval", Applied, i(3, rankApproved), obs(persona, "a", 1, rankApproved), obs(persona, "a", 5, rankExpired))
	f("of another run, too", Applied, obs(persona, "b", 3, rankApproved), obs(persona, "a", 2, rankExpired))
	f("an unsigned attempt over a signed one that is newer", Stale, i(5, rankPending), weak(i(3, rankPending)))

	// Claims and answers.
	f("a claimed approval", Applied, weak(i(5, rankApproved)))
	f("beside an approval", Superseded, i(3, rankApproved), weak(i(5, rankApproved)))
	f("a claimed rejection", Applied, i(3, rankApproved), weak(i(5, rankRejected)))
	f("of before the approval", Stale, i(5, rankApproved), weak(i(3, rankRejected)))
	f("an older claim stands with the newer", Applied, weak(i(5, rankRejected)), weak(i(3, rankSuspended)))
	f("a claim that comes after the answer", Applied, received(confirms(i(5, rankPending)), 90), received(weak(i(7, rankSuspended)), 95))
	f("an answer", Applied, weak(i(5, rankSuspended)), confirms(i(4, rankApproved)))

	// Decisions and other kinds.
	f("a decision", Applied, decide(sumsub, 9, rankApproved))
	f("a release", Applied, decide(sumsub, 9, rankSuspended), decide(sumsub, 12, rankNotStarted))
	f("another kind", Applied, Update{ID: "x", Kind: Redelivery})
	f("another kind again", Duplicate, Update{ID: "x", Kind: Redelivery}, Update{ID: "x", Kind: Redelivery})
	f("a timer that owes nothing", Stale, i(3, rankApproved), TimerDue{At: at(100)}.Update())
	f("a notice about nothing", Superseded, func() Update { x := i(3, rankApproved); x.Expiring = true; return x }())
}

// The records of one callback are judged in the light of all of them.
func TestVerdictsOfGroups(t *testing.T) {
	f := func(name string, want []Verdict, us ...Update) {
		t.Helper()
		if _, got := new(State).Apply(us, idv); !slices.Equal(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	i := func(minute int, r rank, reasons ...Reason) Update {
		return received(obs(sumsub, "i", minute, r, reasons...), 100)
	}
	f("a rejection and the approval after it", []Verdict{Stale, Applied}, i(3, rankRejected), i(5, rankApproved))
	f("an approval and a hit of the check", []Verdict{Held, Applied}, i(5, rankApproved), i(3, rankRejected, SanctionsMatch))
	f("sent twice in one", []Verdict{Applied, Duplicate}, i(5, rankApproved), i(5, rankApproved))
	f("a kind that says nothing", []Verdict{Applied, Applied}, i(5, rankApproved), Update{ID: "x", Kind: Redelivery})
	f("nothing", []Verdict{})
}

// stood tells where a history ends, as a rank.
func stood(p Policy, us ...Update) rank { return apply(p, us...).told.rank }

// What operators say that the scenarios do not: a decision that is none, and one without a time of
// its own.
func TestDecisions(t *testing.T) {
	f := func(name string, want rank, us ...Update) {
		t.Helper()
		if got := stood(open, us...); got != want {
			t.Errorf("%s: %s (%d), want %s", name, got.status(), got, want.status())
		}
	}
	hit := obs(sumsub, "i", 3, rankTerminal, SanctionsMatch)
	none := decide(sumsub, 9, rankPending)
	f("neither verdict nor release lifts nothing", rankTerminal, hit, none)
	if c := apply(open, none).checks; len(c) > 0 {
		t.Errorf("it makes known %+v", c)
	}
	none.Status = ""
	f("no status lifts nothing", rankTerminal, hit, none)
	lapsed := decide(sumsub, 9, rankLapsed)
	f("nor does a lapse", rankTerminal, hit, lapsed)
	release := decide(sumsub, 9, rankSuspended)
	release.Release = true
	f("a release is one whatever status it carries", rankNotStarted, hit, release)
	byReceipt := func(minute int, r rank) Update {
		x := received(decide(sumsub, minute, r), minute)
		x.OccurredAt, x.OccurredAtOrigin, x.ID = time.Time{}, "", fmt.Sprint("d", minute)
		return x
	}
	f("without a time it counts from when it was received", rankApproved, received(obs(sumsub, "i", 3, rankRejected), 5), byReceipt(9, rankApproved))
	f("the provider is later", rankRejected, byReceipt(9, rankApproved), obs(sumsub, "i", 12, rankRejected))
	bare := decide(sumsub, 9, rankApproved)
	bare.Scope = ""
	f("the scope is overall unless it says otherwise", rankApproved, obs(sumsub, "i", 3, rankRejected), bare)
	step := decide(of{"sumsub", IdentityVerification, CheckScope, ""}, 9, rankApproved)
	f("a step's decision is not the whole's", rankRejected, obs(sumsub, "i", 3, rankRejected), step)
	for _, r := range []rank{rankInReview, rankRejected, rankTerminal, rankSuspended, rankExpired} {
		f(fmt.Sprintf("%s is no release: the match holds the approval after it", r.status()), max(rankTerminal, r), hit, decide(sumsub, 5, r), obs(sumsub, "i", 7, rankApproved))
	}
	f("an approval is one", rankApproved, hit, decide(sumsub, 5, rankApproved), obs(sumsub, "i", 7, rankApproved))
	weakHit := weak(obs(sumsub, "j", 5, rankRejected, PEPMatch))
	f("a release lifts every hit of every run", rankApproved, hit, weakHit, obs(sumsub, "k", 7, rankApproved), decide(sumsub, 9, rankNotStarted))
	f("it lifts what it knew, whatever the clocks say", rankApproved, obs(sumsub, "i", 50, rankTerminal, SanctionsMatch), decide(sumsub, 9, rankApproved))
	f("and not what came after it, whatever the clocks say", rankTerminal, decide(sumsub, 9, rankApproved), obs(sumsub, "i", 3, rankTerminal, SanctionsMatch))
	f("of another check it lifts nothing", rankTerminal, hit, decide(persona, 9, rankApproved))
	held := decide(sumsub, 9, rankApproved)
	held.UnroutedID = "held"
	f("an operator approves nobody by what is unconfirmed", rankInReview, func() Update { x := decide(sumsub, 9, rankApproved); x.NeedsConfirmation = true; return x }())
}

// An answer ends the claims about the same thing that had been received when it was asked: of the
// same check, run and ref.
func TestConfirmation(t *testing.T) {
	claim := received(weak(obs(request, "r", 6, rankTerminal, FraudSuspected)), 30)
	f := func(name string, want rank, c Update, asked int, more ...Update) {
		t.Helper()
		if c = received(c, 50); asked >= 0 {
			c.AskedAt = at(asked)
		}
		if got := stood(open, append([]Update{received(obs(sumsub, "i", 1, rankApproved), 2), claim, c}, more...)...); got != want {
			t.Errorf("%s: %s, want %s", name, got.status(), want.status())
		}
	}
	answer := confirms(obs(request, "r", 5, rankPending))
	f("asked after the claim", rankApproved, answer, 40)
	f("asked at once", rankApproved, answer, 30)
	f("asked before the claim", rankInReview, answer, 20)
	f("nobody says when: when it came", rankApproved, answer, -1)
	f("a claim after it", rankInReview, answer, 40, received(weak(obs(request, "r", 7, rankRejected)), 60))
	f("a claim that comes between question and answer", rankInReview, answer, 40, received(weak(obs(request, "r", 7, rankRejected)), 45))
	f("without times too", rankApproved, confirms(timeless(request, "r", rankPending, "t")), 40)
	f("which may be worse", rankTerminal, confirms(obs(request, "r", 5, rankTerminal, FraudSuspected)), 40)
	f("an unconfirmed one answers nothing", rankInReview, weak(confirms(obs(request, "r", 5, rankPending))), 40)
	f("an observation answers nothing", rankInReview, obs(request, "r", 5, rankPending), 40)
	f("of another run", rankInReview, confirms(obs(request, "q", 5, rankPending)), 40)
	f("of another source", rankInReview, confirms(obs(of{"persona", IdentityVerification, Overall, ""}, "r", 5, rankPending)), 40)
	f("of another check", rankInReview, confirms(obs(of{"rebilly", Screening, Overall, ""}, "r", 5, rankPending)), 40)
	f("of a step", rankInReview, confirms(obs(of{"rebilly", IdentityVerification, CheckScope, ""}, "r", 5, rankPending)), 40)
	ref := confirms(obs(request, "r", 5, rankPending))
	ref.Verification.Ref, ref.Verification.ParentRef = "doc", "r"
	f("about something else in the run", rankInReview, ref, 40)
	claim.Verification.Ref, claim.Verification.ParentRef = "doc", "r"
	f("about the same in the run", rankApproved, ref, 40)
	f("about the run itself", rankInReview, answer, 40)

	// A claimed approval is answered as well: what the provider says counts.
	claim = received(weak(obs(request, "r", 6, rankApproved)), 30)
	for want, c := range map[rank]Update{rankPending: confirms(obs(request, "r", 5, rankPending)), rankApproved: confirms(obs(request, "r", 5, rankApproved))} {
		if got := stood(open, claim, received(c, 50)); got != want {
			t.Errorf("a claimed approval, answered %s, is %s", want.status(), got.status())
		}
	}
}

// A registered submission is pending, until its provider speaks; it hides nothing that has been
// decided.
func TestSubmissions(t *testing.T) {
	submission := func(run string) Update {
		return Update{ID: "submission-" + run, Kind: Submission, Source: "sumsub", Provider: "sumsub", Partner: "acme", Subject: Subject{ID: "user-001", ProviderRef: run}}
	}
	f := func(name string, p Policy, want Status, us ...Update) {
		t.Helper()
		if got := apply(p, us...).Status(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, r := range []rank{rankPending, rankApproved, rankSuspended} { // a partner's own word is never too late
		if _, got := apply(idv, obs(sumsub, "i", 3, r)).Apply(arrive([]Update{submission("j")}), idv); got[0] != Applied {
			t.Errorf("registered beside %s: %s", r.status(), got)
		}
	}
	f("registered", idv, Pending, submission("i"))
	f("with nothing required", open, Pending, submission("i"))
	f("created", idv, Pending, submission("i"), obs(sumsub, "i", 3, rankNotStarted))
	f("approved", idv, Approved, submission("i"), obs(sumsub, "i", 3, rankApproved))
	f("registered again beside an approval", idv, Approved, obs(sumsub, "i", 3, rankApproved), submission("j"))
	f("registered again after a rejection", idv, Pending, obs(sumsub, "i", 3, rankRejected), submission("j"))
	f("the rejected run itself, registered late", idv, Rejected, obs(sumsub, "i", 3, rankRejected), submission("i"))
	f("after a hit", idv, Rejected, obs(sumsub, "i", 3, rankRejected, PEPMatch), submission("j"))
	company := submission("i")
	company.Subject.Kind = Company
	s := apply(Policy{}, company)
	if c := s.Checks(); s.Status() != Pending || len(c) != 0 { // no provider has spoken of any
		t.Errorf("a company: %s, %+v", s.Status(), c)
	}
	s = apply(idv, obs(sumsub, "i", 3, rankRejected), submission("j"), submission("k"))
	n := 0
	for _, w := range s.words {
		if w.submission {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d submissions are kept", n)
	}
	owed, v := s.Apply([]Update{received(submission("k"), 200)}, idv)
	if len(owed) > 0 || v[0] != Duplicate {
		t.Errorf("again: %v, %v", types(owed), v)
	}
}

// Ids are known for 90 days after they were received, and for ever where the source gives no times.
func TestSeen(t *testing.T) {
	f := func(name string, u Update, days int, want Verdict) {
		t.Helper()
		s := &State{}
		u.ReceivedAt = t0
		s.Apply([]Update{u}, open)
		s.Apply([]Update{{ID: "passing", Kind: Redelivery, ReceivedAt: t0.AddDate(0, 0, days)}}, open)
		s = copyOf(t, s)
		u.ReceivedAt = t0.AddDate(0, 0, days)
		if _, got := s.Apply([]Update{u}, open); got[0] != want {
			t.Errorf("%s after %d days: %s, want %s", name, days, got, want)
		}
	}
	f("timed", obs(sumsub, "i", 3, rankApproved), 90, Duplicate)
	f("timed", obs(sumsub, "i", 3, rankApproved), 91, Applied) // and even so it is only its own equal
	f("timeless", timeless(sumsub, "i", rankApproved, "x"), 5000, Duplicate)
	f("confirmed without a time", confirms(timeless(sumsub, "i", rankApproved, "x")), 5000, Duplicate)
	f("order", Update{ID: "x", Kind: Redelivery}, 90, Duplicate)
	f("order", Update{ID: "x", Kind: Redelivery}, 91, Applied)
	s := &State{}
	for day := range 1000 {
		s.Apply([]Update{{ID: strconv.Itoa(day), Kind: Redelivery, ReceivedAt: t0.AddDate(0, 0, day)}}, open)
	}
	if len(s.seen) != keepSeen+1 {
		t.Errorf("%d ids are kept", len(s.seen))
	}
	if !slices.IsSortedFunc(s.seen, compareKnown) {
		t.Error("they are not sorted")
	}
}
