// Package disk is a disk in memory that tells what is seen from what is durable, and that can lose
// its power.
//
// Its promise: what was flushed is there after any cut, and nothing else need be. Of what was not
// flushed any part may be there: of a file any sectors, in any order; of a directory any of its
// creations, renames and removals. It is stricter than any real file system where those give more
// than POSIX promises: flushing a file does not flush the name of it.
package disk

import (
	"sync"
	"syscall"
	"time"
)

// Sector is what a disk writes as a whole, in bytes.
const Sector = 512

// Disk is one file system. Its methods are safe for concurrent use and answer with the errno that
// the caller of the system gets.
type Disk struct {
	released chan struct{} // closed by Release
	wake     chan struct{} // closed by cut: whoever hangs or is slow looks again
	tell     func(Event)

	mu     sync.Mutex // guards the fields below, and every Node
	root   *Node
	ino    uint64
	seq    uint64 // of the last change
	off    bool   // the power is gone: nothing changes any more
	faults faults
	once   sync.Once
}

// Node is a file or a directory. Whoever has one may go on using it after its name is gone.
type Node struct {
	Ino  uint64
	Dir  bool
	mode uint32

	seen    []byte   // of a file: what readers get
	durable []byte   // what a cut leaves in any case
	pending []change // in order, since the last flush

	names map[string]*Node // of a directory: what readers get
	kept  map[string]*Node // what a cut leaves in any case
	moves []move           // in order, since the last flush
}

// change is a write to a file, or a new size.
type change struct {
	seq  uint64
	at   int64
	data []byte // nil: at is the new size
}

// move is what happens to the names of one directory at once. A nil node takes the name away.
type move struct {
	seq   uint64
	names map[string]*Node
}

// Event is what the disk tells while it is being used.
type Event struct {
	What  string `json:"event"` // "fault" or "cut"
	Call  Call   `json:"call,omitempty"`
	Errno string `json:"errno,omitempty"`
}

// New is an empty disk. tell is called for each event, and must not call the disk.
func New(tell func(Event)) *Disk {
	d := &Disk{released: make(chan struct{}), wake: make(chan struct{}), tell: tell}
	d.root = d.node(true, 0o700)
	return d
}

func (d *Disk) node(dir bool, mode uint32) *Node {
	d.ino++
	n := &Node{Ino: d.ino, Dir: dir, mode: mode & 0o777}
	if dir {
		n.names, n.kept = map[string]*Node{}, map[string]*Node{}
	}
	return n
}

// Root is the directory of all.
func (d *Disk) Root() *Node { return d.root }

// Attr tells the mode's permission bits and the size in bytes.
func (d *Disk) Attr(n *Node) (mode uint32, size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return n.mode, int64(len(n.seen))
}

// Chmod changes the permission bits. They survive any cut: nobody's data depends on them.
func (d *Disk) Chmod(n *Node, mode uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.mode = mode & 0o777
}

// Read copies what readers see and returns how much.
func (d *Disk) Read(n *Node, p []byte, at int64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at >= int64(len(n.seen)) {
		return 0
	}
	return copy(p, n.seen[at:])
}

// Write is seen at once, and durable with the next flush. Fewer bytes than given may be written, as
// by any write.
func (d *Disk) Write(n *Node, p []byte, at int64) (int, syscall.Errno) {
	part, errno := d.enter(Write, n)
	defer d.mu.Unlock()
	if errno != 0 {
		return 0, errno
	}
	if half := len(p) / 2 / Sector * Sector; part && half > 0 {
		p = p[:half]
	}
	d.change(n, change{at: at, data: append(make([]byte, 0, len(p)), p...)})
	return len(p), 0
}

// Resize makes a file longer, by zeros, or shorter.
func (d *Disk) Resize(n *Node, size int64) syscall.Errno {
	call := Shrink
	if _, now := d.Attr(n); size > now {
		call = Grow
	}
	_, errno := d.enter(call, n)
	defer d.mu.Unlock()
	if errno != 0 {
		return errno
	}
	d.change(n, change{at: size})
	return 0
}

// Reserve finds room for a file that is to grow. There always is some, unless a plan says
// otherwise.
func (d *Disk) Reserve(n *Node) syscall.Errno {
	_, errno := d.enter(Grow, n)
	d.mu.Unlock()
	return errno
}

func (d *Disk) change(n *Node, c change) {
	d.seq++
	c.seq = d.seq
	n.seen = apply(n.seen, c)
	n.pending = append(n.pending, c)
}

// apply returns the content with the change in it.
func apply(b []byte, c change) []byte {
	end := c.at + int64(len(c.data))
	if c.data == nil && c.at < int64(len(b)) {
		return b[:c.at:c.at] // what is written behind it later must begin with zeros
	}
	if grow := end - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[c.at:], c.data)
	return b
}

// Flush makes durable what is seen of a file, or of the names in a directory. When it fails by
// plan, what it should have written is partly there and the rest is never written, though it is
// seen: that is what Linux does. It is not Flush that fails then, but whoever believes the next
// one.
func (d *Disk) Flush(n *Node) syscall.Errno {
	_, errno := d.enter(Flush, n)
	defer d.mu.Unlock()
	if errno != 0 {
		if !d.off {
			d.faults.lose(n)
		}
		return errno
	}
	for _, c := range n.pending {
		n.durable = apply(n.durable, c)
	}
	n.pending = nil
	for _, m := range n.moves {
		m.on(n.kept)
	}
	n.moves = nil
	return 0
}

func (m move) on(names map[string]*Node) {
	for name, n := range m.names {
		if n == nil {
			delete(names, name)
		} else {
			names[name] = n
		}
	}
}

// Cut takes the power away, now: what changes the disk waits from here on until Release, and is
// then answered EIO.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut()
}

func (d *Disk) cut() {
	if !d.off {
		d.off = true
		close(d.wake)
		d.tell(Event{What: "cut"})
	}
}

// Release lets go who waits, once nobody can make anything of the answer.
func (d *Disk) Release() {
	d.Cut()
	d.once.Do(func() { close(d.released) })
}

// enter is where every call that changes something begins. It returns with the lock held, and when
// it answers 0 the call has to be carried out. part: a half of it only.
func (d *Disk) enter(call Call, n *Node) (part bool, errno syscall.Errno) {
	d.mu.Lock()
	if d.off {
		return d.wait()
	}
	f := d.faults.next(call, n)
	if f.told {
		d.tell(Event{What: "fault", Call: call, Errno: name(f.errno)})
	}
	if f.cut {
		d.cut()
		return d.wait()
	}
	if f.hang || f.slow > 0 {
		if d.sleep(f); d.off {
			return d.wait()
		}
	}
	return f.part, f.errno
}

// sleep gives the lock back for as long as the fault says.
func (d *Disk) sleep(f fault) {
	d.mu.Unlock()
	defer d.mu.Lock()
	var done <-chan time.Time // never, if it hangs
	if !f.hang {
		t := time.NewTimer(f.slow)
		defer t.Stop()
		done = t.C
	}
	select {
	case <-d.wake:
	case <-done:
	}
}

// wait is for who comes after the cut.
func (d *Disk) wait() (bool, syscall.Errno) {
	d.mu.Unlock()
	<-d.released
	d.mu.Lock()
	return false, syscall.EIO
}
