package relay

import (
	"errors"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox"
)

// TestSubjectStatus: what those who poll are shown, and the change they were, or would have been,
// told of it.
func TestSubjectStatus(t *testing.T) {
	g := start(t, acme())
	f := func(when string, want kyc.Status, change string, sequence uint64) SubjectStatus {
		t.Helper()
		g.folded()
		v, err := g.relay.SubjectStatus("acme", "ann", true)
		if err != nil || v.Status != want {
			t.Fatalf("%s: %s, %v; want %s", when, v.Status, err, want)
		}
		switch c := v.Change; {
		case change == "" && c != nil, change != "" && c == nil:
			t.Errorf("%s: change %+v, want %q", when, c, change)
		case c != nil && (c.Type != change || c.Sequence != sequence):
			t.Errorf("%s: %s %d, want %s %d", when, c.Type, c.Sequence, change, sequence)
		case c != nil && v.Check != c.Check: // also where it says what is missing
			t.Errorf("%s: the check is %+v, and was told as %+v", when, v.Check, c.Check)
		}
		return v
	}
	if _, err := g.submit(submits("ann", "ref_1")); err != nil {
		t.Fatal(err)
	}
	if v := f("registered", kyc.Pending, "kyc.status.pending", 1); v.ChangedAt.IsZero() || len(v.Checks) != 0 {
		t.Errorf("%+v", v)
	}
	until := t0.AddDate(0, 0, 3)
	approved := said("ann", 1, kyc.Approved)
	approved.ExpiresAt = until // so a notice follows at once
	g.tell(named(approved))
	g.appended++
	v := f("approved", kyc.Approved, "kyc.status.approved", 3)
	if v.ChangedAt.IsZero() || v.ChangedAt.After(time.Now()) || !v.ApprovedAt.Equal(at(1)) || !v.ExpiresAt.Equal(until) || len(v.Checks) != 1 || v.Checks[0].Status != kyc.Approved {
		t.Errorf("%+v", v)
	}
	if n := len(g.view("acme", "ann", true).Changes); n != 4 {
		t.Errorf("%d changes: the notice is missing", n)
	}
	rejected := because(said("ann", 5, kyc.Rejected), kyc.DocumentUnreadable)
	rejected.Retryable = true
	g.tell(named(rejected))
	if v := f("rejected", kyc.Rejected, "kyc.status.rejected", 6); !v.Retryable || v.Terminal || len(v.Reasons) != 1 || v.Reasons[0].Code != kyc.DocumentUnreadable || v.Change.Subject.ID != "ann" {
		t.Errorf("%+v", v)
	}
	g.tell(named(rejected), said("ann", 4, kyc.Pending)) // nothing changes
	was := v.ChangedAt
	g.restart()
	v = f("later", kyc.Rejected, "kyc.status.rejected", 6)
	if !v.ChangedAt.After(was) {
		t.Errorf("it changed at %s and at %s", was, v.ChangedAt)
	}
	g.stopped()
	g.relay.Keep(Retention{Changes: time.Hour})
	g.clock.advance(2 * time.Hour)
	g.retained()
	if gone := f("when its change is no longer kept", kyc.Rejected, "", 0); !gone.ChangedAt.Equal(v.ChangedAt) {
		t.Errorf("it changed at %s", gone.ChangedAt)
	}
	for _, who := range []struct {
		partner, id string
		livemode    bool
	}{{"acme", "ann", false}, {"acme", "bob", true}, {"globex", "ann", true}} {
		if _, err := g.relay.SubjectStatus(who.partner, who.id, who.livemode); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("%v: %v", who, err)
		}
	}
}
