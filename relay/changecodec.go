package relay

import (
	"encoding/binary"
	"time"

	"countersign/kyc"
)

// A change stands in the history as texts with their length, and nothing of what it does not say:
// half the bytes of its JSON, and a fraction of the time to write it, twice for most records
// (BenchmarkChange). Its id stands first, so that the finder need read no more. It is told as JSON
// wherever anybody is told of it.
const changeVersion = 1

const (
	changeLive = 1 << iota
	changeRetryable
	changeTerminal
	changeUnconfirmed
	changeCheck
	changeDocument
	changeReasons
	changeClaimed
	changeApproved
	changeExpires
	changeOccurred
	changeReceived
	changeByCause // the record that decides is the one that caused it
	changeBy      // another one is
	changeTrace
	changeFlags = 1<<iota - 1
)

// appendChange appends a change, as readChange reads it.
func appendChange(b []byte, c *kyc.Change) []byte {
	b = appendText(append(b, changeVersion), c.ID)
	flags := changeFlagsOf(c)
	b = binary.AppendUvarint(b, flags)
	b = appendText(b, c.Type)
	b = binary.AppendUvarint(b, c.Sequence)
	for _, s := range [...]string{c.Partner, c.Subject.ID, c.Subject.ProviderRef, c.Subject.Kind, string(c.Status), string(c.PreviousStatus), c.CauseID} {
		b = appendText(b, s)
	}
	if flags&changeCheck != 0 {
		for _, s := range [...]string{string(c.Check.Type), c.Check.Status, c.Check.Source, c.Check.Provider, c.Check.ProviderRef} {
			b = appendText(b, s)
		}
	}
	if flags&changeDocument != 0 {
		b = appendText(appendText(appendText(b, c.Document.ID), c.Document.Type), c.Document.Subtype)
	}
	if flags&changeReasons != 0 {
		b = binary.AppendUvarint(b, uint64(len(c.Reasons)))
		for i := range c.Reasons {
			b = appendText(appendText(b, string(c.Reasons[i].Code)), c.Reasons[i].ProviderCode)
		}
	}
	if flags&changeClaimed != 0 {
		b = appendText(b, string(c.ClaimedStatus))
	}
	for _, t := range [...]time.Time{c.ApprovedAt, c.ExpiresAt, c.OccurredAt, c.ReceivedAt} {
		if !t.IsZero() {
			b = binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond())) //nolint:gosec // below 10⁹
		}
	}
	if flags&changeBy != 0 {
		b = appendText(b, c.DecidedBy)
	}
	if flags&changeTrace != 0 {
		b = appendText(b, c.Traceparent)
	}
	return b
}

func changeFlagsOf(c *kyc.Change) (flags uint64) {
	for i, is := range [...]bool{
		c.Livemode, c.Retryable, c.Terminal, c.NeedsConfirmation, c.Check != kyc.CheckView{}, c.Document != kyc.Document{}, len(c.Reasons) > 0, c.ClaimedStatus != "",
		!c.ApprovedAt.IsZero(), !c.ExpiresAt.IsZero(), !c.OccurredAt.IsZero(), !c.ReceivedAt.IsZero(),
		c.DecidedBy != "" && c.DecidedBy == c.CauseID, c.DecidedBy != "" && c.DecidedBy != c.CauseID, c.Traceparent != "",
	} {
		if is {
			flags |= 1 << i
		}
	}
	return flags
}

// changeID is the id of a change as appendChange wrote it, a part of body; nil: it is none.
func changeID(body []byte) []byte {
	r := unpacker{b: body}
	if r.flag() != changeVersion {
		return nil
	}
	return r.part()
}

// readChange reads what appendChange wrote, and reports whether it is that, to its last byte.
func readChange(body []byte, c *kyc.Change) bool {
	r := unpacker{b: body}
	if r.flag() != changeVersion {
		return false
	}
	*c = kyc.Change{ID: r.text()}
	flags := r.number()
	is := func(flag uint64) bool { return flags&flag != 0 }
	c.Livemode, c.Retryable, c.Terminal, c.NeedsConfirmation = is(changeLive), is(changeRetryable), is(changeTerminal), is(changeUnconfirmed)
	c.Type, c.Sequence, c.Partner = r.text(), r.number(), r.text()
	c.Subject = kyc.Subject{ID: r.text(), ProviderRef: r.text(), Kind: r.text()}
	c.Status, c.PreviousStatus, c.CauseID = kyc.Status(r.text()), kyc.Status(r.text()), r.text()
	if is(changeCheck) {
		c.Check = kyc.CheckView{Type: kyc.Check(r.text()), Status: r.text(), Source: r.text(), Provider: r.text(), ProviderRef: r.text()}
	}
	if is(changeDocument) {
		c.Document = kyc.Document{ID: r.text(), Type: r.text(), Subtype: r.text()}
	}
	if is(changeReasons) {
		for range r.count() {
			c.Reasons = append(c.Reasons, kyc.ReasonPair{Code: kyc.Reason(r.text()), ProviderCode: r.text()})
		}
	}
	if is(changeClaimed) {
		c.ClaimedStatus = kyc.Status(r.text())
	}
	for _, x := range [...]struct {
		flag uint64
		at   *time.Time
	}{{changeApproved, &c.ApprovedAt}, {changeExpires, &c.ExpiresAt}, {changeOccurred, &c.OccurredAt}, {changeReceived, &c.ReceivedAt}} {
		if is(x.flag) {
			*x.at = time.Unix(r.signed(), int64(r.number())).UTC() //nolint:gosec // written from a nanosecond
		}
	}
	switch {
	case is(changeByCause):
		c.DecidedBy = c.CauseID
	case is(changeBy):
		c.DecidedBy = r.text()
	}
	if is(changeTrace) {
		c.Traceparent = r.text()
	}
	return !r.bad && len(r.b) == 0 && flags <= changeFlags
}
