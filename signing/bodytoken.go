package signing

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// BodyToken is a fixed credential in a member of the body. Like Static it proves who sent a request
// and nothing about the rest of the body: only TLS protects that, and whoever has seen one request
// can send others. Sources that use it rank below signed ones.
type BodyToken struct {
	Member string // a string at the body's top level
}

// Sign sets nothing. It fails unless the body carries the last key of the ring already: use
// SignBody.
func (s BodyToken) Sign(_ Header, m Message, keys Keyring) error {
	return carries(s, m, keys)
}

// SignBody puts the last key of the ring into the body.
func (s BodyToken) SignBody(m Message, keys Keyring) ([]byte, error) {
	k, err := keys.oldest()
	if err != nil {
		return nil, err
	}
	if err := s.Check(keys); err != nil {
		return nil, err
	}
	return setMember(m.Body, s.Member, string(k.secret().raw))
}

// Verify accepts a body that carries any of the keys. Digests are compared, so that timing shows
// neither content nor length.
func (s BodyToken) Verify(_ Header, body []byte, keys Keyring, _ time.Time) error {
	text, err := s.read(body)
	if err != nil {
		return err
	}
	got, found := sha256.Sum256([]byte(text)), false
	for _, k := range keys {
		if sec := k.secret(); sec != nil && hmac.Equal(got[:], sec.static[:]) {
			found = true
		}
	}
	if !found {
		return ErrMismatch
	}
	return nil
}

// Check reports settings that cannot work and keys that cannot stand in a body.
func (s BodyToken) Check(keys Keyring) error {
	if err := checkMember(s.Member); err != nil {
		return err
	}
	for i, k := range keys {
		switch sec := k.secret(); {
		case sec == nil:
			return keyError(i, len(keys), k.unusable())
		case !utf8.Valid(sec.raw) || bytes.ContainsAny(sec.raw, "\r\n\x00"):
			return keyError(i, len(keys), errors.New("a token in a body is one line of text"))
		case len(sec.raw) > maxHeader:
			return keyError(i, len(keys), fmt.Errorf("a token has at most %d bytes", maxHeader))
		}
	}
	return nil
}

// read returns the token in the body.
func (s BodyToken) read(body []byte) (string, error) {
	found, err := scan(body, s.Member)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return found.text(0)
}
