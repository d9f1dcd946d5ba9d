package signing

import "time"

// Unsigned is for providers that sign nothing. It accepts every request and proves nothing, so a
// source that uses it must be known by its address or by a path token, and what it says ranks below
// everything that is proven.
type Unsigned struct{}

// Sign sets nothing.
func (Unsigned) Sign(Header, Message, Keyring) error { return nil }

// Verify accepts every request.
func (Unsigned) Verify(Header, []byte, Keyring, time.Time) error { return nil }

// Keyless is true: there is nothing a key could be for.
func (Unsigned) Keyless() bool { return true }
