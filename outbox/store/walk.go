package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
)

// A walk reads a file page by page as bbolt lays it out
// (https://pkg.go.dev/go.etcd.io/bbolt/internal/common), and believes nothing: bbolt itself takes
// what stands in a page at its word, and panics, or eats all memory, where that is damaged. It
// needs a bit for each page, and a page.
type walk struct {
	file  []byte // mapped
	page  int64
	high  int64    // pages that may be in use
	root  uint64   // of the bucket of buckets
	seen  []uint64 // bits: pages that were met
	parts []uint8  // that the file has beside the node's own, in order
	bent  uint64   // a page whose place or order is damaged, so that bbolt would not find what is there; 0: none
	done  int64    // bytes of them
	visit func(leafRecord) error
	tick  func(done, total int64)
	ctx   context.Context //nolint:containedctx // of one walk

	harder bool // see harder.go
}

// leafRecord is what one element of a leaf holds. Its slices are parts of the mapped file.
type leafRecord struct {
	bucket Name
	key    []byte
	value  []byte
	elem   []byte  // its 16 bytes in the leaf's table
	rest   []byte  // from there to the end of the page
	last   *bool   // set by who visits it if a damaged key breaks the order of its leaf
	parts  []uint8 // that the file has beside the node's own
}

const (
	pageHead   = 16
	elemSize   = 16
	flagBranch = 0x01
	flagLeaf   = 0x02
	flagBucket = 0x01 // of a leaf's element
	maxDepth   = 32   // of a tree; a full one of 64 GiB has 6
	boltMagic  = 0xED0CDAED
	boltLayout = 2
	tickEvery  = 1024 // pages
)

// errShape says that the tree itself is damaged, at a page.
type shapeError struct {
	page uint64
	what string
}

// Error implements error.
func (e *shapeError) Error() string { return fmt.Sprintf("page %d: %s", e.page, e.what) }

func shape(page uint64, format string, args ...any) error {
	return &shapeError{page, fmt.Sprintf(format, args...)}
}

// walkFile calls visit with every record of every bucket in the order of the file. Errors are
// visit's, ctx's, or of the file's shape. bent says that some stand where bbolt would not find
// them.
func walkFile(ctx context.Context, path string, visit func(leafRecord) error, tick func(done, total int64), harder bool) (bent bool, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator's own file
	if err != nil {
		return false, err
	}
	defer f.Close()                                                                                              //nolint:errcheck // read only
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) { // closing gives it back
		return false, ErrLocked
	}
	return walkOpen(ctx, f, visit, tick, harder)
}

