package journal

import (
	"encoding/binary"
	"sync"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// key is where a record stands.
func key(at Position) []byte { return at.AppendTo(make([]byte, 0, PositionSize)) }

// offset is that of the record under a key.
func offset(k []byte) int64 {
	p, _ := PositionOf(k)
	return p.Offset
}

// Said is the record of an update of which nothing changes any more. Its body stands where it will
// stand in the file, so that Append copies nothing (BenchmarkAppend): the update is written into
// memory that is used again, since nobody knows how long it comes to, and from there into as much
// as it takes, which stays for as long as a reader may want it.
func Said(u *kyc.Update) Record {
	scratch := scratches.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer scratches.Put(scratch)
	*scratch = u.AppendJSON((*scratch)[:0])
	var head [bodyOffset]byte
	made := append(store.StartRecord(bodyOffset+len(*scratch)+1), head[:]...)
	at := len(made)
	made = append(append(made, *scratch...), 0)
	return Record{Kind: u.Kind, Appended: u.ReceivedAt, Body: made[at : len(made)-1 : len(made)-1], Update: u, made: made}
}

var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// encode is a record as the store takes it. What Said has made ready is taken once: the last byte
// of it, which is no part of the record, says that it has been, for the store may be writing it
// still. Whatever else a caller has is copied.
func encode(r Record) []byte {
	v := r.ready()
	if v == nil {
		var head [bodyOffset]byte
		v = append(append(store.StartRecord(bodyOffset+len(r.Body)), head[:]...), r.Body...)
	}
	head := store.RecordBody(v)
	head[0] = kindCodes[r.Kind]
	binary.BigEndian.PutUint64(head[1:], uint64(r.Appended.UnixMicro()))
	return v
}

// ready returns what Said has made, unless it has been taken, or the body is another.
func (r *Record) ready() []byte {
	end := len(r.made) - 1
	if end < 0 || r.made[end] != 0 || len(r.Body) == 0 || &r.Body[len(r.Body)-1] != &r.made[end-1] {
		return nil
	}
	if len(store.RecordBody(r.made[:end])) != bodyOffset+len(r.Body) {
		return nil
	}
	r.made[end] = 1
	return r.made[:end:end]
}

// decode returns a record that owns its bytes, from what encode made after the store's own head.
func decode(b []byte) (Record, error) {
	if !legible(b) {
		return Record{}, store.ErrBadRecord
	}
	return Record{
		Kind:     kindNames[b[0]],
		Appended: appendedOf(b),
		Body:     append([]byte(nil), b[bodyOffset:]...),
	}, nil
}

// legible reports whether decode knows what encode made.
func legible(b []byte) bool {
	return len(b) >= bodyOffset && int(b[0]) < len(kindNames) && kindNames[b[0]] != ""
}

// firstAppended is when the first record after a position was appended; zero: there is none.
func firstAppended(tx *store.Tx, after Position) time.Time {
	c := tx.Bucket(store.Journal).Cursor()
	for k, v := c.Seek(key(after.Plus(1))); k != nil; k, v = c.Next() {
		if len(v) >= bodyOffset {
			return appendedOf(v)
		}
	}
	return time.Time{}
}

func appendedOf(b []byte) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:]))).UTC() //nolint:gosec // written by encode
}

// After is how many records there are after a position, and when the newest of them was appended.
func After(tx *store.Tx, at Position) (newest time.Time, n int64) {
	c := tx.Bucket(store.Journal).Cursor()
	for k, v := c.Seek(key(at.Plus(1))); k != nil; k, v = c.Next() {
		if len(v) >= bodyOffset {
			newest = appendedOf(v)
			n++
		}
	}
	return newest, n
}
