package kyc

import (
	"slices"
	"strconv"
	"time"
)

// TimerDue is an instant at which time itself changes a subject: an approval runs out, or is about to, or an attempt's deadline passes. It stands only until the next
// record; whoever fires it appends its Update.
type TimerDue struct {
	At           time.Time // may have passed already: fire at once
	ExpiresAt    time.Time
	Notice       bool   // the notice before expires_at, not the expiry
	Attempt      bool   // the deadline of an attempt, not the end of an approval
	Session      string // of the attempt
	Source       string
	Provider     string
	Check        Check
	Scope        Scope
	DocumentType string
	Partner      string
	Livemode     bool
	Subject      Subject
}

// Timers lists what is due for this subject, soonest first: the expiry of every check whose approval stands, the notice before it where that approval counts for an
// approved subject and none has been given, and the deadline of every attempt that shows.
func (s *State) Timers(p Policy) []TimerDue {
	var due []TimerDue
	s.each(p, func(r *result, at, until time.Time, what timerKind) {
		t := TimerDue{
			At: at, ExpiresAt: until, Notice: what == notice, Attempt: what == attempt, Source: r.check.key.source, Provider: r.check.provider, Check: r.check.key.check, Scope: r.check.key.scope,
			DocumentType: r.check.key.part, Partner: s.partner, Livemode: s.livemode, Subject: s.person(Update{}),
		}
		if t.Attempt {
			t.Session = r.session.key
		}
		due = append(due, t)
	})
	slices.SortStableFunc(due, func(a, b TimerDue) int { return a.At.Compare(b.At) })
	return due
}

// NextTimer is the instant of the first of Timers; zero: nothing is due, ever. It costs less than the list.
func (s *State) NextTimer(p Policy) (next time.Time) {
	if !slices.ContainsFunc(s.checks, (*check).ends) {
		return next
	}
	s.each(p, func(_ *result, at, _ time.Time, _ timerKind) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	})
	return next
}

// ends reports whether time may change the check at all. It may say yes too often, never no.
func (c *check) ends() bool {
	if c.decision != nil && c.decision.rank == rankApproved {
		return true
	}
	for _, ss := range c.sessions {
		for _, e := range []*entry{ss.verdict, ss.arrival, ss.attempt, ss.weakAttempt} {
			if e != nil && (e.rank == rankApproved || e.rank.open() && !e.expires.IsZero()) {
				return true
			}
		}
	}
	return false
}

// timerKind is what a timer tells.
type timerKind uint8

const (
	expiry timerKind = iota
	notice
	attempt
)

// each calls fn for everything that is due. A check may have an attempt that shows and, under it, an approval that stands.
func (s *State) each(p Policy, fn func(r *result, at, until time.Time, what timerKind)) {
	f := s.fold(p)
	for i := range f.results {
		r := &f.results[i]
		if e := r.shown; e != nil && r.rank.open() && !e.expires.IsZero() {
			fn(r, e.expires, e.expires, attempt)
		}
		if r.said == nil || r.saidRank != rankApproved {
			continue
		}
		until := r.valid.until
		fn(r, until, until, expiry)
		if f.announces(*r, until) {
			fn(r, until.Add(-p.notice()), until, notice)
		}
	}
}

// announces reports whether a notice of this expiry is news: the approval counts for an approved subject, and nobody has been told.
func (f *folding) announces(r result, until time.Time) bool {
	return r.rank == rankApproved && r.counts && f.status.rank == rankApproved && !marked(r.check.noticed, until)
}

