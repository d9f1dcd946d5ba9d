package kyc

import (
	"cmp"
	"slices"
	"time"
)

// The oracle tells the rules a second time, for confirmed evidence: with maps, whole updates and nothing forgotten. It is written to be compared with, not to be fast.

type oracleUpdate struct {
	id        string
	key       key
	session   string
	at        time.Time // zero: the provider gave none
	received  time.Time
	revision  int64
	rank      rank
	reasons   []Reason
	expires   time.Time
	confirmed bool // a confirmation; kept for completeness, without claims it voids nothing
}

func oracleOf(u Update) oracleUpdate {
	o := oracleUpdate{
		id: idOf(u.ID).String(), key: keyOf(u), session: sessionOf(u), at: ordering(u), received: u.ReceivedAt, revision: u.ProviderEvent.Revision,
		rank: rankOf(u), expires: u.ExpiresAt, confirmed: u.Kind == Confirmation,
	}
	for _, r := range u.Reasons {
		o.reasons = append(o.reasons, r.Code)
	}
	return o
}

func (u oracleUpdate) when() time.Time {
	if u.at.IsZero() {
		return u.received
	}
	return u.at
}

func (u oracleUpdate) rejectedFor(codes ...Reason) bool {
	return (u.rank == rankRejected || u.rank == rankTerminal) && slices.ContainsFunc(u.reasons, func(r Reason) bool { return slices.Contains(codes, r) })
}

func (u oracleUpdate) hit() bool { return u.rejectedFor(SanctionsMatch, PEPMatch) }

func (u oracleUpdate) always() bool {
	return u.rejectedFor(SanctionsMatch, PEPMatch, AdverseMediaMatch, FraudSuspected, Underage)
}

func oracleNewer(a, b oracleUpdate) bool {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.revision, b.revision), cmp.Compare(a.rank, b.rank), cmp.Compare(a.id, b.id)) > 0
}

func oracleLater(a, b oracleUpdate) bool {
	return cmp.Or(a.when().Compare(b.when()), cmp.Compare(a.revision, b.revision), cmp.Compare(a.rank, b.rank), cmp.Compare(a.id, b.id)) > 0
}

type oracleSlot struct {
	u   oracleUpdate
	set bool
}

func (s *oracleSlot) offer(u oracleUpdate) {
	if !s.set || oracleNewer(u, s.u) {
		s.u, s.set = u, true
	}
}

type oracleSession struct {
	arrived, first                    time.Time
	verdict, terminal, attempt, reset oracleSlot
	arrival, over                     oracleSlot // the last timeless verdict, and the verdict it was put over
	hits                              map[string]oracleUpdate
}

func (ss *oracleSession) begun() time.Time {
	if ss.first.IsZero() {
		return ss.arrived
	}
	return ss.first
}

type oracleCheck struct {
	sessions map[string]*oracleSession
	decision oracleSlot
	released map[string]bool
	expired  map[time.Time]bool
	lapsed   map[string]time.Time // by session: the last deadline that has passed
}

// attempt is what an attempt is by now.
func (c *oracleCheck) attempt(u oracleUpdate) oracleUpdate {
	if (u.rank == rankPending || u.rank == rankNotStarted) && !u.expires.IsZero() && !c.lapsed[u.session].Before(u.expires) {
		u.rank = rankLapsed
	}
	return u
}

type oracle struct {
	status rank
	seen   map[string]bool
	checks map[key]*oracleCheck
}

func newOracle() *oracle { return &oracle{seen: map[string]bool{}, checks: map[key]*oracleCheck{}} }

func (s *oracle) apply(v Update, p Policy) {
	u := oracleOf(v)
	if s.seen[u.id] {
		return
	}
	s.seen[u.id] = true
	c := s.checks[u.key]
	if c == nil {
		c = &oracleCheck{sessions: map[string]*oracleSession{}, released: map[string]bool{}, expired: map[time.Time]bool{}, lapsed: map[string]time.Time{}}
		s.checks[u.key] = c
	}
	if v.Kind == Decision {
		c.decide(u)
	} else {
		c.observe(u)
	}
	s.status = s.fold(p)
}

