package signing

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

// proofTime is how the time of a proof is written.
const proofTime = "2006-01-02T15:04:05.000Z07:00"

// BodyProof is an HMAC in the body that does not cover the body: base64 of HMAC-SHA-256, keyed with
// the api key, of the timestamp, the partner id and a suffix, one after the other. The key is
// "partner_id:api_key"; timestamp and signature are string members of the body's top level. It
// proves that the sender held the key at that time. A caught proof fits any other body until it is
// too old, so sources that use it rank below signed ones.
type BodyProof struct {
	Signature string        // the member that holds the signature
	Timestamp string        // the member that holds the time: RFC 3339 with a zone, signed as it is written
	Suffix    string        // what is signed last
	Tolerance time.Duration // both ways; 0: any age, and 5 minutes ahead of our clock
}

// proof is what a body says of itself.
type proof struct {
	sum  [sha256.Size]byte
	text string // the time as it was signed
	at   time.Time
}

// Sign sets nothing. It fails unless the body carries a proof under the last key of the ring that
// is good at m.Time: use SignBody.
func (s BodyProof) Sign(_ Header, m Message, keys Keyring) error {
	return carries(s, m, keys)
}

// SignBody puts the time of the message and the signature under the last key of the ring into the
// body.
func (s BodyProof) SignBody(m Message, keys Keyring) ([]byte, error) {
	k, err := keys.oldest()
	if err != nil {
		return nil, err
	}
	if err := s.Check(keys); err != nil {
		return nil, err
	}
	if _, err := unix(m.Time); err != nil {
		return nil, err
	}
	at := m.Time.UTC().Format(proofTime)
	if _, err := time.Parse(time.RFC3339, at); err != nil { // a year of five digits
		return nil, errors.New("message has no usable time")
	}
	var sum [maxSum]byte
	n := k.sum(sha256Credential, at, []byte(s.Suffix), &sum)
	body, err := setMember(m.Body, s.Timestamp, at)
	if err != nil {
		return nil, err
	}
	return setMember(body, s.Signature, Base64.encode(sum[:n]))
}

// Verify accepts a body whose signature fits its timestamp under any key, within the tolerance.
func (s BodyProof) Verify(_ Header, body []byte, keys Keyring, now time.Time) error {
	p, err := s.read(body)
	if err != nil {
		return err
	}
	if !keys.matches(sha256Credential, p.text, []byte(s.Suffix), p.sum[:]) {
		return ErrMismatch
	}
	return fresh(p.at.Unix(), now, s.Tolerance, s.ahead())
}

// Check reports settings that cannot work and keys that are not "partner_id:api_key".
func (s BodyProof) Check(keys Keyring) error {
	for _, name := range []string{s.Signature, s.Timestamp} {
		if err := checkMember(name); err != nil {
			return err
		}
	}
	if strings.EqualFold(s.Signature, s.Timestamp) {
		return errors.New("signature and timestamp are one member")
	}
	if s.Tolerance < 0 {
		return errors.New("a tolerance cannot be negative")
	}
	for i, k := range keys {
		sec := k.secret()
		if sec == nil {
			return keyError(i, len(keys), k.unusable())
		}
		if _, _, ok := sec.credential(); !ok {
			return keyError(i, len(keys), errors.New("a key of this scheme is partner_id:api_key, in one text with a colon between"))
		}
	}
	return nil
}

func (s BodyProof) ahead() time.Duration {
	if s.Tolerance == 0 {
		return defaultSkew
	}
	return s.Tolerance
}

// read returns the proof in the body.
func (s BodyProof) read(body []byte) (proof, error) {
	found, err := scan(body, s.Signature, s.Timestamp)
	if err != nil {
		return proof{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	signature, err := found.text(0)
	if err != nil {
		return proof{}, err
	}
	p := proof{}
	if p.text, err = found.text(1); err != nil {
		return p, err
	}
	// The last digit of base64 has bits to spare: one spelling only, so that a proof that was seen
	// before can be recognised by its text.
	if !Base64.decode(p.sum[:], signature) || Base64.encode(p.sum[:]) != signature {
		return p, fmt.Errorf("%w: %s is not a base64 digest of %d bytes", ErrMalformed, s.Signature, len(p.sum))
	}
	if p.at, err = time.Parse(time.RFC3339, p.text); err != nil { // whose words would show the text
		return p, fmt.Errorf("%w: %s is not an RFC 3339 time with a zone", ErrMalformed, s.Timestamp)
	}
	return p, nil
}
