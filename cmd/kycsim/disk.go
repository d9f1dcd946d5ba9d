package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// disk is a small file system of its own: what fills it harms nobody else, and it can be made
// larger while it is in use.
type disk struct{ path string }

// mountDisk mounts a tmpfs of so many bytes. It needs root.
func mountDisk(path string, size int64) (*disk, error) {
	if err := os.MkdirAll(path, 0o700); err != nil { //nolint:gosec // the caller names it
		return nil, fmt.Errorf("mount a small disk: %w", err)
	}
	if err := syscall.Mount("kycsim", path, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		if errors.Is(err, syscall.EPERM) {
			return nil, fmt.Errorf("mount a small tmpfs at %s: %w: this test mounts a file system of its own to fill, so it has to run as root, in a container with CAP_SYS_ADMIN", path, err)
		}
		return nil, fmt.Errorf("mount a small tmpfs at %s: %w", path, err)
	}
	return &disk{path}, nil
}

// resize makes it larger, or smaller, while files are open.
func (d *disk) resize(size int64) error {
	if err := syscall.Mount("kycsim", d.path, "tmpfs", syscall.MS_REMOUNT|syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d", size)); err != nil {
		return fmt.Errorf("resize %s: %w", d.path, err)
	}
	return nil
}

func (d *disk) ballast() string { return filepath.Join(d.path, "ballast") }

// fill puts a file there that takes all that is left.
func (d *disk) fill() (err error) {
	f, err := os.OpenFile(d.ballast(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for b := make([]byte, 1<<20); ; {
		if _, err := f.Write(b); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
}

// empty takes it away.
func (d *disk) empty() error {
	if err := os.Remove(d.ballast()); err != nil {
		return fmt.Errorf("empty the disk: %w", err)
	}
	return nil
}

// used is how many bytes of it are in use.
func (d *disk) used() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.path, &st); err != nil {
		return 0, fmt.Errorf("look at %s: %w", d.path, err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize, nil //nolint:gosec // far below 2^63
}

func (d *disk) unmount() error {
	if err := syscall.Unmount(d.path, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", d.path, err)
	}
	return nil
}
