package kyc

import (
	"cmp"
	"slices"
	"time"
)

// keepSeen is how many days the ids of records stay known, so that one sent again does nothing.
const keepSeen = 90

// State is everything that still matters of what was said of one subject. The zero value is a
// subject nobody has heard of. It is a pure fold of the subject's records (I11): equal records in
// equal order give equal bytes, on every node. Its owner serialises calls; it is written whole
// after every callback, so it is small and has its own encoding. It has no rules of its own: it
// keeps words and judges them by the rules (rules.go). What does not fit may cost somebody an
// approval, and never gives one.
type State struct {
	partner, subject, kind string
	livemode               bool
	submitted              bool // somebody has registered a verification of this subject
	policy                 int  // the version it was last folded under
	sequence               uint64
	told                   told     // the last change of the status owed
	noticed                []moment // the ends to come that kyc.status.expiring has been owed for

	n       int    // words so far
	last    moment // when the newest record was received: the clock never goes back
	beyond  rank   // the gravest word of the checks there was no room for
	sources []source
	checks  []check // in order of appearance
	runs    []runOf
	words   []word
	lifts   []word // providers' words that end their own suspensions
	lost    []lost
	seen    []known // sorted by id
}

// source is who spoke.
type source struct {
	name, provider string
	forgotten      *sieve // runs that were forgotten; nil: none
}

// check is one thing verified by one source.
type check struct {
	typ    Check
	scope  Scope
	part   string // the document type of a step or a document; an overall check has none, whatever document it mentions
	source int    // place in State.sources
	spoke  bool   // something was said of it that is not weak
	owed   bool   // a change of it has been owed
	told   told   // the last one; until then how it stands
}

func (c *check) overall() bool { return c.scope == Overall }

// runOf is one run at a source.
type runOf struct {
	source int
	name   session
	begun  word // its first strong word of which its place says what was received before it, or that has a time; n is 0: none
	late   word // the first of the others: which of the two was said first nobody knows; n is 0: none
	old    bool // met when runs of its source had been forgotten: it may be one of them
}

// known is the id of a record that was applied, and the day it was received; zero: kept for ever.
type known struct {
	id  id
	day uint32
}

// Apply takes what one callback brought, one record or several, into the state, which it changes,
// and returns the changes owed for all of it together, numbered, and what became of each record
// (I3, I4, I11). Whatever the records are, they owe at most one change of the status, and one of
// each check and document: what holds after all of them. It is pure: the same state, records and
// policy give the same result, and no clock is read; a record of kind timer says that its time has
// come. Records of kinds that concern deliveries or quarantine are remembered and change nothing. A
// record that is known already does not even show that time has passed, so that equal records give
// equal bytes however they were put together.
func (s *State) Apply(us []Update, p Policy) ([]Change, []Verdict) {
	verdicts := make([]Verdict, len(us))
	var one [1]word // most callbacks bring one record
	said := one[:]  // n is 0: nothing that the rules weigh
	if len(us) > 1 {
		said = make([]word, len(us))
	}
	var notice *Update
	news := false
	for i := range us {
		u := us[i].lowered()
		if s.foreign(&u) {
			if verdicts[i] = Stale; u.Expiring {
				verdicts[i] = Superseded
			}
			continue
		}
		if u.Kind != Timer && !s.remember(&u) {
			verdicts[i] = Duplicate
			continue
		}
		s.last = max(s.last, momentOf(u.ReceivedAt))
		news, verdicts[i] = true, Applied
		if u.Kind != Timer {
			s.learn(&u)
		}
		switch {
		case u.Expiring && (u.Kind == Timer || u.Kind == Observation || u.Kind == Confirmation):
			notice, verdicts[i] = &us[i], Superseded
		case u.Kind == Timer:
			verdicts[i] = Stale
		default:
			said[i] = s.take(&u, p)
		}
	}
	if !news {
		return nil, verdicts
	}
	v := s.at(p, s.last)
	f := v.subject()
	for i := range said {
		if said[i].n > 0 {
			verdicts[i] = v.judge(&said[i], &f)
		}
	}
	owed := v.owe(us, verdicts, &f)
	if ch, ok := v.notice(notice, &f); ok {
		owed = append(owed, ch)
	}
	for i := range us {
		if len(owed) > 0 && (us[i].Kind == Timer || us[i].Expiring) {
			verdicts[i] = Applied
		}
	}
	s.policy = p.Version
	return owed, verdicts
}

