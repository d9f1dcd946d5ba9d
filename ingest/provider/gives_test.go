package provider

import (
	"net/http"
	"slices"
	"testing"

	"countersign/kyc"
)

// TestGives holds what adapters say that they can approve, and whether they name a workflow, to
// their fixtures: no approval is of another type, and of each type there is an update.
func TestGives(t *testing.T) {
	for _, a := range All {
		declared := map[bool][]kyc.Check{true: a.Overall, false: a.Steps} // by whether it is overall
		seen := map[bool]map[kyc.Check]bool{true: {}, false: {}}
		workflow := false
		for _, u := range everyUpdate(t, a) {
			overall := u.Scope == kyc.Overall
			seen[overall][u.Check] = true
			workflow = workflow || u.Verification.Workflow != ""
			if u.Status == kyc.Approved && !slices.Contains(declared[overall], u.Check) {
				t.Errorf("%s approves a %s of scope %s, and does not say so", a.Name, u.Check, u.Scope)
			}
		}
		for overall, checks := range declared {
			for _, c := range checks {
				if !seen[overall][c] {
					t.Errorf("%s says that it can approve %s (overall: %v), and no fixture is about one", a.Name, c, overall)
				}
			}
		}
		if len(a.Overall) == 0 || workflow != (a.Workflow != "") {
			t.Errorf("%s: overall %v; workflow %q, and its updates name one: %v", a.Name, a.Overall, a.Workflow, workflow)
		}
	}
}

// everyUpdate is all that an adapter makes of its fixtures, callbacks and answers.
func everyUpdate(t *testing.T, a Adapter) (us []kyc.Update) {
	t.Helper()
	for _, f := range fixtures(t, a) {
		if r, err := a.Translate(http.Header{}, f.body, f.options); err == nil {
			us = append(us, r.Updates...)
		}
	}
	if a.API == nil {
		return us
	}
	for _, x := range questions(t, a) {
		if r, err := a.API.Read(x.q, x.answers, x.options); err == nil {
			us = append(us, r.Updates...)
		}
	}
	return us
}
