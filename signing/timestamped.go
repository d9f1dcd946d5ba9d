package signing

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Timestamped is "t=<unix seconds>,v1=<hex>": HMAC-SHA-256 of "<t>.<body>" keyed with the whole
// secret text. While keys rotate a sender writes several v1 in one group, or several groups
// separated by blanks, each with its own t. Versions other than v1 and a v1 that is not a digest
// are passed over.
type Timestamped struct {
	Header    string
	Tolerance time.Duration // how old a message may be; 0: any age, for senders that do not sign their retries afresh
	Ahead     time.Duration // how far ahead of our clock it may be; 0: 5 minutes
}

// group is one "t=…,v1=…" of the header.
type group struct {
	text string // t as it was signed
	at   int64
	sigs [][sha256.Size]byte
}

// Sign sets one group with one v1 for each key, newest first.
func (s Timestamped) Sign(h Header, m Message, keys Keyring) error {
	if len(keys) == 0 {
		return errNoKey
	}
	if err := s.Check(keys); err != nil {
		return err
	}
	t, err := unix(m.Time)
	if err != nil {
		return err
	}
	var room [160]byte // two signatures fit
	b := append(append(room[:0], "t="...), t...)
	for i, k := range keys {
		var sum [maxSum]byte
		n := k.sum(sha256Raw, t+".", m.Body, &sum)
		if n == 0 {
			return keyError(i, len(keys), k.unusable())
		}
		b = append(b, ",v1="...)
		b = hex.AppendEncode(b, sum[:n])
	}
	h.Set(s.Header, string(b))
	return nil
}

// Verify accepts a body that any v1 of any group fits under any key, if that group's time is within
// the tolerance.
func (s Timestamped) Verify(h Header, body []byte, keys Keyring, now time.Time) error {
	text, err := one(h, s.Header)
	if err != nil {
		return err
	}
	groups, err := s.parse(text)
	if err != nil {
		return err
	}
	accepted, refusal := false, ErrMismatch
	for _, g := range groups { // all of them, whichever fits
		if !keys.matchesAny(sha256Raw, g.text+".", body, g.sigs) {
			continue
		}
		if err := fresh(g.at, now, s.Tolerance, s.ahead()); err != nil {
			refusal = err
		} else {
			accepted = true
		}
	}
	if !accepted {
		return refusal
	}
	return nil
}

// Check reports settings and rings that cannot work.
func (s Timestamped) Check(keys Keyring) error {
	switch {
	case s.Header == "":
		return errors.New("no signature header is named")
	case s.Tolerance < 0 || s.Ahead < 0:
		return errors.New("a tolerance cannot be negative")
	case len(keys) > maxSignatures:
		return fmt.Errorf("%d keys at a time are too many, at most %d fit into the header", len(keys), maxSignatures)
	}
	return nil
}

func (s Timestamped) ahead() time.Duration {
	if s.Ahead == 0 {
		return defaultSkew
	}
	return s.Ahead
}

// parse reads the groups of a header.
func (s Timestamped) parse(text string) ([]group, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil, ErrMissing
	}
	if len(fields) > maxGroups {
		return nil, fmt.Errorf("%w: %s has more than %d groups", ErrMalformed, s.Header, maxGroups)
	}
	groups, sigs := make([]group, 0, len(fields)), 0
	for _, f := range fields {
		g, err := s.group(f)
		if err != nil {
			return nil, err
		}
		if sigs += len(g.sigs); sigs > maxSignatures {
			return nil, fmt.Errorf("%w: %s has more than %d signatures", ErrMalformed, s.Header, maxSignatures)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func (s Timestamped) group(text string) (group, error) {
	g, timed := group{}, false
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok || strings.Contains(value, "=") {
			return g, fmt.Errorf("%w: a part of %s is not name=value", ErrMalformed, s.Header)
		}
		switch name {
		case "t":
			if timed {
				return g, fmt.Errorf("%w: a group of %s has two timestamps", ErrMalformed, s.Header)
			}
			if g.at, timed = seconds(value); !timed {
				return g, fmt.Errorf("%w: the timestamp of %s is not unix seconds", ErrMalformed, s.Header)
			}
			g.text = value
		case "v1":
			var sig [sha256.Size]byte
			if Hex.decode(sig[:], value) {
				g.sigs = append(g.sigs, sig)
			}
		default: // v0 and whatever comes later proves nothing
		}
	}
	if !timed {
		return g, fmt.Errorf("%w: a group of %s has no timestamp", ErrMalformed, s.Header)
	}
	return g, nil
}
