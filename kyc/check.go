package kyc

import (
	"cmp"
	"slices"
	"time"
)

// maxSessions bounds the sessions of one check, except those that hold something.
const maxSessions = 16

// maxMarks bounds the expiries and notices a check remembers to have had.
const maxMarks = 16

// key names one check of a subject. Part is the document type of a step or a document; an overall check has none, whatever document it mentions.
type key struct {
	source string
	check  Check
	scope  Scope
	part   string
}

func keyOf(u Update) key {
	k := key{source: u.Source, check: u.Check, scope: u.Scope, part: u.Document.Type}
	if k.scope == "" && u.Kind == Decision {
		k.scope = Overall
	}
	if k.scope == "" {
		k.scope = CheckScope // a step approves nobody by itself
	}
	if k.scope == Overall {
		k.part = ""
	}
	return k
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.check, b.check), cmp.Compare(a.scope, b.scope), cmp.Compare(a.part, b.part))
}

func (k key) String() string {
	return k.source + "/" + string(k.check) + "/" + string(k.scope) + "/" + k.part
}

// sessionOf is the verification an update belongs to. A document without a request has none.
func sessionOf(u Update) string {
	if u.Scope == DocumentScope {
		return u.Verification.ParentRef
	}
	return cmp.Or(u.Verification.ParentRef, u.Verification.Ref)
}

// check is everything kept about one key.
type check struct {
	key      key
	provider string
	sessions []*session // sorted by key
	decision *entry     // an operator's verdict
	released []id       // matches, terminal rejections and suspensions an operator has lifted, sorted
	passed   []time.Time
	noticed  []time.Time // expiries that have come, and that have been announced; oldest mark first
	told     told        // the last change owed for this object
}

// result is what a check says now.
type result struct {
	check    *check
	shown    *entry   // what shows; nil: nothing is known
	rank     rank     // of shown; expired where its validity has run out
	session  *session // of shown; nil: an operator's
	said     *entry   // the confirmed verdict, which shown may cover
	saidRank rank
	valid    period // of said, where it is an approval
	claim    *entry // the unconfirmed claim that shows, or is covered by an attempt
	period   period // of shown, where it is an approval
	held     bool   // by a sanctions or PEP match that nobody has released
	counts   bool   // for the subject
}

// standsUntil reports whether an approval stands that runs out then.
func (r result) standsUntil(t time.Time) bool {
	return r.saidRank == rankApproved && r.said != nil && r.valid.until.Equal(t)
}

func (r result) decided() bool { return r.said != nil || r.claim != nil }
func (r result) overall() bool { return r.check.key.scope == Overall }

// negative reports what counts whatever the policy and whoever spoke later.
func (r result) negative() bool {
	return r.rank == rankSuspended || r.held || r.shown != nil && r.shown.haunts()
}

func (r result) when() time.Time {
	if r.shown == nil {
		return time.Time{}
	}
	return r.shown.when()
}

func (c *check) session(name string) *session {
	at, found := c.place(name)
	if !found {
		c.sessions = slices.Insert(c.sessions, at, &session{key: name})
	}
	return c.sessions[at]
}

// known is a session the check has; nil: it has none of that name.
func (c *check) known(name string) *session {
	if at, found := c.place(name); found {
		return c.sessions[at]
	}
	return nil
}

func (c *check) place(name string) (at int, found bool) {
	return slices.BinarySearchFunc(c.sessions, name, func(ss *session, name string) int { return cmp.Compare(ss.key, name) })
}

// decide takes an operator's word: it lifts every hold known now (matches only by a release or an approval), and with a status it is a verdict until the provider says something newer. It reports whether
// the word is the latest.
func (c *check) decide(e *entry) bool {
	took := true
	if e.rank.verdict() {
		took = offer(&c.decision, e)
	} else if d := c.decision; d != nil && (d.rank == rankSuspended || d.rank == rankTerminal) {
		c.decision = nil // a release lifts an operator's own no, and keeps an operator's yes
	}
	for _, ss := range c.sessions {
		if !e.rank.verdict() || e.rank == rankApproved { // any other word leaves a match where it is: whoever wants to look again has not cleared anybody
			for _, i := range ss.hits {
				c.released = addID(c.released, i)
			}
			ss.hits, ss.hit, ss.weakHit = nil, nil, nil
		}
		for _, x := range []*entry{ss.terminal, ss.verdict, ss.arrival} {
			if x != nil && (x == ss.terminal || x.rank == rankSuspended) && !hasID(ss.hits, x.id) {
				c.released = addID(c.released, x.id)
			}
		}
	}
	return took
}

// effective is what the check says now, under the validity a policy gives.
func (c *check) effective(p Policy) result {
	r := result{check: c, held: slices.ContainsFunc(c.sessions, func(ss *session) bool { return len(ss.hits) > 0 })}
	in, final := c.confirmed(&r)
	if r.said != nil {
		r.valid = c.validity(in, r.said, p)
		if r.saidRank = r.said.rank; r.saidRank == rankApproved && marked(c.passed, r.valid.until) {
			r.saidRank = rankExpired
		}
		r.shown, r.rank, r.session, r.period = r.said, r.saidRank, in, r.valid
	}
	if final {
		return r
	}
	r.tried(c.attempt(false, false))
	if c.claimed(&r, p); r.shown == nil {
		r.shown, r.session = c.attempt(true, true)
		if r.shown != nil {
			r.rank = r.session.still(r.shown)
		}
		return r
	}
	if r.claim != nil {
		r.tried(c.attempt(false, r.said == nil))
	}
	return r
}

