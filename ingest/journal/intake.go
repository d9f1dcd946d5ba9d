package journal

// Intake is what one message of a provider comes to: records, a body to keep, both, or neither where the message is of no interest here. They are written together.
type Intake struct {
	Records []Record
	Keep    *Item // the body, and why it is kept; nil: nobody needs it
}

// Applied reports whether something of the message has an effect.
func (t Intake) Applied() bool { return len(t.Records) > 0 }
