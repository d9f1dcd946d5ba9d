package disk

import (
	"maps"
	"slices"
	"syscall"
)

// Lookup finds a name in a directory; nil: there is none.
func (d *Disk) Lookup(dir *Node, name string) *Node {
	d.mu.Lock()
	defer d.mu.Unlock()
	return dir.names[name]
}

// List are the names in a directory, in order.
func (d *Disk) List(dir *Node) (names []string, nodes []*Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(dir.names)) {
		names, nodes = append(names, name), append(nodes, dir.names[name])
	}
	return names, nodes
}

// Create makes a file, or finds the one that is there; with exclusive that is EEXIST.
func (d *Disk) Create(dir *Node, name string, mode uint32, exclusive bool) (*Node, syscall.Errno) {
	return d.make(dir, name, false, mode, exclusive)
}

// Mkdir makes a directory.
func (d *Disk) Mkdir(dir *Node, name string, mode uint32) (*Node, syscall.Errno) {
	return d.make(dir, name, true, mode, true)
}

func (d *Disk) make(dir *Node, name string, isDir bool, mode uint32, exclusive bool) (*Node, syscall.Errno) {
	_, errno := d.enter(Names, nil)
	defer d.mu.Unlock()
	if errno != 0 {
		return nil, errno
	}
	if n := dir.names[name]; n != nil {
		if exclusive || n.Dir {
			return nil, syscall.EEXIST
		}
		return n, 0
	}
	n := d.node(isDir, mode)
	d.move(dir, map[string]*Node{name: n})
	return n, 0
}

// Link gives a file one more name.
func (d *Disk) Link(n, dir *Node, name string) syscall.Errno {
	_, errno := d.enter(Names, nil)
	defer d.mu.Unlock()
	switch {
	case errno != 0:
		return errno
	case n.Dir:
		return syscall.EPERM
	case dir.names[name] != nil:
		return syscall.EEXIST
	}
	d.move(dir, map[string]*Node{name: n})
	return 0
}

// Remove takes a name away: of a file, or of an empty directory.
func (d *Disk) Remove(dir *Node, name string, isDir bool) syscall.Errno {
	_, errno := d.enter(Names, nil)
	defer d.mu.Unlock()
	if errno != 0 {
		return errno
	}
	if errno := replaceable(dir.names[name], isDir); errno != 0 {
		return errno
	}
	d.move(dir, map[string]*Node{name: nil})
	return 0
}

// replaceable reports why a name cannot be taken away, or given to something else.
func replaceable(n *Node, isDir bool) syscall.Errno {
	switch {
	case n == nil:
		return syscall.ENOENT
	case isDir && !n.Dir:
		return syscall.ENOTDIR
	case !isDir && n.Dir:
		return syscall.EISDIR
	case len(n.names) > 0:
		return syscall.ENOTEMPTY
	}
	return 0
}

// Rename gives a node another name, in place of what had it. Within one directory that is one move:
// a cut leaves the old name or the new one, never both and never none.
func (d *Disk) Rename(from *Node, name string, to *Node, newName string, keep bool) syscall.Errno {
	_, errno := d.enter(Names, nil)
	defer d.mu.Unlock()
	if errno != 0 {
		return errno
	}
	n, old := from.names[name], to.names[newName]
	switch {
	case n == nil:
		return syscall.ENOENT
	case n == old:
		return 0
	case old != nil && keep:
		return syscall.EEXIST
	case old != nil:
		if errno := replaceable(old, n.Dir); errno != 0 {
			return errno
		}
	}
	if from == to {
		d.move(to, map[string]*Node{newName: n, name: nil})
		return 0
	}
	d.move(to, map[string]*Node{newName: n})
	d.move(from, map[string]*Node{name: nil})
	return 0
}

func (d *Disk) move(dir *Node, names map[string]*Node) {
	d.seq++
	m := move{seq: d.seq, names: names}
	m.on(dir.names)
	dir.moves = append(dir.moves, m)
}
