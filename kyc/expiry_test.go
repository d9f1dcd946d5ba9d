package kyc

import (
	"math/rand/v2"
	"reflect"
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

// Rule 8: an approval holds until the provider's date, else for the policy's months from when it was given; repeating it extends nothing.
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
	f("a lapse between", year(9), a(3), obs(sumsub, "i", 5, rankLapsed), a(9))
	f("a reset between", year(9), a(3), obs(sumsub, "i", 5, rankNotStarted), a(9))
	f("another verdict between", year(9), a(3), obs(sumsub, "i", 5, rankInReview), a(9))
	f("an attempt at the same time as the repeat comes before it", year(9), a(3), obs(sumsub, "i", 9, rankPending), a(9))
	f("an attempt before the first", year(3), obs(sumsub, "i", 1, rankPending), a(3), a(9))
	f("an attempt after the repeat", year(3), a(3), a(9), obs(sumsub, "i", 11, rankPending))
	f("one extended, then repeated", year(9), a(3), obs(sumsub, "i", 5, rankPending), a(9), a(20))
	f("an unconfirmed attempt between extends nothing (I10)", year(3), a(3), weak(obs(sumsub, "i", 5, rankPending)), a(9))
	f("after it ran out", year(late(366, 0)), a(3), a(late(366, 0)))
	f("at the very instant it ran out", at(500), until(a(3), at(500)), a(500))
	f("just after", year(501), until(a(3), at(500)), a(501))
	f("a new session", year(9), a(3), obs(sumsub, "j", 9, rankApproved))
	f("an operator's", year(9), decide(sumsub, 9, rankApproved))
	f("an operator's with a date", at(800), until(decide(sumsub, 9, rankApproved), at(800)))
	f("the earliest that counts", at(600), until(a(3), at(600)), until(obs(aml, "s", 4, rankApproved), at(900)))
	f("screening counts", at(300), until(a(3), at(600)), until(obs(aml, "s", 4, rankApproved), at(300)))
	f("a step nobody asked for does not", at(600), until(a(3), at(600)), until(obs(passprt, "", 4, rankApproved), at(300)))
	f("nobody approved", time.Time{}, obs(sumsub, "i", 3, rankRejected))
	if got := expires(Policy{Open: true, ValidityMonths: 6}, a(3)); !got.Equal(AddMonths(at(3), 6)) {
		t.Errorf("six months: %v", got)
	}
}

// The trail of a session is bounded, and dropping a step changes no present expiry.
func TestTrailIsBounded(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 5))
		ss, all := &session{}, &session{}
		minute := 0
		for range 60 {
			minute += 1 + r.IntN(3)
			e := entryOf(obs(sumsub, "i", minute*24*60*20, []rank{rankApproved, rankApproved, rankPending, rankRejected}[r.IntN(4)]))
			if e.rank == rankApproved && r.IntN(5) == 0 {
				e.expires = e.at.AddDate(0, 0, 1+r.IntN(400))
			}
			ss.trace(e, open)
			all.trail = append(all.trail, stepOf(e))
			if got, want := ss.periodAt(e, open), all.periodAt(e, open); e.rank == rankApproved && got != want {
				t.Fatalf("seed %d: %v, want %v", seed, got, want)
			}
		}
		if len(ss.trail) > maxSteps {
			t.Fatalf("seed %d: %d steps", seed, len(ss.trail))
		}
	}
}

func TestExpiry(t *testing.T) {
	expire := func(s *State, k key, when time.Time) {
		s.Apply(received(TimerDue{At: when, ExpiresAt: when, Source: k.source, Check: k.check, Scope: k.scope}.Update(), 1), open)
	}
	f := func(name string, s *State, want Status) {
		t.Helper()
		if s.Status() != want {
			t.Errorf("%s: %s, want %s", name, s.Status(), want)
		}
	}
	s := apply(open, until(obs(sumsub, "i", 3, rankApproved), at(1000)))
	expire(s, sumsub, at(1000))
	f("ran out", s, Expired)
	s.Apply(until(obs(sumsub, "i", 900, rankApproved), at(2000)), open)
	f("renewed before, delivered late", s, Approved)
	expire(s, sumsub, at(1000))
	f("a timer of an approval that no longer stands", s, Approved)

	s = apply(open, until(obs(sumsub, "i", 10, rankApproved), at(1000)), until(obs(persona, "x", 5, rankApproved), at(2000)))
	expire(s, sumsub, at(1000))
	f("one of two standing approvals ran out", s, Approved)
	s.Apply(obs(sumsub, "j", 1500, rankPending), open)
	expire(s, persona, at(2000))
	f("both ran out, a new one is under way", s, Pending)
}

