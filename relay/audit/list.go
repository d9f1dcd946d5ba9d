package audit

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"countersign/outbox/store"
)

const (
	step     = 500  // entries looked at in one transaction
	lookMost = 5000 // entries looked at for one page
)

// Filter is what of the trail is asked for. Zero: all of it, but for entries of kind Begun that
// another one completes.
type Filter struct {
	Since, Until time.Time // from Since on, before Until
	Actor        string
	Person       string // digest
	Endpoint     string // its id; Person is empty then
	Call         string // a part of the call's pattern, in whichever case
	Outcome      string // "ok", "refused" (or failed); "": either
	All          bool   // also those of kind Begun that are completed
}

// about is the digest of what the filter names, a person or an endpoint; "": it names none.
func (f *Filter) about() string {
	if f.Person == "" && f.Endpoint != "" {
		return endpointDigest(f.Endpoint)
	}
	return f.Person
}

// Listed is an entry as it is shown, with its hash.
type Listed struct {
	Entry
	Hash    Hash
	Reduced bool // what it said has had its time
	Damaged bool // it cannot be read: only its number is known

	Completed bool // of kind Begun: another entry says what came of it
}

// listed reads an entry.
func listed(tx *store.Tx, n uint64, v []byte) Listed {
	r, ok := parse(v)
	if v == nil || !ok {
		return Listed{Entry: Entry{Number: n}, Damaged: true}
	}
	e, err := r.entry()
	if err != nil {
		return Listed{Entry: Entry{Number: n}, Damaged: true}
	}
	e.Number = n
	return Listed{Entry: e, Hash: r.hash, Reduced: r.reduced, Completed: r.kind == Begun && tx.Bucket(store.Audit).Has(completedKey(n))}
}

// holds reports whether an entry is asked for, having read as little of it as tells.
func (f *Filter) holds(tx *store.Tx, n uint64, v []byte) bool {
	r, ok := parse(v)
	if v == nil || !ok { // damaged: it is shown to whoever asks for no kind of entry
		return f.Actor == "" && f.Call == "" && f.Outcome == ""
	}
	at := time.UnixMicro(r.at)
	switch {
	case !f.Since.IsZero() && at.Before(f.Since), !f.Until.IsZero() && !at.Before(f.Until):
		return false
	case f.Outcome == "ok" && r.kind != Done, f.Outcome == "refused" && r.kind != Refused && r.kind != Failed:
		return false
	case r.reduced:
		return f.All && f.Actor == "" && f.Call == ""
	case f.Actor != "" && !says(r.text, "actor", f.Actor), f.Call != "" && !calls(r.text, f.Call):
		return false
	}
	return f.All || r.kind != Begun || !tx.Bucket(store.Audit).Has(completedKey(n))
}

// calls reports whether an entry is of a call whose pattern has this in it.
func calls(text []byte, part string) bool {
	_, rest, ok := bytes.Cut(text, []byte(`"call":"`))
	call, _, _ := bytes.Cut(rest, []byte(`"`))
	return ok && strings.Contains(strings.ToLower(string(call)), strings.ToLower(part))
}

// Page is a part of a list, the newest first.
type Page struct {
	Entries []Listed
	More    bool   // there may be more
	Before  uint64 // of those, numbers are smaller than this
	Head    Head
}

