package signing

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some providers sign with HMAC-SHA-1 and offer nothing else; HMAC does not rest on collision resistance
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Key is one secret. It never prints: not by fmt, not by slog, not by an encoder, and not to
// someone who walks the struct by reflection, for the secret lives in a closure. The zero Key signs
// nothing and matches nothing. Keys are safe for concurrent use and cheap to copy.
//
// A key is a secret for an HMAC, or an ed25519 key (Kind): what is one has nothing that the other
// could be mistaken for.
type Key struct {
	open func() *secret
	pair func() *pair // of an ed25519 key, which has no secret
}

// Keyring holds the keys that are valid now, newest first.
type Keyring []Key

// The sizes a Standard Webhooks secret may have once decoded, and its prefix.
const (
	standardPrefix = "whsec_"
	standardMin    = 24
	standardMax    = 64
)

// printed is all that ever shows of a key.
const printed = "signing.Key"

var errEncode = errors.New("a signing key is never encoded")

// secret is what a Key hides: the bytes as they were given, the bytes that Standard Webhooks makes
// of them, and MACs ready for reuse.
type secret struct {
	raw         []byte
	standard    []byte // raw decoded by the rules of Standard Webhooks; nil if standardErr
	standardErr error
	static      [sha256.Size]byte // digest of raw, for comparisons that must not show its length
	macs        [slots]sync.Pool  // of *mac
}

// slot names one way to key a MAC: the hash, and which form of the secret is the key.
type slot int

const (
	sha1Raw slot = iota
	sha256Raw
	sha512Raw
	sha256Standard
	sha256Credential // HMAC keyed with what follows the first colon; what precedes it is signed behind the head
	sha256Suffix     // no HMAC: the hash of the body and the secret
	sha256HexSuffix  // no HMAC: the hash of the body and the secret's digest in hex
	slots
)

// maxSum is the size of the longest digest.
const maxSum = sha512.Size

// mac is a keyed hash and the buffers it needs, pooled so that a callback costs no allocation.
type mac struct {
	hash.Hash
	head  []byte
	infix []byte // the key's own part between head and body
	tail  []byte // the key's own part behind the body
	sum   []byte
}

// NewKey makes a key of these bytes, which it copies. Empty and all-zero secrets are refused: they
// are what a failed look-up leaves behind. A text that begins with whsk_ or whpk_ is an ed25519
// key, or a mistake.
func NewKey(b []byte) (Key, error) {
	if len(b) == 0 {
		return Key{}, errors.New("key is empty")
	}
	if allZero(b) {
		return Key{}, errors.New("key is all zero bytes")
	}
	if asymmetric(string(b)) {
		p, err := parsePair(string(b))
		if err != nil {
			return Key{}, err
		}
		return Key{pair: func() *pair { return p }}, nil
	}
	s := &secret{raw: append([]byte(nil), b...), static: sha256.Sum256(b)}
	s.standard, s.standardErr = decodeStandard(string(b))
	return Key{open: func() *secret { return s }}, nil
}

// ParseKey makes a key of a text. The text is taken as it stands: what prefix or encoding means is
// for the scheme to say, since some providers key their HMAC with the whole "whsec_…" and others
// with what it decodes to.
func ParseKey(s string) (Key, error) { return NewKey([]byte(s)) }

// StandardKey makes a key of a Standard Webhooks secret: base64 of 24 to 64 bytes, with or without
// "whsec_"; or of an ed25519 key, "whsk_" or "whpk_".
func StandardKey(text string) (Key, error) {
	if asymmetric(text) {
		return ParseKey(text)
	}
	if _, err := decodeStandard(text); err != nil {
		return Key{}, err
	}
	return ParseKey(text)
}

// GenerateKey makes a fresh Standard Webhooks secret of 32 bytes from random. The text is for the
// owner's eyes, once; the key is for use.
func GenerateKey(random io.Reader) (text string, k Key, err error) {
	var b [32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", Key{}, fmt.Errorf("read randomness: %w", err)
	}
	text = standardPrefix + base64.StdEncoding.EncodeToString(b[:])
	if k, err = StandardKey(text); err != nil {
		return "", Key{}, fmt.Errorf("generate key: %w", err)
	}
	return text, k, nil
}

// CheckKeys reports why a scheme could not use these keys, so that a wrong secret is found when the
// configuration is read and not by the first callback. Errors name a key by its place only. A
// scheme may add its own rules with a method Check(Keyring) error. A keyless scheme wants none.
func CheckKeys(s Scheme, keys Keyring) error {
	switch none := len(keys) == 0; {
	case Keyless(s) && !none:
		return errors.New("this provider signs nothing: give the source allow or token instead of keys")
	case !Keyless(s) && none:
		return errors.New("no key")
	}
	for i, k := range keys {
		switch k.Kind() {
		case "":
			return keyError(i, len(keys), errors.New("key is empty"))
		case Ed25519:
			if !Asymmetric(s) {
				return keyError(i, len(keys), errNotAsymmetric)
			}
		case HMAC:
		}
	}
	if c, ok := s.(interface{ Check(keys Keyring) error }); ok {
		return c.Check(keys)
	}
	return nil
}

// Keyless reports whether a scheme has no use for keys, because its sender signs nothing. Such a
// scheme says so with a method Keyless() bool.
func Keyless(s Scheme) bool {
	k, ok := s.(interface{ Keyless() bool })
	return ok && k.Keyless()
}

