package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// CompactFile is Compact for a database that nobody has open; dry: it only says what that would
// come to. Whoever calls it has had the file examined. The new file has the owner of the old one.
func CompactFile(ctx context.Context, path string, dry bool, tick func(Compaction)) (plan Compaction, err error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return plan, fmt.Errorf("%w: %w", ErrNotCompacted, err)
	}
	db, err := openFile(real, 64<<30, false)
	if err != nil {
		return plan, fmt.Errorf("%w: %w", ErrNotCompacted, err)
	}
	plan = planOf(db, real, 0)
	plan.Phase = Idle
	if dry || plan.Refused != "" {
		if !dry {
			err = fmt.Errorf("%w: %s", ErrNotCompacted, plan.Refused)
		}
		return plan, errors.Join(err, db.Close())
	}
	if tick == nil {
		tick = func(Compaction) {}
	}
	plan.Began, plan.Before = time.Now(), plan.File
	f := &fileCompaction{path: real, db: db, plan: &plan, tick: tick}
	err = protectCopy(func() error { return f.run(ctx) })
	if err = errors.Join(err, db.Close()); err != nil {
		plan.Phase = Failed
		return plan, fmt.Errorf("%w: %w", ErrNotCompacted, err)
	}
	plan.Phase, plan.Ended = Done, time.Now()
	return plan, syncDir(filepath.Dir(real))
}

// fileCompaction is one of a file that nobody else has open.
type fileCompaction struct {
	path string
	db   *bolt.DB
	plan *Compaction
	tick func(Compaction)
}

func (f *fileCompaction) run(ctx context.Context) (err error) {
	of, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	c := &copier{from: func() (*bolt.Tx, error) { return f.db.Begin(false) }, noted: &notes{}, path: f.path + compactSuffix}
	c.goOn = func() error {
		f.tell(Copying, c.copied, f.plan.Expected)
		return nil
	}
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that was cut off
		return err
	}
	if err := newFile(c.path, of); err != nil {
		return err
	}
	if c.to, err = openCopy(c.path, 0, f.plan.File); err == nil {
		err = f.copy(ctx, c)
		err = errors.Join(err, c.to.Close())
	}
	if err == nil {
		err = cutOff(c.path, f.plan.After)
	}
	if err == nil {
		err = os.Rename(c.path, f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(c.path))
	}
	return nil
}

func (f *fileCompaction) tell(p Phase, done, total int64) {
	f.plan.Phase, f.plan.Done, f.plan.Total = p, done, max(done, total)
	f.tick(*f.plan)
}

// copy makes the new file whole, and proves it.
func (f *fileCompaction) copy(ctx context.Context, c *copier) error {
	if err := errors.Join(c.start(), c.all(ctx)); err != nil {
		return err
	}
	c.goOn = ctx.Err
	if err := c.check(ctx, func(done, total int64) { f.tell(Checking, done, total) }); err != nil {
		return err
	}
	src, err := f.db.Begin(false)
	if err != nil {
		return err
	}
	want, err := readSums(src)
	if err == nil {
		err = c.last(src, want, nil)
	}
	if err = errors.Join(err, src.Rollback()); err != nil {
		return err
	}
	return c.finish(&f.plan.After)
}
