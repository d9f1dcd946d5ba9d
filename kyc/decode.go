package kyc

import "encoding/binary"

// UnmarshalBinary reads MarshalBinary. Bytes that are not a state are an error and leave s as it
// was.
func (s *State) UnmarshalBinary(data []byte) error {
	if len(data) == 0 || data[0] != stateVersion {
		return errState
	}
	r := reader{s: string(data[1:]), said: append(make([]string, 0, 8), "")} // one copy, which every string of the state shares
	n := State{partner: r.str(), subject: r.str(), kind: r.term()}
	n.livemode, n.submitted = r.flag2()
	n.sequence, n.policy, n.n = r.uint(), int(r.int()), r.place(maxPlace)
	n.last, n.beyond = moment(r.int()), r.rank()
	r.last, r.n = n.last, n.n
	n.noticed = list(&r, (*reader).moment)
	n.sources = list(&r, (*reader).source)
	r.sources = len(n.sources)
	n.checks = list(&r, (*reader).check)
	r.checks = n.checks
	n.told = r.status()
	n.runs = list(&r, (*reader).run)
	n.words = list(&r, (*reader).word)
	n.lifts = list(&r, func(r *reader) word {
		x := r.bare()
		x.session, x.id = r.session(), r.id()
		return x
	})
	n.lost = list(&r, (*reader).lostRun)
	n.seen = list(&r, func(r *reader) known { return known{id: r.id(), day: uint32(r.uint())} }) // #nosec G115 -- written from an uint32
	tooMany := len(n.checks) > maxChecks || len(n.words) > maxWords || len(n.runs) > maxWords || len(n.lifts) > maxWords || len(n.lost) > maxWords
	if r.bad || r.s != "" || tooMany {
		return errState
	}
	*s = n
	return nil
}

// What is longer was not written by a state: a set of checks has no place for more, and judging so
// many words would take long.
const (
	maxChecks = 32
	maxWords  = 1024
)

// maxPlace bounds the number of words that were ever said of somebody.
const maxPlace = 1 << 40

// reader takes fields off a string. After the first one that is not there everything is zero, and
// bad is set.
type reader struct {
	s       string
	bad     bool
	last    moment
	n       int
	sources int
	checks  []check
	said    []string
}

func (r *reader) fail() {
	r.s, r.bad = "", true
}

