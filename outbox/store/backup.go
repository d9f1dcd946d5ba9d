package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Backup writes a copy of all records, as of an instant before it ends, has it examined, and only
// then gives it its name: under that name there is a whole, checked copy on stable storage, of mode
// 0600, or nothing. It is made record by record, so nothing is in it that was deleted before it
// began, and no free page. Writers go on meanwhile. It refuses to overwrite, also the unfinished
// copy (path.new) of a backup that was cut off, and to begin while a part is dropped.
func (s *Store) Backup(path string) (size int64, err error) {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return 0, fmt.Errorf("backup: %s: %w", path, syscall.EEXIST)
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("backup: %w", err)
	}
	tmp := path + ".new"
	if err := newFile(tmp, nil); errors.Is(err, fs.ErrExist) {
		return 0, fmt.Errorf("backup: %w; another backup is writing it, or one was cut off: then remove it", err)
	} else if err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	started := time.Now()
	size, err = s.copyTo(tmp)
	if err == nil {
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

// copyTo writes all records into a new file, flushes and closes it. It holds what the database held
// at one instant near the end, which the writer's sums of that instant prove.
func (s *Store) copyTo(path string) (size int64, err error) {
	if !s.ending.TryRLock() {
		return 0, ErrClosed
	}
	defer s.ending.RUnlock()
	s.backup(1)
	defer s.backup(-1)
	plan := s.plan()
	c := &copier{from: s.begin, noted: &notes{}, path: path, goOn: s.open}
	if c.to, err = openCopy(path, 0, plan.File); err != nil {
		return 0, err
	}
	ctx := context.Background() // s.open ends it
	if err = s.turn(ctx, s.follow(c.noted)); err == nil {
		err = protectCopy(func() error { return s.copyAll(ctx, c) })
		_ = s.turn(ctx, s.leave(c.noted)) // if not, it has stopped
	}
	if err == nil {
		err = c.finish(&size)
	}
	if err = errors.Join(err, c.to.Close()); err != nil {
		return 0, err
	}
	return size, cutOff(path, size)
}

// copyAll copies up to one instant.
func (s *Store) copyAll(ctx context.Context, c *copier) error {
	if err := errors.Join(c.start(), c.all(ctx)); err != nil {
		return err
	}
	if err := c.step(ctx); err != nil {
		return err
	}
	var changed []string
	var src *bolt.Tx
	var want partSums
	err := s.turn(ctx, func() (err error) {
		if changed, err = c.noted.take(); err == nil {
			src, err = s.begin()
		}
		want = maps.Clone(s.sums)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(c.last(src, want, changed), src.Rollback())
}

// open says that the store has stopped: a copy may take minutes, and the file is not closed before
// it has ended.
func (s *Store) open() error {
	select {
	case <-s.stopped:
		return ErrClosed
	default:
		return nil
	}
}

func (s *Store) backup(n int) {
	s.state.Lock()
	s.backing += n
	s.state.Unlock()
}

// cutOff makes a file end where its pages do, and flushes it.
func cutOff(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}
