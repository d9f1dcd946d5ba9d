package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrNotCompacted is wrapped by every error that has left the file as it was.
var ErrNotCompacted = errors.New("the database was not compacted")

// compactSuffix is what the new file is called by beside the old one, until it takes its name. One
// that is found at an opening was left by a process that was killed: it is removed.
const compactSuffix = ".compact"

const (
	fewChanges = 1000 // records that the writer brings up to date itself, while others wait for it
	maxRounds  = 50   // of catching up before that
)

// Phase is what a compaction is doing.
type Phase string

// The phases, in their order. Done and Failed are how the last one ended; Idle: there was none
// since the start.
const (
	Idle       Phase = "idle"
	Copying    Phase = "copying"     // all records into a new file
	Checking   Phase = "checking"    // every page of that, as at a start
	CatchingUp Phase = "catching_up" // what has changed meanwhile
	Switching  Phase = "switching"   // the writer waits
	Done       Phase = "done"
	Failed     Phase = "failed"
)

// Running reports whether one is under way.
func (p Phase) Running() bool {
	return p == Copying || p == Checking || p == CatchingUp || p == Switching
}

// Compaction is what a compaction comes to, how far it is, and how it ended. Sizes are in bytes.
type Compaction struct {
	Phase    Phase
	File     int64  // size of the file, as it is now
	Free     int64  // of it, pages that hold nothing, or what was deleted
	Expected int64  // size of the new file, at most
	Needed   int64  // room on the disk for that, and for what must be left
	DiskFree int64  // room there is
	Refused  string // why none can begin now; "": it can

	Done, Total  int64 // of the phase
	Began, Ended time.Time
	Before       int64         // size of the old file
	After        int64         // size of the new file
	Pause        time.Duration // for which the writer waited
	Err          error         // why it failed
}

// copying is a Store's part of this.
type copying struct {
	ending     sync.RWMutex // held for reading by each copy of the file, and for ever once none may begin
	ended      sync.Once
	compacting sync.Mutex // held by the one compaction

	state   sync.Mutex // guards the fields below
	now     Compaction
	backing int // backups under way
	drops   int // drops of parts under way: no copy begins meanwhile
}

// Compaction is how the one under way stands, or how the last one ended, and what one would come to
// now.
func (s *Store) Compaction() Compaction {
	plan := s.plan()
	s.state.Lock()
	defer s.state.Unlock()
	c := s.now
	if c.Phase == "" {
		c.Phase = Idle
	}
	if !c.Phase.Running() {
		c.Refused = plan.Refused
	}
	c.File, c.Free, c.Expected, c.Needed, c.DiskFree = plan.File, plan.Free, plan.Expected, plan.Needed, plan.DiskFree
	return c
}

// plan is what a compaction would come to now.
func (s *Store) plan() (c Compaction) {
	c = planOf(s.file(), s.path, s.o.reserve())
	s.state.Lock()
	defer s.state.Unlock()
	switch {
	case s.now.Phase.Running():
		c.Refused = "a compaction is under way"
	case s.backing > 0:
		c.Refused = "a backup is being made"
	case s.drops > 0:
		c.Refused = "a part is being dropped"
	}
	return c
}

func planOf(db *bolt.DB, path string, leave int64) (c Compaction) {
	used := int64(0)
	if err := db.View(func(tx *bolt.Tx) error {
		used = tx.Size()
		return nil
	}); err != nil {
		c.Refused = err.Error()
		return c
	}
	st, page := db.Stats(), int64(os.Getpagesize())
	c.Free = int64(st.FreePageN+st.PendingPageN) * page
	c.Expected = used - c.Free
	c.Needed = c.Expected + leave
	fi, err := os.Stat(path)
	var fs syscall.Statfs_t
	if err = errors.Join(err, syscall.Statfs(filepath.Dir(path), &fs)); err != nil {
		c.Refused = err.Error()
		return c
	}
	c.File = fi.Size()
	c.DiskFree = int64(fs.Bavail) * int64(fs.Bsize) //nolint:gosec,unconvert // as in measure
	if c.DiskFree < c.Needed {
		c.Refused = fmt.Sprintf("the new file is written beside the old one: that needs %d bytes on the disk, and %d are free", c.Needed, c.DiskFree)
	}
	return c
}

