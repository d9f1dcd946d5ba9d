package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// Tx is a transaction in one part of the file. What it hands out is part of the file: it is valid
// until the transaction ends, and must not be changed.
type Tx struct {
	bolt  *bolt.Tx
	part  uint8
	is    presence                  // of the part
	raw   bool                      // it is the store's own: for it a part that is being dropped is there
	all   *joint                    // of a write transaction of the writer: those in other parts
	seeks [buckets + 1]*bolt.Cursor // used again by each search that keeps no place: BenchmarkGet
	open  [buckets + 1]*bolt.Bucket // those that have been asked for: bbolt makes one anew each time, of a name
	sums  *sums                     // of a write transaction: what it will leave; nil: it only reads

	looked  int // see Looked
	puts    int // records written
	deletes int // records taken away, or not there to begin with

	watch  *func(n Name, key []byte) // see Store.Watch; nil: nobody watches
	noting bool                      // somebody copies the file
	noted  []string                  // see note

	last []func() error // see Last
}

// Looked is how many records the transaction has looked at so far, there or not. Whoever promises
// not to walk is held to it by this: everybody waits for the writer.
func (tx *Tx) Looked() int { return tx.looked }

// Bucket is one bucket. Every record in it carries a checksum over its part, its bucket, its key
// and its body, so what is read is what was written, under this key, or it is said to be damaged.
type Bucket struct {
	tx   *Tx
	bolt *bolt.Bucket // nil: nobody has written to the part yet
	name Name
}

// Bucket returns a bucket of the transaction's part. Which ones a part has, inParts says: whoever
// asks for another one is mistaken, and the transaction panics.
func (tx *Tx) Bucket(n Name) Bucket {
	if n = n.of(tx.part); tx.part != 0 && !inParts[n.bare()] {
		panic(fmt.Sprintf("no partition has a bucket %s", n))
	}
	b := tx.open[n.bare()]
	if b == nil && tx.presence() == present {
		b = tx.bolt.Bucket(n.inFile())
		b.FillPercent = n.fill()
		tx.open[n.bare()] = b
	}
	return Bucket{tx, b, n}
}

// now is the bucket as it is now: somebody may have written to the part for the first time since it
// was asked for.
func (b Bucket) now() Bucket {
	if b.bolt == nil {
		return b.tx.Bucket(b.name)
	}
	return b
}

// node is the transaction in the node's own part.
func (tx *Tx) node() *Tx {
	if tx.part == 0 {
		return tx
	}
	return tx.all.tx(0)
}

// WriteTo copies the whole file as the transaction sees it.
func (tx *Tx) WriteTo(w io.Writer) (int64, error) { return tx.bolt.WriteTo(w) }

// Last calls fn in a write transaction when all else of it has been written: what each of many
// callers moves on is then written once. An error of it is one of the commit.
func (tx *Tx) Last(fn func() error) { tx.last = append(tx.last, fn) }

// OnCommit calls fn when a write transaction is on stable storage.
func (tx *Tx) OnCommit(fn func()) { tx.bolt.OnCommit(fn) }

// Get returns the body of the record with this key; nil: there is none; ErrBadRecord: there is one,
// and it is damaged.
func (b Bucket) Get(key []byte) (body []byte, err error) {
	v := b.Raw(key)
	if v == nil {
		return nil, nil
	}
	if body, err = unwrap(b.name, key, v); err != nil {
		return nil, fmt.Errorf("bucket %s: %w", b.name, err)
	}
	return body, nil
}

// Has reports whether there is a record with this key, damaged or not.
func (b Bucket) Has(key []byte) bool { return b.Raw(key) != nil }

// Raw returns a record as it stands in the file, damaged or not; nil: there is none.
func (b Bucket) Raw(key []byte) []byte {
	b.tx.looked++
	_, v := b.find(key)
	return v
}

// seek is a cursor that keeps no place from one search to the next; nil: there is nothing to search.
func (b Bucket) seek() *bolt.Cursor {
	c := b.tx.seeks[b.name.bare()]
	if c == nil {
		if b = b.now(); b.bolt == nil {
			return nil
		}
		c = b.bolt.Cursor()
		b.tx.seeks[b.name.bare()] = c
	}
	return c
}

// find is what stands under a key, and the cursor that is at it; nil: nothing.
func (b Bucket) find(key []byte) (c *bolt.Cursor, record []byte) {
	if c = b.seek(); c == nil {
		return nil, nil
	}
	k, v := c.Seek(key)
	if !bytes.Equal(k, key) {
		return c, nil
	}
	return c, v
}

// From is the first record whose key is not before this one, as a Cursor finds it; its key is nil at
// the end. It is for who looks once, and costs no cursor.
func (b Bucket) From(key []byte) (k, body []byte) {
	b.tx.looked++
	c := b.seek()
	if c == nil {
		return nil, nil
	}
	if k, v := c.Seek(key); k != nil {
		body, _ = unwrap(b.name, k, v) // nil: it is damaged
		return k, body
	}
	return nil, nil
}

// Put writes a record of these parts in place of whatever has its key. It copies them.
func (b Bucket) Put(key []byte, body ...[]byte) error { return b.PutRecord(key, NewRecord(body...)) }

// PutRecord writes a record that StartRecord began. It is the file's until the transaction has
// ended.
func (b Bucket) PutRecord(key, record []byte) error {
	finish(b.name, key, record)
	return b.putAsIs(key, record)
}

