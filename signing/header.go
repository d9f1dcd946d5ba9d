package signing

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Limits on what a header may make us do. Nothing a provider sends comes near them; an attacker
// would.
const (
	maxHeader     = 4096 // bytes of one signature header
	maxSignatures = 16   // compared with each MAC
	maxGroups     = 4    // each costs one MAC over the body per key
	maxDigits     = 12   // of a unix time in seconds
	maxID         = 256
)

// defaultSkew is how far clocks may differ where a scheme does not say.
const defaultSkew = 5 * time.Minute

// one returns the only value of a header. Twice is refused: proxies and parsers disagree on which
// of the two counts.
func one(h Header, name string) (string, error) {
	v := h.Values(name)
	switch {
	case len(v) == 0 || len(v) == 1 && v[0] == "":
		return "", ErrMissing
	case len(v) > 1:
		return "", fmt.Errorf("%w: %s appears %d times", ErrMalformed, name, len(v))
	case len(v[0]) > maxHeader:
		return "", fmt.Errorf("%w: %s is longer than %d bytes", ErrMalformed, name, maxHeader)
	}
	return v[0], nil
}

// seconds reads a unix time: digits only, so that no other spelling of the same number is accepted.
func seconds(s string) (int64, bool) {
	if s == "" || len(s) > maxDigits {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// fresh checks a signed time against the clock in whole seconds. past 0 accepts any age.
func fresh(at int64, now time.Time, past, ahead time.Duration) error {
	age := float64(now.Unix() - at) // as float64: a Duration overflows at 292 years
	if past > 0 && age > past.Seconds() {
		return fmt.Errorf("%w: too old", ErrStale)
	}
	if -age > ahead.Seconds() {
		return fmt.Errorf("%w: too far ahead", ErrStale)
	}
	return nil
}

// unix writes the time of a message, which must be one that fresh could accept.
func unix(t time.Time) (string, error) {
	s := strconv.FormatInt(t.Unix(), 10)
	if _, ok := seconds(s); !ok || t.Unix() == 0 {
		return "", errors.New("message has no usable time")
	}
	return s, nil
}
