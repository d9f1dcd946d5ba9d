package kyc

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"
)

// daily tells five years of a source that screens a person every day in a run of its own, and
// identifies once a year, and calls check after each day.
func daily(t *testing.T, p Policy, identityRun func(year int) string, check func(day int, now time.Time, s *State)) {
	t.Helper()
	s, most := &State{}, 0
	identity, screen := of{"sumsub", IdentityVerification, Overall, ""}, of{"sumsub", Screening, Overall, ""}
	for d := range 5*365 + 2 {
		now := t0.AddDate(0, 0, d)
		say := func(k of, run string, r rank) {
			x := obs(k, run, 0, r)
			x.ID, x.OccurredAt, x.ReceivedAt = UpdateID(k.source, []string{run, fmt.Sprint(d, r)}, Observation, k.check, k.scope, "", 0, now), now, now.Add(time.Second)
			s.Apply([]Update{x}, p)
		}
		if now.Equal(t0.AddDate(d/365, 0, 0)) || d == 0 || now.Month() == t0.Month() && now.Day() == t0.Day() {
			run := identityRun(now.Year() - t0.Year())
			say(identity, run, rankPending)
			say(identity, run, rankApproved)
		}
		say(screen, fmt.Sprint("screening-", d), rankApproved)
		s = copyOf(t, s)
		most = max(most, len(bytesOf(t, s)))
		check(d, now, s)
	}
	t.Logf("%d bytes at most, %d at the end, of which %d for ids", most, len(bytesOf(t, s)), 19*len(s.seen))
	if most-19*keepSeen > 4000 {
		t.Errorf("%d bytes", most)
	}
}

// A source that screens daily in ever new runs loses neither the dates of its screening nor the
// identity that it approved.
func TestBoundsOfDailyScreening(t *testing.T) {
	dated := Policy{Required: []Check{IdentityVerification, Screening}, Validity: map[Check]int{Screening: 1}}
	f := func(name string, run func(year int) string) {
		t.Run(name, func(t *testing.T) {
			behind := time.Duration(0)
			daily(t, dated, run, func(d int, now time.Time, s *State) {
				v := s.View()
				want := AddMonths(now, 1)
				if year := AddMonths(t0, 12*(now.Year()-t0.Year()+1)); year.Before(want) {
					want = year // the identity ends before
				}
				if last := AddMonths(t0, 12*(now.Year()-t0.Year())); now.Before(last) && last.Before(want) {
					want = last
				}
				lag := want.Sub(v.ExpiresAt)
				if behind = max(behind, lag); v.Status != Approved || lag < 0 || lag > 10*day {
					t.Fatalf("day %d, %v: %s until %v, want %v", d, now, v.Status, v.ExpiresAt, want)
				}
			})
			t.Logf("behind by at most %v", behind)
		})
	}
	f("one run for all identities", func(int) string { return "identity" })
	for k := range 6 {
		f(fmt.Sprint("a run for each identity ", k), func(year int) string { return fmt.Sprint("identity-", k, "-", year) })
	}
	t.Run("never ends", func(t *testing.T) {
		p := Policy{Required: []Check{IdentityVerification, Screening}}
		daily(t, p, func(year int) string { return fmt.Sprint("identity-", year) }, func(d int, now time.Time, s *State) {
			if v := s.View(); v.Status != Approved || !v.ExpiresAt.After(now) {
				t.Fatalf("day %d: %s until %v", d, v.Status, v.ExpiresAt)
			}
		})
	})
}

// Whatever is said, a state stays small; the ids of records, which are forgotten after 90 days,
// come on top.
func TestBoundsOfHostileHistories(t *testing.T) {
	most, decides, end := 0, 0, []int(nil)
	for seed := range uint64(10) {
		r, s := rand.New(rand.NewPCG(seed, 1)), &State{}
		for i := range 3000 {
			s.Apply([]Update{hostile(r, i)}, idv)
			most = max(most, len(bytesOf(t, s)))
			if i%100 == 0 {
				decides = max(decides, deciding(t, s))
			}
		}
		end = append(end, len(bytesOf(t, s)))
		if n := copyOf(t, s); !reflect.DeepEqual(normal(n), normal(s)) {
			t.Error("read back it is another")
		}
	}
	slices.Sort(end)
	t.Logf("%d bytes at the end in the middle, %d the most ever, %d of them decide", end[len(end)/2], most, decides)
	if most > 10000 || decides > 6000 {
		t.Errorf("%d bytes, %d of them decide", most, decides)
	}
}

