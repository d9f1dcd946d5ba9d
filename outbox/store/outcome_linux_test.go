package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Of everything that can go wrong in a commit, only three errors say that nothing of it is there.
// What real file systems answer is in the power cuts (make powercut).
func TestOutcome(t *testing.T) {
	stats := func(spilled, written int64) (s bolt.TxStats) {
		s.IncSpill(spilled)
		s.IncWrite(written)
		return s
	}
	failed := func(op string, errno syscall.Errno) error { return &os.PathError{Op: op, Path: "x.db", Err: errno} }
	half := stats(4, 2)
	f := func(err error, s bolt.TxStats, blind bool, want error) {
		t.Helper()
		got := outcome(err, s, blind)
		if !errors.Is(got, want) || errors.Is(got, ErrFull) == errors.Is(got, ErrUnknown) || !strings.Contains(got.Error(), err.Error()) {
			t.Errorf("outcome(%v, %d of %d pages written) = %v, want %v", err, s.GetWrite(), s.GetSpill(), got, want)
		}
	}
	f(berrors.ErrMaxSizeReached, stats(0, 0), false, ErrFull)
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		f(failed("write", errno), half, false, ErrFull)
		f(failed("write", errno), stats(4, 0), false, ErrFull)
		f(failed("write", errno), stats(4, 4), false, ErrUnknown) // the meta page: half of it may be there, and be a valid one
		f(failed("write", errno), stats(0, 0), false, ErrUnknown) // the meta page of a commit without pages
		f(failed("write", errno), half, true, ErrUnknown)
		f(errors.New("file resize error: "+failed("truncate", errno).Error()), stats(4, 0), false, ErrFull)
		f(errors.New("file sync error: "+failed("sync", errno).Error()), stats(4, 0), false, ErrUnknown)
		f(fmt.Errorf("file sync error: %w", failed("sync", errno)), stats(4, 0), false, ErrUnknown)
		f(errno, stats(4, 4), false, ErrUnknown) // of fdatasync, before the meta page
		f(errno, stats(4, 5), false, ErrUnknown) // and after it
		f(errno, half, false, ErrUnknown)        // whatever the counts
		f(os.NewSyscallError("fdatasync", errno), half, false, ErrUnknown)
		f(failed("sync", errno), half, false, ErrUnknown)
		f(failed("close", errno), half, false, ErrUnknown)
		f(errors.New("mmap allocate error: "+errno.Error()), stats(3, 0), false, ErrUnknown)
	}
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.EBADF, syscall.EFBIG} {
		f(failed("write", errno), half, false, ErrUnknown)
		f(errors.New("file resize error: "+failed("truncate", errno).Error()), stats(4, 0), false, ErrUnknown)
		f(errno, half, false, ErrUnknown)
	}
}

// What bbolt counts is what notWritten takes it for, whatever a commit does to the tree: a page for
// each spilled node, and the meta page.
func TestWritesAreCounted(t *testing.T) {
	s, _ := start(t, Options{Dir: fastDir(t)})
	f := func(what string, fn func(*Tx) error) {
		t.Helper()
		mustUpdate(t, s, fn)
		mustUpdate(t, s, func(*Tx) error { return nil }) // answered after the writer has looked at the one before
		if s.blind {
			t.Fatalf("%s: bbolt counts other pages than it writes: a full disk can no longer be told from a commit whose outcome is unknown", what)
		}
	}
	f("nothing", func(*Tx) error { return nil })
	f("one", put("k", "v"))
	f("pages in a row", put("large", strings.Repeat("x", 3<<20)))
	f("many", func(tx *Tx) (err error) {
		for i := range 20_000 {
			err = errors.Join(err, put(fmt.Sprintf("k%06d", i), "some value")(tx))
		}
		return err
	})
	f("merges", func(tx *Tx) (err error) {
		for i := range 19_000 {
			err = errors.Join(err, drop(fmt.Sprintf("k%06d", i))(tx))
		}
		return err
	})
}

// Not being able to make the file larger is known by the words of bbolt, so they are held here. For
// want of room it is a full disk, else unknown.
func TestGrowingFails(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, stop := start(t, Options{Metrics: reg})
	mustUpdate(t, s, put("before", "v"))
	restore := swapFile(t, s.Path(), s.Path()) // opened for reading only: it cannot be made larger (EINVAL)
	err := s.Update(t.Context(), put("large", strings.Repeat("x", 4<<20)))
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), ErrUnknown.Error()+": file resize error: truncate ") {
		t.Errorf("Update = %v, want ErrUnknown and that it is about the size", err)
	}
	if notLarger(errors.New(strings.TrimPrefix(err.Error(), ErrUnknown.Error()+": "))) {
		t.Errorf("%v is taken for a want of room", err)
	}
	restore()
	if run, closed := stop(); !errors.Is(run, ErrUnknown) || closed != nil {
		t.Errorf("Run = %v, Close = %v", run, closed)
	}
}

// Opening after an unclean stop writes the meta pages again and changes nothing by it.
func TestRewriteMeta(t *testing.T) {
	s := mustOpen(t, Options{})
	path := s.Path()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := digest(t, path)
	if err := rewriteMeta(path, s.page); err != nil || digest(t, path) != before {
		t.Errorf("rewriteMeta = %v, or the file has changed", err)
	}
	if err := rewriteMeta(filepath.Join(t.TempDir(), "none"), s.page); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("rewriteMeta of no file = %v", err)
	}
	if err := rewriteMeta("/dev/null", s.page); err == nil {
		t.Error("rewriteMeta of an empty file succeeds")
	}
}
