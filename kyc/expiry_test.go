package kyc

import (
	"slices"
	"testing"
	"time"
)

func TestAddMonths(t *testing.T) {
	f := func(from string, months int, want string) {
		t.Helper()
		a, err := time.Parse(time.RFC3339Nano, from)
		if err != nil {
			t.Fatal(err)
		}
		if got := AddMonths(a, months).Format(time.RFC3339Nano); got != want {
			t.Errorf("%s and %d months is %s, want %s", from, months, got, want)
		}
	}
	f("2024-02-29T10:00:00.5Z", 12, "2025-02-28T10:00:00.5Z")
	f("2024-02-29T10:00:00Z", 48, "2028-02-29T10:00:00Z")
	f("2026-01-31T23:59:59Z", 1, "2026-02-28T23:59:59Z")
	f("2026-08-31T00:00:00Z", 6, "2027-02-28T00:00:00Z")
	f("2026-03-19T09:20:00.001Z", 12, "2027-03-19T09:20:00.001Z")
	f("2026-12-31T00:00:00Z", 2, "2027-02-28T00:00:00Z")
	f("2026-03-31T23:30:00-02:00", 1, "2026-05-01T01:30:00Z") // the calendar is UTC's
}

// expires is when the approval that stands runs out.
func expires(p Policy, us ...Update) time.Time { return apply(p, us...).View().ExpiresAt }

// An approval holds until the provider's date, else for the policy's months from when it was given;
// repeating it extends nothing, an attempt between makes it a renewal.
func TestExpiresAt(t *testing.T) {
	year := func(minute int) time.Time { return AddMonths(at(minute), 12) }
	late := func(day, minute int) int { return day*24*60 + minute }
	f := func(name string, want time.Time, us ...Update) {
		t.Helper()
		if got := expires(open, us...); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		slices.Reverse(us)
		if got := expires(open, us...); !got.Equal(want) {
			t.Errorf("%s, arriving the other way round: %v, want %v", name, got, want)
		}
	}
	a := func(minute int) Update { return obs(sumsub, "i", minute, rankApproved) }
	f("validity", year(3), a(3))
	f("the provider's date", at(500), until(a(3), at(500)))
	f("repeated", year(3), a(3), a(9))
	f("repeated twice", year(3), a(3), a(9), a(50))
	f("repeated with a date", at(700), a(3), until(a(9), at(700)))
	f("repeated after one with a date", at(700), until(a(3), at(700)), a(9))
	f("an attempt between", year(9), a(3), obs(sumsub, "i", 5, rankPending), a(9))
	f("a lapse between is none", year(3), a(3), obs(sumsub, "i", 5, rankLapsed), a(9))
	f("a reset between", year(9), a(3), obs(sumsub, "i", 5, rankNotStarted), a(9))
	f("a finding between is none: its answer repeats the approval", year(3), a(3), obs(sumsub, "i", 5, rankInReview), a(9))
	f("an attempt at the same time as the repetition is not before it", year(3), a(3), obs(sumsub, "i", 9, rankPending), a(9))
	f("an attempt before the first", year(3), obs(sumsub, "i", 1, rankPending), a(3), a(9))
	f("an attempt after the repetition", year(3), a(3), a(9), obs(sumsub, "i", 11, rankPending))
	f("one extended, then repeated", year(9), a(3), obs(sumsub, "i", 5, rankPending), a(9), a(20))
	f("an unconfirmed attempt between extends nothing (I10)", year(3), a(3), weak(obs(sumsub, "i", 5, rankPending)), a(9))
	f("after it ran out", year(late(366, 0)), a(3), a(late(366, 0)))
	f("at the very instant it ran out", year(500), until(a(3), at(500)), a(500))
	f("just before", at(500), until(a(3), at(500)), a(499))
	f("a new session", year(9), a(3), obs(sumsub, "j", 9, rankApproved))
	f("an operator's", year(9), decide(sumsub, 9, rankApproved))
	f("an operator's with a date", at(800), until(decide(sumsub, 9, rankApproved), at(800)))
	f("the earliest that counts", at(600), until(a(3), at(600)), until(obs(aml, "s", 4, rankApproved), at(900)))
	f("screening with a date of its own", at(300), until(a(3), at(600)), until(obs(aml, "s", 4, rankApproved), at(300)))
	f("screening without one has none", at(600), until(a(3), at(600)), obs(aml, "s", 4, rankApproved))
	f("a step nobody asked for does not", at(600), until(a(3), at(600)), until(obs(passprt, "", 4, rankApproved), at(300)))
	f("nobody approved", time.Time{}, obs(sumsub, "i", 3, rankRejected))
}

