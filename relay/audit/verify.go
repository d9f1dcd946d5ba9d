package audit

import (
	"bytes"
	"fmt"
	"time"

	"countersign/outbox/store"
)

// Fault is what is wrong with an entry.
type Fault string

// The faults.
const (
	FaultDamaged  Fault = "damaged"  // it does not pass its checksum: nobody can read it, and nothing says that anybody changed it
	FaultChanged  Fault = "changed"  // it is not what it was when it, or the next, was written
	FaultRemoved  Fault = "removed"  // it is not there
	FaultInserted Fault = "inserted" // it was not written by this program in its turn
	FaultMoved    Fault = "moved"    // it stands where another one stood
	FaultReduced  Fault = "reduced"  // what it said was taken out, and it was none that may be reduced, or before its time
)

// Trouble is one fault, and where it is.
type Trouble struct {
	Number uint64
	Fault  Fault
	Text   string // in a sentence
}

// maxTroubles is how many are named of those of a step; all are counted.
const maxTroubles = 100

// Proof is what became of a head that was noted earlier.
type Proof string

// The proofs.
const (
	Pending  Proof = ""          // nobody has come so far yet
	Proved   Proof = "proved"    // it is a part of this chain
	NotInIt  Proof = "not_in_it" // it is no part of this chain, which was written anew, or cut off
	TooEarly Proof = "too_early" // it has had its time and left: nothing can be said
)

// Verification is what a walk of the chain has found out, up to where it is.
type Verification struct {
	From     Head // of the entry behind which the step began
	At       Head // the last entry looked at, and what the next must have been written after
	Done     bool // all has been looked at
	Entries  int64
	Reduced  int64 // of them, by their time
	Damaged  int64 // of them
	Faults   int64 // entries with a fault, the damaged ones too
	Troubles []Trouble
	First    Head   // of the first entry that is kept
	Head     Head   // of the trail, as it says itself
	Anchor   Anchor // up to which entry the front has left; zero: nothing has
	Noted    Proof  // of the head that an auditor noted
}

// Sound reports whether all that was looked at is as it was written.
func (v *Verification) Sound() bool {
	return v.Faults == 0 && v.Noted != NotInIt && v.Noted != TooEarly
}

// walker is a step of a verification.
type walker struct {
	Verification
	noted    *Head
	before   Hash // of the chain before the last entry
	loose    bool // the last entry has a fault of its own: what the next was written after cannot be told
	expected uint64
	shift    uint64    // by how much keys are ahead of what entries say of themselves, since one was put in
	reduces  time.Time // refused calls that are older may be reduced
}

// verifyStep is how many entries are looked at in one transaction.
const verifyStep = 1000

// Verify walks the chain from behind an entry (zero: from the first that is kept), in transactions
// of their own through view, until it has looked at most entries (more, where the last has
// a fault) or at all. A head that an auditor
// noted is looked for; nil: there is none. now is when; refused calls may be reduced after keep.
func Verify(view func(func(*store.Tx) error) error, from Head, most int, noted *Head, now time.Time, keep time.Duration) (Verification, error) {
	w := &walker{noted: noted, reduces: now.Add(-keep)}
	w.From, w.At, w.expected = from, from, from.Number+1
	for looked := 0; !w.Done && (looked < most || w.loose || w.shift != 0); looked += verifyStep {
		if err := view(w.step); err != nil {
			return w.Verification, err
		}
	}
	return w.Verification, nil
}

func (w *walker) trouble(n uint64, f Fault, format string, args ...any) {
	w.Faults++
	if len(w.Troubles) < maxTroubles {
		w.Troubles = append(w.Troubles, Trouble{n, f, fmt.Sprintf("entry %d ", n) + fmt.Sprintf(format, args...)})
	}
}

func (w *walker) step(tx *store.Tx) error {
	b := tx.Bucket(store.Audit)
	w.Anchor = anchorOf(b)
	head, headErr := b.GetEither(headKey)
	if err := w.begin(b); err != nil {
		return err
	}
	c := b.Cursor()
	k, v := c.Seek(entryKey(w.expected))
	for range verifyStep {
		n, ok := numbered(k)
		if !ok {
			w.end(tx, head, headErr)
			return nil
		}
		w.missing(tx, n)
		w.entry(n, v)
		w.expected = n + 1
		k, v = c.Next()
	}
	return nil
}

// begin finds where the chain goes on: behind the anchor, where the front has left meanwhile.
func (w *walker) begin(b store.Bucket) error {
	if w.Anchor.Number >= w.expected {
		w.At, w.expected, w.loose = w.Anchor.Head, w.Anchor.Number+1, false
	}
	c := b.Cursor()
	k, v := c.Seek([]byte{entryKeys})
	left := 0
	for n, ok := numbered(k); ok && n <= w.Anchor.Number && left < verifyStep; n, ok = numbered(k) { // left over at the front
		left++
		if r, readable := parse(v); w.From.Number == 0 && w.First.Number == 0 {
			if v == nil || !readable {
				w.Damaged++
				w.trouble(n, FaultDamaged, "is damaged; what stood around it has had its time")
			} else {
				w.trouble(n, FaultInserted, "is before %d, up to which all entries were removed; it says that it is number %d", w.Anchor.Number, r.number)
			}
		}
		k, v = c.Next()
	}
	if r, readable := parse(v); w.First.Number == 0 {
		w.First.Number, _ = numbered(k)
		if readable && w.First.Number > 0 {
			w.First.At = time.UnixMicro(r.at).UTC()
		}
	}
	return nil
}

