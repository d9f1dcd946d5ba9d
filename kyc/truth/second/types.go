// Package second is a second writing of docs/STATUS.md, made from that page alone.
package second

import "time"

// Status of a subject or of a type of check.
type Status uint8

// The statuses.
const (
	NotStarted Status = iota
	Pending
	Lapsed // of an attempt only: "expired" of an attempt: a link or session ran out and nothing was decided
	Approved
	Expired // "expired by validity"
	InReview
	Rejected
	RejectedTerminal
	Suspended
)

// Key names one check of a subject.
type Key struct {
	Source, Type string
	Overall      bool
	Part         string
}

// Update is one word.
type Update struct {
	ID       string
	Key      Key
	Session  string        // the run; "": the source has none
	Ref      string        // of a claim: the thing that it is about
	At       time.Time     // the provider's time; zero: none
	Received time.Time     // arrival's clock; never goes back
	Taken    time.Time     // of a word without a time that waited for its person: when the gateway took it; zero: it did not wait
	Skew     time.Duration // by how much Received may be wrong, either way; 0: the order of arrival is that of receipt
	Revision int
	Status   Status // of a weak word: what it claims
	Reasons  []string
	Expires  time.Time // of an approval: its end; zero: never. Of an attempt: the deadline; zero: none
	Assumed  bool      // Expires is not the provider's date but the policy's validity, worked out already
	Weak     bool
	Confirms bool // the provider's answer to our question, asked at AskedAt (zero: when it was received)
	AskedAt  time.Time
	Operator bool // a decision: Approved or NotStarted (= release) answer; anything else is the operator's own word. Its Session is ""

	Lifts      bool // the provider says that its suspension of this run is over, whatever else the word says
	Mute       bool // it says nothing but Lifts: Status does not count
	Submission bool // a partner has registered a run: an attempt (Pending) without a time. If any word of that source and run (no operator's, no submission) came before it, it only counts as "a submission is registered"
}

// Policy is the partner's.
type Policy struct{ Required []string }

// History is everything said about one subject, in the order of arrival.
type History []Update
