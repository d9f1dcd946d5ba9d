package relay

import (
	"fmt"
	"strings"
	"testing"

	"countersign/kyc"
)

// laneParts are what ids are made of that could be taken for something else in a lane's name.
var laneParts = []string{"", "a", "b", "/", "t", ".", "..", "%01t", "\\x01t", "é", "\u200d", " "}

// TestLanesDiffer: no two subjects share a lane, and a lane says whose it is.
func TestLanesDiffer(t *testing.T) {
	whose := map[string]string{}
	ids := []string{}
	for _, x := range laneParts {
		for _, y := range laneParts {
			for _, z := range laneParts {
				ids = append(ids, x+y+z)
			}
		}
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if kyc.IDProblem(id) != "" || seen[id] {
			continue
		}
		seen[id] = true
		for _, partner := range []string{"a", "b", "a.b", "t"} { // of a-z 0-9 . - _
			for _, live := range []bool{true, false} {
				lane, name := laneOf(partner, id, live), fmt.Sprintf("%q %q %v", partner, id, live)
				if other, taken := whose[lane]; taken {
					t.Errorf("%s and %s share the lane %q", name, other, lane)
				}
				whose[lane] = name
				if p, i, l := splitLane(lane); p != partner || i != id || l != live {
					t.Errorf("the lane of %s is taken for that of %q %q %v", name, p, i, l)
				}
			}
		}
	}
	if len(whose) < 1000 {
		t.Errorf("only %d lanes were compared", len(whose))
	}
}

// FuzzLane: whatever an id is, it is refused, or its lane is its own.
func FuzzLane(f *testing.F) {
	for _, id := range []string{"ann", "ann\x01t", "a/b", "\x00", "ann\xff", "ann\ufffd", strings.Repeat("x", 257)} {
		f.Add("acme", id, true)
		f.Add("acme", id, false)
	}
	f.Fuzz(func(t *testing.T, partner, id string, live bool) {
		if strings.Contains(partner, "/") || kyc.IDProblem(partner) != "" || kyc.IDProblem(id) != "" {
			return
		}
		if p, i, l := splitLane(laneOf(partner, id, live)); p != partner || i != id || l != live {
			t.Errorf("the lane of %q %q %v is taken for that of %q %q %v", partner, id, live, p, i, l)
		}
	})
}

// TestHostileRecord: a record that names its subject with control characters, which nothing lets
// in, moves nobody under the name of another.
func TestHostileRecord(t *testing.T) {
	g := start(t, acme())
	g.tell(of(said("ann\x01t", 1, kyc.Approved), "persona", "ref_1", "", ""))
	g.folded()
	nobody(t, g, "ann")
	if _, err := g.relay.Subject("acme", "ann", false, Asked{}); err == nil {
		t.Error("ann's test state was moved by a live record")
	}
	held(t, g, 1)
}
