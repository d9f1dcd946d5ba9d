package kyc

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// TestTakeBack: a state that some records are taken back from says what the definition says of the
// others, then and after whatever comes; what is told of it is numbered on from what was told
// before, once for each object, and what was told of the last words is told.
func TestTakeBack(t *testing.T) {
	unbounded(t)
	each(t, histories(5_000), 77, func(r *rand.Rand, h truth.History, lasts time.Duration) error {
		q := truth.RandomPolicy(r)
		p, s, without := policyOf(q, lasts), &State{}, &State{}
		var left truth.History
		cut := r.IntN(len(h) + 1)
		for i := range h[:cut] {
			u := record(&h[i])
			s.Apply([]Update{u}, p)
			if r.IntN(4) > 0 {
				without.Apply([]Update{u}, p)
				left = append(left, h[i])
			}
		}
		before, stood := s.View(), s.Checks()
		order := Update{SchemaVersion: 1, ID: "order", Kind: Decision, Partner: "acme", Subject: Subject{ID: "user-001"}, UnroutedID: "unrouted_1", TakenBack: "x", ReceivedAt: s.last.time()}
		changes := s.TakeBack(without, order, p)
		statuses := 0
		for i, c := range changes {
			if c.Sequence != before.Sequence+uint64(i)+1 || c.CauseID != "order" {
				return fmt.Errorf("change %d is number %d after %d, of %s", i, c.Sequence, before.Sequence, c.CauseID)
			}
			if strings.HasPrefix(c.Type, "kyc.status.") {
				statuses++
			}
		}
		if v := s.View(); statuses > 1 || (v.Status != before.Status) && statuses == 0 || v.Sequence != before.Sequence+uint64(len(changes)) {
			return fmt.Errorf("%d changes of the status, from %s to %s", statuses, before.Status, v.Status)
		}
		if err := told1(stood, s.Checks(), changes); err != nil {
			return err
		}
		if cut > 0 && s.TakeBack(&State{}, order, p) != nil {
			return errors.New("the same order was carried out twice")
		}
		s = reread(s)
		for i := cut; i <= len(h); i++ {
			for _, d := range []int{0, r.IntN(60), r.IntN(400)} {
				now := s.last.time().Add(time.Duration(d) * time.Minute)
				if cut == 0 && i == 0 {
					break // nobody was ever heard of
				}
				want, until := left.Tell(q, now)
				if got, end := stands(s, p, now); got != want || !end.Equal(until) {
					return fmt.Errorf("after %d of %d records: %v until %v, want %v until %v, policy %v, of%v", i, cut, got, end, want, until, q, left)
				}
			}
			if i < len(h) {
				s.Apply([]Update{record(&h[i])}, p)
				left = append(left, h[i])
			}
		}
		return nil
	})
}

// told1 checks what is told of checks: of each whose status is another, or that is gone, once, from
// where it was last told to stand to where it stands. A change does not name the scope, so what a
// source says of a type in several checks is left out.
func told1(before, after []CheckState, changes []Change) error {
	named := func(c CheckState) string { return c.Source + " " + string(c.Type) }
	was, is, told, checks := map[string]Status{}, map[string]Status{}, map[string]int{}, map[string]map[string]bool{}
	for _, c := range slices.Concat(before, after) {
		if checks[named(c)] == nil {
			checks[named(c)] = map[string]bool{}
		}
		checks[named(c)][string(c.Scope)+c.DocumentType] = true
	}
	for _, c := range before {
		was[named(c)], is[named(c)] = c.Status, NotStarted
	}
	for _, c := range after {
		is[named(c)] = c.Status
	}
	for _, c := range changes {
		if strings.HasPrefix(c.Type, "kyc.status.") {
			continue
		}
		name := named(CheckState{Source: c.Check.Source, Type: c.Check.Type})
		if len(checks[name]) > 1 {
			continue
		}
		if told[name]++; told[name] > 1 || c.Status != is[name] || c.PreviousStatus != cmp.Or(was[name], NotStarted) {
			return fmt.Errorf("%s is told to go from %s to %s, and went from %s to %s", name, c.PreviousStatus, c.Status, was[name], is[name])
		}
	}
	for name := range is {
		if len(checks[name]) == 1 && cmp.Or(was[name], NotStarted) != is[name] && told[name] == 0 {
			return fmt.Errorf("%s went from %s to %s, and nobody is told", name, was[name], is[name])
		}
	}
	return nil
}

// TestTakeBackOfAll: what nothing is left of is told to stand nowhere.
func TestTakeBackOfAll(t *testing.T) {
	s := apply(Policy{}, obs(sumsub, "a", 1, rankApproved))
	told := s.TakeBack(&State{}, Update{ID: "order", Kind: Decision, ReceivedAt: at(2)}, Policy{})
	if got := types(told); len(got) != 2 || got[0] != "kyc.check.pending" || told[0].Status != NotStarted || told[0].PreviousStatus != Approved || told[1].Status == Approved {
		t.Errorf("told %v", told)
	}
	if len(s.Checks()) != 0 || s.Status() == Approved || s.View().Sequence != 4 {
		t.Errorf("it stands at %+v", s.View())
	}
	again := s.TakeBack(&State{}, Update{ID: "order 2", Kind: Decision, ReceivedAt: at(3)}, Policy{})
	if len(again) != 0 {
		t.Errorf("told again %v", again)
	}
}
