package kyc

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// record is an update of the definition as a record of the journal. No validity of a policy's is a
// date of the provider's, so an assumed end is left to the policy.
func record(x *truth.Update) Update {
	u := Update{
		SchemaVersion: 1, ID: x.ID, Kind: Observation, Source: x.Key.Source, Provider: x.Key.Source, Partner: "acme", Subject: Subject{ID: "user-001", ProviderRef: "p-" + x.Key.Source},
		Check: Check(x.Key.Type), Scope: Overall, Authenticity: Signed, OccurredAt: x.At, OccurredAtOrigin: OriginProvider, ReceivedAt: x.Received, Release: x.Lifts,
		ProviderEvent: ProviderEvent{Revision: int64(x.Revision)}, Verification: Verification{Ref: x.Ref, ParentRef: x.Session}, NeedsConfirmation: x.Weak, AskedAt: x.AskedAt,
	}
	if !x.Key.Overall {
		u.Scope, u.Document.Type = CheckScope, x.Key.Part
	}
	if x.At.IsZero() {
		u.OccurredAtOrigin = OriginReceived
	}
	if !x.Taken.IsZero() {
		u.ReceivedAt, u.Waited = x.Taken, true
	}
	if u.Skew = x.Skew; x.Operator || x.Submission {
		u.Skew = time.Minute // which nobody asks for
	}
	if !x.Assumed {
		u.ExpiresAt = x.Expires
	}
	for _, r := range x.Reasons {
		u.Reasons = append(u.Reasons, ReasonPair{Code: Reason(r)})
	}
	if x.Weak {
		u.Authenticity = Network
	}
	switch {
	case x.Operator:
		u.Kind, u.Release = Decision, x.Status == truth.NotStarted
	case x.Confirms:
		u.Kind = Confirmation
	case x.Submission:
		u.Kind, u.Subject.ProviderRef, u.Verification = Submission, x.Session, Verification{}
	}
	if !x.Mute && !x.Submission {
		u = ranked(u, rank(x.Status))
	}
	return u
}

// policyOf is a policy of the definition. Its approvals without a date never end, unless lasts says
// how long they do.
func policyOf(p truth.Policy, lasts time.Duration) Policy {
	out := Policy{Open: len(p.Required) == 0, lasts: cmp.Or(moment(lasts), never)}
	for _, t := range p.Required {
		out.Required = append(out.Required, Check(t))
	}
	return out
}

// stands is what a state says at a time.
func stands(s *State, p Policy, now time.Time) (truth.Status, time.Time) {
	f := s.at(p, momentOf(now)).subject()
	if f.rank != rankApproved {
		return truth.Status(f.rank), time.Time{}
	}
	return truth.Status(f.rank), f.until.time()
}

// Every scenario of the definition holds for the state, also after it has been written and read.
func TestScenarios(t *testing.T) {
	for _, sc := range truth.Scenarios() {
		lasts := time.Duration(0)
		for _, x := range sc.History { // an assumed end as the scenario says it: as a bound of the word, for here no two last equally long
			if x.Assumed {
				lasts = never.duration()
			}
		}
		s, p := &State{}, policyOf(sc.Policy, lasts)
		for i := range sc.History {
			s.Apply([]Update{record(&sc.History[i])}, p)
			if x := &sc.History[i]; x.Assumed {
				assume(s, x)
			}
			s = copyOf(t, s)
		}
		got, until := stands(s, p, sc.Now)
		if (got == sc.Want) == sc.Not || sc.Dated && !until.Equal(sc.Until) {
			t.Errorf("%s: %v until %v, want %v (not: %v) until %v", sc.Name, got, until, sc.Want, sc.Not, sc.Until)
		}
	}
}

// assume gives the word of an approval the end that a scenario assumes.
func assume(s *State, x *truth.Update) {
	for i := range s.words {
		if s.words[i].id == idOf(x.ID) {
			s.words[i].expires = momentOf(x.Expires)
		}
	}
}

func (m moment) duration() time.Duration { return time.Duration(m) }

// A state that stands in a file is read as it was written.
func TestCopies(t *testing.T) {
	for _, sc := range truth.Scenarios() {
		s := &State{}
		for i := range sc.History {
			s.Apply([]Update{record(&sc.History[i])}, policyOf(sc.Policy, 0))
			if a, b := fmt.Sprintf("%+v", *s), fmt.Sprintf("%+v", *copyOf(t, s)); a != b {
				t.Fatalf("%s:\n%s\n%s", sc.Name, a, b)
			}
		}
	}
	if slices.Contains(terms[:], "") {
		t.Error("an empty term")
	}
}
