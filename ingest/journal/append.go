package journal

import (
	"fmt"

	"countersign/outbox/store"
)

// appending is what one call of Append brings to the store's writer: one piece of memory for all of
// it, since nearly every callback is one record (BenchmarkAppend).
type appending struct {
	j     *Bolt
	rs    []Record
	vals  [][]byte
	first *Position                // where the position of the first goes; nil: nobody asks
	also  func(tx *store.Tx) error // what else belongs into the transaction; nil: nothing

	one struct { // of a single record
		r [1]Record
		v [1][]byte
	}
}

// newAppending keeps nothing that the caller may change once its ctx has ended.
func (j *Bolt) newAppending(rs []Record, first *Position, also func(tx *store.Tx) error) (*appending, error) {
	a := &appending{j: j, first: first, also: also}
	if len(rs) > 1 {
		a.vals, a.rs = make([][]byte, len(rs)), make([]Record, len(rs))
	} else {
		a.vals, a.rs = a.one.v[:len(rs)], a.one.r[:len(rs)]
	}
	copy(a.rs, rs)
	for i := range a.rs {
		r := &a.rs[i]
		if kindCodes[r.Kind] == 0 {
			return nil, fmt.Errorf("append: no reader knows records of kind %q", r.Kind)
		}
		v := encode(*r)
		a.vals[i], r.made = v, nil
		r.Body = v[len(v)-len(r.Body):] // the store fills in what stands before it
	}
	return a, nil
}

// write is run by the store's writer, more than once if another call that shares the transaction
// fails.
func (a *appending) write(tx *store.Tx) error {
	if a.also != nil {
		if err := a.also(tx); err != nil {
			return err
		}
	}
	if err := a.j.ask(tx, a.rs); err != nil {
		return err
	}
	at, err := a.j.put(tx, a.rs, a.vals)
	if a.first != nil {
		*a.first = a.j.at(at)
	}
	return err
}

// writing is what the store's writer is about to commit of a journal.
type writing struct {
	tx        *store.Tx // the transaction that the rest belongs to
	next      int64     // offset of the next record within it
	landings  []landing
	calls     int                // of put, whose commit has still to be told of
	committed func()             // Bolt.committed, made once
	key       [PositionSize]byte // of a record that is put or deleted: the file takes a copy
}

// landing is where the records of one call go.
type landing struct {
	first int64
	rs    []Record
}

// begin has the transaction end with the position that follows, however many put records into it.
func (w *writing) begin(j *Bolt, tx *store.Tx) {
	if w.tx == tx { // bbolt's Cursor.Last would tell too where it is, but never returns from a bucket emptied in the same transaction
		return
	}
	clear(w.landings) // of one that was not committed
	w.tx, w.next, w.landings, w.calls = tx, j.next.Load(), w.landings[:0], 0
	tx.Last(func() error { return WritePosition(tx, nextKey, j.at(w.next)) })
}

// at is the key of a record, until the next is asked for.
func (w *writing) at(p Position) []byte { return p.AppendTo(w.key[:0]) }

// put gives the records the next offsets of this transaction, and returns the first. Only the
// store's writer runs it, one at a time.
func (j *Bolt) put(tx *store.Tx, rs []Record, vals [][]byte) (first int64, err error) {
	if len(vals) == 0 {
		return 0, nil
	}
	b, w := tx.Bucket(store.Journal), &j.writing
	w.begin(j, tx)
	first = w.next
	for i, v := range vals {
		if err := b.PutRecord(w.at(j.at(first+int64(i))), v); err != nil {
			return 0, err
		}
	}
	w.next += int64(len(vals))
	w.landings = append(w.landings, landing{first, rs})
	w.calls++
	tx.OnCommit(w.committed)
	return first, nil
}

// committed is told of each call of put, behind what else its caller has to be told of; with the
// last one readers may see them all.
func (j *Bolt) committed() {
	w := &j.writing
	if w.calls--; w.calls > 0 {
		return
	}
	j.remember(w.landings)
	clear(w.landings)
	w.landings = w.landings[:0]
	j.advance(w.next)
}

// remember keeps committed records that carry what they say.
func (j *Bolt) remember(landings []landing) {
	j.recentMu.Lock()
	defer j.recentMu.Unlock()
	for _, l := range landings {
		for i := range l.rs {
			r := &l.rs[i]
			if r.Update == nil {
				continue
			}
			at := l.first + int64(i)
			j.recent[at%keepRecent] = *r
			j.recent[at%keepRecent].Position = j.at(at)
		}
	}
}

// known returns the records after at that are in memory, without a gap.
func (j *Bolt) known(at int64) []Record {
	j.recentMu.Lock()
	defer j.recentMu.Unlock()
	n := 0
	for ; n < keepRecent && (n < maxBatch || unfinished(&j.recent[(at+int64(n))%keepRecent])); n++ {
		if next := at + 1 + int64(n); j.recent[next%keepRecent].Position.Offset != next {
			break
		}
	}
	if n == 0 {
		return nil
	}
	batch := make([]Record, 0, n) // counted first: grown record by record it takes twice the memory
	from := int((at + 1) % keepRecent)
	batch = append(batch, j.recent[from:min(from+n, keepRecent)]...)
	return append(batch, j.recent[:n-len(batch)]...)
}
