package journal

import (
	"time"

	"countersign/kyc"
)

// Intake is what one message of a provider comes to: records, a body to keep, both, or neither
// where the message is of no interest here. They are written together.
type Intake struct {
	Records []Record
	Keep    *Item // the body, and why it is kept; nil: nobody needs it
}

// Answer says which question a kept body answers.
type Answer struct {
	What  string    `json:"what"`
	Ref   string    `json:"ref"`
	Claim string    `json:"claim"`
	Asked time.Time `json:"asked"`
	Parts []int     `json:"parts"` // how long the answer to each call is; in the body a newline stands between them
}

// Open reports whether a question stays open after this intake of its answer: nothing was
// understood of it, or by nobody we know, so that it has to be asked again.
func (t Intake) Open() bool {
	return t.Keep != nil && !t.Applied() && (t.Keep.Reason == Unreadable || t.Keep.Reason == WrongMode || t.Keep.Reason == NoPartner)
}

// ItemID names what is kept of the answers to a question while it is open: the newest takes the
// place of the one before, and the answer that closes the question takes it out.
func (q *Question) ItemID() string {
	return kyc.UpdateID(q.Source, []string{q.What, q.Ref}, "question", "", "", "", 0, time.Time{})
}

// Applied reports whether something of the message has an effect.
func (t Intake) Applied() bool { return len(t.Records) > 0 }
