package kyc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// crockford is the alphabet of ULIDs: no I, L, O or U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// crockfordOf is the place of each byte in it; -1: it has none.
var crockfordOf = func() (of [256]int8) {
	for c := range of {
		of[c] = int8(strings.IndexByte(crockford, byte(c)))
	}
	return of
}()

// maxMillis is the last instant 48 bits of milliseconds can hold.
const maxMillis = 1<<48 - 1

// id is a ULID as 16 bytes: 48 bits of milliseconds, 80 bits of digest. Its byte order is the order
// of its text.
type id [16]byte

// UpdateID names a record for ever (I4): the same callback gives the same id on every node and
// after every restart. The result is a ULID whose time is at, where the provider sends the same one
// on every resend, else the first 48 bits of the digest. Every part is length-prefixed, so that no
// two lists of parts share a digest.
func UpdateID(source string, dedupe []string, kind Kind, check Check, scope Scope, ref string, index int, at time.Time) string {
	parts := make([]string, 0, 16)
	parts = append(parts, source, strconv.Itoa(len(dedupe)))
	parts = append(parts, dedupe...)
	parts = append(parts, string(kind), string(check), string(scope), ref, strconv.Itoa(index))
	h := digest(parts...)
	if ms := at.UnixMilli(); !at.IsZero() && ms >= 0 && ms <= maxMillis {
		h.stamp(uint64(ms))
	}
	return h.String()
}

// ChangeID names the change of one type that a record owes for one object (I4): the webhook-id. It
// carries the time of the record's own id.
func ChangeID(updateID, changeType, object string) string {
	return changeID(updateID, changeType, object)
}

// changeID is ChangeID with the parts of the object's name, which are put together without a string
// for them.
func changeID(updateID, changeType string, object ...string) string {
	size := 0
	for _, p := range object {
		size += len(p)
	}
	b := make([]byte, 0, 512)
	b = append(binary.AppendUvarint(b, uint64(len(updateID))), updateID...)
	b = append(binary.AppendUvarint(b, uint64(len(changeType))), changeType...)
	b = binary.AppendUvarint(b, uint64(size))
	for _, p := range object {
		b = append(b, p...)
	}
	h := sha256.Sum256(b)
	cause, i := idOf(updateID), id(h[:16])
	copy(i[:6], cause[:6])
	text := i.bytes()
	var t [4 + len(text)]byte
	copy(t[copy(t[:], "evt_"):], text[:])
	return string(t[:])
}

// digest is the first 128 bits of SHA-256 over length-prefixed parts.
func digest(parts ...string) id {
	b := make([]byte, 0, 512)
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	h := sha256.Sum256(b)
	return id(h[:16])
}

func (i *id) stamp(ms uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], ms)
	copy(i[:6], b[2:])
}

// String is the ULID as text: 26 characters, of which the first is at most 7 because 128 bits end
// there.
func (i id) String() string {
	t := i.bytes()
	return string(t[:])
}

func (i id) bytes() (t [26]byte) {
	hi, lo := binary.BigEndian.Uint64(i[:8]), binary.BigEndian.Uint64(i[8:])
	for k := len(t) - 1; k >= 0; k-- {
		t[k] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return t
}

// textAs is text, in the string of a ULID that is the same: mostly it is.
func (i id) textAs(ulid string) string {
	if t := i.bytes(); string(t[:]) == ulid {
		return ulid
	}
	return i.text()
}

// idOf reads a ULID; whatever else stands for an id is known by its digest.
func idOf(s string) id {
	if len(s) != 26 || s[0] > '7' {
		return digest(s)
	}
	var hi, lo uint64
	for k := range len(s) {
		v := crockfordOf[s[k]]
		if v < 0 {
			return digest(s)
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	var i id
	binary.BigEndian.PutUint64(i[:8], hi)
	binary.BigEndian.PutUint64(i[8:], lo)
	return i
}

// text is String, or nothing for no id.
func (i id) text() string {
	if i == (id{}) {
		return ""
	}
	return i.String()
}

func compareID(a, b id) int { return bytes.Compare(a[:], b[:]) }