// walkOpen is walkFile of a file that is open already, and that nobody writes to, or none of the
// pages that can be reached at this moment.
func walkOpen(ctx context.Context, f *os.File, visit func(leafRecord) error, tick func(done, total int64), harder bool) (bent bool, err error) {
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !fi.Mode().IsRegular() {
		return false, shape(0, "not a regular file")
	}
	if fi.Size() < 4*4096 {
		return false, shape(0, "%d bytes are too few", fi.Size())
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, int(fi.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return false, fmt.Errorf("map: %w", err)
	}
	defer syscall.Munmap(m)                                  //nolint:errcheck // read only
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a bad sector is a fault
	defer func() {
		if p := recover(); p != nil {
			err = shape(0, "it cannot be read: %v", p)
		}
	}()
	w := &walk{file: m, visit: visit, tick: tick, ctx: ctx, harder: harder}
	if err := w.meta(); err != nil {
		return false, err
	}
	err = w.buckets()
	return w.bent != 0, err
}

// meta goes by the meta page that bbolt goes by.
func (w *walk) meta() error {
	m, found := newestMeta(bytes.NewReader(w.file))
	w.page, w.root, w.high = m.page, m.root, int64(m.high) //nolint:gosec // checked below
	switch size := int64(len(w.file)); {
	case !found:
		return shape(0, "neither meta page is sound")
	case w.page != int64(os.Getpagesize()):
		return shape(0, "pages of %d bytes", w.page)
	case w.high < 4 || w.high > size/w.page:
		return shape(0, "it should have %d pages and has %d: it has been cut off", w.high, size/w.page)
	}
	w.seen = make([]uint64, w.high/64+1)
	return nil
}

// buckets walks each bucket, the one that says which layout this is first.
func (w *walk) buckets() error {
	values := map[Name][]byte{}
	var strange error
	unknown := 0
	err := w.tree(w.root, bounds{}, 0, func(_ uint64, flags uint32, r leafRecord) error {
		n := bucketOf(r.key)
		if n == 0 {
			n = nearest(r.key)
			w.bend(w.root)
		}
		if flags&flagBucket == 0 {
			w.bend(w.root)
		}
		if n == 0 || len(r.value) < 16 || values[n] != nil {
			strange = fmt.Errorf("it has a bucket %.40q, which this program never made", r.key)
			if unknown++; unknown > buckets {
				return strange
			}
			return nil
		}
		values[n] = r.value
		return nil
	})
	if err != nil {
		return err
	}
	for n := range values {
		if p := n.part(); p != 0 && !slices.Contains(w.parts, p) {
			w.parts = append(w.parts, p)
		}
	}
	slices.Sort(w.parts)
	for _, part := range every(w.parts) {
		for _, n := range namesOf(part) { // Meta is the first
			v := values[n]
			if v == nil {
				if strange == nil {
					strange = fmt.Errorf("it has no bucket %s", n)
				}
				continue
			}
			if err := w.bucket(n, v); err != nil {
				return err
			}
		}
	}
	return strange
}

// bucket walks one of which the root says this.
func (w *walk) bucket(n Name, v []byte) error {
	if root := binary.LittleEndian.Uint64(v); root != 0 {
		return w.tree(root, bounds{}, 0, w.leafVisitor(n))
	}
	return w.inside(v[16:], w.leafVisitor(n))
}

// inside walks a bucket that is so small that it stands in the root. bbolt goes by the head of its
// page as by that of any other: of one that says anything but that it is a leaf it would read what
// is not there.
func (w *walk) inside(b []byte, each func(uint64, uint32, leafRecord) error) error {
	le := binary.LittleEndian
	if len(b) >= pageHead && (le.Uint64(b) != 0 || le.Uint16(b[8:]) != flagLeaf || le.Uint32(b[12:]) != 0) {
		w.bend(w.root)
	}
	if is := held(b); is >= 0 && is != int(le.Uint16(b[10:])) {
		w.bend(w.root)
		b = bytes.Clone(b)
		le.PutUint16(b[10:], uint16(is)) //nolint:gosec // it fits into a page
	}
	return w.leaf(0, b, bounds{}, each)
}

// held is how many records a page inside the root has by where its first one stands; -1: that says
// nothing.
func held(b []byte) int {
	switch {
	case len(b) == pageHead:
		return 0
	case len(b) < pageHead+elemSize:
		return -1
	}
	n := int(binary.LittleEndian.Uint32(b[pageHead+4:]) / elemSize)
	if n == 0 || pageHead+n*elemSize > len(b) {
		return -1
	}
	return n
}

func (w *walk) leafVisitor(n Name) func(uint64, uint32, leafRecord) error {
	return func(page uint64, flags uint32, r leafRecord) error {
		if flags != 0 { // bbolt would take it for a bucket
			w.bend(page)
		}
		r.bucket, r.parts = n, w.parts
		return w.visit(r)
	}
}

// take marks a page as met and returns all of its bytes, with those of the pages that follow it.
func (w *walk) take(id uint64) ([]byte, error) {
	at := int64(id) //nolint:gosec // a page number that is too large is negative
	if at < 2 || at >= w.high {
		return nil, shape(id, "there is no such page")
	}
	b := w.file[at*w.page:]
	if binary.LittleEndian.Uint64(b) != id {
		w.bend(id) // another page stands here, or its number is damaged
	}
	if w.harder {
		b = w.whole(at)
		w.bend(id)
	}
	n := 1 + int64(binary.LittleEndian.Uint32(b[12:]))
	if at+n > w.high {
		return nil, shape(id, "it goes on for %d pages, beyond the end", n)
	}
	for i := id; i < id+uint64(n); i++ {
		if w.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, shape(i, "two places lead to it")
		}
		w.seen[i/64] |= 1 << (i % 64)
	}
	before := w.done
	w.done += n * w.page
	if before/w.page/tickEvery != w.done/w.page/tickEvery {
		if w.tick != nil {
			w.tick(w.done, w.high*w.page)
		}
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
	}
	return b[:n*w.page], nil
}

