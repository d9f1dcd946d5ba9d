package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/outbox/store"
)

// TestVerifyFile: the trail of a backup is verified without a gateway, and with a head that was
// noted from the running one; one word that was changed in it by hand is named, and a file that a
// gateway has open is refused with what to do instead.
func TestVerifyFile(t *testing.T) {
	w := newWalk(t)
	for _, who := range []string{"ann", "bob"} {
		w.run(exitYes, "trigger sumsub-eu on_hold --subject "+who, "200 ok")
		w.told(who, "kyc.status.in_review")
		w.run(exitYes, `decide acme `+who+` --source sumsub-eu --check identity_verification --status approved --because "seen" --yes`, "decided: ")
	}
	noted := lastWord(w.run(exitYes, "audit verify", "nothing was changed"))
	dir := t.TempDir()
	copied := filepath.Join(dir, "countersign.db")
	w.run(exitYes, "backup "+copied)
	w.run(exitYes, "audit verify --file "+copied+" --head "+noted, "is a part of this chain", "nothing was changed")
	w.run(exitYes, "audit verify --file "+dir+" --json", `"ok":true`)

	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	changed := 0
	err = s.Update(t.Context(), func(tx *store.Tx) error {
		changed = 0
		b := tx.Bucket(store.Audit)
		return b.ForEach(func(k, v []byte) error {
			if changed > 0 || !bytes.Contains(v, []byte("decisions")) || !bytes.Contains(v, []byte(`"begun":1`)) {
				return nil
			}
			changed++
			return b.Put(bytes.Clone(k), bytes.Replace(v, []byte("operator"), []byte("impostor"), 1))
		})
	})
	cancel()
	if err := errors.Join(err, <-ended, s.Close()); err != nil || changed != 1 {
		t.Fatalf("%d changed, %v", changed, err)
	}
	w.run(exitNo, "audit verify --file "+copied, "changed: entry 2 is not what was written: its hash is another")
	w.run(exitNo, "audit verify --file "+copied+" --json", `"fault":"changed"`)
	out := w.run(exitNo, "audit verify --file "+copied+" --head "+noted, "changed: entry 2")
	if strings.Contains(out, "nothing was changed") {
		t.Errorf("it says both: %s", out)
	}
	w.run(exitNo, "audit verify --file "+filepath.Join(dir, "none.db"), "no such file")
	if err := os.WriteFile(filepath.Join(dir, "text.db"), []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(exitNo, "audit verify --file "+filepath.Join(dir, "text.db"), "text.db")
	w.run(exitNo, "audit verify --file data", "a gateway is running upon it")

	before := filepath.Join(dir, "before.db") // a backup that is restored takes up the chain where it was made, and says so
	w.run(exitYes, "backup "+before)
	earlier := lastWord(w.run(exitYes, "audit verify --file "+before))
	w.run(exitYes, "audit verify --head "+earlier, "is a part of this chain")
	later := lastWord(w.run(exitYes, "audit verify"))
	w.stop()
	w.run(exitYes, "restore --yes "+before)
	w.start()
	w.run(exitYes, "audit verify --head "+earlier, "is a part of this chain", "nothing was changed")
	w.run(exitNo, "audit verify --head "+later, "is NOT part of this chain")
	w.run(exitYes, "audit --call restore", "restore", "before.db  ok")
}
