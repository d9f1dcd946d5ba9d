// Package signing proves who sent a message, and lets us prove it ourselves: every scheme both
// signs and verifies.
//
// It is pure: standard library only, the clock is an argument. Keys never print. Comparisons run in
// constant time over decoded bytes, a signature header or member that stands twice is refused, and
// an empty or zero key matches nothing. A proof in the body is found without parsing the body as
// JSON (I7).
package signing

import (
	"errors"
	"time"
)

// Scheme is one way to sign. Implementations are values, safe for concurrent use.
type Scheme interface {
	// Sign sets every header the scheme needs, with one signature for each key that is still to be
	// offered (newest first). A scheme with room for one signature uses the last key of the ring,
	// so that a partner who knows only the older key keeps verifying until its overlap ends.
	Sign(h Header, m Message, keys Keyring) error
	// Verify accepts if any key fits. Errors wrap ErrMissing, ErrMalformed, ErrMismatch or ErrStale
	// and never hold text from the request.
	Verify(h Header, body []byte, keys Keyring, now time.Time) error
}

// Header is what both HTTP stacks can offer. Names are case-insensitive; Values returns every
// occurrence.
type Header interface {
	Values(name string) []string
	Set(name, value string)
	Add(name, value string)
}

// Message is what is signed.
type Message struct {
	ID   string // must not contain a dot where the scheme joins with dots
	Time time.Time
	Body []byte
}

// What can be wrong with a proof. Callers branch on these with errors.Is.
var (
	ErrMissing   = errors.New("signature missing")
	ErrMalformed = errors.New("signature malformed")
	ErrMismatch  = errors.New("signature does not match")
	ErrStale     = errors.New("timestamp outside the tolerance")
)