// tell notes how far the compaction is.
func (s *Store) tell(change func(*Compaction), tick func(Compaction)) {
	s.state.Lock()
	change(&s.now)
	now := s.now
	s.state.Unlock()
	if tick != nil {
		tick(now)
	}
}

// Compact makes a new file of what is in the database and puts it in the place of the old one,
// while everybody goes on: free pages are given back to the disk, and nothing that was deleted
// before it began is in the file any more. The writer waits only while the last changes are copied
// and the file gets its name. Until then the old file counts, and is left as it is by every error,
// which wraps ErrNotCompacted; after it everything that was acknowledged is in the new one. One
// runs at a time, and none while a backup is made, or a part is dropped. tick is told how far it is; nil: nobody asks.
func (s *Store) Compact(ctx context.Context, tick func(Compaction)) (Compaction, error) {
	if !s.compacting.TryLock() {
		return s.Compaction(), fmt.Errorf("%w: a compaction is under way", ErrNotCompacted)
	}
	defer s.compacting.Unlock()
	if !s.ending.TryRLock() {
		return s.Compaction(), fmt.Errorf("%w: %w", ErrNotCompacted, ErrClosed)
	}
	defer s.ending.RUnlock()
	plan := s.plan()
	if plan.Refused != "" {
		return plan, fmt.Errorf("%w: %s", ErrNotCompacted, plan.Refused)
	}
	plan.Phase, plan.Began, plan.Before = Copying, time.Now(), plan.File
	s.tell(func(c *Compaction) { *c = plan }, tick)
	c := &compaction{s: s, tick: tick, expected: plan.Expected, before: plan.File, leave: s.o.reserve()}
	err := protectCopy(func() error { return c.run(ctx) })
	if c.old == nil {
		err = errors.Join(err, c.abandon())
	}
	s.tell(func(c *Compaction) {
		c.Ended, c.Done, c.Total = time.Now(), 0, 0
		if c.Phase, c.Err = Done, err; err != nil {
			c.Phase = Failed
		}
	}, tick)
	now := s.Compaction()
	took := now.Ended.Sub(now.Began)
	if err != nil {
		s.m.compactions.WithLabelValues("failed").Inc()
		s.o.Logger.Warn("compaction_failed", "path", s.path, "error", err, "took", took)
		if !errors.Is(err, ErrUnknown) {
			err = fmt.Errorf("%w: %w", ErrNotCompacted, err)
		}
		return now, err
	}
	s.m.compactions.WithLabelValues("done").Inc()
	s.m.pause.Set(now.Pause.Seconds())
	s.o.Logger.Info("compaction_done", "path", s.path, "bytes_before", now.Before, "bytes", now.After, "took", took, "pause", now.Pause)
	c.close()
	return now, nil
}

// copyEnds is how long a copy may take to see that the store has stopped: it is asked before each
// step, and a step may wait for the disk.
const copyEnds = 10 * time.Second

// endCopies waits until whoever copies the file has ended, and lets nobody begin any more.
func (s *Store) endCopies() error {
	over := make(chan struct{})
	go func() {
		s.ended.Do(s.ending.Lock)
		close(over)
	}()
	t := time.NewTimer(copyEnds)
	defer t.Stop()
	select {
	case <-over:
		return nil
	case <-t.C:
		return fmt.Errorf("%s is left open: a copy of it has not ended within %s", s.path, copyEnds)
	}
}

// compaction is one of a store that runs.
type compaction struct {
	copier

	s        *Store
	tick     func(Compaction)
	expected int64
	before   int64    // bytes of the old file
	leave    int64    // bytes by which the new one may be larger
	real     string   // the file itself, where the name in the data directory is a link
	old      *bolt.DB // that was exchanged; nil: none
}

