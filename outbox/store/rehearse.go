package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// freshRoom is what the files of a first start take, in bytes: the database as it is made, the key
// file and the token. A mark is made without any.
const freshRoom = 28 << 10

// Rehearse finds out whether Open would succeed, and changes nothing: neither a file nor a
// directory is made, mended or marked. The Store that it returns can be read and not written to;
// where there is no database yet it is an empty one. Its errors are those of Open. A file that is
// damaged, and that Open would mend, is no error: the Store is nil then, and the report says what
// is damaged.
//
// While it reads a file, and until Close, it holds the file as readers do: a gateway that runs has
// it already, so that it is left alone; one that starts meanwhile waits a second, or is refused.
func Rehearse(o Options) (*Store, *Report, error) {
	o.fill()
	path := filepath.Join(o.Dir, fileName)
	if err := rehearseDir(o.Dir); err != nil {
		return nil, nil, err
	}
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return rehearseFresh(o)
	}
	if err != nil {
		return nil, nil, err
	}
	found, unclean, err := inspect(o, path, func(ctx context.Context, o Options, path string, tick func(Progress)) (Report, error) {
		return o.Examine(ctx, path, "", tick)
	})
	if err != nil {
		return nil, nil, err
	}
	if err := rehearseTake(o, path); err != nil {
		return nil, found, err
	}
	if found != nil && !found.Sound() {
		return nil, found, roomToMend(o.Dir, path)
	}
	db, err := openFile(path, o.MaxSize, true)
	if err != nil {
		return nil, found, err
	}
	s, err := newStore(o, path, db, found, unclean)
	if err != nil {
		return nil, found, err
	}
	s.end() // whoever writes all the same is refused
	return s, found, nil
}

// Holder reports whether a process has the database of a data directory open, and its number, as it
// has noted that itself.
func Holder(dir string) (pid string, held bool) {
	f, err := os.Open(filepath.Join(dir, fileName)) //nolint:gosec // the operator's own data directory
	if err != nil {
		return "", false
	}
	defer f.Close() //nolint:errcheck // read only; closing gives the lock back
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		return "", false
	}
	tag, err := os.ReadFile(filepath.Join(dir, uncleanTag)) //nolint:gosec // as above
	if pid = string(bytes.TrimSpace(tag)); err != nil || pid == "" {
		pid = "unknown"
	}
	return pid, true
}

// rehearseDir finds out whether the data directory is there, or can be made, and can be written to.
func rehearseDir(dir string) error {
	full, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	at := full
	for ; ; at = filepath.Dir(at) {
		fi, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
			if _, lerr := os.Lstat(at); lerr == nil { // a link that leads nowhere: nothing can be made under its name
				return fmt.Errorf("make the data directory: %w", &fs.PathError{Op: "mkdir", Path: at, Err: syscall.EEXIST})
			}
			continue
		}
		if err == nil && !fi.IsDir() {
			err = &fs.PathError{Op: "mkdir", Path: at, Err: syscall.ENOTDIR}
		}
		if err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
		break
	}
	if err := onLocalDisk(at); err != nil {
		return err
	}
	if err := writable(at); err != nil {
		return fmt.Errorf("write to the data directory: %w", err)
	}
	return nil
}

// writable finds out whether files can be made in a directory, by making one that never has a name.
func writable(dir string) error {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return unix.Close(fd)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // a file system that has no such files
		err = unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // a gateway whose disk is full starts
		return &fs.PathError{Op: "create in", Path: dir, Err: err}
	}
	return nil
}

// rehearseTake finds out whether the file, and what is made beside it, could be written.
func rehearseTake(o Options, path string) error {
	for _, name := range []string{uncleanTag, uncleanTag + ".new"} {
		if fi, err := os.Lstat(filepath.Join(o.Dir, name)); err == nil && fi.IsDir() {
			return fmt.Errorf("mark the database as open: %w", &fs.PathError{Op: "open", Path: filepath.Join(o.Dir, name), Err: syscall.EISDIR})
		}
	}
	if err := plausible(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator's own data directory; nothing is written
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	return f.Close()
}

// rehearseFresh is a Store upon an empty database that is nowhere near the data directory.
func rehearseFresh(o Options) (_ *Store, _ *Report, err error) {
	path := filepath.Join(o.Dir, fileName)
	if entries, err := os.ReadDir(path + ".new"); err == nil && len(entries) > 0 {
		return nil, nil, fmt.Errorf("create the database: %w", &fs.PathError{Op: "remove", Path: path + ".new", Err: syscall.ENOTEMPTY})
	}
	if free, known := freeBytes(o.Dir); known && free < freshRoom {
		return nil, nil, fmt.Errorf("create %s: %w: %d bytes are free, and a first start needs %d", path, syscall.ENOSPC, free, freshRoom)
	}
	dir, err := os.MkdirTemp("", "countersign-check-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a place for an empty database: %w; set TMPDIR to a directory that can be written to", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // what is open stays readable
	empty := filepath.Join(dir, fileName)
	if err := create(empty); err != nil {
		return nil, nil, err
	}
	db, err := openFile(empty, o.MaxSize, true)
	if err != nil {
		return nil, nil, err
	}
	s, err := newStore(o, empty, db, nil, false)
	if err != nil {
		return nil, nil, err
	}
	s.end()
	return s, nil, nil
}

// freeBytes is the room on the disk of a directory, or of the nearest above it that is there.
func freeBytes(dir string) (free int64, known bool) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return 0, false
	}
	for ; ; full = filepath.Dir(full) {
		var st syscall.Statfs_t
		switch err := syscall.Statfs(full, &st); {
		case err == nil:
			return int64(st.Bavail) * int64(st.Bsize), true //nolint:gosec,unconvert // far below 2^63; their width differs between platforms
		case !errors.Is(err, fs.ErrNotExist) || full == filepath.Dir(full):
			return 0, false
		}
	}
}

// roomToMend refuses a damaged file beside which no whole one fits.
func roomToMend(dir, path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if free, known := freeBytes(dir); known && free < fi.Size() {
		return fmt.Errorf("repair %s: %w; the new file needs as much room as the damaged one takes: make some, or restore a backup", path, syscall.ENOSPC)
	}
	return nil
}

// closeRehearsal gives the file back as it was.
func (s *Store) closeRehearsal() error {
	s.end()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}

// ReadOnly reports whether this is a rehearsal's, which nothing may be written to.
func (s *Store) ReadOnly() bool { return s.db.IsReadOnly() }