// With lends the secret to a scheme that lives in another package. The zero Key and an ed25519 key
// lend nothing: use is not called. The bytes are the key's own: use must neither change them nor
// keep them once it has returned.
func (k Key) With(use func(secret []byte)) {
	if s := k.secret(); s != nil {
		use(slices.Clip(s.raw))
	}
}

// String returns a fixed word.
func (Key) String() string { return printed }

// GoString returns a fixed word.
func (Key) GoString() string { return printed }

// Format writes a fixed word, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, printed) }

// LogValue returns a fixed word.
func (Key) LogValue() slog.Value { return slog.StringValue(printed) }

// MarshalJSON always fails: a key that is about to be encoded is a mistake.
func (Key) MarshalJSON() ([]byte, error) { return nil, errEncode }

// MarshalText always fails.
func (Key) MarshalText() ([]byte, error) { return nil, errEncode }

// MarshalYAML always fails.
func (Key) MarshalYAML() (any, error) { return nil, errEncode }

// MarshalBinary always fails.
func (Key) MarshalBinary() ([]byte, error) { return nil, errEncode }

// secret returns what the key hides, nil for the zero Key and for an ed25519 key.
func (k Key) secret() *secret {
	if k.open == nil {
		return nil
	}
	return k.open()
}

// sum computes the MAC of head and body into out and returns its length, 0 if the key cannot be
// used that way.
func (k Key) sum(at slot, head string, body []byte, out *[maxSum]byte) int {
	return k.sumOf(at, "", head, body, out)
}

// sumOf is sum of a head in two parts, so that nobody joins them for each message.
func (k Key) sumOf(at slot, id, head string, body []byte, out *[maxSum]byte) int {
	s := k.secret()
	if s == nil {
		return 0
	}
	m := s.mac(at)
	if m == nil {
		return 0
	}
	if m.head = append(append(m.head[:0], id...), head...); len(m.head) > 0 {
		_, _ = m.Write(m.head) // a hash never fails
	}
	_, _ = m.Write(m.infix) // a hash never fails
	_, _ = m.Write(body)    // a hash never fails
	_, _ = m.Write(m.tail)  // a hash never fails
	m.sum = m.Sum(m.sum[:0])
	n := copy(out[:], m.sum)
	m.Reset()
	s.macs[at].Put(m)
	return n
}

// mac returns a fresh or reset MAC, nil if the secret has no such form.
func (s *secret) mac(at slot) *mac {
	if m, ok := s.macs[at].Get().(*mac); ok {
		return m
	}
	switch at {
	case sha1Raw:
		return &mac{Hash: hmac.New(sha1.New, s.raw)}
	case sha256Raw:
		return &mac{Hash: hmac.New(sha256.New, s.raw)}
	case sha512Raw:
		return &mac{Hash: hmac.New(sha512.New, s.raw)}
	case sha256Standard:
		if s.standard != nil {
			return &mac{Hash: hmac.New(sha256.New, s.standard)}
		}
	case sha256Credential:
		if name, key, ok := s.credential(); ok {
			return &mac{Hash: hmac.New(sha256.New, key), infix: name}
		}
	case sha256Suffix:
		return &mac{Hash: sha256.New(), tail: s.raw}
	case sha256HexSuffix:
		return &mac{Hash: sha256.New(), tail: hex.AppendEncode(nil, s.static[:])}
	default:
	}
	return nil
}

// credential splits a secret "name:key". An empty or zero key would let anyone sign, so neither
// counts.
func (s *secret) credential() (name, key []byte, ok bool) {
	name, key, ok = bytes.Cut(s.raw, []byte(":"))
	return name, key, ok && len(name) > 0 && len(key) > 0 && !allZero(key)
}

// matches reports whether want is the MAC under any key. It tries every key, so that timing does
// not tell which one fitted.
func (r Keyring) matches(at slot, head string, body, want []byte) bool {
	var got [maxSum]byte
	found := false
	for _, k := range r {
		n := k.sum(at, head, body, &got)
		if n > 0 && hmac.Equal(got[:n], want) {
			found = true
		}
	}
	return found
}

// matchesAny is matches for a header with several signatures: one MAC per key, compared with each
// of them.
func (r Keyring) matchesAny(at slot, head string, body []byte, wants [][sha256.Size]byte) bool {
	var got [maxSum]byte
	found := false
	for _, k := range r {
		n := k.sum(at, head, body, &got)
		for i := range wants {
			if n > 0 && hmac.Equal(got[:n], wants[i][:]) {
				found = true
			}
		}
	}
	return found
}

// oldest returns the key for a scheme with room for one signature.
func (r Keyring) oldest() (Key, error) {
	if len(r) == 0 {
		return Key{}, errNoKey
	}
	k := r[len(r)-1]
	if k.secret() == nil {
		return Key{}, k.unusable()
	}
	return k, nil
}

var errNoKey = errors.New("no usable key to sign with")

func keyError(i, n int, err error) error { return fmt.Errorf("key %d of %d: %w", i+1, n, err) }

func decodeStandard(text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, standardPrefix))
	switch {
	case err != nil: // the decoder's own words would tell where in the secret it stopped
		return nil, errors.New("not a Standard Webhooks secret: whsec_ and standard base64 are expected")
	case len(b) < standardMin || len(b) > standardMax:
		return nil, fmt.Errorf("not a Standard Webhooks secret: it decodes to %d bytes, %d to %d are expected", len(b), standardMin, standardMax)
	case allZero(b):
		return nil, errors.New("not a Standard Webhooks secret: it decodes to zero bytes")
	}
	return b, nil
}

func allZero(b []byte) bool {
	var or byte
	for _, c := range b {
		or |= c
	}
	return or == 0
}