// Timers says what is due, its records fire it, and each fires once, whoever made them (I4, I11).
func TestTimers(t *testing.T) {
	x := until(obs(sumsub, "i", 3, rankApproved), t0.AddDate(0, 0, 30))
	s := apply(idv, x)
	due := s.Timers(idv)
	if len(due) != 2 || !due[0].Notice || !due[0].At.Equal(t0.AddDate(0, 0, 23)) || due[1].Notice || !due[1].At.Equal(x.ExpiresAt) {
		t.Fatalf("due %+v", due)
	}
	if got := s.Timers(Policy{NoticeDays: 10})[0].At; !got.Equal(t0.AddDate(0, 0, 20)) {
		t.Errorf("ten days' notice at %v", got)
	}
	again := copyOf(t, s).Timers(idv)
	for i := range due {
		u := due[i].Update()
		if !reflect.DeepEqual(u, again[i].Update()) || u.ID == "" || u.Kind != Timer || u.Subject.ID != "user-001" || u.Partner != "acme" || !u.ExpiresAt.Equal(x.ExpiresAt) {
			t.Errorf("record %+v", u)
		}
	}
	other := due[0]
	if other.Subject.ID = "user-002"; other.Update().ID == due[0].Update().ID || due[0].Update().ID == due[1].Update().ID {
		t.Error("two timers share an id")
	}
	f := func(name string, u Update, received time.Time, verdict Verdict, want ...string) {
		t.Helper()
		u.ReceivedAt = received
		owed, v := s.Apply(u, idv)
		if v != verdict || !slices.Equal(types(owed), want) {
			t.Errorf("%s: %v, %s; want %v, %s", name, types(owed), v, want, verdict)
		}
	}
	f("notice", due[0].Update(), due[0].At, Applied, "kyc.status.expiring")
	f("notice again", due[0].Update(), due[0].At, Duplicate)
	if d := s.Timers(idv); len(d) != 1 || d[0].Notice {
		t.Errorf("after the notice %+v is due", d)
	}
	f("expiry", due[1].Update(), due[1].At, Applied, "kyc.check.expired", "kyc.status.expired")
	f("expiry again", due[1].Update(), due[1].At, Duplicate)
	late := obs(sumsub, "i", 30*24*60+5, rankExpired, DocumentExpired)
	late.Retryable = true
	f("the provider says so too, in other words", late, at(30*24*60+6), Applied)
	if d := s.Timers(idv); len(d) != 0 {
		t.Errorf("after the expiry %+v is due", d)
	}
	void := due[1]
	void.Source = "nobody"
	f("of a check nobody knows", void.Update(), due[1].At, Stale)
	if v := s.View(); v.Status != Expired || !v.ApprovedAt.Equal(at(3)) || !v.ExpiresAt.Equal(x.ExpiresAt) {
		t.Errorf("view %+v", v)
	}
}

// Whoever says first that an approval has run out, the provider or our timer, is the only one: the other owes nothing.
func TestProviderExpiresFirst(t *testing.T) {
	s := apply(open, until(obs(sumsub, "i", 3, rankApproved), at(1000)))
	timer := s.Timers(open)[1].Update()
	owed, _ := s.Apply(received(obs(sumsub, "i", 1000, rankExpired), 1001), open)
	if got := types(owed); !slices.Equal(got, []string{"kyc.check.expired", "kyc.status.expired"}) || !owed[1].ExpiresAt.Equal(at(1000)) {
		t.Fatalf("owed %v", owed)
	}
	if owed, v := s.Apply(received(timer, 1002), open); len(owed) != 0 || v != Stale {
		t.Errorf("then our timer: %v, %s", owed, v)
	}
	s = apply(open, obs(sumsub, "i", 3, rankApproved)) // undated, and the provider ends it early
	if owed, _ = s.Apply(obs(sumsub, "i", 50, rankExpired), open); len(owed) != 2 || !owed[1].ExpiresAt.Equal(at(50)) {
		t.Errorf("ended early: %v", owed)
	}
}