// Update is the record that fires the timer. Its id is the same whoever makes it (I4); the caller adds received_at.
func (t TimerDue) Update() Update {
	u := Update{
		SchemaVersion: 1, Kind: Timer, Source: t.Source, Provider: t.Provider, Partner: t.Partner, Livemode: t.Livemode, Subject: t.Subject, Scope: t.Scope, Check: t.Check,
		Document: Document{Type: t.DocumentType}, Status: Expired, ExpiryKind: ExpiryValidity, ExpiresAt: t.ExpiresAt, Expiring: t.Notice, OccurredAt: t.At,
	}
	dedupe := []string{t.Partner, t.Subject.ID, strconv.FormatBool(t.Livemode), strconv.FormatInt(t.ExpiresAt.Unix(), 10), strconv.Itoa(t.ExpiresAt.Nanosecond()), strconv.FormatBool(t.Notice)}
	switch {
	case t.Attempt:
		u.ExpiryKind, dedupe = ExpiryAttempt, append(dedupe, string(ExpiryAttempt), t.Session)
		if u.Verification.Ref = t.Session; t.Scope == DocumentScope {
			u.Verification = Verification{ParentRef: t.Session}
		}
	case t.Notice:
		u.Status, u.ExpiryKind = Approved, ""
	}
	u.ID = UpdateID(t.Source, dedupe, Timer, t.Check, t.Scope, t.DocumentType, 0, t.At)
	return u
}

// lapse takes the record of an attempt's deadline. It is about that attempt only: with anything newer in the session it is void.
func (s *State) lapse(u Update, p Policy) ([]Change, Verdict) {
	c, until := s.find(keyOf(u)), utc(u.ExpiresAt)
	if c == nil || c.known(sessionOf(u)) == nil || until.IsZero() {
		return nil, Stale
	}
	ss := c.known(sessionOf(u))
	if !until.After(ss.lapsed) {
		return nil, Duplicate
	}
	f := s.fold(p)
	r := f.of(c)
	stands := r.session == ss && r.shown != nil && r.rank.open() && r.shown.expires.Equal(until)
	ss.lapsed = until // even if void: should an attempt of before come to show again, its time is over
	owed := s.settle(u, p, nil, nil)
	if !stands {
		return owed, Stale
	}
	return owed, Applied
}

// timer takes a timer's record. What it is about names it, not its id: each expiry and each notice happens once per check and expires_at, and one whose approval no longer
// stands is void.
func (s *State) timer(u Update, p Policy) ([]Change, Verdict) {
	if u.ExpiryKind == ExpiryAttempt {
		return s.lapse(u, p)
	}
	c, until := s.find(keyOf(u)), utc(u.ExpiresAt)
	switch {
	case c == nil || until.IsZero():
		return nil, Stale
	case u.Expiring && marked(c.noticed, until), !u.Expiring && marked(c.passed, until):
		return nil, Duplicate
	}
	f := s.fold(p)
	r := f.of(c)
	stands := r.standsUntil(until)
	if u.Expiring {
		if !stands || !f.announces(*r, until) || !u.ReceivedAt.Before(until) {
			return nil, Stale
		}
		c.noticed = mark(c.noticed, until)
		return s.expiring(u, r, until), Applied
	}
	c.passed = mark(c.passed, until) // even if void: should that approval come to stand again, its time is over
	owed := s.settle(u, p, nil, nil)
	if !stands {
		return owed, Stale
	}
	return owed, Applied
}

// notice takes a provider's word that an approval is about to run out. It enters no slot: it owes kyc.status.expiring, once per check and expires_at, and only while the
// approval stands and counts. An unconfirmed one owes nothing: our own timer will tell.
func (s *State) notice(u Update, p Policy) ([]Change, Verdict) {
	c := s.find(keyOf(u))
	if c == nil {
		return nil, Stale
	}
	f := s.fold(p)
	r := f.of(c)
	until := utc(cmpTime(u.ExpiresAt, r.period.until))
	switch {
	case u.NeedsConfirmation || marked(c.noticed, until):
		return nil, Superseded
	case !f.announces(*r, until):
		return nil, Stale
	}
	if c.noticed = mark(c.noticed, until); !marked(c.noticed, r.period.until) {
		c.noticed = mark(c.noticed, r.period.until) // so that our timer does not say it again in other words
	}
	return s.expiring(u, r, until), Applied
}

// expiring owes the one change that is a notice. It tells no new status, so what was last told stays.
func (s *State) expiring(u Update, r *result, until time.Time) []Change {
	t := told{entry: r.shown, rank: s.told.rank, period: period{r.period.from, until}}
	ch := s.change(u, t, r, "kyc.status.expiring", s.subject, s.told.rank.status())
	ch.OccurredAt = happened(u)
	return []Change{ch}
}
