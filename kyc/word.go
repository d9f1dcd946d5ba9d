package kyc

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// rank orders what a word can say by how much it takes away.
type rank uint8

const (
	rankNotStarted rank = iota
	rankPending
	rankLapsed // a link or session ran out; nothing had been decided
	rankApproved
	rankExpired // an approval's validity ran out
	rankInReview
	rankRejected
	rankTerminal
	rankSuspended
)

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

// rankOf ranks what an update says, or claims. A word we do not know is looked at by somebody:
// in_review.
func rankOf(u *Update) rank {
	status := u.Status
	if u.NeedsConfirmation && u.ClaimedStatus != "" {
		status = u.ClaimedStatus
	}
	switch status {
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

// class is how grave a finding is, and so what answers it. It is ordered by how hard it is to
// answer.
type class uint8

const (
	none  class = iota
	claim       // weak evidence that takes away: told as in_review until it is answered
	soft        // in_review, or a rejection that may be tried again
	grave       // the same for a serious reason: a possible hit under review, or fraud, age, adverse media or a second account
	final       // a terminal rejection
	ban         // a suspension
	hit         // a sanctions or PEP match
	no          // an operator's own review, rejection or suspension
)

// gravity is what of the reasons decides.
type gravity uint8

const (
	mild    gravity = iota
	serious         // settled where it was raised, or by an operator
	listed          // serious, and about a sanctions or PEP list
)

func gravityOf(reasons []ReasonPair) (g gravity) {
	for _, r := range reasons {
		switch r.Code {
		case SanctionsMatch, PEPMatch:
			return listed
		case AdverseMediaMatch, FraudSuspected, Underage, DuplicateAccount:
			g = serious
		default:
		}
	}
	return g
}

// session is the name of a run, of an attempt or of what was asked about, as the state keeps it: a
// digest. Zero is none.
type session uint64

// gone stands for the runs that the state has forgotten.
const gone session = 1

func sessionNamed(name string) session {
	if name == "" {
		return 0
	}
	h := sha256.Sum256([]byte(name))
	if s := session(binary.BigEndian.Uint64(h[:8])); s > gone {
		return s
	}
	return gone + 1
}

// sessionOf is the run an update belongs to. A document without a request has none.
func sessionOf(u *Update) string {
	if u.Scope == DocumentScope {
		return u.Verification.ParentRef
	}
	return cmp.Or(u.Verification.ParentRef, u.Verification.Ref)
}

// word is what is kept of one update, or of several that nothing but their newest can tell apart.
type word struct {
	n          int // its place among the subject's words: what arrived first is less
	check      int // place in State.checks
	source     int // place in State.sources
	session    session
	ref        session // of weak words: what the provider can be asked about
	rank       rank
	class      class
	gravity    gravity
	weak       bool   // below the evidence that its source asks for
	operator   bool   // a decision
	dated      bool   // of an approval: its end is the provider's own, not the policy's
	submission bool   // a partner's word that a run was begun
	at         moment // the provider's time; zero: it gave none, or one that was not believed
	received   moment // kept where it can matter: of what is weak, has no time or has a skew
	skew       moment // how far, either way, received may be from the true time, and so its place says nothing; zero: its place says what was received before it
	taken      moment // of what has no time and waited for its person: when it was received in truth; zero: it did not wait
	expires    moment // of an approval the provider's date, its own or one that it repeats; of an attempt its deadline
	since      moment // of an approval that repeats one that is no longer kept: since when
	revision   int64

	// What follows decides nothing: it is what partners and operators are shown.
	id        id
	try       session // one attempt within a run
	retryable bool
	terminal  bool
	claimed   rank // of a weak word: what it would be
	reasons   []ReasonPair
	name      string // the provider's name of the person, else of the run
	document  Document
}

func wordOf(u *Update) word {
	w := word{
		session: sessionNamed(sessionOf(u)), rank: rankOf(u), weak: u.NeedsConfirmation, operator: u.Kind == Decision, at: ordering(u), received: momentOf(u.ReceivedAt),
		expires: momentOf(u.ExpiresAt), revision: u.ProviderEvent.Revision, id: idOf(u.ID), try: sessionNamed(u.Verification.AttemptRef), retryable: u.Retryable,
		terminal: u.Terminal, reasons: slices.Clone(u.Reasons), name: cmp.Or(u.Subject.ProviderRef, u.Verification.Ref), document: u.Document, gravity: gravityOf(u.Reasons),
	}
	w.dated = w.rank == rankApproved && w.expires != 0
	if u.Kind == Submission {
		w.rank, w.submission, w.session = rankPending, true, sessionNamed(u.Subject.ProviderRef)
		w.weak, w.at, w.received = false, 0, momentOf(u.ReceivedAt)
	}
	if w.operator {
		w.session, w.revision = 0, 0
	}
	switch {
	case w.operator || w.submission:
	case u.Skew > 0:
		w.skew = min(moment(u.Skew), maxSkew)
	case u.Waited && w.at == 0:
		w.taken = w.received
	}
	if w.weak {
		w.ref, w.claimed = sessionNamed(u.Verification.Ref), w.rank
	} else if w.at != 0 && w.skew == 0 {
		w.received = 0 // nothing asks for it
	}
	if w.class = w.classify(); w.class == none {
		w.gravity = mild
	}
	if w.rank > rankApproved {
		w.expires = 0
	}
	return w
}

// ordering is the time an update is ordered by: only a provider's own orders, except that an
// operator's word counts from when it was given.
func ordering(u *Update) moment {
	switch {
	case u.Kind == Decision && u.OccurredAt.IsZero():
		return momentOf(u.ReceivedAt)
	case u.Kind == Decision, u.OccurredAtOrigin == OriginProvider, u.OccurredAtOrigin == OriginSignature:
		return momentOf(u.OccurredAt)
	default:
		return 0
	}
}

func (w *word) classify() class {
	takes := w.rank == rankExpired || w.rank >= rankInReview
	switch {
	case w.weak && takes:
		return claim
	case w.weak || w.rank < rankInReview:
		return none
	case w.operator:
		return no
	case w.gravity == listed && (w.rank == rankRejected || w.rank == rankTerminal):
		return hit
	case w.rank == rankSuspended:
		return ban
	case w.rank == rankTerminal:
		return final
	case w.gravity > mild:
		return grave
	default:
		return soft
	}
}

// exhausted reports a rejection that is final for its run only: its attempts are used up, and its
// source may begin another.
func (w *word) exhausted() bool {
	return w.class == final && len(w.reasons) > 0 && !slices.ContainsFunc(w.reasons, func(r ReasonPair) bool { return r.Code != AttemptsExceeded })
}

func (w *word) serious() bool   { return w.gravity > mild }
func (w *word) approval() bool  { return w.rank == rankApproved && !w.weak }
func (w *word) claimsYes() bool { return w.rank == rankApproved && w.weak }

// attempt reports something under way. An unsigned one shows where nothing is decided, and undoes
// nothing.
func (w *word) attempt() bool {
	return !w.operator && (w.rank == rankPending || w.rank == rankNotStarted && !w.weak)
}

// reset reports that its source has begun the run again.
func (w *word) reset() bool { return w.rank == rankNotStarted && !w.weak && !w.operator }
func (w *word) ends() bool  { return w.rank == rankExpired && !w.weak }

// lifts reports an operator's word that answers what was known of its check when it was given.
func (w *word) lifts() bool {
	return w.operator && (w.rank == rankApproved || w.rank == rankNotStarted)
}

// start is since when an approval holds by itself.
func (w *word) start() moment { return cmp.Or(w.since, w.when()) }

// when is the instant that stands for a word in comparisons between sources and with the clock.
func (w *word) when() moment {
	return cmp.Or(w.at, w.arrived())
}

// arrived is when a word without a time was received.
func (w *word) arrived() moment { return cmp.Or(w.taken, w.received) }

// earliest and latest are the instants between which a word was received.
func (w *word) earliest() moment { return w.arrived() - w.skew }
func (w *word) latest() moment   { return w.arrived() + w.skew }

// least and most are the instants between which the one is that stands for a word.
func (w *word) least() moment { return cmp.Or(w.at, w.earliest()) }
func (w *word) most() moment  { return cmp.Or(w.at, w.latest()) }

// loose reports a word without a time of which its place does not say what was received before it.
func (w *word) loose() bool { return w.at == 0 && (w.taken != 0 || w.skew != 0) }

// lapsed reports an attempt that came to nothing: its provider says so, or its deadline has passed.
func (w *word) lapsed(now moment) bool {
	return w.rank == rankLapsed || w.rank < rankLapsed && w.expires != 0 && w.expires <= now
}

// run reports whether two words are of one run.
func run(a, b *word) bool {
	return a.source == b.source && a.session == b.session && a.operator == b.operator
}

// before reports whether b is known to be newer than a. Where a time is missing, only arrival
// tells; an approval with a time older than the arrival of a finding without one does not answer
// it, for that finding may be the newer of the two. What waited for its person is not newer than
// what was received after it and said of the person first.
func before(a, b *word) bool {
	switch {
	case a.at != 0 && b.at != 0:
		return a.at < b.at || a.at == b.at && a.check == b.check && run(a, b) && a.revision < b.revision
	case a.skew != 0 || b.skew != 0:
		return heard(a, b) && a.most() < b.least()
	case a.at == 0 && b.at == 0:
		return a.n < b.n && (b.taken == 0 || a.taken == b.taken || a.arrived() < b.taken)
	default:
		return a.n < b.n && a.when() < b.when() && b.taken == 0
	}
}

// heard reports whether a is known to have been received before b, where clocks of several nodes
// say when. What has no skew stands behind all that was received before it, and, if it has a time,
// nothing says when that was.
func heard(a, b *word) bool {
	if b.skew == 0 {
		return a.n < b.n && b.taken == 0
	}
	return (a.skew != 0 || a.at == 0) && a.latest() < b.earliest()
}

// doubted reports two words of which, for want of a time, neither may be known to be newer because
// clocks of several nodes said when they were received.
func doubted(a, b *word) bool { return (a.skew != 0 || b.skew != 0) && (a.at == 0 || b.at == 0) }

// later puts the attempts of one run in order: by time, then by revision and how far they are, or
// by arrival. A partner's word that it has begun comes before all.
func later(a, b *word) bool {
	if a.submission != b.submission {
		return a.submission
	}
	timeless := func(w *word) int {
		if w.at == 0 {
			return w.n
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.when(), b.when()), cmp.Compare(timeless(a), timeless(b)), cmp.Compare(a.revision, b.revision), cmp.Compare(a.rank, b.rank), cmp.Compare(a.n, b.n)) < 0
}

// alike reports whether nothing but the newest tells two words apart: they count as one, with the
// greatest time and the last arrival.
func alike(a, b *word) bool {
	same := a.check == b.check && a.session == b.session && a.class == b.class && a.serious() == b.serious() && a.operator == b.operator && a.weak == b.weak && sameClock(a, b)
	return same && a.exhausted() == b.exhausted() && (a.class == claim || a.rank == b.rank) && (!a.weak || a.ref == b.ref)
}

// sameClock reports whether two words are ordered in the same way: by the provider's time or by
// receipt, and that by their places or not.
func sameClock(a, b *word) bool {
	return (a.at == 0) == (b.at == 0) && a.loose() == b.loose() && (a.skew == 0) == (b.skew == 0)
}

// both is two words that are alike as one.
func both(a, b word) word {
	m := a
	if newest := cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.revision, b.revision)); newest < 0 || newest == 0 && a.n < b.n {
		m = b
	}
	m.received, m.taken, m.n = max(a.received, b.received), max(a.taken, b.taken), max(a.n, b.n)
	m.skew = max(a.skew, b.skew)
	m.gravity = max(a.gravity, b.gravity)
	return m
}
