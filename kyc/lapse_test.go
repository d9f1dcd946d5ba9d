package kyc

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// lapse is the record that fires the deadline of an attempt.
func lapse(k key, session string, deadline time.Time) Update {
	return TimerDue{At: deadline, ExpiresAt: deadline, Attempt: true, Session: session, Source: k.source, Check: k.check, Scope: k.scope, DocumentType: k.part}.Update()
}

// lapses tells a history and then what the deadlines of its attempts say, each at its instant, and returns the changes owed for those and what became of them.
func lapses(s *State, p Policy, us ...Update) (owed []Change, verdicts []Verdict) {
	for _, u := range arrive(us) {
		s.Apply(u, p)
	}
	for _, d := range s.Timers(p) {
		if !d.Attempt {
			continue
		}
		u := d.Update()
		u.ReceivedAt = d.At
		cs, v := s.Apply(u, p)
		owed, verdicts = append(owed, cs...), append(verdicts, v)
	}
	return owed, verdicts
}

// An attempt whose provider gave a deadline lapses when it passes with nothing newer in its session.
func TestLapse(t *testing.T) {
	f := func(name string, want rank, owes []string, us ...Update) {
		t.Helper()
		s := &State{}
		owed, verdicts := lapses(s, open, us...)
		if s.stands() != standing(want) || !slices.Equal(types(owed), owes) {
			t.Errorf("%s: %v owing %v, want %v owing %v", name, s.stands(), types(owed), standing(want), owes)
		}
		if len(owes) > 0 != slices.Contains(verdicts, Applied) {
			t.Errorf("%s: %v", name, verdicts)
		}
		if again, _ := lapses(s, open); len(again) > 0 {
			t.Errorf("%s: it lapsed a second time: %v", name, types(again))
		}
	}
	begun := func(session string, minute, deadline int) Update {
		return until(obs(request, session, minute, rankPending), at(deadline))
	}
	both := []string{"kyc.check.pending", "kyc.status.not_started"}
	f("pending", rankNotStarted, both, begun("r", 1, 200))
	f("created", rankNotStarted, both[:1], until(obs(request, "r", 1, rankNotStarted), at(200)))
	f("without a deadline", rankPending, nil, obs(request, "r", 1, rankPending))
	f("past already when it came", rankNotStarted, both, begun("r", 1, 50))
	f("unconfirmed", rankNotStarted, both, weak(begun("r", 1, 200)))
	f("of a provider without times", rankNotStarted, both, until(timeless(request, "r", rankPending, "1"), at(200)))
	f("a verdict before the deadline", rankApproved, nil, begun("r", 1, 200), until(obs(request, "r", 5, rankApproved), at(1e6)))
	f("a verdict of the same session that came first", rankRejected, nil, obs(request, "r", 5, rankRejected), begun("r", 1, 200))
	f("a newer attempt without a deadline", rankPending, nil, begun("r", 1, 200), obs(request, "r", 5, rankPending))
	f("a newer attempt with an earlier one", rankNotStarted, both, begun("r", 1, 200), begun("r", 5, 150))
	f("a newer session without a deadline", rankPending, nil, begun("r", 1, 200), obs(request, "s", 5, rankPending))
	f("the provider says so first", rankNotStarted, nil, begun("r", 1, 200), obs(request, "r", 200, rankLapsed))
	f("a retryable rejection shows again", rankRejected, []string{"kyc.check.failed", "kyc.status.rejected"}, obs(request, "r", 1, rankRejected), begun("r", 5, 200))
	f("so does a claim under an unconfirmed attempt", rankRejected, []string{"kyc.check.failed", "kyc.status.rejected"}, weak(obs(request, "r", 1, rankRejected)), weak(begun("r", 5, 200)))
	f("beside an approval of another source", rankApproved, both[:1], until(obs(sumsub, "i", 1, rankApproved), at(1e6)), begun("r", 5, 200))
	f("a step", rankPending, both[:1], obs(sumsub, "i", 1, rankPending), until(obs(key{"persona", Liveness, CheckScope, ""}, "v", 5, rankPending), at(200)))
	f("a document of no session", rankPending, []string{"kyc.document.processing"}, obs(sumsub, "i", 1, rankPending), until(obs(passprt, "", 5, rankPending), at(200)))
	f("a document of a session", rankPending, []string{"kyc.document.processing"}, obs(sumsub, "i", 1, rankPending), until(obs(passprt, "r", 5, rankPending), at(200)))
}

