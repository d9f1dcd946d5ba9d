// Package truth defines what a subject's status is, as a pure function of everything that has been
// said about the subject. It is written to be argued with, not to be fast, and only tests import
// it: kyc.State keeps a bounded summary and must never disagree. docs/STATUS.md says the same for
// people.
//
// The whole of it in eight sentences. What takes away is a finding, and a finding stays until a
// newer approval, an operator who knew of it, or the provider's own answer to our question about it
// answers it; an attempt, a reset, an expiry or the passing of time never does. (Two exceptions: a
// rejection that may be tried again is moot once a run that its source began later has been
// approved, and a suspension ends when its provider says that it does.) Which approval answers
// depends on how grave the finding is: any newer one of the type, but for serious reasons one of
// the same source (after a terminal rejection only once it was reset or in a run begun since), for
// a suspension one of the same run, for a hit and for an operator's no none. Findings that nothing
// but their newest tells apart are answered together. An approval stands while it has not ended,
// its run has not been reset and it is newer than every finding of its check, or an operator gave
// it knowing of them; one that only repeats another, with no attempt between, extends nothing. A
// check is approved while one stands and every finding is answered. A subject is approved while
// every required type is, by its overall check or by every step of one source, and nothing that
// counts anyway takes away.
//
// It relies on two things that the caller sees to: Received never goes back, but where it has a
// Skew, and no time of a provider's is later than the record that brought it by more than clocks
// differ.
package truth

import (
	"cmp"
	"slices"
	"time"
)

// Status of a subject or of a type of check, ordered by how much it takes away.
type Status uint8

// The statuses.
const (
	NotStarted Status = iota
	Pending
	Lapsed // of an attempt only: a link or session ran out and nothing was decided
	Approved
	Expired
	InReview
	Rejected
	RejectedTerminal
	Suspended
)

// Key names one check of a subject.
type Key struct {
	Source, Type string
	Overall      bool   // about the person, not about one step such as one document
	Part         string // which step
}

// Update is what of kyc.Update decides.
type Update struct {
	ID       string
	Key      Key
	Session  string    // one run at the provider, "" where it has none: then all of them together, of which no order is known
	Ref      string    // what was asked about: the session, or one document of it
	At       time.Time // the provider's time; zero: it gave none, or one that was not believed
	Received time.Time // when the record entered the journal; of one that waited for its person, when the newest before it did
	Taken    time.Time // of one without a time that waited for its person: when it entered the journal; zero: it did not wait

	Skew     time.Duration // of a provider's word that one of several nodes received: how far, either way, the clock that said Received may be from the true time, and its place says nothing; 0: its place says what was received before it
	Revision int
	Status   Status
	Reasons  []string
	Expires  time.Time // of an approval, zero: never; of an attempt the deadline, zero: none
	Assumed  bool      // Expires is the validity of the policy, not a date of the provider's
	Weak     bool      // below the evidence that the source asks for
	Confirms bool      // the provider's own answer to a question asked at AskedAt
	AskedAt  time.Time
	Operator bool // a decision: Approved or NotStarted (release) answers, anything else is the operator's own finding or end

	Lifts      bool // the provider ends its own suspension of this run, whatever else it says
	Mute       bool // it says nothing else: Status does not count
	Submission bool // a partner has begun a run: Pending, without a time
}

// Policy is the partner's.
type Policy struct {
	Required []string
}

// class is how grave a finding is, and so what answers it.
type class uint8

const (
	none  class = iota
	claim       // weak evidence that takes away: told as in_review until it is answered
	soft        // in_review, or a rejection that may be tried again
	grave       // the same for a serious reason: a possible hit under review, or fraud, age, adverse media or a second account
	final       // terminal
	ban         // suspended
	hit         // sanctions or PEP
	no          // an operator's own rejection or suspension
)

var (
	hitReasons   = []string{"sanctions_match", "pep_match"}
	graveReasons = []string{"adverse_media_match", "fraud_suspected", "underage", "duplicate_account"}
)

func has(u *Update, of []string) bool {
	return slices.ContainsFunc(u.Reasons, func(r string) bool { return slices.Contains(of, r) })
}

