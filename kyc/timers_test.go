package kyc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// Next says what is due, its record fires it, and it fires once, whoever made it (I4, I11).
func TestTimers(t *testing.T) {
	x := until(obs(sumsub, "i", 3, rankApproved), t0.AddDate(0, 0, 30))
	x.Livemode = true
	s := apply(idv, x)
	notice, ok := s.Next(idv)
	if !ok || !notice.Notice || !notice.At.Equal(t0.AddDate(0, 0, 23)) || !notice.ExpiresAt.Equal(x.ExpiresAt) || notice.Attempt {
		t.Fatalf("due %+v", notice)
	}
	if d, _ := s.Next(Policy{NoticeDays: 10}); !d.At.Equal(t0.AddDate(0, 0, 20)) {
		t.Errorf("ten days' notice at %v", d.At)
	}
	u := notice.Update()
	if again, _ := copyOf(t, s).Next(idv); !reflect.DeepEqual(u, again.Update()) || u.ID == "" || u.Kind != Timer || u.Subject.ID != "user-001" || u.Partner != "acme" || !u.Livemode || !u.ExpiresAt.Equal(x.ExpiresAt) || !u.Expiring || !u.OccurredAt.Equal(notice.At) {
		t.Errorf("record %+v", u)
	}
	f := func(name string, u Update, received time.Time, verdict Verdict, want ...string) {
		t.Helper()
		u.ReceivedAt = received
		owed, v := s.Apply([]Update{u}, idv)
		if v[0] != verdict || !slices.Equal(types(owed), want) {
			t.Errorf("%s: %v, %s; want %v, %s", name, types(owed), v, want, verdict)
		}
	}
	f("too early", u, t0.AddDate(0, 0, 22), Superseded)
	f("notice", u, notice.At, Applied, "kyc.status.expiring")
	f("notice again", u, notice.At, Superseded)
	end, ok := s.Next(idv)
	if v := end.Update(); !ok || end.Notice || end.Attempt || !end.At.Equal(x.ExpiresAt) || v.Status != Expired || v.ExpiryKind != ExpiryValidity || v.Expiring {
		t.Errorf("after the notice %+v is due", end)
	}
	f("end", end.Update(), end.At, Applied, "kyc.check.expired", "kyc.status.expired")
	f("end again", end.Update(), end.At, Stale)
	if d, ok := s.Next(idv); ok {
		t.Errorf("after the end %+v is due", d)
	}
	ids := map[string]bool{}
	other := notice
	other.Subject.ID = "user-002"
	test := notice
	test.Livemode = false
	for _, d := range []TimerDue{notice, end, other, test} {
		if id := d.Update().ID; ids[id] {
			t.Errorf("%+v shares its id", d)
		} else {
			ids[id] = true
		}
	}
	// Nobody is due while nothing stands, and what stands again is.
	s = apply(open, until(obs(sumsub, "i", 3, rankApproved), at(1000)), received(decide(sumsub, 5, rankSuspended), 200))
	if d, ok := s.Next(open); ok {
		t.Errorf("a suspended subject has %v due", d)
	}
	s.Apply([]Update{received(named(decide(sumsub, 300, rankNotStarted), "r"), 300)}, open)
	if d, ok := s.Next(open); !ok || !d.Notice {
		t.Errorf("released, %v is due", d)
	}
	// A step that does not count ends by itself, and nobody is told that the subject is expiring.
	s = apply(Policy{Required: []Check{Screening, Liveness}}, obs(aml, "s", 3, rankApproved), obs(of{"sumsub", Liveness, CheckScope, ""}, "l", 3, rankApproved), until(obs(passprt, "", 4, rankApproved), at(9000)))
	if d, ok := s.Next(Policy{Required: []Check{Screening, Liveness}}); !ok || d.Notice || !d.At.Equal(at(9000)) {
		t.Errorf("%v is due", d)
	}
}

// TestTimerFiredTwice: what is due when a timer comes a second time is told by a timer of its own. By
// the first it would have the webhook-id of what that has told.
func TestTimerFiredTwice(t *testing.T) {
	ids := map[string]string{}
	s := apply(idv, until(obs(sumsub, "i", 3, rankApproved), at(1000)))
	f := func(name string, u Update, minute int, want ...string) {
		t.Helper()
		owed, _ := s.Apply([]Update{received(u, minute)}, idv)
		if !slices.Equal(types(owed), want) {
			t.Errorf("%s: %v, want %v", name, types(owed), want)
		}
		for i := range owed {
			if was, ok := ids[owed[i].ID]; ok {
				t.Errorf("%s: it has the id of what was told by %s", name, was)
			}
			ids[owed[i].ID] = name
		}
	}
	next := func() Update {
		d, _ := s.Next(idv)
		return d.Update()
	}
	notice := next()
	f("the notice", notice, 300, "kyc.status.expiring")
	f("another end", until(obs(sumsub, "j", 301, rankApproved), at(2000)), 301, "kyc.check.clear", "kyc.status.approved")
	f("the notice again", notice, 302)
	f("the notice of the other end", next(), 303, "kyc.status.expiring")
	end := next()
	f("the end", end, 2000, "kyc.check.expired", "kyc.status.expired")
	f("approved again", until(obs(sumsub, "k", 2001, rankApproved), at(2100)), 2001, "kyc.check.clear", "kyc.status.approved")
	f("the end again", end, 2200)
	f("the other end", next(), 2201, "kyc.check.expired", "kyc.status.expired")
}

