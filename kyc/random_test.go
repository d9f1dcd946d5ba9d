package kyc

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

var (
	someKeys    = []key{sumsub, persona, aml, passprt, request}
	someReasons = [][]Reason{nil, {DocumentUnreadable}, {FraudSuspected}, {SanctionsMatch}}
	somePolicy  = []Policy{open, idv, {Required: []Check{DocumentVerification, Screening}}}
)

const histories = 60000

// enough is how many histories a test tells: fewer when asked to be quick, and under the race detector, which has nothing to find in a pure function.
func enough(n int) uint64 {
	if testing.Short() || raceEnabled {
		n /= 10
	}
	return uint64(n)
}

// timed makes up one observation with a provider's time. Every part of it is its own, so that shuffling moves nothing but its place.
func timed(r *rand.Rand, i int) Update {
	rk, reasons := rank(r.IntN(int(rankSuspended)+1)), []Reason(nil)
	if rk == rankRejected || rk == rankTerminal {
		reasons = someReasons[r.IntN(len(someReasons))]
	}
	x := obs(someKeys[r.IntN(len(someKeys))], []string{"a", "b"}[r.IntN(2)], r.IntN(8), rk, reasons...)
	x.ID = fmt.Sprint(i, x.Source, x.OccurredAt, x.Status)
	return received(x, 100+i)
}

// Any order and any repetition of updates that carry provider times ends in the same state: where the subject stands, every check, and every byte kept but the number of
// changes on the way (I3, I11). And nobody is approved without strong evidence or beside a hit (I10).
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	ended := map[Status]int{}
	for seed := range enough(histories) {
		r := rand.New(rand.NewPCG(seed, 7))
		var us []Update
		for i := range 1 + r.IntN(9) {
			x := timed(r, i)
			if r.IntN(6) == 0 {
				x = weak(x)
			}
			us = append(us, x)
		}
		p := somePolicy[r.IntN(len(somePolicy))]
		want := apply(p, us...)
		ended[want.Status()]++
		for range 4 {
			o := append(slices.Clone(us), us[r.IntN(len(us))])
			r.Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] })
			got := apply(p, o...)
			if got.stands() != want.stands() {
				t.Fatalf("seed %d: %v then %v\n%v\n%v", seed, want.stands(), got.stands(), us, o)
			}
			got.sequence = want.sequence
			if bytesOf(t, got) != bytesOf(t, want) {
				t.Fatalf("seed %d: other bytes\n%+v\n%+v\n%v\n%v", seed, want.Checks(), got.Checks(), us, o)
			}
		}
		safe(t, seed, want, p, us)
	}
	t.Log("ended as", ended)
	if len(ended) != len(Statuses) {
		t.Errorf("the histories end in %d of %d statuses", len(ended), len(Statuses))
	}
}

// safe holds what must be true of every approved subject, worked out apart from the fold.
func safe(t *testing.T, seed uint64, s *State, p Policy, us []Update) {
	t.Helper()
	if s.Status() != Approved {
		return
	}
	strong := func(x Update) bool { return x.Status == Approved && !x.NeedsConfirmation }
	hit := slices.ContainsFunc(us, func(x Update) bool {
		return x.Status == Rejected && slices.ContainsFunc(x.Reasons, func(r ReasonPair) bool { return r.Code == SanctionsMatch || r.Code == PEPMatch })
	})
	if !slices.ContainsFunc(us, strong) || hit {
		t.Fatalf("seed %d: approved with hit=%v: %v", seed, hit, us)
	}
	for _, q := range p.For(Individual) {
		if !slices.ContainsFunc(us, func(x Update) bool { return x.Check == q && strong(x) }) {
			t.Fatalf("seed %d: approved without %s: %v", seed, q, us)
		}
	}
}

// One unsigned callback moves no terminal or suspended subject down (I10).
func TestWeakLiftsNothing(t *testing.T) {
	t.Parallel()
	held := 0
	for seed := range enough(histories) {
		r := rand.New(rand.NewPCG(seed, 9))
		var us []Update
		for i := range 1 + r.IntN(6) {
			us = append(us, timed(r, i))
		}
		was := apply(idv, us...).told.rank
		if was < rankTerminal {
			continue
		}
		held++
		k := us[r.IntN(len(us))]
		w := obs(key{k.Source, k.Check, k.Scope, k.Document.Type}, []string{"a", "b"}[r.IntN(2)], 20, []rank{rankApproved, rankNotStarted}[r.IntN(2)])
		if now := apply(idv, append(us, weak(w))...).told.rank; now < was {
			t.Fatalf("seed %d: an unsigned callback lifted %d to %d", seed, was, now)
		}
	}
	if held == 0 {
		t.Error("no subject was terminal or suspended")
	}
}

