package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// create makes an empty database under another name, complete and synced, and only then gives it its name: a power cut leaves all or nothing.
func create(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err // there is one, or we may not look
	}
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) { // of a start that was cut off: it never held a record
		return fmt.Errorf("create the database: %w", err)
	}
	db, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return tx.Bucket(Meta).Put([]byte("schema"), []byte{SchemaVersion})
	})
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
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

// writeSynced writes a small file so that it is there after a power cut, or not at all.
func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator's own data directory
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// locked reports whether another process holds the file.
func locked(path string) bool {
	f, err := os.Open(path) //nolint:gosec // the operator's own data directory
	if err != nil {
		return false
	}
	defer f.Close()                                                   //nolint:errcheck // read only; closing gives the lock back
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor fits an int
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// plausible refuses what bbolt would panic on before it can say why: a file too short for its own pages.
func plausible(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("open %s: %w: not a regular file", path, ErrCorrupt)
	}
	if fi.Size() < 4*4096 {
		return fmt.Errorf("open %s: %w: %d bytes are too few; it is left as it is: restore a backup or move it aside", path, ErrCorrupt, fi.Size())
	}
	return nil
}

// The file systems on which neither flock nor a shared mapping can be trusted.
var remote = map[int64]string{0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x01021997: "9P", 0x517b: "SMB"}

func onLocalDisk(dir string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	if name, ok := remote[int64(st.Type)]; ok { //nolint:unconvert // its width differs between platforms
		return fmt.Errorf("%s is on %s, where locks and memory maps cannot be trusted; use a local disk", dir, name)
	}
	return nil
}

// measure looks at the size of the file and the space left on its disk, and decides whether new records are taken.
func (s *Store) measure() {
	fi, err := os.Stat(s.path)
	if err != nil {
		return // the file stays open; the next commit will tell
	}
	s.size.Store(fi.Size())
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.o.Dir, &st); err != nil {
		return
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:gosec,unconvert // far below 2^63; their width differs between platforms
	s.m.free.Set(float64(free))
	s.full.Store(s.short(fi.Size(), free))
}

// short: the file cannot grow any more and has few pages to reuse, or the disk is nearly used up.
func (s *Store) short(size, free int64) bool {
	if free < s.o.reserve() {
		return true
	}
	if size < s.o.MaxSize-s.o.reserve() {
		return false
	}
	st := s.db.Stats()
	return int64(st.FreePageN+st.PendingPageN)*int64(s.db.Info().PageSize) < s.o.reserve()
}

// Check opens the file for reading and walks every page. bbolt may panic on a corrupt file in a goroutine of its own, so call it in a process of its own where
// that matters (`countersign check --file`).
func Check(path string) error {
	db, err := open(path, 64<<30, true)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // read only
	return db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			return fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
		}
		return nil
	})
}

// Backup writes a copy of the whole database, as of now, to a new file and checks it by opening it. Writers go on meanwhile. It refuses to overwrite.
func (s *Store) Backup(path string) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	started := time.Now()
	err = s.db.View(func(tx *bolt.Tx) error {
		size, err = tx.WriteTo(io.Writer(f))
		return err
	})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, fmt.Errorf("backup to %s: %w", path, err)
	}
	if err := s.o.Verify(path); err != nil {
		return 0, fmt.Errorf("backup to %s does not pass its check: %w", path, err)
	}
	s.o.Logger.Info("backup_done", "path", path, "bytes", size, "took", time.Since(started))
	return size, nil
}