// lapses tells a history and then what is due until a minute, and returns what was owed for that.
func lapses(p Policy, minute int, us ...Update) (s *State, owed []string) {
	s = apply(p, us...)
	for d, ok := s.Next(p); ok && !d.At.After(at(minute)); d, ok = s.Next(p) {
		u := d.Update()
		u.ReceivedAt = d.At
		cs, _ := s.Apply([]Update{u}, p)
		owed = append(owed, types(cs)...)
	}
	return s, owed
}

// An attempt whose provider gave a deadline comes to nothing when it passes: what was before it
// shows again.
func TestTimersOfAttempts(t *testing.T) {
	f := func(name string, want Status, owes []string, us ...Update) {
		t.Helper()
		s, owed := lapses(open, 900, us...)
		if s.Status() != want || !slices.Equal(owed, owes) {
			t.Errorf("%s: %v owing %v, want %v owing %v", name, s.Status(), owed, want, owes)
		}
	}
	begun := func(session string, minute, deadline int) Update {
		return until(obs(request, session, minute, rankPending), at(deadline))
	}
	both := []string{"kyc.check.pending", "kyc.status.not_started"}
	again := []string{"kyc.check.failed", "kyc.status.rejected"}
	f("pending", NotStarted, both, begun("r", 1, 200))
	f("created", NotStarted, nil, until(obs(request, "r", 1, rankNotStarted), at(200)))
	f("without a deadline", Pending, nil, obs(request, "r", 1, rankPending))
	f("past already when it came", NotStarted, nil, begun("r", 1, 50))
	f("unconfirmed", NotStarted, both, weak(begun("r", 1, 200)))
	f("of a provider without times", NotStarted, both, until(timeless(request, "r", rankPending, "1"), at(200)))
	f("a verdict before the deadline", Approved, nil, begun("r", 1, 200), until(obs(request, "r", 5, rankApproved), at(1e6)))
	f("a verdict of the same run that came first", Rejected, nil, obs(request, "r", 5, rankRejected), begun("r", 1, 200))
	f("a newer attempt without a deadline", Pending, nil, begun("r", 1, 200), obs(request, "r", 5, rankPending))
	f("a newer attempt with an earlier one", NotStarted, both, begun("r", 1, 200), begun("r", 5, 150))
	f("a newer run without a deadline", Pending, nil, begun("r", 1, 200), obs(request, "s", 5, rankPending))
	f("an older run without one", Pending, []string(nil), obs(request, "s", 1, rankPending), begun("r", 5, 200))
	f("the provider says so first", NotStarted, nil, begun("r", 1, 200), obs(request, "r", 190, rankLapsed))
	f("a retryable rejection shows again", Rejected, again, obs(request, "r", 1, rankRejected), begun("r", 5, 200))
	f("an end shows again", Expired, []string{"kyc.check.expired", "kyc.status.expired"}, until(obs(request, "r", 1, rankApproved), at(50)), begun("r", 60, 200))
	f("a claim never stopped showing", InReview, nil, weak(obs(request, "r", 1, rankRejected)), weak(begun("r", 5, 200)))
	f("beside an approval of another source", Approved, both[:1], until(obs(sumsub, "i", 1, rankApproved), at(1e6)), begun("r", 5, 200))
	f("a step", Pending, both[:1], obs(sumsub, "i", 1, rankPending), until(obs(of{"persona", Liveness, CheckScope, ""}, "v", 5, rankPending), at(200)))
	f("a document of no run", Pending, []string{"kyc.document.processing"}, obs(sumsub, "i", 1, rankPending), until(obs(passprt, "", 5, rankPending), at(200)))
	f("a document of a run", Pending, []string{"kyc.document.processing"}, obs(sumsub, "i", 1, rankPending), until(obs(passprt, "r", 5, rankPending), at(200)))

	s := apply(open, begun("r", 1, 200))
	d, _ := s.Next(open)
	if u := d.Update(); !d.Attempt || d.Notice || !d.At.Equal(at(200)) || u.Status != Expired || u.ExpiryKind != ExpiryAttempt || u.Expiring {
		t.Errorf("due %+v, record %+v", d, u)
	}
	owed, _ := s.Apply([]Update{received(d.Update(), 201)}, open)
	if len(owed) != 2 || owed[0].Status != NotStarted || owed[0].PreviousStatus != Pending || owed[0].Check.Source != "rebilly" || !owed[0].OccurredAt.Equal(at(200)) || !owed[0].ExpiresAt.IsZero() {
		t.Errorf("changes %+v", owed)
	}
	owed, _ = s.Apply([]Update{received(begun("r", 150, 300), 202)}, open) // a newer attempt with a later deadline, delivered late
	if want := []string{"kyc.check.pending", "kyc.status.pending"}; !slices.Equal(types(owed), want) {
		t.Errorf("a later deadline: %v", types(owed))
	}
	if d, _ = s.Next(open); !d.At.Equal(at(300)) {
		t.Errorf("due %+v", d)
	}
}

