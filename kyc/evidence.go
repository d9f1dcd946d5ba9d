package kyc

import "time"

// maxAhead is how far a provider's clock may be ahead of ours before its time is no longer
// believed.
const maxAhead = 5 * time.Minute

// Gate applies the evidence a source asks for (I10). An update that proves less needs confirmation;
// if it claims an outcome it becomes in_review, with the claim beside it. An unknown level asks for
// the strongest. Gating twice is gating once.
func (u Update) Gate(need Authenticity) Update {
	u.Weigh(need)
	return u
}

// Weigh is Gate in place: an update is too large to be copied for every callback.
func (u *Update) Weigh(need Authenticity) {
	if need.strength() == 0 {
		need = Signed
	}
	if u.Authenticity.AtLeast(need) {
		return
	}
	u.NeedsConfirmation = true
	*u = u.lowered()
}

// lowered is what an unconfirmed update may say: that something is claimed, with the reasons that
// are claimed. The fold applies it again, so that no record gets past the gate by another door.
func (u Update) lowered() Update {
	claims := u.Status == Approved || u.Status == Suspended || u.Status == Rejected || u.Status == Expired && u.ExpiryKind != ExpiryAttempt
	if !u.NeedsConfirmation || !claims {
		return u
	}
	u.ClaimedStatus, u.Status = u.Status, InReview
	u.Retryable, u.Terminal, u.Release = false, false, false
	return u
}

// Clamp replaces a time that lies more than five minutes ahead of received_at by received_at, which
// orders nothing; else one wrong clock would outrank every later word. It reports whether it did,
// for the alert.
func (u Update) Clamp() (Update, bool) {
	ahead := u.CutBack()
	return u, ahead
}

// CutBack is Clamp in place, for the reason of Weigh.
func (u *Update) CutBack() (ahead bool) {
	if u.OccurredAt.IsZero() || u.ReceivedAt.IsZero() || u.OccurredAtOrigin == OriginReceived || !u.OccurredAt.After(u.ReceivedAt.Add(maxAhead)) {
		return false
	}
	u.OccurredAt, u.OccurredAtOrigin = u.ReceivedAt, OriginReceived
	return true
}