// at is what is known at an instant.
func (s *State) at(p Policy, now moment) *view { return &view{State: s, policy: p, now: now} }

// take takes a record that may say something, and returns its word.
func (s *State) take(u *Update, p Policy) (w word) {
	if u.Force && !u.Livemode { // the sandbox: what was said before does not count any more, and what was told of it stays told
		s.words, s.lifts, s.runs, s.lost, s.beyond, s.submitted = nil, nil, nil, nil, 0, false
	}
	switch u.Kind {
	case Observation, Confirmation:
		if u.Release && !u.NeedsConfirmation {
			s.lift(u)
		}
		if u.Status == "" {
			return w
		}
	case Decision:
		if u.Release && u.Source == Manual && s.beyond > 0 {
			if s.beyond = 0; s.find(u) < 0 {
				return w
			}
		}
		if u.Release {
			u.Status, u.Terminal = NotStarted, false
		} else if u.Status == "" || rankOf(u) < rankApproved {
			return w // neither a release nor a verdict: nothing is lifted by mistake
		}
	case Submission:
		s.submitted = true
		if s.known(u) {
			return w // its provider has spoken already
		}
	default:
		return w
	}
	return s.keep(u, p)
}

// remember notes the id of a record, forgets those of 90 days ago, and reports whether this one is
// new. Ids of updates without a time of their own stay: nothing else would tell a resend from news.
func (s *State) remember(u *Update) bool {
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

// learn keeps who this is. What kind of subject it is decides what the policy requires, so weak
// evidence does not teach it (I10), and a company stays one.
func (s *State) learn(u *Update) {
	if s.subject == "" {
		s.partner, s.subject, s.livemode = u.Partner, u.Subject.ID, u.Livemode
	}
	if k := u.Subject.Kind; !u.NeedsConfirmation && (k == Company || s.kind != Company && k > s.kind) {
		s.kind = k
	}
}

// person is the subject as a change names it.
func (s *State) person(ref string) Subject {
	return Subject{ID: s.subject, ProviderRef: ref, Kind: cmp.Or(s.kind, Individual)}
}

// Knows reports whether a record is known by its id: it has been folded, and is remembered.
func (s *State) Knows(id string) bool {
	_, found := slices.BinarySearchFunc(s.seen, known{id: idOf(id)}, compareKnown)
	return found
}

// Status is where the subject stands, as partners were last told.
func (s *State) Status() Status { return s.told.rank.status() }

// Sequence is the number of the last change that was owed.
func (s *State) Sequence() uint64 { return s.sequence }

// After runs a change of the state whose first number comes after floor: those up to it may have
// been told. If no change is owed, nothing is renumbered.
func (s *State) After(floor uint64, change func() []Change) []Change {
	was := s.sequence
	s.sequence = max(was, floor)
	owed := change()
	if len(owed) == 0 {
		s.sequence = was
	}
	return owed
}

// Renumber makes the next change come after this number: those up to it may have been told.
func (s *State) Renumber(n uint64) { s.sequence = max(s.sequence, n) }

// Untell forgets what partners were told, for a state that was made anew from less than everything:
// whatever holds now is told.
func (s *State) Untell() {
	s.told, s.noticed = told{}, nil
	for i := range s.checks {
		s.checks[i].told, s.checks[i].owed = told{}, false
	}
}

// PolicyVersion is the version the subject was last folded under; it keeps it until a record of
// kind policy.
func (s *State) PolicyVersion() int { return s.policy }