// tried lets a new attempt show over an open or retryable outcome that it followed. Without times that takes another session.
func (r *result) tried(live *entry, of *session) {
	v := r.shown
	if live == nil || v == nil || !r.rank.verdict() || r.rank == rankApproved || r.rank == rankSuspended || r.rank == rankTerminal || v.hit() {
		return
	}
	follows := newer(live, v)
	if v.at.IsZero() || live.at.IsZero() {
		follows = v.at.IsZero() && live.at.IsZero() && of != r.session && live.received.After(v.received)
	}
	if follows {
		r.shown, r.rank, r.session, r.period = live, live.rank, of, period{}
	}
}

// confirmed finds the verdict that good evidence or an operator gives, and its session. Final ones let nothing show over them.
func (c *check) confirmed(r *result) (in *session, final bool) {
	var worst, grave *entry
	var worstIn, graveIn *session
	for _, ss := range c.sessions {
		e := ss.said(c)
		if e == nil {
			continue
		}
		if held := e == ss.hit || e.rank == rankSuspended; held && (worst == nil || e.rank > worst.rank || e.rank == worst.rank && newer(e, worst)) {
			worst, worstIn = e, ss
		}
		if e.grave() && offer(&grave, e) {
			graveIn = ss
		}
		if r.said == nil || ss.begun().After(in.begun()) || ss.begun().Equal(in.begun()) && newer(e, r.said) {
			r.said, in = e, ss
		}
	}
	d := c.decision
	switch {
	case worst != nil:
		r.said = worst
		return worstIn, true
	case d != nil && (d.rank == rankSuspended || d.rank == rankTerminal):
		r.said = d // an operator's no stands until an operator's word
		return nil, true
	case grave != nil && newer(grave, r.said):
		r.said, in = grave, graveIn // an older session that turned out worse later
	}
	if d != nil && (r.said == nil || !r.said.when().After(d.when())) {
		r.said, in = d, nil
	}
	return in, false
}

// claimed lets unconfirmed evidence show where nothing confirmed does, or where it takes more away (I10).
func (c *check) claimed(r *result, p Policy) {
	for _, ss := range c.sessions {
		if w := ss.weakHit; w != nil && (r.said == nil || r.saidRank <= w.rank) && (r.claim == nil || newer(w, r.claim)) {
			r.claim, r.session = w, ss
		}
	}
	if r.claim == nil {
		for _, ss := range c.sessions {
			if cl := ss.claim; cl != nil && (r.claim == nil || later(cl, cl.rank, r.claim, r.claim.rank)) && r.admits(cl, ss.said(c)) {
				r.claim, r.session = cl, ss
			}
		}
	}
	if r.claim != nil {
		r.shown, r.rank, r.period = r.claim, r.claim.rank, c.validity(r.session, r.claim, p)
	}
}

// admits reports whether a claim may show: it is newer and stricter than what its session (own) and the check say, and does not merely repeat an approval; or it is about
// the attempt that shows, and no milder than the verdict under that.
func (r *result) admits(cl, own *entry) bool {
	if r.said != nil && r.shown != r.said && later(cl, cl.rank, r.shown, r.rank) && cl.rank >= r.saidRank {
		return true
	}
	if own != nil && (!cl.when().After(own.when()) || cl.rank <= own.rank || own.rank == rankApproved && cl.claimedApproved) {
		return false
	}
	repeats := r.saidRank == rankApproved && cl.claimedApproved
	return r.said == nil || later(cl, cl.rank, r.said, r.saidRank) && cl.rank > r.saidRank && !repeats
}

// attempt is the newest attempt of any session; lapsed ones count only where nothing has been decided, weak ones only where nothing confirmed has.
func (c *check) attempt(lapsedToo, weakToo bool) (e *entry, of *session) {
	for _, ss := range c.sessions {
		a := ss.trying(weakToo)
		if a != nil && (lapsedToo || ss.still(a) != rankLapsed) && offer(&e, a) {
			of = ss
		}
	}
	return e, of
}

func marked(marks []time.Time, t time.Time) bool { return slices.ContainsFunc(marks, t.Equal) }

func mark(marks []time.Time, t time.Time) []time.Time {
	if len(marks) >= maxMarks {
		marks = slices.Delete(marks, 0, 1)
	}
	return append(marks, t)
}

// bound forgets the oldest session that holds nothing: of unconfirmed ones first, then of mere attempts, then of outcomes that a newer session has replaced.
func (c *check) bound() {
	for len(c.sessions) > maxSessions {
		var r result
		newest, _ := c.confirmed(&r)
		drop, worth := -1, 0
		for i, ss := range c.sessions {
			if ss.holds(c) || ss == newest {
				continue
			}
			if w := ss.worth(); drop < 0 || cmp.Or(cmp.Compare(w, worth), ss.begun().Compare(c.sessions[drop].begun())) < 0 {
				drop, worth = i, w
			}
		}
		if drop < 0 {
			return
		}
		c.sessions = slices.Delete(c.sessions, drop, drop+1)
	}
}
