package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// leaky makes a file with many free pages and a thousand records, and closes it.
func leaky(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, stop := start(t, Options{Dir: dir})
	writeRecords(t, s, 0, 4000)
	mustUpdate(t, s, func(tx *Tx) error {
		for i := range 4000 {
			if i%4 == 0 {
				continue
			}
			if err := tx.Bucket(here(Journal)).Delete(freeKey(i)); err != nil {
				return err
			}
		}
		return nil
	})
	ended(t, stop)
	return dir
}

// ended stops a store, which says nothing against it.
func ended(t *testing.T, stop func() (run, closed error)) {
	t.Helper()
	if run, closed := stop(); run != nil || closed != nil {
		t.Fatal(run, closed)
	}
}

func freeKey(i int) []byte { return fmt.Appendf(nil, "%06d", i) }

func freeValue(i int) []byte { return fmt.Appendf(make([]byte, 0, 1100), "%01100d", i) }

func writeRecords(t *testing.T, s *Store, from, to int) {
	t.Helper()
	mustUpdate(t, s, func(tx *Tx) error {
		for i := from; i < to; i++ {
			if err := tx.Bucket(here(Journal)).Put(freeKey(i), freeValue(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// intact reports what is wrong with a file of leaky upon which others were written since.
func intact(s *Store, to int) error {
	return s.View(func(tx *Tx) error {
		for i := range to {
			if i < 4000 && i%4 != 0 {
				continue
			}
			v, err := tx.Bucket(here(Journal)).Get(freeKey(i))
			if err != nil || string(v) != string(freeValue(i)) {
				return fmt.Errorf("record %d is %d bytes, %w", i, len(v), err)
			}
		}
		return nil
	})
}

// metaOf is the newest meta page of a file.
func metaOf(t *testing.T, path string) metaPage {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, ok := newestMeta(f)
	if !ok {
		t.Fatal("no meta page is sound")
	}
	return m
}

// TestFreePagesAreListed: a file that was closed cleanly is opened by the list of its free pages,
// and they are those that a visit of every page finds.
func TestFreePagesAreListed(t *testing.T) {
	dir := leaky(t)
	path := filepath.Join(dir, fileName)
	m := metaOf(t, path)
	if m.free == noList || !listsFree(path) {
		t.Fatalf("no list, or one that is not trusted: page %d", m.free)
	}
	s, stop := start(t, Options{Dir: dir})
	listed := s.db.Stats().FreePageN
	if is := metaOf(t, path); is.tx != m.tx || is.free != m.free {
		t.Errorf("the list is struck as the file is opened")
	}
	writeRecords(t, s, 4000, 4001)
	if is := metaOf(t, path); is.free != noList {
		t.Errorf("a commit has written a list, at page %d", is.free)
	}
	ended(t, stop)
	if err := os.Remove(freeFile(path)); err != nil {
		t.Fatal(err)
	}
	s, stop = start(t, Options{Dir: dir})
	defer ended(t, stop)
	if visited := s.db.Stats().FreePageN; listed < 100 || visited < listed-20 || visited > listed+20 {
		t.Errorf("%d free pages are listed, and %d found", listed, visited)
	}
	if err := intact(s, 4001); err != nil {
		t.Error(err)
	}
}

// TestWrongList: a list that says what is in use to be free, or is not the one that was written as
// the file was closed, is not believed. Believed, it would have what is there written over: return
// true from trusted and see.
func TestWrongList(t *testing.T) {
	f := func(name string, damage func(t *testing.T, path string, m metaPage)) {
		t.Run(name, func(t *testing.T) {
			dir := leaky(t)
			path := filepath.Join(dir, fileName)
			m := metaOf(t, path)
			damage(t, path, m)
			if listsFree(path) {
				t.Error("the list is trusted")
			}
			s, stop := start(t, Options{Dir: dir, ExamineBelow: 1})
			if is := metaOf(t, path); is.tx != m.tx || is.free != noList {
				t.Errorf("the newest commit is %d with a list at page %d, want %d and none", is.tx, is.free, m.tx)
			}
			writeRecords(t, s, 4000, 8000)
			if err := intact(s, 8000); err != nil {
				t.Error(err)
			}
			ended(t, stop)
			if rep, err := Examine(t.Context(), path, "", nil); err != nil || !rep.Sound() {
				t.Errorf("examined: %+v, %v", rep, err)
			}
			if !listsFree(path) {
				t.Error("the next end does not list the free pages")
			}
		})
	}
	used := func(t *testing.T, path string, m metaPage) {
		t.Helper()
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], m.root)
		writeAt(t, path, b[:], int64(m.free)*m.page+pageHead) // the first page that it lists
	}
	f("a page in use is listed", used)
	f("a bit of it is another", func(t *testing.T, path string, m metaPage) {
		t.Helper()
		flip(t, path, int64(m.free)*m.page+pageHead+8)
	})
	f("it is longer than the file", func(t *testing.T, path string, m metaPage) {
		t.Helper()
		writeAt(t, path, []byte{0xff, 0xff, 0xff}, int64(m.free)*m.page+12)
	})
	f("the description is missing, as after a crash before it was written", func(t *testing.T, path string, _ metaPage) {
		t.Helper()
		if err := os.Remove(freeFile(path)); err != nil {
			t.Fatal(err)
		}
	})
	f("the description is damaged", func(t *testing.T, path string, _ metaPage) {
		t.Helper()
		flip(t, freeFile(path), 30)
	})
	f("the description is empty", func(t *testing.T, path string, _ metaPage) {
		t.Helper()
		if err := os.Truncate(freeFile(path), 0); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMetaPagesStandInForEachOther: with the newest meta page lost, the one before says the same,
// and has no list.
func TestMetaPagesStandInForEachOther(t *testing.T) {
	dir := leaky(t)
	path := filepath.Join(dir, fileName)
	m := metaOf(t, path)
	flip(t, path, m.at+20)
	s, stop := start(t, Options{Dir: dir, ExamineBelow: 1})
	if is := metaOf(t, path); is.tx != m.tx-1 || is.free != noList {
		t.Errorf("the newest commit is %d with a list at %d", is.tx, is.free)
	}
	writeRecords(t, s, 4000, 6000)
	if err := intact(s, 6000); err != nil {
		t.Error(err)
	}
	ended(t, stop)
}

// TestNoRoomForList: a file without room for its list is closed cleanly all the same.
func TestNoRoomForList(t *testing.T) {
	dir := leaky(t)
	path := filepath.Join(dir, fileName)
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, Options{Dir: dir, MaxSize: fi.Size()})
	for i := 4000; ; i++ {
		err := s.Update(t.Context(), func(tx *Tx) error { return tx.Bucket(here(Journal)).Put(freeKey(i), make([]byte, 30_000)) })
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil || i > 14_000 {
			t.Fatal(i, err)
		}
	}
	ended(t, stop)
	if _, err := os.Stat(filepath.Join(dir, uncleanTag)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the end is not clean: %v", err)
	}
	_, stop = start(t, Options{Dir: dir, MaxSize: fi.Size(), ExamineBelow: 1})
	ended(t, stop)
}

func writeAt(t *testing.T, path string, b []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, at)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	b := make([]byte, 1)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.ReadAt(b, at)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	writeAt(t, path, []byte{b[0] ^ 1}, at)
}