// anyRecord makes up a record of any kind the fold knows, in order of arrival.
func anyRecord(r *rand.Rand, i int, dated bool) Update {
	x := timed(r, i)
	rk, reasons := rankOf(x), []Reason(nil)
	for _, p := range x.Reasons {
		reasons = append(reasons, p.Code)
	}
	k, session := keyOf(x), []string{"a", "b", "c"}[r.IntN(3)]
	switch r.IntN(8) {
	case 0, 1:
		x = timeless(k, session, rk, "", reasons...)
	case 2:
		x = obs(k, session, r.IntN(20), rk, reasons...)
		x.Kind = Confirmation
	case 3:
		x = obs(k, "", r.IntN(20), rk, reasons...)
		x.Kind, x.Release = Decision, !rk.verdict()
	}
	x.ProviderEvent.Revision, x.ID = int64(r.IntN(2)), fmt.Sprint("any", i, r.IntN(1000))
	if dated && (rk == rankApproved || rk.open()) {
		x.ExpiresAt = at(1000 * (1 + r.IntN(3)))
	}
	return received(x, 2*i+1)
}

// An unconfirmed record, with a time or without, may make a subject worse than the same history without it, never better (I10): it approves nobody, and it moves nobody
// who is in review, rejected or suspended to anything milder.
func TestWeakOnlyTakesAway(t *testing.T) {
	t.Parallel()
	worse, ended := 0, map[Status]int{}
	for seed := range enough(2 * histories) {
		r := rand.New(rand.NewPCG(seed, 11))
		p := somePolicy[r.IntN(len(somePolicy))]
		all, strong := &State{}, &State{}
		for i := range 2 + r.IntN(10) {
			x := anyRecord(r, i, false)
			if x.Kind == Observation && r.IntN(3) == 0 {
				all.Apply(weak(x), p)
				continue
			}
			all.Apply(x, p)
			strong.Apply(x, p)
		}
		a, s := all.told.rank, strong.told.rank
		if a == rankApproved && s != rankApproved || s >= rankInReview && a < s {
			t.Fatalf("seed %d: unsigned callbacks made %d of %d", seed, a, s)
		}
		if ended[all.Status()]++; a != s {
			worse++
		}
	}
	if t.Log("made worse", worse, "ended as", ended); worse == 0 {
		t.Error("no unsigned callback did anything")
	}
}

// The fold agrees with the oracle after every record: observations with and without times, confirmations, decisions, repeats and timers. So does one that is written out and
// read back before every record, to the byte; sequences have no gap, no id comes twice (I3, I4, I11).
func TestAgreesWithOracle(t *testing.T) {
	t.Parallel()
	ended := map[Status]int{}
	for seed := range enough(histories) {
		r := rand.New(rand.NewPCG(seed, 77))
		p, dated := somePolicy[r.IntN(len(somePolicy))], r.IntN(2) == 0
		s, o := &State{}, newOracle()
		var us []Update
		var sent []Change
		for i := range 1 + r.IntN(14) {
			x := anyRecord(r, i, dated)
			switch {
			case i > 0 && r.IntN(10) == 0:
				x = us[r.IntN(i)]
			case r.IntN(7) == 0:
				k := someKeys[r.IntN(len(someKeys))]
				x = received(TimerDue{ExpiresAt: at(1000 * (1 + r.IntN(3))), Source: k.source, Check: k.check, Scope: k.scope, DocumentType: k.part}.Update(), 5000)
				if dated && r.IntN(2) == 0 {
					x = received(lapse(k, []string{"a", "b", "c"}[r.IntN(3)], x.ExpiresAt), 5000)
				}
			}
			us = append(us, x)
			again := copyOf(t, s)
			owed, verdict := s.Apply(x, p)
			if sameOwed, sameVerdict := again.Apply(x, p); sameVerdict != verdict || !reflect.DeepEqual(sameOwed, owed) || bytesOf(t, again) != bytesOf(t, s) {
				t.Fatalf("seed %d: read back, it owes %v (%s), not %v (%s)", seed, sameOwed, sameVerdict, owed, verdict)
			}
			switch {
			case x.ExpiryKind == ExpiryAttempt && x.Kind == Timer:
				o.lapse(keyOf(x), sessionOf(x), x.ExpiresAt, p)
			case x.Kind == Timer:
				o.expire(keyOf(x), x.ExpiresAt, p)
			default:
				o.apply(x, p)
			}
			if sent = append(sent, owed...); s.told.rank != o.status {
				t.Fatalf("seed %d: %d, the oracle says %d\n%v", seed, s.told.rank, o.status, us)
			}
		}
		ended[s.Status()]++
		gapless(t, sent)
	}
	if t.Log("ended as", ended); len(ended) != len(Statuses) {
		t.Errorf("the histories end in %d of %d statuses", len(ended), len(Statuses))
	}
}

// gapless holds what is true of all changes owed to one subject: numbered from 1, no id twice, and each object's previous status is the one told before.
func gapless(t *testing.T, sent []Change) {
	t.Helper()
	ids, last := map[string]bool{}, map[string]Status{}
	for i, c := range sent {
		if c.Sequence != uint64(i)+1 || ids[c.ID] {
			t.Fatalf("change %d has number %d, id known: %v", i+1, c.Sequence, ids[c.ID])
		}
		object := "status"
		if c.Type[:len("kyc.status")] != "kyc.status" {
			object = fmt.Sprint(c.Check.Source, c.Check.Type, c.Type[:len("kyc.check")], c.Document.Type)
		}
		if was := last[object]; c.PreviousStatus != was && (was != "" || c.PreviousStatus != NotStarted) {
			t.Fatalf("%s: previous status %s after %q", c.Type, c.PreviousStatus, was)
		}
		ids[c.ID], last[object] = true, c.Status
	}
}
