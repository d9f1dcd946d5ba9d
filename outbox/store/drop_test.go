package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// dropped is how many records the part has that is dropped: some steps' worth.
const dropped = 5*dropRecords + 100

// droppable is a file, closed, in which part 3 has many records, beside others that have few.
func droppable(t *testing.T) (dir string) {
	t.Helper()
	dir = fastDir(t)
	s := mustOpen(t, Options{Dir: dir})
	if err := errors.Join(populate(s, 0, 2, 4), many(s.Part(3), "first"), s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func many(p *Store, body string) error {
	return p.update(func(tx *Tx) error {
		for i := range dropped {
			if err := tx.Bucket(namesOf(3)[1+i%3]).Put(fmt.Appendf(nil, "%06d", i), []byte(body)); err != nil {
				return err
			}
		}
		return tx.SetNumber([]byte("of"), 1)
	})
}

// held3 is what part 3 holds that somebody can read: how many records, and its number.
func held3(s *Store, body string) (records int, number int64, err error) {
	err = s.Part(3).View(func(tx *Tx) (err error) {
		for _, n := range namesOf(3)[1:] {
			if err := tx.Bucket(n).ForEach(func(k, v []byte) error {
				if string(v) != body {
					return fmt.Errorf("%s has %q: %q", n, k, v)
				}
				records++
				return nil
			}); err != nil {
				return err
			}
		}
		number, err = tx.Number([]byte("of"))
		return err
	})
	if errors.Is(err, errDropping) {
		err = nil
	}
	return records, number, err
}

// whole3 reports whether part 3 is there as it was; an error, if it is neither that nor gone, or if
// the others are not what they were.
func whole3(s *Store, body string) (bool, error) {
	records, number, err := held3(s, body)
	there := slices.Contains(s.Parts(), 3)
	switch {
	case err != nil:
	case there && (records != dropped || number != 1), !there && (records != 0 || number != 0):
		err = fmt.Errorf("it is there: %t, and has %d records of %d, and %d", there, records, dropped, number)
	default:
		err = s.read(func(bare *bolt.Tx) error { return populated(bare, 0, 2, 4) })
	}
	return there, err
}

// trace is what of part 3 is in a file that nobody has open: records, and whether it is marked.
func trace(t *testing.T, path string) (records int, marked bool) {
	t.Helper()
	db, err := openFile(path, 64<<30, true)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(bare *bolt.Tx) error {
		if !slices.Contains(partsOf(bare), 3) {
			return nil
		}
		marked = (&Tx{bolt: bare, part: 3}).presence() == dropping
		for _, n := range namesOf(3)[1:] {
			records += bare.Bucket(n.inFile()).Inspect().KeyN
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return records, marked
}

// A part that is dropped has gone, and the others have not; it can be written to anew.
func TestDrop(t *testing.T) {
	dir := droppable(t)
	steps := -1 << 30
	s, stop := start(t, Options{Dir: dir, Looked: func(n int) {
		if steps++; n > 3*dropRecords && steps > 0 {
			t.Errorf("a step has looked at %d records", n)
		}
	}})
	if there, err := whole3(s, "first"); !there || err != nil {
		t.Fatalf("before: %t, %v", there, err)
	}
	mustUpdate(t, s, func(*Tx) error { steps = 0; return nil })
	if err := s.Drop(t.Context(), 3); err != nil || steps < dropped/dropRecords+2 {
		t.Errorf("%v, in %d steps", err, steps)
	}
	if there, err := whole3(s, "first"); there || err != nil {
		t.Errorf("after: %t, %v", there, err)
	}
	if err := errors.Join(s.Drop(t.Context(), 3), s.Part(9).Drop(t.Context(), 9)); err != nil {
		t.Errorf("what is not there: %v", err)
	}
	if err := s.Drop(t.Context(), 0); err == nil {
		t.Error("the node's own part was dropped")
	}
	mustUpdate(t, s.Part(3), func(tx *Tx) error { return tx.Bucket(Subjects).Put([]byte("k"), []byte("second")) })
	if n, number, err := held3(s, "second"); n != 1 || number != 0 || err != nil {
		t.Errorf("anew it has %d records, and %d, %v", n, number, err)
	}
	stop()
	if err := examined(s.Path()); err != nil {
		t.Error(err)
	}
}

// dropCutOff is a file in which the drop of part 3 was begun, and given up after some steps.
func dropCutOff(t *testing.T, after int) (s *Store, stop func() (run, closed error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	steps := -1 << 30
	s, stop = start(t, Options{Dir: droppable(t), Looked: func(int) {
		if steps++; steps == after {
			cancel()
		}
	}})
	mustUpdate(t, s, func(*Tx) error { steps = 0; return nil })
	if err := s.Drop(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Fatalf("Drop = %v", err)
	}
	return s, stop
}

// Nobody can read a part of which some has gone, or write to it, nor does a copy of the file bring
// it back. Another drop goes on, and so does the next opening.
func TestDropCutOff(t *testing.T) {
	s, stop := dropCutOff(t, 3)
	check := func(what string, s *Store) {
		t.Helper()
		if there, err := whole3(s, "first"); there || err != nil {
			t.Errorf("%s: it is there: %t, %v", what, there, err)
		}
	}
	check("given up", s)
	if err := s.Part(3).Update(t.Context(), func(tx *Tx) error { return tx.Bucket(Subjects).Put([]byte("k"), nil) }); !errors.Is(err, errDropping) {
		t.Errorf("a write: %v", err)
	}
	backup := filepath.Join(t.TempDir(), "b.db")
	if _, err := s.Backup(backup); err != nil {
		t.Error(err)
	}
	if _, err := s.Compact(t.Context(), nil); err != nil {
		t.Error(err)
	}
	check("compacted", s)
	stop()
	for _, path := range []string{backup, s.Path()} {
		if n, marked := trace(t, path); n == 0 || n >= dropped || !marked {
			t.Errorf("of %d records there are %d, and it is marked: %t", dropped, n, marked)
		}
	}
	if err := Look(backup, func(tx *Tx) error { return nil }); err != nil {
		t.Error(err)
	}
	rehearsed, _, err := Rehearse(Options{Dir: s.o.Dir})
	if err != nil {
		t.Fatal(err)
	}
	check("rehearsed", rehearsed)
	rehearsed.Close()
	seen := map[uint8]bool{}
	if _, err := Examine(t.Context(), s.Path(), "", nil, func(part uint8) Auditor { return &marksAuditor{part, seen} }); err != nil || seen[3] || !seen[2] {
		t.Errorf("asked were the auditors of %v, %v", seen, err)
	}
	again := mustOpen(t, Options{Dir: s.o.Dir})
	check("opened", again)
	again.Close()
	if n, marked := trace(t, s.Path()); n != 0 || marked {
		t.Errorf("after an opening there are %d records, marked: %t", n, marked)
	}

	s, _ = dropCutOff(t, 3)
	if err := s.Drop(t.Context(), 3); err != nil {
		t.Error(err)
	}
	check("dropped again", s)
	mustUpdate(t, s.Part(3), func(tx *Tx) error { return tx.Bucket(Subjects).Put([]byte("k"), []byte("second")) })
}

// marksAuditor notes of which parts it is asked.
type marksAuditor struct {
	part uint8
	seen map[uint8]bool
}

func (a *marksAuditor) Record(Name, []byte, []byte) {}
func (a *marksAuditor) Problems() []string          { a.seen[a.part] = true; return nil }

// Where a copy is under way nothing is dropped, and while something is dropped nobody copies.
func TestDropOrCopy(t *testing.T) {
	s, _ := start(t, Options{Dir: droppable(t)})
	asked := 0
	if _, err := s.Compact(t.Context(), func(c Compaction) {
		if c.Phase == Checking || c.Phase == CatchingUp {
			asked++
			if err := s.Drop(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "being copied") {
				t.Errorf("while it is compacted: %v", err)
			}
		}
	}); err != nil || asked == 0 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	if there, err := whole3(s, "first"); !there || err != nil {
		t.Errorf("after: %t, %v", there, err)
	}
	if err := s.turn(t.Context(), s.beginDrop); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "b.db")
	if _, err := s.Backup(backup); !errors.Is(err, errDropping) || exists(backup) || exists(backup+".new") {
		t.Errorf("a backup meanwhile: %v", err)
	}
	if c, err := s.Compact(t.Context(), nil); !errors.Is(err, ErrNotCompacted) || c.Refused == "" {
		t.Errorf("a compaction meanwhile: %v", err)
	}
	s.endDrop()
	if _, err := s.Backup(backup); err != nil {
		t.Error(err)
	}
}

// dropOn is the one that is killed: it says of each transaction that it is about to be committed.
func dropOn(dir string) error {
	s, err := Open(Options{Dir: dir, Looked: func(int) { fmt.Fprintln(os.Stdout, "step") }})
	if err != nil {
		return err
	}
	go s.Run(context.Background())
	if err := s.Drop(context.Background(), 3); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "dropped")
	select {}
}

// A process is killed at any step of a drop: the next start has the part whole, or not at all, and
// nothing of it is left in the file.
func TestDropKill(t *testing.T) {
	from := droppable(t)
	middle, kept := 0, 0
	for life := range 2*(dropped/dropRecords) + 6 {
		dir := fastDir(t)
		copyFile(t, filepath.Join(dir, fileName), filepath.Join(from, fileName))
		cmd := command("dropping", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan() && lines.Text() != "dropped" && n < life/2; n++ {
		}
		cmd.Process.Kill()
		_ = cmd.Wait()
		path := filepath.Join(dir, fileName)
		n, marked := trace(t, path)
		if marked && n > 0 && n < dropped {
			middle++
		}
		s := mustOpen(t, Options{Dir: dir})
		there, err := whole3(s, "first")
		if there {
			kept++
		}
		if err != nil || there != (n == dropped && !marked) {
			t.Errorf("life %d: of %d records there were %d, marked: %t; then it is there: %t, %v", life, dropped, n, marked, there, err)
		}
		s.Close()
		if n, marked := trace(t, path); !there && n != 0 || marked {
			t.Errorf("life %d: %d records are left, marked: %t", life, n, marked)
		}
	}
	t.Logf("%d were killed in the middle, %d before it began", middle, kept)
	if middle == 0 {
		t.Error("nobody was killed in the middle: this shows nothing")
	}
}

// A page of a part that was dropped, come back into the one that was made anew, brings nothing back
// and takes nothing away: whatever the file says then, it is refused, or the part is what was written.
func TestDropStalePages(t *testing.T) {
	s, stop := dropCutOff(t, 5)
	older, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	stop()
	s = mustOpen(t, Options{Dir: s.o.Dir})
	if err := errors.Join(many(s.Part(3), "second"), s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	refused, marks := 0, 0
	for at := 2 * 4096; at+4096 <= min(len(older), len(whole)); at += 4096 {
		page := older[at : at+4096]
		if slices.Equal(whole[at:at+4096], page) {
			continue
		}
		marked := strings.Contains(string(page), string(droppedKey))
		if !marked && at/4096%17 != 0 {
			continue
		}
		if marked {
			marks++
		}
		dir := fastDir(t)
		bad := slices.Clone(whole)
		copy(bad[at:], page)
		if err := os.WriteFile(filepath.Join(dir, fileName), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Dir: dir})
		if err != nil {
			refused++
			continue
		}
		if there, err := whole3(s, "second"); !there || err != nil {
			t.Errorf("page %d as it once was: %t, %v", at/4096, there, err)
		}
		s.Close()
	}
	t.Logf("%d were refused, %d held the mark", refused, marks)
	if refused < 3 {
		t.Errorf("%d were refused: no page that is in use has been tried", refused)
	}
}
