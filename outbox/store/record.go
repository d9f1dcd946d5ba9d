package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A record on disk is: version (1 byte), key id (1 byte, 0 = not sealed), CRC-32C of what follows and of both bytes before (4 bytes), body.
const (
	recordVersion = 1
	recordHeader  = 6
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBadRecord says that one record is damaged or of a version this program does not know. The others are fine.
var ErrBadRecord = errors.New("record is damaged")

// AppendRecord appends body as a record to dst.
func AppendRecord(dst []byte, keyID byte, body ...[]byte) []byte {
	at := len(dst)
	dst = append(dst, recordVersion, keyID, 0, 0, 0, 0)
	for _, b := range body {
		dst = append(dst, b...)
	}
	binary.LittleEndian.PutUint32(dst[at+2:], checksum(dst[at:]))
	return dst
}

// StartRecord returns an unsealed record without a body, with room for one of size bytes; the body is appended to it, and FinishRecord makes it whole. It is
// AppendRecord for a body that does not exist yet, and saves its copy.
func StartRecord(size int) []byte {
	return append(make([]byte, 0, recordHeader+size), recordVersion, 0, 0, 0, 0, 0)
}

// FinishRecord completes what StartRecord began.
func FinishRecord(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[2:], checksum(b))
	return b
}

// Record returns the body and key id of a record. The body is a part of b.
func Record(b []byte) (body []byte, keyID byte, err error) {
	if len(b) < recordHeader || b[0] != recordVersion || binary.LittleEndian.Uint32(b[2:]) != checksum(b) {
		return nil, 0, ErrBadRecord
	}
	return b[recordHeader:], b[1], nil
}

func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:2], castagnoli), castagnoli, b[recordHeader:])
}