// What a lapse tells, and that it comes at the deadline: once, in whatever order it and the provider's word arrive.
func TestLapseIsToldOnce(t *testing.T) {
	s := apply(open, until(obs(request, "r", 1, rankPending), at(200)))
	due := s.Timers(open)
	if len(due) != 1 || !due[0].Attempt || due[0].Notice || !due[0].At.Equal(at(200)) || !due[0].ExpiresAt.Equal(at(200)) || due[0].Session != "r" {
		t.Fatalf("due %+v", due)
	}
	u := due[0].Update()
	if u.Status != Expired || u.ExpiryKind != ExpiryAttempt || u.Kind != Timer || u.Expiring || u.Subject.ID != "user-001" || u.ID == "" {
		t.Errorf("record %+v", u)
	}
	for name, other := range map[string]TimerDue{
		"another session": {At: at(200), ExpiresAt: at(200), Attempt: true, Session: "s", Source: "rebilly", Check: IdentityVerification, Scope: Overall, Partner: "acme", Subject: due[0].Subject},
		"an expiry":       {At: at(200), ExpiresAt: at(200), Source: "rebilly", Check: IdentityVerification, Scope: Overall, Partner: "acme", Subject: due[0].Subject},
	} {
		if other.Update().ID == u.ID {
			t.Errorf("%s has the same id", name)
		}
	}
	f := func(name string, u Update, minute int, verdict Verdict, want ...string) []Change {
		t.Helper()
		owed, v := s.Apply(received(u, minute), open)
		if v != verdict || !slices.Equal(types(owed), want) {
			t.Errorf("%s: %v, %s; want %v, %s", name, types(owed), v, want, verdict)
		}
		return owed
	}
	owed := f("ours", u, 201, Applied, "kyc.check.pending", "kyc.status.not_started")
	if len(owed) == 2 && (owed[0].Status != Expired || owed[0].PreviousStatus != Pending || !owed[0].OccurredAt.Equal(at(200)) || !owed[0].ExpiresAt.IsZero() || owed[1].Status != NotStarted) {
		t.Errorf("changes %+v", owed)
	}
	if c := s.Checks()[0]; c.Status != Expired || !c.OccurredAt.Equal(at(200)) {
		t.Errorf("check %+v", c)
	}
	f("ours again", u, 202, Duplicate)
	f("then the provider's", obs(request, "r", 200, rankLapsed), 203, Applied)
	f("an attempt of before with a later deadline, delivered late", until(obs(request, "r", 150, rankPending), at(300)), 204, Stale)
	f("another session", until(obs(request, "s", 205, rankPending), at(400)), 205, Applied, "kyc.check.pending", "kyc.status.pending")
	f("of a session nobody knows", lapse(request, "x", at(400)), 401, Stale)
	f("of a check nobody knows", lapse(passprt, "s", at(400)), 401, Stale)
	f("of another deadline, too early to be one", lapse(request, "s", at(390)), 401, Stale)
	f("late, after the approval", obs(request, "s", 399, rankApproved), 402, Applied, "kyc.check.clear", "kyc.status.approved")
	f("nothing", lapse(request, "s", at(400)), 403, Stale)

	s = apply(open, until(obs(request, "r", 1, rankPending), at(200)), until(obs(request, "s", 5, rankPending), at(200)))
	f("of the session that does not show", lapse(request, "r", at(200)), 201, Stale)
	f("of the one that does", lapse(request, "s", at(200)), 201, Applied, "kyc.check.pending", "kyc.status.not_started")

	s = apply(open, until(obs(request, "r", 1, rankPending), at(200)))
	f("ours", lapse(request, "r", at(200)), 201, Applied, "kyc.check.pending", "kyc.status.not_started")
	f("a newer attempt with a later deadline, delivered late", until(obs(request, "r", 150, rankPending), at(300)), 202, Applied, "kyc.check.pending", "kyc.status.pending")
	if due := s.Timers(open); len(due) != 1 || !due[0].At.Equal(at(300)) {
		t.Errorf("due %+v", due)
	}
	f("an older deadline is over", lapse(request, "r", at(190)), 203, Duplicate)
	f("and lapses in turn", lapse(request, "r", at(300)), 300, Applied, "kyc.check.pending", "kyc.status.not_started")
}