// missing names the entries that should stand before n and do not. Of those that were put aside
// when a damaged file was mended, that is known.
func (w *walker) missing(tx *store.Tx, n uint64) {
	if n <= w.expected {
		return
	}
	aside := setAside(tx)
	for m := w.expected; m < n; m++ {
		if aside[m] {
			w.Damaged++
			w.trouble(m, FaultDamaged, "was damaged, and moved aside when the file was repaired")
			w.loose = true
			continue
		}
		if m > w.expected && n-m > maxTroubles { // a large gap: its ends tell
			w.Faults += int64(n - m - 1) //nolint:gosec // fewer than there are entries
			m = n - 1
		}
		w.trouble(m, FaultRemoved, "is not there")
		w.loose = true
	}
}

// setAside are the numbers of the entries that were damaged when the file was mended.
func setAside(tx *store.Tx) map[uint64]bool {
	all := map[uint64]bool{}
	for after := []byte(nil); ; {
		list := tx.Damaged(store.Audit, after, step)
		for i := range list {
			if n, ok := numbered(list[i].Key); ok {
				all[n] = true
			}
			after = list[i].ID
		}
		if len(list) < step {
			return all
		}
	}
}

// entry looks at one.
func (w *walker) entry(n uint64, v []byte) {
	w.Entries++
	r, ok := parse(v)
	if v == nil || !ok {
		w.Damaged++
		w.trouble(n, FaultDamaged, "is damaged; later entries are verified from there on")
		w.loose = true
		return
	}
	if r.reduced {
		w.Reduced++
	}
	at := Head{n, r.hash, time.UnixMicro(r.at).UTC()}
	faults := w.Faults
	own, follows := r.sum() == r.hash, w.loose || r.prev == w.At.Hash
	switch behind := !w.loose && r.prev == w.before && n > w.First.Number; {
	case !follows && behind && (!own || n-r.number == w.shift+1):
		w.shift = n - r.number
		w.trouble(n-1, FaultInserted, "was put before the one that is %d now", n)
	case n != r.number && n-r.number != w.shift:
		w.shift = n - r.number
		w.trouble(n, FaultMoved, "says that it is %d", r.number)
	case !own:
		w.trouble(n, FaultChanged, "is not what was written: its hash is another")
	case r.reduced && (r.kind != Refused || !at.At.Before(w.reduces)):
		w.trouble(n, FaultReduced, "says nothing any more, and is none that has had its time")
	case !follows && n == w.At.Number+1 && n > w.First.Number:
		w.trouble(w.At.Number, FaultChanged, "is not what it was when %d was written after it", n)
		faults = w.Faults // this one is as it was
	case !follows:
		w.trouble(n, FaultChanged, "was not written after what has left before it")
	}
	if n == r.number {
		w.shift = 0
	}
	if w.loose && w.noted != nil && w.noted.Number+1 == r.number { // that one cannot be read, and its hash is known all the same
		w.note(Head{Number: w.noted.Number, Hash: r.prev})
	}
	w.note(Head{Number: r.number, Hash: r.hash})
	w.before, w.At, w.loose = w.At.Hash, at, w.Faults > faults
}

// note compares an entry with the head that an auditor noted.
func (w *walker) note(at Head) {
	if w.noted == nil || w.noted.Number != at.Number {
		return
	}
	if w.Noted = NotInIt; bytes.Equal(w.noted.Hash[:], at.Hash[:]) {
		w.Noted = Proved
	}
}

// end compares what was walked with what the trail says of itself.
func (w *walker) end(tx *store.Tx, head []byte, err error) {
	w.Done = true
	h, ok := parseHead(head)
	switch {
	case ok && err == nil:
		w.Head = h
		w.missing(tx, h.Number+1)
		switch {
		case w.At.Number > h.Number:
			w.trouble(w.At.Number, FaultInserted, "is after %d, which is the last entry that was written", h.Number)
		case w.At.Number == h.Number && w.At.Hash != h.Hash && !w.loose:
			w.trouble(h.Number, FaultChanged, "is not the last that was written")
		}
	case w.At.Number > 0 && err == nil:
		w.trouble(w.At.Number, FaultRemoved, "is not known to be the last: the note of the head is gone")
		w.Head = w.At
	case w.At.Number > 0:
		w.trouble(w.At.Number, FaultDamaged, "is not known to be the last: both notes of the head are damaged")
		w.Head = w.At
	}
	if w.noted != nil && w.Noted == Pending {
		w.compareNoted()
	}
}

// compareNoted judges a head that none of the entries looked at has.
func (w *walker) compareNoted() {
	switch n := w.noted.Number; {
	case n == w.Anchor.Number && n > 0:
		if w.Noted = NotInIt; w.noted.Hash == w.Anchor.Hash {
			w.Noted = Proved
		}
	case n < w.Anchor.Number:
		w.Noted = TooEarly
	case n <= w.From.Number: // an earlier step has looked
	default:
		w.Noted = NotInIt
	}
}