// deciding is how much of a state is more than shown.
func deciding(t *testing.T, s *State) int {
	t.Helper()
	n := copyOf(t, s)
	n.told = told{}
	for i := range n.checks {
		n.checks[i].told = told{}
	}
	for i := range n.words {
		w := &n.words[i]
		w.name, w.reasons, w.document, w.try = "", nil, Document{}, 0
	}
	return len(bytesOf(t, n)) - len(id{})*len(n.words)
}

// hostile is anything at all, about few checks in many runs, without an id: what those cost is
// known.
func hostile(r *rand.Rand, i int) Update {
	types := []Check{IdentityVerification, DocumentVerification, AddressVerification, Screening}
	k := of{fmt.Sprint("source-number-", r.IntN(4)), types[r.IntN(len(types))], Overall, ""}
	if r.IntN(4) == 0 {
		k.scope, k.part = DocumentScope, fmt.Sprint("a-long-name-of-a-part-", r.IntN(6))
	}
	x := timeless(k, fmt.Sprint("run", r.IntN(100)), rank(r.IntN(int(rankSuspended)+1)), "", [][]Reason{nil, {FraudSuspected}, {SanctionsMatch}, {DocumentUnreadable, DataMismatch}}[r.IntN(4)]...)
	x.ReceivedAt, x.ProviderEvent.Revision, x.Verification.AttemptRef = t0.Add(time.Duration(i)*100*time.Minute), r.Int64N(1000), strconv.Itoa(r.IntN(3))
	if r.IntN(4) > 0 {
		x.OccurredAt, x.OccurredAtOrigin = x.ReceivedAt.Add(-time.Duration(r.IntN(1e9))*time.Millisecond), OriginProvider
	}
	switch {
	case r.IntN(4) == 0:
		x.Verification.Ref = fmt.Sprint("document", r.IntN(1000))
		x.Authenticity = Network
		x = x.Gate(Signed)
	case r.IntN(50) == 0:
		x.Kind, x.Release = Decision, x.Status == NotStarted
	case r.IntN(20) == 0:
		x.Kind = Confirmation
	case r.IntN(20) == 0:
		x.Release = true
	}
	if x.Status == Approved && r.IntN(2) == 0 {
		x.ExpiresAt = x.ReceivedAt.AddDate(1, 0, 0)
	}
	return x
}

// Whoever has more checks than are kept is in review, until an operator's manual release; what
// stands otherwise stands.
func TestCrowdedIsReleased(t *testing.T) {
	us := []Update{obs(sumsub, "i", 1, rankApproved)}
	for i := range limits.checks + 3 {
		us = append(us, obs(of{"x", DocumentVerification, DocumentScope, fmt.Sprint("part", i)}, "r", 2+i, rankPending))
	}
	s := apply(idv, us...)
	if w := s.Why(idv); s.Status() != InReview || !s.Crowded() || !w[0].Decides || w[0].Source != Manual {
		t.Fatalf("%s, %+v", s.Status(), w)
	}
	release := func(source string) Update {
		return Update{ID: "release " + source, Kind: Decision, Source: source, Partner: "acme", Subject: Subject{ID: "user-001"}, Check: IdentityVerification, Release: true, ReceivedAt: at(900)}
	}
	if s.Apply([]Update{release("sumsub")}, idv); s.Status() != InReview {
		t.Errorf("released by a word about another check: %s", s.Status())
	}
	if n := s.Open(&CheckState{Source: Manual, Type: IdentityVerification, Scope: Overall}, idv); n != 1 {
		t.Errorf("%d are open", n)
	}
	owed, _ := s.Apply([]Update{release(Manual)}, idv)
	if s.Status() != Approved || s.Crowded() || !slices.Equal(types(owed), []string{"kyc.status.approved"}) {
		t.Errorf("released: %s, owing %v", s.Status(), types(owed))
	}
	s.Apply([]Update{received(obs(of{"y", Screening, CheckScope, ""}, "r", 950, rankRejected, SanctionsMatch), 950)}, idv)
	if s.Status() != Rejected {
		t.Errorf("what comes after it counts: %s", s.Status())
	}
}