func (w *walk) bend(page uint64) { w.bent = max(w.bent, page, 1) }

// bounds are what the branches above a page say of its keys. nil: nothing.
type bounds struct{ low, high, first []byte }

func (b *bounds) hold(key []byte) bool {
	return (b.low == nil || bytes.Compare(key, b.low) >= 0) && (b.high == nil || bytes.Compare(key, b.high) < 0)
}

// begin reports whether a page's first key is the one by which its branch knows it: bbolt finds a
// page's place in its branch by that, and would make a second one.
func (b *bounds) begin(key []byte) bool { return b.first == nil || bytes.Equal(key, b.first) }

// tree walks the pages below one.
func (w *walk) tree(id uint64, in bounds, depth int, each func(uint64, uint32, leafRecord) error) error {
	if depth > maxDepth {
		return shape(id, "the tree is too deep")
	}
	b, err := w.take(id)
	if err != nil {
		return err
	}
	switch flags := binary.LittleEndian.Uint16(b[8:]); flags {
	case flagLeaf:
		return w.leaf(id, b, in, each)
	case flagBranch:
		return w.branch(id, b, in, depth, each)
	default:
		return shape(id, "it is neither a branch nor a leaf")
	}
}

func (w *walk) branch(id uint64, b []byte, in bounds, depth int, each func(uint64, uint32, leafRecord) error) error {
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if n == 0 || pageHead+n*elemSize > len(b) {
		return shape(id, "a branch of %d", n)
	}
	for i := range n {
		k, child, ok := branchElement(b[pageHead+i*elemSize:])
		if w.harder {
			if err := w.tree(w.child(child, k), bounds{}, depth+1, each); err != nil {
				return err
			}
			continue
		}
		next := in.high
		if i+1 < n {
			var readable bool
			next, _, readable = branchElement(b[pageHead+(i+1)*elemSize:])
			ok = ok && readable
		}
		if !ok {
			return shape(id, "a key beyond its end")
		}
		if i == 0 && !in.begin(k) || !in.hold(k) || next != nil && bytes.Compare(k, next) >= 0 {
			w.bend(id)
		}
		low := k
		if i == 0 {
			low = in.low // what is less than a branch's first key is looked for there too
		}
		if err := w.tree(child, bounds{low: low, high: next, first: k}, depth+1, each); err != nil {
			return err
		}
	}
	return nil
}

// leaf calls each with the records of a leaf. Whoever visits one that is damaged says so, and it
// does not count for the order of the others.
func (w *walk) leaf(id uint64, b []byte, in bounds, each func(uint64, uint32, leafRecord) error) error {
	if len(b) < pageHead {
		return shape(id, "too small for a page")
	}
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if pageHead+n*elemSize > len(b) {
		return shape(id, "a leaf of %d", n)
	}
	var last []byte
	for i := range n {
		at := pageHead + i*elemSize
		damaged := false
		flags, key, value, ok := element(b[at:])
		r := leafRecord{key: key, value: value, elem: b[at : at+elemSize], rest: b[at:], last: &damaged}
		if !ok {
			r.key, r.value = nil, nil
		}
		if err := each(id, flags, r); err != nil {
			return err
		}
		switch {
		case damaged:
		case !ok:
			return shape(id, "a record beyond its end")
		default:
			if i == 0 && !in.begin(key) || last != nil && bytes.Compare(last, key) >= 0 || !in.hold(key) {
				w.bend(id)
			}
			last = key
		}
	}
	return nil
}

// element reads an element of a leaf's table and what it points to.
func element(b []byte) (flags uint32, key, value []byte, ok bool) {
	le := binary.LittleEndian
	flags = le.Uint32(b)
	pos, ksize, vsize := uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
	if pos < elemSize || pos+ksize+vsize > uint64(len(b)) {
		return flags, nil, nil, false
	}
	return flags, b[pos : pos+ksize : pos+ksize], b[pos+ksize : pos+ksize+vsize : pos+ksize+vsize], true
}
