package signing

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// DigestSuffix is the hex SHA-256 of the raw body followed by a suffix made of the key. It is a
// plain hash with the key at its end and not an HMAC: it proves the body only as long as nobody
// finds two bodies of one SHA-256, which is a search that needs no key and no request to us; a
// signature for one of them would fit the other. Nor has it a timestamp, so a captured request can
// be sent again: whoever uses it deduplicates.
type DigestSuffix struct {
	Header string
	Plain  bool // the suffix is the secret itself; else the lower-case hex SHA-256 of the secret
}

// Sign sets the header to the digest under the last key of the ring.
func (s DigestSuffix) Sign(h Header, m Message, keys Keyring) error {
	k, err := keys.oldest()
	if err != nil {
		return err
	}
	if err := s.Check(keys); err != nil {
		return err
	}
	var sum [maxSum]byte
	n := k.sum(s.slot(), "", m.Body, &sum)
	h.Set(s.Header, Hex.encode(sum[:n]))
	return nil
}

// Verify accepts a body whose digest under any key is the one in the header.
func (s DigestSuffix) Verify(h Header, body []byte, keys Keyring, _ time.Time) error {
	want, err := s.read(h)
	if err != nil {
		return err
	}
	if !keys.matches(s.slot(), "", body, want[:]) {
		return ErrMismatch
	}
	return nil
}

// Check reports settings that cannot work.
func (s DigestSuffix) Check(Keyring) error {
	if s.Header == "" {
		return errors.New("no signature header is named")
	}
	return nil
}

func (s DigestSuffix) slot() slot {
	if s.Plain {
		return sha256Suffix
	}
	return sha256HexSuffix
}

// read returns the digest in the header.
func (s DigestSuffix) read(h Header) (want [sha256.Size]byte, err error) {
	text, err := one(h, s.Header)
	if err != nil {
		return want, err
	}
	if !Hex.decode(want[:], text) {
		return want, fmt.Errorf("%w: %s is not a hex digest of %d bytes", ErrMalformed, s.Header, len(want))
	}
	return want, nil
}
