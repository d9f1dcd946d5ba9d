package kyc

import (
	"slices"
	"time"
)

// owe numbers the changes a record owes: for every document, check and the status, in this order, where the last one told differs. Round tells apart the changes of one
// record that owes two of a type: an approval that arrived after its validity ended.
func (s *State) owe(u Update, f *folding, round string) []Change {
	var owed []Change
	for _, documents := range []bool{true, false} {
		for i := range f.results {
			r := &f.results[i]
			if c := r.check; (c.key.scope == DocumentScope) == documents {
				now := r.told()
				if !now.same(c.told) {
					owed = append(owed, s.change(u, now, r, r.changeType(), c.key.String()+round, c.told.rank.status()))
				}
				c.told = now
			}
		}
	}
	if !f.status.same(s.told) {
		var by *result
		if f.by >= 0 {
			by = &f.results[f.by]
		}
		ch := s.change(u, f.status, by, "kyc.status."+string(f.status.rank.status()), s.subject+round, s.told.rank.status())
		if by == nil && f.missing != "" {
			ch.Check = CheckView{Type: f.missing, Status: "pending"}
		}
		owed = append(owed, ch)
	}
	s.told = f.status
	return owed
}

// change is the next one of this subject.
func (s *State) change(u Update, t told, by *result, kind, object string, previous Status) Change {
	s.sequence++
	ch := Change{
		ID: ChangeID(u.ID, kind, object), Type: kind, Sequence: s.sequence, Partner: s.partner, Livemode: s.livemode, Subject: s.person(u),
		Status: t.rank.status(), PreviousStatus: previous, Reasons: slices.Clone(t.reasons()), Retryable: t.retryable(), Terminal: t.terminal(),
		ApprovedAt: t.period.from, ExpiresAt: t.period.until, ReceivedAt: utc(u.ReceivedAt), CauseID: u.ID, Traceparent: u.Traceparent,
	}
	if by != nil {
		ch.Check, ch.OccurredAt, ch.Document.Type = by.view(), by.occurred(), by.check.key.part
	}
	if by != nil && by.shown != nil {
		ch.Document = by.shown.document
	}
	if ch.OccurredAt.IsZero() {
		ch.OccurredAt = happened(u)
	}
	return ch
}

func happened(u Update) time.Time {
	if !u.OccurredAt.IsZero() {
		return utc(u.OccurredAt)
	}
	return utc(u.ReceivedAt)
}

func (r *result) view() CheckView {
	v := CheckView{Type: r.check.key.check, Status: checkWord(r.rank, r.told().reasons()), Source: r.check.key.source, Provider: r.check.provider}
	if r.shown != nil {
		v.ProviderRef = r.shown.ref
	}
	return v
}

func (r *result) changeType() string {
	if r.check.key.scope == DocumentScope {
		return "kyc.document." + documentWord(r.rank)
	}
	return "kyc.check." + checkWord(r.rank, r.told().reasons())
}

// checkWord is the compliance word for a check. A review for a technical failure is an error: nobody has doubts about the person.
func checkWord(r rank, reasons []ReasonPair) string {
	switch r {
	case rankApproved:
		return "clear"
	case rankExpired:
		return "expired"
	case rankInReview:
		if len(reasons) > 0 && reasons[0].Code == TechnicalFailure {
			return "error"
		}
		return "review_required"
	case rankRejected, rankTerminal:
		return "failed"
	case rankSuspended:
		return "suspended"
	default:
		return "pending"
	}
}

func documentWord(r rank) string {
	switch r {
	case rankApproved:
		return "approved"
	case rankExpired, rankRejected, rankTerminal, rankSuspended:
		return "rejected"
	default:
		return "processing"
	}
}