// list reads a list; nothing in one takes less than a byte, so more than what is left is no length.
func list[T any](r *reader, read func(*reader) T) []T {
	n := r.count()
	if n == 0 {
		return nil
	}
	l := make([]T, 0, min(n, 64))
	for range n {
		if r.bad {
			return nil
		}
		l = append(l, read(r))
	}
	return l
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

// count reads a length; nothing counted takes less than a byte, so more than what is left is no
// length.
func (r *reader) count() int { return r.place(len(r.s)) }

// place reads a number that is at most this.
func (r *reader) place(most int) int {
	n := r.uint()
	if most < 0 || n > uint64(most) {
		r.fail()
		return 0
	}
	return int(n) // #nosec G115 -- at most an int
}

func (r *reader) str() string { return r.take(r.count()) }

func (r *reader) again() string {
	if at := r.place(len(r.said)); at > 0 {
		return r.said[at-1]
	}
	s := r.str()
	if len(r.said) < maxSaid {
		r.said = append(r.said, s)
	}
	return s
}

func (r *reader) term() string {
	switch n := r.uint(); {
	case n == 0:
		return r.str()
	case n <= uint64(len(terms)):
		return terms[n-1]
	default:
		r.fail()
		return ""
	}
}

func (r *reader) flag2() (a, b bool) {
	n := r.uint()
	return n&1 != 0, n&2 != 0
}

func (r *reader) rank() rank { return rank(r.place(int(rankSuspended))) } // #nosec G115 -- bounded

func (r *reader) moment() moment { return r.momentOf(r.uint()) }

func (r *reader) momentOf(kind uint64) moment {
	const ms = 1e6
	switch kind {
	case 0:
		return 0
	case 1:
		return (r.last/ms - moment(r.int())) * ms
	case 2:
		return r.last - moment(r.int())
	default:
		r.fail()
		return 0
	}
}

func (r *reader) session() session {
	switch r.uint() {
	case 0:
		return 0
	case 1:
		return gone
	case 2:
		if b := r.take(8); len(b) == 8 {
			return session(binary.BigEndian.Uint64([]byte(b)))
		}
		return 0
	default:
		r.fail()
		return 0
	}
}

func (r *reader) id() (i id) {
	copy(i[:], r.take(len(i)))
	return i
}

func (r *reader) source() source {
	s := source{name: r.str(), provider: r.str()}
	if there, _ := r.flag2(); there {
		s.forgotten = new(sieve)
		copy(s.forgotten[:], r.take(len(s.forgotten)))
	}
	return s
}

func (r *reader) check() check {
	c := check{typ: Check(r.term()), scope: Scope(r.term()), part: r.again(), source: r.place(r.sources - 1)}
	c.spoke, c.owed = r.flag2()
	c.told = r.told()
	return c
}

func (r *reader) status() (t told) {
	as, _ := r.flag2()
	was := r.rank()
	at := r.place(len(r.checks))
	if as && at == 0 {
		r.fail()
		return t
	}
	if as {
		t = r.checks[at-1].told
	} else {
		t = r.told()
	}
	t.check, t.was = at, was
	return t
}

func (r *reader) told() told {
	t := told{rank: r.rank()}
	flags := r.uint()
	is := func(bit int) bool { return flags&(1<<bit) != 0 }
	t.retryable, t.terminal, t.unconfirmed = is(1), is(2), is(3)
	if !is(0) {
		return t
	}
	t.occurred, t.by, t.name = r.moment(), r.id(), r.again()
	if is(7) {
		t.from, t.until = r.moment(), r.moment()
	}
	if is(8) {
		t.try = r.session()
	}
	if is(4) {
		t.claimed = Status(r.term())
	}
	t.reasons, t.document = r.shown(is(6), is(5))
	return t
}

func (r *reader) shown(reasons, document bool) (rs []ReasonPair, d Document) {
	if reasons {
		rs = list(r, func(r *reader) ReasonPair { return ReasonPair{Code: Reason(r.term()), ProviderCode: r.again()} })
	}
	if document {
		d = Document{ID: r.again(), Type: r.again(), Subtype: r.again()}
	}
	return rs, d
}

func (r *reader) run() runOf {
	x := runOf{source: r.place(r.sources - 1), name: r.session()}
	flags := r.uint()
	x.old = flags&1 != 0
	if flags&2 != 0 {
		x.begun = r.bare()
		x.begun.session = x.name
	}
	if flags&4 != 0 {
		x.late = r.bare()
		x.late.session = x.name
	}
	return x
}

func (r *reader) bare() (x word) {
	x.n, x.check = r.n-r.place(r.n), r.place(len(r.checks)-1)
	if !r.bad {
		x.source = r.checks[x.check].source
	}
	kind := r.uint()
	if kind == skewed {
		x.skew, x.received = r.skew(), r.moment()
		kind = r.uint()
	}
	if x.at = r.momentOf(kind); x.at == 0 && x.skew == 0 {
		x.received, x.taken = r.moment(), r.moment()
	}
	x.revision = r.int()
	return x
}

// skew is never none, and never more than a clock can be wrong by.
func (r *reader) skew() moment {
	n := r.uint()
	if n == 0 || n > uint64(maxSkew) {
		r.fail()
		return 0
	}
	return moment(n) // #nosec G115 -- bounded
}

func (r *reader) word() word {
	rank, flags := r.rank(), r.uint()
	is := func(bit int) bool { return flags&(1<<bit) != 0 }
	x := r.bare()
	x.rank, x.weak, x.operator, x.dated, x.submission, x.retryable, x.terminal = rank, is(0), is(1), is(2), is(3), is(4), is(5)
	if x.session = r.session(); x.weak {
		x.ref, x.claimed, x.received = r.session(), r.rank(), r.moment()
	}
	x.gravity = gravity(r.place(int(listed))) // #nosec G115 -- bounded
	if is(8) {
		x.expires = r.moment()
	}
	if is(9) {
		x.since = r.moment()
	}
	if is(10) {
		x.try = r.session()
	}
	x.id, x.name = r.id(), r.again()
	x.reasons, x.document = r.shown(is(6), is(7))
	x.class = x.classify()
	return x
}

func (r *reader) lostRun() lost {
	l := lost{check: r.place(len(r.checks) - 1), session: r.session()}
	l.late, _ = r.flag2()
	l.start, l.end = r.moment(), r.moment()
	return l
}
