package provider

import (
	"countersign/kyc"
)

// status reads the document's own word. Pending means two things: before the machine has looked,
// and waiting for a person after it has.
func (d *rebillyObject) status() kyc.Status {
	switch d.Status {
	case "accepted":
		return kyc.Approved
	case "rejected":
		return kyc.Rejected
	case "pending":
		if d.ProcessedTime != "" {
			return kyc.InReview
		}
	}
	return kyc.Pending
}
