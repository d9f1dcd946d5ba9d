package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// What a copy does in one step, at most. Each step reads the file as it is then, in a transaction
// of its own: one that lasted as long as the copy would keep every page that is freed meanwhile
// from being used again, and the file would grow by all that is written.
const (
	stepBytes   = 1 << 20
	stepRecords = 2000
	longestRest = 50 * time.Millisecond // between two steps; it rests as long as it has worked
	copiedFill  = 0.9                   // how full the pages of a copy are packed
)

// copier makes a new file of what is in a database while its writer goes on. It goes through the
// buckets of each part in the order of their keys, step by step; in each step it first brings those records up
// to date that have changed in what it has been through already. What is deleted before it begins
// never comes into the new file.
type copier struct {
	from   func() (*bolt.Tx, error) // begins a read transaction on what is copied
	noted  *notes                   // what its writer changes meanwhile
	to     *bolt.DB
	path   string   // of the new file
	sums   partSums // of what is in it
	at     place
	copied int64 // bytes
	goOn   func() error
	slow   bool // rests after each step, so that others have the disk too
}

// place is how far a copy has been through the file: all buckets before this one, and of this one
// what is not after the key; nil: none of it.
type place struct {
	bucket Name
	key    []byte
}

// behindAll is behind every bucket of every part.
const behindAll Name = 1<<16 - 1

func (p *place) end() bool { return p.bucket == behindAll }

// next is the beginning of the next bucket of a file that has these parts.
func (p *place) next(parts []uint8) place {
	for _, part := range every(parts) {
		for _, n := range namesOf(part) {
			if n > p.bucket {
				return place{bucket: n}
			}
		}
	}
	return place{bucket: behindAll}
}

// behind reports whether a record is in what the copy has been through.
func (p *place) behind(n Name, key []byte) bool {
	return n < p.bucket || n == p.bucket && p.key != nil && bytes.Compare(key, p.key) <= 0
}

// newFile makes an empty file that must not be there yet, of mode 0600 whatever the umask, and with
// the owner of another; nil: it is whoever makes it.
func newFile(path string, of os.FileInfo) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	err = f.Chmod(0o600)
	if of != nil {
		err = errors.Join(err, own(f, of))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// openCopy opens a new file for a copier, and locks it. Its commits are not flushed before somebody
// does: nobody knows its name. It is mapped once and for all, as large as it may become, for it is
// written to while it is checked, and bbolt maps no file anew that somebody reads.
func openCopy(path string, maxSize, largest int64) (*bolt.DB, error) {
	return bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockWait, FreelistType: bolt.FreelistMapType, NoFreelistSync: true, NoSync: true, NoGrowSync: noFlush, MaxSize: int(maxSize),
		InitialMmapSize: int(max(min(cmp.Or(maxSize, 8<<30), 8<<30), largest+1<<30)), // what one step may make it larger by
	})
}