// A void timer moves nothing; should its approval come to stand again, its time is over.
func TestVoidTimer(t *testing.T) {
	s := apply(open, until(obs(sumsub, "i", 3, rankApproved), at(1000)), received(decide(sumsub, 5, rankSuspended), 200))
	if d := s.Timers(open); len(d) != 0 {
		t.Fatalf("a suspended subject has %v due", d)
	}
	timer := TimerDue{At: at(1000), ExpiresAt: at(1000), Source: "sumsub", Check: IdentityVerification, Scope: Overall}.Update()
	if owed, v := s.Apply(received(timer, 1000), open); len(owed) != 0 || v != Stale || s.Status() != Suspended {
		t.Errorf("void: %v, %s, %s", owed, v, s.Status())
	}
	if s.Apply(received(named(decide(sumsub, 1100, rankNotStarted), "r"), 1100), open); s.Status() != Expired {
		t.Errorf("released after it ran out: %s", s.Status())
	}
}

// An approval that arrives already expired is approved, then expired.
func TestArrivesExpired(t *testing.T) {
	f := func(name string, want []string, us ...Update) {
		t.Helper()
		s := &State{}
		var owed []Change
		for _, u := range us {
			owed, _ = s.Apply(u, open)
		}
		if !slices.Equal(types(owed), want) {
			t.Errorf("%s: %v, want %v", name, types(owed), want)
		}
		for i := 1; i < len(owed); i++ {
			if owed[i].Sequence != owed[i-1].Sequence+1 {
				t.Errorf("%s: sequences %d, %d", name, owed[i-1].Sequence, owed[i].Sequence)
			}
		}
		gone := TimerDue{At: at(100), ExpiresAt: at(100), Source: "sumsub", Check: IdentityVerification, Scope: Overall}.Update()
		if owed, _ := s.Apply(received(gone, 500), open); slices.Contains(types(owed), "kyc.check.expired") == slices.Contains(want, "kyc.check.expired") {
			t.Errorf("%s: the timer then owes %v", name, types(owed))
		}
	}
	a := until(obs(sumsub, "i", 3, rankApproved), at(100))
	both := []string{"kyc.check.clear", "kyc.status.approved", "kyc.check.expired", "kyc.status.expired"}
	f("late", both, received(a, 200))
	f("at the instant", both, received(a, 100))
	f("in time", both[:2], received(a, 99))
	f("held up by an operator", both, received(a, 50), received(decide(sumsub, 60, rankSuspended), 60), received(named(decide(sumsub, 300, rankNotStarted), "r"), 300))

	// Beside an approval that stands it tells of itself first, then of the other; the two changes of one type and one record have ids of their own (I4).
	s := &State{}
	s.Apply(received(until(obs(persona, "x", 1, rankApproved), at(9000)), 50), open)
	owed, _ := s.Apply(received(a, 200), open)
	if want := []string{"kyc.check.clear", "kyc.status.approved", "kyc.check.expired", "kyc.status.approved"}; !slices.Equal(types(owed), want) {
		t.Fatalf("beside another: %v, want %v", types(owed), want)
	}
	if owed[1].ID == owed[3].ID || !owed[1].ExpiresAt.Equal(at(100)) || !owed[3].ExpiresAt.Equal(at(9000)) {
		t.Errorf("%v, %v", owed[1], owed[3])
	}
}

