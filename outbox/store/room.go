package store

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Room is what the file may still grow by, and the free pages in it, in bytes. Who writes is of one
// of four classes, and each leaves the next one its part:
//
//	callbacks  AdmitFor      need the reserve, and what is owed already to what is stored (Owe)
//	our own    AdmitOwn      records that nobody sends again need three quarters of it, and what is owed
//	the fold   AdmitFold     needs half of the reserve
//	settling   everything    that ends something, and so makes room: it may use all there is
//
// The half that settling alone may use is real: that much is allocated on the disk behind the pages
// in use, and stays allocated when somebody else fills the disk.

// Shortage is what there is too little room of; 0: nothing is short. Several may be at once.
type Shortage uint32

// What can be short.
const (
	ShortDisk   Shortage = 1 << iota // the disk of the data directory is nearly full
	ShortSize                        // the file has nearly reached MaxSize
	ShortOwed                        // what is left will be needed by what has been taken
	ShortCommit                      // the last commit found no room
)

// Shortages are all of them by name, as metrics and sentences have it.
var Shortages = []struct {
	Is   Shortage
	Name string
}{{ShortDisk, "disk"}, {ShortSize, "size"}, {ShortOwed, "pending"}, {ShortCommit, "commit"}}

// String lists the names.
func (s Shortage) String() string {
	var names []string
	for _, one := range Shortages {
		if s&one.Is != 0 {
			names = append(names, one.Name)
		}
	}
	return strings.Join(names, ", ")
}

// account is a Store's part of this.
type account struct {
	inside atomic.Int64  // left of the file's size alone
	room   atomic.Int64  // see Account
	owed   atomic.Int64  // see Account
	short  atomic.Uint32 // a Shortage
	ahead  atomic.Int64  // up to where the disk has room for the file, in bytes from its beginning; 0: unknown

	owing sync.Mutex // guards owes
	owes  []func() int64

	unallocated bool // owned by allocate: that has been logged
}

// Account is how the room stands, in bytes.
type Account struct {
	Room    int64 // left in the file and on its disk, the smaller of the two; free pages count half
	Owed    int64 // of it, what is expected to be written for what is stored already
	Reserve int64 // of it, what callbacks leave to the fold and to settling
	Short   Shortage
}

// Account reads it, as of the last commit or second.
func (s *Store) Account() Account {
	return Account{Room: s.room.Load(), Owed: s.owed.Load(), Reserve: s.o.reserve(), Short: Shortage(s.short.Load())}
}

// Owe adds to the account what will still be written for what is stored already. It is asked by the
// writer, after each commit: it must not write, nor wait for who does.
func (s *Store) Owe(bytes func() int64) {
	s.owing.Lock()
	s.owes = append(s.owes, bytes)
	s.owing.Unlock()
	s.measure()
}

// Admit reports ErrFull when new records should be refused. Settling what is owed goes on.
func (s *Store) Admit() error { return s.AdmitFor(0) }

// AdmitFor is Admit for records that will come to so many bytes, all that follows from them
// included. Those that are being written at this moment count as well.
func (s *Store) AdmitFor(bytes int64) error {
	if short := Shortage(s.short.Load()); short != 0 {
		return fmt.Errorf("%w: %s", ErrFull, short)
	}
	if counting && s.room.Load()-s.owed.Load()-bytes < s.o.reserve() {
		s.short.Or(uint32(ShortOwed)) // until the next commit or second, so that whoever looks sees why
		return fmt.Errorf("%w: %s", ErrFull, ShortOwed)
	}
	return nil
}

// AdmitOwn is AdmitFor for records that nobody would send again, such as timers and decisions: they
// find some room when callbacks do not any more.
func (s *Store) AdmitOwn(bytes int64) error {
	if !counting || Shortage(s.short.Load())&ShortCommit != 0 {
		return s.AdmitFor(bytes)
	}
	if s.room.Load()-s.owed.Load()-bytes < s.o.reserve()*3/4 {
		return fmt.Errorf("%w: %s", ErrFull, Shortage(s.short.Load())|ShortOwed)
	}
	return nil
}

// AdmitGuest is AdmitFor for what callers ask for who may be anybody's programs: they leave an
// eighth of the file, and four times the reserve, to callbacks.
func (s *Store) AdmitGuest(bytes int64) error {
	if counting && (s.inside.Load()-s.owed.Load()-bytes < s.o.MaxSize/8 || s.room.Load()-s.owed.Load()-bytes < 4*s.o.reserve()) {
		return fmt.Errorf("%w: the room that is left is for callbacks", ErrFull)
	}
	return s.AdmitFor(bytes)
}

