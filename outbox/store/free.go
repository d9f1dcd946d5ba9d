package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// While it is open, the file does not say which of its pages are free: that would be written with
// each commit. Whoever opens such a file visits every page to find out, which takes seconds for each
// gigabyte. So one that is closed cleanly lists its free pages once (bolt.Options.NoFreelistSync),
// and whoever opens it next reads the list.
//
// bbolt believes the list, and what it wrongly says to be free is written over. So what it was when
// it was written is kept beside the database, in countersign.free: which commit, which page, and
// its digest. A list that is not the one described there is struck out of the meta page before bbolt
// sees it, and then every page is visited, as after any other end.

// freeList says where a list of free pages stands, and what it is.
type freeList struct {
	tx   uint64 // of the commit that wrote it
	page uint64 // its first
	sum  [sha256.Size]byte
}

func (l *freeList) String() string { return fmt.Sprintf("%d %d %x\n", l.tx, l.page, l.sum) }

// freeFile is where the description of a database's list stands.
func freeFile(path string) string { return strings.TrimSuffix(path, ".db") + ".free" }

const noList = ^uint64(0) // bbolt's PgidNoFreelist

// metaPage is what we need of one of the two meta pages, as bbolt lays it out
// (https://pkg.go.dev/go.etcd.io/bbolt/internal/common#Meta).
type metaPage struct {
	at   int64 // where its content begins in the file
	raw  [64]byte
	page int64  // bytes
	root uint64 // of the bucket of buckets
	free uint64 // first page of the list; noList: there is none
	high uint64
	tx   uint64
}

// newestMeta is the meta page that bbolt will go by. Not ok: neither is sound.
func newestMeta(f io.ReaderAt) (m metaPage, ok bool) {
	page := int64(os.Getpagesize())
	for i := range int64(2) {
		is := metaPage{at: i*page + pageHead}
		if _, err := f.ReadAt(is.raw[:], is.at); err != nil {
			continue
		}
		le := binary.LittleEndian
		if le.Uint32(is.raw[:]) != boltMagic || le.Uint32(is.raw[4:]) != boltLayout || le.Uint64(is.raw[56:]) != metaSum(&is.raw) {
			continue
		}
		page = int64(le.Uint32(is.raw[8:])) // where the other one is, if it has been made on another machine
		is.page, is.root, is.free, is.high, is.tx = page, le.Uint64(is.raw[16:]), le.Uint64(is.raw[32:]), le.Uint64(is.raw[40:]), le.Uint64(is.raw[48:])
		if !ok || is.tx > m.tx {
			m, ok = is, true
		}
	}
	return m, ok
}

func metaSum(raw *[64]byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(raw[:56])
	return h.Sum64()
}

// list reads the list of free pages that a meta page leads to. Not ok: there is none, or nothing
// that can be one.
func (m *metaPage) list(f *os.File) (l freeList, ok bool) {
	if m.free < 2 || m.free >= m.high {
		return l, false
	}
	at := int64(m.free) * m.page //nolint:gosec // a page of the file
	head := make([]byte, pageHead)
	if _, err := f.ReadAt(head, at); err != nil {
		return l, false
	}
	n := 1 + uint64(binary.LittleEndian.Uint32(head[12:]))
	if m.free+n > m.high {
		return l, false
	}
	b := make([]byte, int64(n)*m.page) //nolint:gosec // within the file
	if _, err := f.ReadAt(b, at); err != nil {
		return l, false
	}
	return freeList{tx: m.tx, page: m.free, sum: sha256.Sum256(b)}, true
}

// roomForList is how much of the disk must be free for a list to be written at the end: it must not
// be what fills it.
const roomForList = 64 << 20

// keepFree has the file list its free pages as it is closed, and describes the list beside it. An
// error says that the commit failed, and its outcome is unknown.
func (s *Store) keepFree() error {
	if d, err := LookAtDisk(s.o.Dir, s.o.MaxSize); err != nil || d.Free < roomForList {
		return nil //nolint:nilerr // then the next start takes longer
	}
	s.db.NoFreelistSync = false
	err := s.db.Update(func(*bolt.Tx) error { return nil })
	s.db.NoFreelistSync = true
	if err == nil {
		err = describe(s.path)
	} else if err = outcome(err, bolt.TxStats{}, true); !errors.Is(err, ErrFull) {
		return err
	}
	if err != nil {
		s.o.Logger.Info("free_pages_not_listed", "error", err, "effect", "the next start visits every page")
	}
	return nil
}

// describe writes down which list of free pages a file has.
func describe(path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator's own data directory
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	m, ok := newestMeta(f)
	if !ok {
		return ErrCorrupt
	}
	l, ok := m.list(f)
	if !ok {
		return ErrCorrupt
	}
	return WriteFile(freeFile(path), []byte(l.String()))
}

// listsFree reports whether a file lists its free pages in a list that is the one it was closed
// with.
func listsFree(path string) bool {
	f, err := os.Open(path) //nolint:gosec // the operator's own data directory
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	m, ok := newestMeta(f)
	return ok && m.trusted(f, path)
}

func (m *metaPage) trusted(f *os.File, path string) bool {
	l, ok := m.list(f)
	kept, err := os.ReadFile(freeFile(path))
	return ok && err == nil && bytes.Equal(kept, []byte(l.String()))
}

// checkFree strikes a list of free pages that is not the one the file was closed with. It returns
// the newest commit of the file: whoever opens that opens what was checked. Not ok: it has none that
// is sound. Errors wrap ErrLocked if another process has the file.
func checkFree(path string) (tx uint64, ok bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator's own data directory
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // closing gives the lock back
	if err := lock(f); err != nil {
		return 0, false, err
	}
	m, ok := newestMeta(f)
	if !ok || m.free == noList || m.trusted(f, path) {
		return m.tx, ok, nil
	}
	return m.tx, true, m.strike(f)
}

// lock waits for the lock of a file that bbolt takes too, and no longer than bbolt does.
func lock(f *os.File) error {
	for until := time.Now().Add(lockWait); ; time.Sleep(lockWait / 50) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(until) {
			return ErrLocked
		}
	}
}

// strike writes a meta page again without its list. Torn, the other one stands in for it, which
// says the same of all else: the commit that wrote the list wrote nothing else.
func (m *metaPage) strike(f *os.File) error {
	binary.LittleEndian.PutUint64(m.raw[32:], noList)
	binary.LittleEndian.PutUint64(m.raw[56:], metaSum(&m.raw))
	if _, err := f.WriteAt(m.raw[:], m.at); err != nil {
		return fmt.Errorf("strike the list of free pages: %w", err)
	}
	if noFlush {
		return nil
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("strike the list of free pages: %w", err)
	}
	return nil
}