// moments are instants at which anything may change: every few minutes, and around every date that
// was named.
func moments(s *State, h truth.History) (all []moment) {
	add := func(m moment) {
		if m > s.last {
			all = append(all, m)
		}
	}
	for m := s.last; m < s.last+moment(16*time.Hour); m += moment(13 * time.Minute) {
		add(m)
	}
	for _, x := range h {
		for _, m := range []moment{momentOf(x.Expires), momentOf(x.At), momentOf(x.Received)} {
			add(m - 1)
			add(m)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Next is the first instant at which anything told changes, of the status, a check or a document:
// nothing changes before it, at any instant, and something does then. By the definition too nothing
// changes before it.
func TestNext(t *testing.T) {
	unbounded(t)
	var some, none, status atomic.Int64
	each(t, histories(3000), 55, func(r *rand.Rand, h truth.History, lasts time.Duration) error {
		q := truth.RandomPolicy(r)
		p, s := policyOf(q, lasts), &State{}
		for i := range h {
			s.Apply([]Update{record(&h[i])}, p)
		}
		s.Apply([]Update{{Kind: Timer, ReceivedAt: s.last.time().Add(time.Duration(r.IntN(10)) * time.Minute)}}, p)
		next, _ := s.turn(p, s.instants(p))
		if next > 0 {
			some.Add(1)
		} else {
			none.Add(1)
		}
		news := func(m moment) bool {
			v := s.at(p, m)
			f := v.subject()
			for i := range s.checks {
				if c := v.checkTold(i, &f); !c.same(&s.checks[i].told) {
					return true
				}
			}
			now := v.status(&f)
			return !now.same(&s.told)
		}
		was, until := h.Tell(q, s.last.time())
		for _, m := range moments(s, h) {
			st, end := h.Tell(q, m.time())
			if next > 0 && m >= next {
				if st != was {
					status.Add(1)
				}
				break
			}
			if st != was || !end.Equal(until) || news(m) {
				return fmt.Errorf("at %v %v until %v, next is %v%v", m.time(), st, end, next.time(), h)
			}
		}
		if next > 0 && (next <= s.last || news(next-1) || !news(next)) {
			return fmt.Errorf("next %v changes nothing at %v, or too late%v", next.time(), s.last.time(), h)
		}
		return nil
	})
	t.Logf("something changes by time alone in %d, nothing in %d; the status in %d", some.Load(), none.Load(), status.Load())
}

// Whoever fires what is due comes to an end: every timer at its instant owes something, and what is
// due then is later.
func TestTimersEnd(t *testing.T) {
	most := atomic.Int64{}
	each(t, histories(4000), 56, func(r *rand.Rand, h truth.History, lasts time.Duration) error {
		q := truth.RandomPolicy(r)
		p, s := policyOf(q, lasts), &State{}
		p.NoticeDays = 1
		for i := range h {
			u := record(&h[i])
			if !u.ExpiresAt.IsZero() && r.IntN(2) == 0 {
				u.ExpiresAt = u.ExpiresAt.AddDate(0, 0, r.IntN(5)) // so that notices come before ends, and after
			}
			s.Apply([]Update{u}, p)
		}
		last := s.last
		for n := int64(1); ; n++ {
			d, ok := s.Next(p)
			if !ok {
				return nil
			}
			u := d.Update()
			u.ReceivedAt = d.At
			if !d.At.After(last.time()) {
				u.ReceivedAt = last.time()
			}
			owed, v := s.Apply([]Update{u}, p)
			if len(owed) == 0 || v[0] != Applied || !d.Notice && momentOf(d.At) <= last || d.Notice && types(owed)[len(owed)-1] != "kyc.status.expiring" {
				return fmt.Errorf("%+v at %v owes %v, %v%v", d, u.ReceivedAt, types(owed), v, h)
			}
			if last = s.last; n > 200 {
				return errors.New("no end")
			}
			if was := most.Load(); n > was {
				most.CompareAndSwap(was, n)
			}
		}
	})
	t.Logf("at most %d timers in turn", most.Load())
}
