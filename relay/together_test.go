package relay

import (
	"testing"

	"countersign/kyc"
)

// inOne makes updates of one callback of these.
func inOne(us ...kyc.Update) []kyc.Update {
	for i := range us {
		us[i] = named(us[i])
	}
	for i := range us {
		us[i].Callback = kyc.Callback{ID: us[0].ID, Index: i, Count: len(us)}
	}
	return us
}

// TestOneCallback: what one callback brings is folded together and owes at most one change of the
// status (I2), also where a batch could have cut it, where it had to wait for its subject, and
// where only one of its records knows whose it is.
func TestOneCallback(t *testing.T) {
	hit := func(u kyc.Update) kyc.Update {
		u = because(u, kyc.SanctionsMatch)
		u.Check, u.Status, u.Terminal = kyc.Screening, kyc.Rejected, true
		return u
	}
	t.Run("an approval and a hit", func(t *testing.T) {
		g := start(t, acme())
		g.tell(inOne(said("ann", 1, kyc.Approved), hit(said("ann", 1, kyc.Rejected)))...)
		g.folded()
		records(t, g, "ann", "applied[1]", "applied[2 3]")
		tells(t, g, "ann", "kyc.check.clear", "kyc.check.failed", "kyc.status.rejected")
	})
	t.Run("one by one it would be approved first", func(t *testing.T) { // the control
		g := start(t, acme())
		g.tell(named(said("ann", 1, kyc.Approved)), named(hit(said("ann", 1, kyc.Rejected))))
		g.folded()
		tells(t, g, "ann", "kyc.check.clear", "kyc.status.approved", "kyc.check.failed", "kyc.status.rejected")
	})
	t.Run("held until its subject is known", func(t *testing.T) {
		g := start(t, acme())
		g.tell(inOne(unknown(1, kyc.Approved, "ref_1", "", ""), hit(unknown(1, kyc.Rejected, "ref_1", "", "")))...)
		g.folded()
		held(t, g, 2)
		if _, err := g.submit(submits("ann", "ref_1")); err != nil {
			t.Fatal(err)
		}
		tells(t, g, "ann", "kyc.status.pending", "kyc.check.clear", "kyc.check.failed", "kyc.status.rejected")
	})
	t.Run("one of them teaches the other's ref", func(t *testing.T) {
		g := start(t, acme())
		known := of(said("ann", 1, kyc.Approved), "persona", "ref_9", "", "")
		g.tell(inOne(hit(unknown(1, kyc.Rejected, "ref_9", "", "")), known)...)
		g.folded()
		held(t, g, 0)
		tells(t, g, "ann", "kyc.check.failed", "kyc.check.clear", "kyc.status.rejected")
	})
	t.Run("about two people", func(t *testing.T) {
		g := start(t, acme())
		g.tell(inOne(said("ann", 1, kyc.Approved), said("bob", 1, kyc.Rejected))...)
		g.folded()
		tells(t, g, "ann", "kyc.check.clear", "kyc.status.approved")
		tells(t, g, "bob", "kyc.check.failed", "kyc.status.rejected")
	})
	t.Run("after a restart in the middle", func(t *testing.T) {
		g := start(t, acme())
		g.tell(inOne(said("ann", 1, kyc.Approved), hit(said("ann", 1, kyc.Rejected)))...)
		g.restart()
		g.folded()
		tells(t, g, "ann", "kyc.check.clear", "kyc.check.failed", "kyc.status.rejected")
	})
	t.Run("more than a batch holds", func(t *testing.T) {
		g := newRig(t, acme())
		for range 333 { // three to a callback, so that a batch of 1,000 ends within one
			g.tell(inOne(said("ann", 1, kyc.Pending), said("ann", 1, kyc.InReview), said("ann", 1, kyc.Pending))...)
		}
		g.tell(inOne(said("bob", 1, kyc.Approved), hit(said("bob", 1, kyc.Rejected)), said("bob", 1, kyc.Pending))...)
		g.run()
		g.folded()
		tells(t, g, "bob", "kyc.check.clear", "kyc.check.failed", "kyc.status.rejected")
	})
}

// tells compares the types of what was owed about somebody.
func tells(t *testing.T, g *rig, id string, want ...string) {
	t.Helper()
	var got []string
	eventually(t, "it is told", func() bool {
		got = nil
		v, err := allOf(g.relay, "acme", id, true, Asked{})
		if err != nil {
			return false
		}
		for _, c := range v.Changes {
			got = append(got, c.Type)
		}
		return len(got) >= len(want)
	})
	same(t, id, got, want)
}
