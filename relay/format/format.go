// Package format holds one file per partner format: how a change is rendered and how the delivery
// is signed.
//
// A format fails closed: a change that takes approval away is never left out, but rendered as the
// nearest more restrictive outcome the format can express.
package format

import (
	"time"

	"countersign/kyc"
	"countersign/signing"
)

// Format renders changes for partners.
type Format struct {
	Name        string
	ContentType string
	Scheme      signing.Scheme
	// Render returns the body owed for a change, or nil where the format has no word for a change
	// that takes nothing away: then nothing is owed and the endpoint's previous_sequence does not
	// move. It is pure: the same change and sequence give the same bytes (I5).
	Render func(c kyc.Change, previousSequence uint64) ([]byte, error)
	// Gaps says what of the model the format cannot express, for docs/FORMATS.md and `countersign
	// formats`.
	Gaps []string
}

// formatTime is how every format writes an instant: RFC 3339, UTC, fractions only where there are
// any.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