// putAsIs writes a record with the head that it has.
func (b Bucket) putAsIs(key, record []byte) error {
	if b = b.now(); b.bolt == nil {
		if err := b.tx.begin(); err != nil {
			return fmt.Errorf("bucket %s: %w", b.name, err)
		}
		b = b.now()
	}
	b.tx.note(b.name, key)
	b.tx.puts++
	_, was := b.find(key)
	b.tx.sums.move(b.name, was, record)
	if err := b.bolt.Put(key, record); err != nil {
		return fmt.Errorf("bucket %s: %w", b.name, err)
	}
	return nil
}

// Delete takes a record away. It is no error if there is none.
func (b Bucket) Delete(key []byte) error {
	b.tx.note(b.name, key)
	b.tx.deletes++
	c, was := b.find(key) // one search for both, what is there and its end: BenchmarkDelete
	if was == nil {
		return nil
	}
	b.tx.sums.move(b.name, was, nil)
	if err := c.Delete(); err != nil {
		return fmt.Errorf("bucket %s: %w", b.name, err)
	}
	return nil
}

// Cursor walks a bucket in the order of its keys. A record that is damaged has the body nil, and
// its key may be: pass it over, and take its key for nobody's. A sound one's body is never nil.
type Cursor struct {
	bucket Bucket
	bolt   *bolt.Cursor // nil: there was nothing to walk
}

// Cursor returns a cursor of the bucket. Put and Delete while it walks make it lose its place.
func (b Bucket) Cursor() *Cursor {
	c := &Cursor{bucket: b}
	c.walks()
	return c
}

// walks reports whether there is something to walk.
func (c *Cursor) walks() bool {
	if c.bolt == nil {
		if b := c.bucket.now(); b.bolt != nil {
			c.bolt = b.bolt.Cursor()
		}
	}
	return c.bolt != nil
}

// Seek moves to the first key that is not before this one; its key is nil at the end.
func (c *Cursor) Seek(key []byte) (k, body []byte) {
	if !c.walks() {
		return nil, nil
	}
	return c.sound(c.bolt.Seek(key))
}

// First moves to the first key.
func (c *Cursor) First() (k, body []byte) { return c.move((*bolt.Cursor).First) }

// Last moves to the last key.
func (c *Cursor) Last() (k, body []byte) { return c.move((*bolt.Cursor).Last) }

// Next moves to the next key.
func (c *Cursor) Next() (k, body []byte) { return c.move((*bolt.Cursor).Next) }

// Prev moves to the key before.
func (c *Cursor) Prev() (k, body []byte) { return c.move((*bolt.Cursor).Prev) }

func (c *Cursor) move(to func(*bolt.Cursor) (k, v []byte)) (k, body []byte) {
	if !c.walks() {
		return nil, nil
	}
	return c.sound(to(c.bolt))
}

func (c *Cursor) sound(k, v []byte) (key, body []byte) {
	c.bucket.tx.looked++
	if k == nil {
		return nil, nil
	}
	body, err := unwrap(c.bucket.name, k, v)
	if err != nil {
		return k, nil
	}
	return k, body
}

// sums are, for each bucket of a part, how many records it holds and the sum of the checksums that they
// carry. They are written with every commit, so that a record that has gone, or has come back as it
// was before, is noticed although each that is there is sound: a page that was never written, or
// that was written over by an older one.
type sums struct {
	of    [buckets + 1]sum
	moved bool
}

type sum struct{ count, total uint64 }

// move takes one record out of the sums and another in; nil is none.
func (s *sums) move(n Name, was, is []byte) {
	if n = n.bare(); n == Meta { // it holds the sums, and each of its records is known by name
		return
	}
	s.moved = true
	if was != nil {
		s.of[n].count--
		s.of[n].total -= stored(was)
	}
	if is != nil {
		s.of[n].count++
		s.of[n].total += stored(is)
	}
}

var sumsKey = []byte("store/sums")

func (s *sums) encode() []byte {
	b := make([]byte, 0, 16*buckets)
	for _, of := range s.of[1:] {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, of.count), of.total)
	}
	return b
}

func (s *sums) decode(b []byte) error {
	if len(b) != 16*buckets {
		return fmt.Errorf("the sums of the buckets: %w", ErrBadRecord)
	}
	for i := range s.of[1:] {
		s.of[i+1] = sum{binary.BigEndian.Uint64(b[16*i:]), binary.BigEndian.Uint64(b[16*i+8:])}
	}
	return nil
}

// keep writes into their transaction what is written last, and the sums behind it.
func (s *sums) keep(tx *Tx) error {
	for _, fn := range tx.last {
		if err := fn(); err != nil {
			return err
		}
	}
	if !s.moved {
		return nil
	}
	return tx.Bucket(Meta).Put(sumsKey, s.encode())
}

// Number is a count or a position in Meta; 0: it has never been set. Meta is checked when the file
// is opened, so an error is of something that happened since.
func (tx *Tx) Number(key []byte) (int64, error) {
	v, err := tx.Bucket(Meta).Get(key)
	if err != nil || v == nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("meta %s: %w", key, ErrBadRecord)
	}
	return int64(binary.BigEndian.Uint64(v)), nil //nolint:gosec // written by SetNumber
}

// SetNumber sets what Number reads.
func (tx *Tx) SetNumber(key []byte, n int64) error {
	return tx.Bucket(Meta).Put(key, binary.BigEndian.AppendUint64(nil, uint64(n))) //nolint:gosec // read as it was written
}

// ForEach calls fn with every record in the order of its keys, a damaged one with the body nil.
func (b Bucket) ForEach(fn func(key, body []byte) error) error {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}
