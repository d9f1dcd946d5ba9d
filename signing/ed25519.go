package signing

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Kind is what a key is for.
type Kind string

// The kinds of key.
const (
	HMAC    Kind = "hmac"    // a secret that both sides share: whoever can verify could also have signed
	Ed25519 Kind = "ed25519" // a private key that signs, or a public one that verifies and cannot sign
)

// How Standard Webhooks writes the two halves of an ed25519 key. A text that begins so is never a
// secret of an HMAC.
const (
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
)

// pair is what an ed25519 key hides.
type pair struct {
	private ed25519.PrivateKey // nil: only the public half is known
	public  ed25519.PublicKey
}

var (
	errPublicSigns   = errors.New("is a public key (whpk_…), which verifies and cannot sign: give the private one (whsk_…)")
	errNotAsymmetric = errors.New("is an ed25519 key, and this scheme is an HMAC with a secret that both sides share")
)

// Kind is what the key is for; "" for the zero Key.
func (k Key) Kind() Kind {
	switch {
	case k.pair != nil:
		return Ed25519
	case k.open != nil:
		return HMAC
	default:
		return ""
	}
}

// Public is the public half of an ed25519 key as others may see it, whpk_ and base64; "" for every
// other key.
func (k Key) Public() string {
	if k.pair == nil {
		return ""
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(k.pair().public)
}

// GenerateEd25519Key makes a fresh ed25519 key from random. The text is the private key's, for its
// owner's eyes, once; Public is what partners are given.
func GenerateEd25519Key(random io.Reader) (text string, k Key, err error) {
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return "", Key{}, fmt.Errorf("read randomness: %w", err)
	}
	text = privatePrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed[:]))
	if k, err = ParseKey(text); err != nil {
		return "", Key{}, fmt.Errorf("generate key: %w", err)
	}
	return text, k, nil
}

// Asymmetric reports whether a scheme can use ed25519 keys. Such a scheme says so with a method
// Asymmetric() bool.
func Asymmetric(s Scheme) bool {
	a, ok := s.(interface{ Asymmetric() bool })
	return ok && a.Asymmetric()
}

// CheckSigning is CheckKeys for keys that are to sign: a public key cannot.
func CheckSigning(s Scheme, keys Keyring) error {
	if err := CheckKeys(s, keys); err != nil {
		return err
	}
	for i, k := range keys {
		if k.pair != nil && k.pair().private == nil {
			return keyError(i, len(keys), errPublicSigns)
		}
	}
	return nil
}

// asymmetric reports whether a text means to be an ed25519 key, however badly it is written.
func asymmetric(text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	return strings.HasPrefix(text, privatePrefix) || strings.HasPrefix(text, publicPrefix)
}

// parsePair reads an ed25519 key. The errors hold nothing of the text.
func parsePair(text string) (*pair, error) {
	if b, ok := strings.CutPrefix(text, publicPrefix); ok {
		public, err := base64.StdEncoding.DecodeString(b)
		switch {
		case err != nil || len(public) != ed25519.PublicKeySize:
			return nil, errors.New("not an ed25519 public key: whpk_ and standard base64 of 32 bytes are expected")
		case weak(public):
			return nil, errors.New("not an ed25519 public key: anybody can sign for this one")
		}
		return &pair{public: public}, nil
	}
	b, ok := strings.CutPrefix(text, privatePrefix)
	raw, err := base64.StdEncoding.DecodeString(b)
	if !ok || err != nil || len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return nil, errors.New("not an ed25519 private key: whsk_ and standard base64 of 64 bytes, or of a seed of 32, are expected")
	}
	if allZero(raw[:ed25519.SeedSize]) {
		return nil, errors.New("not an ed25519 private key: its seed is all zero bytes")
	}
	private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && subtle.ConstantTimeCompare(raw, private) != 1 {
		// To sign with a public half that is not the seed's own would give the private key away.
		return nil, errors.New("not an ed25519 private key: its last 32 bytes are not the public key of its first 32")
	}
	return &pair{private: private, public: append(ed25519.PublicKey(nil), private[ed25519.SeedSize:]...)}, nil
}

// unusable says why a key has nothing that an HMAC could use.
func (k Key) unusable() error {
	if k.pair != nil {
		return errNotAsymmetric
	}
	return errNoKey
}

// signs is the ed25519 signature of head and body.
func (p *pair) signs(head string, body []byte) []byte {
	return ed25519.Sign(p.private, slices.Concat([]byte(head), body))
}

// verifiesAny reports whether any of the signatures is one of head and body under any ed25519 key.
func (r Keyring) verifiesAny(head string, body []byte, sigs [][ed25519.SignatureSize]byte) bool {
	var signed []byte
	for _, k := range r {
		if k.pair == nil {
			continue
		}
		for i := range sigs {
			if signed == nil {
				signed = slices.Concat([]byte(head), body)
			}
			if ed25519.Verify(k.pair().public, signed, sigs[i][:]) {
				return true
			}
		}
	}
	return false
}

// weak reports whether a public key is one of the points of small order, under which a signature
// fits that no private key has made.
func weak(public []byte) bool {
	var y [ed25519.PublicKeySize]byte
	copy(y[:], public)
	y[len(y)-1] &= 0x7f // the sign of x
	for _, order := range smallOrder {
		if y == order {
			return true
		}
	}
	return false
}

// smallOrder are the y of every point whose order divides 8, in each way to write them.
var smallOrder = [...][ed25519.PublicKeySize]byte{
	{0},
	{1},
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
	prime(0xec),
	prime(0xed),
	prime(0xee),
}

// prime is 2^255-19, the lowest byte first and as given, which is 0xed.
func prime(lowest byte) (y [ed25519.PublicKeySize]byte) {
	for i := range y {
		y[i] = 0xff
	}
	y[0], y[len(y)-1] = lowest, 0x7f
	return y
}

// kinds says so where a request is signed with one kind of key only, and the ring holds the other.
func (e *explanation) kinds(sigs standardSigs) {
	var pairs, secrets int
	for _, k := range e.keys {
		switch k.Kind() {
		case Ed25519:
			pairs++
		case HMAC:
			secrets++
		}
	}
	switch {
	case len(sigs.v1a) > 0 && len(sigs.v1) == 0 && pairs == 0:
		e.advise("The request is signed with ed25519 (v1a), and the ring holds no such key: give the sender's public key, whpk_….")
	case len(sigs.v1) > 0 && len(sigs.v1a) == 0 && secrets == 0:
		e.advise("The request is signed with a shared secret (v1), and the ring holds none: give the sender's whsec_….")
	}
}
