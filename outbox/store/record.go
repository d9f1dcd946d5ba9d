package store

import (
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"
)

// A record on disk is: version (1 byte), checksum (8 bytes), body. The checksum is XXH64 of the
// bucket's number, that of its part, the key, the version and the body: a record whose key is
// damaged, or that stands in another bucket, is as damaged as one whose body is.
const (
	recordVersion = 2
	recordHeader  = 9

	// RecordHeader is how many bytes of a record stand before its body.
	RecordHeader = recordHeader
)

// ErrBadRecord says that one record is damaged or of a version this program does not know. The
// others are fine.
var ErrBadRecord = errors.New("record is damaged")

// StartRecord returns a record without a body, with room for one of size bytes; the body is
// appended to it, and PutRecord makes it whole. It saves the copy that Put makes.
func StartRecord(size int) []byte {
	var head [recordHeader]byte
	return append(make([]byte, 0, recordHeader+size), head[:]...)
}

// AppendRecord is StartRecord in room of the caller's, who leaves it alone until the transaction has
// ended. The record begins where b ended.
func AppendRecord(b []byte) []byte {
	var head [recordHeader]byte
	return append(b, head[:]...)
}

// NewRecord is StartRecord with its body.
func NewRecord(body ...[]byte) []byte {
	n := 0
	for _, b := range body {
		n += len(b)
	}
	r := StartRecord(n)
	for _, b := range body {
		r = append(r, b...)
	}
	return r
}

// RecordBody is the body of what StartRecord or NewRecord began. It is a part of record.
func RecordBody(record []byte) []byte { return record[recordHeader:] }

// finish writes version and checksum into a record's head.
func finish(n Name, key, record []byte) {
	record[0] = recordVersion
	binary.LittleEndian.PutUint64(record[1:], checksum(n, key, record))
}

// unwrap returns the body of a record, a part of it. It is never nil.
func unwrap(n Name, key, record []byte) (body []byte, err error) {
	if len(record) < recordHeader || !believe && (record[0] != recordVersion || stored(record) != checksum(n, key, record)) {
		return nil, ErrBadRecord
	}
	return record[recordHeader:len(record):len(record)], nil
}

// stored is the checksum that a record carries, right or wrong; 0: it is too short to have one.
func stored(record []byte) uint64 {
	if len(record) < recordHeader {
		return 0
	}
	return binary.LittleEndian.Uint64(record[1:])
}

func checksum(n Name, key, record []byte) uint64 {
	var head [6]byte
	head[0], head[1] = n.number(), record[0]
	binary.LittleEndian.PutUint32(head[2:], uint32(len(key))) //nolint:gosec // bbolt's keys have at most 32 KiB
	head[5] = n.part()                                        // of which lengths leave the highest byte free
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(head[:])
	_, _ = d.Write(key)
	_, _ = d.Write(record[recordHeader:])
	return d.Sum64()
}
