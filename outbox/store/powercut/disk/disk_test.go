package disk

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func fresh() *Disk { return New(func(Event) {}) }

func create(t *testing.T, d *Disk, dir *Node, name string) *Node {
	t.Helper()
	n, errno := d.Create(dir, name, 0o600, true)
	if errno != 0 {
		t.Fatal(errno)
	}
	return n
}

func write(t *testing.T, d *Disk, n *Node, at int64, content []byte) {
	t.Helper()
	if written, errno := d.Write(n, content, at); written != len(content) || errno != 0 {
		t.Fatalf("Write = %d, %v", written, errno)
	}
}

func flush(t *testing.T, d *Disk, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		if errno := d.Flush(n); errno != 0 {
			t.Fatal(errno)
		}
	}
}

func content(d *Disk, n *Node) []byte {
	_, size := d.Attr(n)
	b := make([]byte, size)
	return b[:d.Read(n, b, 0)]
}

// pages makes sectors whose every byte is the version.
func sectorsOf(version byte, n int) []byte { return bytes.Repeat([]byte{version}, n*Sector) }

// written is a disk with a flushed file of version 1 and what is written over it and behind it, not
// flushed, as version 2 and then 3.
func written(t *testing.T) (*Disk, *Node) {
	t.Helper()
	d := fresh()
	n := create(t, d, d.Root(), "f")
	write(t, d, n, 0, sectorsOf(1, 8))
	flush(t, d, n, d.Root())
	write(t, d, n, 0, sectorsOf(2, 16))
	write(t, d, n, 4*Sector, sectorsOf(3, 8))
	return d, n
}

// outcomes are the versions that each sector may have after a cut, over many cuts.
func outcomes(t *testing.T, style Style) []map[byte]int {
	t.Helper()
	got := make([]map[byte]int, 16)
	for i := range got {
		got[i] = map[byte]int{}
	}
	for seed := range uint64(200) {
		d, _ := written(t)
		left, _ := d.Restore(style, seed)
		n := left.Lookup(left.Root(), "f")
		if n == nil {
			t.Fatal("the file is gone, and its name was flushed")
		}
		b := content(left, n)
		if len(b)%Sector != 0 {
			t.Fatalf("%d bytes", len(b))
		}
		for i := range len(b) / Sector {
			s := b[i*Sector : (i+1)*Sector]
			if !bytes.Equal(s, sectorsOf(s[0], 1)) {
				t.Fatalf("sector %d is torn", i)
			}
			got[i][s[0]]++
		}
	}
	return got
}

// What was flushed is never less than it was; what was not may vanish, in part, and come in another
// order.
func TestStyles(t *testing.T) {
	for _, style := range Styles {
		got := outcomes(t, style)
		for i := range 8 {
			if got[i][0] > 0 {
				t.Errorf("%s: flushed sector %d is empty after a cut", style, i)
			}
		}
		f := func(sector int, version byte, want bool) {
			t.Helper()
			if is := got[sector][version] > 0; is != want {
				t.Errorf("%s: sector %d can be version %d: %t, want %t", style, sector, version, is, want)
			}
		}
		some := style != Drop
		f(0, 1, true)
		f(0, 2, some)
		f(5, 2, style == Keep || style == Tear) // Reorder has 3 wherever it has 2
		f(5, 3, some)
		f(14, 2, some)
		f(14, 0, some) // the next is there
	}
}

// Tear mixes old and new within one write; Keep never shows what came later without what came
// before; Reorder does.
func TestOrder(t *testing.T) {
	f := func(style Style, want bool) {
		t.Helper()
		early, late := 0, 0
		for seed := range uint64(300) {
			d := fresh()
			n := create(t, d, d.Root(), "f")
			flush(t, d, d.Root())
			for i := range 10 {
				write(t, d, n, int64(i*8*Sector), sectorsOf(byte(i+1), 8))
			}
			left, counts := d.Restore(style, seed)
			b := append(content(left, left.Lookup(left.Root(), "f")), make([]byte, 80*Sector)...)
			first, last := b[0] != 0, b[79*Sector] != 0
			if last && !first {
				late++
			}
			if first && !last {
				early++
			}
			if counts.Unflushed != 80 || counts.Left > 80 {
				t.Fatalf("%s: %+v", style, counts)
			}
		}
		if (late > 0) != want || early == 0 && style != Drop && style != Reorder {
			t.Errorf("%s: the last without the first %d times, the first without the last %d times", style, late, early)
		}
	}
	f(Drop, false)
	f(Keep, false)
	f(Tear, true)
	f(Reorder, true)
}

