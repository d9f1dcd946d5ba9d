package kyc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc/truth"
)

// teller tells a history by way of a state.
func teller(h truth.History, q truth.Policy, lasts time.Duration, now time.Time) (truth.Status, time.Time) {
	s, p := &State{}, policyOf(q, lasts)
	for i := range h {
		s.Apply([]Update{record(&h[i])}, p)
	}
	return stands(s, p, now)
}

// Every property of the definition holds of the state by itself.
func TestProperties(t *testing.T) {
	unbounded(t)
	for _, p := range truth.Properties() {
		t.Run(p.Name, func(t *testing.T) {
			for seed := range uint64(histories(p.Tries)) {
				if err := p.Holds(rand.New(rand.NewPCG(seed, 78)), teller); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// What takes away makes nobody approved, nor does an attempt, a reset or an expiry that comes in
// order.
func TestNegativesApproveNobody(t *testing.T) {
	unbounded(t)
	each(t, histories(3000), 66, func(r *rand.Rand, h truth.History, lasts time.Duration) error {
		q := truth.RandomPolicy(r)
		last := h[len(h)-1]
		now := last.Received.Add(time.Minute)
		if st, _ := teller(h, q, lasts, now); st == truth.Approved {
			return nil
		}
		for range 4 {
			o, _ := truth.Random(r)
			e := o[r.IntN(len(o))]
			if e.Operator || e.Confirms || e.Lifts || e.Status == truth.Approved {
				continue
			}
			e.ID, e.Received = "e", now
			if e.At = last.At; e.Status < truth.InReview || e.Status == truth.Rejected {
				e.At = now
			}
			if st, _ := teller(append(slices.Clone(h), e), q, lasts, now); st == truth.Approved {
				return fmt.Errorf("%v approves %v%v", truth.History{e}, q, h)
			}
		}
		return nil
	})
}

// objectOf is what a change is about, by its id: the subject, or the name of a check.
func objectOf(s *State, c *Change) string {
	v := s.at(Policy{}, s.last)
	for i := range s.checks {
		if ChangeID(c.CauseID, c.Type, strings.Join(v.names(i), "")) == c.ID {
			return strings.Join(v.names(i), "")
		}
	}
	if ChangeID(c.CauseID, c.Type, s.subject) != c.ID || !strings.HasPrefix(c.Type, "kyc.status.") {
		return "nothing"
	}
	return s.subject
}

// partner is somebody who is told everything, and looks.
type partner struct {
	sequence uint64
	ids      map[string]bool
	last     map[string]Change // by object
}

// hears returns what is wrong with what is owed for one callback.
func (p *partner) hears(s *State, us []Update, owed []Change) error {
	if p.ids == nil {
		p.ids, p.last = map[string]bool{}, map[string]Change{}
	}
	heard := map[string]bool{}
	for _, c := range owed {
		o := objectOf(s, &c)
		was, known := p.last[o]
		if p.sequence++; c.Sequence != p.sequence || p.ids[c.ID] {
			return fmt.Errorf("change %d has number %d, its id is known: %v", p.sequence, c.Sequence, p.ids[c.ID])
		}
		if p.ids[c.ID] = true; !slices.ContainsFunc(us, func(u Update) bool { return u.ID == c.CauseID }) {
			return fmt.Errorf("%s is caused by %q", c.Type, c.CauseID)
		}
		if c.Status == Approved && !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(s.last.time()) {
			return fmt.Errorf("%s until %v, told at %v", c.Type, c.ExpiresAt, s.last.time())
		}
		if c.Type == "kyc.status.expiring" {
			continue
		}
		switch {
		case heard[o]:
			return fmt.Errorf("%s is told of twice for one callback", o)
		case c.PreviousStatus != was.Status && (known || c.PreviousStatus != NotStarted):
			return fmt.Errorf("%s after %s, last told %s", c.Type, c.PreviousStatus, was.Status)
		case known && again(&c, &was):
			return fmt.Errorf("told twice: %+v", c)
		}
		heard[o], p.last[o] = true, c
	}
	return p.polls(s)
}

// again reports whether a change says nothing that the last one did not. A second failed try is
// news.
func again(c, was *Change) bool {
	if c.Status == Rejected && c.DecidedBy != was.DecidedBy {
		return false
	}
	return c.Status == was.Status && (c.Status == Expired || c.Retryable == was.Retryable && c.Terminal == was.Terminal && c.ExpiresAt.Equal(was.ExpiresAt) &&
		c.NeedsConfirmation == was.NeedsConfirmation && c.ClaimedStatus == was.ClaimedStatus && slices.Equal(c.Reasons, was.Reasons))
}

// polls compares what a poll says with what was told last, field by field.
func (p *partner) polls(s *State) error {
	v, last := s.View(), p.last[s.subject]
	if last.Sequence == 0 {
		last.Status = NotStarted
	}
	told := View{
		Status: last.Status, PreviousStatus: v.PreviousStatus, Reasons: last.Reasons, Retryable: last.Retryable, Terminal: last.Terminal, NeedsConfirmation: last.NeedsConfirmation,
		ClaimedStatus: last.ClaimedStatus, ApprovedAt: last.ApprovedAt, ExpiresAt: last.ExpiresAt, DecidedBy: last.DecidedBy, OccurredAt: v.OccurredAt, Check: v.Check, Sequence: p.sequence,
	}
	if v.DecidedBy != "" {
		told.OccurredAt = last.OccurredAt
	}
	if v.Check != (CheckView{}) {
		told.Check = last.Check
	}
	if fmt.Sprint(v) != fmt.Sprint(told) {
		return fmt.Errorf("a poll says %+v, told was %+v", v, told)
	}
	for _, c := range s.Checks() {
		last, ok := p.last[c.Source+"/"+string(c.Type)+"/"+string(c.Scope)+"/"+c.DocumentType]
		if !ok { // it was only begun, and nobody needed to be told
			last.Status, last.DecidedBy, last.OccurredAt = NotStarted, c.DecidedBy, c.OccurredAt
		}
		if c.Status != last.Status || c.Retryable != last.Retryable || c.Terminal != last.Terminal || c.NeedsConfirmation != last.NeedsConfirmation || c.ClaimedStatus != last.ClaimedStatus ||
			!slices.Equal(c.Reasons, last.Reasons) || !c.ApprovedAt.Equal(last.ApprovedAt) || !c.ExpiresAt.Equal(last.ExpiresAt) || c.DecidedBy != last.DecidedBy || c.DecidedBy != "" && !c.OccurredAt.Equal(last.OccurredAt) {
			return fmt.Errorf("a poll says %+v, told was %+v", c, last)
		}
	}
	return nil
}

// Groups of records, timers and restarts, in any order: what was told last is what the definition
// says and what a poll says; nothing is told twice, at most once for a callback, nor approved with
// an end that has passed; numbers have no gap, no id comes twice (I3, I4, I11).
func TestTellsOnce(t *testing.T) {
	unbounded(t)
	each(t, histories(8000), 77, func(r *rand.Rand, h truth.History, lasts time.Duration) error {
		q := truth.RandomPolicy(r)
		p, s, hears := policyOf(q, lasts), &State{}, partner{}
		for i := 0; i < len(h); {
			n := min(len(h), i+1+r.IntN(4))
			var us []Update
			for ; i < n; i++ {
				us = append(us, dress(r, record(&h[i])))
			}
			if r.IntN(6) == 0 {
				us = append(us, us[r.IntN(len(us))]) // sent twice
			}
			owed, verdicts := s.Apply(us, p)
			if err := hears.hears(s, us, owed); err != nil {
				return fmt.Errorf("after %d: %w%v", n, err, h[:n])
			}
			if slices.Contains(verdicts, "") {
				return fmt.Errorf("verdicts %q%v", verdicts, h[:n])
			}
			if r.IntN(3) == 0 {
				s = reread(s)
			}
			for due, ok := s.Next(p); ok && r.IntN(4) > 0 && (n == len(h) || due.At.Before(h[n].Received)); due, ok = s.Next(p) {
				u := due.Update()
				u.ReceivedAt = s.last.time()
				if due.At.After(u.ReceivedAt) {
					u.ReceivedAt = due.At
				}
				owed, _ := s.Apply([]Update{u}, p)
				if len(owed) == 0 {
					return fmt.Errorf("the timer %+v owes nothing%v", due, h[:n])
				}
				if err := hears.hears(s, []Update{u}, owed); err != nil {
					return fmt.Errorf("the timer %+v: %w%v", due, err, h[:n])
				}
			}
			now := s.last.time()
			want, until := h[:n].Tell(q, now)
			if v := s.View(); rank(want).status() != v.Status && (want != truth.Lapsed) || want == truth.Approved && !v.ExpiresAt.Equal(until) {
				return fmt.Errorf("after %d: told %s until %v, want %v until %v%v", n, v.Status, v.ExpiresAt, want, until, h[:n])
			}
		}
		return nil
	})
}

// dress adds what only shows.
func dress(r *rand.Rand, u Update) Update {
	u.Retryable, u.Traceparent = r.IntN(2) == 0, "00-"+u.ID
	u.Verification.AttemptRef = []string{"", "1", "2"}[r.IntN(3)]
	if u.Scope == CheckScope && u.Document.Type != "" && r.IntN(2) == 0 {
		u.Document.ID, u.Document.Subtype = "d"+u.ID, "passport"
	}
	return u
}