func (c *compaction) run(ctx context.Context) (err error) {
	s := c.s
	if c.real, err = filepath.EvalSymlinks(s.path); err != nil {
		return err
	}
	of, err := os.Stat(c.real)
	if err != nil {
		return err
	}
	c.copier = copier{from: s.begin, noted: &notes{}, path: c.real + compactSuffix, goOn: c.room, slow: true}
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that could not clean up
		return err
	}
	if err := newFile(c.path, of); err != nil {
		return err
	}
	if c.to, err = openCopy(c.path, s.o.MaxSize, c.before+c.leave); err != nil {
		return errors.Join(err, os.Remove(c.path))
	}
	c.to.AllocSize = s.o.step(c.to)
	if err := s.turn(ctx, s.follow(c.noted)); err != nil {
		return err
	}
	defer s.turn(context.WithoutCancel(ctx), s.leave(c.noted)) //nolint:errcheck // it has stopped, then
	if err := c.start(); err != nil {
		return err
	}
	if err := c.all(ctx); err != nil {
		return err
	}
	c.phase(Checking, 0, c.copied)
	if err := c.check(ctx, func(done, total int64) { c.phase(Checking, done, total) }); err != nil {
		return err
	}
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	c.phase(Switching, 0, 0)
	return s.turn(ctx, c.exchange)
}

func (c *compaction) phase(p Phase, done, total int64) {
	c.s.tell(func(now *Compaction) { now.Phase, now.Done, now.Total = p, done, max(done, total) }, c.tick)
}

// room is asked before each step whether the copy may go on.
func (c *compaction) room() error {
	if !c.at.end() {
		c.phase(Copying, c.copied, c.expected)
	}
	select {
	case <-c.s.stopped:
		return ErrClosed
	default:
	}
	if Shortage(c.s.short.Load())&ShortDisk != 0 {
		return errors.New("the disk is nearly full, and callbacks come first")
	}
	if fi, err := os.Stat(c.path); err == nil && fi.Size() > c.before+c.leave {
		return fmt.Errorf("the new file has become larger than the old one: %w", errManyChanges)
	}
	return nil
}

// catchUp copies what has changed until that is little, and does not rest meanwhile.
func (c *compaction) catchUp(ctx context.Context) error {
	c.slow = false
	for range maxRounds {
		c.phase(CatchingUp, 0, int64(c.noted.len()))
		if err := c.step(ctx); err != nil {
			return err
		}
		if c.noted.len() <= fewChanges {
			return nil
		}
	}
	return errManyChanges
}

// exchange is done by the writer: the last changes, the proof, and the name. Whatever fails before
// the name changes leaves the old file as it is. If the directory cannot be flushed after that,
// nobody knows which of the two a power cut leaves: both hold everything that was acknowledged, so
// nothing may be acknowledged any more, and the process has to end.
func (c *compaction) exchange() (err error) {
	s, began := c.s, time.Now()
	defer s.busy()()
	changed, err := c.noted.take()
	if err != nil {
		return err
	}
	src, err := s.db.Begin(false)
	if err != nil {
		return err
	}
	c.to.NoSync = noFlush // from here on each commit is flushed
	if err := errors.Join(c.last(src, s.sums, changed), src.Rollback()); err != nil {
		return err
	}
	if err := os.Rename(c.path, c.real); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(c.real)); err != nil {
		s.failed.Store(true)
		return fmt.Errorf("%w: the compacted file has its name, and may lose it: %w", ErrUnknown, err)
	}
	s.handle.Lock()
	c.old, s.db = s.db, c.to
	s.handle.Unlock()
	s.ahead.Store(0) // nothing is allocated behind the new file yet
	s.unallocated = false
	s.allocate(true)
	s.measure()
	s.tell(func(now *Compaction) { now.After, now.Pause = s.Size(), time.Since(began) }, nil)
	return nil
}

// abandon removes the new file.
func (c *compaction) abandon() error {
	if c.to == nil {
		return nil
	}
	err := c.to.Close()
	if rerr := os.Remove(c.path); !errors.Is(rerr, os.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// close lets the old file go, when its last reader has ended: only then its room is free.
func (c *compaction) close() {
	if err := c.old.Close(); err != nil {
		c.s.o.Logger.Warn("old_file_not_closed", "path", c.real, "error", err) // it has no name any more, and nobody needs it
	}
}

// unlitter removes what a compaction has left that was cut off. Whoever has the lock of the
// database is the only one who may have made it.
func unlitter(o Options, path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	err = os.Remove(real + compactSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove what a compaction left: %w", err)
	}
	o.Logger.Info("unfinished_compaction_removed", "path", real+compactSuffix)
	return syncDir(filepath.Dir(real))
}
