package kyc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// What a status stands on, in the sentence that an operator reads.
func TestWhy(t *testing.T) {
	f := func(name string, us []Update, want ...string) {
		t.Helper()
		var got []string
		for _, s := range apply(idv, us...).Why(idv) {
			mark := "-"
			switch {
			case s.Decides:
				mark = "*"
			case s.Stands:
				mark = "+"
			}
			got = append(got, fmt.Sprint(mark, " ", s.Source, " ", s.Status, ": ", s.Because))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	i := func(minute int, r rank, reasons ...Reason) Update { return obs(sumsub, "i", minute, r, reasons...) }
	f("approved", []Update{i(3, rankApproved)}, "* sumsub approved: counts until its end")
	f("rejected after it", []Update{i(3, rankApproved), i(5, rankRejected)},
		"* sumsub rejected: answered by the next approval, wherever given, or by an operator", "- sumsub approved: superseded by what sumsub found")
	f("fraud, approved elsewhere", []Update{i(3, rankTerminal, FraudSuspected), obs(persona, "a", 5, rankApproved)},
		"* sumsub rejected: answered by an approval of sumsub after a reset or in a run begun since, or by an operator", "+ persona approved: counts until its end")
	f("suspended and over", []Update{i(3, rankSuspended), obs(sumsub, "i", 5, rankApproved)}, "* sumsub approved: counts until its end", "- sumsub suspended: answered by a newer approval of sumsub")
	f("a claim", []Update{i(3, rankApproved), weak(obs(persona, "a", 5, rankRejected))},
		"* persona rejected: answered by the provider's answer to our question, by a newer approval, or by an operator", "- sumsub approved: superseded by what persona found")
	f("a claimed approval", []Update{weak(obs(persona, "a", 5, rankApproved))}, "* persona approved: counts when the provider has answered our question, or an operator decides")
	f("a hit beside an approval", []Update{i(3, rankApproved), obs(aml, "s", 4, rankRejected, PEPMatch)}, "* aml rejected: answered by an operator only", "+ sumsub approved: counts until its end")
	f("an operator's no", []Update{i(3, rankApproved), decide(sumsub, 5, rankSuspended)},
		"* sumsub suspended: an operator's own word: answered by an operator only", "- sumsub approved: superseded by what an operator found")
	f("reset", []Update{i(3, rankApproved), i(5, rankNotStarted)}, "- sumsub approved: sumsub has begun the run again")
	f("ended", []Update{i(3, rankApproved), i(5, rankExpired)}, "* sumsub approved: was ended by sumsub")
	f("run out", []Update{until(i(3, rankApproved), at(50))}, "* sumsub approved: is over")
	f("repeated", []Update{i(3, rankApproved), i(5, rankApproved)}, "* sumsub approved: counts until its end", "- sumsub approved: followed by a newer approval of the same run")
	f("outrun", []Update{obs(persona, "a", 1, rankPending), obs(persona, "b", 2, rankPending), obs(persona, "b", 3, rankApproved), obs(persona, "a", 9, rankRejected)},
		"* persona approved: counts until its end", "- persona rejected: moot: the try that followed it was approved")
}

// Whoever is held or approved is so by something that is listed as standing, and what is said to
// answer a finding answers it.
func TestWhyIsTrue(t *testing.T) {
	unbounded(t)
	each(t, histories(6000), 71, func(r *rand.Rand, h truth.History, lasts time.Duration) error {
		p, s := policyOf(truth.RandomPolicy(r), lasts), &State{}
		for i := range h {
			s.Apply([]Update{record(&h[i])}, p)
		}
		why := s.Why(p)
		takes := s.told.rank >= rankInReview && s.beyond == 0
		if takes && !slices.ContainsFunc(why, func(x Standing) bool { return x.Kind == Finding }) || s.told.rank == rankApproved && !slices.ContainsFunc(why, func(x Standing) bool { return x.Decides && x.Kind == Approval && x.Stands }) {
			return fmt.Errorf("%s stands on %+v%v", s.Status(), why, h)
		}
		for _, x := range why {
			if x.Because == "" || x.Source == "" {
				return fmt.Errorf("%+v", x)
			}
			if x.Kind == Finding && x.Stands && !s.yields(p, &x) {
				return fmt.Errorf("an operator does not answer %+v%v", x, h)
			}
		}
		return nil
	})
}

// yields reports whether an operator's release answers a finding.
func (s *State) yields(p Policy, x *Standing) bool {
	n := reread(s)
	n.Apply([]Update{{
		SchemaVersion: 1, ID: "release", Kind: Decision, Source: x.Source, Partner: "acme", Subject: Subject{ID: "user-001"}, Scope: x.Scope, Check: x.Check,
		Document: Document{Type: x.DocumentType}, Release: true, ReceivedAt: s.last.time(),
	}}, p)
	return !slices.ContainsFunc(n.Why(p), func(y Standing) bool { return y.ID == x.ID && y.Kind == Finding && y.Stands && y.Status != Approved })
}
