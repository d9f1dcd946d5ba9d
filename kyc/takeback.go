package kyc

import "slices"

// TakeBack makes the state what without says: the same subject, folded anew from everything but
// records that were never about it. A word cannot be unsaid, but it can be left out. What partners
// were told stays told, and what they have to be told now, because it differs, is owed for the
// order u: of a check that is gone, that nothing stands there any more. without is used up; zero:
// nothing else was ever said.
func (s *State) TakeBack(without *State, u Update, p Policy) []Change {
	if !s.remember(&u) {
		return nil
	}
	s.last = max(s.last, momentOf(u.ReceivedAt), without.last)
	v := s.at(p, s.last)
	var owed []Change
	for i := range s.checks {
		if c := &s.checks[i]; c.owed && c.told.rank != rankNotStarted && without.same(s, i) < 0 {
			gone := told{check: i + 1}
			owed = append(owed, v.change(&u, &gone, gone.kind(c), v.names(i), c.told.rank.status()))
		}
	}
	now := *without
	now.partner, now.subject, now.livemode = s.partner, s.subject, s.livemode
	now.told, now.noticed, now.sequence, now.last = s.told, s.noticed, s.sequence, s.last
	now.told.check = 0
	for i := range s.checks {
		j := now.same(s, i)
		if j < 0 {
			continue
		}
		now.checks[j].told, now.checks[j].owed = s.checks[i].told, s.checks[i].owed
		if s.told.check == i+1 {
			now.told.check = j + 1
		}
	}
	now.remember(&u)
	*s = now
	v = s.at(p, s.last)
	f := v.subject()
	owed = append(owed, v.owe([]Update{u}, []Verdict{Applied}, &f)...)
	s.policy = p.Version
	return owed
}

// same is the place of another state's check in this one; -1: there is none.
func (s *State) same(o *State, i int) int {
	want := &o.checks[i]
	return slices.IndexFunc(s.checks, func(c check) bool {
		return c.typ == want.typ && c.scope == want.scope && c.part == want.part && s.sources[c.source].name == o.sources[want.source].name
	})
}