// A provider's notice owes kyc.status.expiring once per check and expires_at, moves nothing, and only while the approval stands and counts.
func TestNotice(t *testing.T) {
	notice := func(name string, expires time.Time) Update {
		x := timeless(sumsub, "i", rankApproved, name)
		x.Expiring, x.ExpiresAt = true, expires
		return received(x, 300)
	}
	s := apply(idv, until(obs(sumsub, "i", 3, rankApproved), at(20000)))
	timer := s.Timers(idv)[0].Update()
	f := func(name string, u Update, verdict Verdict, owes bool) []Change {
		t.Helper()
		owed, v := s.Apply(u, idv)
		if v != verdict || owes != slices.Equal(types(owed), []string{"kyc.status.expiring"}) || !owes && len(owed) > 0 {
			t.Errorf("%s: %v, %s", name, types(owed), v)
		}
		return owed
	}
	f("unconfirmed", weak(notice("0", at(20000))), Superseded, false)
	owed := f("first", notice("1", at(20000)), Applied, true)
	if len(owed) == 1 && (owed[0].Status != Approved || owed[0].PreviousStatus != Approved || !owed[0].ExpiresAt.Equal(at(20000)) || !owed[0].ApprovedAt.Equal(at(3)) || owed[0].Check.Source != "sumsub") {
		t.Errorf("change %+v", owed[0])
	}
	f("same id", notice("1", at(20000)), Duplicate, false)
	f("said again", notice("2", at(20000)), Superseded, false)
	f("our timer", received(timer, 400), Duplicate, false)
	f("another date is news", notice("3", at(19000)), Applied, true)
	f("without a date it is about what stands", notice("4", time.Time{}), Superseded, false)
	if s.Status() != Approved || !s.View().ExpiresAt.Equal(at(20000)) {
		t.Errorf("the notices moved it: %+v", s.View())
	}
	s = apply(idv, obs(sumsub, "i", 3, rankApproved))
	timer = s.Timers(idv)[0].Update()
	f("another date than ours", notice("5", at(20000)), Applied, true)
	f("and our timer is silent", received(timer, 400), Duplicate, false)
	s = apply(idv, obs(sumsub, "i", 3, rankRejected))
	f("rejected", notice("6", at(20000)), Stale, false)
	s = apply(idv, obs(sumsub, "i", 3, rankApproved), obs(aml, "s", 4, rankInReview))
	f("in review for another check", notice("7", at(20000)), Stale, false)
	s = &State{}
	f("nobody known", notice("8", at(20000)), Stale, false)
	s = apply(idv, until(obs(sumsub, "i", 3, rankApproved), at(20000)))
	f("our timer, too late to matter", received(s.Timers(idv)[0].Update(), 20000), Stale, false)
}

// A step that does not count expires by itself, and nobody is told that the subject is expiring.
func TestTimersOfSteps(t *testing.T) {
	s := apply(idv, obs(sumsub, "i", 3, rankApproved), until(obs(passprt, "", 4, rankApproved), at(9000)))
	for _, d := range s.Timers(idv) {
		if d.Source == "rebilly" && d.Notice {
			t.Errorf("notice for %+v", d)
		}
	}
	i := slices.IndexFunc(s.Timers(idv), func(d TimerDue) bool { return d.Source == "rebilly" })
	if i < 0 {
		t.Fatal("the document never expires")
	}
	owed, v := s.Apply(received(s.Timers(idv)[i].Update(), 9000), idv)
	if v != Applied || !slices.Equal(types(owed), []string{"kyc.document.rejected"}) || s.Status() != Approved {
		t.Errorf("%v, %s, %s", types(owed), v, s.Status())
	}
}

func TestPolicy(t *testing.T) {
	f := func(name string, p Policy, kind string, want ...Check) {
		t.Helper()
		if got := p.For(kind); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("default", Policy{}, Individual, IdentityVerification)
	f("unknown kind", Policy{}, "", IdentityVerification)
	f("company", Policy{}, Company, BusinessVerification)
	f("named", Policy{Required: []Check{Screening, Liveness}}, Individual, Screening, Liveness)
	f("named for others", Policy{Required: []Check{Screening}}, Company, BusinessVerification)
	f("company named", Policy{RequiredCompany: []Check{TaxIDVerification}}, Company, TaxIDVerification)
	f("empty is not none", Policy{Required: []Check{}}, Individual, IdentityVerification)
	f("open", open, Individual)
	f("open for companies", open, Company)
}
