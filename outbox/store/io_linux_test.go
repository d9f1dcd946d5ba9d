package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func childOnLinux(mode, dir string) error {
	switch {
	case strings.HasPrefix(mode, "limit "):
		var limit syscall.Rlimit
		if _, err := fmt.Sscan(mode[len("limit "):], &limit.Cur); err != nil {
			return err
		}
		limit.Max = math.MaxUint64
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	case mode == "nobody":
		if os.Geteuid() == 0 {
			if err := syscall.Setuid(65534); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("no child mode %s", mode)
	}
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	_, err = OpenSealer(dir)
	return errors.Join(err, s.Close())
}

// swapFile puts another file under the database's descriptor. Reads go on, for they use the
// mapping; what is written meets that file: one opened for reading only refuses (EBADF), /dev/full
// is full (ENOSPC), and /dev/null takes everything and cannot flush it (EINVAL).
func swapFile(t *testing.T, path, with string) (restore func()) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range fds {
		if to, err := os.Readlink(link); err != nil || to != path {
			continue
		}
		var fd int
		fmt.Sscan(filepath.Base(link), &fd)
		saved, err := syscall.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		other, err := syscall.Open(with, openFlag(path, with), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(other, fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		syscall.Close(other)
		return func() {
			if err := syscall.Dup3(saved, fd, syscall.O_CLOEXEC); err != nil {
				t.Error(err)
			}
			syscall.Close(saved)
		}
	}
	t.Fatalf("%s is not open", path)
	return nil
}

func openFlag(path, with string) int {
	if with == path {
		return syscall.O_RDONLY | syscall.O_CLOEXEC
	}
	return syscall.O_WRONLY | syscall.O_CLOEXEC
}

// makeRoom leaves free pages in the file, so that the next writes need not make it larger.
func makeRoom(t *testing.T, s *Store) {
	t.Helper()
	mustUpdate(t, s, put("room", strings.Repeat("x", 1<<20)))
	mustUpdate(t, s, drop("room"))
	mustUpdate(t, s, put("before", "v"))
}

// Any error of a commit but a full disk ends the store: the outcome is unknown, and nothing is
// acknowledged after it.
func TestCommitErrorEndsTheStore(t *testing.T) {
	f := func(with string, want syscall.Errno) {
		t.Helper()
		reg := prometheus.NewPedanticRegistry()
		s, stop := start(t, Options{Metrics: reg})
		if with == "" {
			with = s.Path()
		}
		makeRoom(t, s)
		release := hold(s)
		answers := make(chan error, 10)
		for i := range 5 {
			go func() { answers <- s.Update(t.Context(), put(fmt.Sprint("u", i), "v")) }()
			s.Later(put(fmt.Sprint("l", i), "v"), func(err error) { answers <- err })
		}
		restore := swapFile(t, s.Path(), with)
		release()
		unknown := 0
		for range 10 {
			switch err := <-answers; {
			case err == nil:
				t.Error("acknowledged after a failed commit")
			case errors.Is(err, ErrUnknown):
				unknown++
			case !errors.Is(err, ErrClosed): // what came after the failed group was never tried
				t.Errorf("answered %v, want ErrUnknown or ErrClosed", err)
			}
		}
		refuses(t, s)
		if s.Admit() != nil {
			t.Error("an I/O error is taken for a full disk")
		}
		restore()
		run, closed := stop()
		if !errors.Is(run, ErrUnknown) || !errors.Is(run, want) || closed != nil {
			t.Errorf("Run = %v, Close = %v; want ErrUnknown, %v", run, closed, want)
		}
		if got := metric(t, reg, "store_commit_failures_total", "io"); got != 1 {
			t.Errorf("%v commits failed, want 1", got)
		}
		checked := false
		again := mustOpen(t, Options{Dir: s.o.Dir, Examine: func(ctx context.Context, path, to string, tick func(Progress)) (Report, error) {
			checked = true
			return Examine(ctx, path, to, tick)
		}})
		defer again.Close()
		if !checked {
			t.Error("the next start does not check the file")
		}
		if get(t, again, "before") != "v" {
			t.Error("what was acknowledged before is lost")
		}
	}
	f("", syscall.EBADF)
	f("/dev/null", syscall.EINVAL)
}

// Everybody in the group that failed is told that it is unknown, not that it was not done.
func TestWholeGroupIsUnknown(t *testing.T) {
	s, stop := start(t, Options{})
	makeRoom(t, s)
	restore := swapFile(t, s.Path(), "/dev/null")
	if err := s.Update(t.Context(), put("k", "v")); !errors.Is(err, ErrUnknown) || errors.Is(err, ErrFull) {
		t.Errorf("Update = %v, want ErrUnknown", err)
	}
	restore()
	if run, _ := stop(); !errors.Is(run, ErrUnknown) {
		t.Errorf("Run = %v, want ErrUnknown", run)
	}
}

// A full disk refuses and passes.
func TestDiskFull(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s, stop := start(t, Options{Metrics: reg})
	makeRoom(t, s)
	restore := swapFile(t, s.Path(), "/dev/full")
	told := make(chan error, 1)
	for i := range 3 {
		if err := s.Update(t.Context(), put("full", "v")); !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrUnknown) {
			t.Fatalf("Update %d = %v, want ErrFull", i, err)
		}
		if !errors.Is(s.Admit(), ErrFull) {
			t.Errorf("Admit = %v, want ErrFull", s.Admit())
		}
	}
	s.Later(put("full", "v"), func(err error) { told <- err })
	if err := <-told; !errors.Is(err, ErrFull) {
		t.Errorf("Later was told %v, want ErrFull", err)
	}
	if get(t, s, "before") != "v" || get(t, s, "full") != "" {
		t.Error("what was there cannot be read, or what was refused is there")
	}
	restore()
	mustUpdate(t, s, put("after", "v"))
	if err := s.Admit(); err != nil {
		t.Errorf("space has returned: Admit = %v", err)
	}
	if got := metric(t, reg, "store_commit_failures_total", "full"); got != 4 {
		t.Errorf("%v commits failed, want 4", got)
	}
	if run, closed := stop(); run != nil || closed != nil {
		t.Errorf("Run = %v, Close = %v", run, closed)
	}
	again := mustOpen(t, Options{Dir: s.o.Dir})
	defer again.Close()
	if get(t, again, "after") != "v" || get(t, again, "full") != "" {
		t.Error("after the reopening, something else is there than was acknowledged")
	}
}

// A first start that may write only so much of any file, and dies of it, is no obstacle to the
// next.
func TestFirstStartCutByWriting(t *testing.T) {
	for _, limit := range []int{0, 1, 16, 31, 4095, 4096, 10_000, 16_384, 20_000, 30_000, 40_000, 60_000} {
		dir := t.TempDir()
		said, code := runChild(t, fmt.Sprint("limit ", limit), dir)
		if code == 0 && limit < 20_000 {
			t.Errorf("limit %d: nothing was cut", limit)
		}
		s, err := Open(Options{Dir: dir})
		if err != nil {
			t.Errorf("limit %d: the start after it: %v; the one before said %s", limit, err, said)
			continue
		}
		mustSealer(t, dir)
		s.Close()
	}
}

// The key file is there as a whole or not at all, or a cut first start would be the last.
func TestKeyFileCutByWriting(t *testing.T) {
	for _, limit := range []int{1, 16, 31} {
		dir := t.TempDir()
		mustOpen(t, Options{Dir: dir}).Close()
		// Nothing larger than the mark of an open file may be written: it is there already as far
		// as the limit goes.
		runChild(t, fmt.Sprint("limit ", limit), dir)
		if _, err := OpenSealer(dir); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// No permission is no corruption, and no reason to move a good file aside.
func TestNotAllowedIsNotCorrupt(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Options{Dir: dir}).Close()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // or nobody could not come near
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(path, 0)); err != nil {
		t.Fatal(err)
	}
	said, code := runChild(t, "nobody", dir)
	if code != 3 || !strings.Contains(said, path) || !strings.Contains(said, "permission denied") || strings.Contains(said, ErrCorrupt.Error()) {
		t.Errorf("exit %d: %s", code, said)
	}
}