// AdmitFold reports ErrFull when a transaction that writes so many bytes into so many places would
// use what is kept for settling. Each place may cost a page, until the commit has freed the one
// before it.
func (s *Store) AdmitFold(bytes int64, places int) error {
	if counting && s.room.Load()-2*bytes-int64(places)*s.page < s.o.settling() {
		return ErrFull
	}
	return nil
}

// Low reports whether only what is kept for settling is left: nothing should be written then that
// is merely good to know.
func (s *Store) Low() bool { return counting && s.room.Load() < s.o.settling() }

// Spare reports whether so many bytes are to spare: neither what is owed nor callbacks need them.
// What is merely good to know, and may be large, is written only then.
func (s *Store) Spare(bytes int64) bool {
	return !counting || s.short.Load() == 0 && s.room.Load()-s.owed.Load()-bytes >= s.o.reserve()
}

// reserve is what callbacks leave: a sixteenth of the size, at most 64 MiB.
func (o Options) reserve() int64 { return min(o.MaxSize/16, 64<<20) }

// step is by how much a file grows at once: bbolt refuses to grow when less than this is left.
func (o Options) step(db *bolt.DB) int { return int(min(int64(db.AllocSize), o.MaxSize/64)) }

// settling is what the fold leaves, too.
func (o Options) settling() int64 { return o.reserve() / 2 }

// measure looks at the size of the file and the space left on its disk, and decides whether new
// records are taken.
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
	used, err := s.used()
	if err != nil {
		return
	}
	s.owing.Lock()
	owed := int64(0)
	for _, bytes := range s.owes {
		owed += bytes()
	}
	s.owing.Unlock()
	room, short := s.left(used, free, owed)
	s.inside.Store(s.within(used))
	s.room.Store(room)
	s.owed.Store(owed)
	s.short.Store(uint32(short))
}

// left is the room, and what is short. Free pages count half: they lie scattered, and a large
// record needs neighbours. The size of the file says nothing: it grows ahead of its use, and stops
// short of MaxSize by up to that much.
func (s *Store) left(used, free, owed int64) (room int64, short Shortage) {
	pages, size := s.pages(), s.within(used)
	free += max(0, s.ahead.Load()-used) // allocated already
	if free < s.o.reserve() {
		short |= ShortDisk
	}
	if size < s.o.reserve() {
		short |= ShortSize
	}
	room = min(size, free+pages)
	if counting && short == 0 && room-owed < s.o.reserve() {
		short |= ShortOwed
	}
	return room, short
}

// within is what is left of the file's size alone, whatever its disk has.
func (s *Store) within(used int64) int64 {
	return s.o.MaxSize - int64(s.file().AllocSize) - used + s.pages()
}

// pages is what free pages are good for.
func (s *Store) pages() int64 {
	st := s.file().Stats()
	return int64(st.FreePageN+st.PendingPageN) * s.page / 2
}

// allocate keeps what settling alone may use allocated on the disk, behind the pages in use. Where
// the file system cannot, or has no room for all of it now, the account goes by what is there, and
// it is tried again once a second. Only the writer calls it.
func (s *Store) allocate(again bool) {
	if !counting || (s.unallocated || s.ahead.Load() == 0) && !again {
		return
	}
	used, err := s.used()
	if err != nil {
		return
	}
	want := min(used+s.o.settling(), s.o.MaxSize)
	if want-s.ahead.Load() < s.o.settling()/8 {
		return // most of it is there
	}
	n := want - used
	var full error
	for ; n >= s.o.settling()/8; n /= 2 { // what is allocated already succeeds on a full disk, too
		if err = extend(s.path, used, n); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			break
		}
		full = err
	}
	if err == nil {
		s.ahead.Store(max(used+n, s.ahead.Load()))
	}
	if lacks := err != nil || n < want-used; lacks != s.unallocated {
		if s.unallocated = lacks; lacks {
			s.o.Logger.Warn("reserve_not_allocated", "path", s.path, "bytes", want-used, "allocated", max(0, s.ahead.Load()-used), "error", cmp.Or(err, full))
		}
	}
}

// extend allocates n bytes on the disk for a file, from there on, and leaves its size as it is.
func extend(path string, from, n int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // the database
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, from, n), f.Close())
}