func (s *oracle) expire(k key, at time.Time, p Policy) {
	if c := s.checks[k]; c != nil {
		c.expired[at] = true
	}
	s.status = s.fold(p)
}

func (s *oracle) lapse(k key, session string, at time.Time, p Policy) {
	if c := s.checks[k]; c != nil && c.sessions[session] != nil && at.After(c.lapsed[session]) {
		c.lapsed[session] = at
	}
	s.status = s.fold(p)
}

func (c *oracleCheck) observe(u oracleUpdate) {
	ss := c.sessions[u.session]
	if ss == nil {
		ss = &oracleSession{hits: map[string]oracleUpdate{}, arrived: u.received}
		c.sessions[u.session] = ss
	}
	if u.hit() {
		ss.hits[u.id] = u
	}
	if u.at.IsZero() {
		if u.rank == rankTerminal && !ss.terminal.set {
			ss.terminal = oracleSlot{u, true}
		}
		if u.rank.verdict() {
			ss.arrival, ss.over = oracleSlot{u, true}, ss.verdict
		} else if !ss.attempt.set || ss.attempt.u.at.IsZero() {
			ss.attempt = oracleSlot{u, true}
		}
		return
	}
	if ss.first.IsZero() || u.at.Before(ss.first) {
		ss.first = u.at
	}
	switch {
	case u.rank == rankNotStarted:
		ss.reset.offer(u)
		ss.attempt.offer(u)
	case u.rank.verdict():
		ss.verdict.offer(u)
		if u.rank == rankTerminal {
			ss.terminal.offer(u)
		}
	default:
		ss.attempt.offer(u)
	}
}

func (c *oracleCheck) decide(u oracleUpdate) {
	if u.rank.verdict() {
		c.decision.offer(u)
	} else if d := c.decision; d.set && (d.u.rank == rankSuspended || d.u.rank == rankTerminal) {
		c.decision = oracleSlot{}
	}
	for _, ss := range c.sessions {
		if !u.rank.verdict() || u.rank == rankApproved {
			for id := range ss.hits {
				c.released[id] = true
			}
		}
		for i, x := range []oracleSlot{ss.terminal, ss.verdict, ss.arrival} {
			if _, match := ss.hits[x.u.id]; x.set && (i == 0 || x.u.rank == rankSuspended) && !match {
				c.released[x.u.id] = true
			}
		}
	}
}

func (ss *oracleSession) outcome(c *oracleCheck) (oracleUpdate, bool) {
	var held oracleSlot
	for id, h := range ss.hits {
		if !c.released[id] {
			held.offer(h)
		}
	}
	if held.set {
		return held.u, true
	}
	reset := func(u oracleUpdate) bool {
		return ss.reset.set && (!u.at.IsZero() && !oracleNewer(u, ss.reset.u) || u.at.IsZero() && !u.when().After(ss.reset.u.when()))
	}
	void := func(u oracleUpdate) bool {
		return c.released[u.id] || reset(u) && u.rank != rankSuspended || c.decision.set && !u.when().After(c.decision.u.when())
	}
	switch {
	case ss.terminal.set && !void(ss.terminal.u):
		return ss.terminal.u, true
	case ss.arrival.set && !void(ss.arrival.u) && (!ss.verdict.set || ss.verdict.u.id == ss.over.u.id):
		return ss.arrival.u, true
	case ss.verdict.set && !void(ss.verdict.u):
		return ss.verdict.u, true
	}
	return oracleUpdate{}, false
}

