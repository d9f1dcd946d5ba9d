package relay

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"countersign/kyc"
	"countersign/outbox/store"
)

// TestRestore: a backup does not know what was told after it was made. A number once told is never
// used for another change all the same, by whoever drops what it has seen.
func TestRestore(t *testing.T) {
	p := newPartner(t, ok)
	g := start(t, acme(p.endpoint("a")))
	g.tell(said("ann", 1, kyc.InReview), said("ann", 2, kyc.Approved), said("bob", 1, kyc.Approved))
	g.settled()
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := g.store.Backup(backup); err != nil {
		t.Fatal(err)
	}
	g.tell(said("ann", 3, kyc.Suspended), said("carl", 1, kyc.Approved)) // told, and unknown to the backup
	g.settled()
	if _, err := store.Restore(t.Context(), backup, g.dir, RaiseFloor); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("while it runs: %v", err)
	}
	g.close()
	kept, err := store.Restore(t.Context(), backup, g.dir, RaiseFloor)
	if err != nil || kept == "" {
		t.Fatalf("Restore = %q, %v", kept, err)
	}
	g.appended = 3 // what the backup knows
	g.open()
	g.run()
	g.tell(said("ann", 4, kyc.Rejected), said("carl", 2, kyc.Rejected), said("ann", 5, kyc.Approved))
	g.settled()
	type number struct {
		subject string
		seq     uint64
	}
	told, last := map[number]string{}, map[string]string{}
	for _, h := range p.seen() {
		var m struct {
			Data struct {
				ID       string
				Sequence uint64
				Status   string
				Subject  struct{ ID string }
			}
		}
		if err := json.Unmarshal([]byte(h.body), &m); err != nil {
			t.Fatal(err)
		}
		n := number{m.Data.Subject.ID, m.Data.Sequence}
		if id := told[n]; id != "" && id != m.Data.ID {
			t.Errorf("%v was %s and is %s", n, id, m.Data.ID)
		}
		told[n], last[n.subject] = m.Data.ID, m.Data.Status
	}
	if last["carl"] != "rejected" || len(told) < 8 {
		t.Errorf("told %v", told)
	}
	inOrder(t, p)
	g.wound(store.Subjects, []byte("acme/ann"))
	g.tell(said("ann", 6, kyc.Approved))
	g.folded()
	isAside(g, "ann")
	if out, err := g.relay.Rebuild(t.Context(), Rebuild{Partner: "acme", Subject: "ann", Livemode: true, Actor: "ops"}); err != nil || !out.Folded {
		t.Errorf("a history that goes on after a restore is not whole: %+v, %v", out, err)
	}
}
