package kyc

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// rank orders what an update can say by how much it takes away: at equal times the higher one counts.
type rank uint8

const (
	rankNotStarted rank = iota
	rankPending
	rankLapsed // a link or session ran out; nothing had been approved
	rankApproved
	rankExpired // an approval's validity ran out
	rankInReview
	rankRejected
	rankTerminal
	rankSuspended
)

// verdict tells an outcome from how far an attempt has come.
func (r rank) verdict() bool { return r >= rankApproved }

// open tells an attempt that goes on from one that has lapsed.
func (r rank) open() bool { return r < rankLapsed }

// dated reports whether approved_at and expires_at mean something.
func (r rank) dated() bool { return r == rankApproved || r == rankExpired }

func (r rank) status() Status {
	switch r {
	case rankPending:
		return Pending
	case rankLapsed, rankExpired:
		return Expired
	case rankApproved:
		return Approved
	case rankInReview:
		return InReview
	case rankRejected, rankTerminal:
		return Rejected
	case rankSuspended:
		return Suspended
	default:
		return NotStarted
	}
}

// rankOf ranks what an update says. A word we do not know is looked at by somebody: in_review.
func rankOf(u Update) rank {
	switch u.Status {
	case NotStarted:
		return rankNotStarted
	case Pending:
		return rankPending
	case Approved:
		return rankApproved
	case Suspended:
		return rankSuspended
	case Rejected:
		if u.Terminal {
			return rankTerminal
		}
		return rankRejected
	case Expired:
		if u.ExpiryKind == ExpiryAttempt {
			return rankLapsed
		}
		return rankExpired
	default:
		return rankInReview
	}
}

// entry is what a state keeps of one update. It never changes once made, so slots may share it.
type entry struct {
	id              id
	at              time.Time // provider's time; zero: it gave none that orders
	received        time.Time // kept where it can matter: without at, and for what waits for confirmation
	expires         time.Time // as the provider said: of an approval its validity, of an attempt its deadline
	revision        int64
	rank            rank
	weak            bool // not confirmed
	claimedApproved bool
	retryable       bool
	terminal        bool
	reasons         []ReasonPair
	ref             string // the provider's name of the person, else of the session
	document        Document
}

func entryOf(u Update) *entry {
	e := &entry{
		id: idOf(u.ID), at: ordering(u), expires: utc(u.ExpiresAt), revision: u.ProviderEvent.Revision, rank: rankOf(u), weak: u.NeedsConfirmation,
		claimedApproved: u.ClaimedStatus == Approved, retryable: u.Retryable, terminal: u.Terminal, reasons: slices.Clone(u.Reasons),
		ref: cmp.Or(u.Subject.ProviderRef, u.Verification.Ref), document: u.Document,
	}
	if e.at.IsZero() || e.weak {
		e.received = utc(u.ReceivedAt)
	}
	return e
}

// ordering is the time an update is ordered by: only a provider's own orders, except that an operator's word counts from when it was given.
func ordering(u Update) time.Time {
	switch {
	case u.Kind == Decision && u.OccurredAt.IsZero():
		return utc(u.ReceivedAt)
	case u.Kind == Decision, u.OccurredAtOrigin == OriginProvider, u.OccurredAtOrigin == OriginSignature:
		return utc(u.OccurredAt)
	default:
		return time.Time{}
	}
}

// utc drops the zone and the monotonic reading, so that a time equals itself read back.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }

// when is where an entry stands between sessions, between sources and against operators.
func (e *entry) when() time.Time {
	if e.at.IsZero() {
		return e.received
	}
	return e.at
}

// hit reports a sanctions or PEP match: nobody but an operator clears it.
func (e *entry) hit() bool { return e.rejectedFor(SanctionsMatch, PEPMatch) }

// grave reports a verdict that counts against a newer session when it came later.
func (e *entry) grave() bool { return e.rank == rankTerminal || e.haunts() }

// haunts reports a rejection that counts whatever the policy asks for and whoever spoke later.
func (e *entry) haunts() bool {
	return e.rejectedFor(SanctionsMatch, PEPMatch, AdverseMediaMatch, FraudSuspected, Underage)
}

func (e *entry) rejectedFor(codes ...Reason) bool {
	return (e.rank == rankRejected || e.rank == rankTerminal) &&
		slices.ContainsFunc(e.reasons, func(r ReasonPair) bool { return slices.Contains(codes, r.Code) })
}

// newer orders the entries of one slot: provider time, revision, what takes more away, id. The order is total, so that arrival does not matter.
func newer(a, b *entry) bool {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.revision, b.revision), cmp.Compare(a.rank, b.rank), bytes.Compare(a.id[:], b.id[:])) > 0
}

// later is newer across sessions and sources, where received_at stands in for a time the provider did not give. Ranks are given apart: an approval may have run out.
func later(a *entry, ra rank, b *entry, rb rank) bool {
	return cmp.Or(a.when().Compare(b.when()), cmp.Compare(a.revision, b.revision), cmp.Compare(ra, rb), bytes.Compare(a.id[:], b.id[:])) > 0
}

// offer puts e into a slot that is empty or holds something older.
func offer(slot **entry, e *entry) bool {
	if *slot != nil && !newer(e, *slot) {
		return false
	}
	*slot = e
	return true
}
