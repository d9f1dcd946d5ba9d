package store

import (
	"bytes"
	"encoding/binary"
)

// Newest calls fn with the records under some prefixes, each of which is followed in the key by an
// instant (8 bytes), the newest of all of them first, until fn says no. Equal instants come in the
// reverse order of their keys. A prefix ends with its first zero byte. before is the key of the
// last record of an earlier call: then only what follows it comes; nil: everything. It looks at one
// record of each prefix, and at those that it hands over. A damaged record has no body.
func Newest(tx *Tx, n Name, prefixes [][]byte, before []byte, fn func(k, v []byte) bool) {
	var rows []*row
	for _, p := range prefixes {
		r := &row{prefix: p, c: tx.Bucket(n).Cursor()}
		if r.begin(before); r.k != nil {
			rows = append(rows, r)
		}
	}
	for len(rows) > 0 {
		newest := rows[0]
		for _, r := range rows[1:] {
			if r.after(newest) {
				newest = r
			}
		}
		if !fn(newest.k, newest.v) {
			return
		}
		if newest.settle(newest.c.Prev()); newest.k == nil {
			rows = without(rows, newest)
		}
	}
}

// row is where one prefix has come to.
type row struct {
	prefix []byte
	c      *Cursor
	k, v   []byte // nil: there is no more
}

func (r *row) at() []byte { return r.k[len(r.prefix) : len(r.prefix)+8] }

func (r *row) after(s *row) bool {
	if c := bytes.Compare(r.at(), s.at()); c != 0 {
		return c > 0
	}
	return bytes.Compare(r.k, s.k) > 0
}

// begin moves to the newest record that follows one with the key before.
func (r *row) begin(before []byte) {
	end := append(bytes.Clone(r.prefix[:len(r.prefix)-1]), 1) // behind all of the prefix
	if of := bytes.IndexByte(before, 0) + 1; of > 0 && len(before) >= of+8 {
		switch c := bytes.Compare(r.prefix, before[:of]); {
		case c == 0:
			end = before
		case c > 0:
			end = append(bytes.Clone(r.prefix), before[of:of+8]...)
		default:
			if at := binary.BigEndian.Uint64(before[of:]) + 1; at != 0 {
				end = binary.BigEndian.AppendUint64(bytes.Clone(r.prefix), at)
			}
		}
	}
	if k, _ := r.c.Seek(end); k == nil {
		r.settle(r.c.Last())
	} else {
		r.settle(r.c.Prev())
	}
}

func (r *row) settle(k, v []byte) {
	if !bytes.HasPrefix(k, r.prefix) || len(k) < len(r.prefix)+8 {
		k, v = nil, nil
	}
	r.k, r.v = k, v
}

func without(rows []*row, gone *row) []*row {
	for i, r := range rows {
		if r == gone {
			return append(rows[:i], rows[i+1:]...)
		}
	}
	return rows
}
