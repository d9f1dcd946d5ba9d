package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox"
	"countersign/outbox/store"
)

// TestEraseOrder: an erasure goes to every bucket that keeps something of somebody, each once.
func TestEraseOrder(t *testing.T) {
	var kept []string
	for _, k := range keepers() {
		if k.nobody == "" && k.owner == "" {
			kept = append(kept, k.name())
		}
	}
	goes := slices.Concat(namesOf(outboxErases...), eraseOrder)
	slices.Sort(kept)
	slices.Sort(goes)
	if !slices.Equal(kept, goes) {
		t.Errorf("an erasure goes to %v, and persons are kept in %v", goes, kept)
	}
}

// forms are the ways in which a word may stand in the file.
func forms(word string) [][]byte {
	quoted, _ := json.Marshal(word)
	return [][]byte{[]byte(word), quoted[1 : len(quoted)-1], []byte(strings.ToLower(word)), []byte(strings.ToUpper(word))}
}

// namedIn is how often a file names the person of these tests.
func namedIn(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forms(distinct) {
		n += bytes.Count(b, f)
	}
	return n
}

// others is what is kept of everybody else, as the API says it.
func (g *rig) others() string {
	g.t.Helper()
	v, err := g.relay.Subject("acme", "bob", true, Asked{Limit: 1000})
	if err != nil {
		g.t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// erase erases the person, and makes the file anew.
func (g *rig) erase(id string) Erasure {
	g.t.Helper()
	e, err := g.relay.Erase(g.t.Context(), "acme", id, true, "asked for by letter", func(Erasure) error { return nil })
	if err != nil {
		g.t.Fatal(err)
	}
	g.scrub()
	return e
}

// scrub makes the file anew, if somebody waits for that.
func (g *rig) scrub() {
	g.t.Helper()
	g.clock.advance(2 * forgetWait)
	list, _, err := g.relay.Unscrubbed()
	if err != nil || len(list) != 1 {
		g.t.Fatalf("unscrubbed: %v, %v", list, err)
	}
	began := g.clock.now()
	if os.Getenv("FAULT_LEAVEOUT") != "compaction" {
		if _, err := g.store.Compact(g.t.Context(), nil); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := g.relay.Scrubbed(g.t.Context(), list, began); err != nil {
		g.t.Fatal(err)
	}
}

// audited are the problems that the checks of the file find.
func (g *rig) audited() (problems []string) {
	g.t.Helper()
	auditors := []store.Auditor{NewAuditor(0), journal.NewAuditor(0), outbox.NewAuditor(0)}
	err := g.store.View(func(tx *store.Tx) error {
		for _, n := range store.Names() {
			if err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				for _, a := range auditors {
					a.Record(n, k, v)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, a := range auditors {
		problems = append(problems, a.Problems()...)
	}
	return problems
}

// gone holds that nothing names the person, and that all else is as it was.
func (g *rig) gone(id, others string) {
	g.t.Helper()
	backup := filepath.Join(g.t.TempDir(), "backup.db")
	if _, err := g.store.Backup(backup); err != nil {
		g.t.Fatal(err)
	}
	for what, path := range map[string]string{"the file": g.store.Path(), "a backup": backup} {
		if n := namedIn(g.t, path); n > 0 {
			g.t.Errorf("%s names the person %d times: %q", what, n, g.stillNamed())
		}
	}
	if g.log.has(distinct) {
		g.t.Error("the log names the person")
	}
	if is := g.others(); is != others {
		g.t.Errorf("others are not as they were:\n%s\n%s", is, others)
	}
	if _, err := g.relay.Subject("acme", id, true, Asked{}); !errors.Is(err, outbox.ErrNotFound) {
		g.t.Errorf("who was erased: %v", err)
	}
	if items, _, _ := g.journal.Items("", 10); len(items) != 1 || items[0].ID != "other" {
		g.t.Errorf("in quarantine: %v", items)
	}
}

// stillNamed are the records that name the person.
func (g *rig) stillNamed() (list []string) {
	_ = g.store.View(func(tx *store.Tx) error {
		for _, n := range store.Names() {
			_ = tx.Bucket(n).ForEach(func(k, v []byte) error {
				if bytes.Contains(k, []byte(distinct)) || bytes.Contains(v, []byte(distinct)) {
					list = append(list, n.String()+" "+string(k))
				}
				return nil
			})
		}
		return nil
	})
	return list
}

// TestErase: of a person of whom something stands in every bucket nothing is left in the file, in a
// backup and in the log; everybody else is as before; and a provider that speaks of them again
// begins a new life, above every number that was told.
func TestErase(t *testing.T) {
	g, id := remarkable(t)
	others := g.others()
	before := g.audited()
	w, err := g.relay.locate(t.Context(), "acme", id, true)
	if err != nil {
		t.Fatal(err)
	}
	told, err := w.upTo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	foreseen, err := g.relay.ForeseeErasure(t.Context(), "acme", id, true, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keepers() {
		if k.nobody == "" && k.owner == "" && k.bucket != store.Answers && foreseen.Counts[k.name()] == 0 {
			t.Errorf("a dry run finds nothing in %s", k.bucket)
		}
	}
	for _, because := range []string{"of user-" + strings.ToLower(distinct), "applicant-" + distinct + " asked"} {
		if _, err := g.relay.ForeseeErasure(t.Context(), "acme", id, true, because); !errors.Is(err, ErrNamed) {
			t.Errorf("because %q: %v", because, err)
		}
	}
	e := g.erase(id)
	t.Logf("erased: %v", e.Counts)
	g.gone(id, others)
	if is := g.audited(); len(is) > len(before) {
		t.Errorf("the file is not as it should be: %v, and was %v", is, before)
	}
	is, err := g.relay.ErasureOf("acme", id, true)
	if err != nil || is.Scrubbed.IsZero() || is.Digest != e.Digest {
		t.Errorf("how it stands: %+v, %v", is, err)
	}
	if _, err := g.relay.Erase(t.Context(), "acme", id, true, "", func(Erasure) error { return nil }); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("erased twice: %v", err)
	}
	g.restart()
	again := said(id, 1, kyc.Approved)
	g.tell(again)
	g.allFolded()
	v, err := g.relay.Subject("acme", id, true, Asked{})
	if err != nil || len(v.Changes) == 0 || v.Changes[len(v.Changes)-1].Sequence != told+1 {
		t.Errorf("a new life: %+v, %v; the first number is to be %d", v.Changes, err, told+1)
	}
}

// TestEraseCut: cut off after each of its transactions, an erasure goes on at the next start, and
// comes to the same.
func TestEraseCut(t *testing.T) {
	errCut := errors.New("cut off")
	for cuts := 1; ; cuts++ {
		g, id := remarkable(t)
		others := g.others()
		left := cuts
		g.relay.erased.cut = func() error {
			if left--; left == 0 {
				return errCut
			}
			return nil
		}
		_, err := g.relay.Erase(t.Context(), "acme", id, true, "", func(Erasure) error { return nil })
		if err == nil {
			if cuts < 5 {
				t.Errorf("it had %d transactions only", cuts)
			}
			return
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		g.restart()
		<-g.relay.Begun()
		g.scrub()
		g.gone(id, others)
		if t.Failed() {
			t.Fatalf("cut off after %d transactions", cuts)
		}
		g.close()
	}
}

// still is a log of which nothing is folded before it is let go.
type still struct {
	*journal.Bolt
	let   chan struct{} // closed: everything is
	asked chan struct{} // gets a value when somebody asks where the log ends
}

func (l *still) Tail(ctx context.Context, from journal.Position, fn func(context.Context, []journal.Record) error) error {
	return l.Bolt.Tail(ctx, from, func(ctx context.Context, rs []journal.Record) error {
		select {
		case <-l.let:
			return fn(ctx, rs)
		case <-ctx.Done():
			return nil
		}
	})
}

func (l *still) End(ctx context.Context) (journal.Position, error) {
	select {
	case l.asked <- struct{}{}:
	default:
	}
	return l.Bolt.End(ctx)
}

// TestEraseWaits: an erasure takes away what was accepted before it, so it waits until that is
// folded; what was folded and forgotten long ago it does not wait for.
func TestEraseWaits(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved), said("bob", 1, kyc.Approved))
	g.folded()
	l := &still{let: make(chan struct{}), asked: make(chan struct{}, 1)}
	g.wrap = func(b *journal.Bolt) readAndWritten { l.Bolt = b; return l }
	g.restart()
	<-g.relay.Begun()
	g.tell(said("ann", 2, kyc.Rejected))
	began, ended := make(chan int64, 1), make(chan error, 1)
	go func() {
		_, err := g.relay.Erase(t.Context(), "acme", "ann", true, "", func(Erasure) error { began <- g.position(); return nil })
		ended <- err
	}()
	select {
	case <-l.asked:
	case err := <-ended:
		t.Fatalf("it has not asked where the log ends: %v", err)
	}
	select {
	case at := <-began:
		t.Errorf("it begins when %d records are folded of %d", at, g.appended)
	case <-time.After(50 * time.Millisecond): // one that does not wait has begun by now
	}
	close(l.let)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	g.folded()
	if _, err := g.relay.Subject("acme", "ann", true, Asked{}); !errors.Is(err, outbox.ErrNotFound) {
		t.Errorf("who was erased: %v", err)
	}
	eventually(t, "the log forgets", func() bool { return g.journal.Backlog() == 0 })
	if _, err := g.relay.Erase(t.Context(), "acme", "bob", true, "", func(Erasure) error { return nil }); err != nil {
		t.Errorf("with nothing to wait for: %v", err)
	}
}

// TestEraseRestOnce: what a start would go on with, and what somebody has asked for again and had
// done before it came to that, is done once.
func TestEraseRestOnce(t *testing.T) {
	g := start(t, acme())
	g.tell(said("ann", 1, kyc.Approved))
	g.folded()
	errCut := errors.New("cut off")
	g.relay.erased.cut = func() error { return errCut }
	if _, err := g.relay.Erase(t.Context(), "acme", "ann", true, "", func(Erasure) error { return nil }); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	g.relay.erased.cut = nil
	list, err := g.relay.marks()
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	g.relay.folding.Lock() // as the erasure that was asked for again holds it
	ended := make(chan error, 1)
	go func() { ended <- g.relay.eraseRest(t.Context()) }()
	<-time.After(50 * time.Millisecond) // one that reads the marks too early has by now
	_, err = g.relay.carryOut(t.Context(), &list[0])
	g.relay.folding.Unlock()
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	if n := g.log.count("subject_erased"); n != 1 {
		t.Errorf("it was done %d times", n)
	}
}