// effective returns what shows, and the verdict under it.
func (c *oracleCheck) effective() (u, said oracleUpdate, decided bool) {
	var verdict, attempt, live, grave, worst oracleSlot
	var of *oracleSession
	for _, ss := range c.sessions {
		if ss.attempt.set {
			attempt.offer(ss.attempt.u)
			if c.attempt(ss.attempt.u).rank != rankLapsed {
				live.offer(ss.attempt.u)
			}
		}
		o, ok := ss.outcome(c)
		if !ok {
			continue
		}
		if (o.rank == rankSuspended || o.hit() && !c.released[o.id]) && (!worst.set || o.rank > worst.u.rank || o.rank == worst.u.rank && oracleNewer(o, worst.u)) {
			worst = oracleSlot{o, true}
		}
		if o.rank == rankTerminal || o.always() {
			grave.offer(o)
		}
		if of == nil || ss.begun().After(of.begun()) || ss.begun().Equal(of.begun()) && oracleNewer(o, verdict.u) {
			verdict, of = oracleSlot{o, true}, ss
		}
	}
	if worst.set {
		return worst.u, worst.u, true
	}
	if grave.set && oracleNewer(grave.u, verdict.u) {
		verdict = grave
	}
	if d := c.decision; d.set && (d.u.rank == rankSuspended || d.u.rank == rankTerminal) {
		return d.u, d.u, true
	}
	if c.decision.set && (!verdict.set || !verdict.u.when().After(c.decision.u.when())) {
		verdict = c.decision
	}
	if !verdict.set {
		return c.attempt(attempt.u), attempt.u, false
	}
	v := verdict.u
	if v.rank == rankApproved && !v.expires.IsZero() && c.expired[v.expires] {
		v.rank = rankExpired
	}
	if v.rank == rankApproved || v.rank == rankSuspended || v.rank == rankTerminal || v.hit() || !live.set {
		return v, v, true
	}
	l := live.u
	if !v.at.IsZero() && !l.at.IsZero() && oracleNewer(l, v) || v.at.IsZero() && l.at.IsZero() && l.session != v.session && l.received.After(v.received) {
		return l, v, true
	}
	return v, v, true
}

type oracleResult struct {
	key     key
	u, said oracleUpdate
	decided bool
}

func (s *oracle) fold(p Policy) rank {
	var all []oracleResult
	best := map[Check]oracleResult{}
	for k, c := range s.checks {
		u, v, d := c.effective()
		r := oracleResult{k, u, v, d}
		all = append(all, r)
		if b, ok := best[k.check]; k.scope == Overall && d && (!ok || oracleLater(v, b.said)) {
			best[k.check] = r
		}
	}
	for _, r := range all {
		if b, ok := best[r.key.check]; ok && b.said.rank == rankExpired && r.key.scope == Overall && r.decided && r.said.rank == rankApproved {
			best[r.key.check] = r
		}
	}
	var counted []rank
	for _, r := range all {
		if r.u.rank == rankSuspended || r.u.always() || r.key.check == Screening && r.decided || r.key.scope == Overall && r.decided && best[r.key.check].key == r.key {
			counted = append(counted, r.u.rank)
		}
	}
	for _, t := range p.For("") {
		if _, ok := best[t]; ok {
			continue
		}
		found := false
		for _, r := range all {
			if r.key.check == t && (r.key.scope == Overall || t != IdentityVerification && t != BusinessVerification) {
				counted, found = append(counted, r.u.rank), true
			}
		}
		if !found {
			counted = append(counted, rankPending)
		}
	}
	for _, want := range []rank{rankSuspended, rankTerminal, rankRejected, rankInReview} {
		if slices.Contains(counted, want) {
			return want
		}
	}
	switch {
	case len(counted) == 0 || slices.ContainsFunc(counted, func(r rank) bool { return !r.verdict() }):
		return oracleProgress(all)
	case slices.Contains(counted, rankExpired):
		return rankExpired
	case slices.ContainsFunc(all, func(r oracleResult) bool { return r.u.rank == rankApproved && r.key.check != Screening }):
		return rankApproved
	}
	return oracleProgress(all)
}

func oracleProgress(all []oracleResult) rank {
	waiting := len(all) == 0
	for _, r := range all {
		if !r.decided && r.u.rank == rankPending {
			return rankPending
		}
		waiting = waiting || !r.decided
	}
	if waiting {
		return rankNotStarted
	}
	return rankPending
}
