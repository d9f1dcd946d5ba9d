package store

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// A walk that tries harder undoes one flipped bit of a page's header, or of what a branch says of a
// page: what else stands in the page tells. It may be wrong, so what it finds counts only if it
// adds up to the very sums that the file was written with.

// maxWhole is the largest page that is copied to be believed.
const maxWhole = 64 << 20

// whole is a page that may go on over others, with a header that can be believed: as it stands in
// the file, or a copy.
func (w *walk) whole(at int64) []byte {
	raw := w.file[at*w.page : w.high*w.page]
	le := binary.LittleEndian
	flags, n, over := le.Uint16(raw[8:]), le.Uint16(raw[10:]), le.Uint32(raw[12:])
	kind := w.kind(raw, flags)
	count := counted16(raw, kind, n)
	end := w.extent(raw, kind, int(count))
	if want := uint32((max(end, 1) - 1) / int(w.page)); bits.OnesCount32(over^want) == 1 { //nolint:gosec // far below 2^32 pages
		over = want
	}
	size := min((1+int64(over))*w.page, int64(len(raw)))
	if kind == flags && count == n && over == le.Uint32(raw[12:]) || size > maxWhole {
		return raw[:size]
	}
	page := bytes.Clone(raw[:size])
	le.PutUint16(page[8:], kind)
	le.PutUint16(page[10:], count)
	le.PutUint32(page[12:], over)
	return page
}

// kind is whether a page is a branch or a leaf, although one bit of that may have flipped.
func (w *walk) kind(raw []byte, flags uint16) uint16 {
	branch, leaf := bits.OnesCount16(flags^flagBranch), bits.OnesCount16(flags^flagLeaf)
	switch {
	case flags == flagBranch, flags == flagLeaf:
		return flags
	case branch == 1 && leaf == 1 && w.stands(binary.LittleEndian.Uint64(raw[pageHead+8:])):
		return flagBranch
	case leaf == 1:
		return flagLeaf
	case branch == 1:
		return flagBranch
	default:
		return flags
	}
}

// stands reports whether there is a page of this number, in its place.
func (w *walk) stands(id uint64) bool {
	return id >= 2 && id < uint64(w.high) && binary.LittleEndian.Uint64(w.file[id*uint64(w.page):]) == id //nolint:gosec // both are positive
}

// counted16 is how many elements a page has: what the first of them points to begins where their
// table ends.
func counted16(raw []byte, kind, n uint16) uint16 {
	first := binary.LittleEndian.Uint32(raw[pageHead:])
	if kind == flagLeaf {
		first = binary.LittleEndian.Uint32(raw[pageHead+4:])
	}
	want := first / elemSize
	if first%elemSize == 0 && want <= 1<<16-1 && bits.OnesCount16(n^uint16(want)) == 1 {
		return uint16(want)
	}
	return n
}

// extent is where the last of the elements of a page ends, in bytes from its beginning; 0:
// somewhere beyond the file.
func (w *walk) extent(raw []byte, kind uint16, n int) (end int) {
	le := binary.LittleEndian
	end = pageHead
	for i := range n {
		at := pageHead + i*elemSize
		if at+elemSize > len(raw) {
			return 0
		}
		e := raw[at:]
		length := int(le.Uint32(e)) + int(le.Uint32(e[4:]))
		if kind == flagLeaf {
			length = int(le.Uint32(e[4:])) + int(le.Uint32(e[8:])) + int(le.Uint32(e[12:]))
		}
		if at+length > len(raw) {
			return 0
		}
		end = max(end, at+length)
	}
	return end
}

// child is the page that an element of a branch leads to, although one bit of that may have
// flipped. key is by which the branch knows it; nil: that cannot be read.
func (w *walk) child(id uint64, key []byte) uint64 {
	if w.stands(id) && w.seen[id/64]&(1<<(id%64)) == 0 {
		return id
	}
	for bit := range 64 {
		other := id ^ 1<<bit
		if w.stands(other) && w.seen[other/64]&(1<<(other%64)) == 0 && (key == nil || bytes.Equal(w.firstKey(other), key)) {
			return other
		}
	}
	return id
}

// firstKey is the first key of a page; nil: it has none that can be read.
func (w *walk) firstKey(id uint64) []byte {
	b := w.whole(int64(id)) //nolint:gosec // it stands
	if len(b) < pageHead+elemSize || binary.LittleEndian.Uint16(b[10:]) == 0 {
		return nil
	}
	if binary.LittleEndian.Uint16(b[8:]) == flagLeaf {
		_, key, _, _ := element(b[pageHead:])
		return key
	}
	key, _, _ := branchElement(b[pageHead:])
	return key
}

// branchElement reads an element of a branch's table. Without a key, the page is there all the
// same.
func branchElement(b []byte) (key []byte, child uint64, ok bool) {
	pos, size := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
	child = binary.LittleEndian.Uint64(b[8:])
	if pos < elemSize || pos+size > uint64(len(b)) {
		return nil, child, false
	}
	return b[pos : pos+size : pos+size], child, true
}
