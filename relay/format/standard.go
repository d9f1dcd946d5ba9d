package format

import (
	"countersign/kyc"
	"countersign/signing"
)

var standard = Format{ // https://www.standardwebhooks.com
	Name:        "standard",
	ContentType: "application/json",
	Scheme:      signing.StandardWebhooks{},
	Render:      renderStandard,
	Gaps: []string{
		"Nothing of the model is left out: every change has a word, and the order of the fields is fixed.",
		"With a shared secret (whsec_, v1) whoever can verify a webhook could also have made it; with an ed25519 key (whsk_, v1a) only the gateway could.",
	},
}

// renderStandard is the whole change. The order of its fields is part of the contract: see append.go.
func renderStandard(c kyc.Change, previousSequence uint64) ([]byte, error) {
	return appendStandard(make([]byte, 0, bodyRoom), &c, previousSequence), nil
}

// decides reports whether a change names the record that decides it: where that takes away.
func decides(c *kyc.Change) bool {
	return c.Status == kyc.InReview || c.Status == kyc.Rejected || c.Status == kyc.Suspended
}
