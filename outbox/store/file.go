package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// create makes an empty database under another name, complete and synced, and only then gives it its name: a power cut leaves all or nothing.
func create(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return err // there is one, or a link to where one should be, or we may not look
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

// writeSynced writes a small file so that after a power cut it is there as a whole, or not at all.
func writeSynced(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator's own data directory
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil { //nolint:gosec // the operator's own data directory
		return err
	}
	return syncDir(filepath.Dir(path))
}

// take opens the file for writing. It checks it first if it was not closed cleanly, and marks it as open before bbolt sees it: should bbolt crash on it, the next
// start checks it and names it.
func take(o Options, path string) (*bolt.DB, error) {
	warm(path)
	tag := filepath.Join(o.Dir, uncleanTag)
	holder, err := os.ReadFile(tag) //nolint:gosec // the operator's own data directory
	unclean := err == nil
	if unclean {
		if locked(path) {
			return nil, fmt.Errorf("%s: %w (pid %s); stop it, or use another data directory", path, ErrLocked, bytes.TrimSpace(holder))
		}
		if err := o.Verify(path); err != nil {
			return nil, fmt.Errorf("%s was not closed cleanly and does not pass its check; restore a backup or move it aside: %w", path, err)
		}
	}
	if err := writeSynced(tag, fmt.Appendf(nil, "%d\n", os.Getpid())); err != nil {
		return nil, fmt.Errorf("mark the database as open: %w", err)
	}
	db, err := open(path, o.MaxSize, false)
	if err != nil && !unclean && !errors.Is(err, ErrLocked) && !errors.Is(err, ErrCorrupt) { // if it is locked, the mark is its holder's
		err = errors.Join(err, os.Remove(tag))
	}
	return db, err
}

func open(path string, maxSize int64, readOnly bool) (db *bolt.DB, err error) {
	defer func() {
		if p := recover(); p != nil { // bbolt, where it reads its free pages; it may also panic in a goroutine of its own
			db, err = nil, fmt.Errorf("open %s: %w (%v); it is left as it is: restore a backup or move it aside", path, ErrCorrupt, p)
		}
	}()
	if err := plausible(path); err != nil {
		return nil, err
	}
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockWait, FreelistType: bolt.FreelistMapType, NoFreelistSync: true, ReadOnly: readOnly,
		InitialMmapSize: int(min(maxSize, 8<<30)), MaxSize: int(maxSize), NoSync: noFlush, NoGrowSync: noFlush,
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w; stop it, or use another data directory", path, ErrLocked)
	case errors.As(err, new(*os.PathError)): // no permission, no descriptors: nothing is wrong with the file
		return nil, fmt.Errorf("open %s: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w (%w); it is left as it is: restore a backup or move it aside", path, ErrCorrupt, err)
	}
	if err := schema(db); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return db, nil
}

func schema(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		m := tx.Bucket(Meta)
		if m == nil {
			return fmt.Errorf("%w: no meta bucket", ErrCorrupt)
		}
		if v := m.Get([]byte("schema")); len(v) != 1 || v[0] != SchemaVersion {
			return fmt.Errorf("schema version %v, but this program knows %d only; use the program that wrote it", v, SchemaVersion)
		}
		return nil
	})
}

// complete makes the buckets that a file of an earlier program lacks. It writes only if one is missing.
func complete(db *bolt.DB) error {
	missing := false
	err := db.View(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			missing = missing || tx.Bucket(b) == nil
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// warm reads the file once from front to back, if it fits into half of the free memory. Opening visits every page to find the free ones, in an order that a cold disk
// serves at a hundredth of its speed; a file in the page cache costs a fifth of a second for each gigabyte.
func warm(path string) {
	f, err := os.Open(path) //nolint:gosec // the operator's own data directory
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // read only
	fi, err := f.Stat()
	var si syscall.Sysinfo_t
	if err != nil || syscall.Sysinfo(&si) != nil {
		return
	}
	free := (si.Freeram + si.Bufferram) * uint64(si.Unit)
	if fi.Size() > int64(free/2) { //nolint:gosec // memory sizes are far below 2^63
		return
	}
	_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20)) // a bad page will be found by who needs it
}

// locked reports whether another process holds the file.
func locked(path string) bool {
	f, err := os.Open(path) //nolint:gosec // the operator's own data directory
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only; closing gives the lock back
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// plausible refuses what bbolt would panic on before it can say why: a file too short for its own pages.
func plausible(path string) error {
	fi, err := os.Stat(path) //nolint:gosec // the operator's own data directory
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
	var used int64
	if err := s.db.View(func(tx *bolt.Tx) error {
		used = tx.Size()
		return nil
	}); err != nil {
		return
	}
	s.full.Store(s.short(used, free))
}

// short: the disk is nearly used up, or what the pages in use may still grow by, and the free ones among them, is nearly used up. Free pages count half: they lie
// scattered, and a large record needs neighbours. The size of the file says nothing: it grows ahead of its use, and stops short of MaxSize by up to that much.
func (s *Store) short(used, free int64) bool {
	st := s.db.Stats()
	room := s.o.MaxSize - int64(s.db.AllocSize) - used + int64(st.FreePageN+st.PendingPageN)*s.page/2
	return free < s.o.reserve() || room < s.o.reserve()
}

// reserve is what is kept free for settling: a sixteenth of the size, at most 64 MiB.
func (o Options) reserve() int64 { return min(o.MaxSize/16, 64<<20) }

// Admit reports ErrFull when new records should be refused: the disk or the file is nearly used up. Settling what is owed goes on.
func (s *Store) Admit() error {
	if s.full.Load() {
		return ErrFull
	}
	return nil
}

// Check opens the file for reading and walks every page. bbolt may panic on a corrupt file in a goroutine of its own, so call it in a process of its own where
// that matters (`countersign check --file`).
func Check(path string) error {
	db, err := open(path, 64<<30, true)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // read only
	err = db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() { // to its end: the walk goes on in a goroutine
			if first == nil {
				first = err
			}
		}
		if first != nil {
			return first
		}
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return reach(tx, name, b) })
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
	}
	return nil
}

// reach reads the last byte of every value, which bbolt's check does not look at: one whose length is damaged may end beyond the file, and whoever read it later
// would fault.
func reach(tx *bolt.Tx, name []byte, b *bolt.Bucket) error {
	var sum byte
	err := b.ForEach(func(k, v []byte) error {
		if int64(len(k)+len(v)) > tx.Size() {
			return fmt.Errorf("bucket %s: a record of %d bytes in a file of %d", name, len(v), tx.Size())
		}
		if len(v) > 0 {
			sum += v[len(v)-1]
		}
		return nil
	})
	runtime.KeepAlive(sum)
	return err
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
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path))); err != nil {
		return 0, fmt.Errorf("backup to %s: %w", path, errors.Join(err, os.Remove(path))) // half a backup is none, and only takes room
	}
	if err := s.o.Verify(path); err != nil {
		return 0, fmt.Errorf("backup to %s does not pass its check: %w", path, err)
	}
	s.o.Logger.Info("backup_done", "path", path, "bytes", size, "took", time.Since(started))
	return size, nil
}
