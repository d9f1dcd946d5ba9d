package format

import "countersign/kyc"

// The reasons of Rebilly's that Countersign chooses by itself.
const (
	rebillyOther    = "other"
	rebillyTampered = "tampered-document"
	rebillyUnderage = "underage-person"
	rebillyRanOut   = "document-was-valid-but-expired"
)

// rebillyMessages are the 19 reasons a document may be rejected for, each in words of ours.
var rebillyMessages = map[string]string{
	"critical-info-missing":   "Something that is needed is missing.",
	"dob-mismatch":            "The date of birth does not match.",
	"document-duplicate":      "The document is already known.",
	"document-expired":        "The document has expired.",
	"document-invalid":        "The document is not of a kind that is accepted.",
	"document-not-matching":   "The document does not match the data on file.",
	"document-not-open":       "The document could not be opened.",
	"document-unreadable":     "The document could not be read.",
	rebillyRanOut:             "What was accepted has run out.",
	"expiration-date-missing": "The document shows no date of expiry.",
	"issue-date-missing":      "The document shows no date of issue.",
	"name-and-dob-mismatch":   "Neither the name nor the date of birth matches.",
	"name-mismatch":           "The name does not match.",
	"old-address-on-id":       "The document shows an old address.",
	rebillyOther:              "The verification did not succeed.",
	"subtype-missing":         "The document is not of the kind that was asked for.",
	rebillyTampered:           "The document may have been altered.",
	"third-party-or-mismatch": "The document may belong to somebody else.",
	rebillyUnderage:           "The person is too young.",
}

// rebillyReason is the nearest of the 19. Of these only three ask for no other document, and a
// final rejection is always one of them.
func rebillyReason(c kyc.Change) string {
	switch {
	case c.Status == kyc.Expired:
		return rebillyRanOut
	case c.Status != kyc.Rejected: // suspended, or approval was taken away
		return rebillyOther
	}
	if final(c) {
		for _, r := range c.Reasons {
			if r.Code == kyc.FraudSuspected || r.Code == kyc.Underage {
				return rebillyNearest(r.Code)
			}
		}
		return rebillyOther
	}
	r := primary(c)
	if _, ok := rebillyMessages[r.ProviderCode]; ok && c.Check.Provider == "rebilly" {
		return r.ProviderCode // their own word, which ours would only blur
	}
	return rebillyNearest(r.Code)
}

func rebillyNearest(code kyc.Reason) string {
	switch code {
	case kyc.FraudSuspected:
		return rebillyTampered
	case kyc.Underage:
		return rebillyUnderage
	case kyc.DuplicateAccount:
		return "document-duplicate"
	case kyc.LivenessFailed: // the face is not that of the document
		return "third-party-or-mismatch"
	case kyc.DataMismatch:
		return "document-not-matching"
	case kyc.NameMismatch:
		return "name-mismatch"
	case kyc.DocumentExpired:
		return "document-expired"
	case kyc.DocumentTypeNotAccepted:
		return "document-invalid"
	case kyc.DocumentMissing:
		return "critical-info-missing"
	case kyc.DocumentUnreadable:
		return "document-unreadable"
	default:
		return rebillyOther
	}
}
