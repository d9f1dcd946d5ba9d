package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Stall is how long a commit may take: as long as the ingress waits for one. Longer ones make the
// gateway not ready.
const Stall = 2 * time.Second

// IOError is the error that ended a Store: after it nothing can be written any more, and the
// process has to end. It wraps ErrUnknown and the cause.
type IOError struct {
	Path  string // of the database
	Call  string // the system call, as its manual page names it; "commit" where that is not known
	Errno string // such as EIO; "" where that is not known
	Err   error
}

// health is what a Store knows of its disk.
type health struct {
	failed  atomic.Bool // a commit has failed: the file is not closed cleanly any more
	failure atomic.Pointer[IOError]
	dead    chan struct{} // closed when failure is set
	epoch   time.Time     // of began, on the monotonic clock
	began   atomic.Int64  // when the commit under way began, in nanoseconds since epoch; 0: none is
	unclean bool          // the file was not closed cleanly before
}

// Error implements error.
func (f *IOError) Error() string {
	return fmt.Sprintf("%s: %s failed (%s): %s", f.Path, f.Call, f.Errno, f.Err)
}

// Unwrap gives the cause.
func (f *IOError) Unwrap() error { return f.Err }

// fail notes what ended the store, for whoever ends the process.
func (s *Store) fail(err error) error {
	f := &IOError{Path: s.path, Err: err}
	f.Call, f.Errno = callOf(err)
	if s.failure.CompareAndSwap(nil, f) {
		close(s.dead)
	}
	return f
}

// Failed is closed when an I/O error has ended the store; Failure then says which.
func (s *Store) Failed() <-chan struct{} { return s.dead }

// Failure is what has ended the store; nil: nothing.
func (s *Store) Failure() *IOError { return s.failure.Load() }

// callOf finds out which call failed, and how. bbolt hands on the error of pwrite as the standard
// library made it, that of fdatasync bare, and those of growing the file as text.
func callOf(err error) (call, errno string) {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		errno = unix.ErrnoName(number)
	}
	text := err.Error()
	var p *fs.PathError
	switch {
	case errors.As(err, &p) && p.Op == "write":
		call = "pwrite64"
	case errors.As(err, &p):
		call = p.Op
	case errno != "":
		call = "fdatasync"
	case strings.Contains(text, "file resize error: "):
		call = "ftruncate"
	case strings.Contains(text, "file sync error: "):
		call = "fsync"
	default:
		call = "commit"
	}
	for n := syscall.Errno(1); errno == "" && n < 134; n++ {
		if strings.HasSuffix(text, ": "+n.Error()) {
			errno = unix.ErrnoName(n)
		}
	}
	return call, errno
}

// Running is for how long the writer has been at the commit that is under way, its functions and
// looking at the disk included; 0: none is.
func (s *Store) Running() time.Duration {
	began := s.began.Load()
	if began == 0 {
		return 0
	}
	return time.Since(s.epoch) - time.Duration(began)
}

// busy notes that the writer may be waiting for the disk from now on, until done is called.
func (s *Store) busy() (done func()) {
	s.began.Store(int64(max(time.Since(s.epoch), 1)))
	return func() { s.began.Store(0) }
}

// Stopped reports whether Close would return at once: the writer has ended, or was never started.
// It waits a moment for one that is about to.
func (s *Store) Stopped() bool {
	if !s.running.Load() {
		return true
	}
	select {
	case <-s.stopped:
		return true
	case <-time.After(time.Second):
		return false
	}
}
