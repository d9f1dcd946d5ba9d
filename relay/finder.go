package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"countersign/outbox/store"
)

// The finder leads from the id of a record or a change to where it stands in the history. An index
// with a random key for each would cost each a page; so the history is taken in segments of
// segmentSize entries, in the order of its keys, and of each segment a sorted list is kept of what
// stands in it: one look for each segment finds an id, or finds that it is not there. What no
// segment has yet is looked at entry by entry.
//
//	finder  0x01 segment 0x00                     when its first and its last entry were
//	finder  0x01 segment 0x01 first digest        entries: digest of the id, and its time, sorted
//	finder  0x02 digest time                      an entry that came to stand behind the segments' end
//
// A segment's number counts up, and is that of the time of its first entry by nothing but order. A
// record that waited for its subject is put where it arrived, so it may come to stand where a segment
// has been already. Everything here follows from the history, and is made again where it is damaged.
const (
	segmentSize  = 1 << 13 // entries
	finderParts  = 0x01
	finderLate   = 0x02
	digestSize   = 6
	finderEntry  = digestSize + 5                // a digest, and milliseconds since the first of the segment
	finderRecord = 3840 / finderEntry            // entries of a record: a page
	finderRest   = time.Second / 2               // when there is no segment to be made
	finderPause  = 20 * time.Millisecond         // between two
	finderLook   = 8 * segmentSize               // entries that no segment has, looked at for one id at most
	finderSame   = 4                             // entries of one id that are kept of a segment: a callback may come again and again
	finderSweep  = 500                           // late entries looked at in one step of the retention
	idMark       = `"id":"`                      // begins the id of a record, and
	recordIDMark = `"update":{"schema_version":` // stands some digits before it
)

// finderAt is up to where the history is in segments: a key of it, which is not.
var finderAt = []byte("relay/finder")

// idOf is the id of an entry of the history by its body; nil: it has none that could be found.
func entryID(key, body []byte) []byte {
	if len(key) < historyHead {
		return nil
	}
	switch key[historyHead-1] {
	case kindRecord:
		at := bytes.Index(body, []byte(recordIDMark))
		if at < 0 {
			return nil
		}
		body = body[at+len(recordIDMark):]
		if at = bytes.IndexByte(body, ','); at < 0 || at > 8 {
			return nil
		}
		body = body[at+1:]
	case kindChange:
		return changeID(body)
	default:
		return nil
	}
	body, ok := bytes.CutPrefix(body, []byte(idMark))
	end := bytes.IndexByte(body, '"')
	if !ok || end <= 0 {
		return nil
	}
	return body[:end]
}

// digestOfID tells ids apart, well enough that a wrong one is looked at seldom.
func digestOfID(id []byte) (d [digestSize]byte) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], xxhash.Sum64(id))
	copy(d[:], b[:])
	return d
}

// millis is when an entry of the history is, by its key.
func millis(key []byte) int64 { return int64(binary.BigEndian.Uint64(key) / 1000) } //nolint:gosec // written by historyKey

func segmentKey(n uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{finderParts}, n), 0)
}

// segment is one that is about to be written.
type segment struct {
	first, last int64  // milliseconds
	entries     []byte // of finderEntry bytes each
	end         []byte // of the history: the key behind it
	n           int    // entries of the history, those without an id too
}

// gather reads the next segment from the history; not whole: there is not enough for one yet.
func gather(tx *store.Tx, from []byte, size int) (s segment, whole bool) {
	c := tx.Bucket(store.History).Cursor()
	for k, v := c.Seek(from); k != nil; k, v = c.Next() {
		if len(k) < historyHead {
			continue // damaged
		}
		if s.n == size {
			s.end = bytes.Clone(k)
			return s, true
		}
		at := millis(k)
		if s.n == 0 {
			s.first = at
		}
		s.n, s.last = s.n+1, at
		_, body, ok := entry(v)
		if id := entryID(k, body); ok && id != nil {
			d := digestOfID(id)
			since := binary.BigEndian.AppendUint64(nil, uint64(max(0, at-s.first)))
			s.entries = append(append(s.entries, d[:]...), since[8-finderEntry+digestSize:]...)
		}
	}
	return s, false
}

// write puts a segment down behind the last.
func (s *segment) write(tx *store.Tx) error {
	b := tx.Bucket(store.Finder)
	n := uint64(1)
	if k := lastSegment(b); k != nil {
		n += binary.BigEndian.Uint64(k[1:])
	}
	head := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(s.first)), uint64(s.last)) //nolint:gosec // after 1970
	if err := b.Put(segmentKey(n), head); err != nil {
		return err
	}
	rows := make([][]byte, 0, len(s.entries)/finderEntry)
	for row := range slices.Chunk(s.entries, finderEntry) {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, bytes.Compare)
	rows = few(rows)
	for part := range slices.Chunk(rows, finderRecord) {
		k := append(binary.BigEndian.AppendUint64([]byte{finderParts}, n), 1)
		record := store.StartRecord(len(part)*finderEntry + 8)
		record = binary.BigEndian.AppendUint64(record, uint64(s.first)) //nolint:gosec // after 1970
		for _, row := range part {
			record = append(record, row...)
		}
		if err := b.PutRecord(append(k, part[0][:digestSize]...), record); err != nil {
			return err
		}
	}
	return tx.Bucket(store.Meta).Put(finderAt, s.end)
}

