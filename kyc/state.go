package kyc

import (
	"cmp"
	"slices"
	"time"
)

// keepSeen is how many days the ids of records stay known, so that one sent again does nothing.
const keepSeen = 90

// State is everything known of one subject. The zero value is a subject nobody has heard of. It is a pure fold of the subject's records (I11): equal records in equal
// order give equal bytes, on every node. Its owner serialises calls; it is written whole after every record, so it is small and has its own encoding.
type State struct {
	partner, subject, kind string
	livemode               bool
	policy                 int // the version it was last folded under
	sequence               uint64
	told                   told
	checks                 []*check // sorted by key
	seen                   []known  // sorted by id
}

// known is the id of a record that was applied, and the day it was received; zero: kept for ever.
type known struct {
	id  id
	day uint32
}

// Apply takes one record into the state, which it changes, and returns the changes owed for it, numbered, and what became of the record (I3, I4, I11). It is pure: the same
// state, record and policy give the same result, and no clock is read. Records of kinds that concern deliveries or quarantine are remembered and change nothing.
func (s *State) Apply(u Update, p Policy) ([]Change, Verdict) {
	if u.Kind == Timer {
		return s.timer(u, p)
	}
	if !s.remember(u) {
		return nil, Duplicate
	}
	u = u.lowered()
	s.learn(u)
	switch u.Kind {
	case Observation, Confirmation:
		if u.Expiring {
			return s.notice(u, p)
		}
		return s.observe(u, p)
	case Decision:
		return s.decide(u, p)
	case PolicyChange:
		return s.settle(u, p, nil, nil), Applied
	default:
		return nil, Applied
	}
}

// remember notes the id of a record, forgets those of 90 days ago, and reports whether this one is new. Ids of updates without a time of their own stay: nothing else
// would tell a resend from news.
func (s *State) remember(u Update) bool {
	if u.ID == "" {
		return true
	}
	k := known{id: idOf(u.ID), day: dayOf(u.ReceivedAt)}
	at, found := slices.BinarySearchFunc(s.seen, k, compareKnown)
	if found {
		return false
	}
	today := k.day
	if (u.Kind == Observation || u.Kind == Confirmation) && (u.OccurredAt.IsZero() || u.OccurredAtOrigin == OriginReceived) {
		k.day = 0
	}
	s.seen = slices.Insert(s.seen, at, k)
	s.seen = slices.DeleteFunc(s.seen, func(k known) bool { return k.day > 0 && k.day+keepSeen < today })
	return true
}

func dayOf(t time.Time) uint32 {
	if d := t.Unix() / int64(day/time.Second); d > 0 && d < 1<<31 {
		return uint32(d)
	}
	return 0
}

func compareKnown(a, b known) int { return compareID(a.id, b.id) }

// learn keeps who this is. What kind of subject it is decides what the policy requires, so weak evidence does not teach it (I10), and a company stays one.
func (s *State) learn(u Update) {
	if s.subject == "" {
		s.partner, s.subject, s.livemode = u.Partner, u.Subject.ID, u.Livemode
	}
	if k := u.Subject.Kind; !u.NeedsConfirmation && (k == Company || s.kind != Company && k > s.kind) {
		s.kind = k
	}
}

// person is the subject as a change names it.
func (s *State) person(u Update) Subject {
	return Subject{ID: s.subject, ProviderRef: u.Subject.ProviderRef, Kind: cmp.Or(s.kind, Individual)}
}

// find returns the check of a key; nil: not known.
func (s *State) find(k key) *check {
	if at, found := slices.BinarySearchFunc(s.checks, k, compareCheck); found {
		return s.checks[at]
	}
	return nil
}

func (s *State) check(k key, provider string) *check {
	at, found := slices.BinarySearchFunc(s.checks, k, compareCheck)
	if !found {
		s.checks = slices.Insert(s.checks, at, &check{key: k})
	}
	c := s.checks[at]
	c.provider = cmp.Or(c.provider, provider)
	return c
}

func compareCheck(c *check, k key) int { return compareKeys(c.key, k) }