// A name that was made, changed or taken away is so for good with the flush of its directory, and
// not with that of the file.
func TestNames(t *testing.T) {
	f := func(prepare func(d *Disk, root *Node), possible ...string) {
		t.Helper()
		got := map[string]bool{}
		for _, style := range Styles {
			for seed := range uint64(60) {
				d := fresh()
				prepare(d, d.Root())
				left, _ := d.Restore(style, seed)
				names, nodes := left.List(left.Root())
				var said strings.Builder
				for i, n := range nodes {
					fmt.Fprintf(&said, "%s=%s ", names[i], content(left, n))
				}
				got[said.String()] = true
			}
		}
		want := map[string]bool{}
		for _, p := range possible {
			want[p] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after a cut there can be %v, want %v", got, want)
		}
	}
	file := func(d *Disk, name, text string) *Node {
		n := create(t, d, d.Root(), name)
		write(t, d, n, 0, []byte(text))
		flush(t, d, n)
		return n
	}
	f(func(d *Disk, _ *Node) { file(d, "a", "x") }, "", "a=x ") // flushed is not named
	f(func(d *Disk, root *Node) { file(d, "a", "x"); flush(t, d, root) }, "a=x ")
	f(func(d *Disk, root *Node) {
		file(d, "a", "x")
		flush(t, d, root)
		file(d, "b", "y")
		d.Rename(root, "b", root, "a", false)
	}, "a=x ", "a=y ", "a=x b=y ") // never neither: a rename is one move
	f(func(d *Disk, root *Node) {
		file(d, "b", "y")
		d.Rename(root, "b", root, "a", false)
		flush(t, d, root)
	}, "a=y ")
	f(func(d *Disk, root *Node) {
		file(d, "a", "x")
		flush(t, d, root)
		d.Remove(root, "a", false)
	}, "", "a=x ")
	f(func(d *Disk, root *Node) {
		n := file(d, "a", "x")
		flush(t, d, root)
		d.Link(n, root, "b")
	}, "a=x ", "a=x b=x ")
	f(func(d *Disk, root *Node) {
		n := create(t, d, root, "a") // named is not flushed
		flush(t, d, root)
		write(t, d, n, 0, []byte("x"))
	}, "a= ", "a=x ")
}

// What is in a directory depends on the directory's own name too.
func TestDirectories(t *testing.T) {
	d := fresh()
	sub, errno := d.Mkdir(d.Root(), "sub", 0o700)
	if errno != 0 {
		t.Fatal(errno)
	}
	n := create(t, d, sub, "f")
	write(t, d, n, 0, []byte("x"))
	flush(t, d, n, sub)
	left, _ := d.Restore(Drop, 1)
	if left.Lookup(left.Root(), "sub") != nil {
		t.Error("a directory whose name was not flushed is there")
	}
	d = fresh()
	sub, _ = d.Mkdir(d.Root(), "sub", 0o700)
	n = create(t, d, sub, "f")
	write(t, d, n, 0, []byte("x"))
	flush(t, d, n, sub, d.Root())
	left, _ = d.Restore(Drop, 1)
	again := left.Lookup(left.Root(), "sub")
	if again == nil || string(content(left, left.Lookup(again, "f"))) != "x" {
		t.Error("what was flushed, and whose directories were, is not there")
	}
	f := func(what string, got, want syscall.Errno) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	d, root := left, left.Root()
	create(t, d, root, "g")
	f("remove what is not empty", d.Remove(root, "sub", true), syscall.ENOTEMPTY)
	f("remove a directory as a file", d.Remove(root, "sub", false), syscall.EISDIR)
	f("remove what is not there", d.Remove(root, "none", false), syscall.ENOENT)
	f("rename over a directory", d.Rename(root, "g", root, "sub", false), syscall.EISDIR)
	f("rename over what is to be kept", d.Rename(again, "f", root, "g", true), syscall.EEXIST)
	f("link a directory", d.Link(again, root, "h"), syscall.EPERM)
	f("link over what is there", d.Link(d.Lookup(root, "g"), root, "sub"), syscall.EEXIST)
	f("rename to another directory", d.Rename(again, "f", root, "g", false), 0)
	f("remove what is empty now", d.Remove(root, "sub", true), 0)
	if names, _ := d.List(root); !slices.Equal(names, []string{"g"}) {
		t.Errorf("there are %v", names)
	}
}

// A size is a change like any other.
func TestResize(t *testing.T) {
	d, n := written(t)
	if errno := d.Resize(n, 2*Sector); errno != 0 {
		t.Fatal(errno)
	}
	if errno := d.Resize(n, 4*Sector); errno != 0 {
		t.Fatal(errno)
	}
	want := append(sectorsOf(2, 2), sectorsOf(0, 2)...)
	if got := content(d, n); !bytes.Equal(got, want) {
		t.Error("what was cut off came back")
	}
	flush(t, d, n)
	left, _ := d.Restore(Drop, 1)
	if got := content(left, left.Lookup(left.Root(), "f")); !bytes.Equal(got, want) {
		t.Error("a size that was flushed is not there")
	}
}
