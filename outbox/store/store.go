// Package store is the one bbolt file of a Countersign process and the one goroutine that writes to
// it.
//
// Its promise: Update returns nil only when what its function wrote is on stable storage. Functions
// that wait are committed together (group commit), so a thousand callers cost two disk flushes. A
// file that cannot be opened is named and left exactly as it is; nothing is ever repaired by
// deleting (I8).
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

// SchemaVersion is the layout of the buckets. A file of another version is refused.
const SchemaVersion = 12

var (
	// ErrFull says that the disk or the configured size is used up: nothing new is taken, what is
	// stored is still delivered.
	ErrFull = errors.New("storage is full")
	// ErrClosed says that the store has stopped, by Close or by an I/O error.
	ErrClosed = errors.New("storage is closed")
	// ErrUnknown wraps an error of the commit itself: the write may or may not have happened, and
	// the process must stop.
	ErrUnknown = errors.New("storage commit failed, outcome unknown")
	// ErrLocked says that another process holds the file.
	ErrLocked = errors.New("database is locked by another process")
	// ErrCorrupt says that the file is not a readable database.
	ErrCorrupt = errors.New("database is corrupt")
)

// Options of a Store. Dir is required.
type Options struct {
	Dir          string          // holds countersign.db; made with mode 0700
	MaxSize      int64           // bytes the file may take; 0: 64 GiB. New records are refused a sixteenth earlier (Admit)
	Examine      Examiner        // reads the whole file before it is used, and mends it; nil: Examine, in this process and without auditors
	ExamineBelow int64           // bytes up to which a file that was closed cleanly is examined too; 0: 1 GiB
	Checked      func(Progress)  // how far that is; nil: nobody asks
	Looked       func(int)       // is told, as each transaction ends, how many records it has looked at; nil: nobody is
	Context      context.Context //nolint:containedctx // ends an opening that takes long; nil: nothing does
	Logger       *slog.Logger
	Metrics      prometheus.Registerer
	Linger       time.Duration // how long a Later waits for company; 0: 2 ms
}

// Store is one part of the file, and through it the file: what is not about records is of all parts.
// Open returns the node's own part, Part the others. Its methods are safe for concurrent use.
type Store struct {
	*writer
	part uint8
}

// writer owns the file.
type writer struct {
	handle  sync.RWMutex // guards db, which changes when a compaction has made another file
	db      *bolt.DB
	path    string
	o       Options
	ops     chan *op
	lazy    chan *op
	turns   chan *turn
	stopped chan struct{} // closed when Run has returned
	running atomic.Bool
	size    atomic.Int64
	account // how the room stands
	health  // of the disk
	m       *metrics
	once    sync.Once
	later   sync.RWMutex                                  // held for reading by each Later on its way in, so that the end can wait for them
	page    int64                                         // bytes
	last    int                                           // size of the last group; owned by Run
	blind   bool                                          // which write of a commit failed cannot be told (counted); owned by Run
	sums    partSums                                      // as committed; owned by Run
	damaged [buckets + 1]int                              // records that were put aside as damaged, by bucket, all parts together, as it was opened
	found   *Report                                       // of the examination before it was opened; nil: there was none
	copies  []*notes                                      // of those that copy the file at the moment; owned by Run
	watches [256]atomic.Pointer[func(n Name, key []byte)] // by part: see Watch
	copying
}

// Watch has fn called with each record of this part that is written, or taken away, once that is on
// stable storage, in the order of commits: of transactions that begin from here on. Fn must return at
// once, and the key is fn's own. Nil: nobody is called any more.
func (s *Store) Watch(fn func(n Name, key []byte)) {
	if fn == nil {
		s.watches[s.part].Store(nil)
		return
	}
	s.watches[s.part].Store(&fn)
}

type op struct {
	fn   func(*Tx) error
	part uint8
	err  error
	done chan struct{}
	then func(error) // for Later, in place of done
}

