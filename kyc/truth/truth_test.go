package truth

import "testing"

func TestScenarios(t *testing.T) {
	for _, s := range Scenarios() {
		st, until := s.History.Tell(s.Policy, s.Now)
		if (st == s.Want) == s.Not || s.Dated && !until.Equal(s.Until) {
			t.Errorf("%s: %v until %v, want %v (not: %v) until %v", s.Name, st, until, s.Want, s.Not, s.Until)
		}
	}
	if n := len(Scenarios()); n < 400 {
		t.Errorf("%d scenarios: some are lost", n)
	}
}
