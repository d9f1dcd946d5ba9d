package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Backup writes a copy of the whole database, as of now, checks it by opening it, and only then
// gives it its name: under that name there is a whole, checked copy on stable storage, of mode
// 0600, or nothing. Writers go on meanwhile. It refuses to overwrite, also the unfinished copy
// (path.new) of a backup that was cut off.
func (s *Store) Backup(path string) (size int64, err error) {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return 0, fmt.Errorf("backup: %s: %w", path, syscall.EEXIST)
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("backup: %w", err)
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names it
	if errors.Is(err, fs.ErrExist) {
		return 0, fmt.Errorf("backup: %w; another backup is writing it, or one was cut off: then remove it", err)
	}
	if err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	started := time.Now()
	if size, err = s.copyTo(f); err == nil {
		if err = s.passes(tmp); err != nil {
			err = fmt.Errorf("it does not pass its check: %w", err)
		}
	}
	if err == nil {
		err = moveNew(tmp, path)
	}
	if err != nil {
		return 0, fmt.Errorf("backup to %s: %w", path, errors.Join(err, os.Remove(tmp))) // half a backup is none, and only takes room
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return 0, fmt.Errorf("backup to %s: it is written, and may be gone after a power cut: %w", path, err)
	}
	s.o.Logger.Info("backup_done", "path", path, "bytes", size, "took", time.Since(started))
	return size, nil
}

// passes examines a copy.
func (s *Store) passes(path string) error {
	rep, err := s.o.Examine(s.o.Context, path, "", nil)
	if err == nil && !rep.Sound() {
		err = fmt.Errorf("%w: %d damaged records", ErrCorrupt, total(rep.Damaged)+total(rep.Corrected))
	}
	return err
}

// whileOpen ends a copy when the store stops: the file is not closed before its last reader has
// ended, and a copy may take minutes.
type whileOpen struct {
	w       io.Writer
	stopped <-chan struct{}
}

// Write implements io.Writer.
func (w whileOpen) Write(b []byte) (int, error) {
	select {
	case <-w.stopped:
		return 0, ErrClosed
	default:
		return w.w.Write(b)
	}
}

// copyTo writes, syncs and closes.
func (s *Store) copyTo(f *os.File) (size int64, err error) {
	err = f.Chmod(0o600) // the umask may have taken that away
	if err == nil {
		err = s.db.View(func(tx *bolt.Tx) error {
			size, err = tx.WriteTo(whileOpen{f, s.stopped})
			return err
		})
	}
	return size, errors.Join(err, f.Sync(), f.Close())
}
