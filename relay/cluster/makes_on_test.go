//go:build fault_cluster

package cluster

import "testing"

// makes has an owner make the mistake of its world.
func (n *node) makes() { n.p.mistake = n.w.make }

// TestMistakes: each is noticed.
func TestMistakes(t *testing.T) {
	for m, name := range map[mistake]string{
		unfencedMark: "unfencedMark", marksFirst: "marksFirst", clearsFirst: "clearsFirst", warmKeepsClean: "warmKeepsClean",
		deliversBeforeReceipts: "deliversBeforeReceipts", receivesEarly: "receivesEarly", receiptEndsAnyOrder: "receiptEndsAnyOrder",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all counts
			for seed := range histories(400) {
				if problems := history(t, seed, m, &all); len(problems) > 0 {
					t.Logf("in history %d: %s", seed, problems[0])
					return
				}
			}
			t.Errorf("nobody has noticed: %+v", all)
		})
	}
}
