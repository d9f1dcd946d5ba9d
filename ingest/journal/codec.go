package journal

import (
	"encoding/binary"
	"time"

	"countersign/outbox/store"
)

// key is where a record of the embedded log stands.
func key(offset int64) []byte { return At(offset).AppendTo(make([]byte, 0, PositionSize)) }

// offset undoes key.
func offset(k []byte) int64 {
	p, _ := PositionOf(k)
	return p.Offset
}

func encode(r Record) []byte {
	var head [bodyOffset]byte
	head[0] = kindCodes[r.Kind]
	binary.BigEndian.PutUint64(head[1:], uint64(r.Appended.UnixMicro()))
	return append(append(store.StartRecord(bodyOffset+len(r.Body)), head[:]...), r.Body...)
}

// decode returns a record that owns its bytes, from what encode made after the store's own head.
func decode(b []byte) (Record, error) {
	if len(b) < bodyOffset || int(b[0]) >= len(kindNames) || kindNames[b[0]] == "" {
		return Record{}, store.ErrBadRecord
	}
	return Record{
		Kind:     kindNames[b[0]],
		Appended: appendedOf(b),
		Body:     append([]byte(nil), b[bodyOffset:]...),
	}, nil
}

// firstAppended is when the first record after an offset was appended; zero: there is none.
func firstAppended(tx *store.Tx, after int64) time.Time {
	c := tx.Bucket(store.Journal).Cursor()
	for k, v := c.Seek(key(after + 1)); k != nil; k, v = c.Next() {
		if len(v) >= bodyOffset {
			return appendedOf(v)
		}
	}
	return time.Time{}
}

func appendedOf(b []byte) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:]))).UTC() //nolint:gosec // written by encode
}

// After is how many records there are after an offset, and when the newest of them was appended.
func After(tx *store.Tx, at int64) (newest time.Time, n int64) {
	c := tx.Bucket(store.Journal).Cursor()
	for k, v := c.Seek(key(at + 1)); k != nil; k, v = c.Next() {
		if len(v) >= bodyOffset {
			newest = appendedOf(v)
			n++
		}
	}
	return newest, n
}