// own gives a file the owner of another.
func own(f *os.File, of os.FileInfo) error {
	is, err := f.Stat()
	if err != nil {
		return err
	}
	want, ok := of.Sys().(*syscall.Stat_t)
	have, also := is.Sys().(*syscall.Stat_t)
	if !ok || !also || want.Uid == have.Uid && want.Gid == have.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// start makes the buckets of the new file.
func (c *copier) start() error {
	c.at, c.sums = place{bucket: Meta}, partSums{}
	return c.to.Update(func(bare *bolt.Tx) error {
		for _, n := range Names() {
			if _, err := bare.CreateBucketIfNotExists(n.inFile()); err != nil {
				return err
			}
		}
		return nil
	})
}

// all goes through the whole file.
func (c *copier) all(ctx context.Context) error {
	for !c.at.end() {
		if err := c.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step copies the next records, flushes them, and rests.
func (c *copier) step(ctx context.Context) error {
	if err := errors.Join(ctx.Err(), c.goOn()); err != nil {
		return err
	}
	began := time.Now()
	changed, err := c.noted.take()
	if err != nil {
		return err
	}
	src, err := c.from()
	if err != nil {
		return err
	}
	err = c.write(src, changed)
	if err = errors.Join(err, src.Rollback()); err == nil {
		err = c.to.Sync()
	}
	if err == nil && c.slow {
		pause(ctx, min(time.Since(began), longestRest))
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// write brings what has changed up to date in the new file, and goes on from its place.
func (c *copier) write(src *bolt.Tx, changed []string) error {
	var dst *joint
	at, copied := c.at, int64(0)
	err := c.to.Update(func(bare *bolt.Tx) error {
		dst = newJoint(bare, c.sums)
		dst.raw = true
		dst.tx(0).sums.moved = true
		for _, k := range changed {
			if n, key := denoted(k); c.at.behind(n, key) {
				if err := c.renew(src, dst.tx(n.part()), n, key); err != nil {
					return err
				}
			}
		}
		var err error
		if at, copied, err = c.more(src, dst); err != nil {
			return err
		}
		return dst.keep()
	})
	if err == nil {
		dst.into(c.sums)
		c.at, c.copied = at, c.copied+copied
	}
	return err
}

// renew makes one record what it is now, or takes it away.
func (c *copier) renew(src *bolt.Tx, dst *Tx, n Name, key []byte) error {
	from := src.Bucket(n.inFile())
	if from == nil {
		return nil // nothing was there to be taken away
	}
	if err := dst.begin(); err != nil {
		return err
	}
	record := from.Get(key)
	switch {
	case n.bare() == Meta && bytes.Equal(key, sumsKey):
		return nil // counted anew
	case record == nil:
		return dst.Bucket(n).Delete(key)
	default:
		return c.put(dst.Bucket(n), key, record)
	}
}

// put writes a record as it stands. A damaged one is not taken along: whoever reads it could not
// tell any more what of it the disk has done, and what the copy.
func (c *copier) put(to Bucket, key, record []byte) error {
	if _, err := unwrap(to.name, key, record); err != nil {
		return fmt.Errorf("bucket %s: %w: start the gateway again, which puts damaged records aside, and then copy the file", to.name, err)
	}
	return to.putAsIs(key, record)
}

// more copies records from the copy's place on, until it has done what one step does.
func (c *copier) more(src *bolt.Tx, dst *joint) (at place, copied int64, err error) {
	at = c.at
	parts := partsOf(src)
	records := 0
	for ; !at.end(); at = at.next(parts) {
		tx := dst.tx(at.bucket.part())
		if err := tx.begin(); err != nil {
			return at, copied, err
		}
		to := tx.Bucket(at.bucket)
		to.bolt.FillPercent = copiedFill
		from := src.Bucket(at.bucket.inFile()).Cursor()
		k, v := from.Seek(at.key)
		if at.key != nil && bytes.Equal(k, at.key) {
			k, v = from.Next()
		}
		for ; k != nil; k, v = from.Next() {
			if records++; records > stepRecords || copied > stepBytes {
				return at, copied, nil
			}
			at.key = bytes.Clone(k)
			if at.bucket.bare() == Meta && bytes.Equal(k, sumsKey) {
				continue
			}
			if err := c.put(to, k, v); err != nil {
				return at, copied, err
			}
			copied += int64(len(k) + len(v) + elemSize)
		}
	}
	return at, copied, nil
}

// last brings the new file to what a transaction sees, of which the writer knows the sums, and
// proves that it is the same: the parts, the counts and the checksums of each bucket, and meta
// record by record. changed is what the writer has changed since the last step.
func (c *copier) last(src *bolt.Tx, want partSums, changed []string) error {
	if err := c.write(src, changed); err != nil {
		return err
	}
	return c.to.View(func(dst *bolt.Tx) error {
		parts := partsOf(src)
		if is := partsOf(dst); !slices.Equal(is, parts) {
			return fmt.Errorf("the copy has the parts %v, and should have %v", is, parts)
		}
		for _, part := range every(parts) {
			for _, n := range namesOf(part) {
				if err := same(n, c.sums[part][n.bare()], want[part][n.bare()]); err != nil {
					return err
				}
			}
			if err := sameMeta(src, dst, part); err != nil {
				return err
			}
		}
		return nil
	})
}

func same(n Name, is, was sum) error {
	switch {
	case is.count != was.count:
		return fmt.Errorf("bucket %s has %d records in the copy and should have %d", n, is.count, was.count)
	case is.total != was.total:
		return fmt.Errorf("bucket %s has records in the copy that are not the last that were written", n)
	}
	return nil
}

// sameMeta compares the meta of a part record by record: it is small, and has no sums.
func sameMeta(src, dst *bolt.Tx, part uint8) error {
	meta := Meta.of(part)
	a, b := src.Bucket(meta.inFile()).Cursor(), dst.Bucket(meta.inFile()).Cursor()
	k, v := a.First()
	for l, w := b.First(); k != nil || l != nil; l, w = b.Next() {
		if !bytes.Equal(k, l) || !bytes.Equal(v, w) {
			return fmt.Errorf("%s is not the same in the copy, at %q", meta, bytes.Join([][]byte{k, l}, []byte(" and ")))
		}
		k, v = a.Next()
	}
	return nil
}

// check reads the new file page by page, as the examination before an opening does. The pages that
// are read stay as they are until it is done, so each change that is copied meanwhile makes the
// file larger: that waits until there are many.
func (c *copier) check(ctx context.Context, tick func(done, total int64)) (err error) {
	hold, err := c.to.Begin(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hold.Rollback()) }()
	f, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	read := time.Now()
	e := newExamination(nil)
	e.report.Bent, err = walkOpen(ctx, f, e.record, func(done, total int64) {
		tick(done, total)
		if failed = c.goOn(); failed == nil && c.noted.pressing() {
			failed = c.step(ctx)
		}
		if failed != nil {
			cancel()
		}
		if c.slow {
			pause(ctx, min(time.Since(read), longestRest))
		}
		read = time.Now()
	}, false)
	if err = errors.Join(failed, err); err == nil {
		err = e.compare()
	}
	if err == nil && (!e.report.Sound() || e.bent) {
		err = fmt.Errorf("%w: %d damaged records", ErrCorrupt, total(e.report.Damaged)+total(e.report.Corrected))
	}
	if err != nil {
		return fmt.Errorf("the copy does not pass its check: %w", err)
	}
	return nil
}

// finish has both meta pages say the same, so that either may be lost, and tells how many bytes
// the pages take.
func (c *copier) finish(size *int64) error {
	if err := c.to.Update(func(*bolt.Tx) error { return nil }); err != nil {
		return err
	}
	return c.to.View(func(tx *bolt.Tx) error {
		*size = tx.Size()
		return nil
	})
}

// protectCopy turns what reading a damaged file does into an error: bbolt panics, and a bad sector
// is a fault.
func protectCopy(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: it cannot be read: %v", ErrCorrupt, p)
		}
	}()
	return fn()
}
