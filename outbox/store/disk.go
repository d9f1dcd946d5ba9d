package store

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is what can be known of the disk of a data directory without the database.
type Disk struct {
	Free    int64  // bytes that this user may take
	Reserve int64  // bytes below which callbacks are refused
	Inodes  int64  // files that may still be made; -1: it has no such number
	Kind    string // of its file system, where that is one not to be trusted: NFS, tmpfs, overlay …; "": none that is known
	Remote  bool   // it is one of those on which a gateway refuses to start
}

// fleeting are the file systems that last no longer than the machine, or the container.
var fleeting = map[int64]string{0x01021994: "tmpfs", 0x858458f6: "ramfs", 0x794c7630: "overlay"}

// LookAtDisk looks at the disk of a directory. maxSize is the largest that the file may be.
func LookAtDisk(dir string, maxSize int64) (Disk, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return Disk{}, fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	kind := int64(st.Type)                                                                                        //nolint:unconvert // its width differs between platforms
	d := Disk{Free: int64(st.Bavail) * int64(st.Bsize), Reserve: Options{MaxSize: maxSize}.reserve(), Inodes: -1} //nolint:gosec,unconvert // far below 2^63; their width differs between platforms
	if st.Files > 0 {
		d.Inodes = int64(st.Ffree) //nolint:gosec // as above
	}
	if d.Kind, d.Remote = remote[kind], remote[kind] != ""; !d.Remote {
		d.Kind = fleeting[kind]
	}
	return d, nil
}

// flushTimes is how often TimeFlushes flushes, and flushBytes how much each time: about what a
// commit of one callback writes.
const (
	flushTimes = 16
	flushBytes = 4096
)

// TimeFlushes writes to a file that never has a name in a directory, flushes it, and says how long
// each flush took, until it has flushed it often enough or for long enough. Nothing is left of it.
// flush nil is fdatasync.
func TimeFlushes(dir string, most time.Duration, flush func(*os.File) error) (took []time.Duration, err error) {
	if flush == nil {
		flush = func(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
	}
	f, err := os.CreateTemp(dir, ".countersign-flush-*")
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nobody will read it
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	block := make([]byte, flushBytes)
	for begun := time.Now(); len(took) < flushTimes && time.Since(begun) < most; {
		if _, err := f.Write(block); err != nil {
			return took, err
		}
		at := time.Now()
		if err := flush(f); err != nil {
			return took, err
		}
		took = append(took, time.Since(at))
	}
	return took, nil
}
