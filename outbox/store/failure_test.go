package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"time"
)

// What ended the store is known by file, call and errno, to everybody who asks.
func TestFailure(t *testing.T) {
	f := func(with, call, errno string) {
		t.Helper()
		s, stop := start(t, Options{})
		if with == "" {
			with = s.Path()
		}
		makeRoom(t, s)
		if s.Failure() != nil {
			t.Errorf("before anything has failed: %v", s.Failure())
		}
		restore := swapFile(t, s.Path(), with)
		s.Update(t.Context(), put("k", "v"))
		<-s.Failed()
		restore()
		run, _ := stop()
		var lost *IOError
		if !errors.As(run, &lost) || lost != s.Failure() || lost.Path != s.Path() || lost.Call != call || lost.Errno != errno || !errors.Is(run, ErrUnknown) {
			t.Errorf("Run = %v, Failure = %+v; want %s, %s", run, s.Failure(), call, errno)
		}
	}
	f("", "pwrite64", "EBADF")
	f("/dev/null", "fdatasync", "EINVAL")
}

func TestCallOf(t *testing.T) {
	f := func(err error, call, errno string) {
		t.Helper()
		if c, e := callOf(fmt.Errorf("%w: %w", ErrUnknown, err)); c != call || e != errno {
			t.Errorf("callOf(%v) = %s, %s; want %s, %s", err, c, e, call, errno)
		}
	}
	f(&fs.PathError{Op: "write", Path: "x", Err: syscall.EIO}, "pwrite64", "EIO")
	f(&fs.PathError{Op: "truncate", Path: "x", Err: syscall.EDQUOT}, "truncate", "EDQUOT")
	f(syscall.EIO, "fdatasync", "EIO")
	f(errors.New("file resize error: truncate x: input/output error"), "ftruncate", "EIO") // as bbolt words them
	f(errors.New("file sync error: sync x: no space left on device"), "fsync", "ENOSPC")
	f(errors.New("file size too small 0"), "commit", "")
}

// Running grows while a commit does not end, and Stopped says that closing would wait for it.
func TestRunning(t *testing.T) {
	s, _ := start(t, Options{})
	mustUpdate(t, s, put("k", "v"))
	release := hold(s)
	first := s.Running()
	for s.Running() < first+10*time.Millisecond { // it never would, if it did not grow
	}
	if s.Stopped() {
		t.Error("a store with a commit under way says that it has stopped")
	}
	release()
	mustUpdate(t, s, put("k", "v"))
	for s.Running() != 0 {
	}
}
