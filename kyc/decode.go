package kyc

import (
	"encoding/binary"
	"time"
)

// UnmarshalBinary reads MarshalBinary. Bytes that are not a state are an error and leave s as it was.
func (s *State) UnmarshalBinary(data []byte) error {
	if len(data) == 0 || data[0] < oldestStateVersion || data[0] > stateVersion {
		return errState
	}
	r := reader{s: string(data[1:])} // one copy, which every string of the state shares
	n := State{partner: r.str(), subject: r.str(), kind: r.word(), sequence: r.uint(), policy: int(r.int()), livemode: r.uint() == 1}
	n.checks = make([]*check, r.count())
	for i := 0; i < len(n.checks) && !r.bad; i++ {
		n.checks[i] = r.check()
	}
	by := r.uint()
	if n.told = r.told(nil); by > uint64(len(n.checks)) {
		r.fail()
	} else if by > 0 && !r.bad {
		n.told.entry = n.checks[by-1].told.entry
	}
	n.seen = make([]known, r.count())
	for i := range n.seen {
		n.seen[i] = known{id: r.id(), day: uint32(r.uint())} // #nosec G115 -- written from an uint32
	}
	if r.bad || r.s != "" {
		return errState
	}
	*s = n
	return nil
}

// reader takes fields off a string. After the first one that is not there everything is zero, and bad is set.
type reader struct {
	s   string
	bad bool
}

func (r *reader) fail() {
	r.s, r.bad = "", true
}

func (r *reader) take(n int) string {
	if n < 0 || n > len(r.s) {
		r.fail()
		return ""
	}
	t := r.s[:n]
	r.s = r.s[n:]
	return t
}

func (r *reader) uint() uint64 {
	var n uint64
	for i := range min(len(r.s), binary.MaxVarintLen64) {
		c := r.s[i]
		if c < 0x80 {
			r.s = r.s[i+1:]
			return n | uint64(c)<<(7*i)
		}
		n |= uint64(c&0x7f) << (7 * i)
	}
	r.fail()
	return 0
}

func (r *reader) int() int64 {
	n := r.uint()
	return int64(n>>1) ^ -int64(n&1) // #nosec G115 -- zigzag
}

// count reads a length; nothing counted takes less than a byte, so more than what is left is no length.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.s)) {
		r.fail()
		return 0
	}
	return int(n) // #nosec G115 -- at most len
}

func (r *reader) str() string { return r.take(r.count()) }

func (r *reader) word() string {
	switch n := r.uint(); {
	case n == 0:
		return r.str()
	case n <= uint64(len(words)):
		return words[n-1]
	default:
		r.fail()
		return ""
	}
}

func (r *reader) rank() rank {
	n := r.uint()
	if n > uint64(rankSuspended) {
		r.fail()
		return 0
	}
	return rank(n)
}

func (r *reader) time() time.Time {
	ns := r.uint()
	if ns == 0 {
		return time.Time{}
	}
	if ns > uint64(time.Second) {
		r.fail()
		return time.Time{}
	}
	return time.Unix(r.int(), int64(ns-1)).UTC() // #nosec G115 -- below a second
}

func (r *reader) times() []time.Time {
	n := r.count()
	if n == 0 {
		return nil
	}
	ts := make([]time.Time, n)
	for i := range ts {
		ts[i] = r.time()
	}
	return ts
}

func (r *reader) id() (i id) {
	copy(i[:], r.take(len(i)))
	return i
}

func (r *reader) ids() []id {
	n := r.count()
	if n == 0 {
		return nil
	}
	ids := make([]id, n)
	for i := range ids {
		ids[i] = r.id()
	}
	return ids
}

func (r *reader) told(e *entry) told {
	return told{entry: e, rank: r.rank(), period: period{r.time(), r.time()}}
}

func (r *reader) check() *check {
	c := &check{key: key{source: r.str(), check: Check(r.word()), scope: Scope(r.word()), part: r.str()}, provider: r.str()}
	c.released, c.passed, c.noticed = r.ids(), r.times(), r.times()
	read := make([]*entry, 1, 8) // the first is none
	c.decision = r.entryOnce(&read)
	c.sessions = make([]*session, r.count())
	for i := 0; i < len(c.sessions) && !r.bad; i++ {
		c.sessions[i] = r.session(&read)
	}
	at := r.uint()
	if at >= uint64(len(read)) {
		r.fail()
		at = 0
	}
	c.told = r.told(read[at])
	return c
}

func (r *reader) session(read *[]*entry) *session {
	ss := &session{key: r.str()}
	set, timed := r.uint(), r.uint()
	for i, slot := range ss.slots() {
		if set&(1<<i) != 0 {
			*slot = r.entryOnce(read)
		}
	}
	for i, t := range []*time.Time{&ss.first, &ss.arrived, &ss.weakFirst, &ss.weakArrived, &ss.answered, &ss.lapsed} {
		if timed&(1<<i) != 0 {
			*t = r.time()
		}
	}
	ss.hits = r.ids()
	if n := r.count(); n > 0 {
		ss.trail = make([]step, n)
		for i := range ss.trail {
			ss.trail[i] = step{at: r.time(), expires: r.time(), revision: r.int(), rank: r.rank()}
		}
	}
	return ss
}

func (r *reader) entryOnce(read *[]*entry) *entry {
	at := r.uint()
	switch {
	case at < uint64(len(*read)):
		return (*read)[at]
	case at == uint64(len(*read)):
		*read = append(*read, r.entry())
		return (*read)[at]
	default:
		r.fail()
		return nil
	}
}

func (r *reader) entry() *entry {
	e := &entry{id: r.id(), rank: r.rank()}
	flags := r.uint()
	is := func(bit int) bool { return flags&(1<<bit) != 0 }
	e.weak, e.claimedApproved, e.retryable, e.terminal = is(0), is(1), is(2), is(3)
	e.at, e.ref = r.time(), r.str()
	if is(4) {
		e.reasons = make([]ReasonPair, r.count())
		for i := range e.reasons {
			e.reasons[i] = ReasonPair{Code: Reason(r.word()), ProviderCode: r.str()}
		}
	}
	if is(5) {
		e.document = Document{ID: r.str(), Type: r.str(), Subtype: r.str()}
	}
	if is(6) {
		e.received = r.time()
	}
	if is(7) {
		e.revision = r.int()
	}
	if is(8) {
		e.expires = r.time()
	}
	return e
}