func (u *Update) class() class {
	takes := u.Status == Expired || u.Status >= InReview
	rejected := u.Status == Rejected || u.Status == RejectedTerminal
	switch {
	case u.Weak && takes:
		return claim
	case u.Weak:
		return none
	case u.Operator && u.Status >= InReview:
		return no
	case rejected && has(u, hitReasons):
		return hit
	case u.Status == Suspended:
		return ban
	case u.Status == RejectedTerminal:
		return final
	case (u.Status == Rejected || u.Status == InReview) && u.serious():
		return grave
	case u.Status == Rejected, u.Status == InReview:
		return soft
	}
	return none
}

// serious reasons are settled where they were raised, or by an operator.
func (u *Update) serious() bool { return has(u, hitReasons) || has(u, graveReasons) }

// exhausted reports a rejection that is final for its run only: its attempts are used up, and its
// source may begin another.
func (u *Update) exhausted() bool {
	return u.class() == final && len(u.Reasons) > 0 && !slices.ContainsFunc(u.Reasons, func(r string) bool { return r != "attempts_exceeded" })
}

func (u *Update) approval() bool { return u.Status == Approved && !u.Weak }
func (u *Update) attempt() bool  { return u.Status == Pending || u.Status == NotStarted && !u.Weak }

// tried reports that its source has begun another try: unsigned ones undo nothing.
func (u *Update) tried() bool { return u.Status == Pending && !u.Weak && !u.Operator }
func (u *Update) reset() bool { return u.Status == NotStarted && !u.Weak && !u.Operator }

// run reports whether two updates are of one run.
func run(a, b said) bool {
	return a.Key.Source == b.Key.Source && a.Session == b.Session && a.Operator == b.Operator
}

// said is an update with its place in the journal.
type said struct {
	*Update
	n int
}

func (s said) ended() bool { return s.Status == Expired && !s.Weak }

// lapsed reports an attempt that came to nothing: its provider says so, or its deadline has passed.
func (s said) lapsed(now time.Time) bool {
	return s.Status == Lapsed || s.Status < Lapsed && !s.Expires.IsZero() && !s.Expires.After(now)
}

// when is the instant that stands for an update in comparisons between sources and with the clock.
func (s said) when() time.Time {
	if s.At.IsZero() {
		return s.arrived()
	}
	return s.At
}

// arrived is when a word without a time was received.
func (s said) arrived() time.Time {
	if s.Taken.IsZero() {
		return s.Received
	}
	return s.Taken
}

// earliest and latest are the instants between which a word was received.
func (s said) earliest() time.Time { return s.arrived().Add(-s.Skew) }
func (s said) latest() time.Time   { return s.arrived().Add(s.Skew) }

// least and most are the instants between which the one is that stands for a word.
func (s said) least() time.Time { return cmpTime(s.At, s.earliest()) }
func (s said) most() time.Time  { return cmpTime(s.At, s.latest()) }

// loose reports a word without a time of which its place does not say what was received before it.
func (s said) loose() bool { return s.At.IsZero() && (!s.Taken.IsZero() || s.Skew > 0) }

// before reports whether b is known to be newer than a. Where a time is missing, only arrival
// tells; an approval with a time older than the arrival of a finding without one does not answer
// it, for that finding may be the newer of the two. What waited for its person is not newer than
// what was received after it and said of the person first.
func before(a, b said) bool {
	switch {
	case !a.At.IsZero() && !b.At.IsZero():
		return a.At.Before(b.At) || a.At.Equal(b.At) && a.Key == b.Key && run(a, b) && a.Revision < b.Revision
	case a.Skew > 0 || b.Skew > 0:
		return heard(a, b) && a.most().Before(b.least())
	case a.At.IsZero() && b.At.IsZero():
		return a.n < b.n && (b.Taken.IsZero() || a.Taken.Equal(b.Taken) || a.arrived().Before(b.Taken))
	default:
		return a.n < b.n && a.when().Before(b.when()) && b.Taken.IsZero()
	}
}

// heard reports whether a is known to have been received before b, where clocks of several nodes
// say when. What has no skew stands behind all that was received before it, and, if it has a time,
// nothing says when that was.
func heard(a, b said) bool {
	if b.Skew == 0 {
		return a.n < b.n && b.Taken.IsZero()
	}
	return (a.Skew > 0 || a.At.IsZero()) && a.latest().Before(b.earliest())
}

// doubted reports two words of which, for want of a time, neither may be known to be newer because
// clocks of several nodes said when they were received.
func doubted(a, b said) bool {
	return (a.Skew > 0 || b.Skew > 0) && (a.At.IsZero() || b.At.IsZero())
}