// List returns up to n entries that are asked for, the newest first, of those with a number below
// before (0: from the newest on). It looks at a bounded number of entries: a page may be short, or
// empty, and yet not the last.
func List(s *store.Store, f Filter, from uint64, n int) (p Page, err error) {
	if p.Before = from; from == 0 {
		p.Before = ^uint64(0)
		if !f.Until.IsZero() {
			if p.Before, err = FirstAt(s, f.Until); err != nil {
				return p, err
			}
		}
	}
	p.More = true
	for looked, full := 0, false; p.More && !full && looked < lookMost; looked += step {
		err := s.View(func(tx *store.Tx) (err error) {
			if p.Head, err = HeadOf(tx); err != nil {
				return err
			}
			next := downwards(tx, &f, p.Before)
			for range step {
				at, v, ok := next()
				if r, readable := parse(v); !ok || readable && time.UnixMicro(r.at).Before(f.Since) {
					p.More = false
					return nil
				}
				if f.holds(tx, at, v) {
					if full = len(p.Entries) == n; full {
						return nil
					}
					p.Entries = append(p.Entries, listed(tx, at, v))
				}
				p.Before = at
			}
			return nil
		})
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// downwards walks the entries below a number: those about a person or an endpoint, if the filter names
// one. A call
// of it gives the next; one that is damaged has no value.
func downwards(tx *store.Tx, f *Filter, below uint64) func() (n uint64, v []byte, ok bool) {
	b := tx.Bucket(store.Audit)
	c := b.Cursor()
	if f.about() == "" {
		k, v := before(c, below)
		return func() (uint64, []byte, bool) {
			n, ok := numbered(k)
			at := v
			if ok {
				k, v = c.Prev()
			}
			return n, at, ok
		}
	}
	k, _ := c.Seek(personKey(f.about(), below))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	return func() (uint64, []byte, bool) {
		n, ok := aboutPerson(k, f.about())
		if !ok {
			return 0, nil, false
		}
		k, _ = c.Prev()
		return n, sound(b, n), true
	}
}

// aboutPerson is the number that a key leads to, if it is one of this person's or endpoint's.
func aboutPerson(k []byte, digest string) (n uint64, ok bool) {
	own := personKey(digest, 0)
	own = own[:len(own)-8]
	if !bytes.HasPrefix(k, own) || len(k) != len(own)+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(k[len(own):]), true
}

// sound is an entry as it stands in the file; nil: it is damaged.
func sound(b store.Bucket, n uint64) []byte {
	v, err := b.Get(entryKey(n))
	if err != nil {
		return nil
	}
	return v
}

// Walk calls fn with all entries that are asked for with a number above after, the oldest first, a
// few at a time; between two calls no transaction is open, so that a slow reader holds up no page
// of the file. It returns the head behind which it ended.
func Walk(s *store.Store, f Filter, after uint64, fn func([]Listed) error) (head Head, err error) {
	next := after + 1
	if after == 0 && !f.Since.IsZero() {
		if next, err = FirstAt(s, f.Since); err != nil {
			return head, err
		}
	}
	for done := false; !done; {
		var some []Listed
		err := s.View(func(tx *store.Tx) (err error) {
			if head, err = HeadOf(tx); err != nil {
				return err
			}
			some, next, done = walkSome(tx, &f, next)
			return nil
		})
		if err == nil && (len(some) > 0 || !done) {
			err = fn(some)
		}
		if err != nil {
			return head, err
		}
	}
	return head, nil
}

// walkSome is a step of Walk.
func walkSome(tx *store.Tx, f *Filter, from uint64) (some []Listed, next uint64, done bool) {
	b := tx.Bucket(store.Audit)
	c := b.Cursor()
	next = from
	k, v := c.Seek(entryKey(from))
	if f.about() != "" {
		k, v = c.Seek(personKey(f.about(), from))
	}
	for range step {
		n, ok := numbered(k)
		if f.about() != "" {
			if n, ok = aboutPerson(k, f.about()); ok {
				v = sound(b, n)
			}
		}
		if !ok {
			return some, next, true
		}
		next = n + 1
		if r, readable := parse(v); readable && !f.Until.IsZero() && time.UnixMicro(r.at).After(f.Until.Add(time.Hour)) { // clocks are put back by less
			return some, next, true
		}
		if f.holds(tx, n, v) {
			some = append(some, listed(tx, n, v))
		}
		k, v = c.Next()
	}
	return some, next, false
}

// FirstAt is the number of the first entry that is not older than an instant. Numbers go with time;
// where a clock was put back, the trail begins a little sooner or later.
func FirstAt(s *store.Store, at time.Time) (n uint64, err error) {
	err = s.View(func(tx *store.Tx) error {
		c := tx.Bucket(store.Audit).Cursor()
		k, _ := lastEntry(c)
		last, ok := numbered(k)
		if !ok {
			n = 1
			return nil
		}
		first, _ := c.Seek([]byte{entryKeys})
		low, _ := numbered(first)
		high := last + 1 // the first one lies in here
		for low < high {
			mid := low + (high-low)/2
			k, v := c.Seek(entryKey(mid))
			m, ok := numbered(k)
			for ok && v == nil { // damaged: the next one tells
				k, v = c.Next()
				m, ok = numbered(k)
			}
			if r, readable := parse(v); ok && readable && time.UnixMicro(r.at).Before(at) {
				low = m + 1
				continue
			}
			high = mid
		}
		n = low
		return nil
	})
	return n, err
}
