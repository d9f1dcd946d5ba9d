package provider

import (
	"time"

	"countersign/kyc"
)

// beside begins the screening that a verdict's body tells of lists of persons: it is of the same
// person, run and instant, and has a status of its own, which no verdict on the identity clears.
func beside(u kyc.Update) kyc.Update {
	u.Scope, u.Check, u.Document, u.Status, u.ExpiryKind, u.Reasons = kyc.CheckScope, kyc.Screening, kyc.Document{}, "", "", nil
	u.Retryable, u.Terminal, u.Expiring, u.Release, u.ExpiresAt = false, false, false, false, time.Time{}
	return u
}

// hitBeside is a screening that found somebody: a confirmed match is a rejection that no other try
// mends, a possible one waits for somebody to look.
func hitBeside(u kyc.Update, confirmed bool, pairs []kyc.ReasonPair) kyc.Update {
	u = beside(u)
	if confirmed {
		reject(&u, pairs, terminal)
		return u
	}
	u.Status, u.Reasons = kyc.InReview, pairs
	return u
}

// clearBeside is a screening of which the provider says that it was made and that nobody was found.
func clearBeside(u kyc.Update) kyc.Update {
	u = beside(u)
	u.Status = kyc.Approved
	return u
}
