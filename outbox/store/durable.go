package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// WriteFile writes a small file with mode 0600, whatever the umask, so that after a power cut it is
// there as a whole, or not at all. It takes the place of one that is there.
func WriteFile(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator's own data directory
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil { //nolint:gosec // the operator's own data directory
		return err
	}
	return syncDir(filepath.Dir(path))
}

// mark makes the file that stands while a process has the database open, with its number in it. On
// a full disk one that is there is left as it is, and one without a number is made, which takes no
// room: a gateway whose disk is full starts, and delivers what is owed.
func mark(tag string) error {
	err := WriteFile(tag, fmt.Appendf(nil, "%d\n", os.Getpid()))
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	f, err := os.OpenFile(tag, os.O_WRONLY|os.O_CREATE, 0o600) //nolint:gosec // the operator's own data directory
	if err != nil {
		return err
	}
	if err := os.Remove(tag + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close(), syncDir(filepath.Dir(tag)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's own data directory
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// makeDir makes a directory with mode 0700, and those above it that are missing. When it returns, a
// power cut cannot take it away any more: the directories that hold the names are synced, also when
// an earlier start was ended between the two. Where the one above was made by somebody else and may
// not be read, it is left to them.
func makeDir(dir string, sync func(string) error) error {
	full, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	above := []string{filepath.Dir(full)}
	for d := filepath.Dir(full); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // the operator's own data directory
			break
		}
		above = append(above, filepath.Dir(d))
	}
	_, err = os.Stat(full) //nolint:gosec // as above
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(full, 0o700); err != nil { //nolint:gosec // as above
		return fmt.Errorf("make the data directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(full, fileName)); err == nil { //nolint:gosec // as above
		return nil // it held a database before: whoever made that has synced this
	}
	for _, d := range slices.Backward(above) {
		if err := sync(d); err != nil && (fresh || !errors.Is(err, fs.ErrPermission)) {
			return fmt.Errorf("make the data directory: %w", err)
		}
	}
	return nil
}

// moveNew gives a file its final name and never takes the place of another: errors then wrap
// fs.ErrExist.
func moveNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) { // a file system, or a kernel, that cannot
		if err := os.Link(from, to); err != nil {
			return err
		}
		return os.Remove(from)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
