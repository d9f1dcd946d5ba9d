package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"countersign/outbox/store/powercut/disk"
)

// Our mounts are known by their type, and by the process that serves them.
const (
	fsType = "countersign-powercut"
	device = "/dev/fuse"
	// endsWithin bounds how long the kernel may take to let a mount go whose files nobody has open
	// any more.
	endsWithin = 10 * time.Second
)

// mount is a disk that is shown at a place.
type mount struct {
	at     string
	server *fuse.Server
}

// show mounts the disk. It asks the kernel itself, for there may be no fusermount.
func show(d *disk.Disk, at string) (*mount, error) {
	if err := able(); err != nil {
		return nil, err
	}
	o := &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, FsName: ownName(os.Getpid()), Name: fsType, DisableXAttrs: true, ExplicitDataCacheControl: true,
	}}
	server, err := fs.Mount(at, &inode{d: d, n: d.Root()}, o)
	if err != nil {
		return nil, fmt.Errorf("powercut cannot mount its file system at %s; it needs root (CAP_SYS_ADMIN) and %s: %w", at, device, err)
	}
	return &mount{at: at, server: server}, nil
}

// able says in a sentence what is missing.
func able() error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("powercut needs %s, for its file system: %w", device, err)
	}
	return f.Close()
}

// hide takes the mount away, though somebody may still have its files open, and waits until the
// kernel has done with it.
func (m *mount) hide() error {
	if err := syscall.Unmount(m.at, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", m.at, err)
	}
	ended := make(chan struct{})
	go func() {
		m.server.Wait()
		close(ended)
	}()
	t := time.NewTimer(endsWithin)
	defer t.Stop()
	select {
	case <-ended:
		return nil
	case <-t.C:
		return fmt.Errorf("%s is unmounted, but %s later somebody still has a file of it open", m.at, endsWithin)
	}
}

func ownName(pid int) string { return fsType + "-" + strconv.Itoa(pid) }

// sweep takes away the mounts of those of our kind that were killed: of this type, served by a
// process that is gone, and dead. It touches no others.
func sweep() error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("look for old mounts: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(f); lines.Scan(); {
		at, pid, ok := parseMount(lines.Text())
		if !ok || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		var st syscall.Stat_t
		if err := syscall.Stat(at, &st); !errors.Is(err, syscall.ENOTCONN) {
			continue // somebody answers
		}
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s, whose process %d is gone: %w", at, pid, err)
		}
	}
	return nil
}

// parseMount reads a line of /proc/self/mountinfo; false: it is not of our kind.
func parseMount(line string) (at string, pid int, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 5 || len(right) < 2 || right[0] != "fuse."+fsType {
		return "", 0, false
	}
	pid, err := strconv.Atoi(strings.TrimPrefix(right[1], fsType+"-"))
	if err != nil || pid < 2 || right[1] != ownName(pid) {
		return "", 0, false
	}
	at = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(left[4])
	return at, pid, true
}
