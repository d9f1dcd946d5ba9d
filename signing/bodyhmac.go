package signing

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// HashName is a hash an HMAC is built on.
type HashName string

// The hashes.
const (
	SHA1   HashName = "sha1"
	SHA256 HashName = "sha256"
	SHA512 HashName = "sha512"
)

// Encoding is how a digest is written in a header.
type Encoding string

// The encodings. Hex is read in either case and written in lower case; base64 is the standard
// alphabet with padding.
const (
	Hex    Encoding = "hex"
	Base64 Encoding = "base64"
)

// BodyHMAC is an HMAC of the raw body in one header. It has no timestamp, so a captured request can
// be sent again: whoever uses it deduplicates.
type BodyHMAC struct {
	Header    string
	Hash      HashName // "": sha256
	Encoding  Encoding // "": hex
	Prefix    string   // what stands before the digest, such as "sha256="
	Announce  string   // a header in which the sender names its algorithm, "" if there is none
	Announced string   // the only value of it we accept: the sender of a forgery must not choose the algorithm
}

// Sign sets the header to the MAC under the last key of the ring, and the announcement.
func (s BodyHMAC) Sign(h Header, m Message, keys Keyring) error {
	k, err := keys.oldest()
	if err != nil {
		return err
	}
	if err := s.Check(keys); err != nil {
		return err
	}
	at, _, _ := s.Hash.slot()
	var sum [maxSum]byte
	n := k.sum(at, "", m.Body, &sum)
	var room [2 * maxSum]byte
	h.Set(s.Header, string(s.Encoding.append(append(room[:0], s.Prefix...), sum[:n])))
	if s.Announce != "" {
		h.Set(s.Announce, s.Announced)
	}
	return nil
}

// Verify accepts a body whose MAC under any key is the one in the header.
func (s BodyHMAC) Verify(h Header, body []byte, keys Keyring, _ time.Time) error {
	if err := s.announced(h); err != nil {
		return err
	}
	text, err := one(h, s.Header)
	if err != nil {
		return err
	}
	at, size, ok := s.Hash.slot()
	if !ok {
		return fmt.Errorf("%w: the scheme has no such hash", ErrMismatch)
	}
	var want [maxSum]byte
	if err := s.decode(want[:size], text); err != nil {
		return err
	}
	if !keys.matches(at, "", body, want[:size]) {
		return ErrMismatch
	}
	return nil
}

// Check reports settings that cannot work.
func (s BodyHMAC) Check(Keyring) error {
	if _, _, ok := s.Hash.slot(); !ok {
		return errors.New("hash is not one of sha1, sha256, sha512")
	}
	if s.Encoding != "" && s.Encoding != Hex && s.Encoding != Base64 {
		return errors.New("encoding is not one of hex, base64")
	}
	if s.Header == "" {
		return errors.New("no signature header is named")
	}
	if s.Announce != "" && s.Announced == "" {
		return errors.New("an announcing header needs the value it must have")
	}
	return nil
}

// announced refuses a request that names another algorithm than ours. A request that names none is
// judged by its signature.
func (s BodyHMAC) announced(h Header) error {
	if s.Announce == "" {
		return nil
	}
	v := h.Values(s.Announce)
	if len(v) > 1 {
		return fmt.Errorf("%w: %s appears %d times", ErrMalformed, s.Announce, len(v))
	}
	if len(v) == 1 && v[0] != s.Announced {
		return fmt.Errorf("%w: %s does not name the algorithm this source uses", ErrMismatch, s.Announce)
	}
	return nil
}

// decode fills want with the digest in text, or says why it does not.
func (s BodyHMAC) decode(want []byte, text string) error {
	text, ok := strings.CutPrefix(text, s.Prefix)
	if !ok {
		return fmt.Errorf("%w: %s lacks its prefix", ErrMalformed, s.Header)
	}
	if !s.Encoding.decode(want, text) {
		return fmt.Errorf("%w: %s is not a %s digest of %d bytes", ErrMalformed, s.Header, s.Encoding.name(), len(want))
	}
	return nil
}

// slot returns where a key keeps its MACs of this hash, and the size of its digest.
func (n HashName) slot() (at slot, size int, ok bool) {
	switch n {
	case SHA1:
		return sha1Raw, 20, true
	case SHA256, "":
		return sha256Raw, 32, true
	case SHA512:
		return sha512Raw, 64, true
	default:
		return 0, 0, false
	}
}

func (e Encoding) name() Encoding {
	if e == "" {
		return Hex
	}
	return e
}

func (e Encoding) encode(sum []byte) string {
	var room [2 * maxSum]byte
	return string(e.append(room[:0], sum))
}

// append writes a digest behind b.
func (e Encoding) append(b, sum []byte) []byte {
	if e == Base64 {
		return base64.StdEncoding.AppendEncode(b, sum)
	}
	return hex.AppendEncode(b, sum)
}

// decode fills dst exactly, or reports false.
func (e Encoding) decode(dst []byte, text string) bool {
	switch e.name() {
	case Hex:
		if len(text) != hex.EncodedLen(len(dst)) {
			return false
		}
		_, err := hex.Decode(dst, []byte(text))
		return err == nil
	case Base64:
		if len(text) != base64.StdEncoding.EncodedLen(len(dst)) {
			return false
		}
		var buf [maxSum + 2]byte // the decoder counts padding as room it may use
		n, err := base64.StdEncoding.Decode(buf[:], []byte(text))
		return err == nil && n == len(dst) && copy(dst, buf[:n]) == n
	default:
		return false
	}
}