// The policy's validity is for approvals of identity and business; of other types only where it
// names them.
func TestValidity(t *testing.T) {
	both := []Check{IdentityVerification, Screening}
	f := func(name string, p Policy, want time.Time, us ...Update) {
		t.Helper()
		if got := expires(p, us...); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	id, screen := obs(sumsub, "i", 3, rankApproved), obs(aml, "s", 1, rankApproved)
	kyb := obs(of{"middesk", BusinessVerification, Overall, ""}, "b", 3, rankApproved)
	kyb.Subject.Kind = Company
	f("a year", Policy{}, AddMonths(at(3), 12), id)
	f("a year for companies", Policy{}, AddMonths(at(3), 12), kyb)
	f("six months", Policy{ValidityMonths: 6}, AddMonths(at(3), 6), id)
	f("screening never", Policy{Required: both, ValidityMonths: 6}, AddMonths(at(3), 6), id, screen)
	f("screening alone never", Policy{Required: []Check{Screening, DocumentVerification}}, time.Time{}, obs(passprt, "", 3, rankApproved), screen)
	f("screening named", Policy{Required: both, Validity: map[Check]int{Screening: 2}}, AddMonths(at(1), 2), id, screen)
	f("identity named", Policy{ValidityMonths: 6, Validity: map[Check]int{IdentityVerification: 24}}, AddMonths(at(3), 24), id)
	f("nothing named is nothing", Policy{Required: both, Validity: map[Check]int{Screening: 0, IdentityVerification: -1}}, AddMonths(at(3), 12), id, screen)
	f("the provider's date comes first", Policy{ValidityMonths: 6}, AddMonths(at(3), 30), until(id, AddMonths(at(3), 30)))
}

// What learnt says of a history: the last change of the status, where the clock stands at a minute
// when the last of it comes.
func learnt(p Policy, minute int, us ...Update) (types []string, v View) {
	s := &State{}
	for _, u := range us[:len(us)-1] {
		s.Apply([]Update{u}, p)
	}
	owed, _ := s.Apply([]Update{received(us[len(us)-1], minute)}, p)
	for _, c := range owed {
		types = append(types, c.Type)
	}
	return types, s.View()
}

// An approval whose end has passed when it is learnt is told as expired, and never as approved.
func TestLearntTooLate(t *testing.T) {
	f := func(name string, minute int, want []string, us ...Update) {
		t.Helper()
		got, v := learnt(open, minute, us...)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if v.Status == Expired && !v.ExpiresAt.Equal(at(100)) {
			t.Errorf("%s: %+v", name, v)
		}
	}
	a := until(obs(sumsub, "i", 3, rankApproved), at(100))
	gone, clear := []string{"kyc.check.expired", "kyc.status.expired"}, []string{"kyc.check.clear", "kyc.status.approved"}
	f("late", 200, gone, a)
	f("at the instant", 100, gone, a)
	f("in time", 99, clear, a)
	f("held up by an operator", 300, gone, received(a, 50), received(decide(sumsub, 60, rankSuspended), 60), named(decide(sumsub, 300, rankNotStarted), "r"))
	f("beside another that stands: its check only", 200, []string{"kyc.check.expired"}, received(until(obs(persona, "x", 1, rankApproved), at(9000)), 50), a)
	f("renewed before it ran out, in the same callback or not", 200, clear, until(obs(sumsub, "i", 90, rankApproved), at(9000)))
	f("a try begun since shows", 200, gone[:1], received(obs(persona, "x", 150, rankPending), 150), a)
	f("one begun before does not", 200, gone, received(obs(sumsub, "i", 90, rankPending), 90), a)
	f("the policy's validity too", 366*24*60*2, gone[:1], received(until(obs(persona, "x", 1, rankApproved), at(1e7)), 50), obs(sumsub, "i", 3, rankApproved))
}

// The day it ends an approval is told expired, even while a new attempt is under way; what the
// provider then says of the end owes nothing.
func TestExpires(t *testing.T) {
	s := apply(idv, until(obs(sumsub, "i", 3, rankApproved), at(1000)), obs(sumsub, "i", 900, rankPending))
	f := func(name string, u Update, verdict Verdict, want ...string) {
		t.Helper()
		owed, v := s.Apply([]Update{u}, idv)
		if v[0] != verdict || !slices.Equal(types(owed), want) {
			t.Errorf("%s: %v, %s; want %v, %s", name, types(owed), v, want, verdict)
		}
	}
	due := func() Update {
		t.Helper()
		d, ok := s.Next(idv)
		if !ok {
			t.Fatal("nothing is due")
		}
		return d.Update()
	}
	f("its notice", received(due(), 990), Applied, "kyc.status.expiring")
	f("its end", received(due(), 1004), Applied, "kyc.check.expired", "kyc.status.expired")
	if c := s.Checks()[0]; !c.OccurredAt.Equal(at(1000)) {
		t.Errorf("it ended at %v", c.OccurredAt)
	}
	if v := s.View(); !v.ApprovedAt.Equal(at(3)) || !v.ExpiresAt.Equal(at(1000)) {
		t.Errorf("view %+v", v)
	}
	if d, ok := s.Next(idv); ok {
		t.Errorf("after the end %+v is due", d)
	}
	said := obs(sumsub, "i", 1000, rankExpired, DocumentExpired)
	said.Retryable = true
	f("the provider says so too, in other words", received(said, 1005), Applied)
	f("and again of a later end", received(named(obs(sumsub, "i", 1100, rankExpired), "2"), 1101), Applied)
	f("renewed before it ended, delivered late", received(until(obs(sumsub, "i", 950, rankApproved), at(9000)), 1102), Applied)
	f("a new attempt", received(obs(sumsub, "i", 1200, rankPending), 1200), Applied, "kyc.check.pending", "kyc.status.pending")
	f("renewed", received(until(obs(sumsub, "i", 1300, rankApproved), at(90000)), 1300), Applied, "kyc.check.clear", "kyc.status.approved")

	// The provider says first that it has ended.
	s = apply(idv, received(until(obs(sumsub, "i", 3, rankApproved), at(2000)), 10))
	timer := TimerDue{At: at(2000), Partner: "acme", Subject: Subject{ID: "user-001"}}.Update()
	f("ended early", received(obs(sumsub, "i", 500, rankExpired), 501), Applied, "kyc.check.expired", "kyc.status.expired")
	if v := s.View(); !v.ExpiresAt.Equal(at(500)) {
		t.Errorf("view %+v", v)
	}
	f("then our timer", received(timer, 2000), Stale)
	// By a clock that is a little ahead of ours: at its own instant.
	s = apply(idv, received(obs(sumsub, "i", 3, rankApproved), 10))
	f("ends in a moment", received(obs(sumsub, "i", 504, rankExpired), 500), Applied, "kyc.check.clear", "kyc.status.approved")
	if d, ok := s.Next(idv); !ok || !d.Notice {
		t.Errorf("%+v", d)
	}
}

// Of two approvals the later end counts; of two types the sooner.
func TestExpiresOneOfTwo(t *testing.T) {
	s := apply(open, until(obs(sumsub, "i", 10, rankApproved), at(1000)), until(obs(persona, "x", 5, rankApproved), at(2000)))
	if v := s.View(); !v.ExpiresAt.Equal(at(2000)) || v.ApprovedAt != at(5) {
		t.Errorf("view %+v", v)
	}
	owed, _ := s.Apply([]Update{received(TimerDue{At: at(1000)}.Update(), 1000)}, open)
	if want := []string{"kyc.check.expired"}; !slices.Equal(types(owed), want) || owed[0].Check.Source != "sumsub" {
		t.Errorf("one of two: %+v", owed)
	}
	s.Apply([]Update{received(obs(sumsub, "j", 1500, rankPending), 1500)}, open)
	owed, _ = s.Apply([]Update{received(TimerDue{At: at(2000)}.Update(), 2000)}, open)
	if want := []string{"kyc.check.expired", "kyc.status.expired"}; !slices.Equal(types(owed), want) {
		t.Errorf("both, while a new one is under way: %v", types(owed))
	}
}

// Of two types the newest approval is told, with the sooner end.
func TestExpiresOneOfTwoTypes(t *testing.T) {
	newest := until(obs(aml, "s", 9, rankApproved), at(2000))
	v := apply(Policy{Required: []Check{IdentityVerification, Screening}}, until(obs(sumsub, "i", 3, rankApproved), at(1000)), newest).View()
	if !v.ApprovedAt.Equal(at(9)) || !v.ExpiresAt.Equal(at(1000)) || v.DecidedBy != idOf(newest.ID).String() {
		t.Errorf("view %+v", v)
	}
}

// A notice is told once for each end of the person's approval, with that end in it, whether the
// provider or our timer says so first.
func TestNotice(t *testing.T) {
	notice := func(k of, name string, expires time.Time) Update {
		x := timeless(k, "i", rankApproved, name)
		x.Expiring, x.ExpiresAt = true, expires
		return received(x, 300)
	}
	var s *State
	f := func(name string, u Update, verdict Verdict, want time.Time) {
		t.Helper()
		owed, v := s.Apply([]Update{u}, idv)
		if v[0] != verdict || (len(owed) == 1) != !want.IsZero() || len(owed) > 1 {
			t.Errorf("%s: %v, %s", name, types(owed), v)
			return
		}
		if len(owed) == 1 && (owed[0].Type != "kyc.status.expiring" || owed[0].Status != Approved || owed[0].PreviousStatus != Approved || !owed[0].ExpiresAt.Equal(want) || !owed[0].ApprovedAt.Equal(at(3)) || owed[0].Check.Source != "sumsub") {
			t.Errorf("%s: %+v", name, owed[0])
		}
	}
	timer := func(minute int) Update {
		d, _ := s.Next(idv)
		return received(d.Update(), minute)
	}
	none := time.Time{}
	s = apply(idv, until(obs(sumsub, "i", 3, rankApproved), at(20000)))
	ours := timer(400)
	f("unconfirmed", weak(notice(sumsub, "0", at(20000))), Superseded, none)
	f("about what nobody has approved", notice(persona, "p", at(20000)), Superseded, none)
	f("the provider's", notice(sumsub, "1", at(19000)), Applied, at(20000))
	f("the same id", notice(sumsub, "1", at(20000)), Duplicate, none)
	f("said again", notice(sumsub, "2", at(20000)), Superseded, none)
	f("our timer", ours, Superseded, none)
	if d, ok := s.Next(idv); !ok || d.Notice || !d.At.Equal(at(20000)) {
		t.Errorf("then %+v is due", d)
	}
	if s.Status() != Approved || !s.View().ExpiresAt.Equal(at(20000)) {
		t.Errorf("the notices moved it: %+v", s.View())
	}
	s.Apply([]Update{received(until(obs(sumsub, "j", 3, rankApproved), at(21000)), 401)}, idv)
	f("another end is news", timer(10920), Applied, at(21000))
	f("the provider says so later", notice(sumsub, "3", at(21000)), Superseded, none)
	s.Apply([]Update{received(obs(sumsub, "j", 500, rankNotStarted), 500)}, idv)
	if d, ok := s.Next(idv); !ok || d.Notice || !d.At.Equal(at(20000)) || !s.View().ExpiresAt.Equal(at(20000)) {
		t.Errorf("back at the end that was noticed, %+v is due", d)
	}

	s = apply(idv, until(obs(sumsub, "i", 3, rankApproved), at(20000)))
	f("our timer first", timer(9920), Applied, at(20000))
	f("then the provider's", notice(sumsub, "4", at(20000)), Superseded, none)
	s = apply(idv, until(obs(sumsub, "i", 3, rankApproved), at(20000)), until(obs(aml, "s", 4, rankApproved), at(30000)))
	f("of what does not end first: nobody is told of another end", notice(aml, "5", at(30000)), Superseded, none)
	s = apply(idv, obs(persona, "p", 1, rankRejected), until(obs(sumsub, "i", 3, rankApproved), at(20000)))
	f("of what was approved elsewhere", notice(persona, "p", at(20000)), Superseded, none)
	s = apply(idv, obs(sumsub, "i", 3, rankRejected))
	f("rejected", notice(sumsub, "6", at(20000)), Superseded, none)
	s = apply(idv, obs(sumsub, "i", 3, rankApproved), obs(aml, "s", 4, rankInReview))
	f("in review for another check", notice(sumsub, "7", at(20000)), Superseded, none)
	s = &State{}
	f("nobody known", notice(sumsub, "8", at(20000)), Superseded, none)
	s = apply(idv, until(obs(sumsub, "i", 3, rankApproved), at(20000)))
	late := timer(20000)
	if owed, _ := s.Apply([]Update{late}, idv); !slices.Equal(types(owed), []string{"kyc.check.expired", "kyc.status.expired"}) {
		t.Errorf("our timer, too late to matter: %v", types(owed))
	}
	forever := Policy{Required: []Check{Screening, DocumentVerification}}
	s = apply(forever, obs(passprt, "i", 3, rankApproved), obs(aml, "s", 4, rankApproved))
	n := notice(aml, "9", at(20000))
	n.Check, n.Scope, n.Verification.Ref = Screening, CheckScope, "s"
	if owed, v := s.Apply([]Update{n}, forever); v[0] != Applied || len(owed) != 1 || !owed[0].ExpiresAt.Equal(at(20000)) {
		t.Errorf("where nothing else says when: %+v, %v", owed, v)
	}
	n.ID, n.ExpiresAt = "of who is rejected", at(30000)
	s.Apply([]Update{received(obs(passprt, "i", 301, rankRejected), 301)}, forever)
	if owed, v := s.Apply([]Update{n}, forever); v[0] != Superseded || len(owed) != 0 {
		t.Errorf("rejected since, for another check: %+v, %v", owed, v)
	}
}

// A notice among other records of its callback is weighed with them.
func TestNoticeInAGroup(t *testing.T) {
	x := timeless(sumsub, "i", rankApproved, "n")
	x.Expiring, x.ExpiresAt = true, at(20000)
	s := apply(idv, received(until(obs(sumsub, "i", 3, rankApproved), at(20000)), 100))
	owed, v := s.Apply(callback(received(x, 200), received(until(obs(sumsub, "j", 190, rankApproved), at(30000)), 200)), idv)
	if want := []string{"kyc.check.clear", "kyc.status.approved", "kyc.status.expiring"}; !slices.Equal(types(owed), want) || v[0] != Applied || !owed[2].ExpiresAt.Equal(at(30000)) {
		t.Errorf("renewed: %v, %v", types(owed), v)
	}
	s = apply(idv, received(until(obs(sumsub, "i", 3, rankApproved), at(20000)), 100))
	owed, _ = s.Apply(callback(received(x, 200), received(obs(sumsub, "i", 190, rankRejected), 200)), idv)
	if want := []string{"kyc.check.failed", "kyc.status.rejected"}; !slices.Equal(types(owed), want) {
		t.Errorf("rejected: %v", types(owed))
	}
}