const (
	fileName   = "countersign.db"
	uncleanTag = "countersign.unclean"
	maxGroup   = 4096
	crowded    = 8                    // writes in a group from which on the next one waits for more
	crowdWait  = 6 * time.Millisecond // at most, when 64 or more shared the last one; less when fewer did
	lockWait   = time.Second
)

// fill puts in what is left to us.
func (o *Options) fill() {
	if o.MaxSize == 0 {
		o.MaxSize = 64 << 30
	}
	if o.Linger == 0 {
		o.Linger = 2 * time.Millisecond
	}
	if o.Examine == nil {
		o.Examine = func(ctx context.Context, path, to string, tick func(Progress)) (Report, error) {
			return Examine(ctx, path, to, tick)
		}
	}
	if o.ExamineBelow == 0 {
		o.ExamineBelow = 1 << 30
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Open opens the file in o.Dir, making it first if there is none. After an unclean stop the file is
// checked before it is used. Errors wrap ErrLocked or ErrCorrupt and name the file; the file is
// left as it is.
func Open(o Options) (*Store, error) {
	o.fill()
	if err := makeDir(o.Dir, syncDir); err != nil {
		return nil, err
	}
	path := filepath.Join(o.Dir, fileName)
	if err := onLocalDisk(o.Dir); err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	_, tagged := os.Lstat(filepath.Join(o.Dir, uncleanTag))
	db, found, err := take(o, path)
	if err != nil {
		return nil, err
	}
	if err := unlitter(o, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if tagged == nil {
		if err := rewriteMeta(path, int64(db.Info().PageSize)); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	db.AllocSize = o.step(db)
	s, err := newStore(o, path, db, found, tagged == nil)
	if err != nil {
		return nil, err
	}
	if err := s.finishDrops(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return s, nil
}

// newStore is a Store upon an open file, which it closes with an error.
func newStore(o Options, path string, db *bolt.DB, found *Report, unclean bool) (*Store, error) {
	s := &Store{writer: &writer{
		db: db, path: path, o: o, found: found,
		ops: make(chan *op, maxGroup), lazy: make(chan *op, maxGroup), turns: make(chan *turn), stopped: make(chan struct{}),
		health: health{dead: make(chan struct{}), epoch: time.Now(), unclean: unclean},
	}}
	if err := s.read(func(bare *bolt.Tx) (err error) {
		s.sums, err = readSums(bare)
		return err
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err), db.Close())
	}
	if err := s.read(s.countDamaged); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	s.page = int64(db.Info().PageSize)
	s.m = newMetrics(o.Metrics, s)
	s.measure()
	return s, nil
}

// countDamaged counts the records that were put aside.
func (s *Store) countDamaged(bare *bolt.Tx) error {
	for part := range s.sums {
		if err := (&Tx{bolt: bare, part: part, raw: true}).Bucket(Damaged).ForEach(func(k, _ []byte) error {
			if len(k) > 0 && int(k[0]&^seenTo) <= buckets {
				s.damaged[k[0]&^seenTo]++
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Run commits what Update and Later bring, until ctx ends; then it commits what is still queued and
// returns nil. A commit error other than a full disk ends it with that error: after a failed flush,
// whatever its errno, the page cache cannot be trusted, so the process has to exit and start again.
func (s *Store) Run(ctx context.Context) error {
	s.running.Store(true)
	defer s.end()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var group []*op
		select {
		case o := <-s.ops:
			runtime.Gosched() // the first caller wakes the writer: on one core it would run before the others come
			group = s.crowd(s.gather(append(group, o)))
		case o := <-s.lazy:
			group = s.linger(append(group, o))
		case t := <-s.turns:
			if err := t.take(); errors.Is(err, ErrUnknown) {
				s.failed.Store(true)
				return s.fail(err)
			}
			continue
		case <-tick.C:
			done := s.busy()
			s.allocate(true)
			s.measure()
			done()
			continue
		case <-ctx.Done():
			return s.drain()
		}
		if err := s.commit(s.gather(group)); err != nil {
			return s.fail(err)
		}
	}
}

func (s *Store) drain() error {
	for {
		group := s.gather(nil)
		if len(group) == 0 {
			return nil
		}
		if err := s.commit(group); err != nil {
			return s.fail(err)
		}
	}
}

// commit runs the group in one transaction. A function that fails is answered alone and the rest is
// run again without it.
func (s *Store) commit(group []*op) error {
	defer s.busy()()
	s.last = len(group)
	ackEarly(group)
	for len(group) > 0 {
		started := time.Now()
		bad, j, err := s.try(group)
		switch {
		case bad >= 0:
			group[bad].answer(err)
			group = append(group[:bad:bad], group[bad+1:]...)
			continue
		case err == nil:
			s.m.committed(len(group), j, time.Since(started))
			s.allocate(false)
			s.measure()
		case errors.Is(err, ErrFull):
			s.m.failures.WithLabelValues("full").Inc()
			s.short.Or(uint32(ShortCommit))
		default:
			s.m.failures.WithLabelValues("io").Inc()
			s.failed.Store(true)
		}
		for _, o := range group {
			o.answer(err)
		}
		if errors.Is(err, ErrUnknown) {
			return err
		}
		return nil
	}
	return nil
}

// try returns the index of the function that failed, or -1 and the outcome of the commit: nil,
// ErrFull or ErrUnknown.
func (s *Store) try(group []*op) (bad int, j *joint, err error) {
	bare, err := s.db.Begin(true)
	if err != nil {
		return -1, nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	j = newJoint(bare, s.sums)
	j.watches = &s.watches
	j.noting = len(s.copies) > 0
	for i, o := range group {
		if err := j.run(o); err != nil {
			if rerr := bare.Rollback(); rerr != nil {
				return -1, nil, fmt.Errorf("%w: %w", ErrUnknown, rerr)
			}
			return i, nil, err
		}
	}
	s.tellLooked(j.looked())
	if err := j.keep(); err != nil {
		_ = bare.Rollback() // nothing has been written
		return -1, nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if err := finished(bare); errors.Is(err, errPanicked) {
		return -1, nil, err // and not rolled back: whatever it did may panic again
	} else if err != nil {
		_ = bare.Rollback() // bbolt has done so already; harmless
		return -1, nil, outcome(err, bare.Stats(), s.blind)
	}
	s.blind = s.blind || !counted(bare.Stats())
	j.into(s.sums)
	for _, n := range s.copies {
		for _, tx := range j.of {
			n.add(tx.noted)
		}
	}
	return -1, j, nil
}

// Found is what the examination before the opening has found; nil: the file was closed cleanly and
// is too large to be read as a whole at every start.
func (s *Store) Found() *Report { return s.found }

// Unclean reports whether the file had not been closed cleanly before this opening.
func (s *Store) Unclean() bool { return s.unclean }

// Path is the file's name.
func (s *Store) Path() string { return s.path }

// Size is the file's size in bytes, measured once a second.
func (s *Store) Size() int64 { return s.size.Load() }

// Close closes the file after Run has returned (or was never started) and takes away the mark of an
// unclean stop, unless a commit has failed: then the next start checks the file. The mark goes
// first, for whoever has the lock next puts its own there.
func (s *Store) Close() error {
	if s.running.Load() {
		<-s.stopped
	} else {
		s.end()
	}
	err := s.endCopies()
	if err != nil {
		return err
	}
	if s.db.IsReadOnly() {
		return s.closeRehearsal()
	}
	if !s.failed.Load() { // both meta pages will say the same, so that either may be lost
		if err = s.db.Update(func(*bolt.Tx) error { return nil }); err == nil {
			err = s.keepFree()
		}
		if err != nil {
			s.failed.Store(true)
		}
	}
	if !s.failed.Load() {
		err = os.Remove(filepath.Join(s.o.Dir, uncleanTag))
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, s.db.Close()); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}
