package store

import "encoding/binary"

// maxCorrected is the largest record whose bits are tried one by one: each try reads all of it.
const maxCorrected = 16 << 10

// home is the bucket that a record belongs to which stands in another one: whole pages may change
// their places, also between parts. 0: none, it is damaged.
func home(r leafRecord) Name {
	for _, part := range every(r.parts) {
		for _, n := range namesOf(part) {
			if _, err := unwrap(n, r.key, r.value); err == nil {
				return n
			}
		}
	}
	return 0
}

// correct undoes one flipped bit of a damaged record: of its body, its head, its key, or the
// element of the page that says where it is. With 64 bits of checksum no other record comes out
// than the one that was written. It returns copies.
func correct(r leafRecord) (key, record []byte, ok bool) {
	if r.key != nil && len(r.key)+len(r.value) <= maxCorrected {
		key, record = append([]byte(nil), r.key...), append([]byte(nil), r.value...)
		for _, b := range [][]byte{record, key} {
			for i := range b {
				for bit := range 8 {
					b[i] ^= 1 << bit
					if _, err := unwrap(r.bucket, key, record); err == nil {
						return key, record, true
					}
					b[i] ^= 1 << bit
				}
			}
		}
	}
	return replaced(r)
}

// replaced undoes one flipped bit of the element that says where a record is.
func replaced(r leafRecord) (key, record []byte, ok bool) {
	var elem [elemSize]byte
	copy(elem[:], r.elem)
	le := binary.LittleEndian
	for i := range elem {
		for bit := range 8 {
			elem[i] ^= 1 << bit
			pos, ksize, vsize := uint64(le.Uint32(elem[4:])), uint64(le.Uint32(elem[8:])), uint64(le.Uint32(elem[12:]))
			if pos >= elemSize && pos+ksize+vsize <= uint64(len(r.rest)) && ksize+vsize <= maxCorrected {
				k, v := r.rest[pos:pos+ksize], r.rest[pos+ksize:pos+ksize+vsize]
				if _, err := unwrap(r.bucket, k, v); err == nil {
					return append([]byte(nil), k...), append([]byte(nil), v...), true
				}
			}
			elem[i] ^= 1 << bit
		}
	}
	return nil, nil, false
}
