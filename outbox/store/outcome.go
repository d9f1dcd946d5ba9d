package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// outcome says what an error of bbolt's commit means: ErrFull, that there was no room and certainly
// nothing of the commit can ever be read as one; ErrUnknown, everything else.
//
// A commit makes the file larger (truncate, flush), writes its pages, flushes them, writes one meta
// page, and flushes that. Until the meta page is written the commit before it stands, whatever
// became of the pages, for they lie where that one has nothing. So only three errors are "full":
// there is no page left below max_size, the file could not be made larger, and one of the pages
// before the meta page could not be written. A flush that fails is unknown whatever its errno: the
// kernel may have dropped what it could not write and show it all the same, so that whoever goes on
// builds upon pages that are not on the disk. So is a meta page that could not be written: half of
// one is a valid one.
//
// Nothing else flushes: bbolt maps the file for reading only, so there is no msync, and all that
// was acknowledged has been flushed long before close(2), whose error Close reports.
func outcome(err error, stats bolt.TxStats, blind bool) error {
	if errors.Is(err, berrors.ErrMaxSizeReached) || notLarger(err) || notWritten(err, stats, blind) || goesOn(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// notWritten: a page could not be written for want of room, and it was not the meta page, for pages
// were left when it happened. A page is written by pwrite alone, whose errors are *os.PathError;
// those of fdatasync are a bare errno.
func notWritten(err error, stats bolt.TxStats, blind bool) bool {
	var p *os.PathError
	return errors.As(err, &p) && p.Op == "write" && noRoom(p.Err) && !blind && stats.GetWrite() < stats.GetSpill()
}

// counted reports whether bbolt's statistics of a commit that succeeded are what notWritten takes
// them for: a page for each node that was spilled, and the meta page. If they ever are not, it
// cannot be told any more which write failed.
func counted(stats bolt.TxStats) bool { return stats.GetWrite() == stats.GetSpill()+1 }

// notLarger: the file could not be made larger for want of room. Of this error bbolt keeps the text
// only; the flush that follows it has another ("file sync error"). Should the text ever change, the
// error is unknown.
func notLarger(err error) bool {
	text, ok := strings.CutPrefix(err.Error(), "file resize error: truncate ")
	return ok && (strings.HasSuffix(text, ": "+syscall.ENOSPC.Error()) || strings.HasSuffix(text, ": "+syscall.EDQUOT.Error()))
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// rewriteMeta writes both meta pages again, as they are read, and flushes the file. A process that
// ended because its flush failed may leave a meta page that the kernel shows and will never write,
// since it takes it for written: the next commit but one would then overwrite what the newest meta
// page on the disk refers to. All pages the newest one refers to have been flushed before it was
// written. Torn, it is the one that the other stands in for.
func rewriteMeta(path string, page int64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator's own data directory
	if err != nil {
		return fmt.Errorf("flush %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	meta := make([]byte, 2*page)
	if _, err := f.ReadAt(meta, 0); err != nil {
		return fmt.Errorf("flush %s: %w", path, err)
	}
	if _, err := f.WriteAt(meta, 0); err != nil {
		return fmt.Errorf("flush %s: %w", path, err)
	}
	if noFlush {
		return nil
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("flush %s: %w", path, err)
	}
	return nil
}