// slot is what nothing but their newest can tell apart: words of one slot count as one, with the
// greatest time and the last arrival.
type slot struct {
	key                            Key
	session, ref                   string
	class                          class
	status                         Status
	serious, operator, weak, timed bool
	loose, skewed                  bool
	exhausted                      bool
}

func (s said) slot() slot {
	sl := slot{key: s.Key, session: s.Session, class: s.class(), status: s.Status, serious: s.serious(), operator: s.Operator, weak: s.Weak, timed: !s.At.IsZero(), exhausted: s.exhausted(), loose: s.loose(), skewed: s.Skew > 0}
	if s.Weak {
		sl.ref = s.Ref
	}
	if sl.class == claim {
		sl.status = 0
	}
	return sl
}

// merge folds the words of each slot into one.
func merge(us []said, which func(said) bool) (out []said) {
	at := map[slot]int{}
	for _, u := range us {
		if !which(u) {
			continue
		}
		sl := u.slot()
		i, ok := at[sl]
		if !ok {
			at[sl] = len(out)
			out = append(out, u)
			continue
		}
		out[i] = both(out[i], u)
	}
	return out
}

func both(a, b said) said {
	m := *a.Update
	if cmp.Or(m.At.Compare(b.At), cmp.Compare(m.Revision, b.Revision)) < 0 {
		m.At, m.Revision = b.At, b.Revision
	}
	if b.Received.After(m.Received) {
		m.Received = b.Received
	}
	if b.Taken.After(m.Taken) {
		m.Taken = b.Taken
	}
	m.Skew = max(m.Skew, b.Skew)
	return said{&m, max(a.n, b.n)}
}

// History is everything said about one subject, in the order of the journal, without repetitions.
type History []Update

// Tell is the status and, while it is approved, until when.
func (h History) Tell(p Policy, now time.Time) (Status, time.Time) {
	v := newView(now)
	for i := range h {
		s := said{&h[i], i + 1}
		if s.Submission {
			v.submitted = true
			if slices.ContainsFunc(v.all, func(o said) bool { return !o.Operator && !o.Submission && run(o, s) }) {
				continue // its provider has spoken of the run already
			}
			v.all = slices.DeleteFunc(v.all, func(o said) bool { return o.Submission && o.Key == s.Key }) // the newest counts
		}
		if !slices.Contains(v.keys, s.Key) {
			v.keys = append(v.keys, s.Key)
		}
		if s.Lifts && !s.Weak {
			v.lifts = append(v.lifts, s)
		}
		if s.Mute {
			continue
		}
		v.all = append(v.all, s)
		v.spoke[s.Key] = v.spoke[s.Key] || !s.Weak
		if !s.Operator && !s.Weak && !s.Submission {
			id := runID{s.Key.Source, s.Session}
			v.begun[id] = v.begun[id].with(s)
		}
	}
	if len(v.keys) == 0 && !v.submitted {
		return NotStarted, time.Time{} // whatever is required: nobody has said anything
	}
	return v.subject(p)
}

// view is what is known at an instant: all that was said, or what State keeps of it.
type view struct {
	now       time.Time
	all       []said
	keys      []Key        // that anything was said of
	spoke     map[Key]bool // of which something was said that is not weak
	begun     map[runID]begun
	lifts     []said            // providers' words that end their own suspensions
	submitted bool              // a partner has begun a run
	dates     map[int]time.Time // what given has found
}

func newView(now time.Time) *view {
	return &view{now: now, spoke: map[Key]bool{}, begun: map[runID]begun{}, dates: map[int]time.Time{}}
}

type runID struct{ source, session string }

// begun is the first strong word of a run, and the first of those of which their place does not say
// what was received before them: which of the two was said first nobody knows.
type begun []said

func (b begun) with(s said) begun {
	i := slices.IndexFunc(b, func(o said) bool { return o.loose() == s.loose() })
	if i < 0 {
		return append(b, s)
	}
	skew := max(b[i].Skew, s.Skew)
	if s.loose() && s.arrived().Before(b[i].arrived()) || !s.loose() && before(s, b[i]) {
		b[i] = s
	}
	if s.loose() && b[i].Skew < skew {
		u := *b[i].Update
		u.Skew = skew
		b[i] = said{&u, b[i].n}
	}
	return b
}
