package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// What differs is found by the counts and the checksums, whatever the reason.
func TestCopyProof(t *testing.T) {
	s, _ := start(t, Options{})
	for i := range 50 {
		mustUpdate(t, s, put(fmt.Sprint("k", i), fmt.Sprint("value ", i)))
	}
	f := func(want string, spoil func(*copier, *Tx) error) {
		t.Helper()
		c := &copier{from: s.begin, noted: &notes{}, path: filepath.Join(t.TempDir(), "copy.db"), goOn: s.open}
		err := newFile(c.path, nil)
		if err == nil {
			c.to, err = openCopy(c.path, 0, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.to.Close()
		if err := errors.Join(c.start(), c.all(t.Context())); err != nil {
			t.Fatal(err)
		}
		var j *joint
		if err := c.to.Update(func(tx *bolt.Tx) error { j = newJoint(tx, c.sums); return spoil(c, j.tx(s.part)) }); err != nil {
			t.Fatal(err)
		}
		j.into(c.sums)
		src, err := s.begin()
		if err != nil {
			t.Fatal(err)
		}
		defer src.Rollback()
		err = c.check(t.Context(), func(int64, int64) {})
		if err == nil {
			err = c.last(src, s.sums, nil)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("", func(*copier, *Tx) error { return nil })
	name := here(Journal).of(suitePart).String()
	f("bucket "+name+" has 49 records in the copy and should have 50", func(c *copier, tx *Tx) error {
		return errors.Join(tx.Bucket(here(Journal)).Delete([]byte("k7")), tx.sums.keep(tx))
	})
	f("bucket "+name+" has records in the copy that are not the last", func(c *copier, tx *Tx) error {
		return errors.Join(tx.Bucket(here(Journal)).Put([]byte("k7"), []byte("of another time")), tx.sums.keep(tx))
	})
	f("meta is not the same", func(c *copier, tx *Tx) error { return tx.Bucket(Meta).Put([]byte("m"), []byte("v")) })
	f("does not pass its check", func(c *copier, tx *Tx) error { // of which the sums know nothing
		return tx.bolt.Bucket(here(Journal).of(suitePart).inFile()).Delete([]byte("k7"))
	})
	f("does not pass its check", func(c *copier, tx *Tx) error {
		return tx.bolt.Bucket(here(Journal).of(suitePart).inFile()).Put([]byte("k7"), []byte("what no record is"))
	})
}

// While one process compacts, over and over, another never gets the file: not the one that has its
// name, and not one that has lost it.
func TestCompactKeepsTheLock(t *testing.T) {
	s, _ := start(t, Options{})
	litter(t, s, "deleted")
	var ended atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; !ended.Load(); n++ {
			if _, err := s.Compact(context.Background(), nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 8 {
		if said, code := runChild(t, "open", filepath.Dir(s.Path())); code != 3 || !strings.Contains(said, "locked by another process") {
			t.Errorf("exit %d: %s", code, said)
		}
	}
	ended.Store(true)
	wg.Wait()
	f, err := os.Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !named(f, s.Path()) {
		t.Error("the file that has the name is taken for another")
	}
	if _, err := s.Compact(t.Context(), nil); err != nil || named(f, s.Path()) {
		t.Errorf("the file that has lost its name is taken for the database: %v", err)
	}
}

// Where the name in the data directory is a link, the file that it leads to is compacted.
func TestCompactThroughALink(t *testing.T) {
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere.db")
	s := mustOpen(t, Options{Dir: dir})
	if err := errors.Join(s.Close(), os.Rename(s.Path(), other), os.Symlink(other, s.Path())); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other+compactSuffix, []byte("of one that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, stop := start(t, Options{Dir: dir})
	if exists(other + compactSuffix) {
		t.Error("what a killed one left is still there")
	}
	litter(t, s, "deleted")
	mustUpdate(t, s, put("k", "v"))
	if _, err := s.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, s, put("l", "w"))
	stop()
	if fi, err := os.Lstat(s.Path()); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", fi, err)
	}
	s = mustOpen(t, Options{Dir: dir})
	defer s.Close()
	if get(t, s, "k") != "v" || get(t, s, "l") != "w" {
		t.Error("it is not the file that was written to")
	}
}
