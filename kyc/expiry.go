package kyc

import (
	"cmp"
	"slices"
	"time"
)

// What a policy means where it is silent.
const (
	defaultMonths = 12
	defaultNotice = 7
	day           = 24 * time.Hour
)

// maxSteps bounds what a session keeps of its approvals and of what lay between them.
const maxSteps = 16

// step is one approval of a session, or something between two: an attempt, a reset or another verdict.
type step struct {
	at, expires time.Time
	revision    int64
	rank        rank
}

func stepOf(e *entry) step {
	s := step{at: e.when(), revision: e.revision, rank: e.rank}
	if e.rank == rankApproved {
		s.expires = e.expires
	}
	return s
}

func (s step) approval() bool { return s.rank == rankApproved }

func compareSteps(a, b step) int {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.revision, b.revision), cmp.Compare(a.rank, b.rank), a.expires.Compare(b.expires))
}

// period is one approval with its repeats: from its first to where it runs out.
type period struct{ from, until time.Time }

// next is the period after one more step. A repeated approval extends nothing unless the provider gives a date, something lies between, or the period was over.
func (v period) next(s step, broken bool, p Policy) period {
	switch {
	case !s.expires.IsZero():
		return period{s.at, s.expires}
	case v.from.IsZero(), broken, s.at.After(v.until):
		return period{s.at, AddMonths(s.at, p.months())}
	default:
		return v
	}
}

// periodAt is the period an entry of this session belongs to, or ends.
func (ss *session) periodAt(e *entry, p Policy) period {
	var v period
	broken := false
	for _, s := range ss.trail {
		if compareSteps(s, stepOf(e)) > 0 {
			break
		}
		if !s.approval() {
			broken = true
			continue
		}
		v, broken = v.next(s, broken, p), false
	}
	return v
}

// validity is since when an approval holds and until when; of an approval that a provider says has run out, the same. Other verdicts have neither.
func (c *check) validity(ss *session, e *entry, p Policy) period {
	var v period
	if ss != nil {
		v = ss.periodAt(e, p)
	}
	switch {
	case e.rank == rankApproved && (ss == nil || v.from.IsZero()):
		return period{}.next(stepOf(e), false, p)
	case e.rank == rankExpired && !e.expires.IsZero():
		return period{v.from, e.expires}
	case e.rank == rankExpired && (v.until.IsZero() || e.when().Before(v.until)):
		return period{v.from, e.when()}
	case e.rank.dated():
		return v
	default:
		return period{}
	}
}

// trace notes a confirmed update for the expiry of the approvals around it.
func (ss *session) trace(e *entry, p Policy) {
	s := stepOf(e)
	at, found := slices.BinarySearchFunc(ss.trail, s, compareSteps)
	if found {
		return
	}
	ss.trail = slices.Insert(ss.trail, at, s)
	if len(ss.trail) > maxSteps {
		ss.trail = slices.Delete(ss.trail, ss.spare(p), ss.spare(p)+1)
	}
}

// spare is the oldest step without which every present expiry stays what it is: one of two interruptions in a row, else a repeat that extended nothing, else the very first.
func (ss *session) spare(p Policy) int {
	var v period
	broken := false
	for i, s := range ss.trail[:len(ss.trail)-1] {
		next := v
		if s.approval() {
			next = v.next(s, broken, p)
		}
		if s.approval() && next == v || !s.approval() && !ss.trail[i+1].approval() {
			return i
		}
		v, broken = next, !s.approval()
	}
	return 0
}

// AddMonths adds calendar months and stays in the month it reaches: 2024-02-29 and 12 months is 2025-02-28.
func AddMonths(t time.Time, n int) time.Time {
	t = t.UTC()
	y, m, d := t.Date()
	last := time.Date(y, m+time.Month(n)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return time.Date(y, m+time.Month(n), min(d, last), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

func (p Policy) months() int {
	if p.ValidityMonths <= 0 {
		return defaultMonths
	}
	return p.ValidityMonths
}

func (p Policy) notice() time.Duration {
	if p.NoticeDays <= 0 {
		return defaultNotice * day
	}
	return time.Duration(p.NoticeDays) * day
}

// For lists the check types the policy requires of a subject of this kind: business_verification of companies and identity_verification of everybody else, unless it
// names others. An open policy requires none.
func (p Policy) For(subjectKind string) []Check {
	switch {
	case p.Open:
		return nil
	case subjectKind == Company && len(p.RequiredCompany) > 0:
		return p.RequiredCompany
	case subjectKind == Company:
		return []Check{BusinessVerification}
	case len(p.Required) > 0:
		return p.Required
	default:
		return []Check{IdentityVerification}
	}
}
