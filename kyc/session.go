package kyc

import (
	"bytes"
	"slices"
	"time"
)

// session is one verification at one provider. Its slots hold maxima only, so that it is the same whatever the order of arrival; unconfirmed updates have slots
// of their own, so that they can hide nothing that is confirmed (I10).
type session struct {
	key string

	first, arrived         time.Time // earliest provider time, first arrival: sessions are ordered by them
	weakFirst, weakArrived time.Time // the same of unconfirmed updates; they count only until a confirmed one comes

	verdict     *entry // newest outcome
	arrival     *entry // last outcome without a provider time, until verdict moves: it applies on arrival and leaves the order alone
	terminal    *entry // newest terminal rejection
	reset       *entry // newest not_started: what was decided before it is void
	attempt     *entry // newest not_started, pending or lapse
	hit         *entry // newest unreleased sanctions or PEP match
	claim       *entry // newest unconfirmed outcome: it may only take away
	weakAttempt *entry
	weakHit     *entry

	hits     []id      // every unreleased match, sorted: a release lifts them all
	answered time.Time // claims received up to here have been answered by a confirmation
	lapsed   time.Time // attempts whose provider gave a deadline up to here have run out
	trail    []step    // what approvals have been repeated since, for their expiry
}

// begun is what sessions are ordered by.
func (ss *session) begun() time.Time {
	for _, t := range []time.Time{ss.first, ss.arrived, ss.weakFirst} {
		if !t.IsZero() {
			return t
		}
	}
	return ss.weakArrived
}

func (ss *session) begin(e *entry, received time.Time) {
	first, arrived := &ss.first, &ss.arrived
	if e.weak {
		if first, arrived = &ss.weakFirst, &ss.weakArrived; ss.confirmedOnce() {
			return
		}
	}
	if !e.at.IsZero() && (first.IsZero() || e.at.Before(*first)) {
		*first, *arrived = e.at, time.Time{}
	}
	if first.IsZero() && arrived.IsZero() {
		*arrived = received
	}
	if !e.weak {
		ss.weakFirst, ss.weakArrived = time.Time{}, time.Time{}
	}
}

func (ss *session) confirmedOnce() bool { return !ss.first.IsZero() || !ss.arrived.IsZero() }

// observe offers an update to the slots it belongs in and reports whether one took it.
func (ss *session) observe(e *entry, released []id) bool {
	switch {
	case e.weak:
		return ss.observeWeak(e, released)
	case e.at.IsZero():
		return ss.observeTimeless(e, released)
	case e.rank == rankNotStarted:
		took := offer(&ss.reset, e)
		return offer(&ss.attempt, e) || took
	case !e.rank.verdict():
		return offer(&ss.attempt, e)
	}
	took := offer(&ss.verdict, e)
	if took {
		ss.arrival = nil
	}
	if e.rank == rankTerminal {
		took = offer(&ss.terminal, e) || took
	}
	return ss.hold(&ss.hit, e, released) || took
}

func (ss *session) observeTimeless(e *entry, released []id) bool {
	if !e.rank.verdict() {
		return replace(&ss.attempt, e)
	}
	if e.rank == rankTerminal && ss.terminal == nil {
		ss.terminal = e
	}
	ss.arrival = e
	ss.hold(&ss.hit, e, released)
	return true
}

func (ss *session) observeWeak(e *entry, released []id) bool {
	switch {
	case e.hit():
		return ss.hold(&ss.weakHit, e, released)
	case e.rank.verdict():
		if !ss.answered.IsZero() && !e.received.After(ss.answered) || ss.claim != nil && !later(e, e.rank, ss.claim, ss.claim.rank) {
			return false
		}
		ss.claim = e
		return true
	case e.at.IsZero():
		return replace(&ss.weakAttempt, e)
	default:
		return offer(&ss.weakAttempt, e)
	}
}

// replace lets a later timeless attempt follow an earlier one; a timed one it leaves alone.
func replace(slot **entry, e *entry) bool {
	if *slot != nil && !(*slot).at.IsZero() {
		return false
	}
	*slot = e
	return true
}

// hold keeps a match until it is released. One that a release has lifted does not come back by being sent again.
func (ss *session) hold(slot **entry, e *entry, released []id) bool {
	if !e.hit() || hasID(released, e.id) {
		return false
	}
	ss.hits = addID(ss.hits, e.id)
	offer(slot, e)
	return true
}

// answer voids the claims received before the provider was asked.
func (ss *session) answer(asked time.Time) {
	if asked.After(ss.answered) {
		ss.answered = asked
	}
	if ss.claim != nil && !ss.claim.received.After(asked) {
		ss.claim = nil
	}
}

// said is what evidence good enough says in this session; nil: nothing that stands.
func (ss *session) said(c *check) *entry {
	if ss.hit != nil {
		return ss.hit
	}
	for _, e := range []*entry{ss.terminal, ss.arrival, ss.verdict} { // a terminal first: a later approval is parked
		if e != nil && !ss.void(e, c) {
			return e
		}
	}
	return nil
}

// void reports what an operator has lifted or outspoken, or a reset has undone; a suspension outlives a reset.
func (ss *session) void(e *entry, c *check) bool {
	return hasID(c.released, e.id) || ss.undone(e) && e.rank != rankSuspended || c.decision != nil && !e.when().After(c.decision.when())
}

func (ss *session) undone(e *entry) bool {
	switch {
	case ss.reset == nil:
		return false
	case e.at.IsZero():
		return !e.when().After(ss.reset.when())
	default:
		return !newer(e, ss.reset)
	}
}

// trying is the session's newest attempt; weak ones speak only where nothing confirmed does.
func (ss *session) trying(weakToo bool) *entry {
	a, w := ss.attempt, ss.weakAttempt
	switch {
	case w == nil || !weakToo:
		return a
	case a == nil:
		return w
	case a.at.IsZero() && w.at.IsZero() && w.received.After(a.received), newer(w, a) && !w.at.IsZero():
		return w
	default:
		return a
	}
}

// still is what an attempt is by now: one whose deadline has passed has lapsed, whoever says so. The deadline is a mark beside the slots, so that a newer attempt that
// comes late shows again until its own.
func (ss *session) still(a *entry) rank {
	if a.rank.open() && !a.expires.IsZero() && !a.expires.After(ss.lapsed) {
		return rankLapsed
	}
	return a.rank
}

// holds reports what may never be forgotten: a match, a standing terminal rejection, a suspension, an approval, a grave rejection.
func (ss *session) holds(c *check) bool {
	if len(ss.hits) > 0 || ss.terminal != nil && !hasID(c.released, ss.terminal.id) {
		return true
	}
	for _, e := range []*entry{ss.arrival, ss.verdict} {
		if e != nil && !hasID(c.released, e.id) && (e.rank == rankSuspended || e.rank == rankApproved || e.grave()) {
			return true
		}
	}
	return false
}

// worth is what a session that holds nothing would be missed for: least if nothing in it is confirmed, most if it has an outcome.
func (ss *session) worth() int {
	switch {
	case ss.verdict != nil || ss.arrival != nil:
		return 2
	case ss.confirmedOnce():
		return 1
	default:
		return 0
	}
}

func hasID(ids []id, i id) bool {
	_, found := slices.BinarySearchFunc(ids, i, compareID)
	return found
}

func addID(ids []id, i id) []id {
	at, found := slices.BinarySearchFunc(ids, i, compareID)
	if found {
		return ids
	}
	return slices.Insert(ids, at, i)
}

func compareID(a, b id) int { return bytes.Compare(a[:], b[:]) }