// lastSegment is a key of the last segment; nil: there is none.
func lastSegment(b store.Bucket) []byte {
	c := b.Cursor()
	back := c.Prev
	if k, _ := c.Seek([]byte{finderLate}); k == nil {
		back = c.Last
	}
	k, _ := back()
	if len(k) < 10 || k[0] != finderParts {
		return nil
	}
	return k
}

// find makes segments, one at a time, until ctx ends.
func (r *Relay) find(ctx context.Context) error {
	for {
		made, err := r.findSome(ctx)
		if err != nil && !isFull(err) {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // stopping
			}
			return err
		}
		rest := finderRest
		if made {
			rest = finderPause
		}
		if !pause(ctx, rest) {
			return nil
		}
	}
}

// findSome makes one segment, if there is enough for one. The fold waits meanwhile: what it puts
// behind the end of the segments is theirs to know.
func (r *Relay) findSome(ctx context.Context) (made bool, err error) {
	if n := r.unfound.Load(); n >= 0 && n < r.segment.Load() {
		return false, nil
	}
	r.folding.Lock()
	defer r.folding.Unlock()
	var s segment
	err = r.o.Store.View(func(tx *store.Tx) error {
		from, err := tx.Bucket(store.Meta).Get(finderAt)
		if err == nil {
			s, made = gather(tx, from, int(r.segment.Load()))
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if !made {
		r.unfound.Store(int64(s.n))
		return false, nil
	}
	if err = r.o.Store.Update(ctx, func(tx *store.Tx) error { return s.write(tx) }); err == nil {
		r.unfound.Store(-1)
	}
	return true, err
}

// few leaves the first of the entries of each id, sorted.
func few(rows [][]byte) [][]byte {
	n := 0
	var last []byte
	return slices.DeleteFunc(rows, func(row []byte) bool {
		if n++; !bytes.Equal(row[:digestSize], last) {
			last, n = row[:digestSize], 1
		}
		return n > finderSame
	})
}

// noteUnfound counts what the fold has put into the history.
func (r *Relay) noteUnfound(ws []write) {
	if r.unfound.Load() < 0 {
		return
	}
	for i := range ws {
		if ws[i].bucket == store.History && ws[i].value != nil {
			r.unfound.Add(1)
		}
	}
}

// late notes an entry of the history that comes to stand where segments have been already. end is
// up to where they have.
func late(tx *store.Tx, end, key, value []byte) error {
	if len(end) == 0 || bytes.Compare(key, end) >= 0 {
		return nil
	}
	_, body, ok := entry(value)
	id := entryID(key, body)
	if !ok || id == nil {
		return nil
	}
	return tx.Bucket(store.Finder).Put(lateKey(digestOfID(id), millis(key)))
}

func lateKey(d [digestSize]byte, at int64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{finderLate}, d[:]...), uint64(at)) //nolint:gosec // after 1970
}

// retainFinder removes a segment whose entries have all had their time, and a step of late entries
// that have.
func (r *Relay) retainFinder(ctx context.Context) (more bool, err error) {
	keep := r.keep.Load().History
	if keep <= 0 {
		return false, nil
	}
	until := r.o.Now().Add(-keep).UnixMilli()
	var gone []removal
	err = r.o.Store.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Finder).Cursor()
		k, v := c.Seek([]byte{finderParts})
		if len(k) == 10 && k[0] == finderParts && len(v) == 16 && int64(binary.BigEndian.Uint64(v[8:])) < until { //nolint:gosec // written by write
			prefix := bytes.Clone(k[:9])
			for ; bytes.HasPrefix(k, prefix); k, _ = c.Next() {
				gone = append(gone, removal{store.Finder, bytes.Clone(k)})
			}
			more = true
		}
		if r.latest == nil {
			r.latest = []byte{finderLate}
		}
		k, _ = c.Seek(r.latest)
		for n := 0; ; k, _ = c.Next() {
			if len(k) != 1+digestSize+8 {
				r.latest = nil
				return nil
			}
			if n++; n > finderSweep {
				r.latest = bytes.Clone(k)
				return nil
			}
			if int64(binary.BigEndian.Uint64(k[1+digestSize:])) < until { //nolint:gosec // written by lateKey
				gone = append(gone, removal{store.Finder, bytes.Clone(k)})
			}
		}
	})
	if err == nil {
		err = r.remove(ctx, gone, nil)
	}
	return more, err
}

// refind forgets all that the finder knows, so that it is made anew.
func (r *Relay) refind(ctx context.Context) error {
	for more := true; more; {
		err := r.o.Store.Update(ctx, func(tx *store.Tx) error {
			b := tx.Bucket(store.Finder)
			var ks [][]byte
			c := b.Cursor()
			k, _ := c.First()
			for ; k != nil && len(ks) < repairStep; k, _ = c.Next() {
				ks = append(ks, bytes.Clone(k))
			}
			more = k != nil
			for _, k := range ks {
				if err := b.Delete(k); err != nil {
					return err
				}
			}
			return tx.Bucket(store.Meta).Delete(finderAt)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