// An attempt may show over a claim that covers an approval that stands: both end, each by a timer of its own kind.
func TestAttemptOverApproval(t *testing.T) {
	s := apply(open, until(obs(request, "r", 1, rankApproved), at(900)), weak(obs(request, "r", 5, rankRejected)), until(obs(request, "r", 7, rankPending), at(400)))
	due := s.Timers(open)
	if s.Status() != Pending || len(due) != 2 || !due[0].Attempt || !due[0].At.Equal(at(400)) || due[1].Attempt || !due[1].At.Equal(at(900)) {
		t.Errorf("%s, due %+v", s.Status(), due)
	}
}

// In whatever order updates arrive, and whether a deadline passes before or after them: where the subject stands after the last deadline is the same (I11).
func TestLapsesInAnyOrder(t *testing.T) {
	t.Parallel()
	lapsed := 0
	for seed := range enough(histories / 4) {
		r := rand.New(rand.NewPCG(seed, 13))
		var us []Update
		for i := range 1 + r.IntN(7) {
			x := timed(r, i)
			if rankOf(x).open() && r.IntN(3) > 0 {
				x = until(x, at(20+10*r.IntN(5)))
			}
			us = append(us, x)
		}
		p := somePolicy[r.IntN(len(somePolicy))]
		tell := func(early bool) *State {
			s := &State{}
			for _, u := range us {
				s.Apply(u, p)
				if early && r.IntN(2) == 0 {
					fire(s, p, at(20+10*r.IntN(5)))
				}
			}
			lapsed += fire(s, p, at(100))
			return s
		}
		want := tell(false)
		for range 3 {
			r.Shuffle(len(us), func(i, j int) { us[i], us[j] = us[j], us[i] })
			if got := tell(true); got.stands() != want.stands() || !slices.EqualFunc(got.Checks(), want.Checks(), func(a, b CheckState) bool { return a.Status == b.Status }) {
				t.Fatalf("seed %d: %+v\nthen %+v\n%v", seed, want.Checks(), got.Checks(), us)
			}
		}
	}
	if lapsed == 0 {
		t.Error("nothing lapsed")
	}
}

// fire applies every deadline that has passed by now and returns how many there were.
func fire(s *State, p Policy, now time.Time) (n int) {
	for _, d := range s.Timers(p) {
		if d.Attempt && !d.At.After(now) {
			u := d.Update()
			u.ReceivedAt = now
			s.Apply(u, p)
			n++
		}
	}
	if n > 0 {
		return n + fire(s, p, now) // an older attempt may show now
	}
	return n
}

// NextTimer is the first of Timers, for states of every sort.
func TestNextTimer(t *testing.T) {
	t.Parallel()
	some := 0
	for seed := range enough(histories / 4) {
		r := rand.New(rand.NewPCG(seed, 17))
		p, s := somePolicy[r.IntN(len(somePolicy))], &State{}
		for i := range 1 + r.IntN(8) {
			x := anyRecord(r, i, true)
			if r.IntN(4) == 0 {
				x = weak(x)
			}
			s.Apply(x, p)
			var want time.Time
			if due := s.Timers(p); len(due) > 0 {
				want = due[0].At
				some++
			}
			if got := s.NextTimer(p); !got.Equal(want) {
				t.Fatalf("seed %d: %v, want %v", seed, got, want)
			}
		}
	}
	if some == 0 {
		t.Error("nothing was ever due")
	}
}
