package provider

import (
	"slices"

	"countersign/kyc"
)

// alloyJudge fills in what an outcome means, and reports one that is unknown.
func alloyJudge(o Options, outcome string, pairs []kyc.ReasonPair, u *kyc.Update) (unknown bool) {
	switch {
	case slices.Contains(alloyOutcomes(o, "approved"), outcome):
		u.Status = kyc.Approved
	case slices.Contains(alloyOutcomes(o, "denied"), outcome):
		reject(u, pairs, terminal)
	case slices.Contains(alloyOutcomes(o, "review"), outcome):
		u.Reasons = pairs
	default:
		return true
	}
	return false
}

// why lists the tags that the account gave, in the plural or the singular.
func (b *alloyBody) why() []string {
	if b.Data.Reason == "" {
		return b.Data.Reasons
	}
	return append(slices.Clip(b.Data.Reasons), b.Data.Reason)
}
