package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// create makes an empty database under another name, complete and synced, and only then gives it
// its name: a power cut leaves all or nothing.
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
	err = db.Update(initialise)
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// initialise makes the buckets of an empty file.
func initialise(bare *bolt.Tx) error {
	for _, n := range Names() {
		if _, err := bare.CreateBucketIfNotExists(n.inFile()); err != nil {
			return err
		}
	}
	tx := &Tx{bolt: bare, sums: &sums{moved: true}}
	if err := tx.sums.keep(tx); err != nil {
		return err
	}
	return tx.Bucket(Meta).Put(schemaKey, []byte{SchemaVersion})
}

var schemaKey = []byte("schema")

// take opens the file for writing. It examines it first if it was not closed cleanly, or is not
// large (opening visits every page as it is), and marks it as open before bbolt sees it: should
// bbolt crash on it, the next start examines it and names it.
func take(o Options, path string) (db *bolt.DB, found *Report, err error) {
	listed := listsFree(path)
	if !listed {
		warm(path)
	}
	tag := filepath.Join(o.Dir, uncleanTag)
	found, unclean, err := inspect(o, path, mend)
	if err != nil {
		return nil, nil, err
	}
	if err := mark(tag); err != nil {
		return nil, nil, fmt.Errorf("mark the database as open: %w", err)
	}
	db, err = openFile(path, o.MaxSize, false)
	if err == nil {
		_ = os.Remove(freeFile(path)) // the first commit strikes what it describes
	}
	if err == nil && listed && found == nil {
		go warm(path) // nobody waits for it, and who will read what lies there is glad of it
	}
	if err != nil && !unclean && !errors.Is(err, ErrLocked) && !errors.Is(err, ErrCorrupt) { // if it is locked, the mark is its holder's
		err = errors.Join(err, os.Remove(tag))
	}
	return db, found, err
}

// inspect refuses a file that another process holds, and examines one that was not closed cleanly,
// or is not large.
func inspect(o Options, path string, with func(context.Context, Options, string, func(Progress)) (Report, error)) (found *Report, unclean bool, err error) {
	holder, err := os.ReadFile(filepath.Join(o.Dir, uncleanTag))
	if unclean = err == nil; unclean && locked(path) {
		return nil, true, fmt.Errorf("%s: %w (pid %s); stop it, or use another data directory", path, ErrLocked, bytes.TrimSpace(holder))
	}
	fi, err := os.Stat(path)
	if err != nil {
		return nil, unclean, fmt.Errorf("open %s: %w", path, err)
	}
	if !unclean && (!fi.Mode().IsRegular() || fi.Size() > o.ExamineBelow || locked(path)) {
		return nil, false, nil
	}
	rep, err := with(o.Context, o, path, o.Checked)
	if err != nil && unclean {
		err = fmt.Errorf("%s was not closed cleanly, and does not pass its check: %w", path, err)
	}
	if err != nil {
		return nil, unclean, err
	}
	return &rep, unclean, nil
}

func openFile(path string, maxSize int64, readOnly bool) (db *bolt.DB, err error) {
	defer func() {
		if p := recover(); p != nil { // bbolt, where it reads its free pages; it may also panic in a goroutine of its own
			db, err = nil, fmt.Errorf("open %s: %w (%v); it is left as it is: restore a backup or move it aside", path, ErrCorrupt, p)
		}
	}()
	if err := plausible(path); err != nil {
		return nil, err
	}
	var checked uint64
	var sound bool
	if !readOnly {
		if checked, sound, err = checkFree(path); err != nil {
			return nil, opening(path, err)
		}
	}
	var f *os.File
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
			f, err = os.OpenFile(name, flag, mode) //nolint:gosec // the operator's own data directory
			return f, err
		},
		Timeout: lockWait, FreelistType: bolt.FreelistMapType, NoFreelistSync: true, ReadOnly: readOnly,
		InitialMmapSize: int(min(maxSize, 8<<30)), MaxSize: int(maxSize), NoSync: noFlush, NoGrowSync: noFlush,
	})
	if err != nil {
		return nil, opening(path, err)
	}
	if sound && newestCommit(db) != checked { // another process has had it meanwhile
		return nil, errors.Join(opening(path, ErrLocked), db.Close())
	}
	if !named(f, path) { // another process has compacted it while we waited for its lock
		return nil, errors.Join(fmt.Errorf("%s: %w; stop it, or use another data directory", path, ErrLocked), db.Close())
	}
	if err := schema(db); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return db, nil
}

// opening says what an error of opening the file means for an operator.
func opening(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout), errors.Is(err, ErrLocked):
		return fmt.Errorf("%s: %w; stop it, or use another data directory", path, ErrLocked)
	case errors.As(err, new(*os.PathError)): // no permission, no descriptors: nothing is wrong with the file
		return fmt.Errorf("open %s: %w", path, err)
	default:
		return fmt.Errorf("open %s: %w (%w); it is left as it is: restore a backup or move it aside", path, ErrCorrupt, err)
	}
}

func newestCommit(db *bolt.DB) (tx uint64) {
	_ = db.View(func(t *bolt.Tx) error { // it has just been opened
		tx = uint64(t.ID()) //nolint:gosec // bbolt's own number, which is positive
		return nil
	})
	return tx
}

// schema refuses a file of another layout, and one whose buckets are not those that it was made
// with: a bucket whose name is damaged must not be taken for one that is missing.
func schema(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		m := tx.Bucket(Meta.inFile())
		if m == nil {
			return fmt.Errorf("%w: no meta bucket", ErrCorrupt)
		}
		v := m.Get(schemaKey)
		if len(v) == recordHeader+1 {
			body, err := unwrap(Meta, schemaKey, v)
			if err != nil {
				return fmt.Errorf("%w: the schema version is damaged", ErrCorrupt)
			}
			v = body
		}
		if len(v) != 1 || v[0] != SchemaVersion {
			return fmt.Errorf("schema version %v, but this program knows %d only; use the program that wrote it", v, SchemaVersion)
		}
		return known(tx)
	})
}

// known refuses a file that has not just the buckets it was made with.
func known(tx *bolt.Tx) error {
	found := map[uint8]int{0: 0} // by part
	err := tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		n := bucketOf(name)
		if n == 0 || b == nil {
			return fmt.Errorf("%w: it has a bucket %q, which this program never made", ErrCorrupt, name)
		}
		found[n.part()]++
		return nil
	})
	for part, n := range found {
		if want := len(namesOf(part)); err == nil && n != want {
			err = fmt.Errorf("%w: of part %d it has %d buckets of %d", ErrCorrupt, part, n, want)
		}
	}
	return err
}

// warm reads the file once from front to back, if it fits into half of the free memory. Opening
// visits every page to find the free ones, in an order that a cold disk serves at a hundredth of
// its speed; a file in the page cache costs a fifth of a second for each gigabyte.
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
	return errors.Is(err, syscall.EWOULDBLOCK) || err == nil && !named(f, path)
}

// named reports whether a name still leads to an open file. A compaction puts another in its place,
// and lets go of the lock of the old one: whoever gets that has a file that nobody will ever read.
func named(f *os.File, path string) bool {
	is, err := f.Stat()
	of, err2 := os.Stat(path)
	return err == nil && err2 == nil && os.SameFile(is, of)
}

// plausible refuses what bbolt would panic on before it can say why: a file too short for its own
// pages.
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
