package signing

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// StaticKind is how a fixed credential is written.
type StaticKind string

// The kinds of fixed credential.
const (
	Basic  StaticKind = "basic"  // Authorization: Basic base64(user:password); the key is "user:password"
	Bearer StaticKind = "bearer" // Authorization: Bearer <key>
	Raw    StaticKind = "raw"    // the header's value is the key
)

// Static is a fixed credential in a header. It proves who sent a request and nothing about the
// body: only TLS protects that, and whoever has seen one request can send others. Sources that use
// it rank below signed ones.
type Static struct {
	Header string     // "": Authorization
	Scheme StaticKind // "": raw
}

// Sign sets the header to the last key of the ring.
func (s Static) Sign(h Header, _ Message, keys Keyring) error {
	k, err := keys.oldest()
	if err != nil {
		return err
	}
	if err := s.Check(keys); err != nil {
		return err
	}
	value := string(k.secret().raw)
	switch s.Scheme {
	case Basic:
		value = "Basic " + base64.StdEncoding.EncodeToString(k.secret().raw)
	case Bearer:
		value = "Bearer " + value
	default:
	}
	h.Set(s.header(), value)
	return nil
}

// Verify accepts a request that carries any of the keys. Digests are compared, so that timing shows
// neither content nor length.
func (s Static) Verify(h Header, _ []byte, keys Keyring, _ time.Time) error {
	text, err := one(h, s.header())
	if err != nil {
		return err
	}
	credential, err := s.credential(text)
	if err != nil {
		return err
	}
	got, found := sha256.Sum256(credential), false
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

// Check reports settings that cannot work and keys that are no credentials.
func (s Static) Check(keys Keyring) error {
	switch s.Scheme {
	case Basic, Bearer, Raw, "":
	default:
		return errors.New("scheme is not one of basic, bearer, raw")
	}
	for i, k := range keys {
		switch sec := k.secret(); {
		case sec == nil:
			return keyError(i, len(keys), k.unusable())
		case bytes.ContainsAny(sec.raw, "\r\n\x00"):
			return keyError(i, len(keys), errors.New("a credential is one line"))
		case s.Scheme == Basic && bytes.IndexByte(sec.raw, ':') < 0:
			return keyError(i, len(keys), errors.New("a basic credential is user:password"))
		}
	}
	return nil
}

func (s Static) header() string {
	if s.Header == "" {
		return "Authorization"
	}
	return s.Header
}

// credential takes what is to be compared out of the header.
func (s Static) credential(text string) ([]byte, error) {
	if s.Scheme == Raw || s.Scheme == "" {
		return []byte(text), nil
	}
	word, value, ok := strings.Cut(text, " ")
	if !ok || !strings.EqualFold(word, string(s.Scheme)) {
		return nil, fmt.Errorf("%w: %s does not say %s", ErrMalformed, s.header(), s.Scheme)
	}
	value = strings.TrimLeft(value, " ")
	if s.Scheme != Basic {
		return []byte(value), nil
	}
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not base64", ErrMalformed, s.header())
	}
	return bytes.TrimSuffix(b, []byte("\n")), nil // some senders encode a line, not a word
}
