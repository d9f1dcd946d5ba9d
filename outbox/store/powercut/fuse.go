package main

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"countersign/outbox/store/powercut/disk"
)

// freeBlocks of 4 KiB are always said to be left: 64 GiB. Want of room is an error of a call, by
// plan.
const freeBlocks = 16 << 20

// noReplace is renameat2's RENAME_NOREPLACE.
const noReplace = 1

// inode shows one node of the disk to the kernel. Locks (flock) stay with the kernel.
type inode struct {
	fs.Inode

	d *disk.Disk
	n *disk.Node
}

var (
	_ = fs.NodeAllocater((*inode)(nil))
	_ = fs.NodeCreater((*inode)(nil))
	_ = fs.NodeFsyncer((*inode)(nil))
	_ = fs.NodeGetattrer((*inode)(nil))
	_ = fs.NodeLookuper((*inode)(nil))
	_ = fs.NodeMkdirer((*inode)(nil))
	_ = fs.NodeOpener((*inode)(nil))
	_ = fs.NodeReaddirer((*inode)(nil))
	_ = fs.NodeReader((*inode)(nil))
	_ = fs.NodeRenamer((*inode)(nil))
	_ = fs.NodeRmdirer((*inode)(nil))
	_ = fs.NodeSetattrer((*inode)(nil))
	_ = fs.NodeStatfser((*inode)(nil))
	_ = fs.NodeUnlinker((*inode)(nil))
	_ = fs.NodeWriter((*inode)(nil))
)

func stable(n *disk.Node) fs.StableAttr {
	mode := uint32(syscall.S_IFREG)
	if n.Dir {
		mode = syscall.S_IFDIR
	}
	return fs.StableAttr{Mode: mode, Ino: n.Ino}
}

func (i *inode) fill(n *disk.Node, out *fuse.Attr) {
	mode, size := i.d.Attr(n)
	out.Ino, out.Mode, out.Size = n.Ino, mode|stable(n).Mode, uint64(size) //nolint:gosec // never negative
	out.Blocks, out.Blksize, out.Nlink = uint64(size+511)/512, 4096, 1     //nolint:gosec // the same
}

func (i *inode) child(ctx context.Context, n *disk.Node, out *fuse.EntryOut) *fs.Inode {
	i.fill(n, &out.Attr)
	return i.NewInode(ctx, &inode{d: i.d, n: n}, stable(n))
}

// Getattr implements fs.NodeGetattrer.
func (i *inode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	i.fill(i.n, &out.Attr)
	return 0
}

// Setattr implements fs.NodeSetattrer: the size and the mode count, times and owners do not.
func (i *inode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if errno := i.d.Resize(i.n, int64(size)); errno != 0 { //nolint:gosec // far smaller
			return errno
		}
	}
	if mode, ok := in.GetMode(); ok {
		i.d.Chmod(i.n, mode)
	}
	i.fill(i.n, &out.Attr)
	return 0
}

// keepSize is fallocate's FALLOC_FL_KEEP_SIZE.
const keepSize = 1

// Allocate implements fs.NodeAllocater: of fallocate, what makes a file longer, or finds room for
// that.
func (i *inode) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if mode == keepSize {
		return i.d.Reserve(i.n)
	}
	if mode != 0 {
		return syscall.EOPNOTSUPP
	}
	if _, now := i.d.Attr(i.n); int64(off+size) > now { //nolint:gosec // far smaller
		return i.d.Resize(i.n, int64(off+size)) //nolint:gosec // the same
	}
	return 0
}

// Statfs implements fs.NodeStatfser.
func (i *inode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	out.Blocks, out.Bfree, out.Bavail = 2*freeBlocks, freeBlocks, freeBlocks
	out.Files, out.Ffree = 1<<20, 1<<20
	return 0
}

// Lookup implements fs.NodeLookuper.
func (i *inode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n := i.d.Lookup(i.n, name)
	if n == nil {
		return nil, syscall.ENOENT
	}
	return i.child(ctx, n, out), 0
}

// Readdir implements fs.NodeReaddirer.
func (i *inode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	names, nodes := i.d.List(i.n)
	entries := make([]fuse.DirEntry, len(names))
	for k, n := range nodes {
		entries[k] = fuse.DirEntry{Name: names[k], Ino: n.Ino, Mode: stable(n).Mode}
	}
	return fs.NewListDirStream(entries), 0
}

// Create implements fs.NodeCreater.
func (i *inode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	n, errno := i.d.Create(i.n, name, mode, flags&syscall.O_EXCL != 0)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	return i.child(ctx, n, out), nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Mkdir implements fs.NodeMkdirer.
func (i *inode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n, errno := i.d.Mkdir(i.n, name, mode)
	if errno != 0 {
		return nil, errno
	}
	return i.child(ctx, n, out), 0
}

// Link implements fs.NodeLinker.
func (i *inode) Link(_ context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	t, ok := target.(*inode)
	if !ok {
		return nil, syscall.EINVAL
	}
	if errno := i.d.Link(t.n, i.n, name); errno != 0 {
		return nil, errno
	}
	i.fill(t.n, &out.Attr)
	return t.EmbeddedInode(), 0
}

// Unlink implements fs.NodeUnlinker.
func (i *inode) Unlink(_ context.Context, name string) syscall.Errno {
	return i.d.Remove(i.n, name, false)
}

// Rmdir implements fs.NodeRmdirer.
func (i *inode) Rmdir(_ context.Context, name string) syscall.Errno {
	return i.d.Remove(i.n, name, true)
}

// Rename implements fs.NodeRenamer.
func (i *inode) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := parent.(*inode)
	if !ok || flags&^noReplace != 0 {
		return syscall.EINVAL
	}
	return i.d.Rename(i.n, name, to.n, newName, flags&noReplace != 0)
}

// Open implements fs.NodeOpener. The kernel keeps what it has read: bbolt maps the file, and nobody
// else changes it.
func (i *inode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

// Read implements fs.NodeReader.
func (i *inode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(dest[:i.d.Read(i.n, dest, off)]), 0
}

// Write implements fs.NodeWriter.
func (i *inode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	n, errno := i.d.Write(i.n, data, off)
	return uint32(n), errno //nolint:gosec // far smaller
}

// Fsync implements fs.NodeFsyncer, for fdatasync and for directories too.
func (i *inode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return i.d.Flush(i.n)
}