func (s *State) observe(u Update, p Policy) ([]Change, Verdict) {
	if u.Status == "" {
		return nil, Applied // says nothing we could fold
	}
	c := s.check(keyOf(u), u.Provider)
	ss, e := s.session(c, sessionOf(u)), entryOf(u)
	if u.Kind == Confirmation && !e.weak {
		s.answer(c.key.source, ss, utc(cmpTime(u.AskedAt, u.ReceivedAt)))
	}
	ss.begin(e, utc(u.ReceivedAt))
	took := ss.observe(e, c.released)
	if !e.weak {
		ss.trace(e, p)
	}
	c.bound()
	var f folding
	owed := s.settle(u, p, c, &f)
	return owed, f.judge(c, ss, e, took)
}

// session is a session of a check. A new one knows what has been answered about it beside other checks.
func (s *State) session(c *check, name string) *session {
	if ss := c.known(name); ss != nil {
		return ss
	}
	ss := c.session(name)
	s.siblings(c.key.source, ss, func(o *session) {
		if o.answered.After(ss.answered) {
			ss.answered = o.answered
		}
	})
	return ss
}

// answer voids every claim of a source and a session received before the provider was asked, whichever check it is about.
func (s *State) answer(source string, ss *session, asked time.Time) {
	ss.answer(asked)
	s.siblings(source, ss, func(o *session) { o.answer(asked) })
}

// siblings calls fn with the sessions of this name in the source's other checks. What belongs to no session has none.
func (s *State) siblings(source string, ss *session, fn func(*session)) {
	if ss.key == "" {
		return
	}
	for _, c := range s.checks {
		if c.key.source != source {
			continue
		}
		if o := c.known(ss.key); o != nil && o != ss {
			fn(o)
		}
	}
}

func cmpTime(t, instead time.Time) time.Time {
	if t.IsZero() {
		return instead
	}
	return t
}

func (s *State) decide(u Update, p Policy) ([]Change, Verdict) {
	if u.Release {
		u.Status = NotStarted
	} else if u.Status == "" || !rankOf(u).verdict() {
		return nil, Applied // neither a release nor a verdict: nothing is lifted by mistake
	}
	c := s.check(keyOf(u), u.Provider)
	took := c.decide(entryOf(u))
	owed := s.settle(u, p, c, nil)
	if !took {
		return owed, Stale
	}
	return owed, Applied
}

// settle folds again and owes what has moved. An approval of the check touched whose validity had ended when the record was received is approved, then expired.
func (s *State) settle(u Update, p Policy, touched *check, out *folding) []Change {
	f := s.fold(p)
	owed := s.owe(u, &f, "")
	if touched != nil {
		if r := f.of(touched); r.standsUntil(r.valid.until) && !r.valid.until.After(u.ReceivedAt) {
			touched.passed = mark(touched.passed, r.valid.until)
			f = s.fold(p)
			owed = append(owed, s.owe(u, &f, "#expired")...)
		}
	}
	s.policy = p.Version
	if out != nil {
		*out = f
	}
	return owed
}

func (f *folding) of(c *check) *result {
	i := slices.IndexFunc(f.results, func(r result) bool { return r.check == c })
	return &f.results[i]
}

// judge says what became of an observation.
func (f *folding) judge(c *check, ss *session, e *entry, took bool) Verdict {
	r := f.of(c)
	newest := e == ss.verdict || e == ss.arrival
	switch {
	case !slices.Contains(c.sessions, ss):
		return Stale // forgotten at once: every session kept holds more
	case len(ss.hits) > 0 && !hasID(ss.hits, e.id):
		return Held
	case newest && e.rank == rankApproved && ss.terminal != nil && ss.said(c) == ss.terminal:
		return Parked
	case !took, newest && ss.undone(e) && e.rank != rankSuspended:
		return Stale
	case r.session != ss:
		return Superseded
	}
	if by, _ := f.speaker(c.key.check); r.overall() && by >= 0 && f.results[by].check != c {
		return Superseded
	}
	return Applied
}

// Status is where the subject stands, as partners were last told.
func (s *State) Status() Status { return s.told.rank.status() }

// PolicyVersion is the version the subject was last folded under; it keeps it until a record of kind policy.
func (s *State) PolicyVersion() int { return s.policy }
